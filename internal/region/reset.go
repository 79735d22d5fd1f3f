package region

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"slices"
	"strings"
	"time"

	ecrapi "github.com/tarn-eks/tarn/internal/api/ecr"
	"github.com/tarn-eks/tarn/internal/service/ec2"
	"github.com/tarn-eks/tarn/internal/service/eks"
	"github.com/tarn-eks/tarn/internal/service/elb"
	"github.com/tarn-eks/tarn/internal/store"
)

// resetTimeout is how long a reset may take; a cluster that is made anew, with
// its nodes, takes seconds.
const resetTimeout = 10 * time.Minute

// reset brings the region back to its baseline: what clients made ends, then
// what they changed is restored. It returns when the nodes are Ready. Each part
// compares what there is with what should be, so that after a crash another reset
// does what is left.
//
// What was begun is finished, also when the client has gone: only the region's
// end ends it.
func (r *Region) reset(context.Context) error {
	r.applying.Lock()
	defer r.applying.Unlock()
	late := fmt.Errorf("not done after %s", resetTimeout)
	ctx, cancel := context.WithTimeoutCause(r.background, resetTimeout, late)
	defer cancel()
	b, err := loadBaseline(r.layout)
	if errors.Is(err, fs.ErrNotExist) || err == nil && len(b.Items) == 0 {
		return errors.New("the region does not know what to go back to, because `tarn up` has not succeeded yet: run it first")
	}
	if err != nil {
		return err
	}
	own, err := belongingsOf(b.Items)
	if err != nil {
		return err
	}
	for _, part := range []struct {
		name string
		do   func(context.Context) error
	}{
		{"separating security groups", func(ctx context.Context) error { return r.separate(ctx, own) }},
		{"ending what clients run", func(ctx context.Context) error {
			return r.until(ctx, func(ctx context.Context) ([]string, error) { return r.endForeign(ctx, own) })
		}},
		{"deleting repositories", r.deleteRepositories},
		{"restoring instances", func(ctx context.Context) error { return r.restoreInstances(ctx, own) }},
		{"restoring settings", func(ctx context.Context) error { return r.restoreSettings(ctx, b.Items, own) }},
		{"restoring Auto Scaling groups", func(ctx context.Context) error { return r.restoreScaling(ctx, own) }},
		{"restoring clusters", func(ctx context.Context) error { return r.restoreClusters(ctx, own) }},
		{"waiting for the cluster", r.awaitReset},
		{"asking for load balancers of Services", func(ctx context.Context) error { return r.remakeLoadBalancers(ctx, own) }},
	} {
		began := time.Now()
		if err := part.do(ctx); err != nil {
			return fmt.Errorf("%s: %w", part.name, err)
		}
		r.logger.Info("reset: "+part.name, "took", time.Since(began).Round(time.Millisecond))
	}
	return nil
}

// until runs step after each change of what runs, until nothing is left to wait for.
func (r *Region) until(ctx context.Context, step func(context.Context) (left []string, err error)) error {
	views := store.FollowAll(ctx, store.NewView(r.eks.Clusters), store.NewView(r.eks.Nodegroups), store.NewView(r.eks.Addons),
		store.NewView(r.ec2.Instances), store.NewView(r.elb.LoadBalancers), store.NewView(r.elbv2.LoadBalancers), store.NewView(r.ec2.ENIs),
		store.NewView(r.autoscaling.Groups))
	defer views.Close()
	var last []string
	for {
		left, err := step(ctx)
		if err != nil {
			return errors.Join(err, context.Cause(ctx))
		}
		if len(left) == 0 {
			return nil
		}
		if slices.Sort(left); !slices.Equal(left, last) {
			r.logger.Info("reset: waiting", "for", left)
			last = left
		}
		select {
		case err := <-r.failed:
			return err
		case _, ok := <-views.C:
			if !ok {
				return fmt.Errorf("still waiting for %v: %w", left, cmp.Or(context.Cause(ctx), views.Err()))
			}
		}
	}
}

// separate takes the rules away by which security groups refer to each other, so
// that each can go, and gives the region's own theirs.
func (r *Region) separate(ctx context.Context, own belongings) error {
	groups, _, err := r.ec2.SecurityGroups.List(ctx, "")
	if err != nil {
		return err
	}
	for _, item := range groups {
		_, err := r.ec2.SecurityGroups.Modify(ctx, item.Key, func(g *ec2.SecurityGroup) error {
			if as, ok := own.security[g.ID]; ok {
				*g = as
				return nil
			}
			g.Rules = slices.DeleteFunc(g.Rules, func(rule ec2.SecurityGroupRule) bool { return rule.Group != "" && rule.Group != g.ID })
			return nil
		})
		if err != nil && !errors.Is(err, store.ErrNotFound) {
			return err
		}
	}
	return nil
}

// deleteRepositories deletes all of them: the images that come with Tarn are in
// none.
func (r *Region) deleteRepositories(ctx context.Context) error {
	repositories, _, err := r.ecr.Repositories.List(ctx, "")
	if err != nil {
		return err
	}
	for _, item := range repositories {
		_, err := invoke[ecrapi.DeleteRepositoryOutput](ctx, r, "ecr", "DeleteRepository", &ecrapi.DeleteRepositoryInput{
			RepositoryName: &item.Key, Force: new(true),
		})
		if err != nil && !ecrapi.RepositoryNotFoundException.Is(err) {
			return err
		}
	}
	return nil
}

// restoreInstances gives node groups' instances what clients have changed of
// them, and forgets those that have ended, with the interfaces that nobody has.
func (r *Region) restoreInstances(ctx context.Context, own belongings) error {
	// Interfaces first: one that is there has its instance, or never had one.
	enis, _, err := r.ec2.ENIs.List(ctx, "")
	if err != nil {
		return err
	}
	items, _, err := r.ec2.Instances.List(ctx, "")
	if err != nil {
		return err
	}
	clusters, _, err := r.eks.Clusters.List(ctx, "")
	if err != nil {
		return err
	}
	revised, err := r.restoreRevisions(ctx, own)
	if err != nil {
		return err
	}
	// A cluster that was made again has another interface than it had.
	likes := map[string]ec2.NetworkInterface{}
	for _, c := range clusters {
		if like, ok := own.enis[own.clusters[c.Key].Network.Interface]; ok {
			likes[c.Value.Network.Interface] = like
		}
	}
	kept := map[string]bool{}
	for _, item := range items {
		if item.Value.State == ec2.Terminated {
			if err := r.ec2.Instances.Delete(ctx, item.Key); err != nil && !errors.Is(err, store.ErrNotFound) {
				return err
			}
			continue
		}
		kept[item.Value.ENI] = true
		like, ok := own.like(item.Value)
		if !ok {
			continue
		}
		versioned := revised[item.Value.Tags[autoScalingGroup]]
		_, err := r.ec2.Instances.Modify(ctx, item.Key, func(i *ec2.Instance) error { *i = instanceAfter(like, *i, versioned); return nil })
		if err == nil {
			_, err = r.ec2.ENIs.Modify(ctx, item.Value.ENI, func(e *ec2.NetworkInterface) error {
				*e = interfaceAfter(own.enis[like.ENI], *e)
				return nil
			})
		}
		if err != nil && !errors.Is(err, store.ErrNotFound) {
			return err
		}
	}
	for _, item := range enis {
		like, ofCluster := likes[item.Key]
		var err error
		switch {
		case ofCluster:
			_, err = r.ec2.ENIs.Modify(ctx, item.Key, func(e *ec2.NetworkInterface) error { *e = interfaceAfter(like, *e); return nil })
		case !kept[item.Key] && item.Value.Requester == "": // a service removes its own
			err = r.ec2.ENIs.Delete(ctx, item.Key)
		}
		if err != nil && !errors.Is(err, store.ErrNotFound) {
			return err
		}
	}
	return nil
}

// restoreSettings restores what does not run.
func (r *Region) restoreSettings(ctx context.Context, items store.Contents, own belongings) error {
	if err := r.keepTemplates(ctx, items, own); err != nil {
		return err
	}
	err := store.Restore(ctx, r.store.Client(), items, settings...)
	r.iam.Forget()
	if err != nil {
		return err
	}
	// If a client has deleted root's key, a new one was made at the next start.
	id, secret, err := r.iam.EnsureRootKey(ctx)
	if err != nil {
		return err
	}
	if err := (RootCredentials{id, secret}).save(r.layout); err != nil {
		return err
	}
	return r.openNetworks(ctx)
}

// restoreClusters gives the clusters, add-ons and node groups back their
// settings, or makes them again as they were.
func (r *Region) restoreClusters(ctx context.Context, own belongings) error {
	for key, was := range own.clusters {
		item, err := r.eks.Clusters.Modify(ctx, key, func(c *eks.Cluster) error { *c = clusterAfter(was, *c); return nil })
		if errors.Is(err, store.ErrNotFound) {
			item, err = r.eks.Clusters.Create(ctx, key, clusterAgain(was))
		}
		if err != nil {
			return err
		}
		if err := r.eks.RetryCluster(ctx, item.Value); err != nil {
			return err
		}
	}
	for key, was := range own.addons {
		_, err := r.eks.Addons.Modify(ctx, key, func(a *eks.Addon) error { *a = addonAfter(was, *a); return nil })
		if errors.Is(err, store.ErrNotFound) {
			_, err = r.eks.Addons.Create(ctx, key, addonAgain(was))
		}
		if err != nil {
			return err
		}
	}
	for key, was := range own.groups {
		if was.Desired > 0 && was.RoleARN != "" {
			// The group may have got its first instance, and with it this, later.
			if _, err := (nodeProfiles{r}).EnsureInstanceProfile(ctx, was.InstanceProfile(), was.RoleARN); err != nil {
				return err
			}
		}
		_, err := r.eks.Nodegroups.Modify(ctx, key, func(g *eks.Nodegroup) error { *g = groupAfter(was, *g); return nil })
		if errors.Is(err, store.ErrNotFound) {
			_, err = r.eks.Nodegroups.Create(ctx, key, groupAgain(was))
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// awaitReset returns when the cluster and its nodes are as restored.
func (r *Region) awaitReset(ctx context.Context) error {
	log := func(what string) { r.logger.Info("reset: waiting", "for", what) }
	name := r.cluster()
	if _, err := r.awaitCluster(ctx, name, logChanges(log)); err != nil {
		return err
	}
	if _, err := r.awaitNodes(ctx, name, logChanges(log)); err != nil {
		return err
	}
	return r.until(ctx, func(ctx context.Context) ([]string, error) { return r.unsettled(ctx, name) })
}

// logChanges leaves out what has just been said.
func logChanges(log func(string)) func(string) {
	last := ""
	return func(what string) {
		if what != last {
			last = what
			log(what)
		}
	}
}

// unsettled names what has not come to rest yet. Instances that have ended are
// forgotten.
func (r *Region) unsettled(ctx context.Context, cluster string) ([]string, error) {
	var left []string
	c, err := r.eks.Clusters.Get(ctx, cluster)
	if err != nil {
		return nil, err
	}
	if c.Value.Status != eks.Active {
		left = append(left, "cluster "+cluster)
	}
	groups, _, err := r.eks.Nodegroups.List(ctx, cluster+"/")
	if err != nil {
		return nil, err
	}
	for _, g := range groups {
		if g.Value.Status != eks.Active || g.Value.Applied != nil {
			left = append(left, "node group "+g.Value.Name)
		}
	}
	addons, _, err := r.eks.Addons.List(ctx, cluster+"/")
	if err != nil {
		return nil, err
	}
	for _, a := range addons {
		if a.Value.Status == eks.Creating || a.Value.Status == eks.Updating {
			left = append(left, "add-on "+a.Value.Name)
		}
	}
	instances, _, err := r.ec2.Instances.List(ctx, "")
	if err != nil {
		return nil, err
	}
	for _, i := range instances {
		switch {
		case i.Value.State == ec2.Terminated:
			if err := r.ec2.Instances.Delete(ctx, i.Key); err != nil && !errors.Is(err, store.ErrNotFound) {
				return nil, err
			}
		case i.Value.State != ec2.Running:
			left = append(left, i.Key)
		}
	}
	return left, nil
}

// remakeLoadBalancers has the clusters that stayed make the load balancers of their
// Services anew: what is inside Kubernetes stays, and works.
func (r *Region) remakeLoadBalancers(ctx context.Context, own belongings) error {
	items, _, err := r.elb.LoadBalancers.List(ctx, "")
	if err != nil {
		return err
	}
	exists := func(hostname string) bool {
		return slices.ContainsFunc(items, func(it store.Item[elb.LoadBalancer]) bool { return strings.EqualFold(it.Value.DNSName, hostname) })
	}
	for name := range own.clusters {
		p := r.controlPlane(name)
		if p == nil {
			continue // one that does not start has nobody to ask
		}
		if err := p.config.RemakeLoadBalancers(ctx, exists); err != nil {
			return err
		}
	}
	return nil
}
