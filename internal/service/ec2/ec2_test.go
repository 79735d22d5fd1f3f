package ec2_test

import (
	"net/netip"
	"regexp"
	"testing"

	"github.com/tarn-eks/tarn/internal/service/ec2"
	"github.com/tarn-eks/tarn/internal/store"
	"github.com/tarn-eks/tarn/internal/store/storetest"
	"github.com/tarn-eks/tarn/internal/subnet"
)

var zones = []string{"ap-northeast-2a", "ap-northeast-2b", "ap-northeast-2c"}

func service(t testing.TB, region string) *ec2.Service {
	t.Helper()
	s, err := ec2.New(ec2.Config{Client: storetest.Open(t).Client(), Account: account, Region: region, Profiles: profiles{}})
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// withVPC is a service with a VPC and its first subnet.
func withVPC(t testing.TB, region, cidr string) (*ec2.Service, ec2.Subnet) {
	t.Helper()
	s := service(t, region)
	_, subnets, err := s.CreateVPC(t.Context(), netip.MustParsePrefix(cidr), zones, nil)
	if err != nil {
		t.Fatal(err)
	}
	return s, subnets[0]
}

func run(t *testing.T, s *ec2.Service, in ec2.LaunchInput) []ec2.Instance {
	t.Helper()
	instances, err := s.Launch(t.Context(), in)
	if err != nil {
		t.Fatal(err)
	}
	return instances
}

func enis(t *testing.T, s *ec2.Service) []store.Item[ec2.NetworkInterface] {
	t.Helper()
	items, _, err := s.ENIs.List(t.Context(), "")
	if err != nil {
		t.Fatal(err)
	}
	return items
}

func get(t *testing.T, s *ec2.Service, id string) store.Item[ec2.Instance] {
	t.Helper()
	item, err := s.Instances.Get(t.Context(), id)
	if err != nil {
		t.Fatal(err)
	}
	return item
}

// checkID wants an id as EC2 makes them.
func checkID(t *testing.T, kind, id string) {
	t.Helper()
	if !regexp.MustCompile("^" + kind + "-[0-9a-f]{17}$").MatchString(id) {
		t.Errorf("%q is no id of kind %s", id, kind)
	}
}

// checkAddresses wants what no two interfaces share, and what the subnet may give.
func checkAddresses(t *testing.T, s *ec2.Service, in ec2.Subnet) {
	t.Helper()
	owner := map[netip.Addr]string{}
	for _, item := range enis(t, s) {
		for _, a := range item.Value.Addresses {
			if other, ok := owner[a]; ok {
				t.Errorf("%s belongs to %s and to %s", a, other, item.Key)
			}
			owner[a] = item.Key
			if last := subnet.Nth(in.CIDR, uint32(1)<<(32-in.CIDR.Bits())-1); !in.CIDR.Contains(a) || a.Less(subnet.Nth(in.CIDR, 4)) || a == last {
				t.Errorf("%s is not one that %s gives", a, in.CIDR)
			}
		}
	}
}
