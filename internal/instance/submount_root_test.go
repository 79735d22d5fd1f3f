package instance

import (
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/tarn-eks/tarn/internal/namespace"
)

// A file system of its own below a system directory is as read-only as that.
func TestMachineSubmountsAreReadOnly(t *testing.T) {
	m, _ := newMachine(t)
	if err := namespace.Create(m.Namespaces); err != nil {
		t.Fatal(err)
	}
	// In the instance's mount namespace only, before Prepare makes the root of it.
	if err := m.Namespaces.DoMount(func() error {
		return unix.Mount("tmpfs", "/usr/local", "tmpfs", 0, "size=64k")
	}); err != nil {
		t.Fatal(err)
	}
	if err := m.Prepare(); err != nil {
		t.Fatal(err)
	}
	found := false
	for _, mount := range m.mounts(t) {
		if strings.HasPrefix(mount.Mountpoint, "/usr") {
			found = found || mount.Mountpoint == "/usr/local"
			if !strings.HasPrefix(mount.Options, "ro") {
				t.Errorf("%s is %s", mount.Mountpoint, mount.Options)
			}
		}
	}
	if !found {
		t.Error("the file system is not seen")
	}
	if out, err := m.inside(t, "touch /usr/local/x"); err == nil {
		t.Errorf("it can be written to: %s", out)
	}
}
