package node

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"

	"golang.org/x/sys/unix"
)

// tunables are what kubelet sets the kernel to when it starts and finds it
// otherwise (k8s.io/component-helpers/node/util/sysctl). They are the machine's,
// not the instance's: a panic on oops would take everything down.
var tunables = map[string]string{
	"vm/overcommit_memory":      "1",
	"vm/panic_on_oom":           "0",
	"kernel/panic":              "10",
	"kernel/panic_on_oops":      "1",
	"kernel/keys/root_maxkeys":  "1000000",
	"kernel/keys/root_maxbytes": "25000000",
}

// devicePlugins is the socket that kubelet opens after it has set up the node.
const devicePlugins = "/var/lib/kubelet/device-plugins/kubelet.sock"

// shieldKernel lays files over the tunables in the instance's mount namespace:
// kubelet reads what it wants, and the machine stays as it is.
func shieldKernel() error {
	for name, value := range tunables {
		target := filepath.Join("/proc/sys", name)
		if _, err := os.Stat(target); errors.Is(err, fs.ErrNotExist) {
			continue // a kernel without it, which kubelet finds out for itself
		}
		file := filepath.Join("/run/tarn/sysctl", name)
		if err := os.MkdirAll(filepath.Dir(file), 0o755); err != nil {
			return fmt.Errorf("making the directory of %s: %w", file, err)
		}
		if err := os.WriteFile(file, []byte(value+"\n"), 0o644); err != nil {
			return fmt.Errorf("shielding the kernel from kubelet: %w", err)
		}
		if err := unix.Mount(file, target, "", unix.MS_BIND, ""); err != nil {
			return fmt.Errorf("shielding %s from kubelet: %w", target, err)
		}
	}
	return nil
}

// liftShield takes the files away once kubelet has started: while /proc is
// covered, a pod with a user namespace of its own cannot mount it.
func liftShield(ctx context.Context, ended <-chan error) error {
	err := waitForSocket(ctx, devicePlugins, ended)
	if err != nil {
		return err
	}
	for name := range tunables {
		// As often as it was covered: a process that was killed has left its own.
		for {
			err := unix.Unmount(filepath.Join("/proc/sys", name), unix.MNT_DETACH)
			if errors.Is(err, unix.EINVAL) || errors.Is(err, unix.ENOENT) {
				break
			}
			if err != nil {
				return fmt.Errorf("uncovering /proc/sys/%s: %w", name, err)
			}
		}
	}
	return nil
}
