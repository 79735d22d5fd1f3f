package http1

import (
	"crypto/tls"
	"errors"
	"net"
	"os"
	"sync/atomic"
	"syscall"
	"time"
)

// wire is a connection with deadlines that are seldom set: setting one costs as
// much as parsing a request. A deadline is left as it is as long as it comes no
// later than wanted. If it passes too early, it is set again, and the read
// resumed. Reading and writing may be done by two goroutines, each by one.
type wire struct {
	net.Conn
	raw             syscall.RawConn // of the TCP connection; nil if there is none
	plain           bool            // Conn is that TCP connection
	sock            *socket         // of clients: the TCP connection
	readBy, writeBy time.Time
	stop            atomic.Bool // ends reads, together with a deadline
}

func (w *wire) init(c net.Conn) {
	w.Conn = c
	t, secure := c.(*tls.Conn)
	if secure {
		c = t.NetConn()
	}
	if s, ok := c.(*socket); ok {
		w.sock, c = s, s.TCPConn
	}
	// Of the exact type only: another one may keep bytes that it has read.
	if t, ok := c.(*net.TCPConn); ok {
		w.raw, _ = t.SyscallConn()
		w.plain = !secure && w.raw != nil
	}
}

// initClient is init for a client's connection.
func (w *wire) initClient(c net.Conn) {
	if t, ok := c.(*net.TCPConn); ok {
		c = Replay(t, nil)
	}
	w.init(c)
	if w.raw == nil {
		w.sock = nil
	}
}

// allow has reads end at until or before.
func (w *wire) allow(now, until time.Time) {
	if w.readBy.After(until) || !w.readBy.After(now) {
		w.readBy = until
		_ = w.SetReadDeadline(until) // of a closed connection: the read says so
	}
}

// read reads once, waiting until then at most. It fails with
// os.ErrDeadlineExceeded.
func (w *wire) read(p []byte, now, until time.Time) (int, error) {
	for {
		w.allow(now, until)
		if w.stop.Load() {
			return 0, os.ErrDeadlineExceeded
		}
		n, err := w.Read(p)
		if n > 0 {
			return n, nil
		}
		if err == nil || !errors.Is(err, os.ErrDeadlineExceeded) {
			return 0, err
		}
		w.readBy = time.Time{}
		if now = time.Now(); !now.Before(until) {
			return 0, os.ErrDeadlineExceeded
		}
	}
}

// write writes all of p. Silence of the other side ends it after idle at the
// earliest, and twice that at the latest.
func (w *wire) write(p []byte, now time.Time, idle time.Duration) (int, error) {
	if by := now.Add(idle); w.writeBy.Before(by) {
		w.writeBy = by.Add(idle)
		_ = w.SetWriteDeadline(w.writeBy)
	}
	return w.Write(p)
}

// silent reports whether an idle connection is still open and has nothing to
// say. What cannot be looked at is taken for it.
func (w *wire) silent() bool {
	if w.raw == nil {
		return true
	}
	silent := false
	var p [1]byte
	_ = w.raw.Control(func(fd uintptr) {
		_, _, err := syscall.Recvfrom(int(fd), p[:], syscall.MSG_PEEK|syscall.MSG_DONTWAIT)
		silent = errors.Is(err, syscall.EAGAIN) || errors.Is(err, syscall.EINTR)
	})
	return silent
}

// closeWrite says that nothing more will come.
func (w *wire) closeWrite() {
	if c, ok := w.Conn.(interface{ CloseWrite() error }); ok {
		_ = c.CloseWrite()
	}
	if t, ok := w.Conn.(*tls.Conn); ok {
		if c, ok := t.NetConn().(interface{ CloseWrite() error }); ok {
			_ = c.CloseWrite()
		}
	}
}
