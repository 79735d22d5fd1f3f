package ec2

import (
	"context"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"reflect"
	"slices"
	"strconv"
	"strings"

	"github.com/tarn-eks/tarn/internal/api"
	ec2api "github.com/tarn-eks/tarn/internal/api/ec2"
	"github.com/tarn-eks/tarn/internal/store"
)

// maxVersions is EC2's quota of versions of one launch template.
const maxVersions = 10000

// version finds a version by number, $Latest or $Default; "" is $Default.
func (s *Service) version(ctx context.Context, t LaunchTemplate, which string) (templateVersion, error) {
	number, err := t.number(which)
	if err != nil {
		return templateVersion{}, err
	}
	item, err := s.versions.Get(ctx, versionKey(t.ID, number))
	return item.Value, orMissing(err, "InvalidLaunchTemplateId.VersionNotFound",
		"Could not find the specified version %s for the launch template with ID %s.", which, t.ID)
}

func (t LaunchTemplate) number(which string) (int64, error) {
	switch which {
	case "", "$Default":
		return t.Default, nil
	case "$Latest":
		return t.Latest, nil
	}
	n, err := strconv.ParseInt(which, 10, 64)
	if err != nil || n < 1 {
		return 0, bad("InvalidLaunchTemplateVersion.Malformed", "Invalid launch template version: '%s'. Versions are numbers, $Latest or $Default.", which)
	}
	return n, nil
}

// checkTemplate refuses what no launch could use.
func checkTemplate(ctx context.Context, d *ec2api.RequestLaunchTemplateData) error {
	if reflect.ValueOf(*d).IsZero() {
		return bad("MissingParameter", "The request must contain the parameter LaunchTemplateData, with at least one setting.")
	}
	if d.InstanceType != "" && d.InstanceRequirements != nil {
		return bad("InvalidParameterCombination", "A launch template has either an instance type or instance requirements.")
	}
	data, err := base64.StdEncoding.DecodeString(strings.Join(strings.Fields(api.Val(d.UserData)), ""))
	if err != nil {
		return bad("InvalidUserData.Malformed", "Invalid BASE64 encoding of user data.")
	}
	if len(data) > maxUserData {
		return bad("InvalidParameterValue", "User data is limited to %d bytes", maxUserData)
	}
	for _, t := range d.TagSpecifications {
		if _, err := tagSpecifications(ctx, []ec2api.TagSpecification{{ResourceType: t.ResourceType, Tags: t.Tags}}, t.ResourceType); err != nil {
			return err
		}
	}
	return nil
}

// CreateLaunchTemplateVersion adds a version: the source version, if one is named,
// with what the request sets in place of its settings.
func (s *Service) CreateLaunchTemplateVersion(ctx context.Context, in *ec2api.CreateLaunchTemplateVersionInput) (*ec2api.CreateLaunchTemplateVersionOutput, error) {
	if err := checkTemplate(ctx, in.LaunchTemplateData); err != nil {
		return nil, err
	}
	s.allocating.Lock()
	defer s.allocating.Unlock()
	item, err := s.template(ctx, in.LaunchTemplateId, in.LaunchTemplateName)
	if err != nil {
		return nil, err
	}
	data := *in.LaunchTemplateData
	if in.SourceVersion != nil {
		source, err := s.version(ctx, item.Value, *in.SourceVersion)
		if err != nil {
			return nil, err
		}
		data = override(source.Data, data)
	}
	if err := dryRun(in.DryRun); err != nil {
		return nil, err
	}
	ids, remember, err := s.recall(ctx, "CreateLaunchTemplateVersion", in.ClientToken, in)
	if err != nil {
		return nil, err
	}
	if ids != nil {
		v, err := s.version(ctx, item.Value, ids[0])
		if err != nil {
			return nil, err
		}
		out, err := v.api(item.Value)
		return &ec2api.CreateLaunchTemplateVersionOutput{LaunchTemplateVersion: out}, err
	}
	if item.Value.Numbered >= maxVersions {
		return nil, bad("VersionLimitExceeded", "The maximum number of versions (%d) of the launch template has been reached.", maxVersions)
	}
	// Only here the latest number grows, with s.allocating held; tags may change.
	var v templateVersion
	err = retry(func() error {
		if item, err = s.template(ctx, &item.Key, nil); err != nil {
			return err
		}
		item.Value.Numbered++
		item.Value.Latest = item.Value.Numbered
		v = templateVersion{
			Template: item.Key, Number: item.Value.Numbered, Description: api.Val(in.VersionDescription),
			CreatedBy: s.creator(ctx), Created: s.now(), Data: data,
		}
		_, err := store.Commit(ctx, s.client, append(remember(strconv.FormatInt(v.Number, 10)),
			s.LaunchTemplates.UpdateOp(item), s.versions.CreateOp(versionKey(item.Key, v.Number), v))...)
		return err
	})
	if err != nil {
		return nil, err
	}
	out, err := v.api(item.Value)
	return &ec2api.CreateLaunchTemplateVersionOutput{LaunchTemplateVersion: out}, err
}

// override is base with the members that over sets in place of its own.
func override[T any](base, over T) T {
	out, set := reflect.ValueOf(&base).Elem(), reflect.ValueOf(over)
	for n := range set.NumField() {
		if !set.Field(n).IsZero() {
			out.Field(n).Set(set.Field(n))
		}
	}
	return base
}

// convert is a request's structure as the response's, or as another request's: the
// API has them apart, with members of the same names.
func convert[To any](from any) (To, error) {
	var to To
	data, err := json.Marshal(from)
	if err == nil {
		err = json.Unmarshal(data, &to)
	}
	if err != nil {
		return to, fmt.Errorf("converting a launch template's data: %w", err)
	}
	return to, nil
}

func (v templateVersion) api(t LaunchTemplate) (*ec2api.LaunchTemplateVersion, error) {
	data, err := convert[ec2api.ResponseLaunchTemplateData](v.Data)
	if err != nil {
		return nil, err
	}
	out := &ec2api.LaunchTemplateVersion{
		LaunchTemplateId: new(t.ID), LaunchTemplateName: new(t.Name), VersionNumber: new(v.Number), CreateTime: new(v.Created),
		CreatedBy: new(v.CreatedBy), DefaultVersion: new(v.Number == t.Default), LaunchTemplateData: &data,
	}
	if v.Description != "" {
		out.VersionDescription = new(v.Description)
	}
	return out, nil
}

// described is a version with its template.
type described struct {
	template LaunchTemplate
	version  templateVersion
}

// DescribeLaunchTemplateVersions lists versions of one template, newest first; or
// without a template the latest or default versions of all.
func (s *Service) DescribeLaunchTemplateVersions(ctx context.Context, in *ec2api.DescribeLaunchTemplateVersionsInput) (*ec2api.DescribeLaunchTemplateVersionsOutput, error) {
	if len(in.Versions) > 0 && (in.MinVersion != nil || in.MaxVersion != nil) {
		return nil, bad("InvalidParameterCombination", "Versions cannot be given together with MinVersion or MaxVersion.")
	}
	var found []described
	var err error
	if in.LaunchTemplateId == nil && in.LaunchTemplateName == nil {
		found, err = s.versionsOfAll(ctx, in.Versions)
	} else {
		found, err = s.versionsOf(ctx, in)
	}
	if err != nil {
		return nil, err
	}
	found, err = selected(found, in.Filters, versionAttribute)
	if err != nil {
		return nil, err
	}
	if err := dryRun(in.DryRun); err != nil {
		return nil, err
	}
	key := func(d described) string { return versionKey(d.template.ID, 1e12-1-d.version.Number) }
	slices.SortFunc(found, func(a, b described) int { return strings.Compare(key(a), key(b)) })
	found, next, err := page(found, key, in.MaxResults, in.NextToken, 1, 200)
	if err != nil {
		return nil, err
	}
	out := &ec2api.DescribeLaunchTemplateVersionsOutput{LaunchTemplateVersions: []ec2api.LaunchTemplateVersion{}, NextToken: next}
	for _, d := range found {
		v, err := d.version.api(d.template)
		if err != nil {
			return nil, err
		}
		out.LaunchTemplateVersions = append(out.LaunchTemplateVersions, *v)
	}
	return out, nil
}

func (s *Service) versionsOf(ctx context.Context, in *ec2api.DescribeLaunchTemplateVersionsInput) ([]described, error) {
	item, err := s.template(ctx, in.LaunchTemplateId, in.LaunchTemplateName)
	if err != nil {
		return nil, err
	}
	t := item.Value
	var found []described
	if len(in.Versions) > 0 {
		for _, which := range in.Versions {
			v, err := s.version(ctx, t, which)
			if err != nil {
				return nil, err
			}
			if !slices.ContainsFunc(found, func(d described) bool { return d.version.Number == v.Number }) {
				found = append(found, described{t, v})
			}
		}
		return found, nil
	}
	least, most := int64(1), t.Latest
	if in.MinVersion != nil {
		if least, err = t.number(*in.MinVersion); err != nil {
			return nil, err
		}
	}
	if in.MaxVersion != nil {
		if most, err = t.number(*in.MaxVersion); err != nil {
			return nil, err
		}
	}
	items, _, err := s.versions.List(ctx, t.ID+"/")
	for _, v := range items {
		if v.Value.Number >= least && v.Value.Number <= most {
			found = append(found, described{t, v.Value})
		}
	}
	return found, err
}

func (s *Service) versionsOfAll(ctx context.Context, which []string) ([]described, error) {
	if len(which) == 0 || slices.ContainsFunc(which, func(v string) bool { return v != "$Latest" && v != "$Default" }) {
		return nil, bad("MissingParameter", "The request must contain a launch template ID or name, or only the versions $Latest and $Default.")
	}
	templates, err := list(ctx, s.LaunchTemplates)
	if err != nil {
		return nil, err
	}
	items, _, err := s.versions.List(ctx, "")
	if err != nil {
		return nil, err
	}
	var found []described
	for _, v := range items {
		for _, t := range templates {
			if t.ID == v.Value.Template && (slices.Contains(which, "$Latest") && v.Value.Number == t.Latest || slices.Contains(which, "$Default") && v.Value.Number == t.Default) {
				found = append(found, described{t, v.Value})
			}
		}
	}
	return found, nil
}

func versionAttribute(d described) func(string) ([]string, bool) {
	data := d.version.Data
	return func(name string) ([]string, bool) {
		switch name {
		case "create-time":
			return []string{imageTime(d.version.Created)}, true
		case "ebs-optimized":
			return boolean(api.Val(data.EbsOptimized)), true
		case "image-id":
			return one(api.Val(data.ImageId)), true
		case "instance-type":
			return one(string(data.InstanceType)), true
		case "is-default-version":
			return boolean(d.version.Number == d.template.Default), true
		case "iam-instance-profile":
			if data.IamInstanceProfile == nil {
				return nil, true
			}
			return append(one(api.Val(data.IamInstanceProfile.Arn)), one(api.Val(data.IamInstanceProfile.Name))...), true
		case "http-tokens", "http-endpoint", "http-protocol-ipv4":
			switch m := data.MetadataOptions; {
			case m == nil:
				return nil, true
			case name == "http-tokens":
				return one(string(m.HttpTokens)), true
			default:
				return one(string(m.HttpEndpoint)), true
			}
		case "kernel-id", "ram-disk-id", "host-resource-group-arn", "license-configuration-arn", "network-card-index":
			return nil, true
		}
		return nil, false
	}
}

// DeleteLaunchTemplateVersions removes versions, each by itself; the default
// version stays.
func (s *Service) DeleteLaunchTemplateVersions(ctx context.Context, in *ec2api.DeleteLaunchTemplateVersionsInput) (*ec2api.DeleteLaunchTemplateVersionsOutput, error) {
	s.allocating.Lock()
	defer s.allocating.Unlock()
	item, err := s.template(ctx, in.LaunchTemplateId, in.LaunchTemplateName)
	if err != nil {
		return nil, err
	}
	t := item.Value
	numbers := make([]int64, len(in.Versions))
	for n, which := range in.Versions {
		if numbers[n], err = strconv.ParseInt(which, 10, 64); err != nil {
			return nil, bad("InvalidLaunchTemplateVersion.Malformed", "Invalid launch template version: '%s'. Versions to delete are numbers.", which)
		}
	}
	if err := dryRun(in.DryRun); err != nil {
		return nil, err
	}
	out := &ec2api.DeleteLaunchTemplateVersionsOutput{
		SuccessfullyDeletedLaunchTemplateVersions:   []ec2api.DeleteLaunchTemplateVersionsResponseSuccessItem{},
		UnsuccessfullyDeletedLaunchTemplateVersions: []ec2api.DeleteLaunchTemplateVersionsResponseErrorItem{},
	}
	for _, number := range numbers {
		refusal := &ec2api.ResponseError{Code: "launchTemplateVersionDoesNotExist", Message: new(fmt.Sprintf("The launch template version %d does not exist.", number))}
		err := error(nil)
		if number == t.Default {
			refusal = &ec2api.ResponseError{Code: "unexpectedError", Message: new("The default version of a launch template cannot be deleted.")}
		} else if err = s.versions.Delete(ctx, versionKey(t.ID, number)); err == nil {
			refusal = nil
		}
		switch {
		case err != nil && !isNotFound(err):
			return nil, err
		case refusal != nil:
			out.UnsuccessfullyDeletedLaunchTemplateVersions = append(out.UnsuccessfullyDeletedLaunchTemplateVersions, ec2api.DeleteLaunchTemplateVersionsResponseErrorItem{
				LaunchTemplateId: new(t.ID), LaunchTemplateName: new(t.Name), VersionNumber: new(number), ResponseError: refusal,
			})
		default:
			out.SuccessfullyDeletedLaunchTemplateVersions = append(out.SuccessfullyDeletedLaunchTemplateVersions, ec2api.DeleteLaunchTemplateVersionsResponseSuccessItem{
				LaunchTemplateId: new(t.ID), LaunchTemplateName: new(t.Name), VersionNumber: new(number),
			})
		}
	}
	return out, s.lowerLatest(ctx, t.ID)
}

// lowerLatest finds the newest version anew, after some were deleted.
func (s *Service) lowerLatest(ctx context.Context, id string) error {
	items, _, err := s.versions.List(ctx, id+"/")
	if err != nil || len(items) == 0 {
		return err
	}
	latest := items[len(items)-1].Value.Number
	_, err = s.LaunchTemplates.Modify(ctx, id, func(t *LaunchTemplate) error { t.Latest = latest; return nil })
	return err
}
