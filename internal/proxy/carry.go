package proxy

import (
	"errors"
	"io"
	"net"
	"os"
	"sync"
	"sync/atomic"
	"time"
)

// run carries both directions. When one ends, its end is passed on, and the other goes on.
func (t *tunnel) run() {
	t.moved.Store(time.Now().UnixNano())
	var up sync.WaitGroup
	up.Go(func() {
		t.carry(t.backend, t.client, &t.received, func(_, sent time.Time) { t.toBackend = sent.Sub(t.started) })
	})
	t.carry(t.client, t.backend, &t.sent, func(read, sent time.Time) { t.toClient = sent.Sub(read) })
	up.Wait()
}

// carry moves bytes from src to dst until src ends, and passes the end on. After any error both end.
func (t *tunnel) carry(dst, src net.Conn, count *atomic.Int64, first func(read, sent time.Time)) {
	err := t.copy(dst, src, count, first)
	if err == nil {
		err = closeWrite(dst)
	}
	if err != nil {
		t.close()
	}
}

// burst is how long splicing goes on before it is asked whether there still is much to move.
const burst = time.Second

var (
	errIdle = errors.New("idle timeout")

	large = sync.Pool{New: func() any { return new([32 << 10]byte) }}
)

// copy moves bytes from src to dst until src ends. A silent connection holds a small buffer only. One
// that fills it gets a large one, and while that is full, too, the kernel moves the bytes, if it can.
func (t *tunnel) copy(dst, src net.Conn, count *atomic.Int64, first func(read, sent time.Time)) error {
	small := make([]byte, 1<<10)
	buf := small
	var borrowed *[32 << 10]byte
	defer func() {
		if borrowed != nil {
			large.Put(borrowed)
		}
	}()
	for {
		silent := time.Since(time.Unix(0, t.moved.Load()))
		if silent >= t.idle {
			return errIdle
		}
		if err := src.SetReadDeadline(time.Now().Add(t.idle - silent)); err != nil {
			return err
		}
		n, err := src.Read(buf)
		if n > 0 {
			read := time.Now()
			t.moved.Store(read.UnixNano())
			if err := dst.SetWriteDeadline(read.Add(t.idle)); err != nil {
				return err
			}
			if _, err := dst.Write(buf[:n]); err != nil {
				return err
			}
			sent := time.Now()
			t.moved.Store(sent.UnixNano())
			if count.Add(int64(n)) == int64(n) {
				first(read, sent)
			}
		}
		switch {
		case errors.Is(err, io.EOF):
			return nil
		case err != nil && !errors.Is(err, os.ErrDeadlineExceeded):
			return err
		case n < len(buf):
			if borrowed != nil {
				large.Put(borrowed)
				borrowed, buf = nil, small
			}
		case borrowed == nil:
			borrowed = large.Get().(*[32 << 10]byte)
			buf = borrowed[:]
		default:
			if ended, err := t.splice(dst, src, count); ended || err != nil {
				return err
			}
		}
	}
}

// splice has the kernel move bytes for a while, if both are TCP without TLS, and says whether src has
// ended.
func (t *tunnel) splice(dst, src net.Conn, count *atomic.Int64) (ended bool, err error) {
	to, ok := dst.(*net.TCPConn)
	from, ok2 := src.(*net.TCPConn)
	if !ok || !ok2 {
		return false, nil
	}
	for {
		began := time.Now()
		// What was read when the time to write is over is lost: that must end the connection, which the
		// time to read does not.
		limit := burst + t.idle
		if err := errors.Join(from.SetReadDeadline(began.Add(burst)), to.SetWriteDeadline(began.Add(limit))); err != nil {
			return false, err
		}
		n, err := to.ReadFrom(from)
		if n > 0 {
			count.Add(n)
			t.moved.Store(time.Now().UnixNano())
		}
		switch {
		case err == nil:
			return true, nil
		case !errors.Is(err, os.ErrDeadlineExceeded):
			return false, err
		case time.Since(began) >= limit:
			return false, errIdle
		case n < 1<<20: // less than that in a burst is not much
			return false, nil
		}
	}
}

// closeWrite tells the other side that nothing more comes.
func closeWrite(c net.Conn) error {
	if w, ok := c.(interface{ CloseWrite() error }); ok {
		return w.CloseWrite()
	}
	return errors.New("this connection has no half-close")
}
