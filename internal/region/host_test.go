package region

import (
	"net/netip"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/tarn-eks/tarn/internal/cluster"
	"github.com/tarn-eks/tarn/internal/instance"
	"github.com/tarn-eks/tarn/internal/service/ec2"
)

// sameAddress compares addresses and prefixes, which hide what they are.
var sameAddress = cmp.Options{
	cmp.Comparer(func(a, b netip.Addr) bool { return a == b }),
	cmp.Comparer(func(a, b netip.Prefix) bool { return a == b }),
}

func TestMachineOfAnInstance(t *testing.T) {
	r := newRegion(t)
	carried := instance.Programs{Shim: []byte("shim"), CNI: []byte("cni")}
	h := &host{layout: r.layout, region: "ap-northeast-2", programs: func() (instance.Programs, error) { return carried, nil }}
	i := ec2.Instance{
		ID: "i-1", Type: "t3.medium", Zone: "ap-northeast-2a", PrivateDNSName: "ip-192-168-1-2.ap-northeast-2.compute.internal",
		Address: addr("192.168.1.2"), PodAddresses: []netip.Addr{addr("192.168.1.3")}, VolumeGiB: 20,
		Bootstrap: ec2.Bootstrap{Labels: map[string]string{"mine": "x"}, Taints: []ec2.Taint{{Key: "k", Effect: "NoSchedule"}}, MaxPods: 17},
	}
	n := &network{record: ec2.VPC{CIDR: netip.MustParsePrefix("192.168.0.0/16")}}
	joins := &cluster.Config{ServiceCIDR: netip.MustParsePrefix("10.100.0.0/16")}
	m, err := h.machine(i, n, joins)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(carried, m.Programs); diff != "" {
		t.Errorf("its programs: %s", diff)
	}
	want := instance.Config{
		ID: "i-1", NodeName: i.PrivateDNSName, Region: "ap-northeast-2", Zone: "ap-northeast-2a",
		Capacity: instance.Capacity{VCPU: 2, MemoryMiB: 4096, MaxPods: 17, ReservedCPUMilli: 70, ReservedMemoryMiB: 442, VolumeGiB: 20},
		Address:  i.Address, PodAddresses: i.PodAddresses, MTU: 9001, Resolver: addr("192.168.0.2"), Node: true, ClusterDNS: addr("10.100.0.10"),
		Labels: map[string]string{
			"mine": "x", "beta.kubernetes.io/instance-type": "t3.medium", "node.kubernetes.io/instance-type": "t3.medium",
			"failure-domain.beta.kubernetes.io/region": "ap-northeast-2", "topology.kubernetes.io/region": "ap-northeast-2",
			"failure-domain.beta.kubernetes.io/zone": "ap-northeast-2a", "topology.kubernetes.io/zone": "ap-northeast-2a",
		},
		Taints: []instance.Taint{{Key: "k", Effect: "NoSchedule"}}, Registry: "http://192.168.0.3",
		PauseImage: "602401143452.dkr.ecr.ap-northeast-2.amazonaws.com/eks/pause:3.10", Cgroup: r.layout.cgroup() + "/i-1",
	}
	if diff := cmp.Diff(want, m.Config, sameAddress); diff != "" {
		t.Error(diff)
	}
	if len(i.Bootstrap.Labels) != 1 {
		t.Error("the instance's own labels were changed")
	}
	// What ends it must find what was made.
	if left := h.remains("i-1"); left.Namespaces != m.Namespaces || left.Config.Cgroup != m.Config.Cgroup {
		t.Errorf("%+v remain of %+v", left.Namespaces, m.Namespaces)
	}
	// One that joins no cluster runs no kubelet.
	if m, err = h.machine(i, n, nil); err != nil || m.Config.Node || m.Config.ClusterDNS.IsValid() {
		t.Errorf("without a cluster: %+v, %v", m.Config, err)
	}
	i.Bootstrap.ClusterDNS = addr("169.254.20.10") // NodeLocal DNSCache's
	if m, err = h.machine(i, n, joins); err != nil || m.Config.ClusterDNS != i.Bootstrap.ClusterDNS {
		t.Errorf("with a DNS server of its own: %v, %v", m.Config.ClusterDNS, err)
	}
	i.Bootstrap.Labels = nil
	if m, err = h.machine(i, n, joins); err != nil || len(m.Config.Labels) != 6 {
		t.Errorf("without labels of its own: %v, %v", m.Config.Labels, err)
	}
	i.Type = "t3.nothing"
	if _, err := h.machine(i, n, joins); err == nil {
		t.Error("a machine of no type")
	}
}
