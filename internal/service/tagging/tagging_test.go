package tagging

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/tarn-eks/tarn/internal/api"
	taggingapi "github.com/tarn-eks/tarn/internal/api/tagging"
	"github.com/tarn-eks/tarn/internal/arn"
	"github.com/tarn-eks/tarn/internal/caller"
	"github.com/tarn-eks/tarn/internal/policy"
)

const (
	regional = "arn:aws:ec2:ap-northeast-2:000000000000:"
	global   = "arn:aws:iam::000000000000:"
)

// memory is a Source in memory. What it has no entry for does not exist.
type memory map[string]map[string]string

func (m memory) Tagged(context.Context) (map[string]map[string]string, error) {
	return maps.Clone(m), nil
}

func (m memory) Tag(_ context.Context, name string, tags map[string]string) error {
	switch {
	case strings.HasSuffix(name, "/denied"):
		e := api.Errorf(403, "AccessDenied", "not authorized")
		e.Shape = "AccessDeniedException"
		return e
	case strings.HasSuffix(name, "/broken"):
		return errors.New("a cause that is nobody's business")
	case m[name] == nil:
		return api.Errorf(400, "InvalidInstanceID.NotFound", "The instance ID does not exist")
	}
	maps.Copy(m[name], tags)
	return nil
}

func (m memory) Untag(_ context.Context, name string, keys []string) error {
	for _, k := range keys {
		delete(m[name], k)
	}
	return nil
}

func newService() *Service {
	return New(Config{Account: "000000000000", Region: "ap-northeast-2", Sources: map[string]Source{
		"ec2": memory{
			regional + "instance/i-1": {"Name": "one", "team": "blue"},
			regional + "instance/i-2": {"team": "red"},
			regional + "volume/vol-1": {"team": "blue"},
			regional + "vpc/vpc-1":    {},
		},
		"eks": memory{"arn:aws:eks:ap-northeast-2:000000000000:cluster/c": {"Team": "blue"}},
		"iam": memory{global + "policy/p": {"team": "green"}},
	}})
}

// in is a call that was signed for a region.
func in(t *testing.T, region string) context.Context {
	return caller.With(t.Context(), caller.Caller{Region: region})
}

// short are the ends of the ARNs in an answer.
func short(out *taggingapi.GetResourcesOutput) []string {
	list := []string{}
	for _, m := range out.ResourceTagMappingList {
		list = append(list, (*m.ResourceARN)[strings.LastIndexByte(*m.ResourceARN, ':')+1:])
	}
	return list
}

func filter(key string, values ...string) taggingapi.TagFilter {
	return taggingapi.TagFilter{Key: &key, Values: values}
}

func TestGetResources(t *testing.T) {
	s := newService()
	all := []string{"instance/i-1", "instance/i-2", "volume/vol-1", "cluster/c"}
	for name, c := range map[string]struct {
		region string
		in     taggingapi.GetResourcesInput
		want   []string
	}{
		"all that has tags":         {"", taggingapi.GetResourcesInput{}, all},
		"in the region":             {"ap-northeast-2", taggingapi.GetResourcesInput{}, all},
		"what is global":            {"us-east-1", taggingapi.GetResourcesInput{}, []string{"policy/p"}},
		"a service":                 {"", taggingapi.GetResourcesInput{ResourceTypeFilters: []string{"ec2"}}, all[:3]},
		"a type":                    {"", taggingapi.GetResourcesInput{ResourceTypeFilters: []string{"ec2:volume"}}, all[2:3]},
		"types":                     {"", taggingapi.GetResourcesInput{ResourceTypeFilters: []string{"ec2:volume", "eks:cluster"}}, all[2:]},
		"the beginning of a type":   {"", taggingapi.GetResourcesInput{ResourceTypeFilters: []string{"ec2:inst"}}, []string{}},
		"an unknown service":        {"", taggingapi.GetResourcesInput{ResourceTypeFilters: []string{"s3:bucket"}}, []string{}},
		"a key":                     {"", taggingapi.GetResourcesInput{TagFilters: []taggingapi.TagFilter{filter("team")}}, all[:3]},
		"a value":                   {"", taggingapi.GetResourcesInput{TagFilters: []taggingapi.TagFilter{filter("team", "blue")}}, []string{all[0], all[2]}},
		"one of the values":         {"", taggingapi.GetResourcesInput{TagFilters: []taggingapi.TagFilter{filter("team", "blue", "red")}}, all[:3]},
		"all keys":                  {"", taggingapi.GetResourcesInput{TagFilters: []taggingapi.TagFilter{filter("team", "blue"), filter("Name")}}, all[:1]},
		"a value in another case":   {"", taggingapi.GetResourcesInput{TagFilters: []taggingapi.TagFilter{filter("team", "Blue")}}, []string{}},
		"named":                     {"", taggingapi.GetResourcesInput{ResourceARNList: []string{regional + "instance/i-2", regional + "instance/i-9", regional + "instance/i-2"}}, all[1:2]},
		"named without tags":        {"", taggingapi.GetResourcesInput{ResourceARNList: []string{regional + "vpc/vpc-1"}}, []string{}},
		"named, global":             {"", taggingapi.GetResourcesInput{ResourceARNList: []string{global + "policy/p"}}, []string{}},
		"named, global, over there": {"us-east-1", taggingapi.GetResourcesInput{ResourceARNList: []string{global + "policy/p"}}, []string{"policy/p"}},
		"that do not comply":        {"", taggingapi.GetResourcesInput{IncludeComplianceDetails: new(true), ExcludeCompliantResources: new(true)}, []string{}},
	} {
		t.Run(name, func(t *testing.T) {
			out, err := s.GetResources(in(t, c.region), &c.in)
			if err != nil {
				t.Fatal(err)
			}
			if d := cmp.Diff(c.want, short(out)); d != "" {
				t.Error(d)
			}
			if api.Val(out.PaginationToken) != "" || out.PaginationToken == nil {
				t.Errorf("the token is %v, and AWS has an empty one", out.PaginationToken)
			}
		})
	}
	out, err := s.GetResources(t.Context(), &taggingapi.GetResourcesInput{ResourcesPerPage: new(int32(1)), IncludeComplianceDetails: new(true)})
	if err != nil {
		t.Fatal(err)
	}
	want := []taggingapi.ResourceTagMapping{{
		ResourceARN:       new(regional + "instance/i-1"),
		Tags:              []taggingapi.Tag{{Key: new("Name"), Value: new("one")}, {Key: new("team"), Value: new("blue")}},
		ComplianceDetails: &taggingapi.ComplianceDetails{ComplianceStatus: new(true), NoncompliantKeys: []string{}, KeysWithNoncompliantValues: []string{}},
	}}
	if d := cmp.Diff(want, out.ResourceTagMappingList); d != "" {
		t.Error(d)
	}
}

func TestGetResourcesRefuses(t *testing.T) {
	s := newService()
	for name, c := range map[string]struct {
		in   taggingapi.GetResourcesInput
		want string // in the text
	}{
		"no resources on a page":   {taggingapi.GetResourcesInput{ResourcesPerPage: new(int32(0))}, "ResourcesPerPage must be between 1 and 100"},
		"too many on a page":       {taggingapi.GetResourcesInput{ResourcesPerPage: new(int32(101))}, "ResourcesPerPage must be between 1 and 100"},
		"few tags on a page":       {taggingapi.GetResourcesInput{TagsPerPage: new(int32(99))}, "TagsPerPage must be between 100 and 500"},
		"many tags on a page":      {taggingapi.GetResourcesInput{TagsPerPage: new(int32(501))}, "TagsPerPage must be between 100 and 500"},
		"no token":                 {taggingapi.GetResourcesInput{PaginationToken: new("%")}, "PaginationToken is not valid"},
		"a token of another list":  {taggingapi.GetResourcesInput{PaginationToken: new(newToken("GetTagKeys", "a", time.Now()))}, "PaginationToken is not valid"},
		"names and pages":          {taggingapi.GetResourcesInput{ResourceARNList: []string{regional + "vpc/vpc-1"}, ResourcesPerPage: new(int32(5))}, "ResourceARNList cannot be specified together"},
		"no names":                 {taggingapi.GetResourcesInput{ResourceARNList: []string{}}, "ResourceARNList must have 1 to 100 items"},
		"many names":               {taggingapi.GetResourcesInput{ResourceARNList: make([]string, 101)}, "ResourceARNList must have 1 to 100 items"},
		"a name that is none":      {taggingapi.GetResourcesInput{ResourceARNList: []string{"i-1"}}, "i-1 is not a valid AmazonResourceName (ARN)"},
		"a name without a type":    {taggingapi.GetResourcesInput{ResourceARNList: []string{regional + "i-1"}}, regional + "i-1 is not a valid AmazonResourceName (ARN)"},
		"another region":           {taggingapi.GetResourcesInput{ResourceARNList: []string{"arn:aws:ec2:eu-west-1:000000000000:vpc/vpc-1"}}, "does not match with the region in which GetResources API is invoked"},
		"another partition":        {taggingapi.GetResourcesInput{ResourceARNList: []string{"arn:aws-cn:ec2:ap-northeast-2:000000000000:vpc/vpc-1"}}, "is not a valid AmazonResourceName (ARN)"},
		"a type without a service": {taggingapi.GetResourcesInput{ResourceTypeFilters: []string{":instance"}}, "not a valid resource type filter"},
		"a type without a name":    {taggingapi.GetResourcesInput{ResourceTypeFilters: []string{"ec2:"}}, "not a valid resource type filter"},
		"many types":               {taggingapi.GetResourcesInput{ResourceTypeFilters: make([]string, 101)}, "at most 100 items"},
		"a filter without a key":   {taggingapi.GetResourcesInput{TagFilters: []taggingapi.TagFilter{{Values: []string{"x"}}}}, "1 to 128 characters"},
		"many filters":             {taggingapi.GetResourcesInput{TagFilters: make([]taggingapi.TagFilter, 51)}, "at most 50 items"},
		"many values":              {taggingapi.GetResourcesInput{TagFilters: []taggingapi.TagFilter{filter("k", make([]string, 21)...)}}, "at most 20 values"},
		"a long value":             {taggingapi.GetResourcesInput{TagFilters: []taggingapi.TagFilter{filter("k", strings.Repeat("ü", 257))}}, "at most 256 characters"},
		"only what fails":          {taggingapi.GetResourcesInput{ExcludeCompliantResources: new(true)}, "IncludeComplianceDetails"},
	} {
		t.Run(name, func(t *testing.T) {
			_, err := s.GetResources(t.Context(), &c.in)
			if !taggingapi.InvalidParameterException.Is(err) || !strings.Contains(err.Error(), c.want) {
				t.Errorf("got %v, want %s", err, c.want)
			}
		})
	}
}

// many is a service with n resources of three tags.
func many(n int) (*Service, memory) {
	m := memory{}
	for i := range n {
		m[fmt.Sprintf("%sinstance/i-%03d", regional, i)] = map[string]string{"a": fmt.Sprintf("%03d", i), fmt.Sprintf("key-%03d", i): "v", "empty": ""}
	}
	return New(Config{Account: "000000000000", Region: "ap-northeast-2", Sources: map[string]Source{"ec2": m}}), m
}

func TestPages(t *testing.T) {
	s, _ := many(150)
	for name, c := range map[string]struct {
		resources, tags *int32
		want            []int
	}{
		"as it is":           {nil, nil, []int{50, 50, 50}},
		"by resources":       {new(int32(100)), nil, []int{100, 50}},
		"by tags":            {nil, new(int32(130)), []int{43, 43, 43, 21}}, // 44 would have 132
		"by both, resources": {new(int32(40)), new(int32(500)), []int{40, 40, 40, 30}},
	} {
		t.Run(name, func(t *testing.T) {
			var got []int
			seen := map[string]bool{}
			var token *string
			for {
				out, err := s.GetResources(t.Context(), &taggingapi.GetResourcesInput{ResourcesPerPage: c.resources, TagsPerPage: c.tags, PaginationToken: token})
				if err != nil {
					t.Fatal(err)
				}
				got = append(got, len(out.ResourceTagMappingList))
				for _, m := range out.ResourceTagMappingList {
					seen[*m.ResourceARN] = true
				}
				if token = out.PaginationToken; *token == "" {
					break
				}
			}
			if d := cmp.Diff(c.want, got); d != "" || len(seen) != 150 {
				t.Errorf("%d different ones; %s", len(seen), d)
			}
		})
	}
}

// A token goes on where it was given, whatever went away in between, for a while.
func TestTokens(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s, m := many(60)
		first, err := s.GetResources(t.Context(), &taggingapi.GetResourcesInput{})
		if err != nil {
			t.Fatal(err)
		}
		for i := range 51 {
			delete(m, fmt.Sprintf("%sinstance/i-%03d", regional, i))
		}
		time.Sleep(tokenLife)
		next := &taggingapi.GetResourcesInput{PaginationToken: first.PaginationToken}
		second, err := s.GetResources(t.Context(), next)
		if err != nil || len(second.ResourceTagMappingList) != 9 || short(second)[0] != "instance/i-051" {
			t.Errorf("then came %v, %v", second, err)
		}
		time.Sleep(2 * time.Second)
		if _, err := s.GetResources(t.Context(), next); !taggingapi.PaginationTokenExpiredException.Is(err) {
			t.Errorf("an old token: %v", err)
		}
	})
}

func TestKeysAndValues(t *testing.T) {
	s := newService()
	keys, err := s.GetTagKeys(t.Context(), &taggingapi.GetTagKeysInput{})
	if err != nil {
		t.Fatal(err)
	}
	if d := cmp.Diff(&taggingapi.GetTagKeysOutput{TagKeys: []string{"Name", "Team", "team"}, PaginationToken: new("")}, keys); d != "" {
		t.Error(d)
	}
	for key, want := range map[string][]string{"team": {"blue", "red"}, "nothing": {}} {
		values, err := s.GetTagValues(t.Context(), &taggingapi.GetTagValuesInput{Key: &key})
		if err != nil {
			t.Fatal(err)
		}
		if d := cmp.Diff(&taggingapi.GetTagValuesOutput{TagValues: want, PaginationToken: new("")}, values); d != "" {
			t.Error(d)
		}
	}
	if _, err := s.GetTagValues(t.Context(), &taggingapi.GetTagValuesInput{Key: new("")}); !taggingapi.InvalidParameterException.Is(err) {
		t.Errorf("values of no key: %v", err)
	}

	s, _ = many(150)
	var got []string
	in := &taggingapi.GetTagKeysInput{}
	for pages := 1; ; pages++ {
		out, err := s.GetTagKeys(t.Context(), in)
		if err != nil {
			t.Fatal(err)
		}
		got = append(got, out.TagKeys...)
		if in.PaginationToken = out.PaginationToken; *in.PaginationToken == "" {
			if pages != 2 || len(got) != 152 || got[0] != "a" || got[1] != "empty" || got[151] != "key-149" {
				t.Errorf("%d keys on %d pages: %v", len(got), pages, got)
			}
			return
		}
	}
}

func TestChange(t *testing.T) {
	s := newService()
	tagged, err := s.TagResources(t.Context(), &taggingapi.TagResourcesInput{
		ResourceARNList: []string{
			regional + "instance/i-1", regional + "vpc/vpc-1", regional + "instance/i-9", regional + "instance/denied", regional + "instance/broken",
			"arn:aws:ec2:ap-northeast-2:111111111111:instance/i-1", "arn:aws:sqs:ap-northeast-2:000000000000:queue", regional + "instance/i-1",
		},
		Tags: map[string]string{"team": "gold", "empty": ""},
	})
	if err != nil {
		t.Fatal(err)
	}
	failed := func(status int32, code taggingapi.ErrorCode, text string) taggingapi.FailureInfo {
		return taggingapi.FailureInfo{StatusCode: &status, ErrorCode: code, ErrorMessage: &text}
	}
	want := map[string]taggingapi.FailureInfo{
		regional + "instance/i-9":                              failed(400, "InvalidInstanceID.NotFound", "The instance ID does not exist"),
		regional + "instance/denied":                           failed(403, "AccessDeniedException", "not authorized"),
		regional + "instance/broken":                           failed(500, "InternalServiceException", "The service of the resource could not be asked."),
		"arn:aws:ec2:ap-northeast-2:111111111111:instance/i-1": failed(403, "InvalidClientTokenId", "No account found for the given parameters"),
		"arn:aws:sqs:ap-northeast-2:000000000000:queue":        failed(400, "InvalidParameterException", "Unrecognized service or resource type for tagging"),
	}
	if d := cmp.Diff(want, tagged.FailedResourcesMap); d != "" {
		t.Error(d)
	}
	untagged, err := s.UntagResources(t.Context(), &taggingapi.UntagResourcesInput{
		ResourceARNList: []string{regional + "instance/i-1"}, TagKeys: []string{"Name", "never"},
	})
	if err != nil || untagged.FailedResourcesMap == nil || len(untagged.FailedResourcesMap) != 0 {
		t.Errorf("untagging: %v, %v", untagged, err)
	}
	out, err := s.GetResources(t.Context(), &taggingapi.GetResourcesInput{TagFilters: []taggingapi.TagFilter{filter("team", "gold"), filter("empty", "")}})
	if err != nil {
		t.Fatal(err)
	}
	if d := cmp.Diff([]string{"instance/i-1", "vpc/vpc-1"}, short(out)); d != "" {
		t.Error(d)
	}
	if n := len(out.ResourceTagMappingList[0].Tags); n != 2 {
		t.Errorf("the instance has %d tags", n)
	}
}

// What is wrong with a request keeps all of it from being done.
func TestChangeRefuses(t *testing.T) {
	fine := []string{regional + "instance/i-1"}
	team := map[string]string{"team": "gold"}
	keys := func(n int) (list []string) {
		for i := range n {
			list = append(list, fmt.Sprint("k", i))
		}
		return list
	}
	tags := map[string]string{}
	for _, k := range keys(51) {
		tags[k] = ""
	}
	s := newService()
	for name, c := range map[string]struct {
		in   taggingapi.TagResourcesInput
		want string
	}{
		"no tags":              {taggingapi.TagResourcesInput{ResourceARNList: fine, Tags: map[string]string{}}, "Tags must have 1 to 50 items"},
		"many tags":            {taggingapi.TagResourcesInput{ResourceARNList: fine, Tags: tags}, "Tags must have 1 to 50 items"},
		"no key":               {taggingapi.TagResourcesInput{ResourceARNList: fine, Tags: map[string]string{"": "x"}}, "1 to 128 characters"},
		"a long key":           {taggingapi.TagResourcesInput{ResourceARNList: fine, Tags: map[string]string{strings.Repeat("ü", 129): "x"}}, "1 to 128 characters"},
		"AWS's own":            {taggingapi.TagResourcesInput{ResourceARNList: fine, Tags: map[string]string{"AWS:x": "x"}}, "reserved"},
		"a long value":         {taggingapi.TagResourcesInput{ResourceARNList: fine, Tags: map[string]string{"x": strings.Repeat("ü", 257)}}, "at most 256"},
		"no resources":         {taggingapi.TagResourcesInput{ResourceARNList: []string{}, Tags: team}, "1 to 20 items"},
		"many resources":       {taggingapi.TagResourcesInput{ResourceARNList: make([]string, 21), Tags: team}, "1 to 20 items"},
		"one that is no ARN":   {taggingapi.TagResourcesInput{ResourceARNList: append(fine, "x"), Tags: team}, "x is not a valid AmazonResourceName (ARN)"},
		"one that is too long": {taggingapi.TagResourcesInput{ResourceARNList: append(fine, fine[0]+strings.Repeat("x", 1011)), Tags: team}, "is not a valid AmazonResourceName (ARN)"},
		"one of elsewhere":     {taggingapi.TagResourcesInput{ResourceARNList: append(fine, "arn:aws:ec2:us-east-1:000000000000:vpc/vpc-1"), Tags: team}, "in which TagResources API is invoked"},
		"one that is global":   {taggingapi.TagResourcesInput{ResourceARNList: append(fine, global+"policy/p"), Tags: team}, global + "policy/p is not a valid AmazonResourceName (ARN)"},
	} {
		t.Run(name, func(t *testing.T) {
			if _, err := s.TagResources(t.Context(), &c.in); !taggingapi.InvalidParameterException.Is(err) || !strings.Contains(err.Error(), c.want) {
				t.Errorf("got %v, want %s", err, c.want)
			}
		})
	}
	for _, bad := range [][]string{{}, {""}, {"aws:x"}, keys(51)} {
		if _, err := s.UntagResources(t.Context(), &taggingapi.UntagResourcesInput{ResourceARNList: fine, TagKeys: bad}); !taggingapi.InvalidParameterException.Is(err) {
			t.Errorf("untagging %v: %v", bad, err)
		}
	}
	if out, err := s.GetResources(t.Context(), &taggingapi.GetResourcesInput{TagFilters: []taggingapi.TagFilter{filter("team", "gold")}}); err != nil || len(out.ResourceTagMappingList) != 0 {
		t.Errorf("tagged all the same: %v, %v", out, err)
	}
	out, err := s.TagResources(in(t, "us-east-1"), &taggingapi.TagResourcesInput{ResourceARNList: []string{global + "policy/p"}, Tags: team})
	if err != nil || len(out.FailedResourcesMap) != 0 {
		t.Errorf("what is global, over there: %v, %v", out, err)
	}
}

func TestAuthorization(t *testing.T) {
	s := newService()
	for operation, c := range map[string]struct {
		in   any
		want map[string][]string
	}{
		"GetResources":   {&taggingapi.GetResourcesInput{}, nil},
		"TagResources":   {&taggingapi.TagResourcesInput{Tags: map[string]string{"Team": "x", "Age": "1"}}, map[string][]string{"aws:tagkeys": {"Age", "Team"}, "aws:requesttag/team": {"x"}, "aws:requesttag/age": {"1"}}},
		"UntagResources": {&taggingapi.UntagResourcesInput{TagKeys: []string{"a"}}, map[string][]string{"aws:tagkeys": {"a"}}},
	} {
		got, err := s.Authorization(t.Context(), operation, c.in)
		if err != nil {
			t.Fatal(err)
		}
		if d := cmp.Diff([]policy.Request{{Action: "tag:" + operation, Context: c.want}}, got); d != "" {
			t.Error(d)
		}
	}
}

func FuzzReadToken(f *testing.F) {
	f.Add(newToken("GetResources", "arn:aws:ec2:x:y:instance/i 1", time.Unix(1e9, 0)))
	f.Add("R2V0UmVzb3VyY2VzIA")
	f.Add("%")
	f.Fuzz(func(t *testing.T, token string) {
		last, issued, ok := readToken("GetResources", token)
		if !ok {
			return
		}
		again, at, ok := readToken("GetResources", newToken("GetResources", last, issued))
		if !ok || again != last || !at.Equal(issued) {
			t.Errorf("%q at %v became %q at %v", last, issued, again, at)
		}
	})
}

// A name that one filter takes belongs to the service and has the type that it says.
func FuzzTypeFilters(f *testing.F) {
	f.Add("ec2:instance", "arn:aws:ec2:ap-northeast-2:000000000000:instance/i-1")
	f.Add("sns", "arn:aws:sns:ap-northeast-2:000000000000:topic")
	f.Add("logs:log-group", "arn:aws:logs:ap-northeast-2:000000000000:log-group:x:*")
	f.Fuzz(func(t *testing.T, filter, name string) {
		types, err := typeFilters([]string{filter})
		a, wrong := arn.Parse(name)
		if err != nil || wrong != nil || !types.match(a) {
			return
		}
		service, kind, _ := strings.Cut(filter, ":")
		if a.Service != service || !strings.HasPrefix(a.Resource, kind) || !types.service(a.Service) {
			t.Errorf("%s takes %s", filter, name)
		}
	})
}
