package route53_test

import (
	"fmt"
	"regexp"
	"slices"
	"strings"
	"testing"

	sdk "github.com/aws/aws-sdk-go-v2/service/route53"
	"github.com/aws/aws-sdk-go-v2/service/route53/types"
)

func TestPublicZone(t *testing.T) {
	f := newFixture(t)
	ctx := t.Context()
	out, err := f.CreateHostedZone(ctx, &sdk.CreateHostedZoneInput{
		Name: new("Example.COM"), CallerReference: new("a"), HostedZoneConfig: &types.HostedZoneConfig{Comment: new("the lesson's")},
	})
	if err != nil {
		t.Fatal(err)
	}
	z := out.HostedZone
	if !regexp.MustCompile(`^/hostedzone/Z[0-9]{8}[0-9A-Z]{12}$`).MatchString(*z.Id) || *z.Name != "example.com." || *z.CallerReference != "a" ||
		*z.Config.Comment != "the lesson's" || z.Config.PrivateZone || *z.ResourceRecordSetCount != 2 || *out.Location != "https://route53.amazonaws.com/2013-04-01"+strings.Replace(*z.Id, "/hostedzone", "/hostedzone", 1) {
		t.Errorf("%+v", z)
	}
	if out.ChangeInfo.Status != types.ChangeStatusPending || out.ChangeInfo.SubmittedAt.UnixMilli() != f.now.UnixMilli() || !strings.HasPrefix(*out.ChangeInfo.Id, "/change/C") {
		t.Errorf("%+v", out.ChangeInfo)
	}
	servers := out.DelegationSet.NameServers
	for i, domain := range []string{`com`, `net`, `org`, `co\.uk`} {
		pattern := regexp.MustCompile(`^ns-[0-9]{1,4}\.awsdns-[0-9]{2}\.` + domain + `$`)
		if n := slices.IndexFunc(servers, pattern.MatchString); n < 0 {
			t.Errorf("%d: none of %v is of %s", i, servers, domain)
		}
	}
	got, err := f.ListResourceRecordSets(ctx, &sdk.ListResourceRecordSetsInput{HostedZoneId: z.Id})
	if err != nil || len(got.ResourceRecordSets) != 2 {
		t.Fatalf("%+v, %v", got, err)
	}
	ns, soa := got.ResourceRecordSets[0], got.ResourceRecordSets[1]
	if ns.Type != "NS" || *ns.TTL != 172800 || len(ns.ResourceRecords) != 4 || *ns.ResourceRecords[0].Value != servers[0]+"." ||
		soa.Type != "SOA" || *soa.TTL != 900 || *soa.ResourceRecords[0].Value != servers[0]+". awsdns-hostmaster.amazon.com. 1 7200 900 1209600 86400" {
		t.Errorf("%v", lines(got.ResourceRecordSets))
	}

	described, err := f.GetHostedZone(ctx, &sdk.GetHostedZoneInput{Id: z.Id})
	if err != nil || *described.HostedZone.Id != *z.Id || !slices.Equal(described.DelegationSet.NameServers, servers) || len(described.VPCs) != 0 {
		t.Errorf("%+v, %v", described, err)
	}
	updated, err := f.UpdateHostedZoneComment(ctx, &sdk.UpdateHostedZoneCommentInput{Id: z.Id})
	if err != nil || updated.HostedZone.Config.Comment != nil {
		t.Errorf("%+v, %v", updated, err)
	}
	// A second zone of the name, or one above or below, has other name servers.
	below, err := f.CreateHostedZone(ctx, &sdk.CreateHostedZoneInput{Name: new("www.example.com."), CallerReference: new("b")})
	if err != nil || slices.ContainsFunc(below.DelegationSet.NameServers, func(s string) bool { return slices.Contains(servers, s) }) {
		t.Errorf("%+v, %v", below, err)
	}
	count, err := f.GetHostedZoneCount(ctx, &sdk.GetHostedZoneCountInput{})
	if err != nil || *count.HostedZoneCount != 2 {
		t.Errorf("%+v, %v", count, err)
	}

	for _, tc := range []struct{ name, zone, reference, code, message string }{
		{"the same reference", "other.com", "a", "HostedZoneAlreadyExists", "A hosted zone has already been created with the specified caller reference."},
		{"a top-level domain", "com", "c", "InvalidDomainName", "com is reserved by AWS!"},
		{"Amazon's", "elb.amazonaws.com", "c", "InvalidDomainName", "elb.amazonaws.com is reserved by AWS!"},
		{"an empty label", "a..com", "c", "InvalidDomainName", "FATAL problem: DomainLabelEmpty (Domain label is empty) encountered with 'a..com'"},
		{"a space", "a b.com", "c", "InvalidDomainName", "FATAL problem: UnsupportedCharacter (Value contains unsupported characters) encountered with ' '"},
		{"a long label", strings.Repeat("a", 64) + ".com", "c", "InvalidDomainName", "DomainLabelTooLong"},
		{"no reference", "a.com", "", "InvalidInput", "minLength '1' for type 'Nonce'"},
	} {
		_, err := f.CreateHostedZone(ctx, &sdk.CreateHostedZoneInput{Name: &tc.zone, CallerReference: &tc.reference})
		fails(t, tc.name, err, tc.code, tc.message)
	}
	_, err = f.CreateHostedZone(ctx, &sdk.CreateHostedZoneInput{Name: new("a.com"), CallerReference: new("c"), HostedZoneConfig: &types.HostedZoneConfig{PrivateZone: true}})
	fails(t, "private without a VPC", err, "InvalidInput", "VPCId and VPCRegion")
	_, err = f.GetHostedZone(ctx, &sdk.GetHostedZoneInput{Id: new("Z1")})
	fails(t, "no zone", err, "NoSuchHostedZone", "No hosted zone found with ID: Z1")
}

func TestDeleteZone(t *testing.T) {
	f := newFixture(t)
	ctx := t.Context()
	zone := f.zone("example.com")
	f.must(zone, change("CREATE", set("www.example.com", "A", "192.0.2.1")))
	_, err := f.DeleteHostedZone(ctx, &sdk.DeleteHostedZoneInput{Id: &zone})
	fails(t, "with records", err, "HostedZoneNotEmpty", "The specified hosted zone contains non-required resource record sets and so cannot be deleted.")
	f.must(zone, change("DELETE", set("www.example.com", "A", "192.0.2.1")))
	out, err := f.DeleteHostedZone(ctx, &sdk.DeleteHostedZoneInput{Id: &zone})
	if err != nil || out.ChangeInfo.Status != types.ChangeStatusPending {
		t.Fatalf("%+v, %v", out, err)
	}
	_, err = f.DeleteHostedZone(ctx, &sdk.DeleteHostedZoneInput{Id: &zone})
	fails(t, "again", err, "NoSuchHostedZone", "No hosted zone found with ID: "+zone)
	if sets, _, err := f.service.RecordSets.List(ctx, ""); err != nil || len(sets) != 0 {
		t.Errorf("left: %+v, %v", sets, err)
	}
	f.zone("example.com") // with the same reference
	if _, err := f.GetChange(ctx, &sdk.GetChangeInput{Id: out.ChangeInfo.Id}); err != nil {
		t.Error(err)
	}
}

func TestListZones(t *testing.T) {
	f := newFixture(t)
	ctx := t.Context()
	byName := map[string]string{}
	for _, name := range []string{"b.com", "a.b.com", "b-c.com", "a.org", "x.a.com"} {
		byName[name] = f.zone(name)
	}
	var ids, paged []string
	for p := sdk.NewListHostedZonesPaginator(f, &sdk.ListHostedZonesInput{MaxItems: new(int32(2))}); p.HasMorePages(); {
		out, err := p.NextPage(ctx)
		if err != nil {
			t.Fatal(err)
		}
		for _, z := range out.HostedZones {
			paged = append(paged, id(z.Id))
		}
	}
	for _, id := range byName {
		ids = append(ids, id)
	}
	slices.Sort(ids)
	if !slices.Equal(ids, paged) {
		t.Errorf("%v, not %v", paged, ids)
	}

	names := func(in *sdk.ListHostedZonesByNameInput) (string, *sdk.ListHostedZonesByNameOutput) {
		t.Helper()
		out, err := f.ListHostedZonesByName(ctx, in)
		if err != nil {
			t.Fatal(err)
		}
		var all []string
		for _, z := range out.HostedZones {
			all = append(all, *z.Name)
		}
		return strings.Join(all, " "), out
	}
	// com.a.x. com.b-c. com.b. com.b.a. org.a.
	if got, out := names(&sdk.ListHostedZonesByNameInput{}); got != "x.a.com. b-c.com. b.com. a.b.com. a.org." || out.IsTruncated || out.NextDNSName != nil {
		t.Error(got)
	}
	got, out := names(&sdk.ListHostedZonesByNameInput{DNSName: new("b.com"), MaxItems: new(int32(2))})
	if got != "b.com. a.b.com." || !out.IsTruncated || *out.NextDNSName != "a.org." || *out.NextHostedZoneId != byName["a.org"] || *out.DNSName != "b.com" {
		t.Errorf("%s, %+v", got, out)
	}
	if got, _ := names(&sdk.ListHostedZonesByNameInput{DNSName: out.NextDNSName, HostedZoneId: out.NextHostedZoneId}); got != "a.org." {
		t.Error(got)
	}
	_, err := f.ListHostedZonesByName(ctx, &sdk.ListHostedZonesByNameInput{DNSName: new("a..b")})
	fails(t, "no name", err, "InvalidDomainName", "DomainLabelEmpty")
	_, err = f.ListHostedZones(ctx, &sdk.ListHostedZonesInput{MaxItems: new(int32(0))})
	fails(t, "none", err, "InvalidInput", "MaxItems")
}

func TestPrivateZone(t *testing.T) {
	f := newFixture(t)
	ctx := t.Context()
	vpc := func(id string) *types.VPC { return &types.VPC{VPCId: &id, VPCRegion: region} }
	create := func(name, reference, v string) (*sdk.CreateHostedZoneOutput, error) {
		return f.CreateHostedZone(ctx, &sdk.CreateHostedZoneInput{Name: &name, CallerReference: &reference, VPC: vpc(v)})
	}
	out, err := create("internal", "a", firstVPC)
	if err != nil || !out.HostedZone.Config.PrivateZone || *out.VPC.VPCId != firstVPC || out.VPC.VPCRegion != region || out.DelegationSet != nil {
		t.Fatalf("%+v, %v", out, err)
	}
	zone := id(out.HostedZone.Id)
	want := []string{
		"internal. NS ns-1536.awsdns-00.co.uk. ns-0.awsdns-00.com. ns-512.awsdns-00.net. ns-1024.awsdns-00.org.",
		"internal. SOA ns-1536.awsdns-00.co.uk. awsdns-hostmaster.amazon.com. 1 7200 900 1209600 86400",
	}
	if got := f.list(zone); !slices.Equal(got, want) {
		t.Errorf("%q", got)
	}
	_, err = create("internal", "b", firstVPC)
	fails(t, "the same name", err, "ConflictingDomainExists", "The VPC "+firstVPC+" in region ap-northeast-2 has already been associated with the hosted zone "+zone+" with the same domain name.")
	_, err = create("other.internal", "b", "vpc-0123456789abcdef9")
	fails(t, "no VPC", err, "InvalidVPCId", "VPC ID")
	other, err := create("internal", "b", nextVPC)
	if err != nil {
		t.Fatal(err)
	}

	associate := func(zone *string, v string) error {
		_, err := f.AssociateVPCWithHostedZone(ctx, &sdk.AssociateVPCWithHostedZoneInput{HostedZoneId: zone, VPC: vpc(v)})
		return err
	}
	disassociate := func(zone *string, v string) error {
		_, err := f.DisassociateVPCFromHostedZone(ctx, &sdk.DisassociateVPCFromHostedZoneInput{HostedZoneId: zone, VPC: vpc(v)})
		return err
	}
	fails(t, "one of the name", associate(&zone, nextVPC), "ConflictingDomainExists", "hosted zone "+id(other.HostedZone.Id))
	fails(t, "twice", associate(&zone, firstVPC), "ConflictingDomainExists", "hosted zone "+zone)
	fails(t, "no VPC", associate(&zone, "vpc-x"), "InvalidVPCId", "")
	fails(t, "the last", disassociate(&zone, firstVPC), "LastVPCAssociation", "is the last VPC that is associated with the hosted zone")
	fails(t, "another", disassociate(&zone, nextVPC), "VPCAssociationNotFound", "not currently associated")
	fails(t, "a public zone", associate(new(f.zone("example.com")), firstVPC), "PublicZoneVPCAssociation", "public hosted zone")
	if _, err := f.DeleteHostedZone(ctx, &sdk.DeleteHostedZoneInput{Id: other.HostedZone.Id}); err != nil {
		t.Fatal(err)
	}
	if err := associate(&zone, nextVPC); err != nil {
		t.Fatal(err)
	}
	if err := disassociate(&zone, firstVPC); err != nil {
		t.Fatal(err)
	}
	described, err := f.GetHostedZone(ctx, &sdk.GetHostedZoneInput{Id: &zone})
	if err != nil || len(described.VPCs) != 1 || *described.VPCs[0].VPCId != nextVPC || described.DelegationSet != nil {
		t.Errorf("%+v, %v", described, err)
	}
	for i := range 3 {
		if _, err := create(fmt.Sprintf("z%d.internal", i), fmt.Sprint("z", i), nextVPC); err != nil {
			t.Fatal(err)
		}
	}
	var names []string
	in := &sdk.ListHostedZonesByVPCInput{VPCId: new(nextVPC), VPCRegion: region, MaxItems: new(int32(3))}
	for {
		out, err := f.ListHostedZonesByVPC(ctx, in)
		if err != nil {
			t.Fatal(err)
		}
		for _, z := range out.HostedZoneSummaries {
			names = append(names, *z.Name+*z.Owner.OwningAccount)
		}
		if in.NextToken = out.NextToken; in.NextToken == nil {
			break
		}
	}
	if got := strings.ReplaceAll(strings.Join(names, " "), account, ""); got != "internal. z0.internal. z1.internal. z2.internal." {
		t.Error(got)
	}
	_, err = f.ListHostedZonesByVPC(ctx, &sdk.ListHostedZonesByVPCInput{VPCId: new(nextVPC), VPCRegion: region, NextToken: new("!")})
	fails(t, "no token", err, "InvalidPaginationToken", "")
	private, err := f.ListHostedZones(ctx, &sdk.ListHostedZonesInput{HostedZoneType: types.HostedZoneTypePrivateHostedZone})
	if err != nil || len(private.HostedZones) != 4 {
		t.Errorf("%+v, %v", private, err)
	}
}
