package region

import (
	"bytes"
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"maps"
	"net/netip"
	"slices"

	eksapi "github.com/tarn-eks/tarn/internal/api/eks"
	elbapi "github.com/tarn-eks/tarn/internal/api/elb"
	"github.com/tarn-eks/tarn/internal/loop/balancing"
	"github.com/tarn-eks/tarn/internal/loop/nodegroups"
	"github.com/tarn-eks/tarn/internal/service/autoscaling"
	"github.com/tarn-eks/tarn/internal/service/ec2"
	"github.com/tarn-eks/tarn/internal/service/eks"
	"github.com/tarn-eks/tarn/internal/service/elb"
	"github.com/tarn-eks/tarn/internal/service/elbv2"
	"github.com/tarn-eks/tarn/internal/store"
)

// running is what runs, or is to.
type running struct {
	clusters  []eks.Cluster
	groups    []eks.Nodegroup
	addons    []eks.Addon
	instances []ec2.Instance
	balancers []elb.LoadBalancer
	apps      []elbv2.LoadBalancer
	enis      []ec2.NetworkInterface
	scaling   []autoscaling.Group
}

// foreign is what of it must end before the baseline can be restored: what is
// not in it, and what is ending already.
func (b belongings) foreign(all running) running {
	var f running
	ending := map[string]bool{} // clusters
	for _, c := range all.clusters {
		if b.clusters[c.Name].ID != c.ID || c.Status == eks.Deleting {
			f.clusters = append(f.clusters, c)
			ending[c.Name] = true
		}
	}
	staying := map[string]bool{} // Auto Scaling groups
	for _, g := range all.groups {
		if b.groups[g.Key()].ID != g.ID || g.Status == eks.Deleting || ending[g.Cluster] {
			f.groups = append(f.groups, g)
			continue
		}
		staying[g.GroupName] = true
	}
	for _, a := range all.addons {
		// They go with their cluster.
		if !ending[a.Cluster] && (b.addons[a.Key()].ID != a.ID || a.Status == eks.Deleting) {
			f.addons = append(f.addons, a)
		}
	}
	for _, i := range all.instances {
		if i.State != ec2.Terminated && (i.State == ec2.ShuttingDown || !staying[i.Tags[autoScalingGroup]]) {
			f.instances = append(f.instances, i)
		}
	}
	f.balancers, f.apps = all.balancers, all.apps // Up makes none
	for _, g := range all.scaling {
		if g.Owner == "" || g.Deleting { // the others are node groups'
			f.scaling = append(f.scaling, g)
		}
	}
	for _, e := range all.enis {
		if e.Requester == balancing.Requester {
			f.enis = append(f.enis, e)
		}
	}
	return f
}

// names are for people.
func (w running) names() []string {
	var names []string
	for _, c := range w.clusters {
		names = append(names, "cluster "+c.Name)
	}
	for _, g := range w.groups {
		names = append(names, "node group "+g.Key())
	}
	for _, a := range w.addons {
		names = append(names, "add-on "+a.Key())
	}
	for _, i := range w.instances {
		names = append(names, i.ID)
	}
	for _, b := range w.balancers {
		names = append(names, "load balancer "+b.Label())
	}
	for _, b := range w.apps {
		names = append(names, "load balancer "+b.Label())
	}
	for _, g := range w.scaling {
		names = append(names, "Auto Scaling group "+g.Name)
	}
	for _, e := range w.enis {
		names = append(names, e.ID+", of a load balancer")
	}
	return names
}

func (r *Region) running(ctx context.Context) (running, error) {
	var all running
	errs := []error{
		listInto(ctx, r.eks.Clusters, &all.clusters), listInto(ctx, r.eks.Nodegroups, &all.groups),
		listInto(ctx, r.eks.Addons, &all.addons), listInto(ctx, r.ec2.Instances, &all.instances),
		listInto(ctx, r.elb.LoadBalancers, &all.balancers), listInto(ctx, r.elbv2.LoadBalancers, &all.apps),
		listInto(ctx, r.ec2.ENIs, &all.enis),
		listInto(ctx, r.autoscaling.Groups, &all.scaling),
	}
	return all, errors.Join(errs...)
}

func listInto[T any](ctx context.Context, c *store.Collection[T], list *[]T) error {
	items, _, err := c.List(ctx, "")
	for _, item := range items {
		*list = append(*list, item.Value)
	}
	return err
}

// endForeign asks for the end of what is foreign, as far as it can end now, and
// names all of it.
func (r *Region) endForeign(ctx context.Context, own belongings) ([]string, error) {
	all, err := r.running(ctx)
	if err != nil {
		return nil, err
	}
	f := own.foreign(all)
	for _, g := range f.groups {
		if err := r.endGroup(ctx, g); !passing(err) {
			return nil, err
		}
	}
	for _, g := range f.scaling { // before their instances: they would launch others
		if err := r.autoscaling.DeleteGroup(ctx, g.Name, true); err != nil {
			return nil, err
		}
	}
	for _, i := range f.instances {
		if err := r.ec2.Terminate(ctx, i.ID, "the region was reset"); err != nil && !errors.Is(err, store.ErrNotFound) {
			return nil, err
		}
	}
	for _, b := range f.balancers {
		_, err := invoke[elbapi.DeleteLoadBalancerOutput](ctx, r, "elb", "DeleteLoadBalancer", &elbapi.DeleteLoadBalancerInput{LoadBalancerName: &b.Name})
		if err != nil {
			return nil, err
		}
	}
	for _, b := range f.apps { // protected or not
		if err := r.elbv2.LoadBalancers.Delete(ctx, b.Name); err != nil && !errors.Is(err, store.ErrNotFound) {
			return nil, err
		}
	}
	for _, a := range f.addons {
		if a.Status == eks.Deleting {
			continue
		}
		_, err := invoke[eksapi.DeleteAddonOutput](ctx, r, "eks", "DeleteAddon", &eksapi.DeleteAddonInput{ClusterName: &a.Cluster, AddonName: &a.Name})
		if !passing(err) {
			return nil, err
		}
	}
	for _, c := range f.clusters {
		if slices.ContainsFunc(f.groups, func(g eks.Nodegroup) bool { return g.Cluster == c.Name }) {
			continue // they come first
		}
		if err := r.endCluster(ctx, c); !passing(err) {
			return nil, err
		}
	}
	return f.names(), nil
}

// passing says of an error that the next change may end it, or has ended it.
func passing(err error) bool {
	return err == nil || errors.Is(err, store.ErrNotFound) ||
		eksapi.ResourceInUseException.Is(err) || eksapi.ResourceNotFoundException.Is(err)
}

func (r *Region) endGroup(ctx context.Context, g eks.Nodegroup) error {
	if g.Status == eks.Deleting {
		return nil
	}
	if g.Managed {
		_, err := invoke[eksapi.DeleteNodegroupOutput](ctx, r, "eks", "DeleteNodegroup", &eksapi.DeleteNodegroupInput{ClusterName: &g.Cluster, NodegroupName: &g.Name})
		return err
	}
	_, err := r.eks.Nodegroups.Modify(ctx, g.Key(), func(g *eks.Nodegroup) error { g.Status = eks.Deleting; return nil })
	return err
}

func (r *Region) endCluster(ctx context.Context, c eks.Cluster) error {
	if c.Status == eks.Deleting {
		return nil
	}
	if _, err := r.eks.Clusters.Modify(ctx, c.Name, func(c *eks.Cluster) error { c.DeletionProtection = false; return nil }); err != nil {
		return err
	}
	_, err := invoke[eksapi.DeleteClusterOutput](ctx, r, "eks", "DeleteCluster", &eksapi.DeleteClusterInput{Name: &c.Name})
	return err
}

// like finds the instance that an instance of a node group was like when it was
// launched: itself, or another of the group.
func (b belongings) like(i ec2.Instance) (ec2.Instance, bool) {
	if was, ok := b.instances[i.ID]; ok {
		return was, true
	}
	for _, g := range b.groups {
		if list := b.instancesOf(g); g.GroupName == i.Tags[autoScalingGroup] && len(list) > 0 {
			return list[0], true
		}
	}
	return ec2.Instance{}, false
}

// launchVersion is the tag of a node group's instances that says at which
// revision of the group they were launched.
const launchVersion = "aws:ec2launchtemplate:version"

// instanceAfter is an instance that is like another one in what clients can change.
// With versioned it keeps the revision that it was launched at.
func instanceAfter(like, now ec2.Instance, versioned bool) ec2.Instance {
	now.SecurityGroups, now.NoDestCheck, now.UserData = like.SecurityGroups, like.NoDestCheck, like.UserData
	now.Metadata, now.Monitoring, now.EBSOptimized = like.Metadata, like.Monitoring, like.EBSOptimized
	now.DisableTermination, now.DisableStop, now.OnShutdown = like.DisableTermination, like.DisableStop, like.OnShutdown
	now.Volume.Tags = like.Volume.Tags
	if now.Profile != like.Profile {
		now.Profile, now.ProfileAssociation, now.ProfileSince = like.Profile, like.ProfileAssociation, like.ProfileSince
	}
	version, has := now.Tags[launchVersion]
	now.Tags = maps.Clone(like.Tags)
	if versioned && has {
		now.Tags[launchVersion] = version
	}
	return now
}

// interfaceAfter is the same of network interfaces.
func interfaceAfter(like, now ec2.NetworkInterface) ec2.NetworkInterface {
	now.SecurityGroups, now.Description, now.NoDestCheck, now.Tags = like.SecurityGroups, like.Description, like.NoDestCheck, like.Tags
	return now
}

// clusterAfter is a cluster with the settings that it had.
func clusterAfter(was, now eks.Cluster) eks.Cluster {
	after := was
	after.Status, after.Generation, after.Issues = now.Status, now.Generation, now.Issues
	after.Network, after.Endpoint = now.Network, now.Endpoint
	after.Update, now.Update = "", "" // updates are forgotten
	if same(after, now) {
		return after
	}
	after.Generation++
	if now.Status == eks.Active {
		after.Status = eks.Updating
	}
	return after
}

// clusterAgain is a cluster that was deleted, about to be made with what names it.
func clusterAgain(was eks.Cluster) eks.Cluster {
	was.Status, was.Issues, was.Update = eks.Creating, nil, ""
	was.Network.Interface, was.Network.Address, was.Endpoint = "", netip.Addr{}, eks.Endpoint{}
	return was
}

// rolled says that a node group's nodes were replaced since, or are to be: then
// those that there are, and its launch template, keep their revisions.
func rolled(was, now eks.Nodegroup) bool {
	return was.Current != now.Current || !same(was.Template, now.Template) || was.Release != now.Release
}

// groupAfter is a node group with the settings that it had. Its nodes are
// replaced if they were launched with others that need it.
func groupAfter(was, now eks.Nodegroup) eks.Nodegroup {
	after := was
	after.Status, after.Issues, after.Modified = now.Status, now.Issues, now.Modified
	after.Applied = now.Applied
	if rolled(was, now) {
		after.Revision, after.Current = now.Revision, now.Current
	}
	now.Revision = after.Revision // without nodes to be replaced, it matters to none
	after.Grouped, after.Resized, after.Surge = now.Grouped, now.Resized, now.Surge
	after.Rolling, now.Rolling = nil, nil
	after.Update, now.Update = "", ""
	if same(after, now) {
		return after
	}
	after.Resized = after.Resized || was.Scaling() != now.Scaling()
	if !same(was.Template, now.Template) || was.Release != now.Release {
		after.Revision++
		after.Current = after.Revision
	}
	if !same(was.Config(), now.Config()) {
		if rolled(was, now) {
			after.Revision++
		}
		// Until now.Config was applied, nodes carried what Applied says.
		carry := now.Config()
		if a := now.Applied; a != nil {
			carry.Labels, carry.Taints = maps.Clone(carry.Labels), slices.Concat(carry.Taints, a.Taints)
			if carry.Labels == nil {
				carry.Labels = map[string]string{}
			}
			maps.Copy(carry.Labels, a.Labels)
		}
		after.Applied = &carry
	}
	if now.Status == eks.Active || now.Status == eks.Degraded {
		after.Status = eks.Updating
	}
	return after
}

// groupAgain is a node group that was deleted, about to be made.
func groupAgain(was eks.Nodegroup) eks.Nodegroup {
	was.Status, was.Issues, was.Update, was.Applied = eks.Creating, nil, "", nil
	was.Grouped, was.Resized, was.Surge, was.Rolling = false, false, 0, nil
	return was
}

// scalingAfter is a node group's Auto Scaling group with what EKS has made it
// with. Its size is the node group's to say.
func scalingAfter(g eks.Nodegroup, now autoscaling.Group) autoscaling.Group {
	after := nodegroups.Group(g, "")
	after.ID, after.Created, after.ServiceRole, after.Zones = now.ID, now.Created, now.ServiceRole, now.Zones
	after.Min, after.Max, after.Desired, after.Mixed = now.Min, now.Max, now.Desired, now.Mixed
	after.Reasons, after.Scaled, after.Failures, after.RetryAt = now.Reasons, now.Scaled, now.Failures, now.RetryAt
	if w := now.WarmPool; w != nil {
		after.WarmPool = &autoscaling.WarmPool{Deleting: true, MaxPrepared: w.MaxPrepared}
	}
	return after
}

// memberAfter is a member as it was launched: in service, and not protected.
// Version is that of the launch template, "" if it stays.
func memberAfter(m autoscaling.Member, version string) autoscaling.Member {
	m.Protected, m.Version = false, cmp.Or(version, m.Version)
	if m.State == autoscaling.Standby || m.State == autoscaling.EnteringStandby {
		m.State = autoscaling.Pending
	}
	return m
}

// addonAfter is an add-on with the settings that it had.
func addonAfter(was, now eks.Addon) eks.Addon {
	after := was
	after.Status, after.Issues, after.Modified, after.Generation = now.Status, now.Issues, now.Modified, now.Generation
	after.Update, now.Update = "", ""
	if same(after, now) {
		return after
	}
	after.Generation++
	if now.Status != eks.Creating {
		after.Status = eks.Updating
	}
	return after
}

// addonAgain is an add-on that was deleted, about to be made.
func addonAgain(was eks.Addon) eks.Addon {
	was.Status, was.Issues, was.Update, was.Preserve = eks.Creating, nil, "", false
	return was
}

// same compares as the store does.
func same(a, b any) bool {
	x, err1 := json.Marshal(a)
	y, err2 := json.Marshal(b)
	return err1 == nil && err2 == nil && bytes.Equal(x, y)
}
