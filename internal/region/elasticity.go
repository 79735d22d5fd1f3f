package region

import (
	"context"
	"fmt"
	"io/fs"
	"log/slog"
	"maps"
	"path/filepath"
	"slices"
	"time"

	ec2api "github.com/tarn-eks/tarn/internal/api/ec2"
	"github.com/tarn-eks/tarn/internal/instance"
	"github.com/tarn-eks/tarn/internal/loop/advising"
	"github.com/tarn-eks/tarn/internal/loop/metering"
	"github.com/tarn-eks/tarn/internal/loop/scaling"
	"github.com/tarn-eks/tarn/internal/metrics"
	"github.com/tarn-eks/tarn/internal/service/autoscaling"
	"github.com/tarn-eks/tarn/internal/service/cloudwatch"
	"github.com/tarn-eks/tarn/internal/service/eks"
	"github.com/tarn-eks/tarn/internal/store"
	"github.com/tarn-eks/tarn/internal/vpc"
)

// openMetrics opens the time series.
func (r *Region) openMetrics() error {
	var err error
	if r.metrics, err = metrics.Open(r.layout.metrics(), metrics.Options{Logger: atLeast(slog.LevelWarn, r.logger)}); err != nil {
		return fmt.Errorf("opening the metrics: %w", err)
	}
	r.meter, err = instance.NewMeter()
	return err
}

// openElasticity makes the services that see load and answer it: metrics, alarms,
// groups of instances.
func (r *Region) openElasticity() {
	client, id := r.store.Client(), r.identity
	r.cloudwatch = cloudwatch.New(cloudwatch.Config{
		Client: client, Account: id.Account, Region: id.Region, Metrics: r.metrics, Logger: r.logger,
	})
	r.outlooks = scaling.NewOutlooks(client)
	r.autoscaling = autoscaling.New(autoscaling.Config{
		Client: client, Account: id.Account, Region: id.Region,
		Network: groupNetwork{r.ec2}, Templates: groupTemplates{r.ec2}, Instances: groupInstances{r.ec2},
		Balancers: scalingBalancers{r}, Identity: scalingIdentity{r},
		Alarms: scaling.Alarms{CloudWatch: r.cloudwatch}, Forecasts: r.outlooks,
	})
}

// scaling is the loop that looks at alarms and carries policies out.
func (r *Region) scaling() *scaling.Loop {
	return scaling.New(scaling.Config{
		Client: r.store.Client(), AutoScaling: r.autoscaling, CloudWatch: r.cloudwatch, Outlooks: r.outlooks,
		Instances: alarmed{r}, Logger: r.logger,
	})
}

// forgetting is how often old activities are looked for; they are kept for weeks.
const forgetting = time.Hour

// forget takes old activities of Auto Scaling away, now and then.
func (r *Region) forget(ctx context.Context) error {
	tick := time.NewTicker(forgetting)
	defer tick.Stop()
	for {
		if err := r.autoscaling.Forget(ctx); err != nil && ctx.Err() == nil {
			r.logger.Error("taking old scaling activities away", "error", err)
		}
		select {
		case <-tick.C:
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

// metering is the loop that measures what the region does.
func (r *Region) metering() *metering.Loop {
	return metering.New(metering.Config{
		Sink: r.metrics, EC2: r.ec2, AutoScaling: r.autoscaling, ELB: r.elb, ELBv2: r.elbv2, Host: meters{r},
		Proxy: r.balancing.Proxy(), Clusters: insights{r}, Logger: r.logger,
	})
}

// alarmed are the instances that alarms act on: it is the scaling loop's Instances.
type alarmed struct{ *Region }

// Act implements scaling.Instances.
func (r alarmed) Act(ctx context.Context, what, id string) error {
	ctx, ids := asService(ctx, "cloudwatch.amazonaws.com"), []string{id}
	var err error
	switch what {
	case "stop":
		_, err = invoke[ec2api.StopInstancesOutput](ctx, r.Region, "ec2", "StopInstances", &ec2api.StopInstancesInput{InstanceIds: ids})
	case "terminate":
		_, err = invoke[ec2api.TerminateInstancesOutput](ctx, r.Region, "ec2", "TerminateInstances", &ec2api.TerminateInstancesInput{InstanceIds: ids})
	case "reboot", "recover": // it comes up on the same machine
		_, err = invoke[ec2api.RebootInstancesOutput](ctx, r.Region, "ec2", "RebootInstances", &ec2api.RebootInstancesInput{InstanceIds: ids})
	default:
		err = fmt.Errorf("an alarm cannot %s an instance", what)
	}
	return err
}

// meters read what instances use: it is the metering loop's Host.
type meters struct{ *Region }

// Usage implements metering.Host.
func (r meters) Usage(id string) (instance.Usage, error) {
	return r.meter.Usage(filepath.Join(r.layout.cgroup(), id))
}

// Counters implements metering.Host.
func (r meters) Counters(id string) (map[string]vpc.Counters, error) {
	n, err := r.networkOf(id)
	if err != nil {
		return nil, fmt.Errorf("%w: %w", fs.ErrNotExist, err)
	}
	return n.vpc.Counters()
}

// Answers implements metering.Host.
func (r meters) Answers(id string) bool {
	p := r.host.process(id)
	return p != nil && p.Status().PID != 0
}

// insights are the clusters that Container Insights is on for: it is the metering
// loop's Clusters.
type insights struct{ *Region }

// Observed implements metering.Clusters: the clusters that log, as a cluster file's
// cloudWatch says, and those with the add-on.
func (r insights) Observed(ctx context.Context) ([]metering.ClusterSource, error) {
	clusters, _, err := r.eks.Clusters.List(ctx, "")
	if err != nil {
		return nil, err
	}
	addons, _, err := r.eks.Addons.List(ctx, "")
	if err != nil {
		return nil, err
	}
	var sources []metering.ClusterSource
	for _, name := range observed(clusters, addons) {
		c, err := r.clusterConfig(ctx, name)
		if err != nil {
			return nil, err
		}
		client, err := c.Client()
		if err != nil {
			return nil, err
		}
		sources = append(sources, metering.NewClusterSource(c.Name, client))
	}
	return sources, nil
}

// observed are the names of the clusters that Container Insights is on for.
func observed(clusters []store.Item[eks.Cluster], addons []store.Item[eks.Addon]) []string {
	with := map[string]bool{}
	for _, item := range addons {
		if item.Value.Name == eks.Observability && item.Value.Status == eks.Active {
			with[item.Value.Cluster] = true
		}
	}
	var names []string
	for _, item := range clusters {
		c := item.Value
		serves := c.Status == eks.Active || c.Status == eks.Updating
		if serves && (with[c.Name] || len(c.LogTypes) > 0) {
			names = append(names, c.Name)
		}
	}
	return names
}

// Changes implements metering.Clusters.
func (r insights) Changes(ctx context.Context) (changes <-chan struct{}, stop func()) {
	views := store.FollowAll(ctx, store.NewView(r.eks.Clusters), store.NewView(r.eks.Addons))
	return views.C, views.Close
}

// advised are the clusters that serve: it is the advising loop's Clusters. Each
// keeps its client for as long as it runs.
func (r *Region) advised() func(context.Context) ([]advising.Cluster, error) {
	known := map[*controlPlane]advising.Cluster{}
	return func(context.Context) ([]advising.Cluster, error) {
		r.mu.Lock()
		running := slices.Collect(maps.Values(r.controlPlanes))
		r.mu.Unlock()
		maps.DeleteFunc(known, func(p *controlPlane, _ advising.Cluster) bool { return !slices.Contains(running, p) })
		var all []advising.Cluster
		for _, p := range running {
			if !p.ready.Load() {
				continue
			}
			c, ok := known[p]
			if !ok {
				client, err := p.config.Client()
				if err != nil {
					return nil, err
				}
				c = advising.Cluster{Name: p.config.Name, Client: client, Usage: advising.UsageBy(client.CoreV1().RESTClient())}
				known[p] = c
			}
			all = append(all, c)
		}
		return all, nil
	}
}
