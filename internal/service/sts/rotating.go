package sts

import (
	"context"
	"maps"
	"sync"
	"time"
)

// Instance profile credentials last as long as EC2's, and are renewed when an
// hour is left: whoever asks always gets some that will do for a while.
const (
	instanceLifetime = 6 * time.Hour
	renewBefore      = time.Hour
)

// Rotating hands out the credentials of instance profiles and of service roles:
// the same ones to everybody on an instance, and new ones in good time.
type Rotating struct {
	sts *Service

	mu   sync.Mutex
	held map[string]held // guarded by mu; by service and the session's name
}

type held struct {
	role, roleID string
	credentials  Credentials
}

// NewRotating returns a Rotating that holds nothing yet.
func NewRotating(s *Service) *Rotating {
	return &Rotating{sts: s, held: map[string]held{}}
}

// Credentials returns credentials of the role for an instance, with at least an
// hour left. The role must trust ec2.amazonaws.com; the error is AccessDenied
// (api.Code) if it does not.
func (r *Rotating) Credentials(ctx context.Context, instanceID, roleARN string) (Credentials, error) {
	return r.Session(ctx, Session{RoleARN: roleARN, Name: instanceID, InstanceID: instanceID, Service: "ec2.amazonaws.com"})
}

// Session does so for any service that works in the account's name with a role
// that trusts it. The lifetime is that of instances' credentials.
func (r *Rotating) Session(ctx context.Context, session Session) (Credentials, error) {
	role, err := r.sts.role(ctx, session.RoleARN)
	if err != nil {
		return Credentials{}, err
	}
	key := session.Service + "/" + session.Name
	if c, ok := r.good(key, role); ok {
		return c, nil
	}
	session.Lifetime = instanceLifetime
	c, err := r.sts.Issue(ctx, session)
	if err != nil {
		return Credentials{}, err
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	now := r.sts.cfg.Now()
	maps.DeleteFunc(r.held, func(_ string, h held) bool { return !now.Before(h.credentials.Expires) })
	if h, ok := r.held[key]; ok && r.fresh(h, role) {
		return h.credentials, nil // somebody else was quicker
	}
	r.held[key] = held{role.ARN, role.ID, c}
	return c, nil
}

func (r *Rotating) good(key string, role Role) (Credentials, bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	h, ok := r.held[key]
	return h.credentials, ok && r.fresh(h, role)
}

func (r *Rotating) fresh(h held, role Role) bool {
	return h.role == role.ARN && h.roleID == role.ID && r.sts.cfg.Now().Add(renewBefore).Before(h.credentials.Expires)
}
