// Package instancetype knows the EC2 instance types that Tarn offers: their
// size, their network limits, and what EKS makes of them (pods per node,
// memory and CPU reserved for the kubelet). It is a table and arithmetic: no
// AWS API types, no cgroups, no I/O may enter.
package instancetype

import (
	_ "embed"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"sync"
)

// types.tsv lists all sizes of the burstable and general purpose families that
// EKS users take, x86_64 only: an instance runs on this machine's processor.
// Types with GPUs or disks of their own are not there.
//
// Sources: network interfaces, addresses and hypervisor from
// amazon-vpc-cni-k8s (pkg/vpc/vpc_ip_resource_limit.go; the pods that follow
// equal its misc/eni-max-pods.txt); vCPUs, memory, processors, network and EBS
// performance from ec2instances.info, which has them from DescribeInstanceTypes;
// baseline bandwidth from Karpenter's zz_generated.bandwidth.go. T2 has neither a
// known baseline nor bandwidth of its own for EBS: zeroes.
//
//go:embed types.tsv
var table string

// Type is one EC2 instance type, as DescribeInstanceTypes describes it.
type Type struct {
	Name         string // "t3.medium"
	VCPUs        int    // default vCPUs
	Cores        int    // default cores
	MemoryMiB    int    // MiB
	ENIs         int    // network interfaces at most
	IPv4PerENI   int    // IPv4 addresses per network interface, the primary one included
	Architecture string // "x86_64"
	Hypervisor   string // "nitro", "xen", or "" for bare metal
	Network      string // NetworkPerformance: "Up to 5 Gigabit"
	BaselineMbps int    // network bandwidth that is always there, Mbit/s; 0 is unknown
	Manufacturer string // of the processor: "Intel", "AMD"
	EBS          EBS
}

// EBS is how fast a type reaches its volumes. All zero: not EBS-optimized.
type EBS struct {
	BaselineMbps, MaxMbps int // Mbit/s
	BaselineIOPS, MaxIOPS int
}

// Family is the part before the dot: "t3" of "t3.medium".
func (t Type) Family() string { family, _, _ := strings.Cut(t.Name, "."); return family }

// Size is the part after the dot: "medium" of "t3.medium".
func (t Type) Size() string { _, size, _ := strings.Cut(t.Name, "."); return size }

// ThreadsPerCore is the default number of threads per core.
func (t Type) ThreadsPerCore() int { return t.VCPUs / t.Cores }

// BareMetal tells whether the type has no hypervisor.
func (t Type) BareMetal() bool { return t.Hypervisor == "" }

// Burstable tells whether the type earns CPU credits (BurstablePerformanceSupported).
func (t Type) Burstable() bool { return strings.HasPrefix(t.Name, "t") }

// Generation is the number in the family: 7 of "m7i-flex.large".
func (t Type) Generation() int {
	for _, r := range t.Name {
		if '0' <= r && r <= '9' {
			return int(r - '0')
		}
	}
	return 0
}

// All returns every type of the table, by family and rising size. The slice is the caller's.
func All() []Type { return slices.Clone(load().all) }

// Lookup returns the type of this exact name. The error is an *UnknownError.
func Lookup(name string) (Type, error) {
	idx := load()
	if t, ok := idx.byName[name]; ok {
		return t, nil
	}
	return Type{}, &UnknownError{Name: name, Near: near(idx, name)}
}

// UnknownError says that a type is not in the table, and names what is near it.
type UnknownError struct {
	Name string
	Near []string // types of the same family, or of the same size, or nothing
}

func (e *UnknownError) Error() string {
	if len(e.Near) > 0 {
		return fmt.Sprintf("unknown instance type %q: near it there are %s", e.Name, strings.Join(e.Near, ", "))
	}
	return fmt.Sprintf("unknown instance type %q: there are the families %s", e.Name, strings.Join(Families(), ", "))
}

// Families returns the families of the table, in its order.
func Families() []string {
	var families []string
	for _, t := range load().all {
		if f := t.Family(); !slices.Contains(families, f) {
			families = append(families, f)
		}
	}
	return families
}

// near prefers the family, because a family is chosen on purpose and a size is
// what gets mistyped; without a known family it offers the size in every family.
func near(idx *index, name string) []string {
	family, size, _ := strings.Cut(strings.ToLower(strings.TrimSpace(name)), ".")
	var sameFamily, sameSize []string
	for _, t := range idx.all {
		switch {
		case t.Name == family+"."+size:
			return []string{t.Name} // only case or spaces differ
		case t.Family() == family:
			sameFamily = append(sameFamily, t.Name)
		case t.Size() == size:
			sameSize = append(sameSize, t.Name)
		}
	}
	if len(sameFamily) > 0 {
		return sameFamily
	}
	return sameSize
}

type index struct {
	all    []Type
	byName map[string]Type
}

// load parses the table on first use. A table that does not parse is a fault
// of the build, not of the user: it panics, and the package's tests see it.
var load = sync.OnceValue(func() *index {
	all, err := parse(table)
	if err != nil {
		panic("instancetype: types.tsv: " + err.Error())
	}
	idx := &index{all: all, byName: make(map[string]Type, len(all))}
	for _, t := range all {
		idx.byName[t.Name] = t
	}
	return idx
})

const columns = "# type\tvcpu\tcores\tmemory-mib\tenis\taddresses\thypervisor\tnetwork\tbaseline-mbps\tcpu" +
	"\tebs-baseline-mbps\tebs-max-mbps\tebs-baseline-iops\tebs-max-iops"

func parse(tsv string) ([]Type, error) {
	lines := strings.Split(strings.TrimSuffix(tsv, "\n"), "\n")
	if lines[0] != columns {
		return nil, fmt.Errorf("line 1: want the header %q", columns)
	}
	var all []Type
	for i, line := range lines[1:] {
		f := strings.Split(line, "\t")
		if len(f) != 14 {
			return nil, fmt.Errorf("line %d: want 14 columns, have %d", i+2, len(f))
		}
		t := Type{Name: f[0], Architecture: "x86_64", Hypervisor: strings.Trim(f[6], "-"), Network: f[7], Manufacturer: f[9]}
		for _, number := range []struct {
			column, least int
			into          *int
		}{
			{1, 1, &t.VCPUs}, {2, 1, &t.Cores}, {3, 1, &t.MemoryMiB}, {4, 1, &t.ENIs}, {5, 1, &t.IPv4PerENI}, {8, 0, &t.BaselineMbps},
			{10, 0, &t.EBS.BaselineMbps}, {11, 0, &t.EBS.MaxMbps}, {12, 0, &t.EBS.BaselineIOPS}, {13, 0, &t.EBS.MaxIOPS},
		} {
			n, err := strconv.Atoi(f[number.column])
			if err != nil || n < number.least {
				return nil, fmt.Errorf("line %d: column %d: want a number of at least %d, have %q", i+2, number.column+1, number.least, f[number.column])
			}
			*number.into = n
		}
		all = append(all, t)
	}
	return all, nil
}

// ARM tells whether a type that is not in the table is one for Graviton
// processors: their families have a g after the generation, as t4g and c7gn do.
func ARM(name string) bool {
	family, _, ok := strings.Cut(name, ".")
	if !ok || family == "a1" {
		return ok
	}
	digit := strings.IndexAny(family, "0123456789")
	return digit > 0 && digit+1 < len(family) && family[digit+1] == 'g' || strings.HasPrefix(family, "im4g") || strings.HasPrefix(family, "is4g")
}

// PeakGbps is the number in the network's performance, in Gbit/s, if it is one.
func (t Type) PeakGbps() (float64, bool) {
	number, ok := strings.CutSuffix(strings.TrimPrefix(t.Network, "Up to "), " Gigabit")
	gbps, err := strconv.ParseFloat(number, 64)
	return gbps, ok && err == nil
}
