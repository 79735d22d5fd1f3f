package iam

import (
	"context"
	"errors"
	"slices"

	"github.com/tarn-eks/tarn/internal/api"
	iamapi "github.com/tarn-eks/tarn/internal/api/iam"
	"github.com/tarn-eks/tarn/internal/caller"
	"github.com/tarn-eks/tarn/internal/store"
)

// keysPerUser is how many access keys a user, or root, may have.
var keysPerUser = quota{"AccessKeysPerUser", 2}

// ring is the list of somebody's access keys, and how it is stored.
type ring struct {
	user string // key of the user; empty for root
	name string // of the user
	ids  []string
	save func(ids []string) store.Op
}

func (s *Service) ring(ctx context.Context, who subject) (ring, error) {
	if who.root {
		a, err := s.readAccount(ctx)
		return ring{ids: a.Value.Keys, save: func(ids []string) store.Op {
			a.Value.Keys = ids
			return s.accountOp(a)
		}}, err
	}
	u, err := s.users.get(ctx, who.user)
	return ring{user: u.Key, name: u.Value.Name, ids: u.Value.Keys, save: func(ids []string) store.Op {
		u.Value.Keys = ids
		return s.users.items.UpdateOp(u)
	}}, err
}

// newKey makes an access key for somebody who may have one more.
func (s *Service) newKey(ctx context.Context, who subject, limit quota) (AccessKey, ring, error) {
	k := AccessKey{ID: newKeyID(s.scope.Account), Secret: newSecret(), Active: true, Created: s.time()}
	var r ring
	err := s.change(ctx, func() (_ []store.Op, err error) {
		if r, err = s.ring(ctx, who); err != nil {
			return nil, err
		}
		if err := limit.room(len(r.ids)); err != nil {
			return nil, err
		}
		k.User = r.user
		return []store.Op{r.save(append(slices.Clone(r.ids), k.ID)), s.keys.CreateOp(k.ID, k)}, nil
	})
	return k, r, err
}

// CreateAccessKey makes an access key for a user or for the caller.
func (s *Service) CreateAccessKey(ctx context.Context, in *iamapi.CreateAccessKeyInput) (*iamapi.CreateAccessKeyOutput, error) {
	if err := check(in); err != nil {
		return nil, err
	}
	who, err := s.subject(ctx, in.UserName)
	if err != nil {
		return nil, err
	}
	k, r, err := s.newKey(ctx, who, keysPerUser)
	if err != nil {
		return nil, err
	}
	return &iamapi.CreateAccessKeyOutput{AccessKey: &iamapi.AccessKey{
		UserName: ptr(r.name), AccessKeyId: &k.ID, Status: k.status(), SecretAccessKey: &k.Secret, CreateDate: &k.Created,
	}}, nil
}

// EnsureRootKey returns the first of root's access keys, and makes one if there is none.
func (s *Service) EnsureRootKey(ctx context.Context) (id, secret string, err error) {
	if _, _, err := s.newKey(ctx, subject{root: true}, quota{limit: 1}); err != nil && !iamapi.LimitExceededException.Is(err) {
		return "", "", err
	}
	a, err := s.readAccount(ctx)
	if err != nil {
		return "", "", err
	}
	if len(a.Value.Keys) == 0 {
		return "", "", errors.New("root's access key was deleted just now")
	}
	k, err := s.keys.Get(ctx, a.Value.Keys[0])
	return k.Value.ID, k.Value.Secret, err
}

func (k *AccessKey) status() iamapi.StatusType {
	if k.Active {
		return iamapi.StatusTypeActive
	}
	return iamapi.StatusTypeInactive
}

// ListAccessKeys lists the access keys of a user or of the caller, the oldest first.
func (s *Service) ListAccessKeys(ctx context.Context, in *iamapi.ListAccessKeysInput) (*iamapi.ListAccessKeysOutput, error) {
	if err := check(in); err != nil {
		return nil, err
	}
	who, err := s.subject(ctx, in.UserName)
	if err != nil {
		return nil, err
	}
	r, err := s.ring(ctx, who)
	if err != nil {
		return nil, err
	}
	ids := slices.Sorted(slices.Values(r.ids))
	part, truncated, next, err := page(ids, itself, in.Marker, in.MaxItems)
	if err != nil {
		return nil, err
	}
	out := &iamapi.ListAccessKeysOutput{AccessKeyMetadata: []iamapi.AccessKeyMetadata{}, IsTruncated: truncated, Marker: next}
	for _, id := range r.ids {
		if !slices.Contains(part, id) {
			continue
		}
		k, err := s.keys.Get(ctx, id)
		if errors.Is(err, store.ErrNotFound) {
			continue // deleted meanwhile
		}
		if err != nil {
			return nil, err
		}
		out.AccessKeyMetadata = append(out.AccessKeyMetadata, iamapi.AccessKeyMetadata{
			UserName: ptr(r.name), AccessKeyId: &k.Value.ID, Status: k.Value.status(), CreateDate: &k.Value.Created,
		})
	}
	return out, nil
}

// ownKey reads a key that must be somebody's own.
func (s *Service) ownKey(ctx context.Context, name *string, id string) (ring, store.Item[AccessKey], error) {
	var k store.Item[AccessKey]
	who, err := s.subject(ctx, name)
	if err != nil {
		return ring{}, k, err
	}
	r, err := s.ring(ctx, who)
	if err != nil {
		return ring{}, k, err
	}
	k, err = s.keys.Get(ctx, id)
	if errors.Is(err, store.ErrNotFound) || err == nil && k.Value.User != r.user {
		err = iamapi.NoSuchEntityException.New("The Access Key with id %s cannot be found.", id)
	}
	return r, k, err
}

// UpdateAccessKey makes a key active or inactive.
func (s *Service) UpdateAccessKey(ctx context.Context, in *iamapi.UpdateAccessKeyInput) (*iamapi.UpdateAccessKeyOutput, error) {
	if err := check(in); err != nil {
		return nil, err
	}
	return nil, s.change(ctx, func() ([]store.Op, error) {
		_, k, err := s.ownKey(ctx, in.UserName, *in.AccessKeyId)
		if err != nil {
			return nil, err
		}
		k.Value.Active = in.Status == iamapi.StatusTypeActive
		return []store.Op{s.keys.UpdateOp(k)}, nil
	})
}

// DeleteAccessKey removes a key.
func (s *Service) DeleteAccessKey(ctx context.Context, in *iamapi.DeleteAccessKeyInput) (*iamapi.DeleteAccessKeyOutput, error) {
	if err := check(in); err != nil {
		return nil, err
	}
	err := s.change(ctx, func() ([]store.Op, error) {
		r, k, err := s.ownKey(ctx, in.UserName, *in.AccessKeyId)
		if err != nil {
			return nil, err
		}
		ids := slices.DeleteFunc(slices.Clone(r.ids), func(id string) bool { return id == k.Key })
		return []store.Op{r.save(ids), s.keys.DeleteOp(k)}, nil
	})
	if err != nil {
		return nil, err
	}
	return nil, s.used.drop(ctx, keyUse(*in.AccessKeyId))
}

// GetAccessKeyLastUsed tells when a key was used, and for what.
func (s *Service) GetAccessKeyLastUsed(ctx context.Context, in *iamapi.GetAccessKeyLastUsedInput) (*iamapi.GetAccessKeyLastUsedOutput, error) {
	if err := check(in); err != nil {
		return nil, err
	}
	k, err := s.keys.Get(ctx, *in.AccessKeyId)
	if errors.Is(err, store.ErrNotFound) {
		// That a key does not exist is not for everybody to know: IAM's own answer.
		return nil, api.Errorf(403, "AccessDenied", "User: %s is not authorized to perform iam:GetAccessKeyLastUsed on resource: access key %s",
			caller.From(ctx).Principal.ARN, *in.AccessKeyId)
	}
	if err != nil {
		return nil, err
	}
	out := &iamapi.GetAccessKeyLastUsedOutput{AccessKeyLastUsed: &iamapi.AccessKeyLastUsed{ServiceName: new("N/A"), Region: new("N/A")}}
	if k.Value.User != "" {
		u, err := s.users.get(ctx, k.Value.User)
		if err != nil {
			return nil, err
		}
		out.UserName = &u.Value.Name
	}
	use, err := s.used.get(ctx, keyUse(k.Key))
	if err != nil || use.Time.IsZero() {
		return out, err
	}
	out.AccessKeyLastUsed = &iamapi.AccessKeyLastUsed{LastUsedDate: &use.Time, ServiceName: &use.Service, Region: &use.Region}
	return out, nil
}
