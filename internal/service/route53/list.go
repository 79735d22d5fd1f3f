package route53

import (
	"context"
	"maps"
	"slices"
	"strings"
	"sync"

	"github.com/tarn-eks/tarn/internal/api"
	route53api "github.com/tarn-eks/tarn/internal/api/route53"
	"github.com/tarn-eks/tarn/internal/store"
)

const recordPage = 300

// ListResourceRecordSets implements route53api.Handler.
func (s *Service) ListResourceRecordSets(ctx context.Context, in *route53api.ListResourceRecordSetsInput) (*route53api.ListResourceRecordSetsOutput, error) {
	zone, err := s.zone(ctx, in.HostedZoneId)
	if err != nil {
		return nil, err
	}
	n, err := pageSize(in.MaxItems, recordPage)
	if err != nil {
		return nil, err
	}
	from, err := startKey(zone.Key, in)
	if err != nil {
		return nil, err
	}
	items, err := s.sets(ctx, zone)
	if err != nil {
		return nil, err
	}
	i, _ := slices.BinarySearchFunc(items, from, func(it store.Item[RecordSet], from string) int { return strings.Compare(it.Key, from) })
	items = items[i:]
	out := &route53api.ListResourceRecordSetsOutput{
		ResourceRecordSets: []route53api.ResourceRecordSet{}, IsTruncated: new(len(items) > n), MaxItems: maxItems(n),
	}
	if len(items) > n {
		next := items[n].Value
		out.NextRecordName, out.NextRecordType = &next.Name, route53api.RRType(next.Type)
		if next.SetIdentifier != "" {
			out.NextRecordIdentifier = &next.SetIdentifier
		}
		items = items[:n]
	}
	for i := range items {
		out.ResourceRecordSets = append(out.ResourceRecordSets, describeRecordSet(&items[i].Value))
	}
	return out, nil
}

// startKey is where a list begins: at a key, or at what comes after it.
func startKey(zone string, in *route53api.ListResourceRecordSetsInput) (string, error) {
	name, typ, id := api.Val(in.StartRecordName), in.StartRecordType, api.Val(in.StartRecordIdentifier)
	switch {
	case typ != "" && name == "":
		return "", invalid("The input is not valid: a type without a name")
	case id != "" && typ == "":
		return "", invalid("The input is not valid: an identifier without a type")
	}
	if typ != "" {
		if err := checkEnum(typ, types...); err != nil {
			return "", err
		}
	}
	if name == "" {
		return zone + "/", nil
	}
	plain, err := Name(name)
	if err != nil {
		return "", message(route53api.InvalidInput, err)
	}
	from := namePrefix(zone, plain)
	if typ != "" {
		from += string(typ) + " " + id
	}
	return from, nil
}

func describeRecordSet(r *RecordSet) route53api.ResourceRecordSet {
	out := route53api.ResourceRecordSet{
		Name: &r.Name, Type: route53api.RRType(r.Type), Region: route53api.ResourceRecordSetRegion(r.Region),
		Failover: route53api.ResourceRecordSetFailover(r.Failover),
	}
	if r.SetIdentifier != "" {
		out.SetIdentifier = &r.SetIdentifier
	}
	if r.Weight != nil {
		out.Weight = new(int64(*r.Weight))
	}
	if g := r.Geo; g != nil {
		out.GeoLocation = &route53api.GeoLocation{ContinentCode: present(g.Continent), CountryCode: present(g.Country), SubdivisionCode: present(g.Subdivision)}
	}
	if r.MultiValue {
		out.MultiValueAnswer = new(true)
	}
	if r.HealthCheck != "" {
		out.HealthCheckId = &r.HealthCheck
	}
	if a := r.Alias; a != nil {
		out.AliasTarget = &route53api.AliasTarget{HostedZoneId: &a.Zone, DNSName: &a.Name, EvaluateTargetHealth: &a.EvaluateHealth}
		return out
	}
	out.TTL = new(int64(r.TTL))
	for i := range r.Values {
		out.ResourceRecords = append(out.ResourceRecords, route53api.ResourceRecord{Value: &r.Values[i]})
	}
	return out
}

// present is nil for what is not there.
func present(s string) *string {
	if s == "" {
		return nil
	}
	return &s
}

// sets are the record sets of a zone in the API's order. They are others' too:
// nothing of them may be changed.
//
// What is remembered of a zone is right as long as the zone's item is the same:
// each change of a record set writes it.
func (s *Service) sets(ctx context.Context, zone store.Item[HostedZone]) ([]store.Item[RecordSet], error) {
	if items, ok := s.known.get(zone.Key, zone.Revision); ok {
		return items, nil
	}
	items, _, err := s.RecordSets.List(ctx, zone.Key+"/")
	if err != nil {
		return nil, err
	}
	s.known.put(zone.Key, zone.Revision, items)
	return items, nil
}

// knownZones is how many zones' record sets are remembered.
const knownZones = 16

// known remembers zones' record sets, so that a long list is not read again for
// each page.
type known struct {
	mu    sync.Mutex // guards zones
	zones map[string]knownZone
}

type knownZone struct {
	revision int64
	items    []store.Item[RecordSet]
}

func (k *known) get(zone string, revision int64) ([]store.Item[RecordSet], bool) {
	k.mu.Lock()
	defer k.mu.Unlock()
	z, ok := k.zones[zone]
	return z.items, ok && z.revision == revision
}

func (k *known) put(zone string, revision int64, items []store.Item[RecordSet]) {
	k.mu.Lock()
	defer k.mu.Unlock()
	if _, ok := k.zones[zone]; !ok && len(k.zones) >= knownZones {
		for other := range maps.Keys(k.zones) { // any
			delete(k.zones, other)
			break
		}
	}
	if k.zones == nil {
		k.zones = map[string]knownZone{}
	}
	k.zones[zone] = knownZone{revision, items}
}
