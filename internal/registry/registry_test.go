package registry

import (
	"context"
	"encoding/json"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/google/go-containerregistry/pkg/name"
	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/random"
	"github.com/google/go-containerregistry/pkg/v1/remote"
	"github.com/google/go-containerregistry/pkg/v1/validate"
)

// TestRequests is one conversation: later rows see what earlier rows stored.
func TestRequests(t *testing.T) {
	const (
		oci   = "application/vnd.oci.image.manifest.v1+json"
		layer = "a layer"
		ecr   = "641022061021.dkr.ecr.ap-northeast-2.amazonaws.com"
	)
	h := open(t, Config{Account: "111122223333"})
	for _, tc := range []struct {
		name   string
		method string
		url    string
		host   string
		body   string
		ctype  string

		status int
		header map[string]string
		want   string // a regular expression
	}{
		{name: "version", url: "/v2/", status: 200, want: `^{}$`, header: map[string]string{"Docker-Distribution-API-Version": "registry/2.0"}},
		{name: "version for another registry", url: "/v2/?ns=docker.io", status: 200},
		{name: "no such path", url: "/v3/", status: 404},
		{name: "not a registry's name", url: "/v2/x/manifests/1?ns=a%2Fb", status: 400, want: `"NAME_INVALID","message":"\\"a/b\\" is not the name of a registry"`},

		{name: "unknown repository", url: "/v2/x/manifests/1", status: 404,
			want: `{"errors":\[{"code":"NAME_UNKNOWN","message":"The repository with name 'x' does not exist in the registry with id '111122223333'"}\]}`},
		{name: "unknown repository of an account", url: "/v2/x/manifests/1?ns=" + ecr, status: 404, want: `registry with id '641022061021'`},
		{name: "unknown repository by Host", url: "/v2/x/manifests/1", host: ecr, status: 404, want: `registry with id '641022061021'`},
		{name: "unknown repository, HEAD", method: "HEAD", url: "/v2/x/manifests/1", status: 404, want: `^$`},
		{name: "tags of an unknown repository", url: "/v2/x/tags/list", status: 404, want: `NAME_UNKNOWN.*'x' does not exist`},

		{name: "blob", method: "POST", url: "/v2/x/blobs/uploads/?digest=" + digestOf(layer), body: layer, ctype: "application/octet-stream", status: 202,
			header: map[string]string{"Location": `^/v2/x/blobs/uploads/`}},
		{name: "monolithic layer", method: "UPLOAD", url: "/v2/x/blobs/uploads/", body: layer, status: 201, header: map[string]string{"Docker-Content-Digest": digestOf(layer)}},
		{name: "manifest before its configuration", method: "PUT", url: "/v2/x/manifests/1", body: manifestOf(layer), ctype: oci, status: 400, want: `MANIFEST_BLOB_UNKNOWN`},
		{name: "configuration", method: "UPLOAD", url: "/v2/x/blobs/uploads/", body: emptyConfig, status: 201},
		{name: "manifest", method: "PUT", url: "/v2/x/manifests/1", body: manifestOf(layer), ctype: oci, status: 201, header: map[string]string{"Docker-Content-Digest": digestOf(manifestOf(layer))}},
		{name: "broken manifest", method: "PUT", url: "/v2/x/manifests/2", body: "{", ctype: oci, status: 400, want: `MANIFEST_INVALID`},

		{name: "tag", url: "/v2/x/manifests/1", status: 200, want: `^{"schemaVersion":2`},
		{name: "tag, any account and region", url: "/v2/x/manifests/1?ns=999988887777.dkr.ecr.eu-west-1.amazonaws.com", status: 200},
		{name: "tag, HEAD", method: "HEAD", url: "/v2/x/manifests/1?ns=" + ecr, status: 200, want: `^$`,
			header: map[string]string{"Docker-Content-Digest": digestOf(manifestOf(layer)), "Content-Type": regexp.QuoteMeta(oci), "Content-Length": `^\d+$`}},
		{name: "digest", url: "/v2/x/manifests/" + digestOf(manifestOf(layer)), status: 200},
		{name: "unknown tag", url: "/v2/x/manifests/2?ns=" + ecr, status: 404, want: `{"errors":\[{"code":"MANIFEST_UNKNOWN","message":"Requested image not found"}\]}`},
		{name: "unknown digest", url: "/v2/x/manifests/" + digestOf("other"), status: 404, want: `Requested image not found`},
		{name: "not a digest", url: "/v2/x/manifests/sha256:abc", status: 400, want: `DIGEST_INVALID`},
		{name: "tags", url: "/v2/x/tags/list", status: 200, want: `{"name":"x","tags":\["1"\]}`},
		{name: "catalogue", url: "/v2/_catalog", status: 200, want: `{"repositories":\["x"\]}`},
		{name: "layer", url: "/v2/x/blobs/" + digestOf(layer), status: 200, want: "^a layer$"},
		{name: "unknown layer", url: "/v2/x/blobs/" + digestOf("other"), status: 404, want: `BLOB_UNKNOWN`},
		{name: "a client of old", url: "/v2/x/manifests/1", ctype: "none", status: 404, want: `accept header does not support OCI manifests`},

		{name: "a loaded image under another registry's name", method: "UPLOAD", url: "/v2/docker.io/library/nginx/blobs/uploads/", body: layer, status: 201},
		{name: "its configuration", method: "UPLOAD", url: "/v2/docker.io/library/nginx/blobs/uploads/", body: emptyConfig, status: 201},
		{name: "its manifest", method: "PUT", url: "/v2/docker.io/library/nginx/manifests/1.27", body: manifestOf(layer), ctype: oci, status: 201},
		{name: "is found, without a network", url: "/v2/library/nginx/manifests/1.27?ns=docker.io", status: 200},
		{name: "and its layers", url: "/v2/library/nginx/blobs/" + digestOf(layer) + "?ns=docker.io", status: 200, want: "^a layer$"},
		{name: "push to another registry", method: "POST", url: "/v2/library/nginx/blobs/uploads/?ns=docker.io", status: 405, want: `UNSUPPORTED.*docker.io is pulled through, not pushed to`},
		{name: "this machine is not pulled from", url: "/v2/x/manifests/1?ns=localhost:5000", status: 404, want: `NAME_UNKNOWN.*'localhost_5000/x'`},

		{name: "delete", method: "DELETE", url: "/v2/x/manifests/" + digestOf(manifestOf(layer)), status: 202},
		{name: "deleted", url: "/v2/x/manifests/1", status: 404},
	} {
		t.Run(tc.name, func(t *testing.T) {
			method := tc.method
			url := tc.url
			body := io.Reader(strings.NewReader(tc.body))
			if method == "UPLOAD" { // POST, then PUT at the location
				w := httptest.NewRecorder()
				h.ServeHTTP(w, httptest.NewRequest("POST", url, nil))
				method, url = "PUT", w.Header().Get("Location")+"&digest="+digestOf(tc.body)
			}
			req := httptest.NewRequest(method, url, body)
			if tc.host != "" {
				req.Host = tc.host
			}
			if tc.ctype != "none" {
				req.Header.Set("Accept", oci)
			}
			req.Header.Set("Content-Type", tc.ctype)
			s := httptest.NewServer(h)
			defer s.Close()
			req.URL.Scheme, req.URL.Host, req.RequestURI = "http", strings.TrimPrefix(s.URL, "http://"), ""
			resp, err := http.DefaultClient.Do(req)
			if err != nil {
				t.Fatal(err)
			}
			defer resp.Body.Close()
			got, err := io.ReadAll(resp.Body)
			if err != nil {
				t.Fatal(err)
			}
			if resp.StatusCode != tc.status || !regexp.MustCompile(tc.want).Match(got) {
				t.Errorf("%d %s, want %d %s", resp.StatusCode, got, tc.status, tc.want)
			}
			for k, v := range tc.header {
				if !regexp.MustCompile(v).MatchString(resp.Header.Get(k)) {
					t.Errorf("%s: %q, want %s", k, resp.Header.Get(k), v)
				}
			}
			if resp.StatusCode >= 400 && len(got) > 0 && strings.HasPrefix(url, "/v2/") && !json.Valid(got) {
				t.Errorf("the error is not JSON: %s", got)
			}
		})
	}
}

func TestPushAndPull(t *testing.T) {
	r := open(t, Config{})
	host := listen(t, r)
	img, err := random.Image(1<<16, 3)
	if err != nil {
		t.Fatal(err)
	}
	idx, err := random.Index(1<<10, 2, 2)
	if err != nil {
		t.Fatal(err)
	}
	ref, err := name.ParseReference(host + "/team/app:1")
	if err != nil {
		t.Fatal(err)
	}
	if err := remote.Write(ref, img); err != nil {
		t.Fatal(err)
	}
	got, err := remote.Image(ref)
	if err != nil {
		t.Fatal(err)
	}
	if err := validate.Image(got); err != nil {
		t.Error(err)
	}
	if a, b := must(img.Digest()), must(got.Digest()); a != b {
		t.Errorf("pushed %s, pulled %s", a, b)
	}
	if err := remote.WriteIndex(ref, idx); err != nil {
		t.Fatal(err)
	}
	gotIdx, err := remote.Index(ref)
	if err != nil {
		t.Fatal(err)
	}
	if err := validate.Index(gotIdx); err != nil {
		t.Error(err)
	}
}

func TestPreload(t *testing.T) {
	ctx := t.Context()
	dir := t.TempDir()
	first := ours(t, 1)
	r := open(t, Config{Dir: dir})
	host := listen(t, r)
	tag := must(name.NewTag(host + "/backend-app:4.0.0"))
	tagged := func() v1.Hash {
		t.Helper()
		desc, err := remote.Head(tag)
		if err != nil {
			t.Fatal(err)
		}
		return desc.Digest
	}
	preload := func(img v1.Image) {
		t.Helper()
		if err := r.Preload(ctx, "backend-app", "4.0.0", img); err != nil {
			t.Fatal(err)
		}
	}

	preload(first)
	if err := validate.Image(must(remote.Image(tag))); err != nil {
		t.Error(err)
	}
	second := ours(t, 2)
	preload(second)
	if got, want := tagged(), must(second.Digest()); got != want {
		t.Errorf("an update left %s, want %s", got, want)
	}

	// What a user pushed stays, through restarts and updates.
	users := must(random.Image(100, 1))
	if err := remote.Write(tag, users); err != nil {
		t.Fatal(err)
	}
	preload(second)
	preload(ours(t, 3))
	if got, want := tagged(), must(users.Digest()); got != want {
		t.Errorf("the user's image %s was replaced by %s", want, got)
	}

	// And what a user deleted stays deleted.
	if err := r.Preload(ctx, "gone", "1", first); err != nil {
		t.Fatal(err)
	}
	repo, err := r.own.repository(ctx, "gone")
	if err != nil {
		t.Fatal(err)
	}
	if err := repo.Tags(ctx).Untag(ctx, "1"); err != nil {
		t.Fatal(err)
	}
	if err := r.Preload(ctx, "gone", "1", first); err != nil {
		t.Fatal(err)
	}
	if _, raw, err := r.own.manifest(ctx, "gone", "1"); raw != nil || err != nil {
		t.Errorf("a deleted tag came back: %s, %v", raw, err)
	}
}

func TestSecretIsKept(t *testing.T) {
	dir := t.TempDir()
	first, err := readSecret(dir)
	if err != nil {
		t.Fatal(err)
	}
	second, err := readSecret(dir)
	if err != nil || first != second || len(first) < 32 {
		t.Errorf("%q, then %q, %v", first, second, err)
	}
	info, err := os.Stat(filepath.Join(dir, "http-secret"))
	if err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("%v, %v", info.Mode(), err)
	}
}

func TestNewSaysWhatIsWrong(t *testing.T) {
	file := filepath.Join(t.TempDir(), "file")
	if err := os.WriteFile(file, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	_, err := New(Config{Dir: file, Logger: slog.New(slog.DiscardHandler)})
	if err == nil || !strings.Contains(err.Error(), file) {
		t.Errorf("a file as the directory: %v", err)
	}
}

// TestQuietAndCloses: nothing is printed or logged at the start, and Close
// ends the purger; a client's mistakes are no errors of the region.
func TestQuietAndCloses(t *testing.T) {
	var logs logBuffer
	r, err := New(Config{Dir: t.TempDir(), Logger: slog.New(slog.NewTextHandler(&logs, nil))})
	if err != nil {
		t.Fatal(err)
	}
	for _, path := range []string{"/v2/", "/v2/x/manifests/1", "/v2/x/tags/list", "/v2/x/blobs/sha256:ab"} {
		r.ServeHTTP(httptest.NewRecorder(), httptest.NewRequest("GET", path, nil))
	}
	for range 2 {
		if err := r.Close(); err != nil {
			t.Error(err)
		}
	}
	if got := logs.String(); got != "" {
		t.Errorf("log:\n%s", got)
	}
}

func TestPurgesOldUploads(t *testing.T) {
	dir := t.TempDir()
	r := open(t, Config{Dir: dir})
	start := func() string {
		w := httptest.NewRecorder()
		r.ServeHTTP(w, httptest.NewRequest("POST", "/v2/x/blobs/uploads/", nil))
		if w.Code != 202 {
			t.Fatalf("%d %s", w.Code, w.Body)
		}
		return filepath.Join(dir, "docker/registry/v2/repositories/x/_uploads", w.Header().Get("Docker-Upload-UUID"))
	}
	old, young := start(), start()
	yesterday := time.Now().Add(-uploadAge - time.Minute).UTC().Format(time.RFC3339)
	if err := os.WriteFile(filepath.Join(old, "startedat"), []byte(yesterday), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := r.own.purgeUploads(context.Background(), time.Now()); err != nil {
		t.Fatal(err)
	}
	if _, err := os.Stat(old); !os.IsNotExist(err) {
		t.Errorf("an upload older than a day: %v", err)
	}
	if _, err := os.Stat(young); err != nil {
		t.Errorf("a young upload: %v", err)
	}
}
