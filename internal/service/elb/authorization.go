package elb

import (
	"context"
	"errors"
	"reflect"
	"strings"

	"github.com/tarn-eks/tarn/internal/api"
	elbapi "github.com/tarn-eks/tarn/internal/api/elb"
	"github.com/tarn-eks/tarn/internal/loadbalancer"
	"github.com/tarn-eks/tarn/internal/policy"
	"github.com/tarn-eks/tarn/internal/store"
)

const (
	service = "elasticloadbalancing"
	prefix  = service + ":"
)

// Authorization returns what a call must be allowed to do: one request for each
// action and load balancer. Descriptions have no resource of their own. The
// principal is for the caller to fill in.
//
// https://docs.aws.amazon.com/service-authorization/latest/reference/list_awselasticloadbalancing.html
func (s *Service) Authorization(ctx context.Context, operation string, input any) ([]policy.Request, error) {
	if strings.HasPrefix(operation, "Describe") {
		return []policy.Request{{Action: prefix + operation, Resources: []string{"*"}, ResourceAccount: s.scope.Account}}, nil
	}
	var requests []policy.Request
	for _, name := range namesIn(input) {
		r := policy.Request{
			Action: prefix + operation, Resources: []string{s.ARN(name)}, ResourceAccount: s.scope.Account, Context: asked(input),
		}
		if err := s.addResourceTags(ctx, &r, name); err != nil {
			return nil, err
		}
		requests = append(requests, r)
	}
	if in, ok := input.(*elbapi.CreateLoadBalancerInput); ok && len(in.Tags) > 0 {
		tagging := policy.Request{
			Action: prefix + "AddTags", Resources: []string{s.ARN(api.Val(in.LoadBalancerName))}, ResourceAccount: s.scope.Account, Context: asked(input),
		}
		tagging.Context[prefix+"createaction"] = []string{operation}
		requests = append(requests, tagging)
	}
	return requests, nil
}

// namesIn are the load balancers that a request names.
func namesIn(input any) []string {
	in := reflect.ValueOf(input).Elem()
	if f := in.FieldByName("LoadBalancerNames"); f.IsValid() {
		return f.Interface().([]string)
	}
	name, _ := in.FieldByName("LoadBalancerName").Interface().(*string)
	return []string{api.Val(name)}
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
	if f := in.FieldByName("Listeners"); f.IsValid() {
		for _, l := range f.Interface().([]elbapi.Listener) {
			keys[prefix+"listenerprotocol"] = append(keys[prefix+"listenerprotocol"], strings.ToUpper(api.Val(l.Protocol)))
		}
	}
	switch in := input.(type) {
	case *elbapi.CreateLoadBalancerInput:
		keys[prefix+"scheme"] = []string{loadbalancer.InternetFacing}
		if in.Scheme != nil {
			keys[prefix+"scheme"] = []string{*in.Scheme}
		}
		addTags(keys, in.Tags)
	case *elbapi.AddTagsInput:
		addTags(keys, in.Tags)
	case *elbapi.RemoveTagsInput:
		for _, t := range in.Tags {
			keys["aws:tagkeys"] = append(keys["aws:tagkeys"], api.Val(t.Key))
		}
	}
	return keys
}

func addTags(keys map[string][]string, tags []elbapi.Tag) {
	for _, t := range tags {
		policy.AddRequestTag(keys, api.Val(t.Key), api.Val(t.Value))
	}
}

// addResourceTags adds the tags that the load balancer has.
func (s *Service) addResourceTags(ctx context.Context, r *policy.Request, name string) error {
	if name == "" {
		return nil // the handler says what is wrong
	}
	it, err := s.LoadBalancers.Get(ctx, name)
	if errors.Is(err, store.ErrNotFound) {
		return nil // authorization comes before existence
	}
	if err != nil {
		return err
	}
	for k, v := range it.Value.Tags {
		policy.AddResourceTag(r.Context, k, v, service)
	}
	return nil
}
