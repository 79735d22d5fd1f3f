package naming

import (
	"cmp"
	"slices"

	"github.com/tarn-eks/tarn/internal/service/route53"
)

// maxAliases bounds the aliases that are followed to find out about health.
const maxAliases = 8

// judge chooses between record sets of one zone.
type judge struct {
	*world
	heard map[question]bool
	sets  map[place][]*route53.RecordSet
}

func (j *judge) ask(q question) bool {
	answer, ok := j.heard[q]
	if !ok {
		answer = j.world.ask(q)
		j.heard[q] = answer
	}
	return answer
}

// healthy says whether a record set may be in an answer: its health check says so,
// and what it stands for has something that may, if it is to be looked at.
func (j *judge) healthy(r *route53.RecordSet) bool { return j.healthyTo(r, maxAliases) }

func (j *judge) healthyTo(r *route53.RecordSet, aliases int) bool {
	if r.HealthCheck != "" && !j.ask(question{check: r.HealthCheck}) {
		return false
	}
	if r.Alias == nil || !r.Alias.EvaluateHealth || aliases == 0 {
		return true
	}
	if name, ok := r.Alias.ToLoadBalancer(); ok {
		return j.ask(question{balancer: name})
	}
	targets := j.sets[place{r.Alias.Name, r.Type}]
	return len(targets) == 0 || slices.ContainsFunc(targets, func(t *route53.RecordSet) bool { return j.healthyTo(t, aliases-1) })
}

// route returns those of a name and type's record sets that answers are made from.
// Where none is healthy, all count as healthy.
//
// https://docs.aws.amazon.com/Route53/latest/DeveloperGuide/health-checks-how-route-53-chooses-records.html
func (j *judge) route(group []*route53.RecordSet) []*route53.RecordSet {
	first := group[0]
	switch {
	case first.Failover != "":
		return j.failover(group)
	case first.Geo != nil:
		return j.geolocation(group)
	}
	well := j.well(group)
	switch {
	case first.Region != "":
		return nearest(j.Region, well)
	case first.Weight != nil:
		// Those of weight 0 wait until no other is well. When all are ill, the weights
		// count as they are.
		return well
	}
	return well // simple, or multivalue
}

// well returns the healthy ones of a group, or all.
func (j *judge) well(group []*route53.RecordSet) []*route53.RecordSet {
	if len(group) == 1 {
		return group
	}
	var well []*route53.RecordSet
	for _, r := range group {
		if j.healthy(r) {
			well = append(well, r)
		}
	}
	if len(well) == 0 {
		return group
	}
	return well
}

// failover takes the primary one, unless that is ill and the secondary one is not.
func (j *judge) failover(group []*route53.RecordSet) []*route53.RecordSet {
	i := slices.IndexFunc(group, func(r *route53.RecordSet) bool { return r.Failover == route53.Primary })
	if i < 0 {
		return group[:1]
	}
	primary := group[i : i+1]
	if len(group) == 1 || j.healthy(group[i]) {
		return primary
	}
	if secondary := group[1-i : 2-i]; j.healthy(secondary[0]) {
		return secondary
	}
	return primary
}

// nearest takes the record set whose region answers this one the soonest.
func nearest(region string, group []*route53.RecordSet) []*route53.RecordSet {
	best := slices.MinFunc(group, func(a, b *route53.RecordSet) int {
		return cmp.Or(cmp.Compare(distance(region, a.Region), distance(region, b.Region)), cmp.Compare(a.Region, b.Region))
	})
	return []*route53.RecordSet{best}
}

// geolocation takes the record set for where this region is: the smallest area that
// has it and is well, the smallest that has it if none is well, and none where no area
// has it.
func (j *judge) geolocation(group []*route53.RecordSet) []*route53.RecordSet {
	here := regions[j.Region]
	var matching []*route53.RecordSet // the smallest first
	for _, matches := range []func(g *route53.GeoLocation) bool{
		func(g *route53.GeoLocation) bool {
			return g.Subdivision != "" && g.Country == here.country && g.Subdivision == here.subdivision
		},
		func(g *route53.GeoLocation) bool {
			return g.Subdivision == "" && g.Country != "" && g.Country == here.country
		},
		func(g *route53.GeoLocation) bool { return g.Continent != "" && g.Continent == here.continent },
		func(g *route53.GeoLocation) bool { return g.Country == "*" },
	} {
		for _, r := range group {
			if matches(r.Geo) {
				matching = append(matching, r)
			}
		}
	}
	for i, r := range matching {
		if j.healthy(r) {
			return matching[i : i+1]
		}
	}
	return matching[:min(1, len(matching))]
}
