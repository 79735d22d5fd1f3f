package http1

import (
	"context"
	"net"
	"net/netip"
	"time"
)

// Exchange is a request and what became of it. It is reused: nothing of it may
// be kept after Director.Done.
type Exchange struct {
	Request  *Request
	Response *Response // the backend's; only valid if StatusBackend is not 0

	Conn       net.Conn        // the client's, as given to ServeConn
	Context    context.Context // as given to ServeConn
	ClientAddr netip.AddrPort  // zero, if the connection's address is not one of IP
	ClientIP   []byte          // its text, made once per connection
	// ConnState and State are for the Director. ConnState stays from one exchange of
	// a connection to the next, State is nil at the start of each.
	ConnState, State any

	Pool  *Pool   // the backend chosen last; nil if none was
	Tried []*Pool // those chosen before, that the request did not get through to
	// Attempts counts the connections that the request was sent over: more than 1
	// after a retry.
	Attempts int

	StatusELB     int // sent to the client; 0 if nothing could be sent
	StatusBackend int // received; 0 if no response came
	// RequestBytes and ResponseBytes are of bodies, as they were sent to the backend
	// and to the client, without framing. RequestHeadBytes are as received.
	RequestBytes, ResponseBytes int64
	RequestHeadBytes            int

	// Received is when the head of the request was complete.
	Received time.Time
	// From Received until it was sent to the backend; from then until the head of
	// the response came; from then until that was sent to the client. -1 s if it
	// did not come to that, as in AWS's access log.
	RequestProcessing, BackendProcessing, ResponseProcessing time.Duration
	// Cause is why it did not go well; nil if it did.
	Cause error
	// Upgraded is set when the connection became a tunnel (status 101). Done then
	// comes at the tunnel's end.
	Upgraded bool
}

// Director is the policy of a Server. It is called from the goroutines of all
// connections, and by one connection for one exchange at a time, in this order:
// Choose (again after each backend that could not be reached), ForRequest (for
// each connection that the request is sent over), ForResponse (once, also for
// answers that are the Server's own), Done (once, always, even if the request
// could not be read).
type Director interface {
	// Choose returns the backend for a request, or nil and the status to answer.
	// x.Tried are those that could not be connected to, x.Cause says why the last
	// could not. It may wait (for a place in a queue) as long as x.Context lives.
	Choose(x *Exchange) (pool *Pool, status int)
	// ForRequest changes the fields that go to the backend, in h. h starts anew at
	// each call.
	ForRequest(x *Exchange, h *Header)
	// ForResponse changes the fields that go to the client, in h, and may read
	// x.Response. Interim responses (1xx) do not come here, 101 does.
	ForResponse(x *Exchange, h *Header)
	// Done is called when the exchange has ended. x.Request has what could be read
	// if x.Cause is an *Error.
	Done(x *Exchange)
}

// start makes x that of a request whose head was received now.
func (c *conn) start() *Exchange {
	w := c.w
	w.x = Exchange{
		Request: &w.req, Response: &w.resp,
		Conn: c.given, Context: c.ctx, ClientAddr: c.addr, ClientIP: c.ip, ConnState: c.state,
		Tried: w.x.Tried[:0], RequestHeadBytes: w.x.RequestHeadBytes, Received: c.now,
		RequestProcessing: -time.Second, BackendProcessing: -time.Second, ResponseProcessing: -time.Second,
	}
	w.resp.Header.Fields, w.resp.Header.extra = w.resp.Header.Fields[:0], w.resp.Header.extra[:0]
	return &w.x
}

// done ends the exchange.
func (c *conn) done() {
	x := &c.w.x
	c.s.Director.Done(x)
	c.state = x.ConnState
	clear(x.Tried[:cap(x.Tried)])
}
