package instancetype

import (
	"errors"
	"slices"
	"strings"
	"testing"
)

func TestKnownTypes(t *testing.T) {
	for _, tc := range []struct {
		name                              string
		vcpus, cores, mib, enis, ips      int
		pods, managed, cpuMilli, allocMiB int
		network, hypervisor               string
		burstable                         bool
	}{
		{"t3.small", 2, 1, 2048, 3, 4, 11, 11, 1930, 2048 - 255 - 121 - 100, "Up to 5 Gigabit", "nitro", true},
		{"t3.medium", 2, 1, 4096, 3, 6, 17, 17, 1930, 3554, "Up to 5 Gigabit", "nitro", true},
		{"t3.large", 2, 1, 8192, 3, 12, 35, 35, 1930, 8192 - 255 - 385 - 100, "Up to 5 Gigabit", "nitro", true},
		{"t3a.small", 2, 1, 2048, 2, 4, 8, 8, 1930, 2048 - 255 - 88 - 100, "Up to 5 Gigabit", "nitro", true},
		{"t2.micro", 1, 1, 1024, 2, 2, 4, 4, 940, 1024 - 255 - 44 - 100, "Low to Moderate", "xen", true},
		{"m5.large", 2, 1, 8192, 3, 10, 29, 29, 1930, 8192 - 255 - 319 - 100, "Up to 10 Gigabit", "nitro", false},
		{"c5.xlarge", 4, 2, 8192, 4, 15, 58, 58, 3920, 8192 - 255 - 638 - 100, "Up to 10 Gigabit", "nitro", false},
		{"c5.9xlarge", 36, 18, 73728, 8, 30, 234, 234, 35840, 73728 - 255 - 2574 - 100, "12 Gigabit", "nitro", false},
		{"m6i.4xlarge", 16, 8, 65536, 8, 30, 234, 110, 15890, 65536 - 255 - 2574 - 100, "Up to 12.5 Gigabit", "nitro", false},
		{"r5.metal", 96, 48, 786432, 15, 50, 737, 250, 95690, 786432 - 255 - 8107 - 100, "25 Gigabit", "", false},
	} {
		t.Run(tc.name, func(t *testing.T) {
			got, err := Lookup(tc.name)
			if err != nil {
				t.Fatal(err)
			}
			want := Type{tc.name, tc.vcpus, tc.cores, tc.mib, tc.enis, tc.ips, "x86_64", tc.hypervisor, tc.network}
			if got != want {
				t.Errorf("Lookup = %+v\nwant     %+v", got, want)
			}
			if got.MaxPods() != tc.pods || got.ManagedMaxPods() != tc.managed {
				t.Errorf("pods = %d, managed %d; want %d, %d", got.MaxPods(), got.ManagedMaxPods(), tc.pods, tc.managed)
			}
			if a := got.Allocatable(); a != (Resources{tc.cpuMilli, tc.allocMiB}) {
				t.Errorf("Allocatable = %+v; want %d m, %d MiB", a, tc.cpuMilli, tc.allocMiB)
			}
			if got.Burstable() != tc.burstable || got.BareMetal() != (tc.hypervisor == "") {
				t.Errorf("burstable %v, bare metal %v", got.Burstable(), got.BareMetal())
			}
		})
	}
}

func TestReservedCPU(t *testing.T) {
	for vcpus, want := range map[int]int{0: 0, 1: 60, 2: 70, 3: 75, 4: 80, 8: 90, 16: 110, 36: 160, 96: 310, 128: 390} {
		if got := ReservedCPUMilli(vcpus); got != want {
			t.Errorf("ReservedCPUMilli(%d) = %d, want %d", vcpus, got, want)
		}
	}
}

// sizes is what AWS offers; a row that goes missing or is invented shows here.
var sizes = map[string]string{
	"t2":  "nano micro small medium large xlarge 2xlarge",
	"t3":  "nano micro small medium large xlarge 2xlarge",
	"t3a": "nano micro small medium large xlarge 2xlarge",
	"m5":  "large xlarge 2xlarge 4xlarge 8xlarge 12xlarge 16xlarge 24xlarge metal",
	"m6i": "large xlarge 2xlarge 4xlarge 8xlarge 12xlarge 16xlarge 24xlarge 32xlarge metal",
	"c5":  "large xlarge 2xlarge 4xlarge 9xlarge 12xlarge 18xlarge 24xlarge metal",
	"c6i": "large xlarge 2xlarge 4xlarge 8xlarge 12xlarge 16xlarge 24xlarge 32xlarge metal",
	"r5":  "large xlarge 2xlarge 4xlarge 8xlarge 12xlarge 16xlarge 24xlarge metal",
}

func TestTableIsConsistent(t *testing.T) {
	bySize := map[string][]string{}
	seen := map[string]bool{}
	gib := map[string]int{"m5": 4, "m6i": 4, "c5": 2, "c6i": 2, "r5": 8} // GiB per vCPU
	var last Type
	for _, ty := range All() {
		if seen[ty.Name] {
			t.Errorf("%s is there twice", ty.Name)
		}
		seen[ty.Name] = true
		bySize[ty.Family()] = append(bySize[ty.Family()], ty.Size())
		if ty.Cores*ty.ThreadsPerCore() != ty.VCPUs {
			t.Errorf("%s: %d cores do not divide %d vCPUs", ty.Name, ty.Cores, ty.VCPUs)
		}
		if threads := ty.ThreadsPerCore(); (ty.Family() == "t2") != (threads == 1) || threads > 2 {
			t.Errorf("%s: %d threads per core", ty.Name, threads)
		}
		if per, ok := gib[ty.Family()]; ok && ty.MemoryMiB != ty.VCPUs*per*1024 {
			t.Errorf("%s: %d MiB for %d vCPUs", ty.Name, ty.MemoryMiB, ty.VCPUs)
		}
		wantHypervisor := "nitro"
		switch {
		case ty.Family() == "t2":
			wantHypervisor = "xen"
		case ty.Size() == "metal":
			wantHypervisor = ""
		}
		if ty.Hypervisor != wantHypervisor {
			t.Errorf("%s: hypervisor %q", ty.Name, ty.Hypervisor)
		}
		if ty.Network == "" || ty.Architecture != "x86_64" {
			t.Errorf("%s: network %q, architecture %q", ty.Name, ty.Network, ty.Architecture)
		}
		if last.Family() == ty.Family() && (ty.VCPUs < last.VCPUs || ty.MemoryMiB < last.MemoryMiB || ty.MaxPods() < last.MaxPods()) {
			t.Errorf("%s is smaller than %s before it", ty.Name, last.Name)
		}
		if ty.ManagedMaxPods() > ty.MaxPods() || ty.MaxPods() < 4 {
			t.Errorf("%s: %d pods, managed %d", ty.Name, ty.MaxPods(), ty.ManagedMaxPods())
		}
		if a := ty.Allocatable(); a.CPUMilli <= 0 || a.MemoryMiB <= 0 {
			t.Errorf("%s: nothing is left for pods: %+v", ty.Name, a)
		}
		last = ty
	}
	for family, want := range sizes {
		if got := strings.Join(bySize[family], " "); got != want {
			t.Errorf("%s has %q, want %q", family, got, want)
		}
	}
	if got := Families(); len(got) != len(sizes) {
		t.Errorf("Families = %q", got)
	}
}

func TestLookupUnknown(t *testing.T) {
	for _, tc := range []struct{ name, want string }{
		{"t3.meduim", `unknown instance type "t3.meduim": near it there are t3.nano, t3.micro, t3.small, t3.medium, t3.large, t3.xlarge, t3.2xlarge`},
		{"T3.Medium", `unknown instance type "T3.Medium": near it there are t3.medium`},
		{"t4.micro", `unknown instance type "t4.micro": near it there are t2.micro, t3.micro, t3a.micro`},
		{"p5.48xlarge", `unknown instance type "p5.48xlarge": there are the families t2, t3, t3a, m5, m6i, c5, c6i, r5`},
		{"", `unknown instance type "": there are the families t2, t3, t3a, m5, m6i, c5, c6i, r5`},
	} {
		_, err := Lookup(tc.name)
		var unknown *UnknownError
		if !errors.As(err, &unknown) || unknown.Name != tc.name || err.Error() != tc.want {
			t.Errorf("Lookup(%q):\n got %v\nwant %s", tc.name, err, tc.want)
		}
	}
}

func TestAllIsACopy(t *testing.T) {
	all := All()
	all[0].Name = "changed"
	if slices.ContainsFunc(All(), func(t Type) bool { return t.Name == "changed" }) {
		t.Error("a caller can change the table")
	}
}

func TestParseRefuses(t *testing.T) {
	for _, tc := range []struct{ tsv, want string }{
		{"", "header"},
		{columns + "\nt3.nano\t2", "line 2: want 8 columns"},
		{columns + "\nt3.nano\t2\t1\t512\tmany\t2\tnitro\tLow", "line 2: column 5"},
		{columns + "\nt3.nano\t2\t0\t512\t2\t2\tnitro\tLow", "line 2: column 3"},
	} {
		if _, err := parse(tc.tsv); err == nil || !strings.Contains(err.Error(), tc.want) {
			t.Errorf("parse(%q) = %v, want %q", tc.tsv, err, tc.want)
		}
	}
}
