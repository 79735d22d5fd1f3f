// Package caller says who makes an AWS call. The gateway finds it out and puts
// it into the call's context; services read it there. Nothing here decides what
// a caller may do: that is package policy.
package caller

import (
	"context"
	"time"

	"github.com/tarn-eks/tarn/internal/policy"
	"github.com/tarn-eks/tarn/internal/sigv4"
)

// Caller is who makes a call, and how.
type Caller struct {
	Principal   policy.Principal
	AccessKeyID string
	Session     *Session // nil for long-term credentials
	SourceIP    string
	UserAgent   string
	RequestID   string
	// Region is the one that the request was signed for: for some services another
	// than this one. Empty for calls from inside.
	Region string
}

// Session is what is known of temporary credentials, for the trail and for
// conditions.
type Session struct {
	Issued time.Time
	// IssuerARN, IssuerID and IssuerName are the role's; empty for a user's own
	// session.
	IssuerARN, IssuerID, IssuerName string
	// Provider and Subject are who vouched, for web identities.
	Provider, Subject string
	// InstanceID is set when EC2 handed the credentials to an instance.
	InstanceID string
}

// Credential is what an access key stands for.
type Credential struct {
	Secret sigv4.Secret
	Caller Caller
}

type key struct{}

// With puts the caller into the context.
func With(ctx context.Context, c Caller) context.Context {
	return context.WithValue(ctx, key{}, c)
}

// From returns who makes the call; the zero value is nobody.
func From(ctx context.Context) Caller {
	c, _ := ctx.Value(key{}).(Caller)
	return c
}
