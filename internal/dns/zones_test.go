package dns

import (
	"net/netip"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/miekg/dns"
)

// records parses records in zone-file format, one a line.
func records(t testing.TB, text string) []dns.RR {
	t.Helper()
	var rrs []dns.RR
	for _, line := range strings.Split(strings.TrimSpace(text), "\n") {
		rr, err := dns.NewRR(strings.TrimSpace(line))
		if err != nil {
			t.Fatalf("%s: %v", line, err)
		}
		rrs = append(rrs, rr)
	}
	return rrs
}

func zones(t testing.TB, zones ...Zone) *Zones {
	t.Helper()
	set, err := NewZones(zones...)
	if err != nil {
		t.Fatal(err)
	}
	return set
}

func TestNewZonesRefuses(t *testing.T) {
	const soa = "example.com. 60 IN SOA ns. m. 1 2 3 4 5\n"
	for _, tc := range []struct{ name, apex, records, want string }{
		{"no SOA", "example.com", "example.com. 60 IN A 192.0.2.1", "no SOA"},
		{"two SOAs", "example.com", soa + soa, "want one"},
		{"SOA below the apex", "example.com", "a." + soa, "at the apex"},
		{"a record of another zone", "example.com", soa + "example.org. 60 IN A 192.0.2.1", "not in it"},
		{"a name that only ends alike", "example.com", soa + "an-example.com. 60 IN A 192.0.2.1", "not in it"},
		{"a CNAME and an address", "example.com", soa + "a.example.com. 60 IN CNAME b.\nA.example.com. 60 IN A 192.0.2.1", "beside a CNAME"},
		{"two CNAMEs", "example.com", soa + "a.example.com. 60 IN CNAME b.\na.example.com. 60 IN CNAME c.", "beside a CNAME"},
		{"a CNAME at the apex", "example.com", soa + "example.com. 60 IN CNAME b.", "beside a CNAME"},
		{"a wildcard that delegates", "example.com", soa + "*.example.com. 60 IN NS ns.example.org.", "wildcard"},
		{"the root", ".", ". 60 IN SOA ns. m. 1 2 3 4 5", "not a name"},
		{"no name", strings.Repeat("a", 64) + ".com", soa, "not a name"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			_, err := NewZones(Zone{Name: tc.apex, Records: records(t, tc.records)})
			if err == nil || !strings.Contains(err.Error(), tc.want) {
				t.Errorf("NewZones: %v, want an error with %q", err, tc.want)
			}
		})
	}
	good := Zone{Name: "Example.COM", Records: records(t, soa)}
	if _, err := NewZones(good, good); err == nil || !strings.Contains(err.Error(), "twice") {
		t.Errorf("the same zone twice: %v", err)
	}
	if _, err := NewZones(good); err != nil {
		t.Errorf("a good zone: %v", err)
	}
}

func TestFindPrefersTheLongestName(t *testing.T) {
	const soa = " 60 IN SOA ns. m. 1 2 3 4 5"
	set := zones(t,
		Zone{Name: "example.com", Records: records(t, "example.com."+soa)},
		Zone{Name: "sub.example.com", Records: records(t, "sub.example.com."+soa)},
		Zone{Name: "168.192.in-addr.arpa", Records: records(t, "168.192.in-addr.arpa."+soa)},
	)
	for name, want := range map[string]string{
		"example.com.":                  "example.com.",
		"a.b.example.com.":              "example.com.",
		"sub.example.com.":              "sub.example.com.",
		"a.sub.example.com.":            "sub.example.com.",
		"notsub.example.com.":           "example.com.",
		`a\.example.com.`:               "", // one label: "a.example", then com
		"example.org.":                  "",
		".":                             "",
		"1.0.168.192.in-addr.arpa.":     "168.192.in-addr.arpa.", // ours, not the one of RFC 6303
		"1.1.31.172.in-addr.arpa.":      "31.172.in-addr.arpa.",
		"1.1.32.172.in-addr.arpa.":      "",
		"1.1.127.100.in-addr.arpa.":     "127.100.in-addr.arpa.",
		"1.1.128.100.in-addr.arpa.":     "",
		"8.8.8.8.in-addr.arpa.":         "",
		"x.eu-west-1.compute.internal.": "compute.internal.",
	} {
		got := ""
		if z := find(name, set, localZones); z != nil {
			got = z.soa.Hdr.Name
		}
		if got != want {
			t.Errorf("find(%s) = %q, want %q", name, got, want)
		}
	}
	if z := find("1.168.192.in-addr.arpa.", set, localZones); z != set.byName["168.192.in-addr.arpa."] {
		t.Error("a zone built in was preferred to the one given")
	}
}

func TestReverseNames(t *testing.T) {
	for prefix, want := range map[string][]string{
		"192.168.0.0/16":  {"168.192.in-addr.arpa."},
		"10.1.0.0/8":      {"10.in-addr.arpa."},
		"10.2.0.0/15":     {"2.10.in-addr.arpa.", "3.10.in-addr.arpa."},
		"10.0.254.0/23":   {"254.0.10.in-addr.arpa.", "255.0.10.in-addr.arpa."},
		"172.31.5.0/24":   {"5.31.172.in-addr.arpa."},
		"172.31.5.128/28": {"5.31.172.in-addr.arpa."},
	} {
		if diff := cmp.Diff(want, reverseNames(netip.MustParsePrefix(prefix))); diff != "" {
			t.Errorf("reverseNames(%s) (-want +got):\n%s", prefix, diff)
		}
	}
}

func TestVPCZones(t *testing.T) {
	got := VPCZones("us-east-1",
		[]netip.Prefix{netip.MustParsePrefix("10.0.2.0/23"), netip.MustParsePrefix("10.0.3.0/28"), netip.MustParsePrefix("fd00::/56")},
		[]netip.Addr{netip.MustParseAddr("10.0.3.4"), netip.MustParseAddr("203.0.113.1"), netip.MustParseAddr("fd00::1")},
	)
	zones(t, got...) // they can be served
	var text []string
	for _, z := range got {
		for _, rr := range z.Records {
			text = append(text, strings.Join(strings.Fields(rr.String()), " "))
		}
	}
	const soa = " 60 IN SOA ns0.ec2.internal. hostmaster.amazon.com. 2012103100 3600 3600 3600 60"
	want := []string{
		"ec2.internal." + soa,
		"ip-10-0-3-4.ec2.internal. 60 IN A 10.0.3.4",
		"ip-203-0-113-1.ec2.internal. 60 IN A 203.0.113.1",
		"2.0.10.in-addr.arpa." + soa,
		"3.0.10.in-addr.arpa." + soa,
		"4.3.0.10.in-addr.arpa. 60 IN PTR ip-10-0-3-4.ec2.internal.",
	}
	if diff := cmp.Diff(want, text); diff != "" {
		t.Errorf("VPCZones (-want +got):\n%s", diff)
	}
	if name := InstanceName("ap-northeast-2", netip.MustParseAddr("192.168.12.34")); name != "ip-192-168-12-34.ap-northeast-2.compute.internal." {
		t.Errorf("InstanceName = %s", name)
	}
}

func TestLocalNamesAreDistinct(t *testing.T) {
	names := localNames()
	if len(slices.Compact(slices.Sorted(slices.Values(names)))) != len(names) {
		t.Errorf("a name is given twice: %v", names)
	}
}
