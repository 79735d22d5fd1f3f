package sts

import (
	"context"
	"crypto/rand"
	"encoding/base64"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/tarn-eks/tarn/internal/api"
	stsapi "github.com/tarn-eks/tarn/internal/api/sts"
	"github.com/tarn-eks/tarn/internal/arn"
	"github.com/tarn-eks/tarn/internal/caller"
	"github.com/tarn-eks/tarn/internal/policy"
	"github.com/tarn-eks/tarn/internal/sigv4"
	"github.com/tarn-eks/tarn/internal/store"
)

// Limits of role sessions, in seconds.
const (
	minSession     = 900
	defaultSession = 3600
	maxSession     = 43200
)

// Credentials are temporary credentials.
type Credentials struct {
	AccessKeyID, SecretAccessKey, SessionToken string
	Issued, Expires                            time.Time
}

func (c Credentials) wire() *stsapi.Credentials {
	return &stsapi.Credentials{
		AccessKeyId: &c.AccessKeyID, SecretAccessKey: &c.SecretAccessKey,
		SessionToken: &c.SessionToken, Expiration: &c.Expires,
	}
}

// Session asks for credentials of a role on behalf of an AWS service.
type Session struct {
	RoleARN string
	Name    string // of the session; EC2 uses the instance's id
	// Service is the service principal that the role must trust: ec2.amazonaws.com.
	Service string
	// InstanceID is set when the credentials are for an instance.
	InstanceID string
	// Lifetime of the credentials; the role's MaxSessionDuration does not limit
	// services. EC2 gives six hours.
	Lifetime time.Duration
}

// Issue gives a service credentials of a role, for others to use. Its error is
// AccessDenied (api.Code) when the role does not trust the service or does not
// exist.
func (s *Service) Issue(ctx context.Context, in Session) (Credentials, error) {
	role, err := s.role(ctx, in.RoleARN)
	if err != nil {
		return Credentials{}, err
	}
	request := policy.Request{
		Principal: policy.Principal{Type: policy.Service, Service: in.Service},
		Action:    "sts:AssumeRole",
		Resources: []string{in.RoleARN},
		Context:   map[string][]string{"sts:rolesessionname": {in.Name}, "aws:sourceaccount": {s.cfg.Account}},
	}
	d := policy.Evaluate(&request, &policy.Policies{Resource: trustOf(role)})
	if !d.Allowed() {
		return Credentials{}, accessDenied("%s", d.AccessDenied(&request))
	}
	return s.issue(&session{RoleARN: role.ARN, RoleID: role.ID, Name: in.Name, Instance: in.InstanceID}, in.Lifetime)
}

// issue makes credentials for a session, whose times and secret it fills in.
func (s *Service) issue(what *session, lifetime time.Duration) (Credentials, error) {
	id, err := newKeyID(s.cfg.Account)
	if err != nil {
		return Credentials{}, err
	}
	secret := make([]byte, 30)
	rand.Read(secret)
	now := s.cfg.Now().UTC().Truncate(time.Second)
	what.Secret = base64.StdEncoding.EncodeToString(secret) // 40 characters, as AWS's
	what.Issued, what.Expires = now.Unix(), now.Add(lifetime).Unix()
	token, err := seal(s.aead, id, what)
	if err != nil {
		return Credentials{}, err
	}
	return Credentials{
		AccessKeyID: id, SecretAccessKey: what.Secret, SessionToken: token,
		Issued: what.issued(), Expires: what.expires(),
	}, nil
}

// Opened is what temporary credentials turned out to be.
type Opened struct {
	// Credential holds the secret that the request must be signed with, when it
	// expires, and who signs with it.
	Credential caller.Credential
	// Policies are the session's own, which limit what the caller may do. None for
	// sessions without.
	Policies []policy.Source
}

// opened is a session with what is made of it.
type opened struct {
	token      string
	session    *session
	inline     *policy.Policy // nil if the session has none
	credential caller.Credential
}

// Open says what an access key and its session token stand for. Its error
// matches sigv4.ErrUnknownKey for tokens that are not this region's, that belong
// to another access key, or to a user or role that has been deleted, even if
// there is another of the name. Whether they have expired is left to the check of
// the signature.
func (s *Service) Open(ctx context.Context, accessKeyID, token string) (Opened, error) {
	o, err := s.open(accessKeyID, token)
	if err != nil {
		return Opened{}, err
	}
	if err := s.checkExists(ctx, o); err != nil {
		return Opened{}, fmt.Errorf("access key %s: %w", accessKeyID, err)
	}
	policies, err := s.sessionPolicies(ctx, o)
	if err != nil {
		return Opened{}, fmt.Errorf("access key %s: %w", accessKeyID, err)
	}
	return Opened{Credential: o.credential, Policies: policies}, nil
}

// checkExists refuses sessions of users and roles that are gone.
func (s *Service) checkExists(ctx context.Context, o *opened) error {
	if o.session.RoleARN == "" {
		_, err := s.cfg.Policies.Policies(ctx, o.credential.Caller.Principal)
		if errors.Is(err, store.ErrNotFound) {
			return fmt.Errorf("its user %s (%s) is gone: %w", o.session.UserARN, o.session.UserID, sigv4.ErrUnknownKey)
		}
		return err
	}
	role, err := s.cfg.Roles.Role(ctx, o.session.RoleARN)
	if errors.Is(err, store.ErrNotFound) || err == nil && role.ID != o.session.RoleID {
		return fmt.Errorf("its role %s (%s) is gone: %w", o.session.RoleARN, o.session.RoleID, sigv4.ErrUnknownKey)
	}
	if err != nil {
		return fmt.Errorf("looking up role %s: %w", o.session.RoleARN, err)
	}
	return nil
}

func (s *Service) open(accessKeyID, token string) (*opened, error) {
	if o, ok := s.opened.Get(accessKeyID); ok && o.token == token {
		return o, nil
	}
	what, err := unseal(s.aead, accessKeyID, token)
	if err != nil {
		return nil, fmt.Errorf("access key %s: %w: %w", accessKeyID, err, sigv4.ErrUnknownKey)
	}
	o := &opened{token: token, session: what, credential: credential(accessKeyID, token, what)}
	if what.Policy != "" {
		if o.inline, err = policy.Parse(policy.IdentityPolicy, what.Policy); err != nil {
			return nil, fmt.Errorf("access key %s: its session policy: %w", accessKeyID, err)
		}
	}
	s.opened.Add(accessKeyID, o)
	return o, nil
}

// callerSession is the session of a caller who has one. Its token was opened when
// the call's signature was checked.
func (s *Service) callerSession(c caller.Caller) (*opened, error) {
	if o, ok := s.opened.Get(c.AccessKeyID); ok && o.credential.Caller.Principal.ARN == c.Principal.ARN {
		return o, nil
	}
	// Thousands of other sessions have called since; never guess what it was.
	return nil, api.Errorf(503, "ServiceUnavailable", "Service is unable to handle request. Please try again.").
		Because(fmt.Errorf("the session of access key %s is no longer in memory", c.AccessKeyID))
}

func credential(accessKeyID, token string, what *session) caller.Credential {
	about := &caller.Session{
		Issued: what.issued(), Provider: what.Provider, Subject: what.Subject, InstanceID: what.Instance,
	}
	if what.RoleARN != "" {
		about.IssuerARN, about.IssuerID, about.IssuerName = what.RoleARN, what.RoleID, parseRole(what.RoleARN).name
	}
	return caller.Credential{
		Secret: sigv4.Secret{SecretAccessKey: what.Secret, SessionToken: token, Expires: what.expires()},
		Caller: caller.Caller{Principal: what.principal(), AccessKeyID: accessKeyID, Session: about},
	}
}

// PrincipalTags are the tags of a caller, for aws:PrincipalTag conditions: a
// user's, or a role's with those of the session, which come first.
func (s *Service) PrincipalTags(ctx context.Context, c caller.Caller) (map[string]string, error) {
	if c.Principal.Type == policy.User {
		tags, err := s.cfg.Policies.UserTags(ctx, c.Principal)
		if errors.Is(err, store.ErrNotFound) {
			return nil, nil // who has been deleted may nothing anyway
		}
		return tags, err
	}
	if c.Principal.Type != policy.AssumedRole || c.Session == nil {
		return nil, nil
	}
	o, err := s.callerSession(c)
	if err != nil {
		return nil, err
	}
	role, err := s.role(ctx, o.session.RoleARN)
	if err != nil || len(role.Tags) == 0 {
		return o.session.Tags, err
	}
	tags := map[string]string{} // keys differ by more than case
	for k, v := range role.Tags {
		tags[strings.ToLower(k)] = v
	}
	for k, v := range o.session.Tags {
		tags[strings.ToLower(k)] = v
	}
	return tags, nil
}

// parsedRole is a role's ARN, taken apart.
type parsedRole struct{ partition, account, name string }

// parseRole reads a role's ARN; the zero value if it is none.
func parseRole(s string) parsedRole {
	a, err := arn.Parse(s)
	path, found := strings.CutPrefix(a.Resource, "role/")
	if err != nil || a.Service != "iam" || !found {
		return parsedRole{}
	}
	return parsedRole{a.Partition, a.Account, path[strings.LastIndexByte(path, '/')+1:]}
}

// session is the ARN of one of the role's sessions, which has no path.
func (r parsedRole) session(name string) string {
	return arn.ARN{Partition: r.partition, Service: "sts", Account: r.account, Resource: "assumed-role/" + r.name + "/" + name}.String()
}

// role looks a role up; to callers, one that does not exist is one that they may
// not assume: the zero value, without a trust policy.
func (s *Service) role(ctx context.Context, roleARN string) (Role, error) {
	role, err := s.cfg.Roles.Role(ctx, roleARN)
	if errors.Is(err, store.ErrNotFound) {
		return Role{ARN: roleARN}, nil
	}
	if err != nil {
		return Role{}, fmt.Errorf("looking up role %s: %w", roleARN, err)
	}
	return role, nil
}

func trustOf(role Role) policy.Source {
	if role.Trust == nil {
		return policy.Source{ID: role.Name, Policy: trustNobody}
	}
	return policy.Source{ID: role.Name, Policy: role.Trust}
}
