package instance

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"time"

	"golang.org/x/sys/unix"

	"github.com/tarn-eks/tarn/internal/namespace"
)

// Machine is an instance on this machine: its disk, namespaces and cgroup.
// Its methods are level-triggered: each can be called again after a crash.
type Machine struct {
	Config     Config
	Dir        string // the instance's disk
	Namespaces namespace.Set
	Programs   Programs
}

// Programs are the executables that an instance runs once per pod.
type Programs struct {
	Shim []byte // containerd's runc shim
	CNI  []byte // the network plugin
}

// Prepare makes the instance's disk, cgroup, namespaces and root file system,
// or keeps those that are there.
func (m Machine) Prepare() error {
	if err := m.Config.prepare(m.Dir, m.Programs); err != nil {
		return err
	}
	group, err := newCgroup(m.Config.Cgroup)
	if err != nil {
		return err
	}
	if err := group.create(m.Config.Capacity); err != nil {
		return err
	}
	if err := namespace.Create(m.Namespaces); err != nil {
		return fmt.Errorf("making the namespaces of %s: %w", m.Config.ID, err)
	}
	if err := m.Namespaces.SetHostname(m.Config.NodeName); err != nil {
		return err
	}
	binary, err := os.Executable()
	if err != nil {
		return fmt.Errorf("finding this program: %w", err)
	}
	return m.Namespaces.DoMount(func() error {
		if rooted() {
			return nil
		}
		return enterRoot(m.Dir, binary)
	})
}

// rooted says whether the mount namespace has an instance's root already.
func rooted() bool {
	var fs unix.Statfs_t
	if err := unix.Statfs("/", &fs); err != nil || fs.Type != unix.TMPFS_MAGIC {
		return false
	}
	_, err := os.Stat(tarnPath)
	return err == nil
}

// KubernetesDir is where the node's credentials go, seen from the machine.
func (m Machine) KubernetesDir() string { return m.Dir + KubernetesDir }

// Start starts a command inside the instance.
func (m Machine) Start(cmd *exec.Cmd) error { return m.Namespaces.Start(cmd) }

// Stop ends every process of the instance, pods included: SIGTERM first and
// SIGKILL to what is left after grace.
func (m Machine) Stop(ctx context.Context, grace time.Duration) error {
	group, err := newCgroup(m.Config.Cgroup)
	if err != nil {
		return err
	}
	return group.stop(ctx, grace)
}

// Release gives the instance's namespaces and cgroup back and keeps its disk.
// All its processes have ended.
func (m Machine) Release(ctx context.Context) error {
	if err := namespace.Remove(m.Namespaces); err != nil {
		return fmt.Errorf("removing the namespaces of %s: %w", m.Config.ID, err)
	}
	group, err := newCgroup(m.Config.Cgroup)
	if err != nil {
		return err
	}
	return group.remove(ctx)
}

// RemoveCgroups removes a cgroup and all below it, having ended what runs there.
func RemoveCgroups(ctx context.Context, path string) error {
	group, err := newCgroup(path)
	if err != nil {
		return err
	}
	if err := group.stop(ctx, 0); err != nil {
		return err
	}
	return group.remove(ctx)
}
