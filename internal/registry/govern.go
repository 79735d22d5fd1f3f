package registry

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"net/http"

	"github.com/opencontainers/go-digest"
)

// Repositories is who keeps the records of the region's own repositories.
type Repositories interface {
	// Known says whether there is a record, so that a repository without an
	// image exists.
	Known(ctx context.Context, repository string) (bool, error)
	// Pushing is called before an image is stored, which makes the repository
	// if need be, and says whether its tags, once given, stay.
	Pushing(ctx context.Context, repository string) (immutable bool, err error)
}

// everything lets all pushes in; it is what there is without Govern.
type everything struct{}

func (everything) Known(context.Context, string) (bool, error)   { return false, nil }
func (everything) Pushing(context.Context, string) (bool, error) { return false, nil }

// Govern sets who keeps the records; to be called before requests are served.
func (r *Registry) Govern(records Repositories) { r.records = records }

// isKnown says whether there is a record. It serves wording only, so that an
// error is a no.
func (r *Registry) isKnown(ctx context.Context, repository string) bool {
	known, err := r.records.Known(ctx, repository)
	if err != nil {
		r.logger.Warn("looking for the record of a repository", "repository", repository, "error", err)
	}
	return err == nil && known
}

// writeNoTags answers for a repository to which nothing was pushed yet.
func writeNoTags(w http.ResponseWriter, repository string) {
	w.Header().Set("Content-Type", "application/json")
	_, _ = fmt.Fprintf(w, `{"name":%q,"tags":[]}`, repository) // a client that left gets nothing
}

// maxManifest is how long a manifest may be, in bytes: the library's own limit.
const maxManifest = 4 << 20

// admit waits until the request may be served by the library; end must be
// called after it was.
func (r *Registry) admit(req *http.Request, t target) (end func(), err error) {
	var ends []func()
	end = func() {
		for i := len(ends) - 1; i >= 0; i-- {
			ends[i]()
		}
	}
	push, step := t.ofPush(req)
	if push {
		ends = append(ends, r.traffic.push(t.repository))
	}
	if t.kind == "manifests" && req.Method == http.MethodPut {
		// Read before anybody is held up; what is too long is for the library
		// to refuse.
		start, err := io.ReadAll(io.LimitReader(req.Body, maxManifest+1))
		if err != nil {
			end()
			return nil, &wireError{http.StatusBadRequest, "MANIFEST_INVALID", fmt.Sprintf("reading the manifest: %v", err)}
		}
		req.Body = readCloser{io.MultiReader(bytes.NewReader(start), req.Body), req.Body}
	}
	if step {
		done, err := r.traffic.step(req.Context())
		if err != nil {
			end()
			return nil, err
		}
		ends = append(ends, done)
	}
	if t.kind == "manifests" && step {
		r.changing.Lock()
		ends = append(ends, r.changing.Unlock)
	}
	if t.kind == "manifests" && req.Method == http.MethodPut {
		if err := r.mayTag(req.Context(), t); err != nil {
			end()
			return nil, err
		}
	}
	return end, nil
}

type readCloser struct {
	io.Reader
	io.Closer
}

// mayTag asks who keeps the records whether an image may be stored. The caller
// holds changing.
func (r *Registry) mayTag(ctx context.Context, t target) error {
	immutable, err := r.records.Pushing(ctx, t.repository)
	if err != nil {
		return fmt.Errorf("recording the repository %s: %w", t.repository, err)
	}
	if _, err := digest.Parse(t.ref); err == nil || !immutable {
		return nil
	}
	_, taken, err := r.own.manifest(ctx, t.repository, t.ref)
	if err != nil {
		return err
	}
	if taken == nil || r.isOurs(t.repository, taken) {
		return nil
	}
	return &wireError{http.StatusBadRequest, "TAG_INVALID", fmt.Sprintf(
		"The image tag '%s' already exists in the '%s' repository and cannot be overwritten because the repository is immutable.", t.ref, t.repository)}
}
