package instance

import (
	"bytes"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/miekg/dns"
	"github.com/pelletier/go-toml/v2"
)

func TestPrepareMakesTheDisk(t *testing.T) {
	c := testConfig()
	dir := t.TempDir()
	for range 2 { // an instance that boots again
		if err := c.prepare(dir, Programs{Shim: []byte("shim"), CNI: []byte("cni")}); err != nil {
			t.Fatal(err)
		}
		if got := read(t, dir, "etc/hostname"); got != c.NodeName+"\n" {
			t.Errorf("hostname %q", got)
		}

		resolver, err := dns.ClientConfigFromFile(filepath.Join(dir, "etc/resolv.conf"))
		if err != nil {
			t.Fatal(err)
		}
		want := &dns.ClientConfig{Servers: []string{"192.168.0.2"}, Search: []string{"ap-northeast-2.compute.internal"}, Port: "53", Ndots: 1, Timeout: 2, Attempts: 5}
		if diff := cmp.Diff(want, resolver); diff != "" {
			t.Errorf("resolv.conf: %s", diff)
		}

		// https://github.com/containerd/containerd/blob/main/docs/hosts.md
		var hosts struct {
			Server string                                     `toml:"server"`
			Host   map[string]struct{ Capabilities []string } `toml:"host"`
		}
		decoder := toml.NewDecoder(strings.NewReader(read(t, dir, "etc/containerd/certs.d/_default/hosts.toml"))).DisallowUnknownFields()
		if err := decoder.Decode(&hosts); err != nil {
			t.Fatal(err)
		}
		if mirror := hosts.Host[c.Registry]; hosts.Server != c.Registry || len(hosts.Host) != 1 || strings.Join(mirror.Capabilities, " ") != "pull resolve" {
			t.Errorf("hosts.toml: %+v", hosts)
		}

		for path, want := range map[string]string{ShimPath: "shim", CNIBinDir + "/" + CNIPlugin: "cni"} {
			if got := read(t, dir, path); got != want {
				t.Errorf("%s is %q", path, got)
			}
			if info, err := os.Lstat(filepath.Join(dir, path)); err != nil || info.Mode() != 0o755 {
				t.Errorf("%s: %v, %v", path, info, err)
			}
		}
		kept, err := LoadConfig(filepath.Join(dir, ConfigFile))
		if err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(c, kept, cmp.Comparer(func(a, b netip.Addr) bool { return a == b })); diff != "" {
			t.Errorf("the role's configuration: %s", diff)
		}
		// What a node has written stays.
		if err := os.WriteFile(filepath.Join(dir, "var/lib/kubelet/x"), nil, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := os.Stat(filepath.Join(dir, "var/lib/kubelet/x")); err != nil {
		t.Error(err)
	}
}

// systemd's machine-id(5): 32 hex digits, and an instance's own.
func TestMachineID(t *testing.T) {
	a, b := testConfig(), testConfig()
	b.ID = "i-0123456789abcdef1"
	id := a.files()["etc/machine-id"]
	if len(id) != 33 || strings.Trim(id, "0123456789abcdef") != "\n" {
		t.Errorf("%q", id)
	}
	if id == b.files()["etc/machine-id"] {
		t.Error("two instances have one machine id")
	}
	if id != a.files()["etc/machine-id"] {
		t.Error("the machine id changes")
	}
}

func TestLoadConfigErrors(t *testing.T) {
	dir := t.TempDir()
	tree(t, dir, map[string]string{"damaged.json": `{"ID": `})
	for _, name := range []string{"damaged.json", "missing.json"} {
		if _, err := LoadConfig(filepath.Join(dir, name)); err == nil || !strings.Contains(err.Error(), name) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func TestProviderID(t *testing.T) {
	if got := testConfig().ProviderID(); got != "aws:///ap-northeast-2a/i-0123456789abcdef0" {
		t.Error(got)
	}
}

// A program that runs cannot be written to (ETXTBSY), but replaced.
func TestReplaceFile(t *testing.T) {
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	program := filepath.Join(t.TempDir(), "program")
	if err := replaceFile(program, []byte(read(t, self)), 0o755); err != nil {
		t.Fatal(err)
	}
	inode := func() os.FileInfo {
		info, err := os.Stat(program)
		if err != nil {
			t.Fatal(err)
		}
		return info
	}
	first := inode()
	if err := replaceFile(program, []byte(read(t, self)), 0o755); err != nil {
		t.Fatal(err)
	}
	if !os.SameFile(first, inode()) {
		t.Error("a file that is the same was replaced")
	}

	running := exec.Command(program)
	running.Env = append(os.Environ(), "TARN_TEST_CHILD=polite")
	stdin, err := running.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := running.Start(); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(program, nil, 0o755); err == nil {
		t.Error("the kernel lets a running program be written to: this test shows nothing")
	}
	same := []byte(read(t, self))
	same[len(same)-1]++ // as long as before
	for _, data := range [][]byte{same, []byte("#!/bin/sh\n")} {
		if err := replaceFile(program, data, 0o755); err != nil {
			t.Fatal(err)
		}
		if got := read(t, program); !bytes.Equal([]byte(got), data) {
			t.Errorf("%d bytes, want %d", len(got), len(data))
		}
	}
	if mode := inode().Mode().Perm(); mode != 0o755 {
		t.Errorf("mode %o", mode)
	}
	if left, err := filepath.Glob(program + ".*"); err != nil || left != nil {
		t.Errorf("left: %v", left)
	}
	stdin.Close()
	if err := running.Wait(); err != nil {
		t.Errorf("what ran before: %v", err)
	}
}
