package instance

import (
	"crypto/sha256"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"

	"golang.org/x/sys/unix"
)

// An instance's root file system: system programs of the machine, read-only,
// and directories of its own for everything that a node writes. Paths are those
// of an EKS node, so that hostPath volumes find what they expect.

// own are the instance's writable directories; they last as long as it does.
var own = []string{"etc", "home", "mnt", "opt", "root", "srv", "var"}

// system are the machine's directories an instance sees read-only: where a
// distribution keeps its programs and libraries.
var system = []string{"bin", "gnu", "lib", "lib32", "lib64", "libx32", "nix", "sbin", "usr"}

// Programs are what the instance role runs, by their path inside the instance.
const (
	binDir    = "/opt/tarn/bin"
	ShimPath  = binDir + "/containerd-shim-runc-v2"
	tarnPath  = binDir + "/tarn"
	CNIBinDir = "/opt/cni/bin"
	CNIPlugin = "aws-cni"
	// SearchPath is the PATH of what runs in an instance. containerd looks for
	// the shim there when it finds its pods again after a restart.
	SearchPath = binDir + ":/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
)

// files is what differs from one instance's /etc to another's.
func (c Config) files() map[string]string {
	machineID := fmt.Sprintf("%x", sha256.Sum256([]byte(c.ID)))[:32]
	return map[string]string{
		"etc/hostname": c.NodeName + "\n",
		"etc/hosts":    "127.0.0.1 localhost localhost.localdomain\n::1 localhost6\n",
		"etc/resolv.conf": fmt.Sprintf("search %s\nnameserver %s\noptions timeout:2 attempts:5\n",
			c.domain(), c.Resolver),
		"etc/machine-id": machineID + "\n",
		"etc/os-release": "NAME=\"Tarn\"\nID=tarn\nID_LIKE=\"fedora\"\nPRETTY_NAME=\"Tarn node\"\n",
		"etc/passwd":     "root:x:0:0:root:/root:/bin/sh\nnobody:x:65534:65534:nobody:/:/sbin/nologin\n",
		"etc/group":      "root:x:0:\nnobody:x:65534:\n",
		// kube-proxy reads its maps back through nft, which names protocols by this
		// file; without it, kube-proxy takes its own entries for somebody else's.
		"etc/protocols": "ip 0 IP\nicmp 1 ICMP\ntcp 6 TCP\nudp 17 UDP\nipv6-icmp 58 IPv6-ICMP\nsctp 132 SCTP\n",
		"etc/containerd/certs.d/_default/hosts.toml": fmt.Sprintf(
			"# Every image comes from the region's registry; it pulls public ones through.\nserver = %q\n\n[host.%q]\n  capabilities = [\"pull\", \"resolve\"]\n", c.Registry, c.Registry),
	}
}

// prepare makes the instance's own directories below dir and fills /etc.
func (c Config) prepare(dir string, programs Programs) error {
	for _, name := range own {
		if err := os.MkdirAll(filepath.Join(dir, name), 0o755); err != nil {
			return fmt.Errorf("making the root of %s: %w", c.ID, err)
		}
	}
	for _, name := range []string{"root", "var/log/pods", "var/lib/kubelet", "var/lib/containerd", "var/lib/cni", "var/tmp", binDir, CNIBinDir} {
		if err := os.MkdirAll(filepath.Join(dir, name), 0o755); err != nil {
			return fmt.Errorf("making the root of %s: %w", c.ID, err)
		}
	}
	if err := writeFiles(dir, c.files()); err != nil {
		return err
	}
	if err := replaceFile(filepath.Join(dir, ShimPath), programs.Shim, 0o755); err != nil {
		return err
	}
	if err := replaceFile(filepath.Join(dir, CNIBinDir, CNIPlugin), programs.CNI, 0o755); err != nil {
		return err
	}
	return c.write(dir)
}

// replaceFile puts a new file in place of one that may be running.
func replaceFile(path string, data []byte, mode fs.FileMode) error {
	if info, err := os.Lstat(path); err == nil && info.Mode().IsRegular() && info.Size() == int64(len(data)) {
		if old, err := os.ReadFile(path); err == nil && string(old) == string(data) {
			return nil
		}
	}
	tmp := path + ".new"
	if err := os.WriteFile(tmp, data, mode); err != nil {
		return fmt.Errorf("writing %s: %w", path, err)
	}
	if err := os.Rename(tmp, path); err != nil {
		return fmt.Errorf("putting %s in place: %w", path, err)
	}
	return nil
}

// enterRoot makes dir's root and pivots into it. It runs on a thread inside the
// instance's new mount namespace and calls nothing but system calls.
func enterRoot(dir, binary string) error {
	// What the machine mounts later is not the instance's business.
	if err := mount("", "/", "", unix.MS_REC|unix.MS_PRIVATE, ""); err != nil {
		return err
	}
	root := filepath.Join(dir, "rootfs")
	if err := os.MkdirAll(root, 0o755); err != nil {
		return fmt.Errorf("making %s: %w", root, err)
	}
	if err := mount("tarn", root, "tmpfs", unix.MS_NODEV, "mode=755,size=1m"); err != nil {
		return err
	}
	for _, name := range system {
		host, target := "/"+name, filepath.Join(root, name)
		info, err := os.Lstat(host)
		switch {
		case errors.Is(err, fs.ErrNotExist):
			continue
		case err != nil:
			return fmt.Errorf("looking at %s: %w", host, err)
		case info.Mode()&fs.ModeSymlink != 0: // merged /usr
			to, err := os.Readlink(host)
			if err != nil {
				return fmt.Errorf("reading the link %s: %w", host, err)
			}
			if err := os.Symlink(to, target); err != nil {
				return fmt.Errorf("linking %s: %w", target, err)
			}
		default:
			if err := bind(host, target, unix.MS_REC); err != nil {
				return err
			}
			// With what is mounted below it.
			if err := unix.MountSetattr(-1, target, unix.AT_RECURSIVE, &unix.MountAttr{Attr_set: unix.MOUNT_ATTR_RDONLY}); err != nil {
				return fmt.Errorf("making %s read-only: %w", target, err)
			}
		}
	}
	for _, name := range []string{"dev", "proc", "sys"} {
		if err := bind("/"+name, filepath.Join(root, name), unix.MS_REC); err != nil {
			return err
		}
	}
	for _, name := range own {
		if err := bind(filepath.Join(dir, name), filepath.Join(root, name), 0); err != nil {
			return err
		}
	}
	for name, options := range map[string]string{"run": "mode=755", "tmp": "mode=1777"} {
		target := filepath.Join(root, name)
		if err := os.MkdirAll(target, 0o755); err != nil {
			return fmt.Errorf("making %s: %w", target, err)
		}
		if err := mount("tmpfs", target, "tmpfs", unix.MS_NOSUID|unix.MS_NODEV, options); err != nil {
			return err
		}
	}
	tarn := filepath.Join(root, tarnPath)
	if f, err := os.OpenFile(tarn, os.O_CREATE, 0o755); err != nil {
		return fmt.Errorf("making %s: %w", tarn, err)
	} else if err := f.Close(); err != nil {
		return err
	}
	if err := mount(binary, tarn, "", unix.MS_BIND, ""); err != nil {
		return err
	}
	old := filepath.Join(root, "mnt")
	if err := unix.PivotRoot(root, old); err != nil {
		return fmt.Errorf("changing the root to %s: %w", root, err)
	}
	if err := unix.Chdir("/"); err != nil {
		return fmt.Errorf("entering the new root: %w", err)
	}
	if err := unix.Unmount("/mnt", unix.MNT_DETACH); err != nil {
		return fmt.Errorf("leaving the machine's root: %w", err)
	}
	// kubelet wants to propagate mounts into containers that ask for it.
	return mount("", "/", "", unix.MS_REC|unix.MS_SHARED, "")
}

func bind(from, to string, flags uintptr) error {
	if err := os.MkdirAll(to, 0o755); err != nil {
		return fmt.Errorf("making %s: %w", to, err)
	}
	return mount(from, to, "", unix.MS_BIND|flags, "")
}

func mount(source, target, fstype string, flags uintptr, data string) error {
	if err := unix.Mount(source, target, fstype, flags, data); err != nil {
		return fmt.Errorf("mounting %s on %s: %w", source, target, err)
	}
	return nil
}
