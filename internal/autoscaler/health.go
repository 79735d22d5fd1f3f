package autoscaler

import (
	"fmt"
	"net/http"
	"sync"
	"time"
)

// Health answers /health-check: it fails when the loop has not run, or not run
// with success, for too long.
type Health struct {
	MaxInactivity, MaxFailing time.Duration
	Clock                     func() time.Time // nil: time.Now

	mu            sync.Mutex // guards what follows
	watched       bool
	active, works time.Time
}

func (h *Health) now() time.Time {
	if h.Clock != nil {
		return h.Clock()
	}
	return time.Now()
}

// begin starts the watch: before, all is well.
func (h *Health) begin() {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.watched, h.active, h.works = true, h.now(), h.now()
}

// ran takes note of a run.
func (h *Health) ran(ok bool) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.active = h.now()
	if ok {
		h.works = h.active
	}
}

// ServeHTTP implements http.Handler.
func (h *Health) ServeHTTP(w http.ResponseWriter, _ *http.Request) {
	h.mu.Lock()
	idle, failing, watched := h.now().Sub(h.active), h.now().Sub(h.works), h.watched
	h.mu.Unlock()
	if watched && (idle > h.MaxInactivity || failing > h.MaxFailing) {
		http.Error(w, fmt.Sprintf("Error: last activity more %v ago, last success more than %v ago", idle, failing), http.StatusInternalServerError)
		return
	}
	fmt.Fprint(w, "OK")
}
