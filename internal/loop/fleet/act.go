package fleet

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/tarn-eks/tarn/internal/service/autoscaling"
	"github.com/tarn-eks/tarn/internal/service/ec2"
	"github.com/tarn-eks/tarn/internal/store"
)

// act carries a decision out. What somebody else has changed since it was made is
// left for the next one.
func (l *Loop) act(ctx context.Context, s seen, d Decision) error {
	var errs []error
	for _, c := range d.Changes {
		err := l.write(ctx, s, c)
		if err == nil {
			err = l.do(ctx, s, c)
		}
		errs = append(errs, unless(err, "member "+c.Member.Instance))
	}
	for name, instances := range d.Register {
		errs = append(errs, unless(l.Balancers.Register(ctx, name, instances), "registering with "+name))
	}
	for name, instances := range d.Deregister {
		errs = append(errs, unless(l.Balancers.Deregister(ctx, name, instances), "deregistering from "+name))
	}
	errs = append(errs, l.refresh(ctx, s, d))
	var failed []string // subnets
	for _, launch := range d.Launch {
		if err := l.launch(ctx, s, launch); err != nil && ctx.Err() == nil {
			failed = append(failed, launch.Subnet)
			errs = append(errs, l.failed(ctx, s, launch, err))
		}
	}
	errs = append(errs, l.note(ctx, s, d, failed))
	if d.Removed {
		errs = append(errs, unless(l.AutoScaling.RemoveGroup(ctx, s.item), "removing"))
	}
	return errors.Join(errs...)
}

// unless is an error, unless it says that another was faster.
func unless(err error, what string) error {
	if err == nil || errors.Is(err, store.ErrConflict) || errors.Is(err, store.ErrNotFound) || errors.Is(err, store.ErrExists) {
		return nil
	}
	return fmt.Errorf("%s: %w", what, err)
}

// write records what becomes of a member, and its activity with it. It returns
// store.ErrConflict if the member was changed since it was read.
func (l *Loop) write(ctx context.Context, s seen, c Change) error {
	ops, err := l.activity(ctx, s, &c)
	if err != nil {
		return err
	}
	have := s.items[c.Member.Instance]
	have.Value = c.Member
	switch {
	case c.New:
		ops = append(ops, l.AutoScaling.Members.CreateOp(c.Member.Key(), c.Member))
	case c.Gone:
		ops = append(ops, l.AutoScaling.Members.DeleteOp(have))
	default:
		ops = append(ops, l.AutoScaling.Members.UpdateOp(have))
	}
	_, err = store.Commit(ctx, l.Client, ops...)
	return err
}

// activity is what is written of a change's activities.
func (l *Loop) activity(ctx context.Context, s seen, c *Change) ([]store.Op, error) {
	var ops []store.Op
	item, err := l.AutoScaling.Activities.Get(ctx, autoscaling.Activity{Group: s.Group.Name, ID: c.Member.Activity}.Key())
	open := err == nil && item.Value.End.IsZero()
	if c.Member.Activity != "" && err != nil && !errors.Is(err, store.ErrNotFound) {
		return nil, err
	}
	if b := c.Starts; b != nil {
		what, _, _ := strings.Cut(b.Description, ":")
		if open && strings.HasPrefix(item.Value.Description, what) { // who asked has begun it
			return nil, nil
		}
		if open {
			item.Value.Finish(l.now(), autoscaling.Cancelled, c.Message)
			ops = append(ops, l.AutoScaling.Activities.UpdateOp(item))
		}
		a := l.AutoScaling.NewActivity(s.Group, b.Description, b.Cause, autoscaling.Details(c.Member.Subnet, c.Member.Zone))
		a.Status, a.Progress = autoscaling.InProgress, 0
		if c.New {
			a.Status, a.Progress = autoscaling.PreInService, 30
		}
		if c.Gone { // the instance had ended before anybody saw why
			a.Finish(l.now(), autoscaling.Successful, c.Message)
		}
		c.Member.Activity = a.ID
		return append(ops, l.AutoScaling.Activities.CreateOp(a.Key(), a)), nil
	}
	if !open || c.Status == "" {
		return nil, nil
	}
	before := item.Value
	switch c.Status {
	case autoscaling.Successful, autoscaling.Failed, autoscaling.Cancelled:
		item.Value.Finish(l.now(), c.Status, c.Message)
		c.Member.Activity = ""
	default:
		item.Value.Status, item.Value.Progress = c.Status, max(item.Value.Progress, c.Progress)
	}
	if item.Value == before {
		return nil, nil
	}
	return []store.Op{l.AutoScaling.Activities.UpdateOp(item)}, nil
}

// do does to a member's instance what its state asks for.
func (l *Loop) do(ctx context.Context, s seen, c Change) error {
	id := c.Member.Instance
	var err error
	switch c.Do {
	case Terminate:
		if err = l.EC2.Terminate(ctx, id, "Service initiated"); err == nil {
			l.Logger.Info("terminated an instance", "group", s.Group.Name, "instance", id)
		}
	case Stop:
		err = l.EC2.Stop(ctx, id, "Service initiated")
	case Start:
		err = l.EC2.Start(ctx, id)
	case Tag, Untag:
		_, err = l.EC2.Instances.Modify(ctx, id, func(i *ec2.Instance) error {
			if i.Tags == nil {
				i.Tags = map[string]string{}
			}
			if c.Do == Tag {
				i.Tags[GroupTag] = s.Group.Name
			} else {
				delete(i.Tags, GroupTag)
			}
			return nil
		})
	}
	return err
}

// refresh records how far an instance refresh is, and gives the group what it has
// brought.
func (l *Loop) refresh(ctx context.Context, s seen, d Decision) error {
	if d.Refresh == nil || s.refresh == nil {
		return nil
	}
	item := *s.refresh
	item.Value = *d.Refresh
	ops := []store.Op{l.AutoScaling.Refreshes.UpdateOp(item)}
	if d.Configure != nil {
		group := s.item
		configure(&group.Value, *d.Configure)
		ops = append(ops, l.AutoScaling.Groups.UpdateOp(group))
	}
	_, err := store.Commit(ctx, l.Client, ops...)
	return unless(err, "instance refresh")
}

// note records in the group what the decision has come to.
func (l *Loop) note(ctx context.Context, s seen, d Decision, failed []string) error {
	_, err := l.AutoScaling.Groups.Modify(ctx, s.Group.Name, func(g *autoscaling.Group) error {
		if g.ID != s.Group.ID {
			return nil
		}
		switch {
		case len(failed) > 0:
			g.Failures++
			for _, subnet := range failed {
				if !slices.Contains(g.FailedIn, subnet) {
					g.FailedIn = append(g.FailedIn, subnet)
				}
			}
			g.RetryAt = l.now().Add(backoff(l.retry(), g.Failures))
		case len(d.Launch) > 0:
			g.Failures, g.FailedIn, g.RetryAt = 0, nil, time.Time{}
		}
		if told := len(s.Group.Reasons); d.Told && len(failed) == 0 && len(g.Reasons) >= told && slices.Equal(g.Reasons[:told], s.Group.Reasons) {
			g.Reasons = g.Reasons[told:]
		}
		if d.scaled() {
			g.Scaled = l.now()
		}
		g.Leaving = slices.DeleteFunc(g.Leaving, func(name string) bool { return slices.Contains(d.Left, name) })
		if d.PoolRemoved && g.WarmPool != nil && g.WarmPool.Deleting {
			g.WarmPool = nil
		}
		return nil
	})
	return unless(err, "group")
}

// scaled says that an activity ends that a cooldown follows: an instance has come
// into service, or has ended.
func (d Decision) scaled() bool {
	return slices.ContainsFunc(d.Changes, func(c Change) bool {
		return c.Status == autoscaling.Successful && (c.Gone || c.Member.State == autoscaling.InService)
	})
}
