package route53

import (
	"context"

	route53api "github.com/tarn-eks/tarn/internal/api/route53"
)

// Route 53's quotas, as a new account has them.
//
// https://docs.aws.amazon.com/Route53/latest/DeveloperGuide/DNSLimitations.html
const (
	maxZones          = 500
	maxHealthChecks   = 200
	maxDelegationSets = 100
	maxRecordSets     = 10000 // per zone
	maxVPCs           = 300   // per zone
	maxZonesPerSet    = 100
	maxValues         = 400 // per record set
	maxPerName        = 100 // record sets of one name and type
	maxBatchRecords   = 1000
	maxBatchLetters   = 32000
	maxTags           = 50

	maxTrafficPolicies        = 50
	maxTrafficPolicyInstances = 5
)

// GetAccountLimit implements route53api.Handler.
func (s *Service) GetAccountLimit(ctx context.Context, in *route53api.GetAccountLimitInput) (*route53api.GetAccountLimitOutput, error) {
	limit, count := 0, 0
	switch in.Type {
	case route53api.AccountLimitTypeMaxHealthChecksByOwner:
		items, _, err := s.HealthChecks.List(ctx, "")
		if err != nil {
			return nil, err
		}
		limit, count = maxHealthChecks, len(items)
	case route53api.AccountLimitTypeMaxHostedZonesByOwner:
		items, _, err := s.HostedZones.List(ctx, "")
		if err != nil {
			return nil, err
		}
		limit, count = maxZones, len(items)
	case route53api.AccountLimitTypeMaxReusableDelegationSetsByOwner:
		items, _, err := s.DelegationSets.List(ctx, "")
		if err != nil {
			return nil, err
		}
		limit, count = maxDelegationSets, len(items)
	case route53api.AccountLimitTypeMaxTrafficPoliciesByOwner: // nobody has any
		limit = maxTrafficPolicies
	case route53api.AccountLimitTypeMaxTrafficPolicyInstancesByOwner:
		limit = maxTrafficPolicyInstances
	default:
		return nil, checkEnum(in.Type, route53api.AccountLimitTypeMaxHealthChecksByOwner, route53api.AccountLimitTypeMaxHostedZonesByOwner,
			route53api.AccountLimitTypeMaxTrafficPolicyInstancesByOwner, route53api.AccountLimitTypeMaxReusableDelegationSetsByOwner,
			route53api.AccountLimitTypeMaxTrafficPoliciesByOwner)
	}
	return &route53api.GetAccountLimitOutput{
		Limit: &route53api.AccountLimit{Type: in.Type, Value: new(int64(limit))}, Count: new(int64(count)),
	}, nil
}

// GetHostedZoneLimit implements route53api.Handler.
func (s *Service) GetHostedZoneLimit(ctx context.Context, in *route53api.GetHostedZoneLimitInput) (*route53api.GetHostedZoneLimitOutput, error) {
	if err := checkEnum(in.Type, route53api.HostedZoneLimitTypeMaxRrsetsByZone, route53api.HostedZoneLimitTypeMaxVpcsAssociatedByZone); err != nil {
		return nil, err
	}
	it, err := s.zone(ctx, in.HostedZoneId)
	if err != nil {
		return nil, err
	}
	limit, count := maxRecordSets, it.Value.RecordSets
	if in.Type == route53api.HostedZoneLimitTypeMaxVpcsAssociatedByZone {
		if !it.Value.Private {
			return nil, route53api.HostedZoneNotPrivate.New("The specified hosted zone is a public hosted zone, not a private hosted zone.")
		}
		limit, count = maxVPCs, len(it.Value.VPCs)
	}
	return &route53api.GetHostedZoneLimitOutput{
		Limit: &route53api.HostedZoneLimit{Type: in.Type, Value: new(int64(limit))}, Count: new(int64(count)),
	}, nil
}

// GetReusableDelegationSetLimit implements route53api.Handler.
func (s *Service) GetReusableDelegationSetLimit(ctx context.Context, in *route53api.GetReusableDelegationSetLimitInput) (*route53api.GetReusableDelegationSetLimitOutput, error) {
	if err := checkEnum(in.Type, route53api.ReusableDelegationSetLimitTypeMaxZonesByReusableDelegationSet); err != nil {
		return nil, err
	}
	it, err := s.delegationSet(ctx, in.DelegationSetId)
	if err != nil {
		return nil, err
	}
	return &route53api.GetReusableDelegationSetLimitOutput{
		Limit: &route53api.ReusableDelegationSetLimit{Type: in.Type, Value: new(int64(maxZonesPerSet))}, Count: new(int64(it.Value.Zones)),
	}, nil
}
