package eks_test

import (
	"errors"
	"net/netip"
	"regexp"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/tarn-eks/tarn/internal/service/eks"
	"github.com/tarn-eks/tarn/internal/store"
	"github.com/tarn-eks/tarn/internal/store/storetest"
)

var netips = cmp.Options{
	cmp.Comparer(func(a, b netip.Addr) bool { return a == b }),
	cmp.Comparer(func(a, b netip.Prefix) bool { return a == b }),
}

func TestCreateCluster(t *testing.T) {
	s := eks.New(storetest.Open(t).Client())
	in := eks.Cluster{
		Name: "eks-work", Version: "1.37", VPC: "vpc-1", Subnets: []string{"subnet-1"},
		Address: netip.MustParseAddr("192.168.3.4"), ServiceCIDR: netip.MustParsePrefix("10.100.0.0/16"),
		Tags: map[string]string{"a": "b"},
	}
	made, err := s.CreateCluster(t.Context(), in)
	if err != nil {
		t.Fatal(err)
	}
	if !regexp.MustCompile(`^[0-9A-F]{32}$`).MatchString(made.ID) || made.Created.IsZero() {
		t.Errorf("id %q, created %s", made.ID, made.Created)
	}
	kept, err := s.Clusters.Get(t.Context(), "eks-work")
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(made, kept.Value, netips); diff != "" {
		t.Error(diff)
	}
	in.ID, in.Created = made.ID, made.Created
	if diff := cmp.Diff(in, made, netips); diff != "" {
		t.Errorf("what was asked for: %s", diff)
	}

	again := in
	again.Version = "1.36"
	if _, err := s.CreateCluster(t.Context(), again); !errors.Is(err, store.ErrExists) {
		t.Errorf("a second cluster of the name: %v", err)
	}
	if kept, err = s.Clusters.Get(t.Context(), "eks-work"); err != nil || kept.Value.Version != "1.37" {
		t.Errorf("the first one is now %+v, %v", kept.Value, err)
	}
	in.Name = "other"
	other, err := s.CreateCluster(t.Context(), in)
	if err != nil || other.ID == made.ID {
		t.Errorf("another cluster: %+v, %v", other, err)
	}
}

func TestCreateNodegroup(t *testing.T) {
	s := eks.New(storetest.Open(t).Client())
	in := eks.Nodegroup{
		Cluster: "eks-work", Name: "workers", Managed: true, InstanceType: "t3.medium", Min: 3, Max: 5, Desired: 3,
		VolumeGiB: 80, Spot: true, Labels: map[string]string{"a": "b"}, Taints: []eks.Taint{{Key: "k", Value: "v", Effect: "NoSchedule"}},
		Tags: map[string]string{"c": "d"}, Subnets: []string{"subnet-1"},
	}
	made, err := s.CreateNodegroup(t.Context(), in)
	if err != nil {
		t.Fatal(err)
	}
	if !regexp.MustCompile(`^eks-workers-[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$`).MatchString(made.GroupName) {
		t.Errorf("the Auto Scaling group's name is %q", made.GroupName)
	}
	kept, err := s.Nodegroups.Get(t.Context(), "eks-work/workers")
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(made, kept.Value); diff != "" {
		t.Error(diff)
	}
	in.GroupName, in.Created = made.GroupName, made.Created
	if diff := cmp.Diff(in, made); diff != "" {
		t.Errorf("what was asked for: %s", diff)
	}
	if _, err := s.CreateNodegroup(t.Context(), in); !errors.Is(err, store.ErrExists) {
		t.Errorf("a second node group of the name: %v", err)
	}
	in.Cluster = "other"
	if _, err := s.CreateNodegroup(t.Context(), in); err != nil {
		t.Errorf("a node group of the name in another cluster: %v", err)
	}
}

func TestScaleNodegroup(t *testing.T) {
	s := eks.New(storetest.Open(t).Client())
	before, err := s.CreateNodegroup(t.Context(), eks.Nodegroup{Cluster: "c", Name: "g", Min: 1, Max: 3, Desired: 2, InstanceType: "t3.small"})
	if err != nil {
		t.Fatal(err)
	}
	for _, test := range []struct {
		name string
		to   eks.Scaling
		want error
	}{
		{"larger", eks.Scaling{Min: 3, Max: 5, Desired: 4}, nil},
		{"all the same", eks.Scaling{Min: 2, Max: 2, Desired: 2}, nil},
		{"to none, and able to grow", eks.Scaling{Min: 0, Max: 1, Desired: 0}, nil},
		{"desired below the minimum", eks.Scaling{Min: 2, Max: 3, Desired: 1}, eks.ErrScaling},
		{"desired above the maximum", eks.Scaling{Min: 1, Max: 3, Desired: 4}, eks.ErrScaling},
		{"minimum above the maximum", eks.Scaling{Min: 4, Max: 3, Desired: 4}, eks.ErrScaling},
		{"negative", eks.Scaling{Min: -1, Max: 3, Desired: 0}, eks.ErrScaling},
		{"a maximum of none", eks.Scaling{}, eks.ErrScaling}, // EKS: at least 1
	} {
		got, err := s.ScaleNodegroup(t.Context(), "c", "g", test.to)
		if !errors.Is(err, test.want) {
			t.Errorf("%s: %v", test.name, err)
		}
		want := before
		if test.want == nil {
			want.Min, want.Max, want.Desired = test.to.Min, test.to.Max, test.to.Desired
			if diff := cmp.Diff(want, got); diff != "" {
				t.Errorf("%s: %s", test.name, diff)
			}
		}
		kept, err := s.Nodegroups.Get(t.Context(), "c/g")
		if err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(want, kept.Value); diff != "" {
			t.Errorf("%s: kept: %s", test.name, diff)
		}
		before = kept.Value
	}
	if _, err := s.ScaleNodegroup(t.Context(), "c", "missing", eks.Scaling{Min: 1, Max: 1, Desired: 1}); !errors.Is(err, store.ErrNotFound) {
		t.Errorf("a node group that does not exist: %v", err)
	}
}
