package ec2

import (
	"context"
	"errors"
	"fmt"
	"regexp"
	"slices"
	"time"

	"github.com/tarn-eks/tarn/internal/api"
	ec2api "github.com/tarn-eks/tarn/internal/api/ec2"
	"github.com/tarn-eks/tarn/internal/caller"
	"github.com/tarn-eks/tarn/internal/store"
)

// LaunchTemplate is a launch template. Its versions are in a collection of their
// own, under versionKey.
type LaunchTemplate struct {
	ID, Name  string
	CreatedBy string // ARN
	Default   int64  // version
	Latest    int64  // number of the newest version
	Numbered  int64  // the last number given: none is used again
	Tags      map[string]string
	Created   time.Time
}

// templateVersion is one version of a launch template, as it was asked for.
type templateVersion struct {
	Template    string // its id
	Number      int64
	Description string
	CreatedBy   string
	Created     time.Time
	Data        ec2api.RequestLaunchTemplateData
}

func versionKey(template string, number int64) string {
	return fmt.Sprintf("%s/%012d", template, number)
}

var templateName = regexp.MustCompile(`^[a-zA-Z0-9()./_-]{3,128}$`)

var noTemplateName = func() error {
	return bad("InvalidLaunchTemplateName.NotFoundException", "At least one of the launch templates specified in the request does not exist.")
}

// template finds a launch template by its id or its name.
func (s *Service) template(ctx context.Context, id, name *string) (store.Item[LaunchTemplate], error) {
	switch {
	case api.Val(id) == "" && api.Val(name) == "":
		return store.Item[LaunchTemplate]{}, bad("MissingParameter", "Either a launch template ID or a launch template name must be specified in the request.")
	case api.Val(id) != "" && api.Val(name) != "":
		return store.Item[LaunchTemplate]{}, bad("InvalidParameterCombination", "Only one of launch template ID or launch template name can be specified in the request.")
	case api.Val(id) != "":
		if err := templateIDs.check(*id); err != nil {
			return store.Item[LaunchTemplate]{}, err
		}
		item, err := s.LaunchTemplates.Get(ctx, *id)
		return item, orMissing(err, templateIDs.notFound, "The specified launch template, with template ID %s, does not exist.", *id)
	}
	items, _, err := s.LaunchTemplates.List(ctx, "")
	if err != nil {
		return store.Item[LaunchTemplate]{}, err
	}
	for _, item := range items {
		if item.Value.Name == *name {
			return item, nil
		}
	}
	return store.Item[LaunchTemplate]{}, noTemplateName()
}

// creator is who makes the call.
func (s *Service) creator(ctx context.Context) string {
	if a := caller.From(ctx).Principal.ARN; a != "" {
		return a
	}
	return s.scope.Global("iam", "root")
}

// CreateLaunchTemplate makes a template with its version 1.
func (s *Service) CreateLaunchTemplate(ctx context.Context, in *ec2api.CreateLaunchTemplateInput) (*ec2api.CreateLaunchTemplateOutput, error) {
	if !templateName.MatchString(*in.LaunchTemplateName) {
		return nil, bad("InvalidLaunchTemplateName.MalformedException", "Launch template names must be between 3 and 128 characters, and may contain letters, numbers, and the following characters: - ( ) . / _")
	}
	tags, err := tagSpecifications(ctx, in.TagSpecifications, ec2api.ResourceTypeLaunchTemplate)
	if err != nil {
		return nil, err
	}
	if err := checkTemplate(ctx, in.LaunchTemplateData); err != nil {
		return nil, err
	}
	if err := dryRun(in.DryRun); err != nil {
		return nil, err
	}
	s.allocating.Lock()
	defer s.allocating.Unlock()
	ids, remember, err := s.recall(ctx, "CreateLaunchTemplate", in.ClientToken, in)
	if err != nil {
		return nil, err
	}
	if ids != nil {
		item, err := s.template(ctx, &ids[0], nil)
		return &ec2api.CreateLaunchTemplateOutput{LaunchTemplate: item.Value.api()}, err
	}
	_, err = s.template(ctx, nil, in.LaunchTemplateName)
	if err == nil {
		return nil, bad("InvalidLaunchTemplateName.AlreadyExistsException", "Launch template name already in use.")
	}
	if api.Code(err) == "" {
		return nil, err
	}
	t := LaunchTemplate{
		ID: newID("lt"), Name: *in.LaunchTemplateName, CreatedBy: s.creator(ctx), Default: 1, Latest: 1, Numbered: 1,
		Tags: tags[ec2api.ResourceTypeLaunchTemplate], Created: s.now(),
	}
	v := templateVersion{Template: t.ID, Number: 1, Description: api.Val(in.VersionDescription), CreatedBy: t.CreatedBy, Created: t.Created, Data: *in.LaunchTemplateData}
	ops := append(remember(t.ID), s.LaunchTemplates.CreateOp(t.ID, t), s.versions.CreateOp(versionKey(t.ID, 1), v))
	if _, err := store.Commit(ctx, s.client, ops...); err != nil {
		return nil, err
	}
	return &ec2api.CreateLaunchTemplateOutput{LaunchTemplate: t.api()}, nil
}

func (t LaunchTemplate) api() *ec2api.LaunchTemplate {
	return &ec2api.LaunchTemplate{
		LaunchTemplateId: new(t.ID), LaunchTemplateName: new(t.Name), CreateTime: new(t.Created), CreatedBy: new(t.CreatedBy),
		DefaultVersionNumber: new(t.Default), LatestVersionNumber: new(t.Latest), Tags: toTags(t.Tags),
	}
}

// DescribeLaunchTemplates lists templates by id, name and filters.
func (s *Service) DescribeLaunchTemplates(ctx context.Context, in *ec2api.DescribeLaunchTemplatesInput) (*ec2api.DescribeLaunchTemplatesOutput, error) {
	if err := templateIDs.check(in.LaunchTemplateIds...); err != nil {
		return nil, err
	}
	all, err := list(ctx, s.LaunchTemplates)
	if err != nil {
		return nil, err
	}
	if len(in.LaunchTemplateIds)+len(in.LaunchTemplateNames) > 0 {
		all, err = chosenTemplates(all, in.LaunchTemplateIds, in.LaunchTemplateNames)
		if err != nil {
			return nil, err
		}
	}
	all, err = selected(all, in.Filters, func(t LaunchTemplate) func(string) ([]string, bool) {
		return func(name string) ([]string, bool) {
			switch name {
			case "create-time":
				return []string{imageTime(t.Created)}, true
			case "launch-template-name":
				return one(t.Name), true
			}
			return tagValues(t.Tags, name)
		}
	})
	if err != nil {
		return nil, err
	}
	if err := dryRun(in.DryRun); err != nil {
		return nil, err
	}
	all, next, err := page(all, func(t LaunchTemplate) string { return t.ID }, in.MaxResults, in.NextToken, 1, 200)
	if err != nil {
		return nil, err
	}
	out := &ec2api.DescribeLaunchTemplatesOutput{LaunchTemplates: []ec2api.LaunchTemplate{}, NextToken: next}
	for _, t := range all {
		out.LaunchTemplates = append(out.LaunchTemplates, *t.api())
	}
	return out, nil
}

// chosenTemplates are those of the ids and names; all must exist.
func chosenTemplates(all []LaunchTemplate, ids, names []string) ([]LaunchTemplate, error) {
	has := func(is func(LaunchTemplate) bool) bool { return slices.ContainsFunc(all, is) }
	for _, id := range ids {
		if !has(func(t LaunchTemplate) bool { return t.ID == id }) {
			return nil, bad(templateIDs.notFound, "The specified launch template, with template ID %s, does not exist.", id)
		}
	}
	for _, name := range names {
		if !has(func(t LaunchTemplate) bool { return t.Name == name }) {
			return nil, noTemplateName()
		}
	}
	return slices.DeleteFunc(all, func(t LaunchTemplate) bool {
		return !slices.Contains(ids, t.ID) && !slices.Contains(names, t.Name)
	}), nil
}

// ModifyLaunchTemplate chooses the default version.
func (s *Service) ModifyLaunchTemplate(ctx context.Context, in *ec2api.ModifyLaunchTemplateInput) (*ec2api.ModifyLaunchTemplateOutput, error) {
	item, err := s.template(ctx, in.LaunchTemplateId, in.LaunchTemplateName)
	if err != nil {
		return nil, err
	}
	if api.Val(in.DefaultVersion) == "" {
		return nil, missing("DefaultVersion")
	}
	v, err := s.version(ctx, item.Value, *in.DefaultVersion)
	if err != nil {
		return nil, err
	}
	if err := dryRun(in.DryRun); err != nil {
		return nil, err
	}
	item, err = s.LaunchTemplates.Modify(ctx, item.Key, func(t *LaunchTemplate) error { t.Default = v.Number; return nil })
	if err != nil {
		return nil, orMissing(err, templateIDs.notFound, "The specified launch template, with template ID %s, does not exist.", item.Key)
	}
	return &ec2api.ModifyLaunchTemplateOutput{LaunchTemplate: item.Value.api()}, nil
}

// DeleteLaunchTemplate removes a template with all its versions.
func (s *Service) DeleteLaunchTemplate(ctx context.Context, in *ec2api.DeleteLaunchTemplateInput) (*ec2api.DeleteLaunchTemplateOutput, error) {
	item, err := s.template(ctx, in.LaunchTemplateId, in.LaunchTemplateName)
	if err != nil {
		return nil, err
	}
	if err := dryRun(in.DryRun); err != nil {
		return nil, err
	}
	// The template first: without it nobody finds the versions, and they are
	// too many for one transaction perhaps.
	if err := s.LaunchTemplates.Delete(ctx, item.Key); err != nil {
		return nil, orMissing(err, templateIDs.notFound, "The specified launch template, with template ID %s, does not exist.", item.Key)
	}
	versions, _, err := s.versions.List(ctx, item.Key+"/")
	if err != nil {
		return nil, err
	}
	for _, v := range versions {
		if err := s.versions.DeleteItem(ctx, v); err != nil && !errors.Is(err, store.ErrNotFound) {
			return nil, err
		}
	}
	return &ec2api.DeleteLaunchTemplateOutput{LaunchTemplate: item.Value.api()}, nil
}
