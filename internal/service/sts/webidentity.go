package sts

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/go-jose/go-jose/v4"
	"github.com/go-jose/go-jose/v4/jwt"

	"github.com/tarn-eks/tarn/internal/api"
	stsapi "github.com/tarn-eks/tarn/internal/api/sts"
	"github.com/tarn-eks/tarn/internal/caller"
	"github.com/tarn-eks/tarn/internal/policy"
	"github.com/tarn-eks/tarn/internal/store"
)

// algorithms are the signatures that IAM takes from OIDC providers.
var algorithms = []jose.SignatureAlgorithm{
	jose.RS256, jose.RS384, jose.RS512, jose.ES256, jose.ES384, jose.ES512,
}

// clockSkew is how far an issuer's clock may be ahead of the region's.
const clockSkew = 5 * time.Minute

// AssumeRoleWithWebIdentity gives credentials of a role to who holds a token of
// an OIDC provider that the role trusts. The caller needs no AWS credentials.
func (s *Service) AssumeRoleWithWebIdentity(ctx context.Context, in *stsapi.AssumeRoleWithWebIdentityInput) (*stsapi.AssumeRoleWithWebIdentityOutput, error) {
	if err := checkWebIdentity(in); err != nil {
		return nil, err
	}
	next := &session{Name: *in.RoleSessionName}
	packed, err := s.limit(ctx, next, in.Policy, in.PolicyArns)
	if err != nil {
		return nil, err
	}
	id, err := s.identify(ctx, *in.WebIdentityToken)
	if err != nil {
		return nil, err
	}
	role, err := s.role(ctx, *in.RoleArn)
	if err != nil {
		return nil, err
	}
	c := caller.From(ctx)
	conditions := s.requestConditions(c, role, next)
	conditions["aws:federatedprovider"] = []string{id.provider}
	prefix := strings.ToLower(strings.TrimPrefix(id.issuer, "https://")) + ":"
	conditions[prefix+"sub"] = []string{id.subject}
	conditions[prefix+"aud"] = id.audiences
	request := policy.Request{
		Principal: policy.Principal{Type: policy.WebIdentity, Federated: id.provider},
		Action:    "sts:AssumeRoleWithWebIdentity",
		Resources: []string{role.ARN},
		Context:   conditions,
	}
	if d := policy.Evaluate(&request, &policy.Policies{Resource: trustOf(role)}); !d.Allowed() {
		s.cfg.Logger.Debug("web identity refused by the role's trust policy",
			"role", role.ARN, "exists", role.ID != "", "provider", id.provider, "sub", id.subject, "aud", id.audiences)
		return nil, accessDenied("Not authorized to perform sts:AssumeRoleWithWebIdentity")
	}
	lifetime, err := sessionLifetime(in.DurationSeconds, role, false)
	if err != nil {
		return nil, err
	}
	next.RoleARN, next.RoleID = role.ARN, role.ID
	next.Provider, next.Subject = id.provider, id.subject
	credentials, err := s.issue(next, lifetime)
	if err != nil {
		return nil, err
	}
	return &stsapi.AssumeRoleWithWebIdentityOutput{
		Credentials:                 credentials.wire(),
		AssumedRoleUser:             assumedRoleUser(next),
		Audience:                    &id.audience,
		PackedPolicySize:            packed,
		Provider:                    &id.provider,
		SubjectFromWebIdentityToken: &id.subject,
	}, nil
}

func checkWebIdentity(in *stsapi.AssumeRoleWithWebIdentityInput) error {
	var v validation
	v.role(in.RoleArn, in.RoleSessionName, in.DurationSeconds)
	v.length("webIdentityToken", in.WebIdentityToken, 4, 20000)
	v.length("providerId", in.ProviderId, 4, 2048)
	if err := v.err(); err != nil {
		return err
	}
	if in.ProviderId != nil {
		return invalid("ProviderId is for OAuth 2.0 access tokens, of which the region has no provider. Leave it out for OpenID Connect tokens.")
	}
	if parseRole(*in.RoleArn).name == "" {
		return invalid("Request ARN is invalid")
	}
	return nil
}

// webIdentity is who a token turned out to be of.
type webIdentity struct {
	issuer    string
	provider  string // ARN
	subject   string
	audience  string   // the one that the provider is registered with
	audiences []string // for conditions
}

// identify checks a token against its issuer's registration and keys.
func (s *Service) identify(ctx context.Context, token string) (webIdentity, error) {
	t, err := parseToken(token)
	if err != nil {
		return webIdentity{}, err
	}
	issuer := t.claims.Issuer
	provider, err := s.cfg.Providers.OIDCProvider(ctx, issuer)
	if errors.Is(err, store.ErrNotFound) {
		return webIdentity{}, badToken("No OpenIDConnect provider found in your account for %s", issuer)
	}
	if err != nil {
		return webIdentity{}, fmt.Errorf("looking up the OIDC provider of %s: %w", issuer, err)
	}
	audiences := t.audiences()
	i := slices.IndexFunc(audiences, func(a string) bool { return slices.Contains(provider.ClientIDs, a) })
	if i < 0 {
		return webIdentity{}, badToken("Incorrect token audience")
	}
	keys, err := s.cfg.Issuers.Keys(ctx, issuer)
	if err != nil && !errors.Is(err, store.ErrNotFound) {
		return webIdentity{}, stsapi.IDPCommunicationErrorException.New(
			"The identity provider that was asked to verify the incoming identity token could not be reached.").Because(err)
	}
	if err := t.verify(keys); err != nil {
		return webIdentity{}, err
	}
	if err := t.checkTime(s.cfg.Now()); err != nil {
		return webIdentity{}, err
	}
	return webIdentity{
		issuer: issuer, provider: provider.ARN, subject: t.claims.Subject,
		audience: audiences[i], audiences: audiences,
	}, nil
}

func badToken(format string, args ...any) *api.Error {
	return stsapi.InvalidIdentityTokenException.New(format, args...)
}

// idToken is a token whose form is right; nothing it says is to be believed before
// verify.
type idToken struct {
	signed *jwt.JSONWebToken
	claims jwt.Claims
	// azp is who asked for the token, where that is not who it is for.
	azp string
}

func parseToken(text string) (idToken, error) {
	notJWT := badToken("The ID Token provided is not a valid JWT. (You may see this error if you sent an Access Token)")
	signed, err := jwt.ParseSigned(text, algorithms)
	if err != nil {
		return idToken{}, notJWT.Because(err)
	}
	var more struct {
		AuthorizedParty string `json:"azp"`
	}
	t := idToken{signed: signed}
	if err := signed.UnsafeClaimsWithoutVerification(&t.claims, &more); err != nil {
		return idToken{}, notJWT.Because(err)
	}
	t.azp = more.AuthorizedParty
	for _, claim := range []struct {
		name    string
		missing bool
	}{
		{"iss", t.claims.Issuer == ""},
		{"sub", t.claims.Subject == ""},
		{"aud", len(t.audiences()) == 0},
		{"exp", t.claims.Expiry == nil},
		{"iat", t.claims.IssuedAt == nil},
	} {
		if claim.missing {
			return idToken{}, badToken("Missing a required claim: %s", claim.name)
		}
	}
	return t, nil
}

// audiences are the values of the aud condition key: the authorized party if the
// token names one.
func (t *idToken) audiences() []string {
	if t.azp != "" {
		return []string{t.azp}
	}
	return t.claims.Audience
}

// verify checks the signature with the key that the token names, or with every
// key if it names none.
func (t *idToken) verify(keys *jose.JSONWebKeySet) error {
	noKey := badToken("Couldn't retrieve verification key from your identity provider,  please reference AssumeRoleWithWebIdentity documentation for requirements")
	if keys == nil {
		return noKey
	}
	candidates := keys.Keys
	if id := t.signed.Headers[0].KeyID; id != "" {
		candidates = keys.Key(id)
	}
	if len(candidates) == 0 {
		return noKey
	}
	var last error
	for _, key := range candidates {
		if last = t.signed.Claims(key.Public()); last == nil {
			return nil
		}
	}
	return badToken("Token signature invalid").Because(last)
}

func (t *idToken) checkTime(now time.Time) error {
	if end := t.claims.Expiry.Time(); !now.Before(end) {
		return stsapi.ExpiredTokenException.New("Token expired: current date/time %d must be before the expiration date/time %d", now.Unix(), end.Unix())
	}
	for _, start := range []*jwt.NumericDate{t.claims.IssuedAt, t.claims.NotBefore} {
		if start != nil && start.Time().After(now.Add(clockSkew)) {
			return badToken("Token is not valid yet: current date/time %d must not be before %d", now.Unix(), start.Time().Unix())
		}
	}
	return nil
}
