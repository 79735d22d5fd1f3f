package route53

import (
	"context"
	"errors"
	"fmt"
	"strings"

	"github.com/tarn-eks/tarn/internal/api"
	route53api "github.com/tarn-eks/tarn/internal/api/route53"
	"github.com/tarn-eks/tarn/internal/store"
)

// ChangeResourceRecordSets implements route53api.Handler.
//
// What a batch may do depends on record sets that it does not write. So each one
// writes the zone's item: of two at a time the second begins anew.
func (s *Service) ChangeResourceRecordSets(ctx context.Context, in *route53api.ChangeResourceRecordSetsInput) (*route53api.ChangeResourceRecordSetsOutput, error) {
	change, err := again(func() (Change, error) {
		it, err := s.zone(ctx, in.HostedZoneId)
		if err != nil {
			return Change{}, err
		}
		steps, err := readBatch(in.ChangeBatch, it.Key)
		if err != nil {
			return Change{}, err
		}
		b, err := s.newBatch(ctx, it, steps)
		if err != nil {
			return Change{}, err
		}
		if err := b.run(ctx, steps); err != nil {
			return Change{}, err
		}
		change := s.newChange(it.Key, api.Val(in.ChangeBatch.Comment))
		_, err = store.Commit(ctx, s.client, b.ops(s, change)...)
		if errors.Is(err, store.ErrTooLarge) { // a thousand very long names
			err = invalidBatch([]string{"The change batch is too large."})
		}
		return change, goneMeanwhile(err)
	})
	if err != nil {
		return nil, err
	}
	s.prune(ctx)
	return &route53api.ChangeResourceRecordSetsOutput{ChangeInfo: pending(change)}, nil
}

// step is one change of a batch.
type step struct {
	action route53api.ChangeAction
	set    RecordSet
}

// readBatch reads what a batch asks for. It checks what can be wrong with the
// request whatever the zone is.
func readBatch(in *route53api.ChangeBatch, zone string) ([]step, error) {
	if len(in.Changes) == 0 {
		return nil, notComplete("Changes", "Change")
	}
	if err := checkLength("ResourceDescription", in.Comment, 0, 256); err != nil {
		return nil, err
	}
	var steps []step
	var problems []string
	records, letters := 0, 0
	for i := range in.Changes {
		c := &in.Changes[i]
		if err := checkChange(c); err != nil {
			return nil, err
		}
		set, err := readSet(c, zone)
		if p, ok := errors.AsType[*problem](err); ok {
			problems = append(problems, p.Error())
			continue
		}
		if err != nil {
			return nil, err
		}
		steps = append(steps, step{c.Action, set})
		times := 1
		if c.Action == route53api.ChangeActionUpsert { // it may delete and create
			times = 2
		}
		records += times * max(len(set.Values), 1)
		for _, v := range set.Values {
			letters += times * len(v)
		}
	}
	switch {
	case records > maxBatchRecords:
		return nil, invalidBatch([]string{fmt.Sprintf("Number of records limit of %d exceeded.", maxBatchRecords)})
	case letters > maxBatchLetters:
		return nil, invalidBatch([]string{fmt.Sprintf("RDATA character limit of %d exceeded.", maxBatchLetters)})
	case len(problems) > 0:
		return nil, invalidBatch(problems)
	}
	return steps, nil
}

// invalidBatch is the error for a batch, with all that is wrong in it.
func invalidBatch(problems []string) error {
	return route53api.InvalidChangeBatch.New("[%s]", strings.Join(problems, ", "))
}

// checkChange checks the members of a change, each by itself and with the others.
func checkChange(c *route53api.Change) error {
	r := c.ResourceRecordSet
	switch {
	case r.CidrRoutingConfig != nil:
		return notImplemented("IP-based routing (CidrRoutingConfig)")
	case r.GeoProximityLocation != nil:
		return notImplemented("geoproximity routing (GeoProximityLocation)")
	case r.TrafficPolicyInstanceId != nil:
		return notImplemented("traffic policies (TrafficPolicyInstanceId)")
	case r.ResourceRecords != nil && len(r.ResourceRecords) == 0:
		return notComplete("ResourceRecords", "ResourceRecord")
	}
	if err := first(
		checkEnum(c.Action, route53api.ChangeActionCreate, route53api.ChangeActionDelete, route53api.ChangeActionUpsert),
		checkEnum(r.Type, types...),
		checkLength("DNSName", r.Name, 0, 1024),
		checkLength("ResourceRecordSetIdentifier", r.SetIdentifier, 1, 128),
		checkLength("HealthCheckId", r.HealthCheckId, 0, 64),
		checkRange("ResourceRecordSetWeight", r.Weight, 0, 255),
		checkRange("TTL", r.TTL, 0, 1<<31-1),
	); err != nil {
		return err
	}
	for i := range r.ResourceRecords {
		if err := checkLength("RData", r.ResourceRecords[i].Value, 0, 4000); err != nil {
			return err
		}
	}
	if r.Region != "" {
		if err := checkEnum(r.Region, latencyRegions...); err != nil {
			return err
		}
	}
	if r.Failover != "" {
		if err := checkEnum(r.Failover, route53api.ResourceRecordSetFailoverPrimary, route53api.ResourceRecordSetFailoverSecondary); err != nil {
			return err
		}
	}
	return checkTogether(c)
}

// checkTogether checks which members a change has.
func checkTogether(c *route53api.Change) error {
	r := c.ResourceRecordSet
	where := fmt.Sprintf("Change with [Action=%s, Name=%s, Type=%s, SetIdentifier=%s]", c.Action, api.Val(r.Name), r.Type, orNull(r.SetIdentifier))
	const contents = "[AliasTarget, all of [TTL, and ResourceRecords], or TrafficPolicyInstanceId]"
	switch {
	case r.AliasTarget != nil && (r.TTL != nil || r.ResourceRecords != nil):
		return invalid("Invalid request: Expected exactly one of %s, but found more than one in %s", contents, where)
	case r.AliasTarget == nil && (r.TTL == nil || r.ResourceRecords == nil):
		return invalid("Invalid request: Expected exactly one of %s, but found none in %s", contents, where)
	}
	policies := 0
	for _, there := range []bool{r.Weight != nil, r.Region != "", r.Failover != "", r.GeoLocation != nil, r.MultiValueAnswer != nil} {
		if there {
			policies++
		}
	}
	const routing = "[Weight, Region, Failover, GeoLocation, or MultiValueAnswer]"
	switch {
	case policies > 1:
		return invalid("Invalid request: Expected exactly one of %s, but found more than one in %s", routing, where)
	case policies == 0 && r.SetIdentifier != nil:
		return invalid("Invalid request: Expected exactly one of %s, but found none in %s", routing, where)
	case policies == 1 && r.SetIdentifier == nil:
		return invalid("Invalid request: Missing field 'SetIdentifier' in %s", where)
	case r.MultiValueAnswer != nil && !*r.MultiValueAnswer:
		return invalid("Invalid request: MultiValueAnswer must be true or absent in %s", where)
	case r.MultiValueAnswer != nil && r.AliasTarget != nil:
		return invalid("Invalid request: A multivalue answer record set cannot be an alias in %s", where)
	}
	return nil
}

// readSet is the record that a change is about. Its errors are problems of
// names, or the API's.
func readSet(c *route53api.Change, zone string) (RecordSet, error) {
	r := c.ResourceRecordSet
	set := RecordSet{
		Zone: zone, Type: string(r.Type), TTL: uint32(api.Val(r.TTL)), SetIdentifier: api.Val(r.SetIdentifier),
		Region: string(r.Region), Failover: string(r.Failover), MultiValue: api.Val(r.MultiValueAnswer), HealthCheck: api.Val(r.HealthCheckId),
	}
	var err error
	if set.Name, err = Name(api.Val(r.Name)); err != nil {
		return set, err
	}
	if r.Weight != nil {
		set.Weight = new(int(*r.Weight))
	}
	if g := r.GeoLocation; g != nil {
		set.Geo = &GeoLocation{Continent: api.Val(g.ContinentCode), Country: api.Val(g.CountryCode), Subdivision: api.Val(g.SubdivisionCode)}
		if err := set.Geo.check(); err != nil {
			return set, err
		}
	}
	if a := r.AliasTarget; a != nil {
		set.Alias = &Alias{Zone: plainID("hostedzone", a.HostedZoneId), EvaluateHealth: api.Val(a.EvaluateTargetHealth)}
		if set.Alias.Name, err = Name(api.Val(a.DNSName)); err != nil {
			return set, err
		}
	}
	for i := range r.ResourceRecords {
		set.Values = append(set.Values, api.Val(r.ResourceRecords[i].Value))
	}
	return set, nil
}
