package instance

import (
	"bytes"
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/moby/sys/mountinfo"

	"github.com/tarn-eks/tarn/internal/namespace"
)

// newMachine is an instance that is not prepared yet, in a data directory of
// its own. At the end no mount, file or cgroup of it may be left.
func newMachine(t *testing.T) (m Machine, dataDir string) {
	t.Helper()
	if os.Geteuid() != 0 {
		t.Skip("making an instance's namespaces, mounts and cgroup needs root")
	}
	dataDir = filepath.Join(t.TempDir(), "data")
	pins := filepath.Join(dataDir, "run", "ns")
	if err := namespace.Prepare(pins); err != nil {
		t.Fatal(err)
	}
	record, top := filepath.Join(dataDir, "controllers"), fmt.Sprintf("tarn-test-%d-%s", os.Getpid(), t.Name())
	if err := BorrowControllers(record); err != nil {
		t.Fatal(err)
	}
	m = Machine{
		Config: testConfig(), Dir: filepath.Join(dataDir, "instances", "i-0"), Programs: Programs{Shim: []byte("#!/bin/sh\necho shim\n"), CNI: []byte("#!/bin/sh\necho plugin\n")},
		Namespaces: namespace.Set{Net: filepath.Join(pins, "i-0.net"), Mount: filepath.Join(pins, "i-0.mnt"), UTS: filepath.Join(pins, "i-0.uts")},
	}
	m.Config.Cgroup = top + "/i-0"
	t.Cleanup(func() {
		ctx, cancel := context.WithTimeout(context.Background(), 20*time.Second)
		defer cancel()
		for _, err := range []error{m.Stop(ctx, 0), m.Release(ctx), RemoveCgroups(ctx, top), namespace.Teardown(pins), ReturnControllers(record)} {
			if err != nil {
				t.Error(err)
			}
		}
		mounts, err := mountinfo.GetMounts(func(m *mountinfo.Info) (skip, stop bool) {
			return !strings.Contains(m.Mountpoint, dataDir) && !strings.Contains(m.Root, dataDir), false
		})
		if err != nil || len(mounts) > 0 {
			t.Errorf("mounts are left: %v, %v", points(mounts), err)
		}
		if err := os.RemoveAll(dataDir); err != nil {
			t.Error(err)
		}
		g, err := newCgroup(top)
		if err != nil {
			t.Fatal(err)
		}
		for _, dir := range g.dirs() {
			if _, err := os.Stat(dir); err == nil {
				t.Errorf("the cgroup %s is left", dir)
			}
		}
	})
	return m, dataDir
}

func points(mounts []*mountinfo.Info) []string {
	var points []string
	for _, m := range mounts {
		points = append(points, m.Mountpoint)
	}
	return points
}

// inside runs a shell script in the instance.
func (m Machine) inside(t *testing.T, script string) (string, error) {
	t.Helper()
	cmd := exec.Command("/bin/sh", "-c", script)
	cmd.Env = []string{"PATH=" + SearchPath, "HOME=/root"}
	var out bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &out
	if err := m.Start(cmd); err != nil {
		t.Fatal(err)
	}
	err := cmd.Wait()
	return strings.TrimSpace(out.String()), err
}

func (m Machine) mounts(t *testing.T) []*mountinfo.Info {
	t.Helper()
	var mounts []*mountinfo.Info
	err := m.Namespaces.DoMount(func() (err error) {
		mounts, err = mountinfo.GetMounts(nil)
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return mounts
}

func TestMachine(t *testing.T) {
	m, dataDir := newMachine(t)
	canary := filepath.Join(t.TempDir(), "canary") // a file of the machine's
	tree(t, filepath.Dir(canary), map[string]string{"canary": ""})
	if err := m.Prepare(); err != nil {
		t.Fatal(err)
	}

	for _, test := range []struct{ what, script, want string }{
		{"its host name", "cat /etc/hostname; uname -n", m.Config.NodeName + "\n" + m.Config.NodeName},
		{"its home", "ls -A /root /home | cat", "/home:\n\n/root:"},
		{"a pipe, a device and a process table", "echo x | cat >/dev/null && cat /proc/self/comm", "cat"},
		{"files that last", "echo kept >/etc/x && echo kept >/var/lib/x && echo kept >/root/x && cat /root/x", "kept"},
		{"files that do not", "echo y >/tmp/y && echo y >/run/y && cat /tmp/y", "y"},
		{"the shim", "containerd-shim-runc-v2", "shim"},
		{"this program", "TARN_TEST_CHILD=name " + tarnPath, "tarn"},
		{"the CNI plugin", CNIBinDir + "/" + CNIPlugin, "plugin"},
		{"the machine's cgroups", "ls -d /sys/fs/cgroup", "/sys/fs/cgroup"},
	} {
		if got, err := m.inside(t, test.script); err != nil || got != test.want {
			t.Errorf("%s: %q, %v, want %q", test.what, got, err, test.want)
		}
	}
	for what, script := range map[string]string{
		"writing a system file":      "touch /usr/x",
		"writing a program":          "touch /bin/x",
		"making the file system":     "mkdir /usr/lib/x",
		"seeing the data directory":  "ls " + dataDir,
		"seeing the machine's files": "cat " + canary,
		"seeing through mnt":         "ls -A /mnt | grep .",
	} {
		if got, err := m.inside(t, script); err == nil {
			t.Errorf("%s: it can: %s", what, got)
		}
	}
	for _, file := range []string{"etc/x", "var/lib/x", "root/x"} {
		if got := read(t, m.Dir, file); got != "kept\n" {
			t.Errorf("%s holds %q", file, got)
		}
	}
	for _, file := range []string{"/etc/x", "/root/x", "/var/lib/x"} {
		if data, err := os.ReadFile(file); err == nil && string(data) == "kept\n" {
			t.Errorf("the instance has written the machine's %s", file)
		}
	}

	before := points(m.mounts(t))
	if err := m.Prepare(); err != nil { // a region that starts again finds it
		t.Fatal(err)
	}
	if after := points(m.mounts(t)); !slices.Equal(before, after) {
		t.Errorf("mounts were %v, and are %v", before, after)
	}
	if own, err := os.Hostname(); err != nil || own == m.Config.NodeName {
		t.Errorf("the machine's name is %s, %v", own, err)
	}

	// Its disk outlasts it.
	if err := m.Release(t.Context()); err != nil {
		t.Fatal(err)
	}
	if err := m.Prepare(); err != nil {
		t.Fatal(err)
	}
	if got, err := m.inside(t, "cat /root/x; ls /tmp /run | grep y"); got != "kept" {
		t.Errorf("after a restart: %q, %v", got, err)
	}
}

// What runs in an instance ends with it, pods that left its process group
// included.
func TestMachineStop(t *testing.T) {
	m, _ := newMachine(t)
	if err := m.Prepare(); err != nil {
		t.Fatal(err)
	}
	cmd := startChild(t, "stubborn", m.Config.Cgroup)
	ended := make(chan error, 1)
	go func() { ended <- m.Stop(t.Context(), time.Millisecond) }()
	if s := state(t, cmd); !s.Signaled() {
		t.Errorf("%v", s)
	}
	if err := <-ended; err != nil {
		t.Error(err)
	}
}

// The mounts of the machine that an instance sees are system directories, and
// those of the kernel.
func TestMachineSeesNoOtherMounts(t *testing.T) {
	m, _ := newMachine(t)
	if err := m.Prepare(); err != nil {
		t.Fatal(err)
	}
	known := append([]string{"dev", "proc", "sys", "run", "tmp"}, append(own, system...)...)
	for _, mount := range m.mounts(t) {
		if mount.Mountpoint == "/" {
			if mount.FSType != "tmpfs" {
				t.Errorf("the root is %s", mount.FSType)
			}
			continue
		}
		if top := strings.Split(mount.Mountpoint, "/")[1]; !slices.Contains(known, top) {
			t.Errorf("%s (%s of %s) is seen inside", mount.Mountpoint, mount.Root, mount.Source)
		}
	}
}
