// Package registry is the region's container registry. To nodes it is every
// registry there is: Amazon ECR of any account and region, which is the
// region's own storage, and the public registries, which it pulls through. To
// the host it is a registry on loopback to push to.
//
// Storage and protocol are those of the distribution library, the reference
// implementation. Of ECR there is what its registry says and does: passwords
// that expire, tags that stay. Its API and its records do not belong here, nor
// does anything that runs an image.
package registry

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"time"

	"github.com/distribution/reference"
	"github.com/opencontainers/go-digest"
)

// Config is what New needs.
type Config struct {
	// Dir holds images, the cache of public registries (below cache/), and
	// the registry's secret. It is made when it is not there.
	Dir string
	// Account is the account that messages name when a client did not,
	// twelve digits.
	Account string
	// Logger takes the registry's log and, through it, the library's; nil
	// for none.
	Logger *slog.Logger
	// Transport carries requests to public registries; nil for the network,
	// by the proxy that the environment names.
	Transport http.RoundTripper
	// CollectAfter is how long after a deletion the space is freed; 0 is ten
	// seconds.
	CollectAfter time.Duration
	// PushQuiet is the longest that a client may be silent in the middle of a
	// push, and still find the layers that it has sent; 0 is ten minutes.
	PushQuiet time.Duration
}

// Registry is an http.Handler that speaks the OCI distribution protocol.
type Registry struct {
	dir, account, secret string
	logger               *slog.Logger
	transport            http.RoundTripper
	own                  *store
	records              Repositories

	ctx        context.Context // ends with Close
	cancel     context.CancelFunc
	background sync.WaitGroup

	traffic      *traffic
	changing     sync.Mutex    // held by who changes tags or manifests
	freed        chan struct{} // tells the collector
	collectAfter time.Duration

	mu        sync.Mutex
	upstreams map[string]*upstream // by host, opened when first asked for; guarded by mu
	brought   map[string]bool      // repositories of images that came with Tarn; guarded by mu
}

// New opens the registry in cfg.Dir. Close it when no request is in flight.
func New(cfg Config) (*Registry, error) {
	if cfg.Logger == nil {
		cfg.Logger = slog.New(slog.DiscardHandler)
	}
	bridgeLogs(cfg.Logger)
	r := &Registry{
		dir: cfg.Dir, account: cfg.Account, logger: cfg.Logger, transport: cfg.Transport,
		upstreams: map[string]*upstream{}, brought: map[string]bool{},
		records: everything{}, freed: make(chan struct{}, 1),
		traffic:      newTraffic(cmp.Or(cfg.PushQuiet, pushQuiet)),
		collectAfter: cmp.Or(cfg.CollectAfter, collectAfter),
	}
	if r.account == "" {
		r.account = "000000000000"
	}
	if r.transport == nil {
		r.transport = newTransport()
	}
	r.ctx, r.cancel = context.WithCancel(context.Background())
	if err := r.open(); err != nil {
		r.cancel()
		return nil, fmt.Errorf("opening the registry in %s: %w", cfg.Dir, err)
	}
	r.background.Go(r.purge)
	r.background.Go(func() { r.collector(cmp.Or(cfg.PushQuiet, pushQuiet)) })
	return r, nil
}

func (r *Registry) open() (err error) {
	if err := os.MkdirAll(r.dir, 0o700); err != nil {
		return err
	}
	if r.secret, err = readSecret(r.dir); err != nil {
		return err
	}
	r.own, err = openStore(r.ctx, r.dir, r.secret)
	return err
}

// Close stops what runs in the background and waits for it. It may be called
// twice.
func (r *Registry) Close() error {
	r.cancel()
	r.background.Wait()
	if t, ok := r.transport.(*http.Transport); ok {
		t.CloseIdleConnections()
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	errs := []error{r.own.close()}
	for _, u := range r.upstreams {
		errs = append(errs, u.store.close())
	}
	return errors.Join(errs...)
}

// ServeHTTP implements http.Handler.
func (r *Registry) ServeHTTP(w http.ResponseWriter, req *http.Request) {
	if strings.HasPrefix(req.URL.Path, layersPath) {
		r.serveLayer(w, req)
		return
	}
	ns := req.URL.Query().Get("ns")
	o, err := originOf(req.Host, ns)
	if err != nil {
		writeError(w, &wireError{http.StatusBadRequest, "NAME_INVALID", err.Error()})
		return
	}
	if o.host == "" && !r.authenticate(w, req) {
		return // what a client has for other registries is not ours to judge
	}
	t, ok := parsePath(req.URL.Path)
	if o.host == "" || !ok || t.repository == "" {
		// The library answers what is no path of the protocol.
		r.serveOwn(w, req, t, o)
		return
	}
	if req.Method != http.MethodGet && req.Method != http.MethodHead {
		writeError(w, &wireError{http.StatusMethodNotAllowed, "UNSUPPORTED", fmt.Sprintf(
			"%s is pulled through, not pushed to: push to an ECR name, or use `tarn image load FILE.tar`", o.host)})
		return
	}

	loaded := target{ownName(o.host, t.repository), t.kind, t.ref}
	if found, err := r.isLoaded(req.Context(), loaded); err != nil {
		r.fail(w, err)
		return
	} else if found || isHere(o.host) {
		r.serveOwn(w, withPath(req, loaded.path()), loaded, o)
		return
	}
	u, err := r.upstream(o.host)
	if err != nil {
		r.fail(w, err)
		return
	}
	u.serve(w, req, t)
}

// serveOwn lets the distribution library answer from the region's own images,
// once the request may go on.
func (r *Registry) serveOwn(w http.ResponseWriter, req *http.Request, t target, o origin) {
	m := missing{repository: t.repository, account: o.account}
	if m.account == "" {
		m.account = r.account
	}
	m.exists = func() bool {
		return r.own.hasRepository(req.Context(), t.repository) || r.isKnown(req.Context(), t.repository)
	}
	if t.kind == "tags" && !r.own.hasTags(req.Context(), t.repository) {
		if m.exists() {
			writeNoTags(w, t.repository)
		} else {
			writeError(w, m.error())
		}
		return
	}
	end, err := r.admit(req, t)
	if err != nil {
		r.fail(w, err)
		return
	}
	defer end()
	if req.Method == http.MethodDelete && t.kind == "manifests" {
		defer r.Collect()
	}
	rw := &rewriter{ResponseWriter: w}
	r.own.app.ServeHTTP(rw, req)
	rw.finish(inECRsWords(m, r.dir))
}

// isLoaded says whether the region's own images include what t names.
func (r *Registry) isLoaded(ctx context.Context, t target) (bool, error) {
	if len(t.repository) > reference.RepositoryNameTotalLengthMax {
		return false, nil // the registry's name makes it longer than what can be loaded
	}
	switch t.kind {
	case "manifests":
		_, raw, err := r.own.manifest(ctx, t.repository, t.ref)
		return raw != nil, err
	case "blobs":
		dgst, err := digest.Parse(t.ref)
		if err != nil {
			return false, nil // refused further on
		}
		return r.own.hasBlob(ctx, t.repository, dgst)
	}
	return false, nil
}

func (r *Registry) fail(w http.ResponseWriter, err error) {
	if we, ok := errors.AsType[*wireError](err); ok {
		writeError(w, we)
		return
	}
	r.logger.Error("registry request failed", "error", err)
	writeError(w, &wireError{http.StatusInternalServerError, "UNKNOWN", err.Error()})
}

// upstream returns the cache of the registry host.
func (r *Registry) upstream(host string) (*upstream, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if u, ok := r.upstreams[host]; ok {
		return u, nil
	}
	s, err := openStore(r.ctx, filepath.Join(r.dir, "cache", strings.ReplaceAll(host, ":", "_")), r.secret)
	if err != nil {
		return nil, err
	}
	u, err := newUpstream(host, s, r.transport, r.logger)
	if err != nil {
		return nil, err
	}
	r.upstreams[host] = u
	return u, nil
}

// purge discards old uploads at the start and every hour.
func (r *Registry) purge() {
	tick := time.NewTicker(time.Hour)
	defer tick.Stop()
	for {
		r.mu.Lock()
		stores := []*store{r.own}
		for _, u := range r.upstreams {
			stores = append(stores, u.store)
		}
		r.mu.Unlock()
		for _, s := range stores {
			if err := s.purgeUploads(r.ctx, time.Now()); err != nil && r.ctx.Err() == nil {
				r.logger.Warn("old uploads were not all removed", "dir", s.dir, "error", err)
			}
		}
		select {
		case <-tick.C:
			r.Collect() // pushes that were given up left layers
		case <-r.ctx.Done():
			return
		}
	}
}

// withPath is the request for another path.
func withPath(req *http.Request, path string) *http.Request {
	req = req.Clone(req.Context())
	req.URL.Path, req.URL.RawPath = path, ""
	return req
}
