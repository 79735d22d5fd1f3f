package iam

import (
	"context"
	"crypto/sha256"
	"encoding/base32"
	"strings"

	"github.com/tarn-eks/tarn/internal/api"
	iamapi "github.com/tarn-eks/tarn/internal/api/iam"
	"github.com/tarn-eks/tarn/internal/arn"
	"github.com/tarn-eks/tarn/internal/caller"
	"github.com/tarn-eks/tarn/internal/policy"
	"github.com/tarn-eks/tarn/internal/store"
)

// policyARN takes apart the ARN of a managed policy.
func policyARN(name string) (arn.ARN, error) {
	a, err := arn.Parse(name)
	if err != nil {
		return a, invalid("ARN %s is not valid.", name)
	}
	if a.Service != "iam" || !strings.HasPrefix(a.Resource, "policy/") {
		return a, iamapi.InvalidInputException.New("ARN %s is not valid.", name)
	}
	return a, nil
}

// awsManaged finds a policy of AWS's own; nil if there is none.
func (s *Service) awsManaged(name string) *policy.Managed {
	rest, ok := strings.CutPrefix(name, s.awsARN(""))
	if !ok {
		return nil
	}
	return policy.ManagedByARN("arn:aws:iam::aws:policy" + rest)
}

// awsARN is the ARN of a policy of AWS's own in the region's partition.
func (s *Service) awsARN(path string) string {
	return "arn:" + arn.Partition(s.scope.Region) + ":iam::aws:policy" + path
}

// customer reads the customer managed policy with an ARN.
func (s *Service) customer(ctx context.Context, name string) (it store.Item[Policy], err error) {
	if _, err := policyARN(name); err != nil {
		return it, err
	}
	found, err := s.policies.find(ctx, last(name))
	if err != nil {
		return it, err
	}
	if found == nil || found.Value.ARN != name {
		if s.awsManaged(name) != nil {
			return it, api.Errorf(403, "AccessDenied", "User: %s is not authorized to perform this operation on resource: policy %s, which belongs to AWS",
				caller.From(ctx).Principal.ARN, name)
		}
		return it, iamapi.NoSuchEntityException.New("Policy %s was not found.", name)
	}
	return *found, nil
}

// attach counts attachments and uses as a boundary, in the commit that makes them: the
// policy can then not be deleted at the same moment. absent is the error for an ARN that
// leads nowhere.
func (s *Service) attach(ctx context.Context, name string, attachments, boundaries int, absent error) ([]store.Op, error) {
	if _, err := policyARN(name); err != nil {
		return nil, err
	}
	if s.awsManaged(name) != nil {
		return nil, nil // never deleted, and counted when somebody asks
	}
	it, err := s.policies.find(ctx, last(name))
	if err != nil {
		return nil, err
	}
	if it == nil || it.Value.ARN != name {
		return nil, absent
	}
	it.Value.Attachments += attachments
	it.Value.Boundaries += boundaries
	return []store.Op{s.policies.items.UpdateOp(*it)}, nil
}

// countBoundary is what changing a permissions boundary means for the policies; "" is none.
func (s *Service) countBoundary(ctx context.Context, from, to string) (ops []store.Op, err error) {
	if from == to {
		return nil, nil
	}
	for name, n := range map[string]int{from: -1, to: 1} {
		if name == "" {
			continue
		}
		if _, err := policyARN(name); err != nil {
			return nil, iamapi.InvalidInputException.New("ARN %s is not valid.", name)
		}
		more, err := s.attach(ctx, name, 0, n, iamapi.NoSuchEntityException.New("Scope ARN: %s does not exist or is not attachable.", name))
		if err != nil {
			return nil, err
		}
		ops = append(ops, more...)
	}
	return ops, nil
}

// usage is how often a policy of AWS's own is used.
type usage struct{ attachments, boundaries int }

// usages counts what entities have, by ARN.
func (s *Service) usages(ctx context.Context) (map[string]usage, error) {
	counts := map[string]usage{}
	count := func(h *Holder) {
		for _, a := range h.Attached {
			u := counts[a]
			u.attachments++
			counts[a] = u
		}
		if h.Boundary != "" {
			u := counts[h.Boundary]
			u.boundaries++
			counts[h.Boundary] = u
		}
	}
	if err := countIn(ctx, s.users, count); err != nil {
		return nil, err
	}
	if err := countIn(ctx, s.groups, count); err != nil {
		return nil, err
	}
	return counts, countIn(ctx, s.roles, count)
}

func countIn[T any](ctx context.Context, k *kind[T], count func(*Holder)) error {
	values, err := k.list(ctx)
	for i := range values {
		count(k.holder(&values[i]))
	}
	return err
}

// awsPolicy is a policy of AWS's own in answers.
func (s *Service) awsPolicy(m *policy.Managed, u usage) iamapi.Policy {
	name := s.awsARN(m.Path + m.Name)
	sum := sha256.Sum256([]byte(m.Name)) // the real ids are not published
	return iamapi.Policy{
		PolicyName: &m.Name, PolicyId: new("ANPA" + base32.StdEncoding.EncodeToString(sum[:])[:17]), Arn: &name, Path: &m.Path,
		DefaultVersionId: &m.Version, AttachmentCount: new(int32(u.attachments)), PermissionsBoundaryUsageCount: new(int32(u.boundaries)),
		IsAttachable: new(true), CreateDate: &m.Created, UpdateDate: &m.Updated,
	}
}
