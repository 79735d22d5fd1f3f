package elbv2_test

import (
	"fmt"
	"testing"

	sdk "github.com/aws/aws-sdk-go-v2/service/elasticloadbalancingv2"
	"github.com/aws/aws-sdk-go-v2/service/elasticloadbalancingv2/types"
)

func TestTags(t *testing.T) {
	f := newFixture(t)
	lb, web := f.create("web"), f.createGroup("web")
	listener, err := f.listen(lb, 80, web)
	f.ok("listen", err)
	rules, err := f.DescribeRules(t.Context(), &sdk.DescribeRulesInput{ListenerArn: &listener})
	f.ok("rules", err)
	add := func(tags []types.Tag, arns ...string) error {
		_, err := f.AddTags(t.Context(), &sdk.AddTagsInput{ResourceArns: arns, Tags: tags})
		return err
	}
	describe := func(arns ...string) (string, error) {
		out, err := f.DescribeTags(t.Context(), &sdk.DescribeTagsInput{ResourceArns: arns})
		if err != nil {
			return "", err
		}
		var text string
		for _, d := range out.TagDescriptions {
			text += *d.ResourceArn
			for _, tag := range d.Tags {
				text += " " + *tag.Key + "=" + *tag.Value
			}
			text += "\n"
		}
		return text, nil
	}
	f.ok("add", add([]types.Tag{{Key: new("b"), Value: new("1")}, {Key: new("a")}}, lb, listener, web))
	f.ok("change", add([]types.Tag{{Key: new("b"), Value: new("2")}}, listener))
	got, err := describe(lb, listener, web)
	f.ok("describe", err)
	same(t, "tags", got, fmt.Sprintf("%s a= b=1\n%s a= b=2\n%s a= b=1\n", lb, listener, web))
	tagged, err := f.service.Tagged(t.Context())
	f.ok("tagged", err)
	same(t, "tagged", tagged, map[string]map[string]string{lb: {"a": "", "b": "1"}, listener: {"a": "", "b": "2"}, web: {"a": "", "b": "1"}})

	_, err = f.RemoveTags(t.Context(), &sdk.RemoveTagsInput{ResourceArns: []string{web, listener}, TagKeys: []string{"a", "c"}})
	f.ok("remove", err)
	got, err = describe(web, listener)
	f.ok("describe again", err)
	same(t, "left", got, fmt.Sprintf("%s b=1\n%s b=2\n", web, listener))

	var many []types.Tag
	for n := range 49 {
		many = append(many, types.Tag{Key: new(fmt.Sprint("k", n))})
	}
	f.ok("as many as may be", add(many, web))
	f.fails("too many", add(many, lb), "TooManyTags", "The quota for the number of tags that can be assigned to a resource has been reached")
	one := many[:1]
	for _, tt := range []struct{ arn, code, message string }{
		{lb + "0", "LoadBalancerNotFound", "Load balancer '" + lb + "0' not found"},
		{listener + "0", "ListenerNotFound", "Listener '" + listener + "0' not found"},
		{web + "0", "TargetGroupNotFound", "Target groups '" + web + "0' not found"},
		{*rules.Rules[0].RuleArn + "0", "RuleNotFound", "One or more rules not found"},
		{"web", "ValidationError", "'web' is not a valid ARN of a load balancer, listener or target group"},
	} {
		f.fails("add", add(one, lb, tt.arn), tt.code, tt.message)
		_, err := describe(tt.arn)
		f.fails("describe", err, tt.code, tt.message)
	}
	rule := *rules.Rules[0].RuleArn
	f.fails("tag a rule", add(one, lb, rule), "NotImplemented", "Tarn does not implement tags of rules: tag the listener, which has its default rule alone.")
	got, err = describe(rule) // as the AWS Load Balancer Controller does
	f.ok("describe a rule", err)
	same(t, "a rule's tags", got, rule+"\n")
	got, err = describe(lb)
	f.ok("describe at last", err)
	same(t, "no part of what fails", got, lb+" a= b=1\n")
}
