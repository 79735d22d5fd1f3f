package ecr_test

import (
	"reflect"
	"testing"

	ecrapi "github.com/tarn-eks/tarn/internal/api/ecr"
	"github.com/tarn-eks/tarn/internal/policy"
)

func TestAuthorization(t *testing.T) {
	f := newFixture(t)
	const arn = "arn:aws:ecr:ap-northeast-2:111122223333:repository/"
	tags := []ecrapi.Tag{{Key: new("Stage"), Value: new("test")}}
	f.create("plain", "tagged")
	if _, err := f.service.TagResource(t.Context(), &ecrapi.TagResourceInput{ResourceArn: new(arn + "tagged"), Tags: tags}); err != nil {
		t.Fatal(err)
	}
	has := map[string][]string{"aws:resourcetag/stage": {"test"}, "ecr:resourcetag/stage": {"test"}}
	asks := map[string][]string{"aws:requesttag/stage": {"test"}, "aws:tagkeys": {"Stage"}}
	none := map[string][]string{}
	type want struct {
		resource, account string
		context           map[string][]string
	}
	for _, tc := range []struct {
		name, operation string
		input           any
		want            []want
	}{
		{"token", "GetAuthorizationToken", &ecrapi.GetAuthorizationTokenInput{}, []want{{"*", account, nil}}},
		{"all", "DescribeRepositories", &ecrapi.DescribeRepositoriesInput{}, []want{{arn + "*", account, nil}}},
		{"two", "DescribeRepositories", &ecrapi.DescribeRepositoriesInput{RepositoryNames: []string{"plain", "tagged"}},
			[]want{{arn + "plain", account, none}, {arn + "tagged", account, has}}},
		{"create", "CreateRepository", &ecrapi.CreateRepositoryInput{RepositoryName: new("new"), Tags: tags}, []want{{arn + "new", account, asks}}},
		{"create, no tags", "CreateRepository", &ecrapi.CreateRepositoryInput{RepositoryName: new("new")}, []want{{arn + "new", account, nil}}},
		{"delete", "DeleteRepository", &ecrapi.DeleteRepositoryInput{RepositoryName: new("tagged")}, []want{{arn + "tagged", account, has}}},
		{"put", "PutImage", &ecrapi.PutImageInput{RepositoryName: new("tagged")}, []want{{arn + "tagged", account, has}}},
		{"what does not exist", "ListImages", &ecrapi.ListImagesInput{RepositoryName: new("none")}, []want{{arn + "none", account, nil}}},
		{"another account's", "BatchGetImage", &ecrapi.BatchGetImageInput{RepositoryName: new("tagged"), RegistryId: new("999999999999")},
			[]want{{"arn:aws:ecr:ap-northeast-2:999999999999:repository/tagged", "999999999999", nil}}},
		{"tag", "TagResource", &ecrapi.TagResourceInput{ResourceArn: new(arn + "plain"), Tags: tags}, []want{{arn + "plain", account, asks}}},
		{"untag", "UntagResource", &ecrapi.UntagResourceInput{ResourceArn: new(arn + "plain"), TagKeys: []string{"a"}}, []want{{arn + "plain", account, map[string][]string{"aws:tagkeys": {"a"}}}}},
		{"tags", "ListTagsForResource", &ecrapi.ListTagsForResourceInput{ResourceArn: new(arn + "tagged")}, []want{{arn + "tagged", account, has}}},
		{"not an ARN", "ListTagsForResource", &ecrapi.ListTagsForResourceInput{ResourceArn: new("x")}, []want{{"x", account, nil}}},
	} {
		got, err := f.service.Authorization(t.Context(), tc.operation, tc.input)
		if err != nil {
			t.Errorf("%s: %v", tc.name, err)
			continue
		}
		var want []policy.Request
		for _, w := range tc.want {
			want = append(want, policy.Request{Action: "ecr:" + tc.operation, Resources: []string{w.resource}, ResourceAccount: w.account, Context: w.context})
		}
		if !reflect.DeepEqual(got, want) {
			t.Errorf("%s: %+v\nwant %+v", tc.name, got, want)
		}
	}
}

// TestEveryOperationHasAuthorization: with nothing in the request, and whatever
// members it has.
func TestEveryOperationHasAuthorization(t *testing.T) {
	f := newFixture(t)
	for _, op := range ecrapi.Service.Operations {
		got, err := f.service.Authorization(t.Context(), op.Name, reflect.New(op.Input).Interface())
		if err != nil || len(got) != 1 || got[0].Action != "ecr:"+op.Name || len(got[0].Resources) != 1 {
			t.Errorf("%s: %+v, %v", op.Name, got, err)
		}
	}
}
