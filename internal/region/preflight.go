package region

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"

	"golang.org/x/sys/unix"

	"github.com/tarn-eks/tarn/internal/instance"
)

// needed are the programs that nodes run, and the Debian packages they come in.
var needed = []struct{ program, pkg, why string }{
	{"runc", "runc", "starts containers"},
	{"nft", "nftables", "routes Services"},
	{"mount", "mount", "mounts volumes"},
	{"umount", "mount", "unmounts volumes"},
}

// minFree is what a state directory's file system must have free.
const minFree = 2 << 30 // bytes

// Preflight checks, before anything starts, that this machine can run a region.
// The error names everything that is missing and how to get it.
func Preflight(dataDir string) error {
	if os.Geteuid() != 0 {
		return errors.New("tarn makes network namespaces, cgroups and mounts, which needs root: run it with sudo")
	}
	var problems []error
	var packages []string
	for _, n := range needed {
		if !installed(n.program) {
			problems = append(problems, fmt.Errorf("the program %s, which %s, is not installed", n.program, n.why))
			packages = append(packages, n.pkg)
		}
	}
	if len(packages) > 0 {
		problems = append(problems, fmt.Errorf("on Debian or Ubuntu: apt-get install --no-install-recommends %s", strings.Join(packages, " ")))
	}
	problems = append(problems, kernelProblems()...)
	if err := diskProblem(dataDir); err != nil {
		problems = append(problems, err)
	}
	return errors.Join(problems...)
}

// installed looks where an instance will look, whatever this shell's PATH is.
func installed(program string) bool {
	for dir := range strings.SplitSeq(instance.SearchPath, ":") {
		if info, err := os.Stat(filepath.Join(dir, program)); err == nil && info.Mode().IsRegular() && info.Mode()&0o111 != 0 {
			return true
		}
	}
	return false
}

func kernelProblems() []error {
	var problems []error
	if data, err := os.ReadFile("/proc/filesystems"); err != nil {
		problems = append(problems, err)
	} else if !strings.Contains(string(data), "\toverlay\n") {
		problems = append(problems, errors.New("the kernel has no overlay file system (CONFIG_OVERLAY_FS), which containers are unpacked on: modprobe overlay"))
	}
	for _, kind := range []string{"net", "mnt", "uts", "ipc", "pid"} {
		if _, err := os.Stat("/proc/self/ns/" + kind); err != nil {
			problems = append(problems, fmt.Errorf("the kernel has no %s namespaces", kind))
		}
	}
	if err := unix.MountSetattr(-1, "", 0, &unix.MountAttr{}); errors.Is(err, unix.ENOSYS) {
		problems = append(problems, errors.New("the kernel is older than Linux 5.12 and cannot mount a tree read-only (mount_setattr), which keeps this machine's programs safe from instances"))
	}
	if missing := missingControllers("/sys/fs/cgroup"); len(missing) > 0 {
		problems = append(problems, fmt.Errorf("no cgroup controller %s is mounted below /sys/fs/cgroup: the limits of instances and pods need it", strings.Join(missing, ", ")))
	}
	return problems
}

// missingControllers looks at cgroup v2's list of controllers, or at v1's mounts.
func missingControllers(root string) []string {
	need := []string{"cpu", "cpuset", "memory", "pids"}
	var missing []string
	unified, err := os.ReadFile(filepath.Join(root, "cgroup.controllers"))
	for _, c := range need {
		if err == nil {
			if !strings.Contains(" "+strings.TrimSpace(string(unified))+" ", " "+c+" ") {
				missing = append(missing, c)
			}
		} else if _, err := os.Stat(filepath.Join(root, c)); err != nil {
			missing = append(missing, c)
		}
	}
	return missing
}

func diskProblem(dataDir string) error {
	dir := dataDir
	for {
		var fs unix.Statfs_t
		err := unix.Statfs(dir, &fs)
		if errors.Is(err, unix.ENOENT) && dir != "/" {
			dir = filepath.Dir(dir)
			continue
		}
		if err != nil {
			return fmt.Errorf("looking at the file system of %s: %w", dataDir, err)
		}
		if free := fs.Bavail * uint64(fs.Bsize); free < minFree {
			return fmt.Errorf("only %d MiB are free on the file system of %s, at least %d are needed: free some, or choose another place with --data-dir", free>>20, dataDir, minFree>>20)
		}
		return nil
	}
}
