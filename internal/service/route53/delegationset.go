package route53

import (
	"context"
	"errors"
	"slices"

	"github.com/tarn-eks/tarn/internal/api"
	route53api "github.com/tarn-eks/tarn/internal/api/route53"
	"github.com/tarn-eks/tarn/internal/store"
)

// delegationSet finds the record of the reusable delegation set that a request
// names.
func (s *Service) delegationSet(ctx context.Context, id *string) (store.Item[DelegationSet], error) {
	plain := plainID("delegationset", id)
	if plain == "" {
		return store.Item[DelegationSet]{}, noDelegationSet(plain)
	}
	it, err := s.DelegationSets.Get(ctx, plain)
	if errors.Is(err, store.ErrNotFound) {
		err = noDelegationSet(plain)
	}
	return it, err
}

func describeDelegationSet(d *DelegationSet) route53api.DelegationSet {
	return route53api.DelegationSet{Id: new("/delegationset/" + d.ID), CallerReference: &d.CallerReference, NameServers: d.NameServers}
}

// setReference is a key of Service.references.
func setReference(callerReference string) string { return "delegation-set/" + callerReference }

// CreateReusableDelegationSet implements route53api.Handler.
func (s *Service) CreateReusableDelegationSet(ctx context.Context, in *route53api.CreateReusableDelegationSetInput) (*route53api.CreateReusableDelegationSetOutput, error) {
	if err := checkLength("Nonce", in.CallerReference, 1, 128); err != nil {
		return nil, err
	}
	d, err := again(func() (DelegationSet, error) { return s.createSet(ctx, in) })
	if err != nil {
		return nil, err
	}
	return &route53api.CreateReusableDelegationSetOutput{
		DelegationSet: new(describeDelegationSet(&d)), Location: new(endpoint + "delegationset/" + d.ID),
	}, nil
}

func (s *Service) createSet(ctx context.Context, in *route53api.CreateReusableDelegationSetInput) (DelegationSet, error) {
	d := DelegationSet{ID: newID("N"), CallerReference: api.Val(in.CallerReference), Created: s.time()}
	all, _, err := s.DelegationSets.List(ctx, "")
	if err != nil {
		return d, err
	}
	if len(all) >= maxDelegationSets {
		return d, route53api.LimitsExceeded.New("Limits Exceeded: MAX_REUSABLE_DELEGATION_SETS_BY_OWNER - Cannot create more than %d reusable delegation sets.", maxDelegationSets)
	}
	var taken []string
	for _, it := range all {
		taken = append(taken, it.Value.NameServers...)
	}
	d.NameServers = newNameServers(taken)
	var ops []store.Op
	if in.HostedZoneId != nil { // that zone's become a set, which it then uses
		it, err := s.zone(ctx, in.HostedZoneId)
		if route53api.NoSuchHostedZone.Is(err) {
			return d, route53api.HostedZoneNotFound.New("The specified HostedZone can't be found.")
		}
		if err != nil {
			return d, err
		}
		z := &it.Value
		switch {
		case z.Private:
			return d, route53api.InvalidArgument.New("The hosted zone %s is private", z.ID)
		case z.DelegationSet != "":
			return d, route53api.DelegationSetAlreadyReusable.New("The specified delegation set has already been marked as reusable.")
		}
		d.NameServers, d.Zones, z.DelegationSet = slices.Clone(z.NameServers), 1, d.ID
		ops = append(ops, s.HostedZones.UpdateOp(it))
	}
	ops = append(ops, s.DelegationSets.CreateOp(d.ID, d), s.references.CreateOp(setReference(d.CallerReference), Reference{ID: d.ID}))
	_, err = store.Commit(ctx, s.client, ops...)
	if failed, ok := errors.AsType[*store.OpError](err); ok && failed.Key == setReference(d.CallerReference) {
		err = route53api.DelegationSetAlreadyCreated.New("A delegation set with the same owner and caller reference combination has already been created.")
	}
	return d, goneMeanwhile(err)
}

// GetReusableDelegationSet implements route53api.Handler.
func (s *Service) GetReusableDelegationSet(ctx context.Context, in *route53api.GetReusableDelegationSetInput) (*route53api.GetReusableDelegationSetOutput, error) {
	it, err := s.delegationSet(ctx, in.Id)
	if err != nil {
		return nil, err
	}
	return &route53api.GetReusableDelegationSetOutput{DelegationSet: new(describeDelegationSet(&it.Value))}, nil
}

// ListReusableDelegationSets implements route53api.Handler.
func (s *Service) ListReusableDelegationSets(ctx context.Context, in *route53api.ListReusableDelegationSetsInput) (*route53api.ListReusableDelegationSetsOutput, error) {
	n, err := pageSize(in.MaxItems, zonePage)
	if err != nil {
		return nil, err
	}
	items, _, err := s.DelegationSets.List(ctx, "")
	if err != nil {
		return nil, err
	}
	marker := plainID("delegationset", in.Marker)
	items = slices.DeleteFunc(items, func(it store.Item[DelegationSet]) bool { return it.Key < marker })
	out := &route53api.ListReusableDelegationSetsOutput{
		DelegationSets: []route53api.DelegationSet{}, Marker: in.Marker, IsTruncated: new(len(items) > n), MaxItems: maxItems(n),
	}
	if len(items) > n {
		out.NextMarker, items = &items[n].Key, items[:n]
	}
	for i := range items {
		out.DelegationSets = append(out.DelegationSets, describeDelegationSet(&items[i].Value))
	}
	return out, nil
}

// DeleteReusableDelegationSet implements route53api.Handler.
func (s *Service) DeleteReusableDelegationSet(ctx context.Context, in *route53api.DeleteReusableDelegationSetInput) (*route53api.DeleteReusableDelegationSetOutput, error) {
	return again(func() (*route53api.DeleteReusableDelegationSetOutput, error) {
		it, err := s.delegationSet(ctx, in.Id)
		if err != nil {
			return nil, err
		}
		if it.Value.Zones > 0 {
			return nil, route53api.DelegationSetInUse.New("The specified delegation contains associated hosted zones which must be deleted before the reusable delegation set can be deleted.")
		}
		ref, err := s.references.Get(ctx, setReference(it.Value.CallerReference))
		if err != nil {
			return nil, goneMeanwhile(err)
		}
		_, err = store.Commit(ctx, s.client, s.DelegationSets.DeleteOp(it), s.references.DeleteOp(ref))
		return &route53api.DeleteReusableDelegationSetOutput{}, goneMeanwhile(err)
	})
}
