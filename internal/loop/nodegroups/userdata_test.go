package nodegroups

import (
	"encoding/base64"
	"net/netip"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"github.com/tarn-eks/tarn/internal/service/eks"
	"github.com/tarn-eks/tarn/internal/userdata"
)

func TestUserData(t *testing.T) {
	c := eks.Cluster{ServiceCIDR: netip.MustParsePrefix("10.100.0.0/16"), Endpoint: eks.Endpoint{URL: "https://x", CA: []byte("ca")}}
	dns := netip.MustParseAddr("10.100.0.10")
	template := &eks.Template{ID: "lt-1", Version: "4"}
	for _, test := range []struct {
		name  string
		n     eks.Nodegroup
		image string
		own   string
		want  userdata.Config
	}{
		{"a managed one", eks.Nodegroup{
			Cluster: "lake", Name: "g", Managed: true, Spot: true, InstanceTypes: []string{"t3.medium"}, Labels: map[string]string{"a": "b", "empty": ""},
			Taints: []eks.Taint{{Key: "k", Value: "v", Effect: "NoSchedule"}, {Key: "bare", Effect: "NoExecute"}},
		}, "ami-1", "", userdata.Config{
			Cluster: "lake", MaxPods: 17, ClusterDNS: dns,
			Labels: map[string]string{
				"a": "b", "empty": "", "eks.amazonaws.com/nodegroup": "g", "eks.amazonaws.com/capacityType": "SPOT", "eks.amazonaws.com/nodegroup-image": "ami-1",
			},
			Taints: []userdata.Taint{{Key: "k", Value: "v", Effect: "NoSchedule"}, {Key: "bare", Effect: "NoExecute"}},
		}},
		{"types that hold different numbers of pods", eks.Nodegroup{Cluster: "lake", Name: "g", InstanceTypes: []string{"t3.medium", "t3.small"}}, "ami-1", "",
			userdata.Config{Cluster: "lake", ClusterDNS: dns}},
		{"its own launch template says more", eks.Nodegroup{Cluster: "lake", Name: "g", Managed: true, InstanceTypes: []string{"t3.medium"}, Template: template}, "",
			"#!/bin/bash\n/etc/eks/bootstrap.sh lake --dns-cluster-ip 10.100.0.99 --kubelet-extra-args '--node-labels=x=y --max-pods=9 --register-with-taints=t=u:NoSchedule'\n",
			userdata.Config{
				Cluster: "lake", MaxPods: 9, ClusterDNS: netip.MustParseAddr("10.100.0.99"),
				Labels: map[string]string{
					"x": "y", "eks.amazonaws.com/nodegroup": "g", "eks.amazonaws.com/capacityType": "ON_DEMAND",
					"eks.amazonaws.com/sourceLaunchTemplateId": "lt-1", "eks.amazonaws.com/sourceLaunchTemplateVersion": "4",
				},
				Taints: []userdata.Taint{{Key: "t", Value: "u", Effect: "NoSchedule"}},
			}},
	} {
		text, err := userData(test.n, c, test.image, base64.StdEncoding.EncodeToString([]byte(test.own)))
		if err != nil {
			t.Errorf("%s: %v", test.name, err)
			continue
		}
		got, err := userdata.Parse(text)
		if err != nil {
			t.Errorf("%s: %v\n%s", test.name, err, text)
		}
		if diff := cmp.Diff(test.want, got, cmpopts.EquateEmpty(), cmp.Comparer(func(a, b netip.Addr) bool { return a == b })); diff != "" {
			t.Errorf("%s: %s\n%s", test.name, diff, text)
		}
		for _, part := range []string{"MIME-Version: 1.0\n", "Content-Type: application/node.eks.aws", "apiServerEndpoint: https://x", "certificateAuthority: Y2E=", "cidr: 10.100.0.0/16"} {
			if !strings.Contains(string(text), part) {
				t.Errorf("%s: it does not say %q: %s", test.name, part, text)
			}
		}
	}
	for _, own := range []string{"?", base64.StdEncoding.EncodeToString([]byte("#cloud-config"))} {
		if text, err := userData(eks.Nodegroup{}, c, "", own); err == nil {
			t.Errorf("of %q it makes %s", own, text)
		}
	}
}
