package route53

import (
	"cmp"
	"context"
	"errors"
	"slices"

	"github.com/tarn-eks/tarn/internal/api"
	route53api "github.com/tarn-eks/tarn/internal/api/route53"
	"github.com/tarn-eks/tarn/internal/store"
)

const zonePage = 100

// zone finds the record of the zone that a request names.
func (s *Service) zone(ctx context.Context, id *string) (store.Item[HostedZone], error) {
	plain := plainID("hostedzone", id)
	if plain == "" {
		return store.Item[HostedZone]{}, noZone(plain)
	}
	if err := checkLength("ResourceId", &plain, 0, 32); err != nil {
		return store.Item[HostedZone]{}, err
	}
	it, err := s.HostedZones.Get(ctx, plain)
	if errors.Is(err, store.ErrNotFound) {
		err = noZone(plain)
	}
	return it, err
}

func describeZone(z *HostedZone) route53api.HostedZone {
	out := route53api.HostedZone{
		Id: new("/hostedzone/" + z.ID), Name: &z.Name, CallerReference: &z.CallerReference,
		Config:                 &route53api.HostedZoneConfig{PrivateZone: &z.Private},
		ResourceRecordSetCount: new(int64(z.RecordSets)),
	}
	if z.Comment != "" {
		out.Config.Comment = &z.Comment
	}
	return out
}

// describeNameServers is nil for private zones.
func describeNameServers(z *HostedZone) *route53api.DelegationSet {
	if z.Private {
		return nil
	}
	out := &route53api.DelegationSet{NameServers: z.NameServers}
	if z.DelegationSet != "" {
		out.Id = new("/delegationset/" + z.DelegationSet)
	}
	return out
}

func describeVPCs(z *HostedZone) []route53api.VPC {
	var list []route53api.VPC
	for _, v := range z.VPCs {
		list = append(list, route53api.VPC{VPCRegion: route53api.VPCRegion(v.Region), VPCId: &v.ID})
	}
	return list
}

// GetHostedZone implements route53api.Handler.
func (s *Service) GetHostedZone(ctx context.Context, in *route53api.GetHostedZoneInput) (*route53api.GetHostedZoneOutput, error) {
	it, err := s.zone(ctx, in.Id)
	if err != nil {
		return nil, err
	}
	z := it.Value
	out := &route53api.GetHostedZoneOutput{HostedZone: new(describeZone(&z)), DelegationSet: describeNameServers(&z), VPCs: describeVPCs(&z)}
	if out.DelegationSet != nil && z.DelegationSet != "" {
		set, err := s.delegationSet(ctx, &z.DelegationSet)
		if err != nil {
			return nil, err
		}
		out.DelegationSet.CallerReference = &set.Value.CallerReference
	}
	return out, nil
}

// GetHostedZoneCount implements route53api.Handler.
func (s *Service) GetHostedZoneCount(ctx context.Context, _ *route53api.GetHostedZoneCountInput) (*route53api.GetHostedZoneCountOutput, error) {
	items, _, err := s.HostedZones.List(ctx, "")
	return &route53api.GetHostedZoneCountOutput{HostedZoneCount: new(int64(len(items)))}, err
}

// ListHostedZones implements route53api.Handler.
func (s *Service) ListHostedZones(ctx context.Context, in *route53api.ListHostedZonesInput) (*route53api.ListHostedZonesOutput, error) {
	n, err := pageSize(in.MaxItems, zonePage)
	if err != nil {
		return nil, err
	}
	set := plainID("delegationset", in.DelegationSetId)
	if set != "" {
		if _, err := s.delegationSet(ctx, &set); err != nil {
			return nil, err
		}
	}
	if in.HostedZoneType != "" {
		if err := checkEnum(in.HostedZoneType, route53api.HostedZoneTypePrivateHostedZone); err != nil {
			return nil, err
		}
	}
	items, _, err := s.HostedZones.List(ctx, "")
	if err != nil {
		return nil, err
	}
	marker := plainID("hostedzone", in.Marker)
	items = slices.DeleteFunc(items, func(it store.Item[HostedZone]) bool {
		z := &it.Value
		return set != "" && z.DelegationSet != set || in.HostedZoneType != "" && !z.Private || it.Key < marker
	})
	out := &route53api.ListHostedZonesOutput{
		HostedZones: []route53api.HostedZone{}, Marker: in.Marker, IsTruncated: new(len(items) > n), MaxItems: maxItems(n),
	}
	if len(items) > n {
		out.NextMarker, items = &items[n].Key, items[:n]
	}
	for i := range items {
		out.HostedZones = append(out.HostedZones, describeZone(&items[i].Value))
	}
	return out, nil
}

// ListHostedZonesByName implements route53api.Handler.
func (s *Service) ListHostedZonesByName(ctx context.Context, in *route53api.ListHostedZonesByNameInput) (*route53api.ListHostedZonesByNameOutput, error) {
	n, err := pageSize(in.MaxItems, zonePage)
	if err != nil {
		return nil, err
	}
	from, id := "", plainID("hostedzone", in.HostedZoneId)
	if in.DNSName != nil && *in.DNSName != "" {
		name, err := Name(*in.DNSName)
		if err != nil {
			return nil, message(route53api.InvalidDomainName, err)
		}
		from = reversed(name)
	} else if id != "" {
		return nil, invalid("The DNSName parameter is required if the HostedZoneId parameter is given")
	}
	items, _, err := s.HostedZones.List(ctx, "")
	if err != nil {
		return nil, err
	}
	slices.SortStableFunc(items, func(a, b store.Item[HostedZone]) int { // those of one name stay in the order of their ids
		return cmp.Compare(reversed(a.Value.Name), reversed(b.Value.Name))
	})
	items = slices.DeleteFunc(items, func(it store.Item[HostedZone]) bool {
		name := reversed(it.Value.Name)
		return name < from || name == from && it.Key < id
	})
	out := &route53api.ListHostedZonesByNameOutput{
		HostedZones: []route53api.HostedZone{}, DNSName: in.DNSName, HostedZoneId: in.HostedZoneId, IsTruncated: new(len(items) > n), MaxItems: maxItems(n),
	}
	if len(items) > n {
		out.NextDNSName, out.NextHostedZoneId, items = &items[n].Value.Name, &items[n].Key, items[:n]
	}
	for i := range items {
		out.HostedZones = append(out.HostedZones, describeZone(&items[i].Value))
	}
	return out, nil
}

// UpdateHostedZoneComment implements route53api.Handler.
func (s *Service) UpdateHostedZoneComment(ctx context.Context, in *route53api.UpdateHostedZoneCommentInput) (*route53api.UpdateHostedZoneCommentOutput, error) {
	if err := checkLength("ResourceDescription", in.Comment, 0, 256); err != nil {
		return nil, err
	}
	it, err := s.modifyZone(ctx, in.Id, func(z *HostedZone) error {
		z.Comment = api.Val(in.Comment)
		return nil
	})
	if err != nil {
		return nil, err
	}
	return &route53api.UpdateHostedZoneCommentOutput{HostedZone: new(describeZone(&it.Value))}, nil
}

// modifyZone changes what DNS does not look at.
func (s *Service) modifyZone(ctx context.Context, id *string, change func(*HostedZone) error) (store.Item[HostedZone], error) {
	it, err := s.zone(ctx, id)
	if err != nil {
		return it, err
	}
	it, err = s.HostedZones.Modify(ctx, it.Key, change)
	if errors.Is(err, store.ErrNotFound) {
		err = noZone(plainID("hostedzone", id))
	}
	return it, err
}
