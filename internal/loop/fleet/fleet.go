// Package fleet is the loop that keeps as many instances as a node group asks
// for: it reads node groups and instances, decides in Plan, launches and
// terminates instances through EC2, and tells EKS how far a group is.
package fleet

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"strings"
	"time"

	"github.com/tarn-eks/tarn/internal/api"
	eksapi "github.com/tarn-eks/tarn/internal/api/eks"
	"github.com/tarn-eks/tarn/internal/instancetype"
	"github.com/tarn-eks/tarn/internal/service/ec2"
	"github.com/tarn-eks/tarn/internal/service/eks"
	"github.com/tarn-eks/tarn/internal/store"
	"github.com/tarn-eks/tarn/internal/subnet"
)

// Profiles makes the instance profiles of node groups, which is IAM's.
type Profiles interface {
	// EnsureInstanceProfile makes an instance profile with the role, or finds it.
	EnsureInstanceProfile(ctx context.Context, name, roleARN string) (arn string, err error)
	// DeleteInstanceProfile removes it; nil if there is none.
	DeleteInstanceProfile(ctx context.Context, name string) error
}

// Nodes changes the nodes of clusters.
type Nodes interface {
	// Configure gives the nodes (by name; those that do not exist are left out) the
	// labels and taints in want, and takes those away that are only in was.
	Configure(ctx context.Context, cluster string, nodes []string, was, want eks.NodeConfig) error
	// Missing returns those of the nodes (by name) that are not Ready.
	Missing(ctx context.Context, cluster string, nodes []string) ([]string, error)
}

// Loop brings node groups to their size.
type Loop struct {
	EC2      *ec2.Service
	EKS      *eks.Service
	Profiles Profiles
	Nodes    Nodes
	Logger   *slog.Logger
	// Retry is the pause after a failure; 0 means two seconds.
	Retry time.Duration
	// Attempts is how often a group is tried before its status says that it has
	// failed; 0 means five. It is tried on and on.
	Attempts int
	// Patience is how long an instance may take to become a node; 0 means 15 minutes.
	Patience time.Duration

	failures map[string]int // by group's ID, one after the other
}

const (
	defaultRetry    = 2 * time.Second
	defaultAttempts = 5
	defaultPatience = 15 * time.Minute
	// joinPause is between two looks at nodes that are about to join.
	joinPause = 500 * time.Millisecond
)

// Run acts on every change of a node group, an instance or a cluster until ctx
// ends.
func (l *Loop) Run(ctx context.Context) error {
	ctx, cancel := context.WithCancel(ctx)
	groups := l.EKS.Nodegroups.Follow(ctx, "")
	instances := l.EC2.Instances.Follow(ctx, "")
	clusters := l.EKS.Clusters.Follow(ctx, "")
	defer func() {
		cancel()
		for range groups.C { // until it has ended
		}
		for range instances.C {
		}
		for range clusters.C {
		}
	}()
	l.failures = map[string]int{}
	var again <-chan time.Time // after a failure, or while nodes join
	for {
		select {
		case _, ok := <-groups.C:
			if !ok {
				return groups.Err()
			}
		case _, ok := <-instances.C:
			if !ok {
				return instances.Err()
			}
		case _, ok := <-clusters.C:
			if !ok {
				return clusters.Err()
			}
		case <-again:
		}
		again = nil
		joining, err := l.reconcile(ctx)
		switch {
		case err != nil && ctx.Err() == nil:
			l.Logger.Error("bringing node groups to their size", "error", err)
			again = time.After(cmp.Or(l.Retry, defaultRetry))
		case joining:
			again = time.After(joinPause)
		}
	}
}

// reconcile reads afresh, because its own launches are changes too. What one
// group cannot have does not keep the others from theirs. joining says that
// instances have still to become nodes, which nothing here would tell of.
func (l *Loop) reconcile(ctx context.Context) (joining bool, err error) {
	groups, _, err := l.EKS.Nodegroups.List(ctx, "")
	if err != nil {
		return false, err
	}
	instances, _, err := l.EC2.Instances.List(ctx, "")
	if err != nil {
		return false, err
	}
	clusters, _, err := l.EKS.Clusters.List(ctx, "")
	if err != nil {
		return false, err
	}
	byName := map[string]eks.Cluster{}
	for _, c := range clusters {
		byName[c.Key] = c.Value
	}
	failures := map[string]int{}
	var errs []error
	for _, group := range groups {
		id := group.Value.ID
		waits, err := l.reconcileGroup(ctx, group, byName[group.Value.Cluster], members(group.Value, instances))
		joining = joining || waits
		if err != nil {
			failures[id] = l.failures[id] + 1
			errs = append(errs, fmt.Errorf("node group %s: %w", group.Value.Name, err))
		}
	}
	l.failures = failures
	return joining, errors.Join(errs...)
}

// members are the group's instances that have not ended.
func members(group eks.Nodegroup, instances []store.Item[ec2.Instance]) []ec2.Instance {
	var list []ec2.Instance
	for _, item := range instances {
		if i := item.Value; i.State != ec2.Terminated && i.Tags[groupTag] == group.GroupName {
			list = append(list, i)
		}
	}
	return list
}

func (l *Loop) reconcileGroup(ctx context.Context, item store.Item[eks.Nodegroup], cluster eks.Cluster, members []ec2.Instance) (joining bool, err error) {
	group := item.Value
	p := progress(group, members)
	var issues []eks.Issue
	err = l.apply(ctx, group, cluster, Plan(group, slices.DeleteFunc(slices.Clone(members), func(i ec2.Instance) bool {
		return i.State == ec2.ShuttingDown
	})), &issues)
	if err == nil && group.Applied != nil && group.Status != eks.Deleting {
		err = l.configure(ctx, group, members)
	}
	if err == nil && group.Status == eks.Deleting && p.Empty && group.Managed {
		err = l.Profiles.DeleteInstanceProfile(ctx, group.InstanceProfile())
	}
	if err != nil {
		if len(issues) == 0 {
			issues = append(issues, eks.Issue{Code: string(eksapi.NodegroupIssueCodeInternalFailure), Message: err.Error()})
		}
		p.Reached, p.Empty = false, false
		p.Issues = issues
		p.GivenUp = l.failures[group.ID]+1 >= cmp.Or(l.Attempts, defaultAttempts)
	}
	if p.Reached && settling(group) {
		if issue := l.join(ctx, group, members); issue != nil {
			p.Reached, joining = false, true
			if issue.Code != "" {
				p.Issues, p.GivenUp = []eks.Issue{*issue}, true
			}
		}
	}
	if ctx.Err() != nil {
		return false, ctx.Err()
	}
	return joining, errors.Join(err, l.EKS.NodegroupProgress(ctx, item, p))
}

// settling says that a group is not ACTIVE before its nodes are Ready.
func settling(group eks.Nodegroup) bool {
	return group.Status != eks.Active && group.Status != eks.Deleting
}

// join returns nil when the group's instances are nodes. Otherwise its result
// has a code if they have taken too long.
func (l *Loop) join(ctx context.Context, group eks.Nodegroup, members []ec2.Instance) *eks.Issue {
	var names []string
	for _, i := range members {
		names = append(names, i.PrivateDNSName)
	}
	missing, err := l.Nodes.Missing(ctx, group.Cluster, names)
	if err != nil {
		l.Logger.Debug("looking for the nodes of a group", "group", group.GroupName, "error", err)
		missing = names // the API server may be starting
	}
	if len(missing) == 0 {
		return nil
	}
	var late []string
	for _, i := range members {
		if slices.Contains(missing, i.PrivateDNSName) && time.Since(i.Launched) > cmp.Or(l.Patience, defaultPatience) {
			late = append(late, i.ID)
		}
	}
	if len(late) == 0 {
		return &eks.Issue{}
	}
	return &eks.Issue{
		Code:    string(eksapi.NodegroupIssueCodeNodeCreationFailure),
		Message: "Instances failed to join the kubernetes cluster", Resources: late,
	}
}

// configure brings labels and taints that were changed to the nodes.
func (l *Loop) configure(ctx context.Context, group eks.Nodegroup, members []ec2.Instance) error {
	var nodes []string
	for _, i := range members {
		if i.Alive() {
			nodes = append(nodes, i.PrivateDNSName)
		}
	}
	if err := l.Nodes.Configure(ctx, group.Cluster, nodes, *group.Applied, group.Config()); err != nil {
		return fmt.Errorf("changing the nodes' labels and taints: %w", err)
	}
	return l.EKS.ConfigApplied(ctx, group)
}

// apply carries a decision out, and adds what went wrong with launches to issues.
func (l *Loop) apply(ctx context.Context, group eks.Nodegroup, cluster eks.Cluster, d Decision, issues *[]eks.Issue) error {
	var errs []error
	for _, id := range d.Terminate {
		if err := l.EC2.Terminate(ctx, id, "the group is larger than desired"); err != nil && !errors.Is(err, store.ErrNotFound) {
			errs = append(errs, err)
			continue
		}
		l.Logger.Info("terminated an instance", "group", group.GroupName, "instance", id)
	}
	if len(d.Launch) == 0 || cluster.Endpoint.URL == "" { // no node could join
		return errors.Join(errs...)
	}
	input, err := l.launchInput(ctx, group, cluster)
	if err != nil {
		*issues = append(*issues, issueOf(group, err))
		return errors.Join(append(errs, err)...)
	}
	for _, launch := range d.Launch {
		input.Subnet, input.Count = launch.Subnet, launch.Count
		launched, err := l.launch(ctx, group, input)
		if err != nil {
			*issues = append(*issues, issueOf(group, err))
			errs = append(errs, err)
		}
		for _, i := range launched {
			l.Logger.Info("launched an instance", "group", group.GroupName, "instance", i.ID, "zone", i.Zone)
		}
	}
	return errors.Join(errs...)
}

// launch launches instances of the first of the group's types that can be.
func (l *Loop) launch(ctx context.Context, group eks.Nodegroup, input ec2.LaunchInput) ([]ec2.Instance, error) {
	types := group.InstanceTypes
	if len(types) == 0 {
		types = []string{group.InstanceType}
	}
	var errs []error
	for _, t := range types {
		input.Type = t
		launched, err := l.EC2.Launch(ctx, input)
		if err == nil {
			return launched, nil
		}
		errs = append(errs, err)
	}
	return nil, errors.Join(errs...)
}

// profileError says that there is no instance profile for the group.
type profileError struct{ error }

func (e profileError) Unwrap() error { return e.error }

// issueOf is a failed launch as the group's health shows it: in the words of
// Auto Scaling, whose activity it is.
func issueOf(group eks.Nodegroup, err error) eks.Issue {
	if _, ok := errors.AsType[profileError](err); ok {
		return eks.Issue{Code: string(eksapi.NodegroupIssueCodeIamInstanceProfileNotFound), Message: err.Error(), Resources: []string{group.InstanceProfile()}}
	}
	kind, message := "On-Demand", err.Error()
	if group.Spot {
		kind = "Spot"
	}
	code := api.Code(err)
	var unknown *instancetype.UnknownError
	switch {
	case code != "":
		if e, ok := errors.AsType[*api.Error](err); ok {
			message = e.Message
		}
	case errors.Is(err, subnet.ErrFull):
		code = "InsufficientFreeAddressesInSubnet"
	case errors.As(err, &unknown):
		code = "InvalidInstanceType"
	case errors.Is(err, store.ErrNotFound):
		code = "InvalidParameterValue"
	default:
		code = "InternalError"
	}
	return eks.Issue{
		Code:      string(eksapi.NodegroupIssueCodeAsgInstanceLaunchFailures),
		Message:   fmt.Sprintf("Could not launch %s Instances. %s - %s. Launching EC2 instance failed.", kind, code, strings.TrimSuffix(message, ".")),
		Resources: []string{group.GroupName},
	}
}
