// Package sts is the AWS Security Token Service: who a caller is, and temporary
// credentials. It stores nothing: what credentials stand for is sealed in their
// session token, which only this region can open, so there is nothing to
// replicate, to find or to collect. Roles, policies, OIDC providers and the keys
// of issuers come through small interfaces; signatures of calls are checked by
// the gateway.
package sts

import (
	"context"
	"crypto/cipher"
	"errors"
	"fmt"
	"log/slog"
	"time"

	"github.com/go-jose/go-jose/v4"
	lru "github.com/hashicorp/golang-lru/v2"

	"github.com/tarn-eks/tarn/internal/api"
	stsapi "github.com/tarn-eks/tarn/internal/api/sts"
	"github.com/tarn-eks/tarn/internal/arn"
	"github.com/tarn-eks/tarn/internal/caller"
	"github.com/tarn-eks/tarn/internal/policy"
)

var _ stsapi.Handler = (*Service)(nil)

// Role is what STS needs to know of an IAM role.
type Role struct {
	ARN, ID, Name string // arn:aws:iam::…:role/path/name, AROA…, name
	Trust         *policy.Policy
	// MaxSession is the role's MaxSessionDuration; 0 is one hour.
	MaxSession time.Duration
	Tags       map[string]string
}

// Roles finds roles.
type Roles interface {
	// Role returns the role of an ARN, path included. Its error matches
	// store.ErrNotFound if there is none.
	Role(ctx context.Context, arn string) (Role, error)
}

// Policies finds what is attached to principals, and managed policies.
type Policies interface {
	// Policies returns the identity policies and the boundary that apply to a
	// principal, without session policies. Its error matches store.ErrNotFound if
	// the user or role is gone.
	Policies(ctx context.Context, p policy.Principal) (*policy.Policies, error)
	// ManagedPolicy returns a managed policy's default version. Its error matches
	// store.ErrNotFound if there is none.
	ManagedPolicy(ctx context.Context, arn string) (*policy.Policy, error)
	// UserTags returns an IAM user's tags, for aws:PrincipalTag conditions. Its
	// error matches store.ErrNotFound if the user is gone.
	UserTags(ctx context.Context, p policy.Principal) (map[string]string, error)
}

// Provider is an OIDC provider registered in IAM.
type Provider struct {
	ARN       string
	ClientIDs []string
}

// Providers finds OIDC providers.
type Providers interface {
	// OIDCProvider returns the provider of an issuer's URL (https://…). Its error
	// matches ErrNotFound if none is registered.
	OIDCProvider(ctx context.Context, issuer string) (Provider, error)
}

// Issuers gives the public keys that issuers sign with.
type Issuers interface {
	// Keys returns an issuer's key set. Its error matches store.ErrNotFound for an
	// issuer whose keys cannot be had.
	Keys(ctx context.Context, issuer string) (*jose.JSONWebKeySet, error)
}

// Config is what a Service needs. All but the optional fields are required.
type Config struct {
	Account, Region string
	// Key seals session tokens: 32 bytes that the region keeps secret. Tokens die
	// with it.
	Key []byte

	Roles     Roles
	Policies  Policies
	Providers Providers
	Issuers   Issuers

	// Decode decodes the messages that denied EC2 calls carry. It fails for what
	// the region did not encode. Optional: without it every message is invalid.
	Decode func(message string) (string, error)

	Logger *slog.Logger     // slog.Default() when nil
	Now    func() time.Time // time.Now when nil
}

// Service is STS.
type Service struct {
	cfg   Config
	scope arn.Scope
	aead  cipher.AEAD
	// opened holds the sessions seen last, by access key: opening a token costs a
	// decryption and parsing policies, and AssumeRole asks for its caller's session.
	opened *lru.Cache[string, *opened]
}

// openedSessions is how many sessions are kept in memory, a kilobyte or two each.
const openedSessions = 4096

// New returns the service.
func New(cfg Config) (*Service, error) {
	if cfg.Logger == nil {
		cfg.Logger = slog.Default()
	}
	if cfg.Now == nil {
		cfg.Now = time.Now
	}
	aead, err := newAEAD(cfg.Key)
	if err != nil {
		return nil, fmt.Errorf("the key of session tokens: %w", err)
	}
	cache, err := lru.New[string, *opened](openedSessions)
	if err != nil {
		return nil, fmt.Errorf("making the cache of sessions: %w", err)
	}
	return &Service{
		cfg:    cfg,
		scope:  arn.Scope{Account: cfg.Account, Region: cfg.Region},
		aead:   aead,
		opened: cache,
	}, nil
}

// accessDenied is the error of whoever may not do something.
func accessDenied(format string, args ...any) *api.Error {
	return api.Errorf(403, "AccessDenied", format, args...)
}

// GetCallerIdentity says who calls. Nobody can be forbidden to ask.
func (s *Service) GetCallerIdentity(ctx context.Context, _ *stsapi.GetCallerIdentityInput) (*stsapi.GetCallerIdentityOutput, error) {
	p := caller.From(ctx).Principal
	if p.Type == policy.Anonymous {
		return nil, api.Errorf(403, "MissingAuthenticationToken", "Request is missing Authentication Token")
	}
	return &stsapi.GetCallerIdentityOutput{Account: &p.Account, Arn: &p.ARN, UserId: &p.UserID}, nil
}

// Limits of GetSessionToken, in seconds.
const (
	defaultUserSession = 43200
	maxUserSession     = 129600
	maxRootSession     = 3600
)

// GetSessionToken gives a user, or the account's root, temporary credentials of
// the same identity.
func (s *Service) GetSessionToken(ctx context.Context, in *stsapi.GetSessionTokenInput) (*stsapi.GetSessionTokenOutput, error) {
	var v validation
	v.between("durationSeconds", in.DurationSeconds, minSession, maxUserSession)
	if err := v.err(); err != nil {
		return nil, err
	}
	c := caller.From(ctx)
	if c.Session != nil || c.Principal.Type != policy.User && c.Principal.Type != policy.Root {
		return nil, accessDenied("Cannot call GetSessionToken with session credentials")
	}
	if err := refuseMFA(in.SerialNumber, in.TokenCode); err != nil {
		return nil, err
	}
	seconds := int32(defaultUserSession)
	if in.DurationSeconds != nil {
		seconds = *in.DurationSeconds
	}
	if c.Principal.Type == policy.Root {
		seconds = min(seconds, maxRootSession)
	}
	p := c.Principal
	credentials, err := s.issue(&session{
		Root: p.Type == policy.Root, UserARN: p.ARN, UserID: p.UserID, UserName: p.UserName,
	}, time.Duration(seconds)*time.Second)
	if err != nil {
		return nil, err
	}
	return &stsapi.GetSessionTokenOutput{Credentials: credentials.wire()}, nil
}

// refuseMFA answers callers who bring a code of an MFA device: nobody here has one.
func refuseMFA(serial, code *string) error {
	if serial == nil && code == nil {
		return nil
	}
	return accessDenied("MultiFactorAuthentication failed, unable to validate MFA code.  " +
		"Please verify your MFA serial number is valid and associated with this user.")
}

// GetAccessKeyInfo says which account an access key is of, whether or not there is
// such a key.
func (s *Service) GetAccessKeyInfo(_ context.Context, in *stsapi.GetAccessKeyInfoInput) (*stsapi.GetAccessKeyInfoOutput, error) {
	id := api.Val(in.AccessKeyId)
	var v validation
	v.length("accessKeyId", in.AccessKeyId, 16, 128)
	v.pattern("accessKeyId", in.AccessKeyId, wordForm, `[\w]*`)
	if err := v.err(); err != nil {
		return nil, err
	}
	account, ok := accountOf(id)
	if !ok {
		return nil, invalid("The access key ID %s is not valid", id)
	}
	return &stsapi.GetAccessKeyInfoOutput{Account: &account}, nil
}

// DecodeAuthorizationMessage tells what a denied EC2 call was denied for.
func (s *Service) DecodeAuthorizationMessage(_ context.Context, in *stsapi.DecodeAuthorizationMessageInput) (*stsapi.DecodeAuthorizationMessageOutput, error) {
	var v validation
	v.length("encodedMessage", in.EncodedMessage, 1, 10240)
	if err := v.err(); err != nil {
		return nil, err
	}
	err := errors.New("the region encodes no messages")
	var text string
	if s.cfg.Decode != nil {
		text, err = s.cfg.Decode(*in.EncodedMessage)
	}
	if err != nil {
		return nil, stsapi.InvalidAuthorizationMessageException.New("Message is not valid").Because(err)
	}
	return &stsapi.DecodeAuthorizationMessageOutput{DecodedMessage: &text}, nil
}
