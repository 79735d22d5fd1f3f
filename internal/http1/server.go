package http1

import (
	"context"
	"log/slog"
	"net"
	"sync"
	"sync/atomic"
	"time"
)

// Server forwards the requests of connections as its Director says. Its fields
// are not changed once ServeConn was called.
type Server struct {
	Limits   Limits
	Director Director
	// IdleTimeout is how long a connection, the client's or the backend's, may be
	// silent while something is expected of it; 0 means 60 s.
	IdleTimeout time.Duration
	// RequestHeaderTimeout is how long the head of a request may take from its first
	// byte; 0 means IdleTimeout.
	RequestHeaderTimeout time.Duration
	// ClosedStatus is the answer if the backend closes the connection without a
	// response; 0 means 502.
	ClosedStatus int
	// ConnectStatus is the answer if a connection that had waited is dead, and no
	// other can be made in its place; 0 means 503.
	ConnectStatus int
	// Pages has the server's own answers be pages, as those of an Application Load
	// Balancer are; a Classic Load Balancer's have no body.
	Pages  bool
	Logger *slog.Logger // nil: none

	// patience is how long a backend may take before the client is watched. grace is
	// how long a connection may send its next request after Shutdown: closing an idle
	// connection crosses the request that may be on its way, and the client would
	// have to guess whether it was served. Both are 1 s, but in tests.
	patience, grace time.Duration

	once     sync.Once
	draining atomic.Bool
	mu       sync.Mutex // guards conns, closed, empty
	conns    map[*conn]struct{}
	closed   bool
	empty    []chan struct{} // closed when conns is empty
}

func (s *Server) init() {
	s.once.Do(func() {
		s.Limits.defaults()
		if s.IdleTimeout <= 0 {
			s.IdleTimeout = time.Minute
		}
		if s.RequestHeaderTimeout <= 0 {
			s.RequestHeaderTimeout = s.IdleTimeout
		}
		if s.patience == 0 {
			s.patience, s.grace = time.Second, time.Second
		}
		if s.ClosedStatus == 0 {
			s.ClosedStatus = 502
		}
		if s.ConnectStatus == 0 {
			s.ConnectStatus = 503
		}
		if s.Logger == nil {
			s.Logger = slog.New(slog.DiscardHandler)
		}
	})
}

// ServeConn serves the requests of one client's connection, one after the other,
// and closes it. It returns when all of it is over: with ctx, it is at once.
// A *tls.Conn need not have shaken hands.
func (s *Server) ServeConn(ctx context.Context, nc net.Conn) {
	s.init()
	c := &conn{s: s, ctx: ctx, given: nc}
	c.initClient(nc)
	if !s.enter(c) {
		_ = nc.Close()
		return
	}
	defer s.leave(c)
	if ctx.Done() != nil {
		stop := context.AfterFunc(ctx, c.abort)
		defer stop()
	}
	c.serve()
}

// Shutdown has every connection closed after the request under way, or the next
// one within a second, whose response says "Connection: close". It returns when
// all are, or with the error of ctx; those that are left then go on, until Close.
func (s *Server) Shutdown(ctx context.Context) error {
	s.draining.Store(true)
	s.mu.Lock()
	for c := range s.conns {
		c.wake()
	}
	if len(s.conns) == 0 {
		s.mu.Unlock()
		return nil
	}
	done := make(chan struct{})
	s.empty = append(s.empty, done)
	s.mu.Unlock()
	select {
	case <-done:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

// Close closes all connections at once, and returns when ServeConn has for each.
func (s *Server) Close() {
	s.draining.Store(true)
	s.mu.Lock()
	s.closed = true
	for c := range s.conns {
		c.abort()
	}
	if len(s.conns) == 0 {
		s.mu.Unlock()
		return
	}
	done := make(chan struct{})
	s.empty = append(s.empty, done)
	s.mu.Unlock()
	<-done
}

func (s *Server) enter(c *conn) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.closed {
		return false
	}
	if s.conns == nil {
		s.conns = map[*conn]struct{}{}
	}
	s.conns[c] = struct{}{}
	return true
}

func (s *Server) leave(c *conn) {
	s.mu.Lock()
	defer s.mu.Unlock()
	delete(s.conns, c)
	if len(s.conns) == 0 {
		for _, done := range s.empty {
			close(done)
		}
		s.empty = nil
	}
}
