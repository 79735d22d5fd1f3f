package proxy

import (
	"context"
	"errors"
	"net"
	"sync"
)

// Proxy runs balancers. It is safe for concurrent use.
type Proxy struct {
	cfg Config
	mu  sync.Mutex
}

// New returns a Proxy that runs nothing yet.
func New(cfg Config) *Proxy { return &Proxy{cfg: cfg} }

// Apply makes the balancers that run those given, and returns once all sockets are open that can be.
// What did not change is untouched: sockets, connections, health, counters. New connections see the
// new state at once, connections that are open go on with it from their next request. What left drains
// apart. Errors are joined, each with its balancer's name; the other balancers and listeners run, and
// Apply with the same balancers tries again what failed.
func (p *Proxy) Apply(ctx context.Context, all []Balancer) error {
	return errors.New("proxy: not yet")
}

// Health is the state of a balancer's backends, in the order in which they were given; those that left
// and still drain are last. Nil when there is no such balancer.
func (p *Proxy) Health(id string) []BackendHealth { return nil }

// Changed returns a channel that is closed when the health of any backend has changed after the call:
// call it, then read Health, then wait.
func (p *Proxy) Changed() <-chan struct{} { return nil }

// Stats are a balancer's counters; ok is false when there is no such balancer.
func (p *Proxy) Stats(id string) (s Stats, ok bool) { return Stats{}, false }

// Port is what a balancer speaks on a port; empty when it does not listen there.
func (p *Proxy) Port(id string, port int) Protocol { return "" }

// ServeConn serves a connection as if a balancer had accepted it on a port, and returns when it is
// over. The connection is closed then; at once when the balancer does not listen there.
func (p *Proxy) ServeConn(id string, port int, c net.Conn) { c.Close() }

// Close stops listening, lets requests under way finish until ctx ends, then closes what is left. It
// waits for every goroutine of the proxy.
func (p *Proxy) Close(ctx context.Context) error { return nil }
