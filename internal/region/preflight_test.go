package region

import (
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"

	"golang.org/x/sys/unix"
)

func TestMissingControllers(t *testing.T) {
	all := []string{"cpu", "cpuset", "memory", "pids"}
	for _, test := range []struct {
		name  string
		files []string // directories end in a slash
		v2    string   // cgroup.controllers
		want  []string
	}{
		{"v2", nil, "cpuset cpu io memory hugetlb pids rdma misc\n", nil},
		{"v2 without memory, as on a Raspberry Pi", nil, "cpuset cpu io pids\n", []string{"memory"}},
		{"v2 with a longer name only", nil, "cpuset cpu memory pids2\n", []string{"pids"}},
		{"v2 with no controller", nil, "\n", all},
		{"v1", []string{"cpu/", "cpuset/", "memory/", "pids/", "devices/"}, "", nil},
		{"v1 without pids", []string{"cpu/", "cpuset/", "memory/"}, "", []string{"pids"}},
		{"none", nil, "", all},
	} {
		root := t.TempDir()
		for _, f := range test.files {
			if err := os.MkdirAll(filepath.Join(root, f), 0o755); err != nil {
				t.Fatal(err)
			}
		}
		if test.v2 != "" {
			if err := os.WriteFile(filepath.Join(root, "cgroup.controllers"), []byte(test.v2), 0o644); err != nil {
				t.Fatal(err)
			}
		}
		if got := missingControllers(root); !slices.Equal(got, test.want) {
			t.Errorf("%s: %v, want %v", test.name, got, test.want)
		}
	}
	// Two controllers in one hierarchy, found by links.
	root := t.TempDir()
	for _, dir := range []string{"cpu,cpuacct", "cpuset", "memory", "pids"} {
		if err := os.Mkdir(filepath.Join(root, dir), 0o755); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.Symlink("cpu,cpuacct", filepath.Join(root, "cpu")); err != nil {
		t.Fatal(err)
	}
	if got := missingControllers(root); got != nil {
		t.Errorf("v1 with links: %v", got)
	}
}

func TestInstalled(t *testing.T) {
	if !installed("sh") {
		t.Error("there is no sh")
	}
	for _, name := range []string{"no-such-program", "", "."} {
		if installed(name) {
			t.Errorf("%q is a program", name)
		}
	}
}

func TestNeededProgramsHaveAPackage(t *testing.T) {
	for _, n := range needed {
		if n.program == "" || n.pkg == "" || n.why == "" {
			t.Errorf("%+v", n)
		}
	}
}

func TestPreflightAsksForRoot(t *testing.T) {
	var attr syscall.SysProcAttr
	if os.Geteuid() == 0 {
		attr.Credential = &syscall.Credential{Uid: 65534, Gid: 65534}
	}
	if got := runChild(t, "/proc/self/exe", "preflight", &attr); !strings.Contains(got, "sudo") {
		t.Error(got)
	}
}

func TestDiskProblem(t *testing.T) {
	if os.Geteuid() != 0 {
		t.Skip("mounting a small file system needs root")
	}
	// sized is a file system of a size, with nothing on it.
	sized := func(t *testing.T, size string) string {
		dir := t.TempDir()
		if err := unix.Mount("tmpfs", dir, "tmpfs", 0, "size="+size); err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() {
			if err := unix.Unmount(dir, 0); err != nil {
				t.Error(err)
			}
		})
		return dir
	}
	small, large := sized(t, "1m"), sized(t, "4g")
	// Also for a directory that is still to be made.
	for _, dataDir := range []string{small, filepath.Join(small, "new", "data")} {
		err := diskProblem(dataDir)
		if err == nil || !strings.Contains(err.Error(), "only 1 MiB") || !strings.Contains(err.Error(), dataDir) || !strings.Contains(err.Error(), "2048") {
			t.Errorf("%s: %v", dataDir, err)
		}
	}
	if err := diskProblem(filepath.Join(large, "new")); err != nil {
		t.Error(err)
	}
	file := filepath.Join(large, "file")
	if err := os.WriteFile(file, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	if err := diskProblem(filepath.Join(file, "data")); err == nil || !strings.Contains(err.Error(), file) {
		t.Errorf("below a file: %v", err)
	}
}
