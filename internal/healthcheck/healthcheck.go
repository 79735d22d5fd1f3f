// Package healthcheck looks after endpoints: it asks each again and again and says
// whether it is healthy, and what was seen. It takes plain values; whose endpoints
// they are, and what follows from their health, is decided elsewhere.
package healthcheck

import (
	"context"
	"errors"
	"net"
	"net/netip"
	"slices"
	"sync"
	"time"
)

// Kind is how an endpoint is looked at.
type Kind int

// The kinds.
const (
	TCP        Kind = iota // a connection must come about
	HTTP                   // the status must be 200 to 399
	HTTPS                  // the same over TLS; the certificate does not matter
	Calculated             // no endpoint: other checks count
)

// Check is what to look at, and how.
type Check struct {
	ID   string
	Kind Kind

	Address netip.Addr // if it is not valid, one of the IPv4 addresses of Host
	Port    uint16
	Host    string // for the header Host and, with SNI, for TLS; may be "" if Address is valid
	Path    string // with its query; "" is /
	Search  string // if not "", must be in the first 5,120 bytes of the body
	SNI     bool
	Agent   string // the header User-Agent

	Interval  time.Duration // between the begins of two looks
	Threshold int           // looks in a row that change what the check says

	Inverted bool // the endpoint is to be unhealthy
	Disabled bool // nobody looks; the endpoint counts as healthy

	Children []string // Calculated: ids of checks, of which
	AtLeast  int      // so many must be healthy
}

// endpoint is the part of a check that matters to what its looks see.
func (c Check) endpoint() Check {
	c.Threshold, c.Inverted, c.Children, c.AtLeast = 0, false, nil, 0
	return c
}

func (c Check) equal(d Check) bool {
	return slices.Equal(c.Children, d.Children) && c.AtLeast == d.AtLeast && c.Threshold == d.Threshold &&
		c.Inverted == d.Inverted && c.sameEndpoint(d)
}

func (c Check) sameEndpoint(d Check) bool {
	a, b := c.endpoint(), d.endpoint()
	return a.ID == b.ID && a.Kind == b.Kind && a.Address == b.Address && a.Port == b.Port && a.Host == b.Host && a.Path == b.Path &&
		a.Search == b.Search && a.SNI == b.SNI && a.Interval == b.Interval && a.Disabled == b.Disabled && a.Agent == b.Agent
}

// Observation is what one look has seen.
type Observation struct {
	From    netip.Addr // the address that the look came from; not valid if there was no connection
	Healthy bool
	Status  string // Success: … or Failure: …
	Time    time.Time
}

// Config is what a [Checker] needs.
type Config struct {
	// Resolve returns the addresses of a host name. An error says why there are none.
	Resolve func(ctx context.Context, host string) ([]netip.Addr, error)
	// Dial connects; nil is a net.Dialer's.
	Dial func(ctx context.Context, network, address string) (net.Conn, error)
	// Changed is called after the health of a check has changed, without a lock; nil is
	// nobody.
	Changed func()
}

// Checker runs checks. It is safe for concurrent use.
type Checker struct {
	cfg     Config
	ctx     context.Context // ends with Close
	cancel  context.CancelFunc
	looking sync.WaitGroup

	mu     sync.Mutex // guards the fields below and what is in states
	closed bool
	states map[string]*state
}

// state is a check and what is known of it.
type state struct {
	check   Check
	stop    context.CancelFunc // of its looks; nil if nobody looks
	healthy bool               // as the looks have it: not inverted
	streak  int                // of looks that say otherwise
	last    *Observation
	failure *Observation // the last one
}

// New returns a Checker without checks.
func New(cfg Config) *Checker {
	if cfg.Dial == nil {
		cfg.Dial = new(net.Dialer).DialContext
	}
	if cfg.Resolve == nil {
		cfg.Resolve = func(context.Context, string) ([]netip.Addr, error) { return nil, errors.New("no resolver") }
	}
	if cfg.Changed == nil {
		cfg.Changed = func() {}
	}
	c := &Checker{cfg: cfg, states: map[string]*state{}}
	c.ctx, c.cancel = context.WithCancel(context.Background())
	return c
}

// Close ends all looks and waits for them.
func (c *Checker) Close() {
	c.mu.Lock()
	c.closed = true
	c.mu.Unlock()
	c.cancel()
	c.looking.Wait()
}

// Apply replaces the checks. Those that are there already go on; what is known of an
// endpoint is kept while the endpoint is the same. A new one is healthy until enough
// looks say otherwise. The ids are distinct.
func (c *Checker) Apply(checks []Check) {
	if c.apply(checks) {
		c.cfg.Changed()
	}
}

func (c *Checker) apply(checks []Check) (changed bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.closed {
		return false
	}
	before := c.states
	c.states = make(map[string]*state, len(checks))
	for _, check := range checks {
		was := before[check.ID]
		delete(before, check.ID)
		switch {
		case was == nil:
			c.states[check.ID] = c.begin(check)
			changed = true
		case was.check.equal(check):
			c.states[check.ID] = was
		case was.check.sameEndpoint(check):
			was.check, was.streak = check, 0
			c.states[check.ID] = was
			changed = true
		default:
			was.end()
			c.states[check.ID] = c.begin(check)
			changed = true
		}
	}
	for _, was := range before {
		was.end()
		changed = true
	}
	return changed
}

func (s *state) end() {
	if s.stop != nil {
		s.stop()
	}
}

// begin starts to look. The caller holds mu.
func (c *Checker) begin(check Check) *state {
	s := &state{check: check, healthy: true}
	if check.Kind == Calculated || check.Disabled {
		return s
	}
	ctx, cancel := context.WithCancel(c.ctx)
	s.stop = cancel
	c.looking.Go(func() { c.watch(ctx, s, check) })
	return s
}

// watch looks until ctx ends.
func (c *Checker) watch(ctx context.Context, s *state, check Check) {
	tick := time.NewTicker(max(check.Interval, time.Second))
	defer tick.Stop()
	for {
		seen := c.look(ctx, check)
		if ctx.Err() != nil {
			return
		}
		if c.note(s, seen) {
			c.cfg.Changed()
		}
		select {
		case <-tick.C:
		case <-ctx.Done():
			return
		}
	}
}

// note takes a look into account, and reports whether the health has changed.
func (c *Checker) note(s *state, seen Observation) (changed bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	s.last = &seen
	if !seen.Healthy {
		s.failure = &seen
	}
	if seen.Healthy == s.healthy {
		s.streak = 0
		return false
	}
	if s.streak++; s.streak < s.check.Threshold {
		return false
	}
	s.healthy, s.streak = seen.Healthy, 0
	return true
}

// Healthy says what a check says. One that is not known is healthy.
func (c *Checker) Healthy(id string) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.verdict(id, len(c.states))
}

// verdict is Healthy, for checks that are children of no more than depth others: more
// there cannot be but in a circle. The caller holds mu.
func (c *Checker) verdict(id string, depth int) bool {
	s := c.states[id]
	if s == nil || depth < 0 {
		return true
	}
	healthy := s.healthy
	switch {
	case s.check.Disabled:
		healthy = true
	case s.check.Kind == Calculated:
		n := 0
		for _, child := range s.check.Children {
			if c.states[child] != nil && c.verdict(child, depth-1) {
				n++
			}
		}
		healthy = n >= s.check.AtLeast
	}
	return healthy != s.check.Inverted
}

// Look returns what was seen last, and at the last failure; nil where there was
// nothing.
func (c *Checker) Look(id string) (last, failure *Observation) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if s := c.states[id]; s != nil {
		return s.last, s.failure
	}
	return nil, nil
}
