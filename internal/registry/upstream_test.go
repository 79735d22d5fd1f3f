package registry

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/containerd/containerd/v2/core/remotes/docker"
	"github.com/google/go-containerregistry/pkg/name"
	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/random"
	"github.com/google/go-containerregistry/pkg/v1/remote"
	"github.com/google/go-containerregistry/pkg/v1/remote/transport"
	"github.com/opencontainers/go-digest"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"
)

// world is the public network: requests to any host reach one handler, and are
// counted.
type world struct {
	t       *testing.T
	server  *httptest.Server
	mu      sync.Mutex
	offline error
	asked   []string // method and path, without the version check
}

func newWorld(t *testing.T, h http.Handler) *world {
	w := &world{t: t, server: httptest.NewServer(h)}
	t.Cleanup(w.server.Close)
	return w
}

func (w *world) RoundTrip(r *http.Request) (*http.Response, error) {
	w.mu.Lock()
	offline := w.offline
	if r.URL.Path != "/v2/" {
		w.asked = append(w.asked, r.Method+" "+r.URL.Path)
	}
	w.mu.Unlock()
	if offline != nil {
		return nil, offline
	}
	if r.URL.Scheme != "https" {
		w.t.Errorf("asked %s without TLS", r.URL)
	}
	there := r.Clone(r.Context())
	there.URL.Scheme, there.URL.Host = "http", w.server.Listener.Addr().String()
	resp, err := http.DefaultTransport.RoundTrip(there)
	if err == nil {
		resp.Request = r
	}
	return resp, err
}

func (w *world) goOffline() {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.offline = &net.OpError{Op: "dial", Net: "tcp", Err: &net.DNSError{Err: "no such host", Name: "registry.example", IsNotFound: true}}
}

// requests returns and forgets what was asked.
func (w *world) requests() string {
	w.mu.Lock()
	defer w.mu.Unlock()
	s := strings.Join(w.asked, "\n")
	w.asked = nil
	return s
}

// publish pushes a random image to the public registry.
func (w *world) publish(image string) v1.Image {
	w.t.Helper()
	img := must(random.Image(1<<15, 2))
	tag := must(name.NewTag(w.server.Listener.Addr().String() + "/" + image))
	if err := remote.Write(tag, img); err != nil {
		w.t.Fatal(err)
	}
	return img
}

// pull pulls an image with containerd's client, which is configured to ask
// endpoint for every registry. It returns the image's digest.
func pull(ctx context.Context, endpoint, image string) (string, error) {
	resolver := docker.NewResolver(docker.ResolverOptions{
		Hosts: func(string) ([]docker.RegistryHost, error) {
			return []docker.RegistryHost{{
				Client: http.DefaultClient, Host: endpoint, Scheme: "http", Path: "/v2",
				Capabilities: docker.HostCapabilityPull | docker.HostCapabilityResolve | docker.HostCapabilityPush,
			}}, nil
		},
	})
	resolved, desc, err := resolver.Resolve(ctx, image)
	if err != nil {
		return "", err
	}
	fetcher, err := resolver.Fetcher(ctx, resolved)
	if err != nil {
		return "", err
	}
	rc, err := fetcher.Fetch(ctx, desc)
	if err != nil {
		return "", err
	}
	m, err := v1.ParseManifest(rc)
	rc.Close()
	if err != nil {
		return "", err
	}
	for _, d := range append(m.Layers, m.Config) {
		blob := ocispec.Descriptor{MediaType: string(d.MediaType), Digest: digest.Digest(d.Digest.String()), Size: d.Size}
		rc, err := fetcher.Fetch(ctx, blob)
		if err != nil {
			return "", err
		}
		got, _, err := v1.SHA256(rc)
		rc.Close()
		if err != nil {
			return "", err
		}
		if got != d.Digest {
			return "", fmt.Errorf("blob %s has digest %s", d.Digest, got)
		}
	}
	return desc.Digest.String(), nil
}

func TestPullThrough(t *testing.T) {
	ctx := t.Context()
	w := newWorld(t, open(t, Config{}))
	img := w.publish("team/app:1")
	dir := t.TempDir()
	r := open(t, Config{Dir: dir, Transport: w})
	endpoint := listen(t, r)
	const image = "registry.example/team/app:1"
	check := func(what string, want v1.Image, asked func(string) bool) {
		t.Helper()
		got, err := pull(ctx, endpoint, image)
		if err != nil {
			t.Fatalf("%s: %v", what, err)
		}
		if d := must(want.Digest()).String(); got != d {
			t.Errorf("%s: pulled %s, want %s", what, got, d)
		}
		if a := w.requests(); !asked(a) {
			t.Errorf("%s: asked upstream:\n%s", what, a)
		}
	}
	onlyHead := func(a string) bool { return a == "HEAD /v2/team/app/manifests/1" }

	check("first pull", img, func(a string) bool {
		return strings.Count(a, "GET /v2/team/app/manifests/") == 1 && strings.Count(a, "GET /v2/team/app/blobs/") == 3
	})
	check("second pull", img, onlyHead)
	moved := w.publish("team/app:1")
	check("a moved tag", moved, func(a string) bool { return strings.Contains(a, "GET /v2/team/app/manifests/1") })

	w.goOffline()
	check("offline", moved, onlyHead)

	// The cache outlives the process and needs no network to open.
	again := open(t, Config{Dir: dir, Transport: w})
	endpoint = listen(t, again)
	check("offline, after a restart", moved, func(a string) bool { return a == "" })
}

// TestWhatUsersRead uses containerd's own resolver: what it returns is what
// kubelet puts behind ErrImagePull.
func TestWhatUsersRead(t *testing.T) {
	w := newWorld(t, open(t, Config{}))
	w.publish("team/app:1")
	r := open(t, Config{Transport: w})
	endpoint := listen(t, r)

	expect := func(image string, want ...string) {
		t.Helper()
		_, err := pull(t.Context(), endpoint, image)
		if err == nil {
			t.Fatalf("pulled %s", image)
		}
		for _, s := range want {
			if !strings.Contains(err.Error(), s) {
				t.Errorf("%s: %v\nwant %s", image, err, s)
			}
		}
	}
	expect("641022061021.dkr.ecr.ap-northeast-2.amazonaws.com/app:1", "641022061021.dkr.ecr.ap-northeast-2.amazonaws.com/app:1: not found")
	expect("registry.example/team/app:2", "registry.example/team/app:2: not found")
	w.goOffline()
	expect("registry.example/team/other:1",
		"403 Forbidden", "unavailable: this machine cannot reach registry.example (lookup registry.example: no such host)", "tarn image load FILE.tar")
}

func TestUnreachableUpstreamIsNotTriedAtOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var tried atomic.Int32
		dial := &net.OpError{Op: "dial", Net: "tcp", Err: errors.New("connection refused")}
		u := &upstream{host: "registry.example"}
		question := func(context.Context) (int, error) { tried.Add(1); return 0, dial }
		for range 2 {
			if _, err := ask(t.Context(), u, question); err == nil || !strings.Contains(err.Error(), "connection refused") {
				t.Error(err)
			}
		}
		if tried.Load() != 1 {
			t.Errorf("tried %d times at once", tried.Load())
		}
		time.Sleep(reproach + 1)
		_, _ = ask(t.Context(), u, question)
		if tried.Load() != 2 {
			t.Errorf("tried %d times in all", tried.Load())
		}
		// An answer is no reason to wait, whatever it says.
		time.Sleep(reproach + 1)
		for range 2 {
			_, _ = ask(t.Context(), u, func(context.Context) (int, error) {
				tried.Add(1)
				return 0, &transport.Error{StatusCode: 404}
			})
		}
		if tried.Load() != 4 {
			t.Errorf("tried %d times in all", tried.Load())
		}
		// Nor is a client that left.
		ctx, cancel := context.WithCancel(t.Context())
		cancel()
		_, _ = ask(ctx, u, question)
		if _, err := ask(t.Context(), u, func(context.Context) (int, error) { return 7, nil }); err != nil {
			t.Error(err)
		}
	})
}

func TestSilentUpstreamIsGivenUp(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		begin := time.Now()
		_, err := ask(t.Context(), &upstream{host: "registry.example"}, func(ctx context.Context) (int, error) {
			<-ctx.Done()
			return 0, ctx.Err()
		})
		if err == nil || !strings.Contains(err.Error(), "cannot reach registry.example (it does not answer)") {
			t.Error(err)
		}
		if d := time.Since(begin); d != askTimeout {
			t.Errorf("gave up after %s", d)
		}
	})
}

func TestExplain(t *testing.T) {
	u := &upstream{host: "docker.io"}
	for _, tc := range []struct {
		err  error
		want wireError
	}{
		{&transport.Error{StatusCode: 404}, wireError{404, "MANIFEST_UNKNOWN", "docker.io has no such image"}},
		{&transport.Error{StatusCode: 401}, wireError{403, "DENIED", "docker.io refuses: the image does not exist, or is private"}},
		{&transport.Error{StatusCode: 403}, wireError{403, "DENIED", "docker.io refuses: the image does not exist, or is private"}},
		{&transport.Error{StatusCode: 429}, wireError{403, "TOOMANYREQUESTS", "docker.io limits how often this machine may pull"}},
		{&transport.Error{StatusCode: 502}, wireError{403, "UNAVAILABLE", "docker.io answered 502 Bad Gateway"}},
		{fmt.Errorf("get: %w", errors.New("x509: unknown authority")), wireError{403, "UNAVAILABLE", "this machine cannot reach docker.io (x509: unknown authority)"}},
	} {
		var got *wireError
		if !errors.As(u.explain(tc.err), &got) {
			t.Fatalf("%v: no wire error", tc.err)
		}
		if got.status != tc.want.status || got.code != tc.want.code || !strings.HasPrefix(got.message, tc.want.message) {
			t.Errorf("%v: %+v", tc.err, got)
		}
	}
}

// TestNodesPullAtTheSameTime: one download, every node gets the bytes.
func TestNodesPullAtTheSameTime(t *testing.T) {
	w := newWorld(t, open(t, Config{}))
	img := w.publish("team/app:1")
	endpoint := listen(t, open(t, Config{Transport: w}))
	var wg sync.WaitGroup
	for range 8 {
		wg.Go(func() {
			got, err := pull(context.Background(), endpoint, "registry.example/team/app:1")
			if err != nil || got != must(img.Digest()).String() {
				t.Errorf("%s, %v", got, err)
			}
		})
	}
	wg.Wait()
	if got := strings.Count(w.requests(), "GET /v2/team/app/blobs/"); got != 3 {
		t.Errorf("%d blobs were downloaded, the image has 3", got)
	}
}

// TestDamagedBlobIsNotCached: the client sees a broken transfer, and the next
// one gets what is right.
func TestDamagedBlobIsNotCached(t *testing.T) {
	const content = "the right content of this blob"
	var damage atomic.Bool
	damage.Store(true)
	w := newWorld(t, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/v2/" {
			return
		}
		body := content
		if damage.Load() {
			body = strings.ToUpper(content)
		}
		w.Header().Set("Content-Length", fmt.Sprint(len(body)))
		if r.Method == http.MethodGet {
			_, _ = io.WriteString(w, body)
		}
	}))
	endpoint := listen(t, open(t, Config{Transport: w}))
	get := func() (string, error) {
		resp, err := http.Get("http://" + endpoint + "/v2/x/blobs/" + digestOf(content) + "?ns=registry.example")
		if err != nil {
			return "", err
		}
		defer resp.Body.Close()
		b, err := io.ReadAll(resp.Body)
		return string(b), err
	}
	if got, err := get(); err == nil {
		t.Errorf("a damaged blob was served whole: %q", got)
	}
	damage.Store(false)
	for range 2 {
		if got, err := get(); err != nil || got != content {
			t.Errorf("%q, %v", got, err)
		}
	}
	if a := w.requests(); strings.Count(a, "GET ") != 2 {
		t.Errorf("asked upstream:\n%s", a)
	}
}

func TestHeadOfABlobDoesNotFetchIt(t *testing.T) {
	w := newWorld(t, open(t, Config{}))
	img := w.publish("team/app:1")
	layer := must(img.Layers())[0]
	r := open(t, Config{Transport: w})
	resp, _ := do(t, r, "HEAD", "/v2/team/app/blobs/"+must(layer.Digest()).String()+"?ns=registry.example", "")
	if resp.StatusCode != 200 || resp.ContentLength != must(layer.Size()) {
		t.Errorf("%s, %d bytes", resp.Status, resp.ContentLength)
	}
	if a := w.requests(); strings.Contains(a, "GET ") {
		t.Errorf("asked upstream:\n%s", a)
	}
}
