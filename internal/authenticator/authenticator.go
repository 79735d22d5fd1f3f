// Package authenticator is what EKS runs beside each API server: the webhooks
// that turn a presigned GetCallerIdentity (`aws eks get-token`) into a Kubernetes
// user, that authorize by access policies, and that give pods their AWS roles and
// the region's endpoint. It decides in pure functions from what its Config tells;
// it imports no AWS service and talks to no API server itself.
//
// Counterparts: https://github.com/kubernetes-sigs/aws-iam-authenticator and
// https://github.com/aws/amazon-eks-pod-identity-webhook.
package authenticator

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"

	"k8s.io/apimachinery/pkg/runtime/schema"

	"github.com/tarn-eks/tarn/internal/policy"
)

// Paths of the webhooks.
const (
	TokenPath  = "/authenticate"
	AccessPath = "/authorize"
	PodPath    = "/mutate"
)

// Signer is who signed a request.
type Signer struct {
	Principal   policy.Principal
	AccessKeyID string
}

// Config is what the webhooks of one cluster need. All but Logger is required;
// the functions are called for each review and must be safe for concurrent use.
type Config struct {
	Cluster string // its name, which tokens are signed for
	Region  string
	// Endpoint is the region's own URL as pods reach it, http://192.168.0.2:4566.
	Endpoint string
	// Hosts are the host:port by which clients call the region's endpoint
	// (127.0.0.1:4566, localhost:4566, the one in the VPC): presigned URLs may name
	// them besides AWS's own hosts of STS.
	Hosts []string

	// Verify checks the signature of a request to STS and says who made it.
	Verify func(context.Context, *http.Request) (Signer, error)
	// Access returns who may enter the cluster, by EKS's API.
	Access func(context.Context) (Access, error)
	// AWSAuth returns the data of the ConfigMap kube-system/aws-auth; nil if there
	// is none.
	AWSAuth func(context.Context) (map[string]string, error)
	// PrivateDNSName returns an instance's private DNS name, its node's name.
	PrivateDNSName func(ctx context.Context, instanceID string) (string, error)
	// ServiceAccount returns the annotations of a service account, or the error that
	// the API server gave.
	ServiceAccount func(ctx context.Context, namespace, name string) (map[string]string, error)

	Logger *slog.Logger // slog.Default() when nil
}

// Handler serves the webhooks of one cluster.
type Handler struct {
	cfg Config
	mux *http.ServeMux
}

// New returns a Handler.
func New(cfg Config) *Handler {
	if cfg.Logger == nil {
		cfg.Logger = slog.Default()
	}
	cfg.Logger = cfg.Logger.With("cluster", cfg.Cluster)
	h := &Handler{cfg: cfg, mux: http.NewServeMux()}
	h.mux.Handle("POST "+TokenPath, review(h, tokenReview, h.reviewToken))
	h.mux.Handle("POST "+AccessPath, review(h, accessReview, h.reviewAccess))
	h.mux.Handle("POST "+PodPath, review(h, admissionReview, h.reviewPod))
	return h
}

func (h *Handler) ServeHTTP(w http.ResponseWriter, r *http.Request) { h.mux.ServeHTTP(w, r) }

// The kinds of reviews, in the only version that the API server has to be
// configured for.
var (
	tokenReview     = schema.GroupVersionKind{Group: "authentication.k8s.io", Version: "v1", Kind: "TokenReview"}
	accessReview    = schema.GroupVersionKind{Group: "authorization.k8s.io", Version: "v1", Kind: "SubjectAccessReview"}
	admissionReview = schema.GroupVersionKind{Group: "admission.k8s.io", Version: "v1", Kind: "AdmissionReview"}
)

// maxReview is the largest review in bytes: an object of etcd's limit, twice (the
// old and the new), and its envelope.
const maxReview = 4 << 20

// review is the handler of one kind of review: an object in JSON that comes back
// with its answer filled in. answer's error is a fault of the request.
func review[T any](h *Handler, kind schema.GroupVersionKind, answer func(context.Context, *T) error) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		fail := func(status int, err error) {
			h.cfg.Logger.Warn("webhook request refused", "path", r.URL.Path, "err", err)
			http.Error(w, err.Error(), status)
		}
		body, err := io.ReadAll(http.MaxBytesReader(w, r.Body, maxReview))
		if tooLarge := (*http.MaxBytesError)(nil); errors.As(err, &tooLarge) {
			fail(http.StatusRequestEntityTooLarge, err)
			return
		}
		if err != nil {
			fail(http.StatusBadRequest, fmt.Errorf("reading a %s: %w", kind.Kind, err))
			return
		}
		var t struct{ APIVersion, Kind string }
		if err := json.Unmarshal(body, &t); err != nil {
			fail(http.StatusBadRequest, fmt.Errorf("decoding a %s: %w", kind.Kind, err))
			return
		}
		if got := schema.FromAPIVersionAndKind(t.APIVersion, t.Kind); got != kind {
			fail(http.StatusBadRequest, fmt.Errorf("expected %s %s, not %s %s: configure the API server's webhook for version %s",
				kind.GroupVersion(), kind.Kind, got.GroupVersion(), got.Kind, kind.Version))
			return
		}
		object := new(T)
		if err := json.Unmarshal(body, object); err != nil {
			fail(http.StatusBadRequest, fmt.Errorf("decoding a %s: %w", kind.Kind, err))
			return
		}
		if err := answer(r.Context(), object); err != nil {
			fail(http.StatusBadRequest, err)
			return
		}
		out, err := json.Marshal(object)
		if err != nil {
			fail(http.StatusInternalServerError, fmt.Errorf("encoding a %s: %w", kind.Kind, err))
			return
		}
		w.Header().Set("Content-Type", "application/json")
		_, _ = w.Write(out) // nobody is left to tell
	})
}
