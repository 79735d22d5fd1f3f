package route53

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/tarn-eks/tarn/internal/api"
	route53api "github.com/tarn-eks/tarn/internal/api/route53"
	"github.com/tarn-eks/tarn/internal/store"
)

const endpoint = "https://route53.amazonaws.com/2013-04-01/"

// What a new zone's own records say.
const (
	nsTTL     = 172800
	soaTTL    = 900
	soaValues = " awsdns-hostmaster.amazon.com. 1 7200 900 1209600 86400"
)

// CreateHostedZone implements route53api.Handler.
func (s *Service) CreateHostedZone(ctx context.Context, in *route53api.CreateHostedZoneInput) (*route53api.CreateHostedZoneOutput, error) {
	z, err := s.newZone(ctx, in)
	if err != nil {
		return nil, err
	}
	change, err := again(func() (Change, error) {
		var set *store.Item[DelegationSet]
		if z.DelegationSet != "" {
			it, err := s.delegationSet(ctx, &z.DelegationSet)
			if err != nil {
				return Change{}, err
			}
			set, z.NameServers = &it, it.Value.NameServers
		}
		if err := s.fits(ctx, &z); err != nil {
			return Change{}, err
		}
		return s.putZone(ctx, z, set)
	})
	if err != nil {
		return nil, err
	}
	out := &route53api.CreateHostedZoneOutput{
		HostedZone: new(describeZone(&z)), ChangeInfo: pending(change), DelegationSet: describeNameServers(&z),
		Location: new(endpoint + "hostedzone/" + z.ID),
	}
	if z.Private {
		out.VPC = &describeVPCs(&z)[0]
	}
	return out, nil
}

// newZone is the record that a request asks for, without its name servers.
func (s *Service) newZone(ctx context.Context, in *route53api.CreateHostedZoneInput) (HostedZone, error) {
	z := HostedZone{ID: newID("Z"), CallerReference: api.Val(in.CallerReference), RecordSets: 2, Created: s.time()}
	if err := first(
		checkLength("Nonce", in.CallerReference, 1, 128), checkLength("DNSName", in.Name, 0, 1024),
	); err != nil {
		return z, err
	}
	var err error
	if z.Name, err = Name(api.Val(in.Name)); err != nil {
		return z, message(route53api.InvalidDomainName, err)
	}
	if c := in.HostedZoneConfig; c != nil {
		if err := checkLength("ResourceDescription", c.Comment, 0, 256); err != nil {
			return z, err
		}
		z.Comment = api.Val(c.Comment)
		if api.Val(c.PrivateZone) && in.VPC == nil {
			return z, invalid("When you're creating a private hosted zone (when you specify true for PrivateZone), you must also specify values for VPCId and VPCRegion.")
		}
	}
	z.DelegationSet = plainID("delegationset", in.DelegationSetId)
	if in.VPC == nil {
		return z, checkPublic(z.Name)
	}
	if z.DelegationSet != "" {
		return z, invalid("You can't associate a reusable delegation set with a private hosted zone.")
	}
	if z.Name == "." {
		return z, route53api.InvalidDomainName.New("%s is not a valid domain name", z.Name)
	}
	v, err := s.vpc(ctx, in.VPC)
	z.Private, z.VPCs, z.NameServers = true, []VPC{v}, privateNameServers()
	return z, err
}

// reserved are domains under which AWS has no zones of others. Load balancers'
// names are there.
const reserved = "amazonaws.com."

func checkPublic(name string) error {
	if strings.Count(name, ".") < 2 || below(name, reserved) {
		return route53api.InvalidDomainName.New("%s is reserved by AWS!", strings.TrimSuffix(name, "."))
	}
	return nil
}

// fits checks a new zone against those that there are, and gives it name servers.
func (s *Service) fits(ctx context.Context, z *HostedZone) error {
	all, _, err := s.HostedZones.List(ctx, "")
	if err != nil {
		return err
	}
	if len(all) >= maxZones {
		return route53api.TooManyHostedZones.New("Limits Exceeded: MAX_HOSTED_ZONES_BY_OWNER - Cannot create more than %d hosted zones.", maxZones)
	}
	var related []string // name servers
	ofSet := 0
	for i := range all {
		other := &all[i].Value
		if z.DelegationSet != "" && other.DelegationSet == z.DelegationSet {
			ofSet++
		}
		if !other.Private && (below(other.Name, z.Name) || below(z.Name, other.Name)) {
			related = append(related, other.NameServers...)
		}
	}
	switch {
	case z.Private:
		return nil // their names are kept apart by VPC
	case z.DelegationSet == "":
		if len(related) > 4*nameServersPerDomain/2 {
			return route53api.DelegationSetNotAvailable.New("Too many hosted zones have the name %s, are above or below it.", z.Name)
		}
		z.NameServers = newNameServers(related)
		return nil
	case ofSet >= maxZonesPerSet:
		return route53api.TooManyHostedZones.New("Limits Exceeded: MAX_ZONES_BY_REUSABLE_DELEGATION_SET - Cannot create more than %d hosted zones with one delegation set.", maxZonesPerSet)
	case slices.ContainsFunc(z.NameServers, func(name string) bool { return slices.Contains(related, name) }):
		return route53api.ConflictingDomainExists.New("Cannot create hosted zone with DelegationSetId DelegationSetId:%s as the DNSName %s conflicts with existing ones sharing the delegation set", z.DelegationSet, z.Name)
	}
	return nil
}

// putZone writes a new zone and its own records. Whoever makes another one with
// the same delegation set comes before or after.
func (s *Service) putZone(ctx context.Context, z HostedZone, set *store.Item[DelegationSet]) (Change, error) {
	change := s.newChange(z.ID, "")
	z.Change = change.ID
	var servers []string
	for _, name := range z.NameServers {
		servers = append(servers, name+".")
	}
	ops := []store.Op{
		s.HostedZones.CreateOp(z.ID, z),
		s.references.CreateOp(zoneReference(z.CallerReference), Reference{ID: z.ID}),
		s.Changes.CreateOp(change.ID, change),
	}
	for _, own := range []RecordSet{
		{Zone: z.ID, Name: z.Name, Type: "NS", TTL: nsTTL, Values: servers},
		{Zone: z.ID, Name: z.Name, Type: "SOA", TTL: soaTTL, Values: []string{servers[0] + soaValues}},
	} {
		ops = append(ops, s.RecordSets.CreateOp(own.Key(), own))
	}
	for _, v := range z.VPCs {
		ops = append(ops, s.references.CreateOp(vpcReference(v, z.Name), Reference{ID: z.ID}))
	}
	if set != nil {
		set.Value.Zones++
		ops = append(ops, s.DelegationSets.UpdateOp(*set))
	}
	_, err := store.Commit(ctx, s.client, ops...)
	if failed, ok := errors.AsType[*store.OpError](err); ok && errors.Is(err, store.ErrExists) {
		switch failed.Key {
		case zoneReference(z.CallerReference):
			err = route53api.HostedZoneAlreadyExists.New("A hosted zone has already been created with the specified caller reference.")
		default:
			for _, v := range z.VPCs {
				if failed.Key == vpcReference(v, z.Name) {
					err = s.conflicting(ctx, v, z.Name)
				}
			}
		}
	}
	s.prune(ctx)
	return change, err
}

// Keys of Service.references.
func zoneReference(callerReference string) string { return "hosted-zone/" + callerReference }
func vpcReference(v VPC, name string) string {
	return fmt.Sprintf("vpc/%s/%s/%s", v.Region, v.ID, name)
}

// DeleteHostedZone implements route53api.Handler.
func (s *Service) DeleteHostedZone(ctx context.Context, in *route53api.DeleteHostedZoneInput) (*route53api.DeleteHostedZoneOutput, error) {
	change, err := again(func() (Change, error) { return s.deleteZone(ctx, in.Id) })
	if err != nil {
		return nil, err
	}
	return &route53api.DeleteHostedZoneOutput{ChangeInfo: pending(change)}, nil
}

func (s *Service) deleteZone(ctx context.Context, id *string) (Change, error) {
	it, err := s.zone(ctx, id)
	if err != nil {
		return Change{}, err
	}
	z := it.Value
	if z.RecordSets > 2 {
		return Change{}, route53api.HostedZoneNotEmpty.New("The specified hosted zone contains non-required resource record sets and so cannot be deleted.")
	}
	change := s.newChange(z.ID, "")
	ops := []store.Op{s.HostedZones.DeleteOp(it), s.Changes.CreateOp(change.ID, change)}
	own, _, err := s.RecordSets.List(ctx, z.ID+"/")
	if err != nil {
		return Change{}, err
	}
	for _, set := range own {
		ops = append(ops, s.RecordSets.DeleteOp(set))
	}
	keys := []string{zoneReference(z.CallerReference)}
	for _, v := range z.VPCs {
		keys = append(keys, vpcReference(v, z.Name))
	}
	for _, key := range keys {
		ref, err := s.references.Get(ctx, key)
		if err != nil {
			return Change{}, goneMeanwhile(err)
		}
		ops = append(ops, s.references.DeleteOp(ref))
	}
	if z.DelegationSet != "" {
		set, err := s.delegationSet(ctx, &z.DelegationSet)
		if err != nil {
			return Change{}, err
		}
		set.Value.Zones--
		ops = append(ops, s.DelegationSets.UpdateOp(set))
	}
	_, err = store.Commit(ctx, s.client, ops...)
	s.prune(ctx)
	return change, goneMeanwhile(err)
}

// goneMeanwhile is for what was there a moment ago: reading again tells why not.
func goneMeanwhile(err error) error {
	if errors.Is(err, store.ErrNotFound) {
		return fmt.Errorf("%w: %w", store.ErrConflict, err)
	}
	return err
}
