package http1

import (
	"context"
	"log/slog"
	"net"
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
	Logger               *slog.Logger // nil: none
}

// ServeConn serves the requests of one client's connection, one after the other,
// and closes it. It returns when all of it is over: with ctx, it is at once.
// A *tls.Conn need not have shaken hands.
func (s *Server) ServeConn(ctx context.Context, c net.Conn) { panic("todo") }

// Shutdown has every connection closed after the request under way, whose
// response says "Connection: close". It returns when all are, or with the error
// of ctx; those that are left then go on, until Close.
func (s *Server) Shutdown(ctx context.Context) error { panic("todo") }

// Close closes all connections at once, and returns when ServeConn has for each.
func (s *Server) Close() { panic("todo") }
