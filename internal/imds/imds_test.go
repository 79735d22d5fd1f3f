package imds

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"flag"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"golang.org/x/tools/txtar"
)

var update = flag.Bool("update", false, "rewrite the responses in testdata")

var (
	launched = time.Date(2026, 11, 22, 10, 4, 5, 0, time.UTC)
	now      = launched.Add(time.Hour)
	quiet    = slog.New(slog.DiscardHandler)
)

// node is a t3.medium of a managed node group, with two addresses for pods and a second interface.
func node() Instance {
	groups := []SecurityGroup{{ID: "sg-0a1", Name: "eks-cluster-sg-eks-work"}, {ID: "sg-0b2", Name: "remote-access"}}
	vpc := []netip.Prefix{netip.MustParsePrefix("192.168.0.0/16"), netip.MustParsePrefix("100.64.0.0/16")}
	return Instance{
		ID: "i-0123456789abcdef0", Type: "t3.medium", ImageID: "ami-0aaaabbbbccccdddd", Architecture: "x86_64",
		AccountID: "000000000000", Region: "ap-northeast-2", AvailabilityZone: "ap-northeast-2a", AvailabilityZoneID: "apne2-az1",
		ReservationID: "r-0fedcba9876543210", PendingTime: launched,
		Interfaces: []Interface{
			{
				ID: "eni-02", MAC: "0a:00:c0:a8:0d:01", DeviceNumber: 1, PrivateDNSName: "ip-192-168-13-1.ap-northeast-2.compute.internal",
				Addresses: []netip.Addr{netip.MustParseAddr("192.168.13.1")}, SecurityGroups: groups[:1],
				SubnetID: "subnet-01", SubnetCIDR: netip.MustParsePrefix("192.168.0.0/19"), VPCID: "vpc-01", VPCCIDRs: vpc,
			},
			{
				ID: "eni-01", MAC: "0a:00:c0:a8:0c:22", PrivateDNSName: "ip-192-168-12-34.ap-northeast-2.compute.internal",
				Addresses:      []netip.Addr{netip.MustParseAddr("192.168.12.34"), netip.MustParseAddr("192.168.12.40"), netip.MustParseAddr("192.168.12.41")},
				SecurityGroups: groups,
				SubnetID:       "subnet-01", SubnetCIDR: netip.MustParsePrefix("192.168.0.0/19"), VPCID: "vpc-01", VPCCIDRs: vpc,
			},
		},
		Tags: map[string]string{"Name": "eks-work-node", "eks:cluster-name": "eks-work", "kubernetes.io/cluster/eks-work": "owned"},
	}
}

// machines are the instances of the tests by what is particular to them, each at an address of its own.
func machines() map[netip.Addr]Instance {
	all := map[netip.Addr]Instance{}
	add := func(address, id string, change func(*Instance)) {
		i := node()
		i.ID = id
		change(&i)
		all[netip.MustParseAddr(address)] = i
	}
	add("192.168.12.34", "i-0123456789abcdef0", func(*Instance) {})
	add("192.168.12.40", "i-0123456789abcdef0", func(*Instance) {}) // a pod on the same node
	add("10.0.0.1", "i-optional", func(i *Instance) { i.Options.HTTPTokens = Optional })
	add("10.0.0.2", "i-disabled", func(i *Instance) { i.Options.HTTPEndpoint = Disabled })
	add("10.0.0.3", "i-full", func(i *Instance) {
		i.Options = Options{HTTPTokens: Optional, InstanceMetadataTags: Enabled}
		i.LifeCycle = "spot"
		i.UserData = []byte("#!/bin/sh\necho \"hello\"\n")
		i.Profile = &InstanceProfile{ARN: "arn:aws:iam::000000000000:instance-profile/eks-1a", ID: "AIPA0123456789ABCDEFG", Role: "eks-work-node-role"}
	})
	add("10.0.0.4", "i-broken", func(i *Instance) {
		i.Options.HTTPTokens = Optional
		i.Profile = &InstanceProfile{Role: "gone"}
	})
	return all
}

func handler() *Handler {
	all := machines()
	return New(Config{
		Lookup: func(a netip.Addr) (Instance, bool) { i, ok := all[a]; return i, ok },
		Credentials: func(_ context.Context, i Instance) (Credentials, error) {
			if i.Profile.Role == "gone" {
				return Credentials{}, errors.New("the role does not exist")
			}
			return Credentials{
				AccessKeyID: "ASIAEXAMPLE", SecretAccessKey: "secret/+&=", Token: "token==",
				LastUpdated: now.Add(-time.Minute), Expiration: now.Add(6 * time.Hour),
			}, nil
		},
		Logger: quiet,
		Now:    func() time.Time { return now },
	})
}

// TestExchanges replays testdata/*.txtar: files come in pairs, "<name>.request" and
// "<name>.response". A request begins with its source address. {token} stands for the token that
// the archive's latest PUT returned.
func TestExchanges(t *testing.T) {
	archives, err := filepath.Glob("testdata/*.txtar")
	if err != nil || len(archives) == 0 {
		t.Fatalf("no archives: %v", err)
	}
	for _, file := range archives {
		t.Run(strings.TrimSuffix(filepath.Base(file), ".txtar"), func(t *testing.T) {
			archive, err := txtar.ParseFile(file)
			if err != nil {
				t.Fatal(err)
			}
			h, token := handler(), "{token}"
			var out []txtar.File
			want := map[string]string{}
			for _, f := range archive.Files {
				want[f.Name] = string(f.Data)
				name, isRequest := strings.CutSuffix(f.Name, ".request")
				if !isRequest {
					continue
				}
				req := parseRequest(t, strings.ReplaceAll(string(f.Data), "{token}", token))
				rec := httptest.NewRecorder()
				h.ServeHTTP(rec, req)
				if req.Method == http.MethodPut && rec.Code == http.StatusOK {
					token = rec.Body.String()
				}
				got := strings.ReplaceAll(dump(rec.Result()), token, "{token}")
				out = append(out, f, txtar.File{Name: name + ".response", Data: []byte(got)})
			}
			if *update {
				archive.Files = out
				if err := os.WriteFile(file, txtar.Format(archive), 0o644); err != nil {
					t.Fatal(err)
				}
				return
			}
			for _, f := range out {
				if diff := cmp.Diff(want[f.Name], string(f.Data)); diff != "" {
					t.Errorf("%s (-want +got):\n%s", f.Name, diff)
				}
			}
		})
	}
}

func parseRequest(t *testing.T, text string) *http.Request {
	t.Helper()
	from, text, _ := strings.Cut(text, " ")
	req, err := http.ReadRequest(bufio.NewReader(strings.NewReader(strings.TrimSpace(text) + "\r\n\r\n")))
	if err != nil {
		t.Fatal(err)
	}
	req.RemoteAddr = from + ":40000"
	return req
}

// dump writes a response with sorted headers, and a newline after the body, which txtar needs.
func dump(res *http.Response) string {
	var b bytes.Buffer
	b.WriteString(res.Status + "\n")
	res.Header.Write(&b)
	body, _ := io.ReadAll(res.Body)
	b.WriteString("\n")
	b.Write(body)
	return strings.TrimRight(strings.ReplaceAll(b.String(), "\r\n", "\n"), "\n") + "\n"
}

func get(h http.Handler, from, path, token string) *httptest.ResponseRecorder {
	req := httptest.NewRequest(http.MethodGet, path, nil)
	req.RemoteAddr = netip.AddrPortFrom(netip.MustParseAddr(from), 4321).String()
	if token != "" {
		req.Header.Set(tokenHeader, token)
	}
	rec := httptest.NewRecorder()
	h.ServeHTTP(rec, req)
	return rec
}

func TestToken(t *testing.T) {
	var key, other tokenKey
	other[0] = 1
	expires := now.Add(10 * time.Second)
	token := key.mint("i-1", expires)
	if len(token) != 56 || !strings.HasPrefix(token, "AQAEA") {
		t.Errorf("token %q does not look like AWS's", token)
	}
	flipped := []byte(token)
	flipped[20] ^= 1
	for _, tc := range []struct {
		name     string
		key      *tokenKey
		token    string
		instance string
		at       time.Time
		want     time.Duration
	}{
		{"fresh", &key, token, "i-1", now, 10 * time.Second},
		{"last moment", &key, token, "i-1", expires.Add(-1), 1},
		{"expired", &key, token, "i-1", expires, 0},
		{"another instance's", &key, token, "i-2", now, 0},
		{"another service's", &other, token, "i-1", now, 0},
		{"changed", &key, string(flipped), "i-1", now, 0},
		{"cut", &key, token[:52], "i-1", now, 0},
		{"not base64", &key, "no token", "i-1", now, 0},
	} {
		t.Run(tc.name, func(t *testing.T) {
			got, ok := tc.key.remaining(tc.token, tc.instance, tc.at)
			if ok != (tc.want > 0) || ok && got != tc.want {
				t.Errorf("remaining = %v, %v; want %v", got, ok, tc.want)
			}
		})
	}
}

func TestTokenExpires(t *testing.T) {
	clock := now
	h := New(Config{
		Lookup: func(netip.Addr) (Instance, bool) { return node(), true },
		Now:    func() time.Time { return clock },
	})
	req := httptest.NewRequest(http.MethodPut, tokenPath, nil)
	req.Header.Set(ttlHeader, "2")
	rec := httptest.NewRecorder()
	h.ServeHTTP(rec, req)
	token := rec.Body.String()

	clock = now.Add(1500 * time.Millisecond)
	if rec := get(h, "10.9.9.9", "/latest/meta-data/instance-id", token); rec.Code != 200 || rec.Header().Get(ttlHeader) != "1" {
		t.Errorf("within the token's time: %d, %s seconds left; want 200, 1", rec.Code, rec.Header().Get(ttlHeader))
	}
	clock = now.Add(2 * time.Second)
	if rec := get(h, "10.9.9.9", "/latest/meta-data/instance-id", token); rec.Code != 401 {
		t.Errorf("after the token's time: %d, want 401", rec.Code)
	}
}

// TestListingsLead walks the whole tree by its own listings, as the aws CLI and cloud-init do: what
// is listed exists, and a trailing slash tells a directory.
func TestListingsLead(t *testing.T) {
	h := handler()
	var leaves []string
	var walk func(string)
	walk = func(dir string) {
		for _, name := range strings.Split(get(h, "10.0.0.3", dir, "").Body.String(), "\n") {
			if strings.HasSuffix(name, "/") {
				walk(dir + name)
				continue
			}
			if rec := get(h, "10.0.0.3", dir+name, ""); rec.Code != 200 {
				t.Errorf("%s is listed, and yet: %d", dir+name, rec.Code)
			}
			leaves = append(leaves, strings.TrimPrefix(dir+name, "/latest/"))
		}
	}
	walk("/latest/meta-data/")
	walk("/latest/dynamic/")
	leaves = append(leaves, "user-data")
	want := h.tree(machines()[netip.MustParseAddr("10.0.0.3")])
	for path := range want {
		if !slices.Contains(leaves, path) {
			t.Errorf("%s exists and no listing leads to it", path)
		}
	}
	if len(leaves) != len(want) {
		t.Errorf("%d leaves found, %d exist", len(leaves), len(want))
	}
}

func TestPartition(t *testing.T) {
	for region, want := range map[string][2]string{
		"ap-northeast-2": {"aws", "amazonaws.com"},
		"cn-north-1":     {"aws-cn", "amazonaws.com.cn"},
		"us-gov-west-1":  {"aws-us-gov", "amazonaws.com"},
	} {
		if name, domain := partition(region); name != want[0] || domain != want[1] {
			t.Errorf("partition(%s) = %s, %s; want %v", region, name, domain, want)
		}
	}
}

// FuzzRequest holds the service to its promises whatever the request is: only known answers, and no
// metadata for an instance that requires tokens, whose tokens nobody was given.
func FuzzRequest(f *testing.F) {
	h := handler()
	f.Fuzz(func(t *testing.T, method, path, ttl, token, forwarded string) {
		req := httptest.NewRequest(http.MethodGet, "/", nil)
		req.Method, req.URL.Path, req.RemoteAddr = method, path, "192.168.12.34:1"
		req.Header = http.Header{ttlHeader: {ttl}, tokenHeader: {token}}
		if forwarded != "" {
			req.Header.Set("X-Forwarded-For", forwarded)
		}
		rec := httptest.NewRecorder()
		h.ServeHTTP(rec, req)
		if !slices.Contains([]int{200, 400, 401, 403, 405}, rec.Code) {
			t.Errorf("%s %q: %d", method, path, rec.Code)
		}
		issued := method == http.MethodPut && path == tokenPath && forwarded == ""
		if rec.Code == 200 && rec.Body.Len() > 0 && !issued {
			t.Errorf("%s %q was answered without a token: %q", method, path, rec.Body)
		}

		// With tokens optional every path is reached; it is found or it is not.
		rec = httptest.NewRecorder()
		req.RemoteAddr, req.Header, req.Method = "10.0.0.1:1", http.Header{}, http.MethodGet
		h.ServeHTTP(rec, req)
		if !slices.Contains([]int{200, 404, 405}, rec.Code) {
			t.Errorf("GET %q: %d", path, rec.Code)
		}
	})
}
