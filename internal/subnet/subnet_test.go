package subnet

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"net/netip"
	"strings"
	"testing"
)

func TestLayout(t *testing.T) {
	tests := []struct {
		cidr  string
		zones string
		want  string // public blocks, then private ones; or the error
	}{
		{"192.168.0.0/16", "a b c", "192.168.0.0/19 192.168.32.0/19 192.168.64.0/19 192.168.96.0/19 192.168.128.0/19 192.168.160.0/19"},
		{"192.168.0.0/16", "a b", "192.168.0.0/19 192.168.32.0/19 192.168.64.0/19 192.168.96.0/19"},
		{"10.0.0.0/16", "a b c d", "10.0.0.0/19 10.0.32.0/19 10.0.64.0/19 10.0.96.0/19 10.0.128.0/19 10.0.160.0/19 10.0.192.0/19 10.0.224.0/19"},
		{"10.0.0.0/16", "a b c d e", "10.0.0.0/20 10.0.16.0/20 10.0.32.0/20 10.0.48.0/20 10.0.64.0/20 10.0.80.0/20 10.0.96.0/20 10.0.112.0/20 10.0.128.0/20 10.0.144.0/20"},
		{"10.1.2.0/24", "a", "10.1.2.0/27 10.1.2.32/27"},
		{"10.0.0.0/15", "a", "error: the prefix must be between /16 and /24"},
		{"10.0.0.0/25", "a", "error: the prefix must be between /16 and /24"},
		{"10.0.0.1/16", "a", "error: 10.0.0.0/16 is meant"},
		{"fd00::/16", "a", "error: must be an IPv4 block"},
		{"10.0.0.0/16", "", "error: without an availability zone"},
		{"10.0.0.0/16", "a b a", "error: zone a is named twice"},
		{"10.0.0.0/16", "a b c d e f g h i", "error: cannot create more than 16 subnets, 18 requested"},
	}
	for _, tt := range tests {
		t.Run(tt.cidr+" "+tt.zones, func(t *testing.T) {
			zones := strings.Fields(tt.zones)
			subnets, err := Layout(netip.MustParsePrefix(tt.cidr), zones)
			if msg, ok := strings.CutPrefix(tt.want, "error: "); ok {
				if err == nil || !strings.Contains(err.Error(), msg) {
					t.Fatalf("error %v, want %q", err, msg)
				}
				return
			}
			if err != nil {
				t.Fatal(err)
			}
			var got []string
			for i, s := range subnets {
				got = append(got, s.CIDR.String())
				if s.Public != (i < len(zones)) || s.Zone != zones[i%len(zones)] {
					t.Errorf("subnet %d: %+v", i, s)
				}
			}
			if strings.Join(got, " ") != tt.want {
				t.Errorf("got %v", got)
			}
		})
	}
}

func TestSubnetAddresses(t *testing.T) {
	s := Subnet{CIDR: netip.MustParsePrefix("192.168.32.0/19")}
	if got := s.Router().String(); got != "192.168.32.1" {
		t.Errorf("router %s", got)
	}
	if got := s.Free(); got != 8187 {
		t.Errorf("%d free addresses, AWS says 8187", got)
	}
	if got := Resolver(netip.MustParsePrefix("192.168.0.0/16")).String(); got != "192.168.0.2" {
		t.Errorf("resolver %s", got)
	}
}

func TestAllocate(t *testing.T) {
	subnet := Subnet{CIDR: netip.MustParsePrefix("10.1.2.0/27")} // 32 - 5 = 27 to give
	for _, seed := range []uint64{1, 2, 3, 4, 5} {
		random := rand.New(rand.NewPCG(seed, seed))
		taken := make(map[netip.Addr]bool)
		isTaken := func(a netip.Addr) bool { return taken[a] }
		for _, n := range []int{0, 1, 18, 8} {
			addrs, err := Allocate(subnet, isTaken, n, random)
			if err != nil {
				t.Fatal(err)
			}
			if len(addrs) != n {
				t.Fatalf("%d addresses, want %d", len(addrs), n)
			}
			for _, a := range addrs {
				last := a.As4()[3]
				if taken[a] || !subnet.CIDR.Contains(a) || last < 4 || last == 31 {
					t.Errorf("seed %d: got %s: taken %v", seed, a, taken[a])
				}
				taken[a] = true
			}
		}
		for _, n := range []int{1, 27, 28, -1} {
			if _, err := Allocate(subnet, isTaken, n, random); !errors.Is(err, ErrFull) {
				t.Errorf("%d of a full subnet: %v", n, err)
			}
		}
	}
}

func TestAllocateFollowsTheDice(t *testing.T) {
	subnet := Subnet{CIDR: netip.MustParsePrefix("192.168.0.0/19")}
	get := func(seed uint64) string {
		addrs, err := Allocate(subnet, func(netip.Addr) bool { return false }, 18, rand.New(rand.NewPCG(seed, 0)))
		if err != nil {
			t.Fatal(err)
		}
		return fmt.Sprint(addrs)
	}
	first := get(1)
	if get(1) != first {
		t.Error("same dice, other addresses")
	}
	if get(2) == first {
		t.Error("other dice, same addresses")
	}
}
