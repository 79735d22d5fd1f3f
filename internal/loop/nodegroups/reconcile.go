package nodegroups

import (
	"context"
	"errors"
	"fmt"

	eksapi "github.com/tarn-eks/tarn/internal/api/eks"
	"github.com/tarn-eks/tarn/internal/service/ec2"
	"github.com/tarn-eks/tarn/internal/service/eks"
	"github.com/tarn-eks/tarn/internal/store"
)

// issueError is an error that a node group's health shows as an issue of its own.
type issueError struct {
	error
	code      eksapi.NodegroupIssueCode
	resources []string
}

func (e issueError) Unwrap() error { return e.error }

// reconcileGroup does the next steps for a node group. Each writes what the next
// look begins from; only what fails is tried again.
func (l *Loop) reconcileGroup(ctx context.Context, s *seen) error {
	if s.Status == eks.Deleting {
		return l.delete(ctx, s)
	}
	var changed bool
	err := l.provide(ctx, s)
	if err == nil && s.group != nil {
		if changed, err = l.resize(ctx, s); err == nil && !changed {
			changed, err = l.roll(ctx, s)
		}
	}
	if err == nil {
		err = l.hooks(ctx, s)
	}
	if err == nil && s.Applied != nil {
		err = l.configure(ctx, s)
	}
	if changed && err == nil {
		return nil // what was written tells of itself
	}
	p, progressErr := l.progress(ctx, s, err)
	if ctx.Err() != nil {
		return ctx.Err()
	}
	return errors.Join(err, progressErr, l.EKS.NodegroupProgress(ctx, s.item, p))
}

// delete ends a node group: its instances with its Auto Scaling group, then what
// was made for it.
func (l *Loop) delete(ctx context.Context, s *seen) error {
	empty := s.group == nil && !s.living()
	var err error
	switch {
	case s.group != nil && !s.group.Value.Deleting:
		err = l.AutoScaling.DeleteGroup(ctx, s.GroupName, false)
	case empty:
		if err = l.deleteTemplate(ctx, s.Nodegroup); err == nil && s.Managed {
			err = l.Profiles.DeleteInstanceProfile(ctx, s.InstanceProfile())
		}
	default:
		err = l.hooks(ctx, s)
	}
	p := eks.Progress{Empty: empty && err == nil}
	if err != nil {
		p.Issues = []eks.Issue{internalFailure(err)}
		p.GivenUp = l.failures[s.ID]+1 >= l.attempts()
	}
	return errors.Join(err, l.EKS.NodegroupProgress(ctx, s.item, p))
}

// living says that an instance of the group has not ended.
func (s *seen) living() bool {
	for _, i := range s.instances {
		if i.Tags[groupTag] == s.GroupName && i.State != ec2.Terminated {
			return true
		}
	}
	return false
}

// groupTag is the tag by which the instances of a group are known.
const groupTag = "aws:autoscaling:groupName"

// names are the nodes of the members' instances that run or will.
func (s *seen) nodeNames() []string {
	var names []string
	for _, m := range s.members {
		if i := s.instances[m.Value.Instance]; i.Alive() {
			names = append(names, i.PrivateDNSName)
		}
	}
	return names
}

// configure brings labels and taints that were changed to the nodes.
func (l *Loop) configure(ctx context.Context, s *seen) error {
	if err := l.Nodes.Configure(ctx, s.Cluster, s.nodeNames(), *s.Applied, s.Config()); err != nil {
		return fmt.Errorf("changing the nodes' labels and taints: %w", err)
	}
	return l.EKS.ConfigApplied(ctx, s.Nodegroup)
}

// provide makes what the node group's instances are launched from, and the group.
// Where it is there and as it should be, nothing is written.
func (l *Loop) provide(ctx context.Context, s *seen) error {
	if s.group == nil && s.Grouped {
		return issueError{
			errors.New("We couldn't find the Auto Scaling group associated with the managed node group. You may be able to recreate an Auto Scaling group with the same settings to recover."), //nolint:staticcheck // EKS's words
			eksapi.NodegroupIssueCodeAutoScalingGroupNotFound, []string{s.GroupName},
		}
	}
	if s.cluster.Endpoint.URL == "" { // no node could join
		return nil
	}
	template, found, err := l.template(ctx, s.Nodegroup)
	if err != nil {
		return err
	}
	complete := found && template.Latest >= int64(s.Revision)
	if s.RoleARN != "" && (!complete || s.Resized || s.group == nil || s.group.Value.Failures > 0) {
		if _, err := l.Profiles.EnsureInstanceProfile(ctx, s.InstanceProfile(), s.RoleARN); err != nil {
			return issueError{
				fmt.Errorf("making the instance profile of %s: %w", s.RoleARN, err),
				eksapi.NodegroupIssueCodeIamInstanceProfileNotFound, []string{s.InstanceProfile()},
			}
		}
	}
	if !complete {
		if template, err = l.makeTemplate(ctx, s, template, found); err != nil {
			return err
		}
	}
	return l.ensureGroup(ctx, s, template.ID)
}

func (l *Loop) ensureGroup(ctx context.Context, s *seen, template string) error {
	want := Group(s.Nodegroup, template)
	if s.group == nil {
		if _, err := l.AutoScaling.CreateGroup(ctx, want); err != nil {
			return err
		}
	}
	if !s.Grouped {
		_, err := l.EKS.Nodegroups.Modify(ctx, s.Key(), func(n *eks.Nodegroup) error {
			if n.ID == s.ID {
				n.Grouped = true
				n.Resized = n.Resized && (s.group != nil || n.Scaling() != s.Scaling())
			}
			return nil
		})
		return err
	}
	if s.group.Value.Owner != owner { // somebody's of the same name
		return fmt.Errorf("the Auto Scaling group %s is not of this node group", s.GroupName)
	}
	if same(want.Mixed, s.group.Value.Mixed) {
		return nil
	}
	s.group.Value.Mixed = want.Mixed
	item, err := l.AutoScaling.Groups.Update(ctx, *s.group)
	if errors.Is(err, store.ErrConflict) || errors.Is(err, store.ErrNotFound) {
		return nil // the next look sees why
	}
	s.group = &item
	return err
}
