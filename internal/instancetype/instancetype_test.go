package instancetype

import (
	"errors"
	"slices"
	"strconv"
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
		{"m7i.48xlarge", 192, 96, 786432, 15, 50, 737, 250, 95690 + 95760, 786432 - 255 - 8107 - 100, "50 Gigabit", "nitro", false},
		{"m7a.medium", 1, 1, 4096, 2, 4, 8, 8, 940, 4096 - 255 - 88 - 100, "Up to 12.5 Gigabit", "nitro", false},
		{"r5.metal", 96, 48, 786432, 15, 50, 737, 250, 95690, 786432 - 255 - 8107 - 100, "25 Gigabit", "", false},
	} {
		t.Run(tc.name, func(t *testing.T) {
			got, err := Lookup(tc.name)
			if err != nil {
				t.Fatal(err)
			}
			want := Type{
				Name: tc.name, VCPUs: tc.vcpus, Cores: tc.cores, MemoryMiB: tc.mib, ENIs: tc.enis, IPv4PerENI: tc.ips,
				Architecture: "x86_64", Hypervisor: tc.hypervisor, Network: tc.network,
				BaselineMbps: got.BaselineMbps, Manufacturer: got.Manufacturer, EBS: got.EBS,
			}
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
	"t2":       "nano micro small medium large xlarge 2xlarge",
	"t3":       "nano micro small medium large xlarge 2xlarge",
	"t3a":      "nano micro small medium large xlarge 2xlarge",
	"m5":       "large xlarge 2xlarge 4xlarge 8xlarge 12xlarge 16xlarge 24xlarge metal",
	"m5a":      "large xlarge 2xlarge 4xlarge 8xlarge 12xlarge 16xlarge 24xlarge",
	"m6i":      "large xlarge 2xlarge 4xlarge 8xlarge 12xlarge 16xlarge 24xlarge 32xlarge metal",
	"m6a":      "large xlarge 2xlarge 4xlarge 8xlarge 12xlarge 16xlarge 24xlarge 32xlarge 48xlarge metal",
	"m7i":      "large xlarge 2xlarge 4xlarge 8xlarge 12xlarge 16xlarge 24xlarge metal-24xl 48xlarge metal-48xl",
	"m7i-flex": "large xlarge 2xlarge 4xlarge 8xlarge 12xlarge 16xlarge",
	"m7a":      "medium large xlarge 2xlarge 4xlarge 8xlarge 12xlarge 16xlarge 24xlarge 32xlarge 48xlarge metal-48xl",
	"c5":       "large xlarge 2xlarge 4xlarge 9xlarge 12xlarge 18xlarge 24xlarge metal",
	"c5a":      "large xlarge 2xlarge 4xlarge 8xlarge 12xlarge 16xlarge 24xlarge",
	"c6i":      "large xlarge 2xlarge 4xlarge 8xlarge 12xlarge 16xlarge 24xlarge 32xlarge metal",
	"c6a":      "large xlarge 2xlarge 4xlarge 8xlarge 12xlarge 16xlarge 24xlarge 32xlarge 48xlarge metal",
	"c7i":      "large xlarge 2xlarge 4xlarge 8xlarge 12xlarge 16xlarge 24xlarge metal-24xl 48xlarge metal-48xl",
	"c7i-flex": "large xlarge 2xlarge 4xlarge 8xlarge 12xlarge 16xlarge",
	"c7a":      "medium large xlarge 2xlarge 4xlarge 8xlarge 12xlarge 16xlarge 24xlarge 32xlarge 48xlarge metal-48xl",
	"r5":       "large xlarge 2xlarge 4xlarge 8xlarge 12xlarge 16xlarge 24xlarge metal",
	"r5a":      "large xlarge 2xlarge 4xlarge 8xlarge 12xlarge 16xlarge 24xlarge",
	"r6i":      "large xlarge 2xlarge 4xlarge 8xlarge 12xlarge 16xlarge 24xlarge 32xlarge metal",
	"r6a":      "large xlarge 2xlarge 4xlarge 8xlarge 12xlarge 16xlarge 24xlarge 32xlarge 48xlarge metal",
	"r7i":      "large xlarge 2xlarge 4xlarge 8xlarge 12xlarge 16xlarge 24xlarge metal-24xl 48xlarge metal-48xl",
	"r7a":      "medium large xlarge 2xlarge 4xlarge 8xlarge 12xlarge 16xlarge 24xlarge 32xlarge 48xlarge metal-48xl",
}

func TestTableIsConsistent(t *testing.T) {
	bySize := map[string][]string{}
	seen := map[string]bool{}
	gib := map[byte]int{'m': 4, 'c': 2, 'r': 8} // GiB per vCPU
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
		if threads := ty.ThreadsPerCore(); slices.Contains([]string{"t2", "m7a", "c7a", "r7a"}, ty.Family()) != (threads == 1) && ty.VCPUs > 1 || threads > 2 {
			t.Errorf("%s: %d threads per core", ty.Name, threads)
		}
		if per, ok := gib[ty.Name[0]]; ok && ty.MemoryMiB != ty.VCPUs*per*1024 {
			t.Errorf("%s: %d MiB for %d vCPUs", ty.Name, ty.MemoryMiB, ty.VCPUs)
		}
		wantHypervisor := "nitro"
		switch {
		case ty.Family() == "t2":
			wantHypervisor = "xen"
		case strings.HasPrefix(ty.Size(), "metal"):
			wantHypervisor = ""
		}
		if ty.Hypervisor != wantHypervisor {
			t.Errorf("%s: hypervisor %q", ty.Name, ty.Hypervisor)
		}
		if full, ok := strings.CutSuffix(ty.Network, " Gigabit"); ok && !strings.HasPrefix(full, "Up to") {
			if gbit, err := strconv.ParseFloat(full, 64); err != nil || int(gbit*1000) != ty.BaselineMbps {
				t.Errorf("%s: %s, and a baseline of %d Mbit/s", ty.Name, ty.Network, ty.BaselineMbps)
			}
		}
		if amd := strings.Contains(ty.Family()[2:], "a"); amd != (ty.Manufacturer == "AMD") || !amd && ty.Manufacturer != "Intel" {
			t.Errorf("%s: made by %q", ty.Name, ty.Manufacturer)
		}
		if e := ty.EBS; (e == EBS{}) != (ty.Family() == "t2") || e.BaselineMbps > e.MaxMbps || e.BaselineIOPS > e.MaxIOPS {
			t.Errorf("%s: %+v", ty.Name, e)
		}
		if ty.Generation() != int(ty.Name[1]-'0') {
			t.Errorf("%s is of generation %d", ty.Name, ty.Generation())
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

const families = "t2, t3, t3a, m5, m5a, m6i, m6a, m7i, m7i-flex, m7a, c5, c5a, c6i, c6a, c7i, c7i-flex, c7a, r5, r5a, r6i, r6a, r7i, r7a"

func TestLookupUnknown(t *testing.T) {
	for _, tc := range []struct{ name, want string }{
		{"t3.meduim", `unknown instance type "t3.meduim": near it there are t3.nano, t3.micro, t3.small, t3.medium, t3.large, t3.xlarge, t3.2xlarge`},
		{"T3.Medium", `unknown instance type "T3.Medium": near it there are t3.medium`},
		{"t4.micro", `unknown instance type "t4.micro": near it there are t2.micro, t3.micro, t3a.micro`},
		{"p5.42xlarge", `unknown instance type "p5.42xlarge": there are the families ` + families},
		{"", `unknown instance type "": there are the families ` + families},
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
		{columns + "\nt3.nano\t2", "line 2: want 14 columns"},
		{columns + "\nt3.nano\t2\t1\t512\tmany\t2\tnitro\tLow\t1\tIntel\t0\t0\t0\t0", "line 2: column 5"},
		{columns + "\nt3.nano\t2\t0\t512\t2\t2\tnitro\tLow\t1\tIntel\t0\t0\t0\t0", "line 2: column 3"},
	} {
		if _, err := parse(tc.tsv); err == nil || !strings.Contains(err.Error(), tc.want) {
			t.Errorf("parse(%q) = %v, want %q", tc.tsv, err, tc.want)
		}
	}
}

func TestARM(t *testing.T) {
	for name, want := range map[string]bool{
		"t4g.small": true, "m7gd.large": true, "c7gn.xlarge": true, "a1.metal": true, "im4gn.large": true, "x2gd.medium": true,
		"m6i.large": false, "g5.xlarge": false, "c6in.large": false, "t3": false, "": false, "gr6.4xlarge": false,
	} {
		if got := ARM(name); got != want {
			t.Errorf("ARM(%q) = %v", name, got)
		}
	}
}
