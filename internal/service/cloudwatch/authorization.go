package cloudwatch

import (
	"context"
	"errors"
	"maps"
	"reflect"
	"slices"
	"strings"

	"github.com/tarn-eks/tarn/internal/api"
	cloudwatchapi "github.com/tarn-eks/tarn/internal/api/cloudwatch"
	"github.com/tarn-eks/tarn/internal/policy"
	"github.com/tarn-eks/tarn/internal/store"
)

const prefix = "cloudwatch:"

// Authorization returns what a call must be allowed to do: one request for each
// alarm or dashboard that it names, else one without a resource of its own. The
// principal is for the caller to fill in.
//
// https://docs.aws.amazon.com/service-authorization/latest/reference/list_amazoncloudwatch.html
func (s *Service) Authorization(ctx context.Context, operation string, input any) ([]policy.Request, error) {
	keys := asks(input)
	resources := s.resources(operation, input)
	if len(resources) == 0 {
		resources = []string{"*"}
	}
	var requests []policy.Request
	for _, resource := range resources {
		r := policy.Request{Action: prefix + operation, Resources: []string{resource}, ResourceAccount: s.scope.Account, Context: maps.Clone(keys)}
		if err := s.addResourceTags(ctx, &r, resource); err != nil {
			return nil, err
		}
		requests = append(requests, r)
	}
	if len(keys["aws:tagkeys"]) > 0 && strings.HasPrefix(operation, "Put") {
		requests = append(requests, policy.Request{
			Action: prefix + "TagResource", Resources: resources, ResourceAccount: s.scope.Account, Context: maps.Clone(keys),
		})
	}
	return requests, nil
}

// resources are the ARNs that a call is about.
func (s *Service) resources(operation string, input any) []string {
	if strings.HasPrefix(operation, "List") && operation != "ListTagsForResource" || operation == "DescribeAlarmsForMetric" {
		return nil
	}
	var out []string
	in := reflect.ValueOf(input).Elem()
	name := func(member string) string {
		if f := in.FieldByName(member); f.IsValid() {
			p, _ := f.Interface().(*string)
			return api.Val(p)
		}
		return ""
	}
	for member, arn := range map[string]func(string) string{"AlarmName": s.ARN, "DashboardName": s.dashboardARN} {
		if n := name(member); n != "" {
			out = append(out, arn(n))
		}
		if f := in.FieldByName(member + "s"); f.IsValid() {
			for _, n := range f.Interface().([]string) {
				out = append(out, arn(n))
			}
		}
	}
	if arn := name("ResourceARN"); arn != "" {
		out = append(out, arn)
	}
	if len(out) == 0 && (operation == "DescribeAlarms" || operation == "DescribeAlarmHistory") {
		out = append(out, s.ARN("*")) // of all alarms
	}
	return out
}

// asks are the condition keys about what a request gives.
func asks(input any) map[string][]string {
	keys := map[string][]string{}
	addTags := func(tags []cloudwatchapi.Tag) {
		for _, t := range tags {
			policy.AddRequestTag(keys, api.Val(t.Key), api.Val(t.Value))
		}
	}
	switch in := input.(type) {
	case *cloudwatchapi.PutMetricDataInput:
		keys[prefix+"namespace"] = []string{api.Val(in.Namespace)}
	case *cloudwatchapi.PutMetricAlarmInput:
		addActions(keys, in.OKActions, in.AlarmActions, in.InsufficientDataActions)
		addTags(in.Tags)
	case *cloudwatchapi.PutCompositeAlarmInput:
		addActions(keys, in.OKActions, in.AlarmActions, in.InsufficientDataActions)
		addTags(in.Tags)
	case *cloudwatchapi.TagResourceInput:
		addTags(in.Tags)
	case *cloudwatchapi.UntagResourceInput:
		keys["aws:tagkeys"] = in.TagKeys
	}
	return keys
}

func addActions(keys map[string][]string, lists ...[]string) {
	if actions := slices.Concat(lists...); len(actions) > 0 {
		keys[prefix+"alarmactions"] = actions
	}
}

// addResourceTags adds the tags that an alarm has.
func (s *Service) addResourceTags(ctx context.Context, r *policy.Request, resource string) error {
	name, ok := strings.CutPrefix(resource, s.ARN(""))
	if !ok || name == "" || name == "*" {
		return nil
	}
	it, err := s.Alarms.Get(ctx, name)
	if errors.Is(err, store.ErrNotFound) {
		return nil // authorization comes before existence
	}
	for k, v := range it.Value.Tags {
		policy.AddResourceTag(r.Context, k, v)
	}
	return err
}
