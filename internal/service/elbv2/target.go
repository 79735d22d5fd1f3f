package elbv2

import (
	"context"
	"regexp"
	"slices"
	"strings"

	"github.com/tarn-eks/tarn/internal/api"
	elbv2api "github.com/tarn-eks/tarn/internal/api/elbv2"
	"github.com/tarn-eks/tarn/internal/loadbalancer"
)

var instanceID = regexp.MustCompile(`^i-[0-9a-f]+$`)

// readTargets reads targets as a request gives them. One without a port has port 0.
func readTargets(in []elbv2api.TargetDescription) ([]Target, error) {
	var out []Target
	for _, d := range in {
		t := Target{ID: api.Val(d.Id), Port: api.Val(d.Port)}
		if !instanceID.MatchString(t.ID) {
			return nil, invalid("Instance ID '%s' is not valid", t.ID)
		}
		if d.Port != nil {
			if err := between("targets.1.member.port", t.Port, 1, 65535); err != nil {
				return nil, err
			}
		}
		if d.AvailabilityZone != nil {
			return nil, invalid("You cannot specify an Availability Zone for targets of type instance")
		}
		out = append(out, t)
	}
	return out, nil
}

// lookup finds the targets' instances by their ids.
func (s *Service) lookup(ctx context.Context, targets []Target) (map[string]loadbalancer.Instance, error) {
	var ids []string
	for _, t := range targets {
		ids = append(ids, t.ID)
	}
	if len(ids) == 0 {
		return nil, nil
	}
	found, err := s.instances.Instances(ctx, unique(ids))
	byID := map[string]loadbalancer.Instance{}
	for _, i := range found {
		byID[i.ID] = i
	}
	return byID, err
}

// RegisterTargets implements elbv2api.Handler.
func (s *Service) RegisterTargets(ctx context.Context, in *elbv2api.RegisterTargetsInput) (*elbv2api.RegisterTargetsOutput, error) {
	if len(in.Targets) == 0 {
		return nil, invalid("A target must be specified")
	}
	add, err := readTargets(in.Targets)
	if err != nil {
		return nil, err
	}
	_, err = s.modifyGroup(ctx, api.Val(in.TargetGroupArn), func(g *TargetGroup) error {
		if err := s.checkTargets(ctx, *g, add); err != nil {
			return err
		}
		for _, t := range add {
			if t.Port == 0 {
				t.Port = g.Port
			}
			if !slices.Contains(g.Targets, t) {
				g.Targets = append(g.Targets, t)
			}
		}
		if len(g.Targets) > maxTargets {
			return elbv2api.TooManyTargetsException.New("The maximum number of targets has been reached")
		}
		return nil
	})
	return &elbv2api.RegisterTargetsOutput{}, err
}

// checkTargets wants running instances in the target group's VPC.
func (s *Service) checkTargets(ctx context.Context, g TargetGroup, targets []Target) error {
	found, err := s.lookup(ctx, targets)
	if err != nil {
		return err
	}
	var missing, elsewhere, stopped []string
	for _, t := range targets {
		i, ok := found[t.ID]
		switch {
		case !ok:
			missing = append(missing, t.ID)
		case i.VPC != g.VPC:
			elsewhere = append(elsewhere, t.ID)
		case i.State != "running":
			stopped = append(stopped, t.ID)
		}
	}
	switch {
	case len(missing) > 0:
		return noInstances(missing)
	case len(elsewhere) > 0:
		return elbv2api.InvalidTargetException.New("The following targets are not in the target group VPC '%s': %s", g.VPC, quoted(elsewhere))
	case len(stopped) > 0:
		return elbv2api.InvalidTargetException.New("The following targets are not in a running state and cannot be registered: %s", quoted(stopped))
	}
	return nil
}

func noInstances(ids []string) error {
	return elbv2api.InvalidTargetException.New("The following instances do not exist: %s", quoted(ids))
}

// quoted is how AWS lists ids: 'i-1', 'i-2'.
func quoted(ids []string) string { return "'" + strings.Join(unique(ids), "', '") + "'" }

// DeregisterTargets implements elbv2api.Handler. A target without a port is its
// instance at the group's own; one that is not registered is as it is to be.
func (s *Service) DeregisterTargets(ctx context.Context, in *elbv2api.DeregisterTargetsInput) (*elbv2api.DeregisterTargetsOutput, error) {
	if len(in.Targets) == 0 {
		return nil, invalid("A target must be specified")
	}
	gone, err := readTargets(in.Targets)
	if err != nil {
		return nil, err
	}
	_, err = s.modifyGroup(ctx, api.Val(in.TargetGroupArn), func(g *TargetGroup) error {
		g.Targets = slices.DeleteFunc(g.Targets, func(t Target) bool {
			return slices.Contains(gone, t) || t.Port == g.Port && slices.Contains(gone, Target{ID: t.ID})
		})
		return nil
	})
	return &elbv2api.DeregisterTargetsOutput{}, err
}
