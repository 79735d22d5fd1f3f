package hostdns

import (
	"bytes"
	"net/netip"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

const (
	ours   = "# BEGIN tarn /var/lib/tarn\n127.64.1.2\tapi.example.com\n# END tarn /var/lib/tarn\n"
	theirs = "# BEGIN tarn /srv/tarn\n127.64.9.9\tapi.example.org\n# END tarn /srv/tarn\n"
	system = "127.0.0.1\tlocalhost\n127.0.1.1\tdesk.example.net\n"
)

func TestSplice(t *testing.T) {
	const lines = "127.64.1.2\tapi.example.com\n"
	for _, test := range []struct{ name, hosts, lines, want string }{
		{"into nothing", "", lines, ours},
		{"at the end", system, lines, system + ours},
		{"a last line without an end", "::1 localhost", lines, "::1 localhost\n" + ours},
		{"again", system + ours, lines, system + ours},
		{"another address", system + ours + "# more\n", "127.64.1.3\tapi.example.com\n", system + strings.ReplaceAll(ours, "1.2", "1.3") + "# more\n"},
		{"beside another region", theirs + system, lines, theirs + system + ours},
		{"a region whose directory begins like this one", strings.ReplaceAll(ours, "/var/lib/tarn", "/var/lib/tarn2"), lines, strings.ReplaceAll(ours, "/var/lib/tarn", "/var/lib/tarn2") + ours},
		{"out", system + ours + theirs, "", system + theirs},
		{"out, where there is none", system, "", system},
		{"out of a file without an end", "::1 localhost", "", "::1 localhost"},
		{"alone", ours, "", ""},
		{"twice there", ours + system + ours, lines, ours + system},
		{"lines that end as elsewhere", "127.0.0.1 localhost\r\n# BEGIN tarn /var/lib/tarn\r\nx\r\n# END tarn /var/lib/tarn \r\n", "", "127.0.0.1 localhost\r\n"},
		{"the end is lost", "# BEGIN tarn /var/lib/tarn\n127.64.1.2\tapi.example.com\n127.0.1.1\tdesk.example.net\n", "", "127.0.1.1\tdesk.example.net\n"},
		{"the end is lost, and a block follows", "# BEGIN tarn /var/lib/tarn\n" + system + ours, lines, ours + system},
		{"the begin is lost", system + "# END tarn /var/lib/tarn\n", "", system},
		{"bytes that are no text", "\xff\x00\n" + ours + "\xfe", "", "\xff\x00\n\xfe"},
	} {
		if diff := cmp.Diff(test.want, string(splice([]byte(test.hosts), "/var/lib/tarn", []byte(test.lines)))); diff != "" {
			t.Errorf("%s: %s", test.name, diff)
		}
	}
}

// FuzzSplice: what a region puts into a file, it finds again, puts there once
// and takes out again; all other lines stay.
func FuzzSplice(f *testing.F) {
	f.Add([]byte(system+ours+theirs), "/var/lib/tarn")
	f.Add([]byte("# BEGIN tarn /var/lib/tarn\n# BEGIN tarn /var/lib/tarn\n127.64.1.2\ta\n# END tarn /var/lib/tarn"), "/var/lib/tarn")
	f.Add([]byte("\r\n\xff# END tarn a\n# BEGIN tarn a \n\n"), "a")
	f.Add([]byte("::1 localhost"), " \n# END tarn ")
	f.Fuzz(func(t *testing.T, hosts []byte, dir string) {
		title := title(dir)
		if strings.Contains(title, "\n") {
			t.Fatalf("%q is more than a line", title)
		}
		lines, _, _ := hostLines(map[string]netip.Addr{"api.example.com": netip.MustParseAddr("127.64.1.2")})
		out := splice(hosts, title, nil)
		if again := splice(out, title, nil); !bytes.Equal(again, out) {
			t.Errorf("taken out twice: %q, then %q", out, again)
		}
		// What is left are lines of the file, in their order.
		rest := slices.Collect(bytes.Lines(hosts))
		for line := range bytes.Lines(out) {
			n := slices.IndexFunc(rest, func(l []byte) bool { return bytes.Equal(l, line) })
			if n < 0 {
				t.Fatalf("%q was not in the file, or not there", line)
			}
			rest = rest[n+1:]
		}
		in := splice(hosts, title, lines)
		if again := splice(in, title, lines); !bytes.Equal(again, in) {
			t.Errorf("put in twice: %q, then %q", in, again)
		}
		if n := bytes.Count(in, slices.Concat([]byte("# BEGIN tarn "+title+"\n"), lines)); n != 1 {
			t.Errorf("the block is there %d times: %q", n, in)
		}
		back := splice(in, title, nil)
		if !bytes.Equal(back, out) && !bytes.Equal(back, append(bytes.Clone(out), '\n')) {
			t.Errorf("in and out again: %q, want %q", back, out)
		}
		if !bytes.Contains(hosts, []byte(" tarn ")) && !bytes.Equal(out, hosts) {
			t.Errorf("%q became %q", hosts, out)
		}
	})
}

func TestTitle(t *testing.T) {
	for dir, want := range map[string]string{
		"/var/lib/tarn": "/var/lib/tarn",
		"/srv/a b/가":    "/srv/a b/가",
		"/srv/a\nb":     `"/srv/a\nb"`,
		"/srv/\xff":     `"/srv/\xff"`,
		"/srv/a ":       `"/srv/a "`,
	} {
		if got := title(dir); got != want {
			t.Errorf("%q: %s, want %s", dir, got, want)
		}
	}
}

func TestHostLines(t *testing.T) {
	addr := netip.MustParseAddr
	lines, names, leftOut := hostLines(map[string]netip.Addr{
		"www.example.com.":      addr("127.64.1.3"),
		"API.example.com":       addr("127.64.1.2"),
		"example.com":           addr("127.64.1.2"),
		"_dmarc.example.com":    addr("127.64.1.2"),
		"*.example.com":         addr("127.64.1.2"),
		"a b.example.com":       addr("127.64.1.2"),
		"a\n1.1.1.1 bank.com":   addr("127.64.1.2"),
		"\\052.example.com":     addr("127.64.1.2"),
		"none.example.com":      {},
		"api.example.localhost": addr("127.64.1.2"),
		"localhost":             addr("127.64.1.2"),
		"":                      addr("127.64.1.2"),
	})
	if diff := cmp.Diff("127.64.1.2\t_dmarc.example.com\n127.64.1.2\tapi.example.com\n127.64.1.2\texample.com\n127.64.1.3\twww.example.com\n", string(lines)); diff != "" {
		t.Error(diff)
	}
	if diff := cmp.Diff([]string{"_dmarc.example.com", "api.example.com", "example.com", "www.example.com"}, names); diff != "" {
		t.Error(diff)
	}
	if diff := cmp.Diff([]string{"", "*.example.com", "\\052.example.com", "a\n1.1.1.1 bank.com", "a b.example.com", "none.example.com"}, leftOut); diff != "" {
		t.Error(diff)
	}
}

func TestRoutable(t *testing.T) {
	for _, test := range []struct {
		name                 string
		zones, take, leftOut []string
	}{
		{"none", nil, nil, nil},
		{"as Route 53 writes them", []string{"Example.com.", "example.org."}, []string{"example.com", "example.org"}, nil},
		{"a zone in a zone", []string{"dev.eu.example.com", "example.com", "notexample.com"}, []string{"example.com", "notexample.com"}, nil},
		{"twice", []string{"example.com", "EXAMPLE.com."}, []string{"example.com"}, nil},
		{"localhost", []string{"localhost", "example.localhost", "localhost.example.com"}, []string{"localhost.example.com"}, nil},
		{"everything", []string{".", "", "*"}, nil, []string{"", "*", "."}},
		{"no names of hosts", []string{"a b.com", "a\nDNS=1.1.1.1", "-a.com", "ex\\057.com", strings.Repeat("a", 64) + ".com", strings.Repeat("a.", 127) + "com"}, nil,
			[]string{"-a.com", "a\nDNS=1.1.1.1", "a b.com", strings.Repeat("a.", 127) + "com", strings.Repeat("a", 64) + ".com", "ex\\057.com"}},
		{"backwards", []string{"1.168.192.in-addr.arpa"}, []string{"1.168.192.in-addr.arpa"}, nil},
	} {
		take, leftOut := routable(test.zones)
		if diff := cmp.Diff(test.take, take); diff != "" {
			t.Errorf("%s: %s", test.name, diff)
		}
		if diff := cmp.Diff(test.leftOut, leftOut); diff != "" {
			t.Errorf("%s: left out: %s", test.name, diff)
		}
	}
}
