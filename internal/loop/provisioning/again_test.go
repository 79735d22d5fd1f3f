package provisioning

import (
	"testing"

	eksapi "github.com/tarn-eks/tarn/internal/api/eks"
	"github.com/tarn-eks/tarn/internal/service/eks"
)

// A cluster that was deleted may be made again with the same id, as a reset does:
// it runs once more, with what it begins with, and can be deleted once more.
func TestMadeAgain(t *testing.T) {
	f := newFixture(t)
	f.create("lake")
	was := f.active("lake")
	f.eventually("what a cluster begins with", func() bool { return f.host.has("lake coredns") })
	f.delete("lake")
	f.gone("lake")
	f.host.mu.Lock()
	f.host.applied = nil
	f.host.mu.Unlock()

	was.Status, was.Network, was.Endpoint = eks.Creating, eks.ClusterNetwork{}, eks.Endpoint{}
	if _, err := f.eks.Clusters.Create(t.Context(), was.Name, was); err != nil {
		t.Fatal(err)
	}
	if c := f.active("lake"); c.ID != was.ID || c.Network.Interface == "" {
		t.Errorf("%+v", c)
	}
	f.eventually("what a cluster begins with, again", func() bool { return f.host.has("lake coredns") })
	f.delete("lake")
	f.gone("lake")
	f.empty()
}

// What a cluster began with is applied again when it comes back after it was EKS's.
func TestSelfManagedAgain(t *testing.T) {
	f := newFixture(t)
	f.create("lake")
	f.active("lake")
	f.eventually("what a cluster begins with", func() bool { return f.host.has("lake coredns") })
	if _, err := f.eks.CreateAddon(t.Context(), &eksapi.CreateAddonInput{ClusterName: new("lake"), AddonName: new("coredns")}); err != nil {
		t.Fatal(err)
	}
	await(f, f.eks.Addons, "lake/coredns", "ACTIVE", func(a eks.Addon) bool { return a.Status == eks.Active })
	if _, err := f.eks.DeleteAddon(t.Context(), &eksapi.DeleteAddonInput{ClusterName: new("lake"), AddonName: new("coredns")}); err != nil {
		t.Fatal(err)
	}
	f.eventually("its end", func() bool {
		_, err := f.eks.Addons.Get(t.Context(), "lake/coredns")
		return err != nil
	})
	f.host.mu.Lock()
	f.host.applied = nil
	f.host.mu.Unlock()
	if _, err := f.eks.Clusters.Modify(t.Context(), "lake", func(c *eks.Cluster) error {
		c.SelfManaged = append(c.SelfManaged, "coredns")
		return nil
	}); err != nil {
		t.Fatal(err)
	}
	f.eventually("its return", func() bool { return f.host.has("lake coredns") })
}
