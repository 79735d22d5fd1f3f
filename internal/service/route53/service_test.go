package route53_test

import (
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"testing"
	"time"

	sdk "github.com/aws/aws-sdk-go-v2/service/route53"
	"github.com/aws/aws-sdk-go-v2/service/route53/types"
	"github.com/google/go-cmp/cmp"
	"github.com/miekg/dns"

	"github.com/tarn-eks/tarn/internal/service/route53"
)

func TestDelegationSets(t *testing.T) {
	f := newFixture(t)
	ctx := t.Context()
	made, err := f.CreateReusableDelegationSet(ctx, &sdk.CreateReusableDelegationSetInput{CallerReference: new("a")})
	if err != nil || !strings.HasPrefix(*made.DelegationSet.Id, "/delegationset/N") || len(made.DelegationSet.NameServers) != 4 {
		t.Fatalf("%+v, %v", made, err)
	}
	_, err = f.CreateReusableDelegationSet(ctx, &sdk.CreateReusableDelegationSetInput{CallerReference: new("a")})
	fails(t, "again", err, "DelegationSetAlreadyCreated", "")
	zone := func(name string, set *string) (*sdk.CreateHostedZoneOutput, error) {
		return f.CreateHostedZone(ctx, &sdk.CreateHostedZoneInput{Name: &name, CallerReference: &name, DelegationSetId: set})
	}
	z, err := zone("example.com", made.DelegationSet.Id)
	if err != nil || !slices.Equal(z.DelegationSet.NameServers, made.DelegationSet.NameServers) || *z.DelegationSet.Id != *made.DelegationSet.Id {
		t.Fatalf("%+v, %v", z, err)
	}
	_, err = zone("sub.example.com", made.DelegationSet.Id)
	fails(t, "a zone below", err, "ConflictingDomainExists", "conflicts with existing ones sharing the delegation set")
	_, err = zone("example.org", new("N1"))
	fails(t, "no set", err, "NoSuchDelegationSet", "N1")
	if _, err := zone("example.org", made.DelegationSet.Id); err != nil {
		t.Error(err)
	}
	described, err := f.GetHostedZone(ctx, &sdk.GetHostedZoneInput{Id: z.HostedZone.Id})
	if err != nil || *described.DelegationSet.CallerReference != "a" {
		t.Errorf("%+v, %v", described, err)
	}
	of, err := f.ListHostedZones(ctx, &sdk.ListHostedZonesInput{DelegationSetId: made.DelegationSet.Id})
	if err != nil || len(of.HostedZones) != 2 {
		t.Errorf("%+v, %v", of, err)
	}
	limit, err := f.GetReusableDelegationSetLimit(ctx, &sdk.GetReusableDelegationSetLimitInput{DelegationSetId: made.DelegationSet.Id, Type: types.ReusableDelegationSetLimitTypeMaxZonesByReusableDelegationSet})
	if err != nil || limit.Count != 2 || *limit.Limit.Value != 100 {
		t.Errorf("%+v, %v", limit, err)
	}
	// A zone's name servers become a set.
	plain := f.zone("plain.net")
	from, err := f.CreateReusableDelegationSet(ctx, &sdk.CreateReusableDelegationSetInput{CallerReference: new("b"), HostedZoneId: &plain})
	if err != nil {
		t.Fatal(err)
	}
	_, err = f.CreateReusableDelegationSet(ctx, &sdk.CreateReusableDelegationSetInput{CallerReference: new("c"), HostedZoneId: &plain})
	fails(t, "marked already", err, "DelegationSetAlreadyReusable", "")
	_, err = f.CreateReusableDelegationSet(ctx, &sdk.CreateReusableDelegationSetInput{CallerReference: new("c"), HostedZoneId: new("Z1")})
	fails(t, "of no zone", err, "HostedZoneNotFound", "")
	sets, err := f.ListReusableDelegationSets(ctx, &sdk.ListReusableDelegationSetsInput{MaxItems: new(int32(1))})
	if err != nil || len(sets.DelegationSets) != 1 || !sets.IsTruncated || sets.NextMarker == nil {
		t.Errorf("%+v, %v", sets, err)
	}
	_, err = f.DeleteReusableDelegationSet(ctx, &sdk.DeleteReusableDelegationSetInput{Id: from.DelegationSet.Id})
	fails(t, "in use", err, "DelegationSetInUse", "")
	if _, err := f.DeleteHostedZone(ctx, &sdk.DeleteHostedZoneInput{Id: &plain}); err != nil {
		t.Fatal(err)
	}
	if _, err := f.DeleteReusableDelegationSet(ctx, &sdk.DeleteReusableDelegationSetInput{Id: from.DelegationSet.Id}); err != nil {
		t.Error(err)
	}
	_, err = f.GetReusableDelegationSet(ctx, &sdk.GetReusableDelegationSetInput{Id: from.DelegationSet.Id})
	fails(t, "deleted", err, "NoSuchDelegationSet", "")
}

func TestTags(t *testing.T) {
	f := newFixture(t)
	ctx := t.Context()
	zone := f.zone("example.com")
	check, err := f.CreateHealthCheck(ctx, &sdk.CreateHealthCheckInput{CallerReference: new("c"), HealthCheckConfig: &types.HealthCheckConfig{Type: "HTTP", FullyQualifiedDomainName: new("a.b")}})
	if err != nil {
		t.Fatal(err)
	}
	tag := func(kind types.TagResourceType, id string, remove []string, add ...string) error {
		in := &sdk.ChangeTagsForResourceInput{ResourceType: kind, ResourceId: &id, RemoveTagKeys: remove}
		for i := 0; i < len(add); i += 2 {
			in.AddTags = append(in.AddTags, types.Tag{Key: &add[i], Value: &add[i+1]})
		}
		_, err := f.ChangeTagsForResource(ctx, in)
		return err
	}
	for _, err := range []error{
		tag("hostedzone", zone, nil, "b", "1", "a", "2", "c", ""),
		tag("hostedzone", zone, []string{"c", "none"}, "b", "3"),
		tag("healthcheck", *check.HealthCheck.Id, nil, "Name", "x"),
	} {
		if err != nil {
			t.Error(err)
		}
	}
	out, err := f.ListTagsForResources(ctx, &sdk.ListTagsForResourcesInput{ResourceType: "hostedzone", ResourceIds: []string{zone}})
	if err != nil || len(out.ResourceTagSets) != 1 {
		t.Fatalf("%+v, %v", out, err)
	}
	one, err := f.ListTagsForResource(ctx, &sdk.ListTagsForResourceInput{ResourceType: "hostedzone", ResourceId: &zone})
	if err != nil {
		t.Fatal(err)
	}
	for _, set := range []*types.ResourceTagSet{&out.ResourceTagSets[0], one.ResourceTagSet} {
		got := string(set.ResourceType) + " " + *set.ResourceId
		for _, x := range set.Tags {
			got += " " + *x.Key + "=" + *x.Value
		}
		if got != "hostedzone "+zone+" a=2 b=3" {
			t.Error(got)
		}
	}
	all, err := f.service.Tagged(ctx)
	if d := cmp.Diff(map[string]map[string]string{
		"arn:aws:route53:::hostedzone/" + zone:                   {"a": "2", "b": "3"},
		"arn:aws:route53:::healthcheck/" + *check.HealthCheck.Id: {"Name": "x"},
	}, all); err != nil || d != "" {
		t.Error(err, d)
	}
	many := map[string]string{}
	for i := range 12 {
		many[fmt.Sprintf("k%02d", i)] = "v"
	}
	calls, err := route53.TagCalls("arn:aws:route53:::hostedzone/Z1", many, []string{"x"})
	if err != nil || len(calls) != 3 || len(calls[0].AddTags) != 10 || len(calls[1].AddTags) != 2 || *calls[1].AddTags[1].Key != "k11" || !slices.Equal(calls[2].RemoveTagKeys, []string{"x"}) || *calls[2].ResourceId != "Z1" {
		t.Errorf("%+v, %v", calls, err)
	}
	for _, arn := range []string{"arn:aws:route53:::change/C1", "arn:aws:ec2:::hostedzone/Z1", "Z1"} {
		if _, err := route53.TagCalls(arn, many, nil); err == nil {
			t.Errorf("%s has tags", arn)
		}
	}
	fails(t, "nothing", tag("hostedzone", zone, nil), "InvalidInput", "AddTags")
	fails(t, "reserved", tag("hostedzone", zone, nil, "aws:x", ""), "InvalidInput", "aws:")
	fails(t, "no zone", tag("hostedzone", "Z1", nil, "a", ""), "NoSuchHostedZone", "Z1")
	fails(t, "no check", tag("healthcheck", "x", nil, "a", ""), "NoSuchHealthCheck", "x")
	fails(t, "no kind", tag("domain", "x", nil, "a", ""), "InvalidInput", "Value 'domain' is not facet-valid")
	_, err = f.ListTagsForResources(ctx, &sdk.ListTagsForResourcesInput{ResourceType: "hostedzone", ResourceIds: []string{zone, "Z1"}})
	fails(t, "one is not there", err, "NoSuchHostedZone", "Z1")
}

func TestLimits(t *testing.T) {
	f := newFixture(t)
	ctx := t.Context()
	zone := f.zone("example.com")
	got, err := f.GetAccountLimit(ctx, &sdk.GetAccountLimitInput{Type: types.AccountLimitTypeMaxHostedZonesByOwner})
	if err != nil || got.Count != 1 || *got.Limit.Value != 500 {
		t.Errorf("%+v, %v", got, err)
	}
	_, err = f.GetAccountLimit(ctx, &sdk.GetAccountLimitInput{Type: "X"})
	fails(t, "no limit", err, "InvalidInput", "facet-valid")
	records, err := f.GetHostedZoneLimit(ctx, &sdk.GetHostedZoneLimitInput{HostedZoneId: &zone, Type: types.HostedZoneLimitTypeMaxRrsetsByZone})
	if err != nil || records.Count != 2 || *records.Limit.Value != 10000 {
		t.Errorf("%+v, %v", records, err)
	}
	_, err = f.GetHostedZoneLimit(ctx, &sdk.GetHostedZoneLimitInput{HostedZoneId: &zone, Type: types.HostedZoneLimitTypeMaxVpcsAssociatedByZone})
	fails(t, "VPCs of a public zone", err, "HostedZoneNotPrivate", "")
}

func TestGeoLocations(t *testing.T) {
	f := newFixture(t)
	ctx := t.Context()
	var all []string
	in := &sdk.ListGeoLocationsInput{}
	for {
		out, err := f.ListGeoLocations(ctx, in)
		if err != nil {
			t.Fatal(err)
		}
		for _, g := range out.GeoLocationDetailsList {
			var parts []string
			for _, p := range []*string{g.ContinentCode, g.ContinentName, g.CountryCode, g.CountryName, g.SubdivisionCode, g.SubdivisionName} {
				if p != nil {
					parts = append(parts, *p)
				}
			}
			all = append(all, strings.Join(parts, " "))
		}
		if !out.IsTruncated {
			break
		}
		in.StartContinentCode, in.StartCountryCode, in.StartSubdivisionCode = out.NextContinentCode, out.NextCountryCode, out.NextSubdivisionCode
	}
	if len(all) != 1+245+51+7 || all[0] != "* Default" || all[1] != "AD Andorra" || all[len(all)-1] != "SA South America" {
		t.Errorf("%d: %q", len(all), all)
	}
	for _, want := range []string{"KR South Korea", "US United States", "US United States WA Washington", "AS Asia"} {
		if !slices.Contains(all, want) {
			t.Errorf("%s is missing", want)
		}
	}
	from, err := f.ListGeoLocations(ctx, &sdk.ListGeoLocationsInput{StartContinentCode: new("OC")})
	if err != nil || len(from.GeoLocationDetailsList) != 2 || *from.GeoLocationDetailsList[0].ContinentName != "Oceania" {
		t.Errorf("%+v, %v", from, err)
	}
	one, err := f.GetGeoLocation(ctx, &sdk.GetGeoLocationInput{CountryCode: new("US"), SubdivisionCode: new("WA")})
	if err != nil || *one.GeoLocationDetails.SubdivisionName != "Washington" {
		t.Errorf("%+v, %v", one, err)
	}
	_, err = f.GetGeoLocation(ctx, &sdk.GetGeoLocationInput{CountryCode: new("XX")})
	fails(t, "no country", err, "NoSuchGeoLocation", "")
	_, err = f.GetGeoLocation(ctx, &sdk.GetGeoLocationInput{CountryCode: new("KR"), ContinentCode: new("AS")})
	fails(t, "two", err, "InvalidInput", "")
}

func TestDNSAnswer(t *testing.T) {
	f := newFixture(t)
	ctx := t.Context()
	zone := f.zone("example.com")
	var asked route53.Question
	f.answers = func(q route53.Question) (int, []dns.RR, error) {
		asked = q
		if q.Type != dns.TypeMX {
			return dns.RcodeNameError, nil, nil
		}
		return 0, []dns.RR{&dns.MX{Hdr: dns.RR_Header{Name: q.Name, Rrtype: dns.TypeMX, Class: 1, Ttl: 60}, Preference: 10, Mx: "mail.example.com."}}, nil
	}
	out, err := f.TestDNSAnswer(ctx, &sdk.TestDNSAnswerInput{HostedZoneId: &zone, RecordName: new("*.Example.com"), RecordType: "MX", ResolverIP: new("192.0.2.1"), EDNS0ClientSubnetIP: new("198.51.100.77")})
	if err != nil || *out.ResponseCode != "NOERROR" || *out.Protocol != "UDP" || !slices.Equal(out.RecordData, []string{"10 mail.example.com."}) || !strings.HasPrefix(*out.Nameserver, "ns-") || *out.RecordName != `\052.example.com.` {
		t.Errorf("%+v, %v", out, err)
	}
	if want := (route53.Question{Zone: zone, Name: "*.example.com.", Type: dns.TypeMX, Resolver: netip.MustParseAddr("192.0.2.1"), Client: netip.MustParsePrefix("198.51.100.0/24")}); asked != want {
		t.Errorf("asked %+v", asked)
	}
	none, err := f.TestDNSAnswer(ctx, &sdk.TestDNSAnswerInput{HostedZoneId: &zone, RecordName: new("a.example.com"), RecordType: "A"})
	if err != nil || *none.ResponseCode != "NXDOMAIN" || len(none.RecordData) != 0 {
		t.Errorf("%+v, %v", none, err)
	}
	_, err = f.TestDNSAnswer(ctx, &sdk.TestDNSAnswerInput{HostedZoneId: &zone, RecordName: new("a.org"), RecordType: "A"})
	fails(t, "elsewhere", err, "InvalidInput", "not in the hosted zone")
	_, err = f.TestDNSAnswer(ctx, &sdk.TestDNSAnswerInput{HostedZoneId: &zone, RecordName: new("a.example.com"), RecordType: "A", EDNS0ClientSubnetIP: new("192.0.2.1"), EDNS0ClientSubnetMask: new("33")})
	fails(t, "mask", err, "InvalidInput", "EDNS0ClientSubnetMask")
}

// Old changes are forgotten, after a while.
func TestOldChanges(t *testing.T) {
	f := newFixture(t)
	ctx := t.Context()
	zone := f.zone("example.com")
	old := f.must(zone, change("CREATE", set("a.example.com", "A", "192.0.2.1")))
	f.now = f.now.Add(31 * 24 * time.Hour)
	var last *types.ChangeInfo
	for range 300 {
		last = f.must(zone, change("UPSERT", set("a.example.com", "A", "192.0.2.1")))
	}
	_, err := f.GetChange(ctx, &sdk.GetChangeInput{Id: old.Id})
	fails(t, "an old change", err, "NoSuchChange", "")
	if _, err := f.GetChange(ctx, &sdk.GetChangeInput{Id: last.Id}); err != nil {
		t.Error(err)
	}
}

// The lesson's zone: what a resource record set says, in the protocol's words.
func TestWaiter(t *testing.T) {
	f := newFixture(t)
	zone := f.zone("example.com")
	info := f.must(zone, change("UPSERT", alias("api.example.com", "A", elbZone, "dualstack."+elbName)))
	if got := own(f.list(zone), "example.com."); !slices.Equal(got, []string{"api.example.com. A -> dualstack." + elbName + "."}) {
		t.Errorf("%q", got)
	}
	item, err := f.service.Changes.Get(t.Context(), id(info.Id))
	if err != nil {
		t.Fatal(err)
	}
	quick := func(o *sdk.ResourceRecordSetsChangedWaiterOptions) {
		o.MinDelay, o.MaxDelay = time.Millisecond, time.Millisecond
	}
	done := make(chan error)
	go func() {
		done <- sdk.NewResourceRecordSetsChangedWaiter(f, quick).Wait(t.Context(), &sdk.GetChangeInput{Id: info.Id}, time.Minute)
	}()
	f.applied.Store(item.Revision)
	if err := <-done; err != nil {
		t.Error(err)
	}
}
