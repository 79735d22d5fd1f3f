package region

import (
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
)

// What upstream's programs take of the kernel's inotify instances, which all
// programs of a user share: often 128.
const (
	inotifyControlPlane = 12
	inotifyNode         = 9
)

// InotifyProblem says in a sentence that a cluster with so many nodes would find
// too few inotify instances, and what to do; "" if it would not, or if that
// cannot be known.
func InotifyProblem(nodes int) string {
	data, err := os.ReadFile("/proc/sys/fs/inotify/max_user_instances")
	if err != nil {
		return ""
	}
	limit, err := strconv.Atoi(strings.TrimSpace(string(data)))
	if err != nil {
		return ""
	}
	return inotifyProblem(limit, inotifyInUse("/proc"), nodes)
}

func inotifyProblem(limit, used, nodes int) string {
	need := inotifyControlPlane + nodes*inotifyNode
	if free := limit - used; free < need {
		return fmt.Sprintf("the kernel has %d of %d inotify instances left, and a cluster of %d nodes takes %d: without `sysctl fs.inotify.max_user_instances=%d` nodes may fail with too many open files",
			max(0, free), limit, nodes, need, max(1024, 2*(used+need)))
	}
	return ""
}

// inotifyInUse counts the inotify instances of root's programs.
func inotifyInUse(proc string) int {
	fds, err := filepath.Glob(filepath.Join(proc, "[0-9]*/fd/*"))
	if err != nil {
		return 0
	}
	n := 0
	for _, fd := range fds {
		if to, err := os.Readlink(fd); err == nil && to == "anon_inode:inotify" {
			n++
		}
	}
	return n
}

// explained adds the way out to the failure of a process that found no inotify
// instance.
func explained(failure error) error {
	if failure == nil || !strings.Contains(failure.Error(), "inotify") || !strings.Contains(failure.Error(), "too many open files") {
		return failure
	}
	return fmt.Errorf("%w\nThe kernel has no inotify instances left: `sysctl fs.inotify.max_user_instances=1024` raises the limit", failure)
}
