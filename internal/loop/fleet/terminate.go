package fleet

import (
	"cmp"
	"slices"
	"time"

	"github.com/tarn-eks/tarn/internal/api"
)

// choose finds the member that scaling in takes, nil if there is none: of the
// zone with the most, by the group's termination policies.
//
// https://docs.aws.amazon.com/autoscaling/ec2/userguide/ec2-auto-scaling-termination-policies.html
func (p *planner) choose(candidates []*member) *member {
	if len(candidates) == 0 {
		return nil
	}
	zones := map[string]int{}
	for _, m := range p.which(counts) {
		zones[m.Zone]++
	}
	left := least(candidates, func(a, b *member) int { return cmp.Compare(zones[b.Zone], zones[a.Zone]) })
	policies := p.Group.TerminationPolicies
	if len(policies) == 0 {
		policies = []string{"Default"}
	}
	for _, policy := range policies {
		left = p.narrow(policy, left)
	}
	return slices.MinFunc(left, func(a, b *member) int {
		return cmp.Or(a.instance.Launched.Compare(b.instance.Launched), cmp.Compare(a.Instance, b.Instance))
	})
}

// narrow leaves those that a policy takes first.
func (p *planner) narrow(policy string, from []*member) []*member {
	switch policy {
	case "OldestInstance":
		return least(from, byAge)
	case "NewestInstance":
		return least(from, func(a, b *member) int { return byAge(b, a) })
	case "OldestLaunchConfiguration":
		return p.oldestConfiguration(from)
	case "OldestLaunchTemplate":
		return p.oldestTemplate(from)
	case "ClosestToNextInstanceHour":
		return least(from, func(a, b *member) int { return cmp.Compare(p.hour(b), p.hour(a)) })
	case "AllocationStrategy":
		return p.allocated(from)
	case "Default":
		left := p.allocated(from)
		if slices.ContainsFunc(left, func(m *member) bool { return m.Configuration != "" }) {
			left = p.oldestConfiguration(left)
		} else {
			left = p.oldestTemplate(left)
		}
		return p.narrow("ClosestToNextInstanceHour", left)
	}
	return from // what the service does not accept
}

func byAge(a, b *member) int { return a.instance.Launched.Compare(b.instance.Launched) }

// hour is how much of its present hour an instance has run.
func (p *planner) hour(m *member) time.Duration {
	return p.Now.Sub(m.instance.Launched) % time.Hour
}

// oldestConfiguration leaves those of the oldest launch configuration. One that
// was deleted is older than all.
func (p *planner) oldestConfiguration(from []*member) []*member {
	of := slices.DeleteFunc(slices.Clone(from), func(m *member) bool { return m.Configuration == "" })
	if len(of) == 0 {
		return from
	}
	return least(of, func(a, b *member) int {
		return cmp.Or(p.Made[a.Configuration].Compare(p.Made[b.Configuration]), cmp.Compare(a.Configuration, b.Configuration))
	})
}

// oldestTemplate leaves those of another launch template than the group's, or else
// of its oldest version.
func (p *planner) oldestTemplate(from []*member) []*member {
	of := slices.DeleteFunc(slices.Clone(from), func(m *member) bool { return m.Template == "" })
	if len(of) == 0 {
		return from
	}
	rank := func(m *member) int {
		if m.Template != p.Source.Template {
			return 0
		}
		return version(m.Version)
	}
	return least(of, func(a, b *member) int { return cmp.Compare(rank(a), rank(b)) })
}

// allocated leaves those of the kind, on demand or spot, of which a mixed group
// has too many, and of the types that it would launch last.
func (p *planner) allocated(from []*member) []*member {
	mixed := p.Group.Mixed
	if mixed == nil {
		return from
	}
	all := p.which(counts)
	onDemand := len(slices.DeleteFunc(slices.Clone(all), func(m *member) bool { return m.spot() }))
	spot := onDemand <= onDemandOf(p.Group, len(all)-1)
	left := slices.DeleteFunc(slices.Clone(from), func(m *member) bool { return m.spot() != spot })
	if len(left) == 0 {
		left = from
	}
	prioritized := !spot
	if d := mixed.InstancesDistribution; d != nil {
		if spot {
			prioritized = api.Val(d.SpotAllocationStrategy) == "capacity-optimized-prioritized"
		} else if s := api.Val(d.OnDemandAllocationStrategy); s != "" {
			prioritized = s == "prioritized"
		}
	}
	if !prioritized {
		return left
	}
	return least(left, func(a, b *member) int { return cmp.Compare(p.Source.priority(b.Type), p.Source.priority(a.Type)) })
}

// least leaves the smallest, all of them where several are.
func least(from []*member, compare func(a, b *member) int) []*member {
	if len(from) == 0 {
		return from
	}
	first := slices.MinFunc(from, compare)
	return slices.DeleteFunc(slices.Clone(from), func(m *member) bool { return compare(m, first) != 0 })
}
