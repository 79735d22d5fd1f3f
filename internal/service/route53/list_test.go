package route53_test

import (
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"

	sdk "github.com/aws/aws-sdk-go-v2/service/route53"
	"github.com/aws/aws-sdk-go-v2/service/route53/types"

	route53api "github.com/tarn-eks/tarn/internal/api/route53"
)

func TestListRecords(t *testing.T) {
	f := newFixture(t)
	ctx := t.Context()
	zone := f.zone("example.com")
	w := func(id string) types.ResourceRecordSet {
		return with(set("w.example.com", "A", "192.0.2.1"), id, func(s *types.ResourceRecordSet) { s.Weight = new(int64(1)) })
	}
	f.must(zone,
		change("CREATE", set("a.example.com", "A", "192.0.2.1")), change("CREATE", set("a.example.com", "TXT", `"x"`)),
		change("CREATE", set("-b.a.example.com", "A", "192.0.2.1")), change("CREATE", set("z.a.example.com", "A", "192.0.2.1")),
		change("CREATE", set("a-b.example.com", "A", "192.0.2.1")), change("CREATE", set("*.example.com", "A", "192.0.2.1")),
		change("CREATE", set("example.com", "A", "192.0.2.1")), change("CREATE", set("a.example.com", "AAAA", "2001:db8::1")),
		change("CREATE", w("two")), change("CREATE", w("one")), change("CREATE", w("Three")),
	)
	want := []string{
		"example.com. A 192.0.2.1", `\052.example.com. A 192.0.2.1`, "a-b.example.com. A 192.0.2.1",
		"a.example.com. A 192.0.2.1", "a.example.com. AAAA 2001:db8::1", `a.example.com. TXT "x"`,
		"-b.a.example.com. A 192.0.2.1", "z.a.example.com. A 192.0.2.1",
		"w.example.com. A Three 192.0.2.1", "w.example.com. A one 192.0.2.1", "w.example.com. A two 192.0.2.1",
	}
	// ASCII order of com.example.\052. is after com.example.- and before letters.
	if got := own(f.list(zone), "example.com."); !slices.Equal(got, want) {
		t.Errorf("%q\nwant %q", got, want)
	}
	var paged []string
	in := &sdk.ListResourceRecordSetsInput{HostedZoneId: &zone, MaxItems: new(int32(2))}
	for {
		out, err := f.ListResourceRecordSets(ctx, in)
		if err != nil {
			t.Fatal(err)
		}
		if *out.MaxItems != 2 || len(out.ResourceRecordSets) > 2 {
			t.Errorf("%+v", out)
		}
		paged = append(paged, lines(out.ResourceRecordSets)...)
		if !out.IsTruncated {
			break
		}
		in.StartRecordName, in.StartRecordType, in.StartRecordIdentifier = out.NextRecordName, out.NextRecordType, out.NextRecordIdentifier
	}
	if got := own(paged, "example.com."); !slices.Equal(got, want) {
		t.Errorf("paged: %q", got)
	}
	start := func(name, typ, id string) (string, error) {
		in := &sdk.ListResourceRecordSetsInput{HostedZoneId: &zone, StartRecordType: types.RRType(typ), MaxItems: new(int32(1))}
		if name != "" {
			in.StartRecordName = &name
		}
		if id != "" {
			in.StartRecordIdentifier = &id
		}
		out, err := f.ListResourceRecordSets(ctx, in)
		if err != nil || len(out.ResourceRecordSets) == 0 {
			return "", err
		}
		return lines(out.ResourceRecordSets)[0], nil
	}
	for _, tc := range []struct{ name, typ, id, want string }{
		{"A.example.com", "", "", "a.example.com. A 192.0.2.1"},
		{"a.example.com.", "AAAA", "", "a.example.com. AAAA 2001:db8::1"},
		{"a.example.com", "CNAME", "", `a.example.com. TXT "x"`},
		{"b.example.com", "", "", "w.example.com. A Three 192.0.2.1"},
		{"w.example.com", "A", "three", "w.example.com. A two 192.0.2.1"},
		{"*.example.com", "", "", `\052.example.com. A 192.0.2.1`},
		{"x.example.com", "", "", ""},
		{"a.org", "", "", ""},
	} {
		if got, err := start(tc.name, tc.typ, tc.id); got != tc.want || err != nil {
			t.Errorf("from %s %s %s: %q, %v", tc.name, tc.typ, tc.id, got, err)
		}
	}
	_, err := start("", "A", "")
	fails(t, "a type without a name", err, "InvalidInput", "without a name")
	_, err = start("a.example.com", "", "x")
	fails(t, "an identifier without a type", err, "InvalidInput", "without a type")
	_, err = f.ListResourceRecordSets(ctx, &sdk.ListResourceRecordSetsInput{HostedZoneId: new("Z1")})
	fails(t, "no zone", err, "NoSuchHostedZone", "Z1")
}

func TestApex(t *testing.T) {
	f := newFixture(t)
	zone := f.zone("example.com")
	out, err := f.ListResourceRecordSets(t.Context(), &sdk.ListResourceRecordSetsInput{HostedZoneId: &zone})
	if err != nil {
		t.Fatal(err)
	}
	ns, soa := out.ResourceRecordSets[0], out.ResourceRecordSets[1]
	_, err = f.change(zone, change("DELETE", ns), change("DELETE", soa))
	fails(t, "both", err, "InvalidChangeBatch", "[A HostedZone must contain at least one NS record for the zone itself., A HostedZone must contain exactly one SOA record.]")
	ns.TTL = new(int64(60))
	f.must(zone, change("UPSERT", ns), change("DELETE", soa), change("CREATE", soa))
}

func TestGetChange(t *testing.T) {
	f := newFixture(t)
	ctx := t.Context()
	zone := f.zone("example.com")
	out, err := f.ChangeResourceRecordSets(ctx, &sdk.ChangeResourceRecordSetsInput{HostedZoneId: &zone, ChangeBatch: &types.ChangeBatch{
		Comment: new("why"), Changes: []types.Change{change("CREATE", set("a.example.com", "A", "192.0.2.1"))}}})
	if err != nil || out.ChangeInfo.Status != types.ChangeStatusPending {
		t.Fatalf("%+v, %v", out, err)
	}
	item, err := f.service.Changes.Get(ctx, id(out.ChangeInfo.Id))
	if err != nil {
		t.Fatal(err)
	}
	record, err := f.service.RecordSets.Get(ctx, zone+"/com.example.a. A ")
	if err != nil || record.Revision != item.Revision {
		t.Errorf("the record has revision %d, its change %d: %v", record.Revision, item.Revision, err)
	}
	for applied, want := range map[int64]types.ChangeStatus{0: types.ChangeStatusPending, item.Revision - 1: types.ChangeStatusPending, item.Revision: types.ChangeStatusInsync, item.Revision + 9: types.ChangeStatusInsync} {
		f.applied.Store(applied)
		got, err := f.GetChange(ctx, &sdk.GetChangeInput{Id: out.ChangeInfo.Id})
		if err != nil || got.ChangeInfo.Status != want || *got.ChangeInfo.Id != *out.ChangeInfo.Id || *got.ChangeInfo.Comment != "why" || !got.ChangeInfo.SubmittedAt.Equal(*out.ChangeInfo.SubmittedAt) {
			t.Errorf("applied %d: %+v, %v", applied, got, err)
		}
	}
	_, err = f.GetChange(ctx, &sdk.GetChangeInput{Id: new("C1")})
	fails(t, "no change", err, "NoSuchChange", "Could not find resource with ID: C1")
}

// Batches that come at the same time are made one after the other: of those
// that exclude each other one is.
func TestChangesAtTheSameTime(t *testing.T) {
	f := newFixture(t)
	ctx := t.Context()
	zone := f.zone("example.com")
	const n = 8
	created := make([]error, n)
	var wg sync.WaitGroup
	for i := range n {
		wg.Go(func() {
			typ, value := "A", "192.0.2.1"
			if i%2 == 0 {
				typ, value = "CNAME", "x.com"
			}
			_, created[i] = f.change(zone, change("CREATE", set("same.example.com", typ, value)), change("CREATE", set(fmt.Sprintf("own%d.example.com", i), "A", "192.0.2.1")))
		})
		wg.Go(func() {
			if _, err := f.change(zone, change("UPSERT", set(fmt.Sprintf("other%d.example.com", i), "A", "192.0.2.1"))); err != nil {
				t.Error(err)
			}
		})
	}
	wg.Wait()
	made := slices.DeleteFunc(slices.Clone(created), func(err error) bool { return err != nil })
	all := own(f.list(zone), "example.com.")
	if len(made) != 1 || len(all) != 2+n {
		t.Errorf("%v\n%q", created, all)
	}
	it, err := f.service.HostedZones.Get(ctx, zone)
	if err != nil || it.Value.RecordSets != len(all)+2 {
		t.Errorf("%+v, %v", it.Value, err)
	}
}

// Ten thousand record sets are what a zone may have.
func TestManyRecords(t *testing.T) {
	f := newFixture(t)
	ctx := t.Context()
	zone := f.zone("example.com")
	batch := func(from, to int) *route53api.ChangeResourceRecordSetsInput {
		in := &route53api.ChangeResourceRecordSetsInput{HostedZoneId: &zone, ChangeBatch: &route53api.ChangeBatch{}}
		for i := from; i < to; i++ {
			in.ChangeBatch.Changes = append(in.ChangeBatch.Changes, route53api.Change{Action: "CREATE", ResourceRecordSet: &route53api.ResourceRecordSet{
				Name: new(fmt.Sprintf("host-%d.example.com", i)), Type: "A", TTL: new(int64(60)), ResourceRecords: []route53api.ResourceRecord{{Value: new("192.0.2.1")}}}})
		}
		return in
	}
	const most = 10000 - 2
	for from := 0; from < most; from += 1000 {
		if _, err := f.service.ChangeResourceRecordSets(ctx, batch(from, min(from+1000, most))); err != nil {
			t.Fatal(err)
		}
	}
	_, err := f.service.ChangeResourceRecordSets(ctx, batch(most, most+1))
	if !route53api.InvalidChangeBatch.Is(err) {
		t.Errorf("one more: %v", err)
	}
	seen := 0
	for p := sdk.NewListResourceRecordSetsPaginator(f, &sdk.ListResourceRecordSetsInput{HostedZoneId: &zone}); p.HasMorePages(); {
		out, err := p.NextPage(ctx)
		if err != nil {
			t.Fatal(err)
		}
		seen += len(out.ResourceRecordSets)
	}
	if seen != 10000 {
		t.Errorf("%d record sets", seen)
	}
	// As many changes as one batch may have travel in one request.
	var changes []types.Change
	for i := range 500 {
		changes = append(changes, change("UPSERT", alias(fmt.Sprintf("host-%d.example.com", i), "A", elbZone, "dualstack."+elbName)))
	}
	f.must(zone, changes...)
	// One change in a large zone is seen at once.
	f.must(zone, change("UPSERT", set("host-1.example.com", "A", "192.0.2.2")))
	out, err := f.ListResourceRecordSets(ctx, &sdk.ListResourceRecordSetsInput{HostedZoneId: &zone, StartRecordName: new("host-1.example.com"), MaxItems: new(int32(1))})
	if err != nil || lines(out.ResourceRecordSets)[0] != "host-1.example.com. A 192.0.2.2" {
		t.Errorf("%+v, %v", out, err)
	}
}

// What the database cannot take at once is the client's mistake.
func TestVeryLongNames(t *testing.T) {
	f := newFixture(t)
	zone := f.zone("example.com")
	in := &route53api.ChangeResourceRecordSetsInput{HostedZoneId: &zone, ChangeBatch: &route53api.ChangeBatch{}}
	long := strings.Repeat(strings.Repeat("!", 50)+".", 4)
	for i := range 1000 {
		in.ChangeBatch.Changes = append(in.ChangeBatch.Changes, route53api.Change{Action: "CREATE", ResourceRecordSet: &route53api.ResourceRecordSet{
			Name: new(fmt.Sprintf("%d.%sexample.com", i, long)), Type: "A", TTL: new(int64(60)), ResourceRecords: []route53api.ResourceRecord{{Value: new("192.0.2.1")}}}})
	}
	_, err := f.service.ChangeResourceRecordSets(t.Context(), in)
	if !route53api.InvalidChangeBatch.Is(err) || !strings.Contains(err.Error(), "too large") {
		t.Error(err)
	}
	if got := own(f.list(zone), "example.com."); len(got) > 0 {
		t.Errorf("%q", got)
	}
}
