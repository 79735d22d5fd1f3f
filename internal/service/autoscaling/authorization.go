package autoscaling

import (
	"context"
	"errors"
	"reflect"
	"slices"
	"strconv"
	"strings"

	"github.com/tarn-eks/tarn/internal/api"
	autoscalingapi "github.com/tarn-eks/tarn/internal/api/autoscaling"
	"github.com/tarn-eks/tarn/internal/policy"
	"github.com/tarn-eks/tarn/internal/store"
)

const prefix = "autoscaling:"

// Authorization returns what a call must be allowed to do: one request for each
// group that it is about, and iam:PassRole and ec2:RunInstances where it says what
// instances are launched from. Descriptions have no resource of their own. The
// principal is for the caller to fill in.
//
// https://docs.aws.amazon.com/service-authorization/latest/reference/list_amazonec2autoscaling.html
func (s *Service) Authorization(ctx context.Context, operation string, input any) ([]policy.Request, error) {
	if strings.HasPrefix(operation, "Describe") {
		return []policy.Request{{Action: prefix + operation, Resources: []string{"*"}, ResourceAccount: s.scope.Account}}, nil
	}
	in := reflect.Indirect(reflect.ValueOf(input))
	var requests []policy.Request
	if f := in.FieldByName("LaunchConfigurationName"); f.IsValid() && !in.FieldByName("AutoScalingGroupName").IsValid() {
		name, err := s.configurationNamed(ctx, text(in, "LaunchConfigurationName"))
		if err != nil {
			return nil, err
		}
		requests = []policy.Request{{Action: prefix + operation, Resources: []string{name}, ResourceAccount: s.scope.Account, Context: asked(in)}}
	} else {
		groups, err := s.groupsIn(ctx, in)
		if err != nil {
			return nil, err
		}
		for _, name := range groups {
			r := policy.Request{Action: prefix + operation, ResourceAccount: s.scope.Account, Context: asked(in)}
			if err := s.addGroup(ctx, &r, name); err != nil {
				return nil, err
			}
			requests = append(requests, r)
		}
	}
	if create, ok := input.(*autoscalingapi.CreateAutoScalingGroupInput); ok && len(create.Tags) > 0 {
		tagging := requests[0]
		tagging.Action = prefix + "CreateOrUpdateTags"
		requests = append(requests, tagging)
	}
	passing, err := s.passing(ctx, in)
	return append(requests, passing...), err
}

// groupsIn are the names of the groups that a request is about.
func (s *Service) groupsIn(ctx context.Context, in reflect.Value) ([]string, error) {
	if f := in.FieldByName("AutoScalingGroupName"); f.IsValid() {
		if name := text(in, "AutoScalingGroupName"); name != "" {
			return []string{name}, nil
		}
		group, _, _ := ParsePolicyARN(text(in, "PolicyName"))
		return []string{group}, nil
	}
	if tags, ok := member(in, "Tags").([]autoscalingapi.Tag); ok {
		var names []string
		for _, t := range tags {
			names = append(names, api.Val(t.ResourceId))
		}
		return unique(names), nil
	}
	it, err := s.member(ctx, text(in, "InstanceId"))
	if api.Code(err) != "" {
		return []string{""}, nil // authorization comes before existence
	}
	return []string{it.Value.Group}, err
}

// addGroup sets the resource of a request, and the tags that it has. What does not
// exist has any id.
func (s *Service) addGroup(ctx context.Context, r *policy.Request, name string) error {
	g := Group{Name: name, ID: "*"}
	if name == "" {
		g.Name = "*"
	} else if it, err := s.Groups.Get(ctx, name); err == nil {
		g = it.Value
	} else if !errors.Is(err, store.ErrNotFound) {
		return err
	}
	r.Resources = []string{s.ARN(g)}
	for _, t := range g.Tags {
		policy.AddResourceTag(r.Context, t.Key, t.Value, "autoscaling")
	}
	return nil
}

func (s *Service) configurationNamed(ctx context.Context, name string) (string, error) {
	c := LaunchConfiguration{Name: name, ID: "*"}
	if name != "" {
		it, err := s.Configurations.Get(ctx, name)
		if err == nil {
			c = it.Value
		} else if !errors.Is(err, store.ErrNotFound) {
			return "", err
		}
	}
	return s.configurationARN(c), nil
}

// member is a member of an input, nil if it has none of the name.
func member(in reflect.Value, name string) any {
	if f := in.FieldByName(name); f.IsValid() {
		return f.Interface()
	}
	return nil
}

func text(in reflect.Value, name string) string {
	s, _ := member(in, name).(*string)
	return api.Val(s)
}

// asked are the condition keys about what a request gives.
func asked(in reflect.Value) map[string][]string {
	keys := map[string][]string{}
	set := func(key string, values ...string) {
		if len(values) > 0 && values[0] != "" {
			keys[prefix+key] = values
		}
	}
	set("launchconfigurationname", text(in, "LaunchConfigurationName"))
	set("imageid", text(in, "ImageId"))
	set("instancetype", text(in, "InstanceType"))
	set("spotprice", text(in, "SpotPrice"))
	set("vpczoneidentifiers", fields(text(in, "VPCZoneIdentifier"))...)
	for m, key := range map[string]string{"LoadBalancerNames": "loadbalancernames", "TargetGroupARNs": "targetgrouparns"} {
		list, _ := member(in, m).([]string)
		set(key, list...)
	}
	for m, key := range map[string]string{"MinSize": "minsize", "MaxSize": "maxsize"} {
		if n, _ := member(in, m).(*int32); n != nil {
			set(key, strconv.Itoa(int(*n)))
		}
	}
	if sources, ok := member(in, "TrafficSources").([]autoscalingapi.TrafficSourceIdentifier); ok {
		var ids []string
		for _, t := range sources {
			ids = append(ids, api.Val(t.Identifier))
		}
		set("trafficsourceidentifiers", ids...)
	}
	if o, _ := member(in, "MetadataOptions").(*autoscalingapi.InstanceMetadataOptions); o != nil {
		set("metadatahttptokens", string(o.HttpTokens))
		set("metadatahttpendpoint", string(o.HttpEndpoint))
		if o.HttpPutResponseHopLimit != nil {
			set("metadatahttpputresponsehoplimit", strconv.Itoa(int(*o.HttpPutResponseHopLimit)))
		}
	}
	specs, types := templatesIn(in)
	if len(specs) > 0 {
		set("launchtemplateversionspecified", strconv.FormatBool(!slices.ContainsFunc(specs, func(t *autoscalingapi.LaunchTemplateSpecification) bool { return t.Version == nil })))
	}
	set("instancetypes", types...)
	if tags, ok := member(in, "Tags").([]autoscalingapi.Tag); ok {
		for _, t := range tags {
			policy.AddRequestTag(keys, api.Val(t.Key), api.Val(t.Value))
		}
	}
	return keys
}

// templatesIn are the launch templates that a request names, and the types of
// instances that it puts in the place of theirs.
func templatesIn(in reflect.Value) (specs []*autoscalingapi.LaunchTemplateSpecification, types []string) {
	add := func(t *autoscalingapi.LaunchTemplateSpecification, mixed *autoscalingapi.MixedInstancesPolicy) {
		if t != nil {
			specs = append(specs, t)
		}
		if mixed == nil || mixed.LaunchTemplate == nil {
			return
		}
		if spec := mixed.LaunchTemplate.LaunchTemplateSpecification; spec != nil {
			specs = append(specs, spec)
		}
		for _, o := range mixed.LaunchTemplate.Overrides {
			if o.LaunchTemplateSpecification != nil {
				specs = append(specs, o.LaunchTemplateSpecification)
			}
			if o.InstanceType != nil {
				types = append(types, *o.InstanceType)
			}
		}
	}
	template, _ := member(in, "LaunchTemplate").(*autoscalingapi.LaunchTemplateSpecification)
	mixed, _ := member(in, "MixedInstancesPolicy").(*autoscalingapi.MixedInstancesPolicy)
	add(template, mixed)
	if d, _ := member(in, "DesiredConfiguration").(*autoscalingapi.DesiredConfiguration); d != nil {
		add(d.LaunchTemplate, d.MixedInstancesPolicy)
	}
	return specs, types
}

// passing is what a caller must be allowed to do who lets a group launch instances:
// to launch from the template, and to pass the role of the instance profile. What
// does not exist, the handler speaks of.
func (s *Service) passing(ctx context.Context, in reflect.Value) ([]policy.Request, error) {
	var requests []policy.Request
	profiles := []string{text(in, "IamInstanceProfile")}
	specs, _ := templatesIn(in)
	for _, spec := range specs {
		version := "$Default"
		if v := api.Val(spec.Version); v != "" {
			version = v
		}
		t, err := s.templates.Template(ctx, api.Val(spec.LaunchTemplateId), api.Val(spec.LaunchTemplateName), version)
		if api.Code(err) != "" {
			continue
		}
		if err != nil {
			return nil, err
		}
		requests = append(requests, policy.Request{
			Action: "ec2:RunInstances", Resources: []string{s.scope.Of("ec2", "launch-template/%s", t.ID)}, ResourceAccount: s.scope.Account,
			Context: map[string][]string{},
		})
		profiles = append(profiles, t.Profile)
	}
	for _, p := range unique(profiles) {
		if p == "" {
			continue
		}
		role, ok, err := s.identity.ProfileRole(ctx, p)
		if err != nil {
			return nil, err
		}
		if ok && role != "" {
			requests = append(requests, policy.Request{
				Action: "iam:PassRole", Resources: []string{role}, ResourceAccount: s.scope.Account,
				Context: map[string][]string{"iam:passedtoservice": {"ec2.amazonaws.com"}},
			})
		}
	}
	return requests, nil
}
