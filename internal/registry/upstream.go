package registry

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"strconv"
	"sync"
	"time"

	"github.com/google/go-containerregistry/pkg/name"
	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/remote"
	"github.com/google/go-containerregistry/pkg/v1/remote/transport"
	"github.com/opencontainers/go-digest"
)

const (
	// askTimeout bounds a question to an upstream registry (a manifest, or
	// whether there is a blob), authentication included.
	askTimeout = 15 * time.Second
	// reproach is how long an upstream that could not be reached is not
	// tried again. It spares the second of containerd's two requests the
	// wait, and is over before kubelet's next attempt.
	reproach = 3 * time.Second
)

// newTransport is http.DefaultTransport with less patience: a kubelet waits at
// the other end, and without a network the answer is to come soon.
func newTransport() *http.Transport {
	t := http.DefaultTransport.(*http.Transport).Clone()
	t.DialContext = (&net.Dialer{Timeout: 3 * time.Second, KeepAlive: 30 * time.Second}).DialContext
	t.TLSHandshakeTimeout = 5 * time.Second
	t.ResponseHeaderTimeout = 10 * time.Second
	return t
}

// upstream pulls images of one public registry through into a cache of their
// own. Blobs and manifests, which digests name, are asked for once; a tag is
// looked up at every pull, and the cached image serves when that fails.
//
// The distribution library has a proxy mode too; it needs the network to start,
// dials without a bound of its own, and so cannot serve the cache offline.
type upstream struct {
	host   string
	store  *store
	puller *remote.Puller
	logger *slog.Logger

	mu       sync.Mutex
	failure  error                           // why the host was not reached, guarded by mu
	failedAt time.Time                       // guarded by mu
	fetching map[digest.Digest]chan struct{} // closed when done, guarded by mu
}

func newUpstream(host string, s *store, rt http.RoundTripper, logger *slog.Logger) (*upstream, error) {
	puller, err := remote.NewPuller(
		remote.WithTransport(rt),
		remote.WithRetryBackoff(remote.Backoff{Steps: 1}), // containerd and kubelet retry
		remote.WithUserAgent("tarn"),
	)
	if err != nil {
		return nil, err
	}
	return &upstream{host: host, store: s, puller: puller, logger: logger, fetching: map[digest.Digest]chan struct{}{}}, nil
}

// serve answers a GET or HEAD for a manifest or a blob of the upstream.
func (u *upstream) serve(w http.ResponseWriter, r *http.Request, t target) {
	var err error
	switch t.kind {
	case "manifests":
		t.ref, err = u.findManifest(r.Context(), t)
	case "blobs":
		var served bool
		if served, err = u.serveBlob(w, r, t); served {
			return
		}
	default:
		err = &wireError{http.StatusNotFound, "UNSUPPORTED", fmt.Sprintf("%s is pulled through: only its manifests and blobs are served", u.host)}
	}
	if err != nil {
		var we *wireError
		if !errors.As(err, &we) {
			we = &wireError{http.StatusInternalServerError, "UNKNOWN", err.Error()}
		}
		u.logger.Info("image not pulled through", "registry", u.host, "repository", t.repository, "reference", t.ref, "error", err)
		writeError(w, we)
		return
	}
	u.store.app.ServeHTTP(w, withPath(r, t.path()))
}

// findManifest makes sure that the manifest is in the cache and returns its
// digest.
func (u *upstream) findManifest(ctx context.Context, t target) (string, error) {
	if dgst, err := digest.Parse(t.ref); err == nil {
		_, raw, err := u.store.manifest(ctx, t.repository, t.ref)
		if err != nil || raw != nil {
			return t.ref, err
		}
		return u.fetchManifest(ctx, t.repository, "", u.repository(t).Digest(dgst.String()))
	}
	tag := u.repository(t).Tag(t.ref)
	cached, _, err := u.store.manifest(ctx, t.repository, t.ref)
	if err != nil {
		return "", err
	}
	// HEAD does not count against Docker Hub's limit of pulls.
	dgst, err := ask(ctx, u, func(ctx context.Context) (string, error) {
		desc, err := u.puller.Head(ctx, tag)
		if err != nil {
			return "", err
		}
		return desc.Digest.String(), nil
	})
	var we *wireError
	switch {
	case err == nil && dgst == cached.String():
		return dgst, nil
	case cached != "" && errors.As(err, &we) && we.code != "MANIFEST_UNKNOWN":
		u.logger.Warn("serving a cached image, its registry does not answer", "image", tag.Name(), "error", err)
		return cached.String(), nil
	case err != nil:
		return "", err
	}
	return u.fetchManifest(ctx, t.repository, t.ref, tag)
}

// fetchManifest asks the upstream for a manifest and stores it.
func (u *upstream) fetchManifest(ctx context.Context, repository, tag string, ref name.Reference) (string, error) {
	desc, err := ask(ctx, u, func(ctx context.Context) (*remote.Descriptor, error) { return u.puller.Get(ctx, ref) })
	if err != nil {
		return "", err
	}
	dgst, err := u.store.putManifest(ctx, repository, tag, string(desc.MediaType), desc.Manifest, false)
	return dgst.String(), err
}

// serveBlob streams a blob from the upstream to the client and into the cache
// at once. It reports false, nil when the blob is in the cache already.
func (u *upstream) serveBlob(w http.ResponseWriter, r *http.Request, t target) (served bool, err error) {
	ctx := r.Context()
	dgst, err := digest.Parse(t.ref)
	if err != nil {
		return false, &wireError{http.StatusBadRequest, "DIGEST_INVALID", fmt.Sprintf("%q is not a digest", t.ref)}
	}
	// Nodes pull the same image at the same time: the first fetches it, and
	// the others wait for the cache.
	done, err := u.begin(ctx, dgst)
	if err != nil {
		return true, nil // the client left
	}
	defer done()
	if have, err := u.store.hasBlob(ctx, t.repository, dgst); have || err != nil {
		return false, err
	}

	type blob struct {
		v1.Layer
		size int64
	}
	b, err := ask(ctx, u, func(context.Context) (blob, error) {
		// The layer keeps the context for its reads, which may take longer
		// than a question; until they begin, the transport bounds the wait.
		layer, err := u.puller.Layer(ctx, u.repository(t).Digest(dgst.String()))
		if err != nil {
			return blob{}, err
		}
		size, err := layer.Size()
		return blob{layer, size}, err
	})
	if err != nil {
		return false, err
	}
	w.Header().Set("Content-Type", "application/octet-stream")
	w.Header().Set("Content-Length", strconv.FormatInt(b.size, 10))
	w.Header().Set("Docker-Content-Digest", dgst.String())
	if r.Method == http.MethodHead {
		return true, nil
	}
	rc, err := b.Compressed()
	if err != nil {
		w.Header().Del("Content-Length")
		return false, u.explain(err)
	}
	defer rc.Close()
	if err := u.store.putBlob(ctx, t.repository, dgst, rc, w); err != nil {
		u.logger.Warn("an image's layer was cut short", "registry", u.host, "repository", t.repository, "error", err)
		panic(http.ErrAbortHandler) // the status is out; only a broken connection says that this is not all
	}
	return true, nil
}

// begin waits until no other request fetches the blob.
func (u *upstream) begin(ctx context.Context, dgst digest.Digest) (done func(), err error) {
	for {
		u.mu.Lock()
		other, busy := u.fetching[dgst]
		if !busy {
			mine := make(chan struct{})
			u.fetching[dgst] = mine
			u.mu.Unlock()
			return func() {
				u.mu.Lock()
				delete(u.fetching, dgst)
				u.mu.Unlock()
				close(mine)
			}, nil
		}
		u.mu.Unlock()
		select {
		case <-other:
		case <-ctx.Done():
			return nil, ctx.Err()
		}
	}
}

// ask puts a question to the upstream, in bounded time, unless it was found
// unreachable a moment ago. Its errors are *wireError.
func ask[T any](ctx context.Context, u *upstream, question func(context.Context) (T, error)) (T, error) {
	u.mu.Lock()
	failure := u.failure
	if time.Since(u.failedAt) > reproach {
		failure = nil
	}
	u.mu.Unlock()
	var zero T
	if failure != nil {
		return zero, failure
	}
	askCtx, cancel := context.WithTimeout(ctx, askTimeout)
	defer cancel()
	answer, err := question(askCtx)
	if err == nil {
		return answer, nil
	}
	failure = u.explain(err)
	if ctx.Err() == nil && !answered(err) {
		u.mu.Lock()
		u.failure, u.failedAt = failure, time.Now()
		u.mu.Unlock()
	}
	return zero, failure
}

// answered says whether err is an upstream's answer.
func answered(err error) bool {
	var te *transport.Error
	return errors.As(err, &te)
}

// explain turns an error of the upstream into what the client is told; see
// wireError about the statuses.
func (u *upstream) explain(err error) error {
	var te *transport.Error
	if !errors.As(err, &te) {
		return &wireError{http.StatusForbidden, "UNAVAILABLE", fmt.Sprintf(
			"this machine cannot reach %s (%v); `tarn image load FILE.tar` supplies an image without a network", u.host, rootCause(err))}
	}
	switch te.StatusCode {
	case http.StatusNotFound:
		return &wireError{http.StatusNotFound, "MANIFEST_UNKNOWN", u.host + " has no such image"}
	case http.StatusUnauthorized, http.StatusForbidden:
		return &wireError{http.StatusForbidden, "DENIED", fmt.Sprintf(
			"%s refuses: the image does not exist, or is private (the region pulls without credentials; `tarn image load FILE.tar` supplies it)", u.host)}
	case http.StatusTooManyRequests:
		return &wireError{http.StatusForbidden, "TOOMANYREQUESTS", fmt.Sprintf(
			"%s limits how often this machine may pull; try later, or supply the image with `tarn image load FILE.tar`", u.host)}
	}
	return &wireError{http.StatusForbidden, "UNAVAILABLE", fmt.Sprintf("%s answered %d %s", u.host, te.StatusCode, http.StatusText(te.StatusCode))}
}

// rootCause is the part of a network error that says what went wrong, without
// the addresses and retries around it.
func rootCause(err error) error {
	if errors.Is(err, context.DeadlineExceeded) {
		return errors.New("it does not answer")
	}
	var dns *net.DNSError
	if errors.As(err, &dns) {
		return fmt.Errorf("lookup %s: %s", dns.Name, dns.Err)
	}
	var op *net.OpError
	if errors.As(err, &op) {
		return op
	}
	for {
		next := errors.Unwrap(err)
		if next == nil {
			return err
		}
		err = next
	}
}

func (u *upstream) repository(t target) name.Repository {
	// Both halves passed a stricter grammar than this one.
	repo, err := name.NewRepository(u.host+"/"+t.repository, name.StrictValidation)
	if err != nil {
		return name.Repository{}
	}
	return repo
}
