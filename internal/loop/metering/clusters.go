package metering

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"slices"
	"sync"
	"time"

	appsv1 "k8s.io/api/apps/v1"
	v1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/kubernetes"
	stats "k8s.io/kubelet/pkg/apis/stats/v1alpha1"

	"github.com/tarn-eks/tarn/internal/vpc"
)

// Clusters knows which clusters Container Insights is on for.
type Clusters interface {
	Observed(ctx context.Context) ([]ClusterSource, error)
	// Changes tells that Observed may return others than before, until ctx ends or
	// stop is called; then it is closed.
	Changes(ctx context.Context) (changes <-chan struct{}, stop func())
}

// ClusterSource is where a cluster's numbers come from.
type ClusterSource interface {
	Name() string
	// Objects lists what the cluster has.
	Objects(ctx context.Context) (Objects, error)
	// Summary is what a node's kubelet says of it and its pods.
	Summary(ctx context.Context, node string) (*stats.Summary, error)
}

// Objects are those of a cluster that metrics are made of.
type Objects struct {
	Nodes       []v1.Node
	Pods        []v1.Pod
	Services    []v1.Service
	Deployments []appsv1.Deployment
	DaemonSets  []appsv1.DaemonSet
}

// Observation is what a cluster was at a time. A node whose kubelet did not answer
// has no summary.
type Observation struct {
	At      time.Time
	Cluster string
	Objects
	Summaries map[string]*stats.Summary // by node
	// Wires are the counters of the nodes' network interfaces, by instance: kubelets
	// know those of pods only.
	Wires map[string]vpc.Counters
}

// lookTime is how long a look at a cluster may take.
const lookTime = 10 * time.Second

// observe looks at the clusters every interval, and at once at one that it is newly
// on for, until ctx ends.
func (l *Loop) observe(ctx context.Context, interval time.Duration) {
	last := map[string]*Observation{}
	changes, stop := l.cfg.Clusters.Changes(ctx)
	defer stop()
	tick := time.NewTicker(interval)
	defer tick.Stop()
	last = l.look(ctx, last, true)
	for {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
			last = l.look(ctx, last, true)
		case _, ok := <-changes:
			if !ok {
				changes = nil
			}
			last = l.look(ctx, last, false)
		}
	}
}

// look observes each cluster once, or only those that were not observed before, and
// returns what it saw, for the next look.
func (l *Loop) look(ctx context.Context, last map[string]*Observation, all bool) map[string]*Observation {
	sources, err := l.cfg.Clusters.Observed(ctx)
	if ctx.Err() != nil {
		return last
	}
	l.report("clusters", err)
	if err != nil {
		return last
	}
	seen := map[string]*Observation{}
	for _, source := range sources {
		name := source.Name()
		if was := last[name]; was != nil && !all {
			seen[name] = was
			continue
		}
		now, err := observe(ctx, source)
		if now != nil {
			now.Wires = l.wires(ctx, now.Nodes)
			err = errors.Join(err, l.cfg.Sink.Put(ctx, Insights(last[name], now)))
			seen[name] = now
		}
		if ctx.Err() != nil {
			return last
		}
		l.report("cluster "+name, err)
	}
	for name := range last {
		if seen[name] == nil {
			l.forget("cluster "+name, sources)
		}
	}
	return seen
}

// wires reads the counters of nodes' network interfaces. That of a node which is no
// instance, or does not run any more, is left out.
func (l *Loop) wires(ctx context.Context, nodes []v1.Node) map[string]vpc.Counters {
	found, networks := map[string]vpc.Counters{}, map[string]map[string]vpc.Counters{}
	for _, n := range nodes {
		i, err := l.cfg.EC2.Instances.Get(ctx, instanceID(n))
		if err != nil {
			continue
		}
		if _, ok := networks[i.Value.VPC]; !ok {
			networks[i.Value.VPC], _ = l.cfg.Host.Counters(i.Value.VPC) // what fails is said each second
		}
		if c, ok := networks[i.Value.VPC][i.Value.ENI]; ok {
			found[i.Key] = c
		}
	}
	return found
}

// forget forgets what was said of a cluster that is not observed any more.
func (l *Loop) forget(what string, sources []ClusterSource) {
	if slices.ContainsFunc(sources, func(s ClusterSource) bool { return "cluster "+s.Name() == what }) {
		return
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	delete(l.said, what)
}

// observe looks at a cluster. With the error there may be an observation of the
// nodes that did answer.
func observe(ctx context.Context, source ClusterSource) (*Observation, error) {
	ctx, cancel := context.WithTimeout(ctx, lookTime)
	defer cancel()
	objects, err := source.Objects(ctx)
	if err != nil {
		return nil, err
	}
	o := &Observation{At: time.Now(), Cluster: source.Name(), Objects: objects, Summaries: map[string]*stats.Summary{}}
	var (
		asking sync.WaitGroup
		mu     sync.Mutex // guards o.Summaries and errs
		errs   = map[string]error{}
	)
	for _, n := range objects.Nodes {
		asking.Go(func() {
			s, err := source.Summary(ctx, n.Name)
			mu.Lock()
			defer mu.Unlock()
			switch {
			case err == nil:
				o.Summaries[n.Name] = s
			case ready(n): // what does not run need not answer
				errs[n.Name] = fmt.Errorf("node %s: %w", n.Name, err)
			}
		})
	}
	asking.Wait()
	var joined error
	for _, name := range slices.Sorted(maps.Keys(errs)) {
		joined = errors.Join(joined, errs[name])
	}
	return o, joined
}

// cluster is a ClusterSource through the cluster's API server.
type cluster struct {
	name   string
	client kubernetes.Interface
}

// NewClusterSource asks a cluster's API server, which asks the kubelets. The client
// is one that may see everything.
func NewClusterSource(name string, client kubernetes.Interface) ClusterSource {
	return cluster{name, client}
}

func (c cluster) Name() string { return c.name }

func (c cluster) Objects(ctx context.Context) (o Objects, err error) {
	// The API server answers from its cache: a minute's picture need not be newer.
	options := metav1.ListOptions{ResourceVersion: "0"}
	nodes, err := c.client.CoreV1().Nodes().List(ctx, options)
	if err != nil {
		return o, fmt.Errorf("listing nodes: %w", err)
	}
	pods, err := c.client.CoreV1().Pods("").List(ctx, options)
	if err != nil {
		return o, fmt.Errorf("listing pods: %w", err)
	}
	services, err := c.client.CoreV1().Services("").List(ctx, options)
	if err != nil {
		return o, fmt.Errorf("listing services: %w", err)
	}
	deployments, err := c.client.AppsV1().Deployments("").List(ctx, options)
	if err != nil {
		return o, fmt.Errorf("listing deployments: %w", err)
	}
	daemonSets, err := c.client.AppsV1().DaemonSets("").List(ctx, options)
	if err != nil {
		return o, fmt.Errorf("listing daemon sets: %w", err)
	}
	return Objects{nodes.Items, pods.Items, services.Items, deployments.Items, daemonSets.Items}, nil
}

func (c cluster) Summary(ctx context.Context, node string) (*stats.Summary, error) {
	data, err := c.client.CoreV1().RESTClient().Get().
		Resource("nodes").Name(node).SubResource("proxy").Suffix("stats/summary").DoRaw(ctx)
	if err != nil {
		return nil, fmt.Errorf("asking the kubelet: %w", err)
	}
	return parseSummary(data)
}

func parseSummary(data []byte) (*stats.Summary, error) {
	var s stats.Summary
	if err := json.Unmarshal(data, &s); err != nil {
		return nil, fmt.Errorf("decoding what the kubelet says: %w", err)
	}
	return &s, nil
}
