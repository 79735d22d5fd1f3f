package http1

import (
	"errors"
	"io"
	"os"
)

// finish ends the exchange and answers what could not be forwarded. sound says
// that the backend's connection can take another request, as far as the response
// goes.
func (c *conn) finish(be *backend, sound bool, err error) (keep bool) {
	w := c.w
	x := &w.x
	whole, cause := c.stopPump(be, err == nil)
	if c.stopWatch() && err != nil {
		cause = ErrClientAborted
	}
	if cause == nil {
		cause = err
	}
	c.release(be, sound && whole && cause == nil)
	x.Cause = cause
	if errors.Is(cause, ErrBackendResponse) {
		c.s.Logger.Debug("a backend's response was refused", "cause", cause, "status", x.StatusBackend)
	}
	switch {
	case err == nil:
		// The client has its response. If that came before the end of its request, it
		// cannot send another one.
		if !whole || w.req.Close || w.closing {
			c.unread = !whole || w.r < w.w
			return false
		}
		return true
	case x.StatusELB != 0:
		c.cutting = true
		return false
	case errors.Is(cause, ErrClientAborted):
		return false
	}
	return c.answer(c.s.status(cause), whole)
}

// release gives the backend's connection back.
func (c *conn) release(be *backend, sound bool) {
	c.use(nil)
	if sound {
		be.bodied = c.w.req.Body == Chunked || c.w.req.Length > 0
		be.pool.put(be, c.now)
	} else {
		be.pool.discard(be)
	}
}

// closedBy says what an error of a backend's connection means.
func closedBy(err error) error {
	switch {
	case errors.Is(err, ErrClientAborted):
		return err
	case errors.Is(err, os.ErrDeadlineExceeded):
		return ErrBackendTimeout
	case errors.Is(err, io.EOF):
		return ErrBackendClosed
	}
	return &backendError{ErrBackendClosed, err}
}

func responseError(err *Error) error { return &backendError{ErrBackendResponse, err} }

// backendError is a kind of failure and what was behind it.
type backendError struct{ kind, cause error }

func (e *backendError) Error() string   { return e.kind.Error() + ": " + e.cause.Error() }
func (e *backendError) Unwrap() []error { return []error{e.kind, e.cause} }

// status is the answer to a request that failed so.
func (s *Server) status(err error) int {
	var e *Error
	switch {
	case errors.Is(err, ErrBackendResponse):
		return 502
	case errors.Is(err, ErrBackendClosed):
		return s.ClosedStatus
	case errors.Is(err, ErrBackendTimeout):
		return 504
	case errors.Is(err, ErrClientTimeout):
		return 408
	case errors.Is(err, ErrBackendConnect):
		return s.ConnectStatus
	case errors.As(err, &e):
		return e.Status
	}
	return 502
}
