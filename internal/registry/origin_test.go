package registry

import (
	"net/url"
	"path/filepath"
	"strings"
	"testing"

	"github.com/distribution/reference"
)

func TestOriginOf(t *testing.T) {
	for _, tc := range []struct {
		host, ns string
		want     origin
		err      bool
	}{
		{host: "127.0.0.1:5000"},
		{host: "registry.internal"},
		{host: "127.0.0.1:5000", ns: "docker.io", want: origin{host: "docker.io"}},
		{ns: "registry-1.docker.io", want: origin{host: "docker.io"}},
		{ns: "index.docker.io", want: origin{host: "docker.io"}},
		{ns: "QUAY.io", want: origin{host: "quay.io"}},
		{ns: "registry.example:5000", want: origin{host: "registry.example:5000"}},
		{ns: "localhost", want: origin{host: "localhost"}},
		{ns: "641022061021.dkr.ecr.ap-northeast-2.amazonaws.com", want: origin{account: "641022061021"}},
		{ns: "602401143452.dkr.ecr.us-west-2.amazonaws.com:443", want: origin{account: "602401143452"}},
		{ns: "918309763551.dkr.ecr.cn-north-1.amazonaws.com.cn", want: origin{account: "918309763551"}},
		{ns: "123456789012.dkr.ecr-fips.us-gov-west-1.amazonaws.com", want: origin{account: "123456789012"}},
		{ns: "123456789012.dkr-ecr.us-east-1.on.aws", want: origin{account: "123456789012"}},
		{host: "123456789012.dkr.ecr.us-east-1.amazonaws.com", want: origin{account: "123456789012"}},
		{host: "123456789012.dkr.ecr.us-east-1.amazonaws.com", ns: "ghcr.io", want: origin{host: "ghcr.io"}},
		// Eleven digits are no account: on AWS too, the name does not exist.
		{ns: "64102206102.dkr.ecr.ap-northeast-2.amazonaws.com", want: origin{host: "64102206102.dkr.ecr.ap-northeast-2.amazonaws.com"}},
		{ns: "123456789012.dkr.ecr.us-east-1.amazonaws.com.evil.example", want: origin{host: "123456789012.dkr.ecr.us-east-1.amazonaws.com.evil.example"}},
		{ns: "..", err: true},
		{ns: "a/b", err: true},
		{ns: "a..b", err: true},
		{ns: "user@host", err: true},
		{ns: "host:port", err: true},
		{ns: "-x.io", err: true},
		{ns: "[::1]:5000", err: true},
		{ns: strings.Repeat("a", 254), err: true},
	} {
		got, err := originOf(tc.host, tc.ns)
		if got != tc.want || (err != nil) != tc.err {
			t.Errorf("originOf(%q, %q) = %+v, %v, want %+v", tc.host, tc.ns, got, err, tc.want)
		}
	}
}

func TestIsHere(t *testing.T) {
	for host, want := range map[string]bool{
		"localhost": true, "localhost:5000": true, "x.localhost": true, "127.0.0.1": true, "127.9.9.9:80": true,
		"169.254.169.254": true, "0.0.0.0:5000": true,
		"docker.io": false, "10.0.0.5:5000": false, "localhost.example": false,
	} {
		if got := isHere(host); got != want {
			t.Errorf("isHere(%s) = %t", host, got)
		}
	}
}

func TestParsePath(t *testing.T) {
	for path, want := range map[string]target{
		"/v2/":                              {},
		"/v2/_catalog":                      {},
		"/v2/x/manifests/1":                 {"x", "manifests", "1"},
		"/v2/library/nginx/manifests/1.27":  {"library/nginx", "manifests", "1.27"},
		"/v2/x/blobs/sha256:ab":             {"x", "blobs", "sha256:ab"},
		"/v2/x/blobs/uploads/":              {"x", "uploads", ""},
		"/v2/x/blobs/uploads/123":           {"x", "uploads", "123"},
		"/v2/x/tags/list":                   {"x", "tags", "list"},
		"/v2/x/referrers/sha256:ab":         {"x", "referrers", "sha256:ab"},
		"/v2/manifests/manifests/manifests": {"manifests", "manifests", "manifests"},
		"/v2/x/blobs/uploads/manifests/1":   {"x/blobs/uploads", "manifests", "1"},
	} {
		got, ok := parsePath(path)
		if want.kind == "tags" {
			want.ref = ""
		}
		if !ok || got != want {
			t.Errorf("parsePath(%s) = %+v, %t, want %+v", path, got, ok, want)
		}
	}
	for _, path := range []string{"/", "/v1/x", "/v2/x", "/v2//manifests/1", "/v2/X/manifests/1", "/v2/../manifests/1", "/v2/x/other/1", "/v2/manifests/1"} {
		if got, ok := parsePath(path); ok {
			t.Errorf("parsePath(%s) = %+v", path, got)
		}
	}
}

// FuzzNames feeds what a client chooses: names of registries and paths. What
// passes must be safe as a file's name and as a repository, and survive the
// way there and back.
func FuzzNames(f *testing.F) {
	f.Add("127.0.0.1:5000", "docker.io", "/v2/library/nginx/manifests/1.27")
	f.Add("", "123456789012.dkr.ecr.us-east-1.amazonaws.com", "/v2/a/blobs/uploads/")
	f.Add("x", "host:5000", "/v2/a/blobs/sha256:00/../../x")
	f.Fuzz(func(t *testing.T, host, ns, path string) {
		o, err := originOf(host, ns)
		if err != nil {
			return
		}
		if o.host != "" {
			u, err := url.Parse("https://" + o.host + "/v2/")
			if err != nil || u.Host != o.host {
				t.Errorf("host %q is not one in a URL: %v", o.host, err)
			}
			if dir := strings.ReplaceAll(o.host, ":", "_"); !filepath.IsLocal(dir) || filepath.Base(dir) != dir {
				t.Errorf("host %q leaves the cache directory", o.host)
			}
		}
		tgt, ok := parsePath(path)
		if !ok || tgt.repository == "" {
			return
		}
		if again, ok := parsePath(tgt.path()); !ok || again != tgt {
			t.Errorf("%q: %+v became %+v", path, tgt, again)
		}
		if name := ownName(o.host, tgt.repository); len(name) < 256 {
			if _, err := reference.WithName(name); err != nil {
				t.Errorf("own name %q: %v", name, err)
			}
		}
	})
}
