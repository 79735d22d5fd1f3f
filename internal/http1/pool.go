package http1

import (
	"context"
	"net"
	"time"
)

// PoolConfig says how the connections of a pool are made and kept.
type PoolConfig struct {
	// Dial opens a connection, ready for requests: with TLS and proxy protocol if
	// that is wanted. It must end when its context does.
	Dial func(context.Context) (net.Conn, error)
	// MaxIdle is how many connections wait for a request at most: 0 means 256,
	// less than 0 that none is kept (as with proxy protocol, where a connection
	// belongs to one client).
	MaxIdle int
	// IdleTimeout closes a connection that waits for longer; 0 means 60 s.
	IdleTimeout time.Duration
	// ConnectTimeout bounds Dial; 0 means 10 s.
	ConnectTimeout time.Duration
	// Any is for the owner: the backend that this pool belongs to.
	Any any
}

// Pool keeps connections to one backend. All its methods may be called at once.
type Pool struct {
	PoolConfig
}

// NewPool returns a pool without connections.
func NewPool(c PoolConfig) *Pool { return &Pool{PoolConfig: c} }

// Stats are the connections now: those that wait, and those in use.
func (p *Pool) Stats() (idle, active int) { panic("todo") }

// Close closes the connections that wait. Those in use are closed when their
// exchange has ended. A closed pool opens no connection.
func (p *Pool) Close() { panic("todo") }
