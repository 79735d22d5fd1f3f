package gateway

import (
	"context"
	"fmt"
	"net/http"
	"reflect"
	"time"

	"github.com/google/uuid"

	"github.com/tarn-eks/tarn/internal/api"
	"github.com/tarn-eks/tarn/internal/caller"
	"github.com/tarn-eks/tarn/internal/policy"
	"github.com/tarn-eks/tarn/internal/sigv4"
)

// internal is what CloudTrail gives as the address and agent of AWS's own calls.
const internal = "AWS Internal"

// Invoke makes a call from inside the region: authorization, policies and trail
// as for any other, without HTTP and signature. service is the name of its
// package below internal/api; input points to the operation's input, and the
// output is a pointer to its output. Errors are those that clients get.
//
// Within a call, one that is made as the same caller has the same session policies.
//
// An AWS service (Principal.Type Service) is not asked for permission: it acts
// for the region, and nobody else can become one. Required members of the input
// are not checked.
func (g *Gateway) Invoke(ctx context.Context, c caller.Caller, service, operation string, input any) (any, error) {
	s := g.named(service)
	if s == nil {
		return nil, g.unknownService(service)
	}
	op := s.Lookup(operation)
	if op == nil {
		return nil, api.Errorf(http.StatusNotImplemented, "NotImplemented", "Tarn has no operation %s of %s.", operation, s.ID)
	}
	if reflect.TypeOf(input) != reflect.PointerTo(op.Input) {
		return nil, fmt.Errorf("calling %s of %s with %T instead of *%s", operation, service, input, op.Input)
	}
	if c.RequestID == "" {
		c.RequestID = uuid.NewString()
	}
	if c.SourceIP == "" {
		c.SourceIP = internal
		if c.Principal.Type == policy.Service {
			c.SourceIP = c.Principal.Service
		}
	}
	if c.UserAgent == "" {
		c.UserAgent = c.SourceIP
	}
	call := &call{
		start: g.cfg.Now(), begin: time.Now(), service: s, name: operation, op: op, input: input,
		caller: c, signing: s.SigningName, region: regionOf(s.SigningName, g.cfg.Region), session: sessionPolicies(ctx, c),
	}
	g.invoke(caller.With(ctx, c), call)
	g.record(call)
	return call.output, call.err
}

func (g *Gateway) invoke(ctx context.Context, c *call) {
	defer g.catch(c)
	switch {
	case c.caller.Principal.Type == policy.Service:
		c.output, c.err = c.op.Call(ctx, c.service.handler, c.input)
	case lacksFactor(c.signing, c.caller):
		c.err = c.spell(&sigv4.Error{Cause: sigv4.UnknownKey})
	default:
		c.output, c.err = g.do(ctx, c)
	}
	if c.err != nil && ctx.Err() == nil {
		g.logFailure(c)
	}
}

type sessionKey struct{}

// withSession keeps the call's session policies for the calls that it leads to.
func withSession(ctx context.Context, c *call) context.Context {
	if len(c.session) == 0 {
		return ctx
	}
	return context.WithValue(ctx, sessionKey{}, c)
}

// sessionPolicies are those of the call that ctx belongs to, if c made it.
func sessionPolicies(ctx context.Context, c caller.Caller) []policy.Source {
	outer, ok := ctx.Value(sessionKey{}).(*call)
	if !ok || outer.caller.AccessKeyID != c.AccessKeyID || outer.caller.Principal != c.Principal {
		return nil
	}
	return outer.session
}
