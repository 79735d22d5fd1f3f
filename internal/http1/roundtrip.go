package http1

import (
	"errors"
	"io"
	"syscall"
	"time"
)

// roundTrip is called by RawConn.Read until it is true: it writes the request,
// and then reads once there is something to read. A plain Write and Read would
// make one system call more, a read that finds nothing: the answer never comes as
// fast as that. RawConn.Read has begun to listen before the request is written,
// so that no answer can be missed.
func (b *backend) roundTrip(fd uintptr) bool {
	if b.sent < len(b.out) {
		n, err := again(syscall.Write, fd, b.out)
		if n < len(b.out) {
			if b.sent = max(n, 0); !errors.Is(err, syscall.EAGAIN) {
				b.err = err
			}
			return true
		}
		b.sent, b.sentAt = n, time.Now()
		return false
	}
	n, err := again(syscall.Read, fd, b.in)
	switch {
	case errors.Is(err, syscall.EAGAIN):
		return false
	case err != nil:
		b.err = err
	case n == 0:
		b.err = io.EOF
	default:
		b.n = n
	}
	return true
}

// again calls f until no signal interrupts it.
func again(f func(int, []byte) (int, error), fd uintptr, p []byte) (int, error) {
	for {
		if n, err := f(int(fd), p); !errors.Is(err, syscall.EINTR) {
			return n, err
		}
	}
}
