package gateway

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"runtime/debug"
	"strings"
	"time"

	"github.com/google/uuid"

	"github.com/tarn-eks/tarn/internal/api"
	"github.com/tarn-eks/tarn/internal/caller"
	"github.com/tarn-eks/tarn/internal/policy"
	"github.com/tarn-eks/tarn/internal/sigv4"
	"github.com/tarn-eks/tarn/internal/wire"
)

// call is one call on its way through the gateway.
type call struct {
	start    time.Time // on the gateway's clock
	begin    time.Time // for the duration
	service  *service
	protocol wire.Protocol
	name     string // of the operation, as far as it is known
	op       *api.Operation
	input    any
	output   any
	err      error
	reason   string // what the trail says instead of err's text, if not ""

	caller  caller.Caller
	signing string          // signing name of the service, also of one that does not exist
	region  string          // that the request was signed for, or the endpoint's
	session []policy.Source // session policies
	referer string
}

// ServeHTTP answers AWS's clients, and what is asked of Tarn itself below
// /_tarn/.
func (g *Gateway) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	switch {
	case !g.admit(w, r):
	case r.URL.Path == "/_tarn" || strings.HasPrefix(r.URL.Path, "/_tarn/"):
		g.door.ServeHTTP(w, r)
	case isVisit(r):
		g.welcome(w, r)
	case r.Method == http.MethodOptions:
		// No AWS operation has this method: a browser asks whether a page of another
		// origin may call. It may not, which is said by the absence of CORS headers.
		w.Header().Set("Allow", "DELETE, GET, HEAD, PATCH, POST, PUT")
		w.WriteHeader(http.StatusNoContent)
	default:
		g.serve(w, r)
	}
}

func (g *Gateway) serve(w http.ResponseWriter, r *http.Request) {
	c := g.newCall(r)
	g.process(w, r, c)
	g.record(c) // before the answer: who has that finds the call in the trail
	if c.service == g.elsewise.xml {
		w.Header().Set("X-Amz-Request-Id", c.caller.RequestID) // S3's way
	}
	var err error
	if c.err != nil {
		err = c.protocol.WriteError(w, c.err, c.caller.RequestID)
	} else {
		err = c.protocol.WriteOutput(w, c.op, c.output, c.caller.RequestID)
	}
	if err != nil {
		g.log.Debug("answering a call", "call", c.String(), "request", c.caller.RequestID, "err", err)
	}
}

func (g *Gateway) newCall(r *http.Request) *call {
	ip, _, err := net.SplitHostPort(r.RemoteAddr)
	if err != nil {
		ip = r.RemoteAddr
	}
	return &call{
		start: g.cfg.Now(), begin: time.Now(), region: g.cfg.Region, referer: r.Referer(),
		caller: caller.Caller{SourceIP: ip, UserAgent: r.UserAgent(), RequestID: uuid.NewString()},
	}
}

func (c *call) String() string { return c.signing + "." + c.name }

// process does everything but answer. Afterwards the call has its protocol, and
// either an error or an output.
func (g *Gateway) process(w http.ResponseWriter, r *http.Request, c *call) {
	claimed, claimErr := sigv4.Claimed(r)
	var among []*service
	c.service, among = g.route(r, claimed)
	if c.signing = c.service.SigningName; c.signing == "" {
		c.signing = claimed.Service
	}
	c.region = regionOf(c.signing, c.region)
	c.protocol = c.service.Detect(r)
	defer g.catch(c)
	r.Body = http.MaxBytesReader(w, r.Body, c.service.maxBody)

	switch {
	case errors.Is(claimErr, sigv4.ErrUnsigned):
		if c.err = g.unsigned(r, c, claimErr); c.err != nil {
			return
		}
	case claimErr != nil:
		g.refuse(r, c, claimErr)
		return
	default:
		if err := g.authenticate(r, c, claimed); err != nil {
			g.refuse(r, c, err)
			return
		}
		if c.service.handler == nil {
			c.name = operationName(c.service, r)
			c.err = g.unknownService(claimed.Service)
			return
		}
		var err error
		if c.service, err = choose(among, r); err != nil {
			c.service = among[0]
			g.refuse(r, c, err)
			return
		}
		if c.err = c.parse(r); c.err != nil {
			return
		}
	}
	c.output, c.err = g.do(caller.With(r.Context(), c.caller), c)
	if c.err != nil && r.Context().Err() == nil {
		g.logFailure(c)
	}
}

// parse reads the request. What a body's own signature finds wrong while it is
// read is answered as any other wrong signature.
func (c *call) parse(r *http.Request) error {
	req, err := c.service.Parse(r)
	c.protocol, c.op, c.input = req.Protocol, req.Op, req.Input
	c.name = req.Operation
	if e, ok := errors.AsType[*sigv4.Error](err); ok {
		return c.spell(e)
	}
	return err
}

// do asks the policies and then the service.
func (g *Gateway) do(ctx context.Context, c *call) (any, error) {
	if err := g.authorize(ctx, c); err != nil {
		return nil, err
	}
	return c.op.Call(withSession(ctx, c), c.service.handler, c.input)
}

// catch makes a panic the call's error.
func (g *Gateway) catch(c *call) {
	if p := recover(); p != nil {
		g.log.Error("a call panicked", "call", c.String(), "request", c.caller.RequestID,
			"panic", p, "stack", string(debug.Stack()))
		c.output, c.err = nil, fmt.Errorf("panic: %v", p) // the text is not for the client
	}
}

// logFailure tells the log what the client is not told.
func (g *Gateway) logFailure(c *call) {
	e, ok := errors.AsType[*api.Error](c.err)
	if ok && e.Status < 500 && e.Fault != api.Receiver || ok && e.Status == http.StatusNotImplemented {
		return
	}
	g.log.Error("a call failed", "call", c.String(), "request", c.caller.RequestID, "err", c.err)
}
