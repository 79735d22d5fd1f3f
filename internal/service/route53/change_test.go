package route53_test

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	sdk "github.com/aws/aws-sdk-go-v2/service/route53"
	"github.com/aws/aws-sdk-go-v2/service/route53/types"
)

// Each case begins with what a batch must find, and says what is wrong with it;
// "" is nothing.
func TestChanges(t *testing.T) {
	f := newFixture(t)
	check, err := f.CreateHealthCheck(t.Context(), &sdk.CreateHealthCheckInput{CallerReference: new("c"), HealthCheckConfig: &types.HealthCheckConfig{
		Type: types.HealthCheckTypeTcp, IPAddress: new("192.0.2.9"), Port: new(int32(80))}})
	if err != nil {
		t.Fatal(err)
	}
	weighted := func(id string, weight int64) types.ResourceRecordSet {
		return with(set("w.example.com", "A", "192.0.2."+id), id, func(s *types.ResourceRecordSet) { s.Weight = &weight })
	}
	latency := func(id string, region string) types.ResourceRecordSet {
		return with(set("l.example.com", "A", "192.0.2."+id), id, func(s *types.ResourceRecordSet) { s.Region = types.ResourceRecordSetRegion(region) })
	}
	failover := func(id string, f types.ResourceRecordSetFailover, check *string) types.ResourceRecordSet {
		return with(set("f.example.com", "A", "192.0.2."+id), id, func(s *types.ResourceRecordSet) { s.Failover, s.HealthCheckId = f, check })
	}
	geo := func(id string, g types.GeoLocation) types.ResourceRecordSet {
		return with(set("g.example.com", "A", "192.0.2."+id), id, func(s *types.ResourceRecordSet) { s.GeoLocation = &g })
	}
	multi := func(id string) types.ResourceRecordSet {
		return with(set("m.example.com", "A", "192.0.2."+id), id, func(s *types.ResourceRecordSet) { s.MultiValueAnswer = new(true) })
	}
	many := func(n int) []string {
		var values []string
		for i := range n {
			values = append(values, fmt.Sprintf("10.0.%d.%d", i/256, i%256))
		}
		return values
	}
	const (
		create, remove, upsert = types.ChangeActionCreate, types.ChangeActionDelete, types.ChangeActionUpsert
		batch, input           = "InvalidChangeBatch", "InvalidInput"
	)
	a := set("www.example.com", "A", "192.0.2.1", "192.0.2.2")
	for _, tc := range []struct {
		name          string
		has           []types.ResourceRecordSet
		changes       []types.Change
		code, message string
	}{
		{"create", nil, []types.Change{change(create, a)}, "", ""},
		{"create again", []types.ResourceRecordSet{a}, []types.Change{change(create, a)}, batch,
			"[Tried to create resource record set [name='www.example.com.', type='A'] but it already exists]"},
		{"upsert", []types.ResourceRecordSet{a}, []types.Change{change(upsert, set("WWW.example.com.", "A", "192.0.2.3"))}, "", ""},
		{"delete, in another order", []types.ResourceRecordSet{a}, []types.Change{change(remove, set("www.EXAMPLE.com", "A", "192.0.2.2", "192.0.2.1"))}, "", ""},
		{"delete what is not there", nil, []types.Change{change(remove, a)}, batch,
			"[Tried to delete resource record set [name='www.example.com.', type='A'] but it was not found]"},
		{"delete with other values", []types.ResourceRecordSet{a}, []types.Change{change(remove, set("www.example.com", "A", "192.0.2.1"))}, batch,
			"[Tried to delete resource record set [name='www.example.com.', type='A'] but the values provided do not match the current values]"},
		{"delete of a set", []types.ResourceRecordSet{weighted("1", 1)}, []types.Change{change(remove, weighted("2", 1))}, batch,
			"[Tried to delete resource record set [name='w.example.com.', type='A', set-identifier='2'] but it was not found]"},
		{"delete and create", []types.ResourceRecordSet{a}, []types.Change{change(remove, a), change(create, set("www.example.com", "CNAME", "x.com"))}, "", ""},
		{"delete and create the same", []types.ResourceRecordSet{a}, []types.Change{change(remove, a), change(create, set("www.example.com", "A", "192.0.2.9"))}, "", ""},
		{"two changes of one", nil, []types.Change{change(create, a), change(upsert, a)}, batch,
			"[The request contains an invalid set of changes for a resource record set 'A www.example.com.']"},
		{"several wrong", nil, []types.Change{change(remove, a), change(create, set("www.example.org", "A", "192.0.2.1"))}, batch,
			"[Tried to delete resource record set [name='www.example.com.', type='A'] but it was not found, RRSet with DNS name www.example.org. is not permitted in zone example.com.]"},
		{"not in the zone", nil, []types.Change{change(create, set("wwwexample.com", "A", "192.0.2.1"))}, batch,
			"[RRSet with DNS name wwwexample.com. is not permitted in zone example.com.]"},
		{"no name", nil, []types.Change{change(create, set("", "A", "192.0.2.1"))}, batch, "[FATAL problem: DomainNameEmpty (Domain name is empty) encountered with '']"},
		{"wildcard", nil, []types.Change{change(create, set("*.example.com", "A", "192.0.2.1"))}, "", ""},
		{"wildcard twice", []types.ResourceRecordSet{set("*.example.com", "A", "192.0.2.1")}, []types.Change{change(create, set(`\052.example.com`, "A", "192.0.2.1"))}, batch,
			`[Tried to create resource record set [name='\052.example.com.', type='A'] but it already exists]`},

		{"CNAME at the apex", nil, []types.Change{change(create, set("example.com", "CNAME", "x.com"))}, batch,
			"RRSet of type CNAME with DNS name example.com. is not permitted at apex in zone example.com."},
		{"CNAME beside another", []types.ResourceRecordSet{a}, []types.Change{change(create, set("www.example.com", "CNAME", "x.com"))}, batch,
			"[RRSet of type CNAME with DNS name www.example.com. is not permitted as it conflicts with other records with the same DNS name in zone example.com.]"},
		{"another beside a CNAME", []types.ResourceRecordSet{set("www.example.com", "CNAME", "x.com")}, []types.Change{change(create, set("www.example.com", "TXT", `"x"`))}, batch,
			"[RRSet of type TXT with DNS name www.example.com. is not permitted because a conflicting RRSet of type CNAME with the same DNS name already exists in zone example.com.]"},
		{"two CNAMEs", nil, []types.Change{change(create, set("www.example.com", "CNAME", "x.com", "y.com"))}, batch, "must contain exactly one resource record"},
		{"changes in order", []types.ResourceRecordSet{a}, []types.Change{change(create, set("www.example.com", "CNAME", "x.com")), change(remove, a)}, batch, "conflicts with other records"},

		{"bad address", nil, []types.Change{change(create, set("www.example.com", "A", "ns-738.awsdns-28.net."))}, batch,
			"[Invalid Resource Record: 'FATAL problem: ARRDATAIllegalIPv4Address (Value is not a valid IPv4 address) encountered with 'ns-738.awsdns-28.net.'']"},
		{"no quotes", nil, []types.Change{change(create, set("www.example.com", "TXT", "test"))}, batch,
			"[Invalid Resource Record: 'FATAL problem: InvalidCharacterString (Value should be enclosed in quotation marks) encountered with 'test'']"},
		{"duplicate", nil, []types.Change{change(create, set("www.example.com", "AAAA", "2001:db8::1", "2001:DB8:0::1"))}, batch, "[Duplicate Resource Record: '2001:DB8:0::1']"},
		{"400 values", nil, []types.Change{change(create, set("www.example.com", "A", many(400)...))}, "", ""},
		{"401 values", nil, []types.Change{change(create, set("www.example.com", "A", many(401)...))}, batch, "[Cannot have more than 400 records in a RRSet.]"},
		{"1000 records", nil, []types.Change{
			change(create, set("1.example.com", "A", many(400)...)), change(create, set("2.example.com", "A", many(400)...)), change(create, set("3.example.com", "A", many(200)...))}, "", ""},
		{"1001 records", nil, []types.Change{
			change(create, set("1.example.com", "A", many(400)...)), change(create, set("2.example.com", "A", many(400)...)), change(create, set("3.example.com", "A", many(201)...))},
			batch, "[Number of records limit of 1000 exceeded.]"},
		{"upserts count twice", nil, []types.Change{change(upsert, set("1.example.com", "A", many(400)...)), change(upsert, set("2.example.com", "A", many(101)...))},
			batch, "[Number of records limit of 1000 exceeded.]"},
		{"32000 letters", nil, []types.Change{change(create, set("1.example.com", "TXT", letters(3200, 10)...))}, "", ""},
		{"32001 letters", nil, []types.Change{change(create, set("1.example.com", "TXT", append(letters(3190, 10), letters(101, 1)...)...))}, batch, "[RDATA character limit of 32000 exceeded.]"},

		{"NS at the apex", nil, []types.Change{change(upsert, set("example.com", "NS", "ns.example.org"))}, "", ""},
		{"an action that is none", nil, []types.Change{change("X", a)}, input,
			"Invalid XML ; cvc-enumeration-valid: Value 'X' is not facet-valid with respect to enumeration '[CREATE, DELETE, UPSERT]'. It must be a value from the enumeration."},
		{"delegation", nil, []types.Change{change(create, set("sub.example.com", "NS", "ns.example.org"))}, "", ""},
		{"DS at the apex", nil, []types.Change{change(create, set("example.com", "DS", "1 4 1 "+strings.Repeat("ab", 20)))}, batch, "RRSet of type DS with DNS name example.com. is not permitted at apex in zone example.com."},
		{"SOA below the apex", nil, []types.Change{change(create, set("sub.example.com", "SOA", "a. b. 1 2 3 4 5"))}, batch, "RRSet of type SOA with DNS name sub.example.com. is not permitted in zone example.com."},

		{"no TTL", nil, []types.Change{change(create, types.ResourceRecordSet{Name: new("portal.example.com"), Type: "A", ResourceRecords: a.ResourceRecords})}, input,
			"Invalid request: Expected exactly one of [AliasTarget, all of [TTL, and ResourceRecords], or TrafficPolicyInstanceId], but found none in Change with [Action=CREATE, Name=portal.example.com, Type=A, SetIdentifier=null]"},
		{"alias with a TTL", nil, []types.Change{change(create, func() types.ResourceRecordSet {
			s := alias("www.example.com", "A", elbZone, elbName)
			s.TTL = new(int64(60))
			return s
		}())}, input, "but found more than one in Change with [Action=CREATE, Name=www.example.com, Type=A, SetIdentifier=null]"},
		{"bad type", nil, []types.Change{change(create, set("www.example.com", "LOC", "x"))}, input, "Value 'LOC' is not facet-valid with respect to enumeration '[SOA, A, TXT,"},
		{"long TTL", nil, []types.Change{change(create, with(a, "x", func(s *types.ResourceRecordSet) { s.TTL = new(int64(1 << 31)); s.SetIdentifier = nil }))}, input,
			"Value '2147483648' is not facet-valid with respect to maxInclusive '2147483647' for type 'TTL'."},

		{"alias to a load balancer", nil, []types.Change{change(create, alias("example.com", "A", elbZone, "Lake-123.ap-northeast-2.elb.amazonaws.com"))}, "", ""},
		{"dualstack", nil, []types.Change{change(create, alias("example.com", "AAAA", "/hostedzone/"+elbZone, "dualstack."+elbName+"."))}, "", ""},
		{"alias to nothing", nil, []types.Change{change(create, alias("example.com", "A", elbZone, "tarn-1.ap-northeast-2.elb.amazonaws.com"))}, batch,
			"[Tried to create an alias that targets tarn-1.ap-northeast-2.elb.amazonaws.com., type A in zone ZWKZPGTI48KDX, but that target was not found]"},
		{"alias of another type", nil, []types.Change{change(create, alias("www.example.com", "TXT", elbZone, elbName))}, batch, "type TXT in zone ZWKZPGTI48KDX, but that target was not found"},
		{"alias with another zone", nil, []types.Change{change(create, alias("example.com", "A", "Z35SXDOTRQ7X7K", elbName))}, batch,
			"[Tried to create an alias that targets lake-123.ap-northeast-2.elb.amazonaws.com., type A in zone Z35SXDOTRQ7X7K, but the alias target name does not lie within the target zone, " +
				"Tried to create an alias that targets lake-123.ap-northeast-2.elb.amazonaws.com., type A in zone Z35SXDOTRQ7X7K, but that target was not found]"},
		{"alias to a record", []types.ResourceRecordSet{a}, []types.Change{change(create, alias("example.com", "A", "$zone", "www.example.com"))}, "", ""},
		{"alias to a record of the batch", nil, []types.Change{change(create, a), change(create, alias("example.com", "A", "$zone", "www.example.com"))}, "", ""},
		{"alias to a record that comes later", nil, []types.Change{change(create, alias("example.com", "A", "$zone", "www.example.com")), change(create, a)}, batch, "that target was not found"},
		{"alias to itself", []types.ResourceRecordSet{a}, []types.Change{change(upsert, alias("www.example.com", "A", "$zone", "www.example.com"))}, batch,
			"[RRSet of type A with DNS name www.example.com. is not permitted as it creates a CNAME or alias loop in the zone.]"},
		{"alias to itself that is not there", nil, []types.Change{change(create, alias("www.example.com", "CNAME", "$zone", "www.example.com"))}, batch,
			"but that target was not found, RRSet of type CNAME with DNS name www.example.com. is not permitted as it creates a CNAME or alias loop in the zone.]"},
		{"CNAME to itself", nil, []types.Change{change(create, set("www.example.com", "CNAME", "WWW.example.com"))}, batch,
			"[RRSet of type CNAME with DNS name www.example.com. is not permitted as it creates a CNAME or alias loop in the zone.]"},
		{"CNAMEs in a circle", []types.ResourceRecordSet{set("a.example.com", "CNAME", "b.example.com"), set("b.example.com", "CNAME", "c.example.com")},
			[]types.Change{change(create, set("c.example.com", "CNAME", "a.example.com"))}, batch, "RRSet of type CNAME with DNS name c.example.com. is not permitted as it creates"},
		{"a CNAME that comes back by an alias", []types.ResourceRecordSet{a, alias("b.example.com", "A", "$zone", "www.example.com")},
			[]types.Change{change(remove, a), change(create, set("www.example.com", "CNAME", "b.example.com"))}, batch, "www.example.com. is not permitted as it creates"},
		{"a chain", []types.ResourceRecordSet{a, alias("b.example.com", "A", "$zone", "www.example.com"), set("c.example.com", "CNAME", "b.example.com")},
			[]types.Change{change(create, set("d.example.com", "CNAME", "c.example.com"))}, "", ""},
		{"alias to a CNAME", []types.ResourceRecordSet{set("www.example.com", "CNAME", "x.com")}, []types.Change{change(create, alias("example.com", "A", "$zone", "www.example.com"))}, batch, "that target was not found"},
		{"alias of NS", nil, []types.Change{change(upsert, alias("example.com", "NS", "$zone", "www.example.com"))}, batch, "cannot be an alias"},

		{"weighted", []types.ResourceRecordSet{weighted("1", 0)}, []types.Change{change(create, weighted("2", 255))}, "", ""},
		{"weight", nil, []types.Change{change(create, weighted("1", 256))}, input, "Value '256' is not facet-valid with respect to maxInclusive '255' for type 'ResourceRecordSetWeight'."},
		{"weighted beside simple", []types.ResourceRecordSet{set("w.example.com", "A", "192.0.2.1")}, []types.Change{change(create, weighted("1", 1))}, batch,
			"[RRSet with DNS name w.example.com., type A, SetIdentifier 1 cannot be created as a non-weighted set exists with the same name and type.]"},
		{"simple beside weighted", []types.ResourceRecordSet{weighted("1", 1)}, []types.Change{change(create, set("w.example.com", "A", "192.0.2.1"))}, batch,
			"[RRSet with DNS name w.example.com., type A cannot be created as other RRSets exist with the same name and type.]"},
		{"another TTL", []types.ResourceRecordSet{weighted("1", 1)}, []types.Change{change(create, with(weighted("2", 1), "2", func(s *types.ResourceRecordSet) { s.TTL = new(int64(9)) }))}, batch,
			"[RRSet with DNS name w.example.com. and type A, SetIdentifier 2 cannot be created as weighted sets must contain the same TTL.]"},
		{"no identifier", nil, []types.Change{change(upsert, with(weighted("1", 1), "", func(s *types.ResourceRecordSet) { s.SetIdentifier = nil }))}, input,
			"Invalid request: Missing field 'SetIdentifier' in Change with [Action=UPSERT, Name=w.example.com, Type=A, SetIdentifier=null]"},
		{"only an identifier", nil, []types.Change{change(create, with(a, "x", func(*types.ResourceRecordSet) {}))}, input,
			"Invalid request: Expected exactly one of [Weight, Region, Failover, GeoLocation, or MultiValueAnswer], but found none in Change with [Action=CREATE, Name=www.example.com, Type=A, SetIdentifier=x]"},
		{"two policies", nil, []types.Change{change(create, with(weighted("1", 1), "1", func(s *types.ResourceRecordSet) { s.Region = "eu-west-1" }))}, input, "MultiValueAnswer], but found more than one in"},
		{"latency", []types.ResourceRecordSet{latency("1", "eu-west-1")}, []types.Change{change(create, latency("2", "ap-northeast-2"))}, "", ""},
		{"the same region", []types.ResourceRecordSet{latency("1", "eu-west-1")}, []types.Change{change(create, latency("2", "eu-west-1"))}, batch,
			"[RRSet with DNS name l.example.com., type A, SetIdentifier 2, and Region Name=eu-west-1 cannot be created because a latency RRSet with the same name, type and region already exists.]"},
		{"no region", nil, []types.Change{change(create, latency("1", "mars-1"))}, input, "Value 'mars-1' is not facet-valid"},
		{"failover", []types.ResourceRecordSet{failover("1", "PRIMARY", check.HealthCheck.Id)}, []types.Change{change(create, failover("2", "SECONDARY", nil))}, "", ""},
		{"two primaries", []types.ResourceRecordSet{failover("1", "PRIMARY", check.HealthCheck.Id)}, []types.Change{change(create, failover("2", "PRIMARY", check.HealthCheck.Id))}, batch,
			"Failover Type=PRIMARY cannot be created because a failover RRSet"},
		{"no health check", nil, []types.Change{change(create, failover("1", "PRIMARY", nil))}, batch, "[A non-alias primary ResourceRecordSet must have an associated health check. No changes made.]"},
		{"unknown health check", nil, []types.Change{change(create, failover("1", "PRIMARY", new("x")))}, "NoSuchHealthCheck", "A health check with id x does not exist."},
		{"geolocation", []types.ResourceRecordSet{geo("1", types.GeoLocation{CountryCode: new("KR")})},
			[]types.Change{change(create, geo("2", types.GeoLocation{CountryCode: new("*")})), change(create, geo("3", types.GeoLocation{ContinentCode: new("AS")})),
				change(create, geo("4", types.GeoLocation{CountryCode: new("US"), SubdivisionCode: new("WA")}))}, "", ""},
		{"the same place", []types.ResourceRecordSet{geo("1", types.GeoLocation{CountryCode: new("KR")})}, []types.Change{change(create, geo("2", types.GeoLocation{CountryCode: new("KR")}))}, batch,
			"GeoLocation=[ContinentCode=null, CountryCode=KR, SubdivisionCode=null] cannot be created because a geolocation RRSet"},
		{"no place", nil, []types.Change{change(create, geo("1", types.GeoLocation{CountryCode: new("XX")}))}, input, "doesn't support the geographic location"},
		{"two places", nil, []types.Change{change(create, geo("1", types.GeoLocation{CountryCode: new("KR"), ContinentCode: new("AS")}))}, input, "Expected exactly one of [ContinentCode, or CountryCode], but found more than one"},
		{"multivalue", []types.ResourceRecordSet{multi("1")}, []types.Change{change(create, multi("2"))}, "", ""},
		{"multivalue beside simple", []types.ResourceRecordSet{set("m.example.com", "A", "192.0.2.1")}, []types.Change{change(create, multi("1"))}, batch,
			"[RRSet with DNS name m.example.com., type A, SetIdentifier 1 cannot be created because a non multivalue answer rrset exists with the same name and type.]"},
		{"multivalue false", nil, []types.Change{change(upsert, func() types.ResourceRecordSet {
			s := set("foo.example.com", "TXT", `"x"`)
			s.MultiValueAnswer = new(false)
			return s
		}())}, input, "Invalid request: Missing field 'SetIdentifier' in Change with [Action=UPSERT, Name=foo.example.com, Type=TXT, SetIdentifier=null]"},
		{"by address", nil, []types.Change{change(create, with(a, "x", func(s *types.ResourceRecordSet) {
			s.CidrRoutingConfig = &types.CidrRoutingConfig{CollectionId: new("c"), LocationName: new("l")}
		}))}, "NotImplemented", "IP-based routing (CidrRoutingConfig)"},
		{"geoproximity", nil, []types.Change{change(create, with(a, "x", func(s *types.ResourceRecordSet) {
			s.GeoProximityLocation = &types.GeoProximityLocation{AWSRegion: new("eu-west-1")}
		}))}, "NotImplemented", "geoproximity routing (GeoProximityLocation)"},
	} {
		zone := f.zone("example.com")
		here := func(s *types.ResourceRecordSet) {
			if a := s.AliasTarget; a != nil && *a.HostedZoneId == "$zone" {
				a.HostedZoneId = &zone
			}
		}
		for i := range tc.changes {
			here(tc.changes[i].ResourceRecordSet)
		}
		for _, s := range tc.has {
			here(&s)
			f.must(zone, change(create, s))
		}
		before := f.list(zone)
		_, err := f.change(zone, tc.changes...)
		if tc.code == "" {
			if err != nil {
				t.Errorf("%s: %v", tc.name, err)
			} else if slices.Equal(before, f.list(zone)) {
				t.Errorf("%s: nothing has changed", tc.name)
			}
		} else {
			fails(t, tc.name, err, tc.code, tc.message)
			if after := f.list(zone); !slices.Equal(before, after) {
				t.Errorf("%s: the batch was made in part: %q became %q", tc.name, before, after)
			}
		}
		f.now = f.now.Add(1) // another reference for the next zone
	}
}

// letters are n letters in k strings of TXT, quotes included.
func letters(n, k int) []string {
	var values []string
	for i := range k {
		var parts []string
		for left := n; left > 0; {
			m := min(left, 250)
			if left-m == 1 || left-m == 2 || left-m == 3 { // too few for another string
				m -= 10
			}
			parts = append(parts, `"`+strings.Repeat(string(rune('a'+i)), m-2)+`"`)
			left -= m + 1 // and a space
		}
		values = append(values, strings.Join(parts, " "))
	}
	return values
}
