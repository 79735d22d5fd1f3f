package imds

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// connKey is where Serve leaves a request's connection in its context.
type connKey struct{}

// Serve answers on l, which it closes, until ctx ends; then it lets the requests under way finish
// and returns nil. Any other end is an error.
//
// The answer to a PUT leaves with the instance's HttpPutResponseHopLimit as its IP time-to-live, so
// l must be IPv4 and one link away from the instances: with a limit of 1 a token reaches the
// instance and its host-network pods, and dies on the way to the others. As on AWS nothing else is
// limited; where tokens are optional, such pods still read metadata without one.
func (h *Handler) Serve(ctx context.Context, l net.Listener) error {
	srv := &http.Server{
		Handler: h,
		ConnContext: func(ctx context.Context, c net.Conn) context.Context {
			return context.WithValue(ctx, connKey{}, c)
		},
		ReadHeaderTimeout: 5 * time.Second,
		ReadTimeout:       5 * time.Second,
		WriteTimeout:      15 * time.Second,
		MaxHeaderBytes:    16 << 10,
		ErrorLog:          slog.NewLogLogger(h.cfg.Logger.Handler(), slog.LevelDebug),
	}
	ctx, cancel := context.WithCancel(ctx)
	down := make(chan struct{})
	go func() {
		defer close(down)
		<-ctx.Done()
		grace, cancel := context.WithTimeout(context.WithoutCancel(ctx), 2*time.Second)
		defer cancel()
		if srv.Shutdown(grace) != nil {
			srv.Close()
		}
	}()
	err := srv.Serve(l)
	cancel()
	<-down
	if !errors.Is(err, http.ErrServerClosed) {
		return fmt.Errorf("serve instance metadata on %s: %w", l.Addr(), err)
	}
	return nil
}

// setHopLimit sets the time-to-live of the request's connection, which ends with the response.
// Outside of Serve there is no connection to set.
func setHopLimit(ctx context.Context, hops int) error {
	conn, ok := ctx.Value(connKey{}).(syscall.Conn)
	if !ok {
		return nil
	}
	raw, err := conn.SyscallConn()
	if err != nil {
		return fmt.Errorf("set IP_TTL: %w", err)
	}
	var failed error
	err = raw.Control(func(fd uintptr) {
		failed = unix.SetsockoptInt(int(fd), unix.IPPROTO_IP, unix.IP_TTL, hops)
	})
	if err := errors.Join(err, failed); err != nil {
		return fmt.Errorf("set IP_TTL to %d: %w", hops, err)
	}
	return nil
}
