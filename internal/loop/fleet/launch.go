package fleet

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"strings"
	"time"

	"github.com/tarn-eks/tarn/internal/api"
	"github.com/tarn-eks/tarn/internal/instancetype"
	"github.com/tarn-eks/tarn/internal/service/autoscaling"
	"github.com/tarn-eks/tarn/internal/service/ec2"
	"github.com/tarn-eks/tarn/internal/store"
	"github.com/tarn-eks/tarn/internal/subnet"
)

// launch launches instances of the first of the group's types that can be, and
// makes them its members. That they carry its tag makes them so if the region is
// killed in between.
func (l *Loop) launch(ctx context.Context, s seen, launch Launch) error {
	if s.Source.err != nil {
		return s.Source.err
	}
	var errs []error
	for _, c := range s.Source.Choices {
		launched, err := l.EC2.Launch(ctx, input(s.Group, c, launch))
		if err != nil {
			errs = append(errs, err)
			continue
		}
		for _, i := range launched {
			l.Logger.Info("launched an instance", "group", s.Group.Name, "instance", i.ID, "zone", i.Zone)
			if err := l.join(ctx, s, launch, i); err != nil {
				return err
			}
		}
		if len(launched) < launch.Count {
			return fmt.Errorf("launching instances: %w", subnet.ErrFull)
		}
		return nil
	}
	return errors.Join(errs...)
}

// join makes an instance that was launched a member, with its activity.
func (l *Loop) join(ctx context.Context, s seen, launch Launch, i ec2.Instance) error {
	m := s.Source.member(s.Group, i, l.now())
	change := Change{Member: m, New: true, Starts: &Activity{launching(i.ID), launch.Cause}}
	if launch.Warm {
		change.Member.State = autoscaling.WarmedPending
		change.Starts.Description = fmt.Sprintf("Launching a new EC2 instance into warm pool: %s", i.ID)
	}
	return l.write(ctx, s, change)
}

// input is what instances are launched with.
func input(g autoscaling.Group, c Choice, launch Launch) ec2.LaunchInput {
	in := c.input
	in.Type, in.Subnet, in.Count, in.Least = c.Type, launch.Subnet, launch.Count, 1
	in.Spot, in.Owner = launch.Spot, "autoscaling"
	in.Tags = maps.Clone(in.Tags)
	for _, t := range g.Tags {
		if t.Propagate {
			in.Tags[t.Key] = t.Value
		}
	}
	in.Tags[GroupTag] = g.Name
	if c.Template != "" {
		in.Tags[templateTag], in.Tags[versionTag] = c.Template, c.Version
	}
	for _, key := range []string{"eks:nodegroup-name", "alpha.eksctl.io/nodegroup-name"} {
		if name := in.Tags[key]; name != "" && in.Bootstrap.Cluster != "" {
			in.Bootstrap.Nodegroup = name
			break
		}
	}
	return in
}

// failed notes a launch that failed, and when the next is tried.
func (l *Loop) failed(ctx context.Context, s seen, launch Launch, cause error) error {
	details := autoscaling.Details(launch.Subnet, s.Zones[launch.Subnet])
	a := l.AutoScaling.NewActivity(s.Group, launching(""), launch.Cause, details)
	a.Finish(l.now(), autoscaling.Failed, message(cause, launch.Spot))
	if _, err := l.AutoScaling.Activities.Create(ctx, a.Key(), a); err != nil {
		return err
	}
	l.Logger.Error("launching an instance", "group", s.Group.Name, "subnet", launch.Subnet, "error", cause)
	return nil
}

// backoff is the pause after so many failures.
func backoff(first time.Duration, failures int) time.Duration {
	return min(first<<min(max(0, failures-1), 16), max(first, time.Minute))
}

// message is a failed launch in AWS's words.
func message(err error, spot bool) string {
	kind := "On-Demand"
	if spot {
		kind = "Spot"
	}
	code, text := api.Code(err), err.Error()
	var unknown *instancetype.UnknownError
	switch {
	case code != "":
		if e, ok := errors.AsType[*api.Error](err); ok {
			text = e.Message
		}
		if strings.HasPrefix(code, "InvalidLaunchTemplate") {
			return "You must use a valid fully-formed launch template. " + text + " Launching EC2 instance failed."
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
	return fmt.Sprintf("Could not launch %s Instances. %s - %s. Launching EC2 instance failed.", kind, code, strings.TrimSuffix(text, "."))
}
