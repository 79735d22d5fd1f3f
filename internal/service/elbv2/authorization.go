package elbv2

import (
	"context"
	"reflect"
	"slices"
	"strings"

	"github.com/tarn-eks/tarn/internal/api"
	elbv2api "github.com/tarn-eks/tarn/internal/api/elbv2"
	"github.com/tarn-eks/tarn/internal/loadbalancer"
	"github.com/tarn-eks/tarn/internal/policy"
)

const prefix = service + ":"

// Authorization returns what a call must be allowed to do: one request for each
// action and resource. Descriptions have no resource of their own. The principal is
// for the caller to fill in.
//
// https://docs.aws.amazon.com/service-authorization/latest/reference/list_awselasticloadbalancingv2.html
func (s *Service) Authorization(ctx context.Context, operation string, input any) ([]policy.Request, error) {
	if strings.HasPrefix(operation, "Describe") {
		return []policy.Request{{Action: prefix + operation, Resources: []string{"*"}, ResourceAccount: s.scope.Account}}, nil
	}
	var requests []policy.Request
	for _, arn := range s.resources(input) {
		r := policy.Request{Action: prefix + operation, Resources: []string{arn}, ResourceAccount: s.scope.Account, Context: asked(input)}
		if err := s.addResourceTags(ctx, &r, arn); err != nil {
			return nil, err
		}
		requests = append(requests, r)
	}
	if created, tags := s.created(input); len(tags) > 0 {
		r := policy.Request{Action: prefix + "AddTags", Resources: []string{created}, ResourceAccount: s.scope.Account, Context: asked(input)}
		r.Context[prefix+"createaction"] = []string{operation}
		requests = append(requests, r)
	}
	return requests, nil
}

// created is the resource that a request asks for, whose id is not known yet, with
// its tags.
func (s *Service) created(input any) (arn string, tags []elbv2api.Tag) {
	switch in := input.(type) {
	case *elbv2api.CreateLoadBalancerInput:
		return s.scope.Of(service, "loadbalancer/%s/%s/*", loadbalancer.Application, api.Val(in.Name)), in.Tags
	case *elbv2api.CreateTargetGroupInput:
		return s.scope.Of(service, "targetgroup/%s/*", api.Val(in.Name)), in.Tags
	case *elbv2api.CreateListenerInput:
		return strings.Replace(api.Val(in.LoadBalancerArn), ":loadbalancer/", ":listener/", 1) + "/*", in.Tags
	}
	return "", nil
}

// resources are what a request acts upon. One that names nothing is for the handler
// to refuse, and needs to be allowed for everything.
func (s *Service) resources(input any) []string {
	switch in := input.(type) {
	case *elbv2api.CreateLoadBalancerInput, *elbv2api.CreateTargetGroupInput:
		arn, _ := s.created(input)
		return []string{arn}
	case *elbv2api.AddTagsInput:
		return unique(in.ResourceArns)
	case *elbv2api.RemoveTagsInput:
		return unique(in.ResourceArns)
	}
	in := reflect.ValueOf(input).Elem()
	for _, member := range []string{"LoadBalancerArn", "ListenerArn", "TargetGroupArn"} {
		if f := in.FieldByName(member); f.IsValid() && !f.IsNil() {
			return []string{f.Elem().String()}
		}
	}
	return []string{"*"}
}

// asked are the condition keys about what a request gives.
func asked(input any) map[string][]string {
	keys := map[string][]string{}
	in := reflect.ValueOf(input).Elem()
	for member, key := range map[string]string{"SecurityGroups": "securitygroup", "Subnets": "subnet"} {
		if f := in.FieldByName(member); f.IsValid() && f.Len() > 0 {
			keys[prefix+key] = f.Interface().([]string)
		}
	}
	if f := in.FieldByName("SubnetMappings"); f.IsValid() {
		for _, m := range f.Interface().([]elbv2api.SubnetMapping) {
			keys[prefix+"subnet"] = append(slices.Clip(keys[prefix+"subnet"]), api.Val(m.SubnetId))
		}
	}
	switch in := input.(type) {
	case *elbv2api.CreateLoadBalancerInput:
		keys[prefix+"scheme"] = []string{loadbalancer.InternetFacing}
		if in.Scheme != "" {
			keys[prefix+"scheme"] = []string{string(in.Scheme)}
		}
		addTags(keys, in.Tags)
	case *elbv2api.CreateTargetGroupInput:
		addTags(keys, in.Tags)
	case *elbv2api.CreateListenerInput:
		addSecurity(keys, in.Protocol, in.SslPolicy)
		addTags(keys, in.Tags)
	case *elbv2api.ModifyListenerInput:
		addSecurity(keys, in.Protocol, in.SslPolicy)
	case *elbv2api.AddTagsInput:
		addTags(keys, in.Tags)
	case *elbv2api.RemoveTagsInput:
		if len(in.TagKeys) > 0 {
			keys["aws:tagkeys"] = in.TagKeys
		}
	}
	return keys
}

func addSecurity(keys map[string][]string, protocol elbv2api.ProtocolEnum, policy *string) {
	if protocol != "" {
		keys[prefix+"listenerprotocol"] = []string{string(protocol)}
	}
	if policy != nil {
		keys[prefix+"securitypolicy"] = []string{*policy}
	}
}

func addTags(keys map[string][]string, tags []elbv2api.Tag) {
	for _, t := range tags {
		policy.AddRequestTag(keys, api.Val(t.Key), api.Val(t.Value))
	}
}

// addResourceTags adds the tags that the resource has.
func (s *Service) addResourceTags(ctx context.Context, r *policy.Request, arn string) error {
	tags, err := s.tagsOf(ctx, arn)
	if api.Code(err) != "" {
		return nil // authorization comes before existence
	}
	if err != nil {
		return err
	}
	for k, v := range tags {
		policy.AddResourceTag(r.Context, k, v, service)
	}
	return nil
}
