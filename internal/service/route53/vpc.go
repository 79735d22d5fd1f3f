package route53

import (
	"cmp"
	"context"
	"encoding/base64"
	"errors"
	"regexp"
	"slices"

	"github.com/tarn-eks/tarn/internal/api"
	route53api "github.com/tarn-eks/tarn/internal/api/route53"
	"github.com/tarn-eks/tarn/internal/store"
)

var vpcID = regexp.MustCompile(`^vpc-[0-9a-f]{8}(?:[0-9a-f]{9})?$`)

// vpc finds the VPC that a request names. Other regions have none.
func (s *Service) vpc(ctx context.Context, in *route53api.VPC) (VPC, error) {
	v := VPC{Region: string(in.VPCRegion), ID: api.Val(in.VPCId)}
	if v.ID == "" || v.Region == "" {
		return v, route53api.InvalidVPCId.New("Invalid or missing VPC Id.")
	}
	exists := false
	if v.Region == s.scope.Region && vpcID.MatchString(v.ID) {
		var err error
		if exists, err = s.network.VPCExists(ctx, v.ID); err != nil {
			return v, err
		}
	}
	if !exists {
		return v, route53api.InvalidVPCId.New("The VPC ID that you specified either isn't a valid ID or the current account is not authorized to access this VPC.")
	}
	return v, nil
}

// conflicting says which zone has a name in a VPC already.
func (s *Service) conflicting(ctx context.Context, v VPC, name string) error {
	ref, err := s.references.Get(ctx, vpcReference(v, name))
	if err != nil {
		return goneMeanwhile(err)
	}
	return route53api.ConflictingDomainExists.New("The VPC %s in region %s has already been associated with the hosted zone %s with the same domain name.", v.ID, v.Region, ref.Value.ID)
}

// AssociateVPCWithHostedZone implements route53api.Handler.
func (s *Service) AssociateVPCWithHostedZone(ctx context.Context, in *route53api.AssociateVPCWithHostedZoneInput) (*route53api.AssociateVPCWithHostedZoneOutput, error) {
	change, err := again(func() (Change, error) { return s.associate(ctx, in) })
	if err != nil {
		return nil, err
	}
	return &route53api.AssociateVPCWithHostedZoneOutput{ChangeInfo: pending(change)}, nil
}

func (s *Service) associate(ctx context.Context, in *route53api.AssociateVPCWithHostedZoneInput) (Change, error) {
	it, err := s.zone(ctx, in.HostedZoneId)
	if err != nil {
		return Change{}, err
	}
	z := &it.Value
	if !z.Private {
		return Change{}, route53api.PublicZoneVPCAssociation.New("You're trying to associate a VPC with a public hosted zone. Amazon Route 53 doesn't support associating a VPC with a public hosted zone.")
	}
	v, err := s.vpc(ctx, in.VPC)
	if err != nil {
		return Change{}, err
	}
	if len(z.VPCs) >= maxVPCs && !slices.Contains(z.VPCs, v) {
		return Change{}, route53api.LimitsExceeded.New("Limits Exceeded: MAX_VPCS_ASSOCIATED_BY_ZONE - Cannot associate more than %d VPCs with a hosted zone.", maxVPCs)
	}
	change := s.newChange(z.ID, api.Val(in.Comment))
	z.Change, z.VPCs = change.ID, append(z.VPCs, v)
	reference := vpcReference(v, z.Name)
	_, err = store.Commit(ctx, s.client,
		s.HostedZones.UpdateOp(it), s.references.CreateOp(reference, Reference{ID: z.ID}), s.Changes.CreateOp(change.ID, change))
	if failed, ok := errors.AsType[*store.OpError](err); ok && failed.Key == reference && errors.Is(err, store.ErrExists) {
		err = s.conflicting(ctx, v, z.Name)
	}
	s.prune(ctx)
	return change, goneMeanwhile(err)
}

// DisassociateVPCFromHostedZone implements route53api.Handler.
func (s *Service) DisassociateVPCFromHostedZone(ctx context.Context, in *route53api.DisassociateVPCFromHostedZoneInput) (*route53api.DisassociateVPCFromHostedZoneOutput, error) {
	change, err := again(func() (Change, error) { return s.disassociate(ctx, in) })
	if err != nil {
		return nil, err
	}
	return &route53api.DisassociateVPCFromHostedZoneOutput{ChangeInfo: pending(change)}, nil
}

func (s *Service) disassociate(ctx context.Context, in *route53api.DisassociateVPCFromHostedZoneInput) (Change, error) {
	it, err := s.zone(ctx, in.HostedZoneId)
	if err != nil {
		return Change{}, err
	}
	z := &it.Value
	v := VPC{Region: string(in.VPC.VPCRegion), ID: api.Val(in.VPC.VPCId)} // it may be deleted already
	if v.ID == "" {
		return Change{}, route53api.InvalidVPCId.New("Invalid or missing VPC Id.")
	}
	i := slices.Index(z.VPCs, v)
	if i < 0 {
		return Change{}, route53api.VPCAssociationNotFound.New("The specified VPC and hosted zone are not currently associated.")
	}
	if len(z.VPCs) == 1 {
		return Change{}, route53api.LastVPCAssociation.New("The VPC that you're trying to disassociate from the private hosted zone is the last VPC that is associated with the hosted zone. Amazon Route 53 doesn't support disassociating the last VPC from a hosted zone.")
	}
	ref, err := s.references.Get(ctx, vpcReference(v, z.Name))
	if err != nil {
		return Change{}, goneMeanwhile(err)
	}
	change := s.newChange(z.ID, api.Val(in.Comment))
	z.Change, z.VPCs = change.ID, slices.Delete(z.VPCs, i, i+1)
	_, err = store.Commit(ctx, s.client, s.HostedZones.UpdateOp(it), s.references.DeleteOp(ref), s.Changes.CreateOp(change.ID, change))
	s.prune(ctx)
	return change, goneMeanwhile(err)
}

// ListHostedZonesByVPC implements route53api.Handler.
func (s *Service) ListHostedZonesByVPC(ctx context.Context, in *route53api.ListHostedZonesByVPCInput) (*route53api.ListHostedZonesByVPCOutput, error) {
	n, err := pageSize(in.MaxItems, zonePage)
	if err != nil {
		return nil, err
	}
	v, err := s.vpc(ctx, &route53api.VPC{VPCId: in.VPCId, VPCRegion: in.VPCRegion})
	if route53api.InvalidVPCId.Is(err) { // the operation has no error of its own for it
		return nil, invalid("The VPC %s in region %s does not exist.", api.Val(in.VPCId), in.VPCRegion)
	}
	if err != nil {
		return nil, err
	}
	after := ""
	if in.NextToken != nil {
		text, err := base64.RawURLEncoding.DecodeString(*in.NextToken)
		if err != nil || len(text) == 0 {
			return nil, route53api.InvalidPaginationToken.New("The value that you specified to get the second or subsequent page of results is invalid.")
		}
		after = string(text)
	}
	items, _, err := s.HostedZones.List(ctx, "")
	if err != nil {
		return nil, err
	}
	order := func(z *HostedZone) string { return reversed(z.Name) + " " + z.ID }
	items = slices.DeleteFunc(items, func(it store.Item[HostedZone]) bool {
		return !slices.Contains(it.Value.VPCs, v) || order(&it.Value) <= after
	})
	slices.SortFunc(items, func(a, b store.Item[HostedZone]) int { return cmp.Compare(order(&a.Value), order(&b.Value)) })
	out := &route53api.ListHostedZonesByVPCOutput{HostedZoneSummaries: []route53api.HostedZoneSummary{}, MaxItems: maxItems(n)}
	if len(items) > n {
		items = items[:n]
		out.NextToken = new(base64.RawURLEncoding.EncodeToString([]byte(order(&items[n-1].Value))))
	}
	for _, it := range items {
		out.HostedZoneSummaries = append(out.HostedZoneSummaries, route53api.HostedZoneSummary{
			HostedZoneId: new(it.Key), Name: new(it.Value.Name), Owner: &route53api.HostedZoneOwner{OwningAccount: &s.account},
		})
	}
	return out, nil
}
