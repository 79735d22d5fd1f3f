package e2e

import (
	"bytes"
	"crypto/sha256"
	"errors"
	"flag"
	"fmt"
	"io/fs"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"
)

// machineProgram is `machine` in the scripts: it prints what is on this machine.
func machineProgram() {
	text, err := describeMachine(os.Getenv("TARN_DATA_DIR"))
	if err != nil {
		fail(err)
	}
	fmt.Print(text)
}

// processesProgram is `processes [-ids]` in the scripts: it prints how many of
// each the region has, or their ids.
func processesProgram() {
	ids := flag.Bool("ids", false, "print process ids")
	flag.Parse()
	found, err := regionProcesses(os.Getenv("TARN_DATA_DIR"))
	if err != nil {
		fail(err)
	}
	if *ids {
		for _, pid := range slices.Sorted(maps.Keys(found)) {
			fmt.Println(pid)
		}
		return
	}
	fmt.Print(found.count())
}

// describeMachine lists what a region could leave behind: a line each, sorted
// within its chapter. What belongs to another region is left out, so that a
// developer's own may go on meanwhile.
func describeMachine(dataDir string) (string, error) {
	var text strings.Builder
	for _, chapter := range []struct {
		title string
		read  func(dataDir string) ([]string, error)
	}{
		{"processes of the region", regionProcessLines},
		{"mounts", mounts},
		{"namespaces", namespaces},
		{"cgroups", cgroups},
		{"links, addresses, routes, rules", network},
		{"nftables", nftables},
		{"kernel settings", kernelSettings},
	} {
		lines, err := chapter.read(dataDir)
		if err != nil {
			return "", fmt.Errorf("reading %s: %w", chapter.title, err)
		}
		slices.Sort(lines)
		fmt.Fprintf(&text, "%s:\n  %s\n", chapter.title, strings.Join(slices.Compact(lines), "\n  "))
	}
	return text.String(), nil
}

// mounts are those of this mount namespace, without the ids that change.
func mounts(dataDir string) ([]string, error) {
	data, err := os.ReadFile("/proc/self/mountinfo")
	if err != nil {
		return nil, err
	}
	var lines []string
	for line := range strings.Lines(string(data)) {
		fields := strings.Fields(line)
		if point := fields[4]; strings.Contains(point, "/run/ns") && !strings.HasPrefix(point, dataDir) {
			continue // where another region pins its namespaces
		}
		lines = append(lines, strings.Join(fields[2:], " "))
	}
	return lines, nil
}

// namespaces are those that a process lives in.
func namespaces(dataDir string) ([]string, error) {
	links, err := filepath.Glob("/proc/[0-9]*/ns/*")
	if err != nil {
		return nil, err
	}
	var lines []string
	for _, link := range links {
		groups, _ := os.ReadFile(filepath.Join(filepath.Dir(filepath.Dir(link)), "cgroup"))
		if to, err := os.Readlink(link); err == nil && !foreign(string(groups), dataDir) { // or the process has ended
			lines = append(lines, to)
		}
	}
	return lines, nil
}

// cgroupOf is a region's cgroup, as the region names it.
func cgroupOf(dataDir string) string {
	sum := sha256.Sum256([]byte(dataDir))
	return fmt.Sprintf("/tarn-%x", sum[:4])
}

// foreign says whether a cgroup's path is in another region's.
func foreign(path, dataDir string) bool {
	return strings.Contains(path, "/tarn-") && !strings.Contains(path, cgroupOf(dataDir))
}

func cgroups(dataDir string) ([]string, error) {
	var lines []string
	err := filepath.WalkDir("/sys/fs/cgroup", func(path string, d fs.DirEntry, err error) error {
		if errors.Is(err, fs.ErrNotExist) {
			return nil
		}
		if err == nil && d.IsDir() && !foreign(path, dataDir) {
			lines = append(lines, path)
		}
		return err
	})
	return lines, err
}

func network(string) ([]string, error) {
	links, err := netlink.LinkList()
	if err != nil {
		return nil, err
	}
	var lines []string
	for _, link := range links {
		a := link.Attrs()
		lines = append(lines, fmt.Sprintf("link %s %s %s mtu %d %s", a.Name, link.Type(), a.HardwareAddr, a.MTU, a.Flags))
		addresses, err := netlink.AddrList(link, netlink.FAMILY_ALL)
		if err != nil {
			return nil, err
		}
		for _, address := range addresses {
			lines = append(lines, fmt.Sprintf("address %s %s", a.Name, address.IPNet))
		}
	}
	routes, err := netlink.RouteListFiltered(netlink.FAMILY_ALL, &netlink.Route{Table: unix.RT_TABLE_UNSPEC}, netlink.RT_FILTER_TABLE)
	if err != nil {
		return nil, err
	}
	for _, route := range routes {
		lines = append(lines, fmt.Sprintf("route %s table %d", route, route.Table))
	}
	rules, err := netlink.RuleList(netlink.FAMILY_ALL)
	if err != nil {
		return nil, err
	}
	for _, rule := range rules {
		lines = append(lines, rule.String())
	}
	return lines, nil
}

func nftables(string) ([]string, error) {
	out, err := exec.Command("nft", "list", "ruleset").CombinedOutput()
	if err != nil {
		return nil, fmt.Errorf("nft list ruleset: %w: %s", err, out)
	}
	return strings.Split(strings.TrimSpace(string(out)), "\n"), nil
}

// kernelSettings are those that belong to the whole machine and that kubelet,
// kube-proxy or a router like to change.
func kernelSettings(string) ([]string, error) {
	var lines []string
	for _, name := range []string{
		"kernel/keys/root_maxbytes", "kernel/keys/root_maxkeys", "kernel/panic", "kernel/panic_on_oops",
		"net/ipv4/ip_forward", "net/ipv6/conf/all/forwarding", "net/netfilter/nf_conntrack_max",
		"vm/overcommit_memory", "vm/panic_on_oom",
	} {
		value, err := os.ReadFile("/proc/sys/" + name)
		if err != nil && !errors.Is(err, fs.ErrNotExist) {
			return nil, err
		}
		lines = append(lines, fmt.Sprintf("%s = %s", name, bytes.TrimSpace(value)))
	}
	return lines, nil
}

func regionProcessLines(dataDir string) ([]string, error) {
	found, err := regionProcesses(dataDir)
	return slices.Collect(maps.Values(found)), err
}

// named are processes by id.
type named map[int]string

// count says how many there are of each name.
func (n named) count() string {
	number := map[string]int{}
	for _, name := range n {
		number[name]++
	}
	var text strings.Builder
	for _, name := range slices.Sorted(maps.Keys(number)) {
		fmt.Fprintf(&text, "%d %s\n", number[name], name)
	}
	return text.String()
}

// regionProcesses are the processes that belong to a region: its own roles, and
// what runs in its cgroup.
func regionProcesses(dataDir string) (named, error) {
	dirs, err := filepath.Glob("/proc/[0-9]*")
	if err != nil {
		return nil, err
	}
	cgroup := cgroupOf(dataDir) + "/"
	found := named{}
	for _, dir := range dirs {
		pid, err := strconv.Atoi(filepath.Base(dir))
		if err != nil {
			return nil, err
		}
		// What cannot be read has ended, and so has a zombie, which waits for the
		// machine's init.
		status, _ := os.ReadFile(dir + "/status")
		if strings.Contains(string(status), "\nState:\tZ") {
			continue
		}
		groups, _ := os.ReadFile(dir + "/cgroup")
		comm, _ := os.ReadFile(dir + "/comm")
		data, _ := os.ReadFile(dir + "/cmdline")
		args := strings.Split(string(data), "\x00")
		role := len(args) > 1 && args[0] == "tarn" && slices.Contains([]string{"region", "control-plane", "instance"}, args[1])
		switch {
		case role && (strings.Contains(string(data), dataDir) || strings.Contains(string(groups), cgroup)):
			found[pid] = "tarn " + args[1]
		case strings.Contains(string(groups), cgroup):
			found[pid] = strings.TrimSpace(string(comm))
		}
	}
	return found, nil
}
