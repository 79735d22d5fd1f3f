package nodegroups

import (
	"bytes"
	"cmp"
	"context"
	"fmt"
	"log/slog"
	"net/netip"
	"runtime"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	ec2api "github.com/tarn-eks/tarn/internal/api/ec2"
	eksapi "github.com/tarn-eks/tarn/internal/api/eks"
	"github.com/tarn-eks/tarn/internal/loop/fleet"
	"github.com/tarn-eks/tarn/internal/service/autoscaling"
	"github.com/tarn-eks/tarn/internal/service/cloudwatch"
	"github.com/tarn-eks/tarn/internal/service/ec2"
	"github.com/tarn-eks/tarn/internal/service/eks"
	"github.com/tarn-eks/tarn/internal/store"
	"github.com/tarn-eks/tarn/internal/store/storetest"
)

// fixture is a loop with the one that launches what it asks for, and the region
// they work in: three zones with a public and a private subnet each.
type fixture struct {
	*testing.T
	server  *store.Server
	ec2     *ec2.Service
	eks     *eks.Service
	scaling *autoscaling.Service
	subnets []ec2.Subnet
	groups  map[string]string // the clusters' security groups
	profiles
	nodes nodes
	// patience is the loop's; 0 is its own.
	patience time.Duration
	clock    clock
	log      log
	ended    chan struct{}
	stop     func() error // ends the loop, and returns what it said
}

// log is the loop's, and hands on its failures to who waits for them.
type log struct {
	mu           sync.Mutex
	bytes.Buffer // to be read when the loops have ended
	failed       chan struct{}
}

func (l *log) Write(line []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if bytes.Contains(line, []byte("ERROR")) {
		select {
		case l.failed <- struct{}{}:
		default:
		}
	}
	return l.Buffer.Write(line)
}

func newFixture(t *testing.T, cidr string) *fixture {
	t.Helper()
	f := &fixture{T: t, server: storetest.Open(t), groups: map[string]string{}, nodes: nodes{cordons: make(chan struct{}, 100)}, log: log{failed: make(chan struct{})}}
	var err error
	if f.ec2, err = ec2.New(ec2.Config{Client: f.server.Client(), Account: "000000000000", Region: "ap-northeast-2", Profiles: &f.profiles}); err != nil {
		t.Fatal(err)
	}
	f.eks, err = eks.New(eks.Config{
		Client: f.server.Client(), Account: "000000000000", Region: "ap-northeast-2", Version: "1.37.2", Network: network{f.ec2}, Roles: roles{}})
	if err != nil {
		t.Fatal(err)
	}
	f.scaling = autoscaling.New(autoscaling.Config{Client: f.server.Client(), Account: "000000000000", Region: "ap-northeast-2", Now: f.clock.now})
	zones := []string{"ap-northeast-2a", "ap-northeast-2b", "ap-northeast-2c"}
	if _, f.subnets, err = f.ec2.CreateVPC(t.Context(), netip.MustParsePrefix(cidr), zones, nil); err != nil {
		t.Fatal(err)
	}
	f.cluster("eks-work")
	return f
}

// cluster makes a cluster that nodes can join.
func (f *fixture) cluster(name string) {
	f.Helper()
	_, err := f.eks.CreateCluster(f.Context(), &eksapi.CreateClusterInput{
		Name: &name, RoleArn: new(role), ResourcesVpcConfig: &eksapi.VpcConfigRequest{SubnetIds: []string{f.subnets[0].ID, f.subnets[1].ID}}})
	if err != nil {
		f.Fatal(err)
	}
	item, err := f.eks.Clusters.Get(f.Context(), name)
	if err != nil {
		f.Fatal(err)
	}
	group, err := f.ec2.CreateSecurityGroup(f.Context(), &ec2api.CreateSecurityGroupInput{
		GroupName: new("of " + name), Description: new("x"), VpcId: &item.Value.VPC})
	if err != nil {
		f.Fatal(err)
	}
	f.groups[name] = *group.GroupId
	c, err := f.eks.SetClusterNetwork(f.Context(), item.Value, eks.ClusterNetwork{SecurityGroup: *group.GroupId})
	if err == nil {
		err = f.eks.ClusterStarted(f.Context(), c, eks.Endpoint{URL: "https://x"})
	}
	if err != nil {
		f.Fatal(err)
	}
}

const role = "arn:aws:iam::000000000000:role/node"

type roles struct{}

func (roles) Trust(context.Context, string, string) (exists, trusts bool, err error) {
	return true, true, nil
}
func (roles) Exists(context.Context, string) (bool, error) { return true, nil }

// network is EKS's view of EC2.
type network struct{ ec2 *ec2.Service }

func (n network) Subnets(ctx context.Context, ids []string) ([]eks.Subnet, error) {
	var list []eks.Subnet
	for _, id := range ids {
		s, err := n.ec2.Subnets.Get(ctx, id)
		if err != nil {
			return nil, err
		}
		list = append(list, eks.Subnet{ID: id, VPC: s.Value.VPC, Zone: s.Value.Zone, Free: 100})
	}
	return list, nil
}

func (network) SecurityGroups(context.Context, []string) (map[string]string, error) { return nil, nil }

func (n network) LaunchTemplate(ctx context.Context, id, name, version string) (eks.LaunchTemplate, error) {
	t, v, data, err := n.ec2.TemplateData(ctx, id, name, version)
	return eks.LaunchTemplate{ID: t.ID, Name: t.Name, Version: fmt.Sprint(v), InstanceType: string(data.InstanceType)}, err
}

// profiles are the instance profiles that there are, by name.
type profiles struct {
	mu   sync.Mutex
	made map[string]string // role by name
	fail error
}

func (p *profiles) EnsureInstanceProfile(_ context.Context, name, role string) (string, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.fail != nil {
		return "", p.fail
	}
	if p.made == nil {
		p.made = map[string]string{}
	}
	p.made[name] = role
	return "arn:aws:iam::000000000000:instance-profile/" + name, nil
}

func (p *profiles) DeleteInstanceProfile(_ context.Context, name string) error {
	p.mu.Lock()
	defer p.mu.Unlock()
	delete(p.made, name)
	return nil
}

func (p *profiles) InstanceProfile(_ context.Context, arn string) (ec2.Profile, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	name := arn[strings.LastIndexByte(arn, '/')+1:]
	role, ok := p.made[name]
	if !ok {
		return ec2.Profile{}, store.ErrNotFound
	}
	return ec2.Profile{ARN: arn, ID: "AIPA", Name: name, RoleARN: role}, nil
}

func (p *profiles) setFail(err error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.fail = err
}

// clock is the present, or later.
type clock struct{ ahead atomic.Int64 }

func (c *clock) now() time.Time { return time.Now().Add(time.Duration(c.ahead.Load())) }

// start starts the loops; they end with the test.
func (f *fixture) start() {
	ctx, cancel := context.WithCancel(f.Context())
	logger := slog.New(slog.NewTextHandler(&f.log, nil))
	loop := &Loop{
		AutoScaling: f.scaling, EC2: f.ec2, EKS: f.eks, Client: f.server.Client(), Profiles: &f.profiles, Nodes: &f.nodes,
		Patience: f.patience, Attempts: 3, Logger: logger, Retry: time.Millisecond, Now: f.clock.now,
	}
	launching := &fleet.Loop{
		AutoScaling: f.scaling, EC2: f.ec2, Client: f.server.Client(), Alarms: store.NewCollection[cloudwatch.Alarm](f.server.Client(), "alarms"),
		Logger: logger, Retry: time.Millisecond, Now: f.clock.now,
	}
	f.ended = make(chan struct{})
	var err error
	var both sync.WaitGroup
	both.Go(func() { _ = launching.Run(ctx) })
	go func() {
		defer close(f.ended)
		err = loop.Run(ctx)
		cancel()
		both.Wait()
	}()
	f.stop = func() error {
		cancel()
		f.awaitEnd()
		return err
	}
	f.Cleanup(func() { f.stop() })
}

func (f *fixture) awaitEnd() {
	f.Helper()
	select {
	case <-f.ended:
	case <-time.After(20 * time.Second):
		f.Fatalf("the loop does not end:\n%s", stacks())
	}
}

func stacks() string {
	buf := make([]byte, 1<<20)
	return string(buf[:runtime.Stack(buf, true)])
}

func (f *fixture) group(n eks.Nodegroup) eks.Nodegroup {
	f.Helper()
	n.Cluster, n.InstanceType = cmp.Or(n.Cluster, "eks-work"), cmp.Or(n.InstanceType, "t3.small")
	if n.Subnets == nil {
		n.Subnets = []string{f.subnets[0].ID, f.subnets[1].ID, f.subnets[2].ID}
	}
	made, err := f.eks.CreateSelfManaged(f.Context(), n)
	if err != nil {
		f.Fatal(err)
	}
	if n.Managed { // the API's checks are not this package's
		item, err := f.eks.Nodegroups.Modify(f.Context(), made.Key(), func(n *eks.Nodegroup) error { n.Managed = true; return nil })
		if err != nil {
			f.Fatal(err)
		}
		made = item.Value
	}
	return made
}

func (f *fixture) scale(name string, desired int) {
	f.Helper()
	if _, err := f.eks.ScaleNodegroup(f.Context(), "eks-work", name, eks.Scaling{Min: 0, Max: 10, Desired: desired}); err != nil {
		f.Fatal(err)
	}
}

// template is the launch template of a node group.
func (f *fixture) template(n eks.Nodegroup) ec2.LaunchTemplate {
	f.Helper()
	items, _, err := f.ec2.LaunchTemplates.List(f.Context(), "")
	if err != nil {
		f.Fatal(err)
	}
	for _, item := range items {
		if item.Value.Name == "eks-"+n.ID {
			return item.Value
		}
	}
	f.Fatalf("%s has no launch template", n.Name)
	return ec2.LaunchTemplate{}
}

// alive are a group's instances that run or will.
func alive(cluster, group string, items []store.Item[ec2.Instance]) (list []ec2.Instance) {
	for _, item := range items {
		if i := item.Value; i.Alive() && i.Bootstrap.Cluster == cluster && i.Bootstrap.Nodegroup == group {
			list = append(list, i)
		}
	}
	return list
}

// await waits until so many instances of the group are alive, and returns them.
func (f *fixture) await(cluster, group string, want int) []ec2.Instance {
	f.Helper()
	return f.awaitThat(fmt.Sprintf("%d instances of %s", want, group), cluster, group, func(alive []ec2.Instance) bool { return len(alive) == want })
}

func (f *fixture) awaitThat(what, cluster, group string, condition func([]ec2.Instance) bool) []ec2.Instance {
	f.Helper()
	ctx, cancel := context.WithTimeout(f.Context(), 20*time.Second)
	defer cancel()
	follower := f.ec2.Instances.Follow(ctx, "")
	for snapshot := range follower.C {
		if alive := alive(cluster, group, snapshot.Items); condition(alive) {
			return alive
		}
	}
	err := follower.Err()
	f.stop()
	f.Fatalf("waited in vain for %s: %v; log: %s", what, err, &f.log)
	return nil
}

// launched is how many instances there are and were.
func (f *fixture) launched() int {
	f.Helper()
	items, _, err := f.ec2.Instances.List(f.Context(), "")
	if err != nil {
		f.Fatal(err)
	}
	return len(items)
}

func perZone(instances []ec2.Instance) string {
	count := map[string]int{}
	for _, i := range instances {
		count[i.Zone[len(i.Zone)-1:]]++
	}
	return fmt.Sprint(count)
}
