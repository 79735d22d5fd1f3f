// Package provisioning is the loop that makes EKS's clusters and add-ons so: it
// reads their desired states, gives a cluster what it needs in its VPC, has a
// Host run the control plane and apply add-ons, and notes how it went. It knows
// neither processes nor Kubernetes: that is the Host's.
package provisioning

import (
	"context"
	"fmt"
	"net/netip"

	eksapi "github.com/tarn-eks/tarn/internal/api/eks"
	"github.com/tarn-eks/tarn/internal/service/eks"
)

// Host runs control planes. Its methods are called for several clusters at once,
// and for one cluster one after the other.
type Host interface {
	// Start runs the cluster's control plane as the cluster says, or finds it run,
	// and returns when its API server is ready. It is called again after each
	// change of the cluster.
	Start(ctx context.Context, c eks.Cluster) (eks.Endpoint, error)
	// Stop ends the control plane and removes all that it had. It returns nil if
	// there is nothing left of it.
	Stop(ctx context.Context, c eks.Cluster) error
	// ApplyAddons applies add-ons to a cluster that was started, and removes those
	// that are DELETING (without Preserve). It is harmless when run again. It does
	// not wait for pods: while too few run, it returns an *eks.AddonError that
	// says so, and is asked again.
	ApplyAddons(ctx context.Context, c eks.Cluster, addons []eks.Addon) error
}

// Network gives clusters what they have in their VPC.
type Network interface {
	// EnsureSecurityGroup makes the cluster security group: named
	// c.SecurityGroupName(), tagged aws:eks:cluster-name and
	// kubernetes.io/cluster/<name>=owned, open to itself inside and to all
	// outside. It finds the one that an earlier call has made.
	EnsureSecurityGroup(ctx context.Context, c eks.Cluster) (id string, err error)
	// EnsureInterface makes the control plane's network interface in one of the
	// cluster's subnets, with its security groups and c.Network.SecurityGroup,
	// described as "Amazon EKS <name>". It finds the one that an earlier call has made.
	EnsureInterface(ctx context.Context, c eks.Cluster) (id string, address netip.Addr, err error)
	// Remove removes all that these calls have made for the cluster, whether
	// c.Network has it or not. It returns nil if there is nothing left.
	Remove(ctx context.Context, c eks.Cluster) error
}

// Act is what a cluster's state asks for.
type Act int

// Acts, for what Decide returns.
const (
	Nothing Act = iota
	Start
	Apply // add-ons
	Stop
)

// Known is what this process has done for a cluster.
type Known struct {
	Generation int             // of the cluster, when it was last started; 0 is never
	Applied    map[string]bool // add-ons, by mark
	Stopped    bool
}

// keep forgets what is not among the add-ons any more: one that comes back is to
// be applied again.
func (k *Known) keep(addons []eks.Addon) {
	applied := map[string]bool{}
	for _, a := range addons {
		if m := mark(a); k.Applied[m] {
			applied[m] = true
		}
	}
	k.Applied = applied
}

// mark tells an add-on's states apart.
func mark(a eks.Addon) string {
	return fmt.Sprintf("%s/%s/%d/%t", a.Name, a.ID, a.Generation, a.SelfManaged)
}

// Decide says what to do about a cluster with its add-ons; groups is how many
// node groups it has.
func Decide(c eks.Cluster, groups int, addons []eks.Addon, k Known) (Act, []eks.Addon) {
	switch {
	case c.Status == eks.Failed:
		return Nothing, nil
	case c.Status == eks.Deleting && (groups > 0 || k.Stopped):
		return Nothing, nil
	case c.Status == eks.Deleting:
		return Stop, nil
	case k.Generation != c.Generation:
		return Start, nil
	}
	var due []eks.Addon
	for _, a := range addons {
		if !k.Applied[mark(a)] {
			due = append(due, a)
		}
	}
	if len(due) == 0 {
		return Nothing, nil
	}
	return Apply, due
}

// start brings the cluster's control plane up, with the steps before it that
// are missing. Each is recorded before the next.
func (l *Loop) start(ctx context.Context, c eks.Cluster) error {
	n := c.Network
	var err error
	if n.SecurityGroup == "" {
		if n.SecurityGroup, err = l.Network.EnsureSecurityGroup(ctx, c); err != nil {
			return fmt.Errorf("making the cluster security group: %w", err)
		}
		if c, err = l.EKS.SetClusterNetwork(ctx, c, n); err != nil {
			return err
		}
	}
	if n.Interface == "" {
		if n.Interface, n.Address, err = l.Network.EnsureInterface(ctx, c); err != nil {
			return fmt.Errorf("making the control plane's network interface: %w", err)
		}
		if c, err = l.EKS.SetClusterNetwork(ctx, c, n); err != nil {
			return err
		}
	}
	endpoint, err := l.Host.Start(ctx, c)
	if err != nil {
		return fmt.Errorf("starting the control plane: %w", err)
	}
	return l.EKS.ClusterStarted(ctx, c, endpoint)
}

// stop removes a cluster.
func (l *Loop) stop(ctx context.Context, c eks.Cluster) error {
	if err := l.Host.Stop(ctx, c); err != nil {
		return fmt.Errorf("stopping the control plane: %w", err)
	}
	if err := l.Network.Remove(ctx, c); err != nil {
		return fmt.Errorf("removing what it had in the VPC: %w", err)
	}
	return l.EKS.ForgetCluster(ctx, c)
}

// issue is a failure as the cluster's health shows it.
func issue(err error) eks.Issue {
	return eks.Issue{Code: string(eksapi.ClusterIssueCodeOther), Message: err.Error()}
}
