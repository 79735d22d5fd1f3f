package route53

import (
	"context"
	"errors"
	"strings"

	route53api "github.com/tarn-eks/tarn/internal/api/route53"
	"github.com/tarn-eks/tarn/internal/hostedzone"
	"github.com/tarn-eks/tarn/internal/store"
)

// Routing is a routing policy, in AWS's words.
type Routing string

// The routing policies.
const (
	Simple      Routing = "simple"
	Weighted    Routing = "weighted"
	Latency     Routing = "latency"
	Failover    Routing = "failover"
	Geolocation Routing = "geolocation"
	MultiValue  Routing = "multivalue answer"
)

// Routing is the policy of a record set. All of one name and type have the same.
func (r *RecordSet) Routing() Routing {
	switch {
	case r.Weight != nil:
		return Weighted
	case r.Region != "":
		return Latency
	case r.Failover != "":
		return Failover
	case r.Geo != nil:
		return Geolocation
	case r.MultiValue:
		return MultiValue
	}
	return Simple
}

// checkRouting checks a record set against those of the same name and type.
func (b *batch) checkRouting(set *RecordSet) {
	policy := set.Routing()
	if policy != Simple && (set.Type == "NS" || set.Type == "SOA") || policy == MultiValue && set.Type == "CNAME" {
		b.wrong("RRSet of type %s with DNS name %s cannot have a %s routing policy", set.Type, set.Name, policy)
		return
	}
	if set.Failover == Primary && set.Alias == nil && set.HealthCheck == "" {
		b.wrong("A non-alias primary ResourceRecordSet must have an associated health check. No changes made.")
	}
	others := 0
	for _, other := range b.at(set.Name) {
		if other.Type != set.Type || other.SetIdentifier == set.SetIdentifier {
			continue
		}
		others++
		switch {
		case policy == Simple:
			b.wrong("RRSet with DNS name %s, type %s cannot be created as other RRSets exist with the same name and type.", set.Name, set.Type)
		case other.Routing() != policy && policy == MultiValue:
			b.wrong("RRSet with DNS name %s, type %s, SetIdentifier %s cannot be created because a non multivalue answer rrset exists with the same name and type.", set.Name, set.Type, set.SetIdentifier)
		case other.Routing() != policy:
			b.wrong("RRSet with DNS name %s, type %s, SetIdentifier %s cannot be created as a non-%s set exists with the same name and type.", set.Name, set.Type, set.SetIdentifier, policy)
		case policy == Weighted && set.Alias == nil && other.Alias == nil && set.TTL != other.TTL:
			b.wrong("RRSet with DNS name %s and type %s, SetIdentifier %s cannot be created as weighted sets must contain the same TTL.", set.Name, set.Type, set.SetIdentifier)
		case policy == Latency && set.Region == other.Region:
			b.wrong("RRSet with DNS name %s, type %s, SetIdentifier %s, and Region Name=%s cannot be created because a latency RRSet with the same name, type and region already exists.", set.Name, set.Type, set.SetIdentifier, set.Region)
		case policy == Failover && set.Failover == other.Failover:
			b.wrong("RRSet with DNS name %s, type %s, SetIdentifier %s, and Failover Type=%s cannot be created because a failover RRSet with the same name, type and failover type already exists.", set.Name, set.Type, set.SetIdentifier, set.Failover)
		case policy == Geolocation && *set.Geo == *other.Geo:
			b.wrong("RRSet with DNS name %s, type %s, SetIdentifier %s, and GeoLocation=%s cannot be created because a geolocation RRSet with the same name, type and location already exists.", set.Name, set.Type, set.SetIdentifier, set.Geo)
		}
	}
	if others >= maxPerName {
		b.wrong("Cannot have more than %d RRSets with the same name and type: %s, %s.", maxPerName, set.Name, set.Type)
	}
}

// checkTarget checks what an alias stands for.
func (b *batch) checkTarget(ctx context.Context, set *RecordSet) error {
	a := set.Alias
	if a == nil {
		return nil
	}
	if set.Type == "NS" || set.Type == "SOA" {
		b.wrong("RRSet of type %s with DNS name %s cannot be an alias", set.Type, set.Name)
		return nil
	}
	lies, exists := false, false
	switch region := hostedzone.Region(a.Zone); {
	case region != "":
		suffix := "." + region + ".elb.amazonaws.com."
		if strings.HasPrefix(region, "cn-") {
			suffix += "cn."
		}
		lies = strings.HasSuffix(a.Name, suffix)
		if lies && (set.Type == "A" || set.Type == "AAAA") {
			var err error
			if exists, err = b.joints.targetExists(ctx, a); err != nil {
				return err
			}
		}
	case a.Zone == b.zone.Key:
		lies = below(a.Name, b.zone.Value.Name)
		for _, other := range b.at(a.Name) {
			exists = exists || other.Type == set.Type
		}
	}
	if !lies {
		b.wrong("Tried to create an alias that targets %s, type %s in zone %s, but the alias target name does not lie within the target zone", a.Name, set.Type, a.Zone)
	}
	if !exists {
		b.wrong("Tried to create an alias that targets %s, type %s in zone %s, but that target was not found", a.Name, set.Type, a.Zone)
	}
	return nil
}

// checkLoop checks that nobody who follows a CNAME or an alias comes back to it.
func (b *batch) checkLoop(ctx context.Context, set *RecordSet) error {
	seen := map[string]bool{}
	next := b.follow(set)
	typ := set.Type // an alias is followed for its type, a CNAME for any
	if typ == "CNAME" {
		typ = ""
	}
	for len(next) > 0 {
		var further []string
		for _, name := range next {
			if name == set.Name {
				b.wrong("RRSet of type %s with DNS name %s is not permitted as it creates a CNAME or alias loop in the zone.", set.Type, set.Name)
				return nil
			}
			if seen[name] {
				continue
			}
			seen[name] = true
			if err := b.read(ctx, name); err != nil {
				return err
			}
			for _, other := range b.at(name) {
				if other.Type == "CNAME" || typ == "" || other.Type == typ {
					further = append(further, b.follow(&other)...)
				}
			}
		}
		next = further
	}
	return nil
}

// follow are the names in the zone that a record set leads to.
func (b *batch) follow(set *RecordSet) (names []string) {
	if a := set.Alias; a != nil && a.Zone == b.zone.Key {
		names = append(names, a.Name)
	}
	if set.Type == "CNAME" {
		for _, value := range set.Values {
			if name, err := Name(value); err == nil && below(name, b.zone.Value.Name) {
				names = append(names, name)
			}
		}
	}
	return names
}

// targetExists implements joints.
func (s *Service) targetExists(ctx context.Context, a *Alias) (bool, error) {
	name, _ := a.ToLoadBalancer()
	return s.loadBalancers.LoadBalancerExists(ctx, name)
}

// healthCheckExists implements joints.
func (s *Service) healthCheckExists(ctx context.Context, id string) (bool, error) {
	_, err := s.HealthChecks.Get(ctx, id)
	if errors.Is(err, store.ErrNotFound) {
		return false, nil
	}
	return err == nil, err
}

// types are those of the record sets, in the order of AWS's documentation.
var types = []route53api.RRType{
	"SOA", "A", "TXT", "NS", "CNAME", "MX", "NAPTR", "PTR", "SRV", "SPF", "AAAA", "CAA", "DS", "TLSA", "SSHFP", "SVCB", "HTTPS",
}
