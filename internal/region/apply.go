package region

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/tarn-eks/tarn/internal/cluster"
	"github.com/tarn-eks/tarn/internal/eksctl"
	"github.com/tarn-eks/tarn/internal/service/ec2"
	"github.com/tarn-eks/tarn/internal/service/eks"
	"github.com/tarn-eks/tarn/internal/store"
)

// Up makes the region what the file describes (nil: what it was before), and
// returns when all nodes are Ready. It is idempotent.
func (r *Region) Up(ctx context.Context, cc *eksctl.ClusterConfig) error {
	r.applying.Lock()
	defer r.applying.Unlock()
	if cc == nil && r.cluster() == "" {
		return errors.New("the region has no cluster yet: its first start did not get that far; `tarn delete` and `tarn up` begin anew")
	}
	if cc != nil {
		if err := r.check(ctx, cc); err != nil {
			return err
		}
		if err := r.noteFile(cc); err != nil {
			return err
		}
	}
	err := r.progress.step("network", func(func(string)) (string, error) {
		if cc != nil {
			if err := r.createNetwork(ctx, cc); err != nil {
				return "", err
			}
		}
		if err := r.openNetworks(ctx); err != nil {
			return "", err
		}
		return r.networkNames(), nil
	})
	if err != nil {
		return err
	}
	had := r.cluster()
	if cc != nil {
		r.setCluster(cc.Name) // before the loops, which give it the known port
	}
	r.startLoops()
	name := r.cluster()
	if cc == nil {
		if _, err := r.eks.Clusters.Get(ctx, name); errors.Is(err, store.ErrNotFound) {
			r.warn("cluster %s has been deleted; `tarn up -f FILE` makes one", name)
			return nil
		}
	}
	err = r.progress.step("control plane", func(waiting func(string)) (string, error) {
		if cc != nil {
			if err := r.createCluster(ctx, cc); err != nil {
				r.setCluster(had)
				return "", err
			}
		}
		have, err := r.eks.Clusters.Get(ctx, name)
		if err != nil {
			return "", err
		}
		// One that has failed may do better now.
		if err := r.eks.RetryCluster(ctx, have.Value); err != nil {
			return "", err
		}
		return r.awaitCluster(ctx, name, waiting)
	})
	if err != nil {
		return err
	}
	err = r.progress.step("nodes", func(waiting func(string)) (string, error) {
		if cc != nil {
			if err := r.applyAddons(ctx, cc); err != nil {
				return "", err
			}
			if err := r.applyNodegroups(ctx, cc); err != nil {
				return "", err
			}
			// Not earlier: an Up that was interrupted before this is done again whole.
			if err := r.rememberCluster(); err != nil {
				return "", err
			}
		}
		return r.awaitNodes(ctx, name, waiting)
	})
	if err != nil {
		return err
	}
	return r.keepBaseline(ctx)
}

// check refuses a file that would turn the region into another one.
func (r *Region) check(ctx context.Context, cc *eksctl.ClusterConfig) error {
	if cc.Region != r.identity.Region {
		return fmt.Errorf("the file's region is %s and this one is %s: `tarn delete` first, or use another --data-dir", cc.Region, r.identity.Region)
	}
	have := r.cluster()
	if _, err := r.eks.Clusters.Get(ctx, have); have == "" || errors.Is(err, store.ErrNotFound) {
		return nil // or it was deleted, and another one may take its place
	}
	if have != cc.Name {
		return fmt.Errorf("the region has a cluster named %s and the file describes %s: `tarn delete` first, or use another --data-dir", have, cc.Name)
	}
	return nil
}

// vpcOf finds the VPC that a cluster file's cluster lives in, by the tag that
// eksctl gives it. It returns store.ErrNotFound if there is none.
func (r *Region) vpcOf(ctx context.Context, cluster string) (ec2.VPC, error) {
	vpcs, _, err := r.ec2.VPCs.List(ctx, "")
	if err != nil {
		return ec2.VPC{}, err
	}
	for _, v := range vpcs {
		if v.Value.Tags[eksctlCluster] == cluster {
			return v.Value, nil
		}
	}
	return ec2.VPC{}, fmt.Errorf("the VPC of cluster %s: %w", cluster, store.ErrNotFound)
}

// createNetwork makes the VPC as eksctl does, unless it is there.
func (r *Region) createNetwork(ctx context.Context, cc *eksctl.ClusterConfig) error {
	v, err := r.vpcOf(ctx, cc.Name)
	if errors.Is(err, store.ErrNotFound) {
		_, _, err := r.ec2.CreateVPC(ctx, cc.VPCCIDR, cc.Zones, map[string]string{
			"Name":                             "eksctl-" + cc.Name + "-cluster/VPC",
			eksctlCluster:                      cc.Name,
			"kubernetes.io/cluster/" + cc.Name: "shared",
		})
		return err
	}
	if err != nil {
		return err
	}
	if v.CIDR != cc.VPCCIDR {
		return fmt.Errorf("vpc.cidr: the VPC is %s and cannot become %s: `tarn delete` first", v.CIDR, cc.VPCCIDR)
	}
	return r.checkZones(ctx, v, cc)
}

// checkZones refuses zones that the VPC has no subnet in.
func (r *Region) checkZones(ctx context.Context, v ec2.VPC, cc *eksctl.ClusterConfig) error {
	subnets, err := r.publicSubnets(ctx, v.ID)
	if err != nil {
		return err
	}
	var have []string
	for _, s := range subnets {
		have = append(have, s.Zone)
	}
	slices.Sort(have)
	wanted := slices.Clone(cc.Zones)
	for _, g := range cc.NodeGroups {
		wanted = append(wanted, g.Zones...)
	}
	for _, zone := range wanted {
		if !slices.Contains(have, zone) {
			return fmt.Errorf("availabilityZones: the VPC has subnets in %v and none in %s: `tarn delete` first", have, zone)
		}
	}
	return nil
}

// publicSubnets are the subnets of a VPC that were laid out as public ones.
func (r *Region) publicSubnets(ctx context.Context, vpc string) ([]ec2.Subnet, error) {
	items, _, err := r.ec2.Subnets.List(ctx, "")
	if err != nil {
		return nil, err
	}
	var public []ec2.Subnet
	for _, s := range items {
		if s.Value.Public && s.Value.VPC == vpc {
			public = append(public, s.Value)
		}
	}
	return public, nil
}

// awaitCluster returns when the control plane serves.
func (r *Region) awaitCluster(ctx context.Context, name string, waiting func(string)) (string, error) {
	following, cancel := context.WithCancel(context.WithoutCancel(ctx))
	follower := r.eks.Clusters.Follow(following, name)
	defer func() {
		cancel()
		for range follower.C { // until it has ended
		}
	}()
	tick := time.NewTicker(pollPause)
	defer tick.Stop()
	var c eks.Cluster
	for {
		select {
		case s, ok := <-follower.C:
			if !ok {
				return "", follower.Err()
			}
			item, there := s.Get(name)
			if !there {
				return "", fmt.Errorf("cluster %s was deleted", name)
			}
			c = item.Value
		case <-ctx.Done():
			log := "control-plane-" + name
			return "", fmt.Errorf("%s is not ready (its log: %s): %w", log, r.layout.log(log), context.Cause(ctx))
		case err := <-r.failed:
			return "", err
		case <-tick.C:
		}
		p := r.controlPlane(name)
		switch {
		case c.Status == eks.Failed:
			return "", fmt.Errorf("cluster %s failed: %s", name, reason(c))
		case p != nil && p.process.Status().Restarts >= bootAttempts:
			return "", explained(p.process.Failure())
		case c.Status == eks.Active && p != nil && p.ready.Load():
			return "Kubernetes v" + cluster.Version + ", " + c.Endpoint.URL, nil
		}
		waiting(string(c.Status))
	}
}

// reason is why a cluster is not as it should be.
func reason(c eks.Cluster) string {
	var reasons []string
	for _, i := range c.Issues {
		reasons = append(reasons, i.Message)
	}
	return strings.Join(reasons, "; ")
}

// pollPause is between two looks at what cannot be watched.
const pollPause = 50 * time.Millisecond

// bootAttempts is how often an instance may fail to boot before Up gives up.
const bootAttempts = 3

// awaitNodes returns when each node group has its size and every node has
// said that it is Ready since this region started it.
func (r *Region) awaitNodes(ctx context.Context, name string, waiting func(string)) (string, error) {
	c := r.controlPlane(name).config
	client, err := c.Client()
	if err != nil {
		return "", err
	}
	tick := time.NewTicker(100 * time.Millisecond)
	defer tick.Stop()
	for {
		want, instances, err := r.wantedNodes(ctx, name)
		if err != nil {
			return "", err
		}
		nodes, err := client.CoreV1().Nodes().List(ctx, metav1.ListOptions{})
		if err != nil {
			return "", fmt.Errorf("listing nodes: %w", err)
		}
		ready := 0
		var late []string
		for _, i := range instances {
			p := r.host.process(i.ID)
			if f := r.host.failure(i.ID); f.attempts >= bootAttempts {
				return "", f.err
			}
			if p == nil {
				late = append(late, i.ID+" (booting)")
				continue
			}
			status := p.Status()
			if status.Restarts >= bootAttempts {
				return "", explained(p.Failure())
			}
			if cluster.NodeReady(nodes.Items, i.PrivateDNSName, status.Started) {
				ready++
			} else {
				late = append(late, i.PrivateDNSName)
			}
		}
		progress := fmt.Sprintf("%d of %d Ready", ready, want)
		if ready == want && len(instances) == want {
			err := c.Usable(ctx, client)
			if err == nil {
				return progress, nil
			}
			if !apierrors.IsNotFound(err) {
				return "", fmt.Errorf("looking for the default service account: %w", err)
			}
			late = append(late, "the default service account")
		}
		slices.Sort(late)
		waiting(fmt.Sprintf("%s; waiting for %v", progress, late))
		select {
		case <-ctx.Done():
			return "", fmt.Errorf("%s, still waiting for %v (logs: %s): %w", progress, late, r.layout.log("i-*"), context.Cause(ctx))
		case err := <-r.failed:
			return "", err
		case <-tick.C:
		}
	}
}

// wantedNodes is how many nodes a cluster's groups ask for, and their instances
// that are alive.
func (r *Region) wantedNodes(ctx context.Context, cluster string) (int, []ec2.Instance, error) {
	groups, _, err := r.eks.Nodegroups.List(ctx, cluster+"/")
	if err != nil {
		return 0, nil, err
	}
	want := 0
	for _, g := range groups {
		if g.Value.Status != eks.Deleting {
			want += g.Value.Desired
		}
	}
	items, _, err := r.ec2.Instances.List(ctx, "")
	if err != nil {
		return 0, nil, err
	}
	var alive []ec2.Instance
	for _, item := range items {
		if i := item.Value; i.Alive() && i.Bootstrap.Cluster == cluster && i.Bootstrap.Nodegroup != "" {
			alive = append(alive, item.Value)
		}
	}
	return want, alive, nil
}

// deleteNode removes a Node whose instance is gone.
func (r *Region) deleteNode(ctx context.Context, clusterName, node string) error {
	c, err := r.clusterConfig(ctx, clusterName)
	if errors.Is(err, store.ErrNotFound) {
		return nil
	}
	if err != nil {
		return err
	}
	client, err := c.Client()
	if err != nil {
		return err
	}
	err = client.CoreV1().Nodes().Delete(ctx, node, metav1.DeleteOptions{})
	if err != nil && !apierrors.IsNotFound(err) {
		return fmt.Errorf("deleting node %s: %w", node, err)
	}
	return nil
}
