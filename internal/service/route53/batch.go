package route53

import (
	"context"
	"fmt"
	"maps"
	"reflect"
	"slices"
	"strings"

	route53api "github.com/tarn-eks/tarn/internal/api/route53"
	"github.com/tarn-eks/tarn/internal/store"
)

// batch is what a batch of changes does to a zone. Changes count one after the
// other.
type batch struct {
	zone   store.Item[HostedZone]
	before map[string]store.Item[RecordSet] // by key: those that the batch looks at
	after  map[string]RecordSet             // the same, after the changes so far
	names  map[string][]string              // by name that was read: keys that were or are there
	joints joints
	// problems are what is wrong, in Route 53's words.
	problems []string
}

// joints are what a batch asks of others.
type joints interface {
	// at are the zone's record sets at a name.
	at(ctx context.Context, name string) ([]store.Item[RecordSet], error)
	// targetExists says whether a load balancer has an alias's name.
	targetExists(ctx context.Context, a *Alias) (bool, error)
	healthCheckExists(ctx context.Context, id string) (bool, error)
}

// manyNames are so many that reading the whole zone is faster.
const manyNames = 32

// zoneJoints are those of a batch for a zone.
type zoneJoints struct {
	*Service
	zone  string
	whole map[string][]store.Item[RecordSet] // by name; nil if the zone was not read
}

func (z zoneJoints) at(ctx context.Context, name string) ([]store.Item[RecordSet], error) {
	if z.whole != nil {
		return z.whole[name], nil
	}
	items, _, err := z.RecordSets.List(ctx, namePrefix(z.zone, name))
	return items, err
}

// newBatch reads what the steps are about.
func (s *Service) newBatch(ctx context.Context, zone store.Item[HostedZone], steps []step) (*batch, error) {
	z := zoneJoints{Service: s, zone: zone.Key}
	if len(steps) > manyNames {
		items, err := s.sets(ctx, zone)
		if err != nil {
			return nil, err
		}
		z.whole = map[string][]store.Item[RecordSet]{}
		for _, it := range items {
			z.whole[it.Value.Name] = append(z.whole[it.Value.Name], it)
		}
	}
	b := &batch{zone: zone, before: map[string]store.Item[RecordSet]{}, after: map[string]RecordSet{}, names: map[string][]string{}, joints: z}
	names := []string{zone.Value.Name}
	for i := range steps {
		names = append(names, steps[i].set.Name)
		if a := steps[i].set.Alias; a != nil && a.Zone == zone.Key {
			names = append(names, a.Name)
		}
	}
	return b, b.read(ctx, names...)
}

// read reads the record sets at names, unless it has.
func (b *batch) read(ctx context.Context, names ...string) error {
	for _, name := range names {
		if _, ok := b.names[name]; ok {
			continue
		}
		items, err := b.joints.at(ctx, name)
		if err != nil {
			return err
		}
		b.names[name] = nil
		for _, it := range items {
			b.before[it.Key] = it
			b.put(it.Value)
		}
	}
	return nil
}

// namePrefix is how the keys of a name's record sets begin.
func namePrefix(zone, name string) string { return zone + "/" + reversed(name) + " " }

func (b *batch) put(set RecordSet) {
	key := set.Key()
	b.after[key] = set
	if !slices.Contains(b.names[set.Name], key) {
		b.names[set.Name] = append(b.names[set.Name], key)
	}
}

// at are the record sets at a name, in the API's order.
func (b *batch) at(name string) []RecordSet {
	var sets []RecordSet
	for _, key := range slices.Sorted(slices.Values(b.names[name])) {
		if set, ok := b.after[key]; ok {
			sets = append(sets, set)
		}
	}
	return sets
}

func (b *batch) wrong(format string, args ...any) {
	if text := fmt.Sprintf(format, args...); !slices.Contains(b.problems, text) {
		b.problems = append(b.problems, text)
	}
}

// run makes the changes, as far as they are allowed, and returns what is wrong.
func (b *batch) run(ctx context.Context, steps []step) error {
	actions := map[string][]route53api.ChangeAction{}
	for i := range steps {
		key := steps[i].set.Key()
		actions[key] = append(actions[key], steps[i].action)
	}
	for i := range steps {
		set := &steps[i].set
		if of := actions[set.Key()]; len(of) > 1 && !slices.Equal(of, []route53api.ChangeAction{route53api.ChangeActionDelete, route53api.ChangeActionCreate}) {
			b.wrong("The request contains an invalid set of changes for a resource record set '%s %s'", set.Type, set.Name)
			continue
		}
		if steps[i].action == route53api.ChangeActionDelete {
			b.delete(set)
			continue
		}
		if err := b.create(ctx, set, steps[i].action == route53api.ChangeActionUpsert); err != nil {
			return err
		}
	}
	b.checkApex()
	if n := b.zone.Value.RecordSets + len(b.after) - len(b.before); n > maxRecordSets && n > b.zone.Value.RecordSets {
		b.wrong("Limits Exceeded: MAX_RRSETS_BY_ZONE - Cannot create more than %d resource record sets in a hosted zone.", maxRecordSets)
	}
	if len(b.problems) > 0 {
		return invalidBatch(b.problems)
	}
	return nil
}

// called names a record set as AWS's messages do.
func (r *RecordSet) called() string {
	text := fmt.Sprintf("[name='%s', type='%s'", r.Name, r.Type)
	if r.SetIdentifier != "" {
		text += fmt.Sprintf(", set-identifier='%s'", r.SetIdentifier)
	}
	return text + "]"
}

func (b *batch) delete(set *RecordSet) {
	if !below(set.Name, b.zone.Value.Name) {
		b.wrong("RRSet with DNS name %s is not permitted in zone %s", set.Name, b.zone.Value.Name)
		return
	}
	now, ok := b.after[set.Key()]
	switch {
	case !ok:
		b.wrong("Tried to delete resource record set %s but it was not found", set.called())
	case !now.same(set):
		b.wrong("Tried to delete resource record set %s but the values provided do not match the current values", set.called())
	default:
		delete(b.after, set.Key())
	}
}

// same compares what two record sets say, whatever way they say it.
func (r *RecordSet) same(other *RecordSet) bool {
	a, b := *r, *other
	a.Values, b.Values = r.contents(), other.contents()
	return reflect.DeepEqual(a, b)
}

// contents are a record set's values in one form, sorted.
func (r *RecordSet) contents() []string {
	var list []string
	for _, value := range r.Values {
		text := value
		if rr, err := parseValue(r.Type, value); err == nil {
			text, _ = data(rr) // it was packed before
		}
		list = append(list, text)
	}
	slices.Sort(list)
	return list
}

// create adds or replaces a record set, if it may be there.
func (b *batch) create(ctx context.Context, set *RecordSet, replace bool) error {
	found := len(b.problems)
	if _, ok := b.after[set.Key()]; ok && !replace {
		b.wrong("Tried to create resource record set %s but it already exists", set.called())
	}
	if err := b.checkTarget(ctx, set); err != nil {
		return err
	}
	b.checkPlace(set)
	b.checkValues(set)
	b.checkRouting(set)
	if err := b.checkLoop(ctx, set); err != nil {
		return err
	}
	if set.HealthCheck != "" {
		ok, err := b.joints.healthCheckExists(ctx, set.HealthCheck)
		if err != nil {
			return err
		}
		if !ok {
			return noHealthCheck(set.HealthCheck)
		}
	}
	if len(b.problems) == found {
		b.put(*set)
	}
	return nil
}

// checkPlace checks the name: what may be at it.
func (b *batch) checkPlace(set *RecordSet) {
	zone := b.zone.Value.Name
	if !below(set.Name, zone) {
		b.wrong("RRSet with DNS name %s is not permitted in zone %s", set.Name, zone)
		return
	}
	switch {
	case set.Name == zone && (set.Type == "CNAME" || set.Type == "DS"):
		b.wrong("RRSet of type %s with DNS name %s is not permitted at apex in zone %s", set.Type, set.Name, zone)
	case set.Name != zone && set.Type == "SOA":
		b.wrong("RRSet of type %s with DNS name %s is not permitted in zone %s", set.Type, set.Name, zone)
	case set.Type == "NS" && strings.HasPrefix(set.Name, wildcard):
		b.wrong("RRSet of type %s with DNS name %s is not permitted: a delegation cannot be a wildcard", set.Type, set.Name)
	}
	for _, other := range b.at(set.Name) {
		if other.Type == set.Type {
			continue
		}
		if set.Type == "CNAME" {
			b.wrong("RRSet of type CNAME with DNS name %s is not permitted as it conflicts with other records with the same DNS name in zone %s", set.Name, zone)
		}
		if other.Type == "CNAME" {
			b.wrong("RRSet of type %s with DNS name %s is not permitted because a conflicting RRSet of type CNAME with the same DNS name already exists in zone %s", set.Type, set.Name, zone)
		}
	}
}

// wildcard is how the names of wildcards begin.
const wildcard = `\052.`

// checkValues checks the records.
func (b *batch) checkValues(set *RecordSet) {
	if len(set.Values) > maxValues {
		b.wrong("Cannot have more than %d records in a RRSet.", maxValues)
		return
	}
	if (set.Type == "CNAME" || set.Type == "SOA") && len(set.Values) > 1 {
		b.wrong("RRSet of type %s with DNS name %s must contain exactly one resource record", set.Type, set.Name)
	}
	seen := map[string]bool{}
	for _, value := range set.Values {
		rr, err := parseValue(set.Type, value)
		if err != nil {
			b.wrong("Invalid Resource Record: '%s'", err)
			continue
		}
		text, _ := data(rr) // it was packed before
		if seen[text] {
			b.wrong("Duplicate Resource Record: '%s'", value)
		}
		seen[text] = true
	}
}

// checkApex checks that the zone still has what makes it a zone.
func (b *batch) checkApex() {
	has := map[string]bool{}
	for _, set := range b.at(b.zone.Value.Name) {
		has[set.Type] = true
	}
	if !has["NS"] {
		b.wrong("A HostedZone must contain at least one NS record for the zone itself.")
	}
	if !has["SOA"] {
		b.wrong("A HostedZone must contain exactly one SOA record.")
	}
}

// ops are the writes that the batch comes to.
func (b *batch) ops(s *Service, change Change) []store.Op {
	zone := b.zone
	zone.Value.RecordSets += len(b.after) - len(b.before)
	zone.Value.Change = change.ID
	ops := []store.Op{s.HostedZones.UpdateOp(zone), s.Changes.CreateOp(change.ID, change)}
	for _, key := range slices.Sorted(maps.Keys(b.after)) {
		set := b.after[key]
		it, there := b.before[key]
		switch {
		case !there:
			ops = append(ops, s.RecordSets.CreateOp(key, set))
		case !reflect.DeepEqual(it.Value, set):
			it.Value = set
			ops = append(ops, s.RecordSets.UpdateOp(it))
		}
	}
	for _, key := range slices.Sorted(maps.Keys(b.before)) {
		if _, stays := b.after[key]; !stays {
			ops = append(ops, s.RecordSets.DeleteOp(b.before[key]))
		}
	}
	return ops
}
