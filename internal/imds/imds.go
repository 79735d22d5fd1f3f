// Package imds is EC2's Instance Metadata Service: what an instance, and every pod on it, finds at
// http://169.254.169.254. It knows an instance by the request's source address and answers from an
// [Instance], a plain value; it never reads the store, keeps no sessions and issues no credentials
// of its own.
//
// Paths, headers and error bodies are those of AWS:
// https://docs.aws.amazon.com/AWSEC2/latest/UserGuide/configuring-instance-metadata-service.html
package imds

import (
	"context"
	"crypto/rand"
	"errors"
	"log/slog"
	"net/http"
	"net/netip"
	"slices"
	"strconv"
	"strings"
	"time"
)

const (
	tokenPath   = "/latest/api/token"
	tokenHeader = "X-Aws-Ec2-Metadata-Token"
	ttlHeader   = "X-Aws-Ec2-Metadata-Token-Ttl-Seconds"

	maxTokenSeconds = 21600 // six hours
)

// Config is what a [Handler] needs.
type Config struct {
	// Lookup returns the instance that an address belongs to: any address of any of its network
	// interfaces, so that a pod's request finds its node. It is called for every request and must be
	// safe for concurrent use. Required.
	Lookup func(netip.Addr) (Instance, bool)

	// Credentials returns the current credentials of the instance's role. It is called only for
	// instances that have an [InstanceProfile], each time a client asks, and rotates them in good
	// time. Without it iam/ does not exist, as on an instance without a profile.
	Credentials func(context.Context, Instance) (Credentials, error)

	Logger *slog.Logger     // slog.Default() when nil
	Now    func() time.Time // time.Now when nil
}

// Handler is the metadata service as an [http.Handler]. Use [Handler.Serve] where it can be had:
// only there do responses carry the instance's hop limit.
type Handler struct {
	cfg Config
	key tokenKey
}

// New returns a Handler. Tokens are bound to it: another Handler does not accept them, and clients
// that get its 401 ask for a new token, as the SDKs do.
func New(cfg Config) *Handler {
	if cfg.Logger == nil {
		cfg.Logger = slog.Default()
	}
	if cfg.Now == nil {
		cfg.Now = time.Now
	}
	h := &Handler{cfg: cfg}
	rand.Read(h.key[:]) // never fails: it ends the process instead
	return h
}

func (h *Handler) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	h.answer(r).write(w)
}

// answer decides the whole response; its only effect is the hop limit of a token's connection.
func (h *Handler) answer(r *http.Request) response {
	from, err := netip.ParseAddrPort(r.RemoteAddr)
	if err != nil {
		h.cfg.Logger.Error("metadata request without a source address", "remote", r.RemoteAddr)
		return page(http.StatusForbidden)
	}
	inst, ok := h.cfg.Lookup(from.Addr().Unmap())
	if !ok {
		h.cfg.Logger.Debug("metadata request from an address of no instance", "from", from.Addr())
		return page(http.StatusForbidden)
	}
	if inst.Options.HTTPEndpoint == Disabled {
		return page(http.StatusForbidden)
	}

	allowed := "OPTIONS, GET, HEAD"
	if r.URL.Path == tokenPath {
		allowed = "OPTIONS, PUT"
	}
	switch {
	case r.Method == http.MethodPut:
		return h.issueToken(r, inst)
	case r.Method == http.MethodOptions:
		return response{status: http.StatusOK, allow: allowed}
	case r.URL.Path == tokenPath, r.Method != http.MethodGet && r.Method != http.MethodHead:
		return response{status: http.StatusMethodNotAllowed, allow: allowed}
	}

	var res response
	if token := r.Header.Get(tokenHeader); token != "" {
		left, ok := h.key.remaining(token, inst.ID, h.cfg.Now())
		if !ok {
			return response{status: http.StatusUnauthorized}
		}
		res.tokenSeconds = seconds(left)
	} else if inst.Options.HTTPTokens != Optional {
		return response{status: http.StatusUnauthorized}
	}

	res.document, err = h.find(r.Context(), inst, r.URL.Path)
	switch {
	case errors.Is(err, errNotFound):
		return page(http.StatusNotFound)
	case err != nil:
		h.cfg.Logger.Error("instance metadata", "instance", inst.ID, "path", r.URL.Path, "err", err)
		return page(http.StatusInternalServerError)
	}
	if res.modified.IsZero() {
		res.modified = inst.PendingTime
	}
	res.status = http.StatusOK
	return res
}

// issueToken answers PUT. Only the one path works, exactly so written; a request that came through
// a proxy gets no token.
func (h *Handler) issueToken(r *http.Request, inst Instance) response {
	if err := setHopLimit(r.Context(), inst.Options.hopLimit()); err != nil {
		h.cfg.Logger.Error("instance metadata: hop limit of a token", "instance", inst.ID, "err", err)
		return page(http.StatusInternalServerError)
	}
	if r.URL.Path != tokenPath || len(r.Header.Values("X-Forwarded-For")) > 0 {
		return response{status: http.StatusForbidden}
	}
	ttl, err := strconv.Atoi(r.Header.Get(ttlHeader))
	if err != nil || ttl < 1 || ttl > maxTokenSeconds {
		return page(http.StatusBadRequest)
	}
	token := h.key.mint(inst.ID, h.cfg.Now().Add(time.Duration(ttl)*time.Second))
	return response{
		status:       http.StatusOK,
		document:     document{body: []byte(token)},
		tokenSeconds: strconv.Itoa(ttl),
	}
}

// seconds rounds up: a token that still works has at least one second left.
func seconds(d time.Duration) string {
	return strconv.FormatInt(int64((d+time.Second-1)/time.Second), 10)
}

// find looks the path up: "/", "/<version>", "/<version>/<category>/...". A directory is found with
// and without its trailing slash.
func (h *Handler) find(ctx context.Context, inst Instance, path string) (document, error) {
	version, below, _ := strings.Cut(strings.Trim(path, "/"), "/")
	if version == "" {
		return list(slices.Concat(versions, []string{"latest"})), nil
	}
	if !known(version) {
		return document{}, errNotFound
	}
	return h.tree(inst).get(ctx, below)
}
