package http1

import (
	"context"
	"errors"
	"fmt"
	"net"
	"sync"
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

	mu     sync.Mutex // guards all below
	idle   []*backend // the last one was used last
	active int
	closed bool
	timer  *time.Timer // set while some are idle
}

// backend is a connection to a backend.
type backend struct {
	wire
	pool   *Pool
	since  time.Time // when it became idle
	reused bool
	// bodied: its last request had a body. A backend that takes one for a request of
	// its own answers that, too.
	bodied bool

	step    func(uintptr) bool // b.roundTrip
	out, in []byte
	sent    int
	sentAt  time.Time
	n       int
	err     error
}

// recent is how long ago a connection was used that need not be looked at: longer
// than under load, shorter than any backend's own timeout. If it has died all the
// same, the request must be one that can be sent again.
const recent = 20 * time.Millisecond

// NewPool returns a pool without connections.
func NewPool(c PoolConfig) *Pool {
	if c.MaxIdle == 0 {
		c.MaxIdle = 256
	}
	if c.IdleTimeout <= 0 {
		c.IdleTimeout = time.Minute
	}
	if c.ConnectTimeout <= 0 {
		c.ConnectTimeout = 10 * time.Second
	}
	return &Pool{PoolConfig: c}
}

// Stats are the connections now: those that wait, and those in use.
func (p *Pool) Stats() (idle, active int) {
	p.mu.Lock()
	defer p.mu.Unlock()
	return len(p.idle), p.active
}

// Close closes the connections that wait. Those in use are closed when their
// exchange has ended. A closed pool opens no connection.
func (p *Pool) Close() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.closed = true
	p.drop(len(p.idle))
}

// drop closes the n connections that have waited longest. p.mu is held.
func (p *Pool) drop(n int) {
	for _, b := range p.idle[:n] {
		_ = b.Conn.Close()
	}
	left := copy(p.idle, p.idle[n:])
	clear(p.idle[left:])
	p.idle = p.idle[:left]
	if left == 0 && p.timer != nil {
		p.timer.Stop()
		p.timer = nil
	}
}

// get returns the connection that was used last, or a new one: always with
// fresh, which also closes those that wait, since one of them was dead.
// look has one looked at even if it was used a moment ago.
func (p *Pool) get(ctx context.Context, now time.Time, fresh, look bool) (*backend, error) {
	p.mu.Lock()
	if fresh {
		p.drop(len(p.idle))
	}
	for len(p.idle) > 0 {
		n := len(p.idle) - 1
		b := p.idle[n]
		p.idle[n] = nil
		p.idle = p.idle[:n]
		p.active++
		p.mu.Unlock()
		if !look && !b.bodied && now.Sub(b.since) < recent || b.silent() {
			b.reused = true
			return b, nil
		}
		p.discard(b)
		p.mu.Lock()
	}
	closed := p.closed
	if !closed {
		p.active++
	}
	p.mu.Unlock()
	if closed {
		return nil, fmt.Errorf("%w: it was taken out of service", ErrBackendConnect)
	}
	ctx, cancel := context.WithTimeout(ctx, p.ConnectTimeout)
	defer cancel()
	c, err := p.Dial(ctx)
	if err != nil {
		p.mu.Lock()
		p.active--
		p.mu.Unlock()
		return nil, errors.Join(ErrBackendConnect, err)
	}
	b := &backend{pool: p}
	b.init(c)
	b.step = b.roundTrip
	return b, nil
}

// put takes a connection back that is ready for another request.
func (p *Pool) put(b *backend, now time.Time) {
	p.mu.Lock()
	p.active--
	if p.closed || len(p.idle) >= p.MaxIdle {
		p.mu.Unlock()
		_ = b.Conn.Close()
		return
	}
	b.since = now
	p.idle = append(p.idle, b)
	if p.timer == nil {
		p.timer = time.AfterFunc(p.IdleTimeout, p.expire)
	}
	p.mu.Unlock()
}

// discard closes a connection that was taken.
func (p *Pool) discard(b *backend) {
	_ = b.Conn.Close()
	p.mu.Lock()
	p.active--
	p.mu.Unlock()
}

// expire closes what has waited for too long. It runs when the oldest may have.
func (p *Pool) expire() {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.timer == nil {
		return
	}
	now, n := time.Now(), 0
	for n < len(p.idle) && now.Sub(p.idle[n].since) >= p.IdleTimeout {
		n++
	}
	p.drop(n)
	if len(p.idle) == 0 {
		p.timer = nil
		return
	}
	p.timer.Reset(p.IdleTimeout - now.Sub(p.idle[0].since))
}
