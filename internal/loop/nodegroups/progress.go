package nodegroups

import (
	"cmp"
	"context"
	"errors"
	"slices"

	eksapi "github.com/tarn-eks/tarn/internal/api/eks"
	"github.com/tarn-eks/tarn/internal/service/autoscaling"
	"github.com/tarn-eks/tarn/internal/service/eks"
)

// Reached says that a node group is as it should be, given its Auto Scaling group
// and the members of that.
func Reached(n eks.Nodegroup, g autoscaling.Group, members []autoscaling.Member) bool {
	if n.Resized || n.Surge > 0 || n.Applied != nil || g.Desired != n.Desired {
		return false
	}
	count, inService := 0, 0
	for _, m := range members {
		if !m.Counts() {
			continue
		}
		count++
		if m.State == autoscaling.InService && !outdated(n, m) {
			inService++
		}
	}
	return inService == n.Desired && count == n.Desired
}

// progress is how far a node group is, given what went wrong with it just now.
func (l *Loop) progress(ctx context.Context, s *seen, failure error) (eks.Progress, error) {
	if failure != nil {
		p := eks.Progress{Issues: []eks.Issue{internalFailure(failure)}, GivenUp: l.failures[s.ID]+1 >= l.attempts()}
		if e, ok := errors.AsType[issueError](failure); ok {
			p.Issues = []eks.Issue{{Code: string(e.code), Message: e.Error(), Resources: e.resources}}
			// These do not go away by being tried again.
			p.GivenUp = p.GivenUp || e.code != eksapi.NodegroupIssueCodeIamInstanceProfileNotFound
		}
		return p, nil
	}
	if s.group == nil {
		return eks.Progress{}, nil
	}
	var members []autoscaling.Member
	for _, m := range s.members {
		members = append(members, m.Value)
	}
	p := eks.Progress{Reached: Reached(s.Nodegroup, s.group.Value, members)}
	if !p.Reached && s.group.Value.Failures > 0 {
		message, err := l.launchFailure(ctx, s.GroupName)
		if err != nil {
			return p, err
		}
		if message != "" {
			p.Issues = []eks.Issue{{Code: string(eksapi.NodegroupIssueCodeAsgInstanceLaunchFailures), Message: message, Resources: []string{s.GroupName}}}
			p.GivenUp = s.group.Value.Failures >= l.attempts()
			return p, nil
		}
	}
	if settling(s.Nodegroup) {
		l.join(ctx, s, &p)
	}
	return p, nil
}

// internalFailure is an error as an issue.
func internalFailure(err error) eks.Issue {
	return eks.Issue{Code: string(eksapi.NodegroupIssueCodeInternalFailure), Message: err.Error()}
}

// launchFailure is what the group's last activity that failed says.
func (l *Loop) launchFailure(ctx context.Context, group string) (string, error) {
	activities, _, err := l.AutoScaling.Activities.List(ctx, autoscaling.Prefix(group))
	for _, a := range slices.Backward(activities) {
		if a.Value.Status == autoscaling.Failed {
			return a.Value.Message, nil
		}
	}
	return "", err
}

// settling says that a group is not ACTIVE before its nodes are Ready.
func settling(n eks.Nodegroup) bool { return n.Status != eks.Active && n.Status != eks.Deleting }

// join looks whether the group's instances are nodes. Those that have taken too
// long are an issue.
func (l *Loop) join(ctx context.Context, s *seen, p *eks.Progress) {
	names := s.nodeNames()
	missing := l.missing(ctx, s, names)
	if len(missing) == 0 {
		return
	}
	s.nodes(s.Cluster)
	p.Reached = false
	var late []string
	for _, m := range s.members {
		i := s.instances[m.Value.Instance]
		if !i.Alive() || !m.Value.Counts() || !slices.Contains(missing, i.PrivateDNSName) {
			continue
		}
		if end := i.Launched.Add(cmp.Or(l.Patience, defaultPatience)); l.now().Before(end) {
			s.at(end)
		} else {
			late = append(late, i.ID)
		}
	}
	if len(late) > 0 {
		p.Issues, p.GivenUp = []eks.Issue{{
			Code:    string(eksapi.NodegroupIssueCodeNodeCreationFailure),
			Message: "Instances failed to join the kubernetes cluster", Resources: late,
		}}, true
	}
}
