package region

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"time"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/tarn-eks/tarn/internal/cluster"
	"github.com/tarn-eks/tarn/internal/eksctl"
	"github.com/tarn-eks/tarn/internal/loop/booting"
	"github.com/tarn-eks/tarn/internal/loop/fleet"
	"github.com/tarn-eks/tarn/internal/service/ec2"
	"github.com/tarn-eks/tarn/internal/service/eks"
	"github.com/tarn-eks/tarn/internal/store"
)

// Up makes the region what the file describes (nil: what it was before), and
// returns when all nodes are Ready. It is idempotent.
func (r *Region) Up(ctx context.Context, cc *eksctl.ClusterConfig) error {
	r.applying.Lock()
	defer r.applying.Unlock()
	if cc == nil && r.identity.Cluster == "" {
		return errors.New("the region has no cluster yet: its first start did not get that far; `tarn delete` and `tarn up` begin anew")
	}
	if cc != nil {
		if err := r.check(cc); err != nil {
			return err
		}
		if err := r.createNetwork(ctx, cc); err != nil {
			return err
		}
	}
	if r.network == nil {
		err := r.progress.step("network", func(func(string)) (string, error) {
			n, err := r.openNetwork(ctx)
			if err != nil {
				return "", err
			}
			r.mu.Lock()
			r.network = n
			r.mu.Unlock()
			return fmt.Sprintf("%s %s", n.record.ID, n.record.CIDR), nil
		})
		if err != nil {
			return err
		}
	}
	if cc != nil {
		if err := r.createCluster(ctx, cc); err != nil {
			return err
		}
	}
	return r.converge(ctx)
}

// check refuses a file that would turn the region into another one.
func (r *Region) check(cc *eksctl.ClusterConfig) error {
	if cc.Region != r.identity.Region {
		return fmt.Errorf("the file's region is %s and this one is %s: `tarn delete` first, or use another --data-dir", cc.Region, r.identity.Region)
	}
	if have := r.identity.Cluster; have != "" && have != cc.Name {
		return fmt.Errorf("the region has a cluster named %s and the file describes %s: `tarn delete` first, or use another --data-dir", have, cc.Name)
	}
	return nil
}

// createNetwork makes the VPC as eksctl does, unless it is there.
func (r *Region) createNetwork(ctx context.Context, cc *eksctl.ClusterConfig) error {
	vpcs, _, err := r.ec2.VPCs.List(ctx, "")
	if err != nil {
		return err
	}
	if len(vpcs) == 0 {
		_, _, err := r.ec2.CreateVPC(ctx, cc.VPCCIDR, cc.Zones, map[string]string{
			"Name":                             "eksctl-" + cc.Name + "-cluster/VPC",
			"alpha.eksctl.io/cluster-name":     cc.Name,
			"kubernetes.io/cluster/" + cc.Name: "shared",
		})
		return err
	}
	if have := vpcs[0].Value.CIDR; have != cc.VPCCIDR {
		return fmt.Errorf("vpc.cidr: the VPC is %s and cannot become %s: `tarn delete` first", have, cc.VPCCIDR)
	}
	return r.checkZones(ctx, cc)
}

// checkZones refuses zones that the VPC has no subnet in.
func (r *Region) checkZones(ctx context.Context, cc *eksctl.ClusterConfig) error {
	subnets, _, err := r.ec2.Subnets.List(ctx, "")
	if err != nil {
		return err
	}
	var have []string
	for _, s := range subnets {
		if s.Value.Public {
			have = append(have, s.Value.Zone)
		}
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

// createCluster makes the cluster and its node groups, and brings the sizes of
// groups that exist to the file's.
func (r *Region) createCluster(ctx context.Context, cc *eksctl.ClusterConfig) error {
	if _, err := r.eks.Clusters.Get(ctx, cc.Name); errors.Is(err, store.ErrNotFound) {
		public := r.publicSubnets(cc.Zones)
		eni, err := r.ec2.CreateNetworkInterface(ctx, public[0], "Amazon EKS "+cc.Name)
		if err != nil {
			return err
		}
		_, err = r.eks.CreateCluster(ctx, eks.Cluster{
			Name: cc.Name, Version: cc.Version, VPC: r.network.record.ID, Subnets: public,
			Address: eni.Addresses[0], ServiceCIDR: cc.ServiceCIDR, Tags: cc.Tags,
		})
		if err != nil {
			return err
		}
	} else if err != nil {
		return err
	}
	for _, g := range cc.NodeGroups {
		if err := r.applyNodegroup(ctx, cc.Name, g); err != nil {
			return err
		}
	}
	r.warnMissing(ctx, cc)
	r.mu.Lock()
	defer r.mu.Unlock()
	r.identity.Cluster = cc.Name
	return r.identity.save(r.layout)
}

func (r *Region) applyNodegroup(ctx context.Context, clusterName string, g eksctl.NodeGroup) error {
	want := eks.Nodegroup{
		Cluster: clusterName, Name: g.Name, Managed: g.Managed, InstanceType: g.InstanceType, Spot: g.Spot,
		Min: g.Min, Max: g.Max, Desired: g.Desired, VolumeGiB: g.VolumeSizeGiB,
		Labels: g.Labels, Tags: g.Tags, Subnets: r.publicSubnets(g.Zones),
	}
	for _, t := range g.Taints {
		want.Taints = append(want.Taints, eks.Taint(t))
	}
	have, err := r.eks.Nodegroups.Get(ctx, want.Key())
	if errors.Is(err, store.ErrNotFound) {
		_, err := r.eks.CreateNodegroup(ctx, want)
		return err
	}
	if err != nil {
		return err
	}
	if err := unchangeable(have.Value, want); err != nil {
		return err
	}
	if !maps.Equal(have.Value.Tags, want.Tags) {
		r.progress.emit(Event{State: Warning, Detail: fmt.Sprintf("node group %s: its tags stay as they are", want.Name)})
	}
	if to := want.Scaling(); have.Value.Scaling() != to {
		_, err = r.eks.ScaleNodegroup(ctx, clusterName, g.Name, to)
	}
	return err
}

// unchangeable refuses what cannot be changed in a node group that exists.
func unchangeable(have, want eks.Nodegroup) error {
	var errs []error
	refuse := func(field string, from, to any) {
		errs = append(errs, fmt.Errorf("node group %s: its %s is %v and cannot become %v: give the file's group another name", want.Name, field, from, to))
	}
	if have.InstanceType != want.InstanceType {
		refuse("instanceType", have.InstanceType, want.InstanceType)
	}
	if have.VolumeGiB != want.VolumeGiB {
		refuse("volumeSize", have.VolumeGiB, want.VolumeGiB)
	}
	if have.Managed != want.Managed || have.Spot != want.Spot {
		refuse("kind (managed, spot)", fmt.Sprint(have.Managed, have.Spot), fmt.Sprint(want.Managed, want.Spot))
	}
	if !slices.Equal(have.Subnets, want.Subnets) {
		refuse("availabilityZones", have.Subnets, want.Subnets)
	}
	if !maps.Equal(have.Labels, want.Labels) {
		refuse("labels", have.Labels, want.Labels)
	}
	if !slices.Equal(have.Taints, want.Taints) {
		refuse("taints", have.Taints, want.Taints)
	}
	return errors.Join(errs...)
}

// warnMissing names the node groups that the file does not have: like eksctl,
// Up does not delete them.
func (r *Region) warnMissing(ctx context.Context, cc *eksctl.ClusterConfig) {
	groups, _, err := r.eks.Nodegroups.List(ctx, cc.Name+"/")
	if err != nil {
		return // what reads next says so
	}
	for _, g := range groups {
		if !slices.ContainsFunc(cc.NodeGroups, func(want eksctl.NodeGroup) bool { return want.Name == g.Value.Name }) {
			r.progress.emit(Event{State: Warning, Detail: fmt.Sprintf("node group %s is not in the file; it stays as it is", g.Value.Name)})
		}
	}
}

func (r *Region) publicSubnets(zones []string) []string {
	var ids []string
	for _, zone := range zones {
		for _, s := range r.network.subnets {
			if s.Public && s.Zone == zone {
				ids = append(ids, s.ID)
			}
		}
	}
	return ids
}

// converge starts what the store describes and waits for it.
func (r *Region) converge(ctx context.Context) error {
	item, err := r.eks.Clusters.Get(ctx, r.identity.Cluster)
	if err != nil {
		return err
	}
	config := r.describe(item.Value)
	err = r.progress.step("control plane", func(waiting func(string)) (string, error) {
		return "Kubernetes v" + cluster.Version + ", https://" + config.LocalAddress, r.startControlPlane(ctx, config)
	})
	if err != nil {
		return err
	}
	r.startLoops()
	err = r.progress.step("add-ons", func(func(string)) (string, error) {
		preserved, err := config.ApplyAddons(ctx, cluster.Addons{CoreDNSImage: eksImage(r.identity.Region, coreDNSTag)})
		if len(preserved) > 0 {
			r.logger.Info("kept what was changed in add-ons", "objects", preserved)
		}
		return "coredns", err
	})
	if err != nil {
		return err
	}
	return r.progress.step("nodes", func(waiting func(string)) (string, error) {
		return r.waitForNodes(ctx, config, waiting)
	})
}

const coreDNSTag = "coredns:v1.15.0-eksbuild.1"

// describe is what the control plane of a cluster is started with.
func (r *Region) describe(c eks.Cluster) cluster.Config {
	return cluster.Config{
		Name: c.Name, Region: r.identity.Region, ID: c.ID,
		Dir:          r.layout.cluster(c.Name),
		Etcd:         r.store.Endpoint(),
		Address:      c.Address,
		LocalAddress: r.listen.api.Addr().String(),
		ServiceCIDR:  c.ServiceCIDR,
	}
}

// clusterConfig finds a cluster by name.
func (r *Region) clusterConfig(ctx context.Context, name string) (cluster.Config, error) {
	item, err := r.eks.Clusters.Get(ctx, name)
	if err != nil {
		return cluster.Config{}, err
	}
	return r.describe(item.Value), nil
}

// startLoops starts the control loops, once.
func (r *Region) startLoops() {
	r.loops.Do(func() {
		fleet := &fleet.Loop{EC2: r.ec2, EKS: r.eks, Logger: r.logger}
		booting := &booting.Loop{EC2: r.ec2, Host: r.network.host, Logger: r.logger}
		r.run("fleet", fleet.Run)
		r.run("booting", booting.Run)
	})
}

// bootAttempts is how often an instance may fail to boot before Up gives up.
const bootAttempts = 3

// waitForNodes returns when each node group has its size and every node has
// said that it is Ready since this region started it.
func (r *Region) waitForNodes(ctx context.Context, c cluster.Config, waiting func(string)) (string, error) {
	client, err := c.Client()
	if err != nil {
		return "", err
	}
	tick := time.NewTicker(100 * time.Millisecond)
	defer tick.Stop()
	for {
		want, instances, err := r.wantedNodes(ctx)
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
			p := r.network.host.process(i.ID)
			if f := r.network.host.failure(i.ID); f.attempts >= bootAttempts {
				return "", f.err
			}
			if p == nil {
				late = append(late, i.ID+" (booting)")
				continue
			}
			status := p.Status()
			if status.Restarts >= bootAttempts {
				return "", p.Failure()
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

// wantedNodes is how many nodes the groups ask for, and the instances alive.
func (r *Region) wantedNodes(ctx context.Context) (int, []ec2.Instance, error) {
	groups, _, err := r.eks.Nodegroups.List(ctx, "")
	if err != nil {
		return 0, nil, err
	}
	want := 0
	for _, g := range groups {
		want += g.Value.Desired
	}
	items, _, err := r.ec2.Instances.List(ctx, "")
	if err != nil {
		return 0, nil, err
	}
	var alive []ec2.Instance
	for _, item := range items {
		if item.Value.Alive() {
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
