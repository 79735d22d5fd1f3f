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

// types.tsv lists all sizes of the families t2, t3, t3a, m5, m6i, c5, c6i and r5.
//
// Sources: network interfaces, addresses and hypervisor from
// amazon-vpc-cni-k8s v1.23.2 (pkg/vpc/vpc_ip_resource_limit.go; the pods that
// follow equal its misc/eni-max-pods.txt); vCPUs, cores, memory and network
// performance from the Amazon EC2 instance types guide, checked against
// Cluster Autoscaler's ec2_instance_types.go and Karpenter's bandwidth table.
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

const columns = "# type\tvcpu\tcores\tmemory-mib\tenis\taddresses\thypervisor\tnetwork"

func parse(tsv string) ([]Type, error) {
	lines := strings.Split(strings.TrimSuffix(tsv, "\n"), "\n")
	if lines[0] != columns {
		return nil, fmt.Errorf("line 1: want the header %q", columns)
	}
	var all []Type
	for i, line := range lines[1:] {
		f := strings.Split(line, "\t")
		if len(f) != 8 {
			return nil, fmt.Errorf("line %d: want 8 columns, have %d", i+2, len(f))
		}
		t := Type{Name: f[0], Architecture: "x86_64", Hypervisor: strings.Trim(f[6], "-"), Network: f[7]}
		for column, into := range map[int]*int{1: &t.VCPUs, 2: &t.Cores, 3: &t.MemoryMiB, 4: &t.ENIs, 5: &t.IPv4PerENI} {
			n, err := strconv.Atoi(f[column])
			if err != nil || n < 1 {
				return nil, fmt.Errorf("line %d: column %d: want a number of at least 1, have %q", i+2, column+1, f[column])
			}
			*into = n
		}
		all = append(all, t)
	}
	return all, nil
}
