package proxy

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"sync"
	"sync/atomic"
)

// Proxy runs balancers. It is safe for concurrent use.
type Proxy struct {
	cfg Config

	// apply lets one Apply or Close work at a time, which may take long.
	apply sync.Mutex
	// running is read by everyone; who holds apply replaces it.
	running atomic.Pointer[map[string]*balancer]

	ctx    context.Context // ends when all connections are to be closed
	cancel context.CancelFunc

	mu     sync.Mutex     // guards the fields below
	closed bool           // nothing new begins
	wg     sync.WaitGroup // everything that goes on; Add only under mu, unless it is one's own child
	news   chan struct{}  // closed when health changes; nil when nobody waits
}

// New returns a Proxy that runs nothing yet.
func New(cfg Config) *Proxy {
	if cfg.Logger == nil {
		cfg.Logger = slog.Default()
	}
	if cfg.Log == nil {
		cfg.Log = func(*Balancer, []byte) {}
	}
	p := &Proxy{cfg: cfg}
	p.ctx, p.cancel = context.WithCancel(context.Background())
	p.running.Store(&map[string]*balancer{})
	return p
}

// ErrClosed says that the proxy was closed.
var ErrClosed = errors.New("the proxy is closed")

// Apply makes the balancers that run those given, and returns once all sockets are open that can be.
// What did not change is untouched: sockets, connections, health, counters. New connections see the
// new state at once, connections that are open go on with it from their next request. What left drains
// apart. Errors are joined, each with its balancer's name; the other balancers and listeners run, and
// Apply with the same balancers tries again what failed.
func (p *Proxy) Apply(ctx context.Context, all []Balancer) error {
	p.apply.Lock()
	defer p.apply.Unlock()
	if p.isClosed() {
		return ErrClosed
	}
	before, after := *p.running.Load(), make(map[string]*balancer, len(all))
	specs := make(map[string]*Balancer, len(all))
	var failed []error
	for i := range all {
		spec := &all[i]
		if err := spec.check(); err != nil {
			failed = append(failed, fmt.Errorf("load balancer %s: %w", spec.Name, err))
			if b := before[spec.ID]; b != nil { // it goes on as it was
				after[spec.ID] = b
			}
			continue
		}
		if _, twice := specs[spec.ID]; twice {
			failed = append(failed, fmt.Errorf("load balancer %s: its id %q is another's too", spec.Name, spec.ID))
			continue
		}
		if after[spec.ID] = before[spec.ID]; after[spec.ID] == nil {
			after[spec.ID] = newBalancer(p, spec)
		}
		specs[spec.ID] = spec
	}
	for id, b := range before { // its sockets close first: another may want the addresses
		if after[id] == nil {
			b.stop()
		}
	}
	p.running.Store(&after)
	for id, spec := range specs {
		for _, err := range after[id].apply(ctx, spec) {
			failed = append(failed, fmt.Errorf("load balancer %s: %w", spec.Name, err))
		}
	}
	p.changed()
	return errors.Join(failed...)
}

// get returns a balancer that runs, or nil.
func (p *Proxy) get(id string) *balancer { return (*p.running.Load())[id] }

// Health is the state of a balancer's backends, in the order in which they were given; those that left
// and still drain are last. Nil when there is no such balancer.
func (p *Proxy) Health(id string) []BackendHealth {
	if b := p.get(id); b != nil {
		return b.health()
	}
	return nil
}

// Changed returns a channel that is closed when the health of any backend has changed after the call:
// call it, then read Health, then wait.
func (p *Proxy) Changed() <-chan struct{} {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.news == nil {
		p.news = make(chan struct{})
	}
	return p.news
}

// changed tells those who follow.
func (p *Proxy) changed() {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.news != nil {
		close(p.news)
		p.news = nil
	}
}

// Stats are a balancer's counters; ok is false when there is no such balancer.
func (p *Proxy) Stats(id string) (s Stats, ok bool) {
	b := p.get(id)
	if b == nil {
		return Stats{}, false
	}
	return b.stats(), true
}

// Port is what a balancer speaks on a port; empty when it does not listen there.
func (p *Proxy) Port(id string, port int) Protocol {
	if b := p.get(id); b != nil {
		if s := b.service(port); s != nil {
			return s.shape.Protocol
		}
	}
	return ""
}

// ServeConn serves a connection as if a balancer had accepted it on a port, and returns when it is
// over. The connection is closed then; at once when the balancer does not listen there.
func (p *Proxy) ServeConn(id string, port int, c net.Conn) {
	if !p.begin() {
		c.Close()
		return
	}
	defer p.wg.Done()
	if b := p.get(id); b != nil {
		if to := (*b.ports.Load())[port]; to != nil {
			to.serve(c, "")
			return
		}
	}
	c.Close()
}

// begin counts one thing that goes on, unless the proxy is closed: wg.Done ends it.
func (p *Proxy) begin() bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.closed {
		return false
	}
	p.wg.Add(1)
	return true
}

// goes runs f on a goroutine that Close waits for, or not at all once the proxy is closed.
func (p *Proxy) goes(f func()) bool {
	if !p.begin() {
		return false
	}
	go func() {
		defer p.wg.Done()
		f()
	}()
	return true
}

func (p *Proxy) isClosed() bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.closed
}

// Close stops listening, lets requests under way finish until ctx ends, then closes what is left. It
// waits for every goroutine of the proxy. The error is that of ctx if anything had to be cut off.
func (p *Proxy) Close(ctx context.Context) error {
	p.apply.Lock()
	defer p.apply.Unlock()
	for _, b := range *p.running.Load() {
		b.stop()
	}
	p.running.Store(&map[string]*balancer{})
	p.mu.Lock()
	p.closed = true
	p.mu.Unlock()
	done := make(chan struct{})
	go func() {
		p.wg.Wait()
		close(done)
	}()
	var err error
	select {
	case <-done:
	case <-ctx.Done():
		err = context.Cause(ctx)
	}
	p.cancel()
	<-done
	return err
}
