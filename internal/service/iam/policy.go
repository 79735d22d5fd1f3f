package iam

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"

	"github.com/tarn-eks/tarn/internal/api"
	iamapi "github.com/tarn-eks/tarn/internal/api/iam"
	"github.com/tarn-eks/tarn/internal/policy"
	"github.com/tarn-eks/tarn/internal/store"
)

const (
	maxPolicy   = 6144 // characters of a managed policy, without spaces
	maxVersions = 5
)

func versionID(n int) string { return "v" + strconv.Itoa(n) }

// versionKey orders versions by number.
func versionKey(p *Policy, n int) string { return fmt.Sprintf("%s/%09d", p.ID, n) }

// checkPolicy checks a document for a managed policy.
func (s *Service) checkPolicy(document string) error {
	if _, err := s.documents.parse(policy.IdentityPolicy, document); err != nil {
		return err
	}
	if size(document) > maxPolicy {
		return quota{"PolicySize", maxPolicy}.room(maxPolicy)
	}
	return nil
}

// CreatePolicy makes a customer managed policy.
func (s *Service) CreatePolicy(ctx context.Context, in *iamapi.CreatePolicyInput) (*iamapi.CreatePolicyOutput, error) {
	if err := check(in); err != nil {
		return nil, err
	}
	tags, err := s.policies.newTags(in.Tags)
	if err != nil {
		return nil, err
	}
	if err := s.checkPolicy(*in.PolicyDocument); err != nil {
		return nil, err
	}
	p := Policy{
		Resource:    Resource{Name: *in.PolicyName, Path: or(in.Path, "/"), Tags: tags},
		Description: api.Val(in.Description), Document: *in.PolicyDocument,
		Updated: s.time(), Default: 1, Last: 1, Versions: []int{1},
	}
	exists := iamapi.EntityAlreadyExistsException.New("A policy called %s already exists. Duplicate names are not allowed.", p.Name)
	err = s.policies.create(ctx, &p, exists, func() ([]store.Op, error) {
		return []store.Op{s.versions.CreateOp(versionKey(&p, 1), Version{p.Document, p.Created})}, nil
	})
	if err != nil {
		return nil, err
	}
	out := p.api()
	out.Tags = in.Tags
	return &iamapi.CreatePolicyOutput{Policy: &out}, nil
}

// GetPolicy describes a managed policy.
func (s *Service) GetPolicy(ctx context.Context, in *iamapi.GetPolicyInput) (*iamapi.GetPolicyOutput, error) {
	if err := check(in); err != nil {
		return nil, err
	}
	if m := s.awsManaged(*in.PolicyArn); m != nil {
		counts, err := s.usages(ctx)
		if err != nil {
			return nil, err
		}
		out := s.awsPolicy(m, counts[*in.PolicyArn])
		out.Description, out.Tags = &m.Description, []iamapi.Tag{}
		return &iamapi.GetPolicyOutput{Policy: &out}, nil
	}
	it, err := s.customer(ctx, *in.PolicyArn)
	if err != nil {
		return nil, err
	}
	out := it.Value.api()
	out.Description, out.Tags = ptr(it.Value.Description), allTags(it.Value.Tags)
	return &iamapi.GetPolicyOutput{Policy: &out}, nil
}

// ListPolicies lists managed policies by name.
func (s *Service) ListPolicies(ctx context.Context, in *iamapi.ListPoliciesInput) (*iamapi.ListPoliciesOutput, error) {
	if err := check(in); err != nil {
		return nil, err
	}
	var all []iamapi.Policy
	if in.Scope != iamapi.PolicyScopeTypeAws {
		own, err := s.policies.list(ctx)
		if err != nil {
			return nil, err
		}
		all = convert(own, (*Policy).api)
	}
	if in.Scope != iamapi.PolicyScopeTypeLocal {
		counts, err := s.usages(ctx)
		if err != nil {
			return nil, err
		}
		for _, m := range policy.AWSManaged() {
			all = append(all, s.awsPolicy(m, counts[s.awsARN(m.Path+m.Name)]))
		}
	}
	all = slices.DeleteFunc(all, func(p iamapi.Policy) bool {
		attached, bounding := *p.AttachmentCount > 0, *p.PermissionsBoundaryUsageCount > 0
		switch in.PolicyUsageFilter {
		case iamapi.PolicyUsageTypePermissionsPolicy:
			bounding = false
		case iamapi.PolicyUsageTypePermissionsBoundary:
			attached = false
		}
		filtered := api.Val(in.OnlyAttached) || in.PolicyUsageFilter != ""
		return filtered && !attached && !bounding || !strings.HasPrefix(*p.Path, or(in.PathPrefix, "/"))
	})
	order := func(p *iamapi.Policy) string { return key(*p.PolicyName) + " " + *p.Arn }
	slices.SortFunc(all, func(a, b iamapi.Policy) int { return strings.Compare(order(&a), order(&b)) })
	part, truncated, next, err := page(all, order, in.Marker, in.MaxItems)
	return &iamapi.ListPoliciesOutput{Policies: part, IsTruncated: truncated, Marker: next}, err
}

// DeletePolicy removes a customer managed policy that nothing uses and that has no
// version but the default one.
func (s *Service) DeletePolicy(ctx context.Context, in *iamapi.DeletePolicyInput) (*iamapi.DeletePolicyOutput, error) {
	if err := check(in); err != nil {
		return nil, err
	}
	return nil, s.change(ctx, func() ([]store.Op, error) {
		it, err := s.customer(ctx, *in.PolicyArn)
		if err != nil {
			return nil, err
		}
		p := &it.Value
		switch {
		case p.Attachments > 0 || p.Boundaries > 0:
			return nil, iamapi.DeleteConflictException.New("Cannot delete a policy attached to entities.")
		case len(p.Versions) > 1:
			return nil, iamapi.DeleteConflictException.New("This policy has more than one version. Before you delete a policy, " +
				"you must delete the policy's versions. The default version is deleted with the policy.")
		}
		v, err := s.versions.Get(ctx, versionKey(p, p.Default))
		if errors.Is(err, store.ErrNotFound) {
			return nil, iamapi.ConcurrentModificationException.New("Policy %s is being changed. Try again.", p.ARN)
		}
		return []store.Op{s.policies.items.DeleteOp(it), s.versions.DeleteOp(v)}, err
	})
}

// noVersion is the error for a version that a policy does not have.
func noVersion(arn, version string) error {
	return iamapi.NoSuchEntityException.New("Policy %s version %s does not exist or is not attachable.", arn, version)
}

// versioned reads a policy, and checks that it has a version; number is its number.
func (s *Service) versioned(ctx context.Context, arn, version string) (it store.Item[Policy], number int, err error) {
	it, err = s.customer(ctx, arn)
	if iamapi.NoSuchEntityException.Is(err) {
		err = noVersion(arn, version)
	}
	if err != nil {
		return it, 0, err
	}
	number, err = strconv.Atoi(strings.TrimPrefix(version, "v"))
	if err != nil || !slices.Contains(it.Value.Versions, number) {
		return it, 0, noVersion(arn, version)
	}
	return it, number, nil
}

// CreatePolicyVersion adds a version to a customer managed policy.
func (s *Service) CreatePolicyVersion(ctx context.Context, in *iamapi.CreatePolicyVersionInput) (*iamapi.CreatePolicyVersionOutput, error) {
	if err := check(in); err != nil {
		return nil, err
	}
	if err := s.checkPolicy(*in.PolicyDocument); err != nil {
		return nil, err
	}
	v := Version{Document: *in.PolicyDocument, Created: s.time()}
	var number int
	err := s.change(ctx, func() ([]store.Op, error) {
		it, err := s.customer(ctx, *in.PolicyArn)
		if err != nil {
			return nil, err
		}
		p := &it.Value
		if len(p.Versions) >= maxVersions {
			return nil, iamapi.LimitExceededException.New("A managed policy can have up to %d versions. Before you create a new version, "+
				"you must delete an existing version.", maxVersions)
		}
		p.Last++
		number = p.Last
		p.Versions = append(p.Versions, number)
		p.Updated = v.Created
		if api.Val(in.SetAsDefault) {
			p.Default, p.Document = number, v.Document
		}
		return []store.Op{s.policies.items.UpdateOp(it), s.versions.CreateOp(versionKey(p, number), v)}, nil
	})
	if err != nil {
		return nil, err
	}
	return &iamapi.CreatePolicyVersionOutput{PolicyVersion: &iamapi.PolicyVersion{
		VersionId: new(versionID(number)), IsDefaultVersion: new(api.Val(in.SetAsDefault)), CreateDate: &v.Created,
	}}, nil
}

// GetPolicyVersion returns a version with its document.
func (s *Service) GetPolicyVersion(ctx context.Context, in *iamapi.GetPolicyVersionInput) (*iamapi.GetPolicyVersionOutput, error) {
	if err := check(in); err != nil {
		return nil, err
	}
	if m := s.awsManaged(*in.PolicyArn); m != nil {
		if *in.VersionId != m.Version {
			return nil, noVersion(*in.PolicyArn, *in.VersionId)
		}
		return &iamapi.GetPolicyVersionOutput{PolicyVersion: awsVersion(m, true)}, nil
	}
	it, number, err := s.versioned(ctx, *in.PolicyArn, *in.VersionId)
	if err != nil {
		return nil, err
	}
	v, err := s.versions.Get(ctx, versionKey(&it.Value, number))
	if errors.Is(err, store.ErrNotFound) {
		return nil, noVersion(*in.PolicyArn, *in.VersionId)
	}
	return &iamapi.GetPolicyVersionOutput{PolicyVersion: &iamapi.PolicyVersion{
		Document: encoded(v.Value.Document), VersionId: new(versionID(number)),
		IsDefaultVersion: new(number == it.Value.Default), CreateDate: &v.Value.Created,
	}}, err
}

// awsVersion is the one version of a policy of AWS's own that is known here.
func awsVersion(m *policy.Managed, document bool) *iamapi.PolicyVersion {
	v := &iamapi.PolicyVersion{VersionId: &m.Version, IsDefaultVersion: new(true), CreateDate: &m.Updated}
	if document {
		v.Document = encoded(m.Policy.Document())
	}
	return v
}

// versionsOf lists a policy's versions, the newest first.
func (s *Service) versionsOf(ctx context.Context, p *Policy, document bool) ([]iamapi.PolicyVersion, error) {
	items, _, err := s.versions.List(ctx, p.ID+"/")
	slices.Reverse(items)
	return convert(items, func(it *store.Item[Version]) iamapi.PolicyVersion {
		number, _ := strconv.Atoi(last(it.Key)) // versionKey made it
		v := iamapi.PolicyVersion{
			VersionId: new(versionID(number)), IsDefaultVersion: new(number == p.Default), CreateDate: &it.Value.Created,
		}
		if document {
			v.Document = encoded(it.Value.Document)
		}
		return v
	}), err
}

// ListPolicyVersions lists versions without their documents, the newest first.
func (s *Service) ListPolicyVersions(ctx context.Context, in *iamapi.ListPolicyVersionsInput) (*iamapi.ListPolicyVersionsOutput, error) {
	if err := check(in); err != nil {
		return nil, err
	}
	var versions []iamapi.PolicyVersion
	if m := s.awsManaged(*in.PolicyArn); m != nil {
		versions = append(versions, *awsVersion(m, false))
	} else {
		it, err := s.customer(ctx, *in.PolicyArn)
		if err != nil {
			return nil, err
		}
		if versions, err = s.versionsOf(ctx, &it.Value, false); err != nil {
			return nil, err
		}
	}
	order := func(v *iamapi.PolicyVersion) string { // falls with the number
		number, _ := strconv.Atoi((*v.VersionId)[1:])
		return fmt.Sprintf("%09d", 1_000_000_000-1-number)
	}
	part, truncated, next, err := page(versions, order, in.Marker, in.MaxItems)
	return &iamapi.ListPolicyVersionsOutput{Versions: part, IsTruncated: truncated, Marker: next}, err
}

// SetDefaultPolicyVersion says which version applies.
func (s *Service) SetDefaultPolicyVersion(ctx context.Context, in *iamapi.SetDefaultPolicyVersionInput) (*iamapi.SetDefaultPolicyVersionOutput, error) {
	if err := check(in); err != nil {
		return nil, err
	}
	return nil, s.change(ctx, func() ([]store.Op, error) {
		it, number, err := s.versioned(ctx, *in.PolicyArn, *in.VersionId)
		if err != nil || number == it.Value.Default {
			return nil, err
		}
		v, err := s.versions.Get(ctx, versionKey(&it.Value, number))
		if errors.Is(err, store.ErrNotFound) {
			return nil, noVersion(*in.PolicyArn, *in.VersionId)
		}
		it.Value.Default, it.Value.Document, it.Value.Updated = number, v.Value.Document, s.time()
		return []store.Op{s.policies.items.UpdateOp(it)}, err
	})
}

// DeletePolicyVersion removes a version that is not the default one.
func (s *Service) DeletePolicyVersion(ctx context.Context, in *iamapi.DeletePolicyVersionInput) (*iamapi.DeletePolicyVersionOutput, error) {
	if err := check(in); err != nil {
		return nil, err
	}
	return nil, s.change(ctx, func() ([]store.Op, error) {
		it, number, err := s.versioned(ctx, *in.PolicyArn, *in.VersionId)
		if err != nil {
			return nil, err
		}
		if number == it.Value.Default {
			return nil, iamapi.DeleteConflictException.New("Cannot delete the default version of a policy.")
		}
		v, err := s.versions.Get(ctx, versionKey(&it.Value, number))
		if errors.Is(err, store.ErrNotFound) {
			return nil, noVersion(*in.PolicyArn, *in.VersionId)
		}
		it.Value.Versions = slices.DeleteFunc(it.Value.Versions, func(n int) bool { return n == number })
		it.Value.Updated = s.time()
		return []store.Op{s.policies.items.UpdateOp(it), s.versions.DeleteOp(v)}, err
	})
}
