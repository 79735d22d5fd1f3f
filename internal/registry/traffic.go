package registry

import (
	"context"
	"net/http"
	"sync"
	"time"
)

// traffic is what removing unused layers must know of pushes.
//
// A push is several requests, and its layers belong to no image until the last
// of them. So a repository is busy from a push's first request until some time
// after its latest, and what a busy repository has is not removed. And the steps
// of a push that find or link a layer never run while layers are removed.
type traffic struct {
	quiet time.Duration // after this without a request, a push is over
	since time.Time     // nothing is known of pushes before

	mu    sync.Mutex
	repos map[string]*visits // guarded by mu
	steps int                // steps of pushes under way, guarded by mu
	idle  chan struct{}      // closed when steps falls to 0; nil unless waited for, guarded by mu
	alone chan struct{}      // closed when layers are no longer being removed; nil otherwise, guarded by mu
}

// visits are a repository's requests that are parts of pushes.
type visits struct {
	inFlight int
	last     time.Time
}

func newTraffic(quiet time.Duration) *traffic {
	return &traffic{quiet: quiet, since: time.Now(), repos: map[string]*visits{}}
}

// push notes a request of a push to the repository, until end is called.
func (t *traffic) push(repository string) (end func()) {
	t.mu.Lock()
	defer t.mu.Unlock()
	v := t.repos[repository]
	if v == nil {
		v = &visits{}
		t.repos[repository] = v
	}
	v.inFlight++
	return func() {
		t.mu.Lock()
		defer t.mu.Unlock()
		v.inFlight--
		v.last = time.Now()
	}
}

// step begins what may not run while layers are removed: it waits until they
// are, or ctx ends.
func (t *traffic) step(ctx context.Context) (end func(), err error) {
	t.mu.Lock()
	for t.alone != nil {
		alone := t.alone
		t.mu.Unlock()
		select {
		case <-alone:
		case <-ctx.Done():
			return nil, ctx.Err()
		}
		t.mu.Lock()
	}
	t.steps++
	t.mu.Unlock()
	return func() {
		t.mu.Lock()
		defer t.mu.Unlock()
		if t.steps--; t.steps == 0 && t.idle != nil {
			close(t.idle)
			t.idle = nil
		}
	}, nil
}

// exclude waits for a moment without steps, holding up none, and keeps others
// from beginning until end is called.
func (t *traffic) exclude(ctx context.Context) (end func(), err error) {
	t.mu.Lock()
	for t.steps > 0 || t.alone != nil {
		until := t.alone
		if until == nil {
			if t.idle == nil {
				t.idle = make(chan struct{})
			}
			until = t.idle
		}
		t.mu.Unlock()
		select {
		case <-until:
		case <-ctx.Done():
			return nil, ctx.Err()
		}
		t.mu.Lock()
	}
	alone := make(chan struct{})
	t.alone = alone
	t.mu.Unlock()
	return func() {
		t.mu.Lock()
		defer t.mu.Unlock()
		t.alone = nil
		close(alone)
	}, nil
}

// busy are the repositories with a push under way, and forgets the others. all
// says that it is too soon to tell, for a push may have begun before.
func (t *traffic) busy() (repos map[string]bool, all bool) {
	now := time.Now()
	t.mu.Lock()
	defer t.mu.Unlock()
	repos = map[string]bool{}
	for name, v := range t.repos {
		if v.inFlight > 0 || now.Sub(v.last) < t.quiet {
			repos[name] = true
		} else {
			delete(t.repos, name)
		}
	}
	return repos, now.Sub(t.since) < t.quiet
}

// ofPush says whether a request is part of a push, and whether it is a step of
// one: it finds or links a layer, or changes tags or manifests. To send a
// layer's contents is none; it may take long, and touches nothing but the upload.
func (t target) ofPush(req *http.Request) (push, step bool) {
	switch t.kind {
	case "uploads":
		return true, req.Method == http.MethodPut || req.Method == http.MethodPost && req.URL.Query().Has("mount")
	case "blobs":
		// "There it is", and the client does not send it.
		return req.Method == http.MethodHead, req.Method == http.MethodHead
	case "manifests":
		return req.Method == http.MethodPut, req.Method == http.MethodPut || req.Method == http.MethodDelete
	}
	return false, false
}
