package ec2

import (
	"cmp"
	"context"
	"encoding/base64"
	"slices"
	"strings"
	"time"

	"github.com/tarn-eks/tarn/internal/api"
	ec2api "github.com/tarn-eks/tarn/internal/api/ec2"
)

// checksTake is how long after its start an instance's status is initializing:
// EC2's checks come in turns.
const checksTake = 15 * time.Second

// groupNames are all security groups' names by id.
func (s *Service) groupNames(ctx context.Context) (names, error) {
	groups, _, err := s.groups.List(ctx)
	out := make(names, len(groups))
	for _, g := range groups {
		out[g.Key] = g.Value.Name
	}
	return out, err
}

// findInstances are the instances that a call asks for by ids and filters, and
// the names of all security groups.
func (s *Service) findInstances(ctx context.Context, ids []string, filters []ec2api.Filter) ([]Instance, names, error) {
	groups, err := s.groupNames(ctx)
	if err != nil {
		return nil, nil, err
	}
	all, err := s.allInstances(ctx)
	if err != nil {
		return nil, nil, err
	}
	found, err := wanted(all, instanceIDs, func(i Instance) string { return i.ID }, ids)
	if err != nil {
		return nil, nil, err
	}
	found, err = selected(found, filters, func(i Instance) func(string) ([]string, bool) {
		return func(name string) ([]string, bool) { return s.instanceAttribute(i, groups, name) }
	})
	return found, groups, err
}

// DescribeInstances lists instances by reservation. Terminated ones are shown for
// an hour.
func (s *Service) DescribeInstances(ctx context.Context, in *ec2api.DescribeInstancesInput) (*ec2api.DescribeInstancesOutput, error) {
	if len(in.InstanceIds) > 0 && in.MaxResults != nil {
		return nil, bad("InvalidParameterCombination", "The parameter instancesSet cannot be used with the parameter maxResults")
	}
	found, groups, err := s.findInstances(ctx, in.InstanceIds, in.Filters)
	if err != nil {
		return nil, err
	}
	if err := dryRun(in.DryRun); err != nil {
		return nil, err
	}
	found, next, err := page(found, func(i Instance) string { return i.ID }, in.MaxResults, in.NextToken, 5, 1000)
	if err != nil {
		return nil, err
	}
	return &ec2api.DescribeInstancesOutput{Reservations: s.reservations(found, groups), NextToken: next}, nil
}

// reservations are the instances by the calls that launched them.
func (s *Service) reservations(instances []Instance, groups names) []ec2api.Reservation {
	order := make([]*Instance, len(instances))
	for n := range instances {
		order[n] = &instances[n]
	}
	slices.SortStableFunc(order, func(a, b *Instance) int {
		return cmp.Or(strings.Compare(a.Reservation, b.Reservation), a.LaunchIndex-b.LaunchIndex)
	})
	shown := make([]ec2api.Instance, len(order))
	for n, i := range order {
		shown[n] = s.apiInstance(i, groups)
	}
	out := []ec2api.Reservation{}
	for begin := 0; begin < len(order); {
		end := begin + 1
		for end < len(order) && order[end].Reservation == order[begin].Reservation {
			end++
		}
		out = append(out, ec2api.Reservation{
			Groups: []ec2api.GroupIdentifier{}, OwnerId: &s.scope.Account, ReservationId: new(order[begin].Reservation), Instances: shown[begin:end],
		})
		begin = end
	}
	return out
}

// DescribeInstanceStatus lists running instances, or all, with what EC2's checks
// say of them.
func (s *Service) DescribeInstanceStatus(ctx context.Context, in *ec2api.DescribeInstanceStatusInput) (*ec2api.DescribeInstanceStatusOutput, error) {
	if len(in.InstanceIds) > 0 && in.MaxResults != nil {
		return nil, bad("InvalidParameterCombination", "The parameter instancesSet cannot be used with the parameter maxResults")
	}
	found, _, err := s.findInstances(ctx, in.InstanceIds, nil)
	if err != nil {
		return nil, err
	}
	found, err = selected(found, in.Filters, func(i Instance) func(string) ([]string, bool) {
		return func(name string) ([]string, bool) { return s.statusAttribute(i, name) }
	})
	if err != nil {
		return nil, err
	}
	if err := dryRun(in.DryRun); err != nil {
		return nil, err
	}
	if !api.Val(in.IncludeAllInstances) {
		found = slices.DeleteFunc(slices.Clone(found), func(i Instance) bool { return i.State != Running })
	}
	found, next, err := page(found, func(i Instance) string { return i.ID }, in.MaxResults, in.NextToken, 5, 1000)
	if err != nil {
		return nil, err
	}
	out := &ec2api.DescribeInstanceStatusOutput{InstanceStatuses: []ec2api.InstanceStatus{}, NextToken: next}
	for _, i := range found {
		out.InstanceStatuses = append(out.InstanceStatuses, ec2api.InstanceStatus{
			AvailabilityZone: new(i.Zone), InstanceId: new(i.ID), InstanceState: i.State.api(),
			InstanceStatus: s.health(i), SystemStatus: s.health(i),
		})
	}
	return out, nil
}

// status is what the checks say, and of the single check, reachability.
func (s *Service) status(i Instance) (summary ec2api.SummaryStatus, check ec2api.StatusType) {
	switch {
	case i.State != Running:
		return "not-applicable", ""
	case s.now().Sub(i.Ran) < checksTake:
		return "initializing", "initializing"
	default:
		return "ok", "passed"
	}
}

func (s *Service) health(i Instance) *ec2api.InstanceStatusSummary {
	summary, check := s.status(i)
	out := &ec2api.InstanceStatusSummary{Status: summary}
	if check != "" {
		out.Details = []ec2api.InstanceStatusDetails{{Name: "reachability", Status: check}}
	}
	return out
}

func (s *Service) statusAttribute(i Instance, name string) ([]string, bool) {
	summary, check := s.status(i)
	switch name {
	case "instance-status.status", "system-status.status":
		return one(string(summary)), true
	case "instance-status.reachability", "system-status.reachability":
		return one(string(check)), true
	case "availability-zone", "instance-state-code", "instance-state-name":
		return s.instanceAttribute(i, nil, name)
	case "event.code", "event.description", "event.instance-event-id", "event.not-after", "event.not-before", "event.not-before-deadline":
		return nil, true
	}
	return tagValues(i.Tags, name)
}

// DescribeInstanceTopology lists the network nodes above instances. EC2 knows them
// for accelerated and HPC types, of which there are none here, and leaves out the
// others; what was asked for must exist.
func (s *Service) DescribeInstanceTopology(ctx context.Context, in *ec2api.DescribeInstanceTopologyInput) (*ec2api.DescribeInstanceTopologyOutput, error) {
	if len(in.InstanceIds) > 0 && in.MaxResults != nil {
		return nil, bad("InvalidParameterCombination", "The parameter instancesSet cannot be used with the parameter maxResults")
	}
	if _, _, err := s.findInstances(ctx, in.InstanceIds, nil); err != nil {
		return nil, err
	}
	if _, err := selected(nil, in.Filters, func(string) func(string) ([]string, bool) {
		return attributes{"availability-zone": nil, "instance-type": nil, "zone-id": nil}.get
	}); err != nil {
		return nil, err
	}
	if err := dryRun(in.DryRun); err != nil {
		return nil, err
	}
	return &ec2api.DescribeInstanceTopologyOutput{Instances: []ec2api.InstanceTopology{}}, nil
}

// Console is what an instance's console has shown.
type Console interface {
	// ConsoleOutput returns the last part of the console of an instance, up to 64
	// KiB, and when it was written. An instance that has shown nothing has none.
	ConsoleOutput(ctx context.Context, instance string) ([]byte, time.Time, error)
}

// GetConsoleOutput returns what an instance's console has shown.
func (s *Service) GetConsoleOutput(ctx context.Context, in *ec2api.GetConsoleOutputInput) (*ec2api.GetConsoleOutputOutput, error) {
	item, err := get(ctx, s.Instances, instanceIDs, *in.InstanceId)
	if err != nil {
		return nil, err
	}
	if err := dryRun(in.DryRun); err != nil {
		return nil, err
	}
	out := &ec2api.GetConsoleOutputOutput{InstanceId: in.InstanceId, Timestamp: new(item.Value.Launched)}
	if s.console == nil {
		return out, nil
	}
	text, at, err := s.console.ConsoleOutput(ctx, *in.InstanceId)
	if err != nil {
		return nil, err
	}
	if len(text) > 0 {
		out.Output, out.Timestamp = new(base64.StdEncoding.EncodeToString(text)), new(at.UTC().Truncate(time.Second))
	}
	return out, nil
}
