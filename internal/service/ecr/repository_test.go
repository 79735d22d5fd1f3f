package ecr_test

import (
	"fmt"
	"strings"
	"testing"

	"github.com/aws/aws-sdk-go-v2/aws"
	sdk "github.com/aws/aws-sdk-go-v2/service/ecr"
	"github.com/aws/aws-sdk-go-v2/service/ecr/types"
	"github.com/google/go-containerregistry/pkg/v1/remote"
)

func TestCreateRepository(t *testing.T) {
	f := newFixture(t)
	ctx := t.Context()
	out, err := f.CreateRepository(ctx, &sdk.CreateRepositoryInput{
		RepositoryName: new("team/app"), ImageTagMutability: types.ImageTagMutabilityImmutable,
		ImageScanningConfiguration: &types.ImageScanningConfiguration{ScanOnPush: true},
		EncryptionConfiguration:    &types.EncryptionConfiguration{EncryptionType: types.EncryptionTypeKms, KmsKey: new("alias/a")},
		Tags:                       []types.Tag{{Key: new("Stage"), Value: new("test")}},
	})
	if err != nil {
		t.Fatal(err)
	}
	described, err := f.DescribeRepositories(ctx, &sdk.DescribeRepositoriesInput{RepositoryNames: []string{"team/app"}})
	if err != nil {
		t.Fatal(err)
	}
	for what, r := range map[string]types.Repository{"created": *out.Repository, "described": described.Repositories[0]} {
		got := strings.Join([]string{
			*r.RepositoryArn, *r.RegistryId, *r.RepositoryName, *r.RepositoryUri, string(r.ImageTagMutability),
			fmt.Sprint(r.ImageScanningConfiguration.ScanOnPush), string(r.EncryptionConfiguration.EncryptionType), *r.EncryptionConfiguration.KmsKey,
			fmt.Sprint(r.CreatedAt.UnixMilli() == f.now.UnixMilli()),
		}, " ")
		const want = "arn:aws:ecr:ap-northeast-2:111122223333:repository/team/app 111122223333 team/app " +
			"111122223333.dkr.ecr.ap-northeast-2.amazonaws.com/team/app IMMUTABLE true KMS alias/a true"
		if got != want {
			t.Errorf("%s: %s", what, got)
		}
	}

	f.create("ab")
	fifty := make([]types.Tag, 51)
	for i := range fifty {
		fifty[i] = types.Tag{Key: new(fmt.Sprint(i)), Value: new("")}
	}
	for _, tc := range []struct {
		name          string
		in            sdk.CreateRepositoryInput
		code, message string
	}{
		{"again", sdk.CreateRepositoryInput{RepositoryName: new("ab")},
			"RepositoryAlreadyExistsException", "The repository with name 'ab' already exists in the registry with id '111122223333'"},
		{"short", sdk.CreateRepositoryInput{RepositoryName: new("a")}, "InvalidParameterException", "Invalid parameter at 'repositoryName' failed to satisfy constraint: 'must have length greater"},
		{"long", sdk.CreateRepositoryInput{RepositoryName: new(strings.Repeat("a", 257))}, "InvalidParameterException", "must have length less"},
		{"capitals", sdk.CreateRepositoryInput{RepositoryName: new("App")}, "InvalidParameterException", "must satisfy regular expression '(?:[a-z0-9]+"},
		{"two dots", sdk.CreateRepositoryInput{RepositoryName: new("a..b")}, "InvalidParameterException", "regular expression"},
		{"slash at the end", sdk.CreateRepositoryInput{RepositoryName: new("ab/")}, "InvalidParameterException", "regular expression"},
		{"two lines", sdk.CreateRepositoryInput{RepositoryName: new("ab\n")}, "InvalidParameterException", "regular expression"},
		{"mutability", sdk.CreateRepositoryInput{RepositoryName: new("cd"), ImageTagMutability: "SOMETIMES"}, "InvalidParameterException", "Member must satisfy enum value set: [IMMUTABLE, MUTABLE]"},
		{"encryption", sdk.CreateRepositoryInput{RepositoryName: new("cd"), EncryptionConfiguration: &types.EncryptionConfiguration{EncryptionType: "ROT13"}}, "InvalidParameterException", "[AES256, KMS]"},
		{"key without KMS", sdk.CreateRepositoryInput{RepositoryName: new("cd"), EncryptionConfiguration: &types.EncryptionConfiguration{EncryptionType: "AES256", KmsKey: new("k")}}, "InvalidParameterException", "kmsKey"},
		{"registry", sdk.CreateRepositoryInput{RepositoryName: new("cd"), RegistryId: new("12")}, "InvalidParameterException", "[0-9]{12}"},
		{"many tags", sdk.CreateRepositoryInput{RepositoryName: new("cd"), Tags: fifty}, "TooManyTagsException", "50"},
		{"reserved tag", sdk.CreateRepositoryInput{RepositoryName: new("cd"), Tags: []types.Tag{{Key: new("aws:x"), Value: new("")}}}, "InvalidTagParameterException", "aws:"},
		{"tag twice", sdk.CreateRepositoryInput{RepositoryName: new("cd"), Tags: []types.Tag{{Key: new("x"), Value: new("")}, {Key: new("x"), Value: new("")}}}, "InvalidTagParameterException", "twice"},
	} {
		_, err := f.CreateRepository(ctx, &tc.in)
		fails(t, tc.name, err, tc.code, tc.message)
	}
}

func TestDescribeRepositories(t *testing.T) {
	f := newFixture(t)
	ctx := t.Context()
	f.create("dd", "aa", "cc/x", "bb")
	names := func(in *sdk.DescribeRepositoriesInput) string {
		t.Helper()
		out, err := f.DescribeRepositories(ctx, in)
		if err != nil {
			t.Fatal(err)
		}
		var all []string
		for _, r := range out.Repositories {
			all = append(all, *r.RepositoryName)
		}
		return strings.Join(all, " ")
	}
	if got := names(&sdk.DescribeRepositoriesInput{}); got != "aa bb cc/x dd" {
		t.Error(got)
	}
	if got := names(&sdk.DescribeRepositoriesInput{RepositoryNames: []string{"dd", "aa", "dd"}}); got != "aa dd" {
		t.Error(got)
	}
	if got := names(&sdk.DescribeRepositoriesInput{RegistryId: new("999999999999")}); got != "" {
		t.Error(got)
	}
	// Pages hold while repositories come and go.
	first, err := f.DescribeRepositories(ctx, &sdk.DescribeRepositoriesInput{MaxResults: new(int32(2))})
	if err != nil || len(first.Repositories) != 2 || first.NextToken == nil {
		t.Fatalf("%+v, %v", first, err)
	}
	if _, err := f.DeleteRepository(ctx, &sdk.DeleteRepositoryInput{RepositoryName: new("bb")}); err != nil {
		t.Fatal(err)
	}
	f.create("ba", "ca")
	if got := names(&sdk.DescribeRepositoriesInput{MaxResults: new(int32(2)), NextToken: first.NextToken}); got != "ca cc/x" {
		t.Error(got)
	}
	var pages int
	for p := sdk.NewDescribeRepositoriesPaginator(f, &sdk.DescribeRepositoriesInput{MaxResults: new(int32(1))}); p.HasMorePages(); pages++ {
		if out, err := p.NextPage(ctx); err != nil || len(out.Repositories) != 1 {
			t.Fatalf("%+v, %v", out, err)
		}
	}
	if pages != 5 {
		t.Errorf("%d pages", pages)
	}
	for _, tc := range []struct {
		name          string
		in            sdk.DescribeRepositoriesInput
		code, message string
	}{
		{"unknown", sdk.DescribeRepositoriesInput{RepositoryNames: []string{"aa", "none"}}, "RepositoryNotFoundException", "The repository with name 'none' does not exist in the registry with id '111122223333'"},
		{"another account's", sdk.DescribeRepositoriesInput{RepositoryNames: []string{"aa"}, RegistryId: new("999999999999")}, "RepositoryNotFoundException", "id '999999999999'"},
		{"names and pages", sdk.DescribeRepositoriesInput{RepositoryNames: []string{"aa"}, MaxResults: new(int32(1))}, "InvalidParameterException", "maxResults"},
		{"none", sdk.DescribeRepositoriesInput{MaxResults: new(int32(0))}, "InvalidParameterException", "maxResults"},
		{"too many", sdk.DescribeRepositoriesInput{MaxResults: new(int32(1001))}, "InvalidParameterException", "maxResults"},
		{"no token", sdk.DescribeRepositoriesInput{NextToken: new("!")}, "InvalidParameterException", "token"},
	} {
		_, err := f.DescribeRepositories(ctx, &tc.in)
		fails(t, tc.name, err, tc.code, tc.message)
	}
}

func TestPushMakesARepository(t *testing.T) {
	f := newFixture(t)
	ctx := t.Context()
	f.push("team/pushed:1")
	f.push("x:1") // no name for ECR, but one for the registry
	out, err := f.DescribeRepositories(ctx, &sdk.DescribeRepositoriesInput{})
	if err != nil || len(out.Repositories) != 1 || *out.Repositories[0].RepositoryName != "team/pushed" || out.Repositories[0].ImageTagMutability != types.ImageTagMutabilityMutable {
		t.Fatalf("%+v, %v", out, err)
	}
	// Images of before there were records.
	if err := f.service.Repositories.Delete(ctx, "team/pushed"); err != nil {
		t.Fatal(err)
	}
	for range 2 {
		if err := f.service.Adopt(ctx); err != nil {
			t.Fatal(err)
		}
	}
	out, err = f.DescribeRepositories(ctx, &sdk.DescribeRepositoriesInput{})
	if err != nil || len(out.Repositories) != 1 {
		t.Errorf("%+v, %v", out, err)
	}
}

func TestDeleteRepository(t *testing.T) {
	f := newFixture(t)
	ctx := t.Context()
	f.create("empty", "full")
	f.push("full:1", "full:2")
	f.push("full/below:1")
	if _, err := f.DeleteRepository(ctx, &sdk.DeleteRepositoryInput{RepositoryName: new("empty")}); err != nil {
		t.Error(err)
	}
	_, err := f.DeleteRepository(ctx, &sdk.DeleteRepositoryInput{RepositoryName: new("empty")})
	fails(t, "again", err, "RepositoryNotFoundException", "The repository with name 'empty' does not exist in the registry with id '111122223333'")
	_, err = f.DeleteRepository(ctx, &sdk.DeleteRepositoryInput{RepositoryName: new("full")})
	fails(t, "with images", err, "RepositoryNotEmptyException", "The repository with name 'full' in registry with id '111122223333' cannot be deleted because it still contains images")
	out, err := f.DeleteRepository(ctx, &sdk.DeleteRepositoryInput{RepositoryName: new("full"), Force: true})
	if err != nil || *out.Repository.RepositoryName != "full" {
		t.Fatalf("%+v, %v", out, err)
	}
	for ref, want := range map[string]bool{"full:1": false, "full:2": false, "full/below:1": true} {
		if _, err := remote.Image(f.tag(ref)); err == nil != want {
			t.Errorf("%s: %v", ref, err)
		}
	}
	f.create("full")
	if out, err := f.ListImages(ctx, &sdk.ListImagesInput{RepositoryName: new("full")}); err != nil || len(out.ImageIds) != 0 {
		t.Errorf("%+v, %v", out, err)
	}
}

func TestTagsAreImmutable(t *testing.T) {
	f := newFixture(t)
	ctx := t.Context()
	f.create("app")
	set := func(m types.ImageTagMutability) {
		t.Helper()
		out, err := f.PutImageTagMutability(ctx, &sdk.PutImageTagMutabilityInput{RepositoryName: new("app"), ImageTagMutability: m})
		if err != nil || out.ImageTagMutability != m {
			t.Fatalf("%+v, %v", out, err)
		}
	}
	f.push("app:1")
	f.push("app:1")
	set(types.ImageTagMutabilityImmutable)
	err := remote.Tag(f.tag("app:1"), f.push("app:2"))
	if err == nil || !strings.Contains(err.Error(), "TAG_INVALID: The image tag '1' already exists in the 'app' repository and cannot be overwritten because the repository is immutable.") {
		t.Errorf("a tag was moved: %v", err)
	}
	set(types.ImageTagMutabilityMutable)
	f.push("app:1")
	_, err = f.PutImageTagMutability(ctx, &sdk.PutImageTagMutabilityInput{RepositoryName: new("app"), ImageTagMutability: "X"})
	fails(t, "no such value", err, "InvalidParameterException", "[IMMUTABLE, MUTABLE]")
	_, err = f.PutImageTagMutability(ctx, &sdk.PutImageTagMutabilityInput{RepositoryName: new("none"), ImageTagMutability: "MUTABLE"})
	fails(t, "no repository", err, "RepositoryNotFoundException", "'none'")
}

func TestScanningConfiguration(t *testing.T) {
	f := newFixture(t)
	f.create("app")
	for _, on := range []bool{true, false} {
		out, err := f.PutImageScanningConfiguration(t.Context(), &sdk.PutImageScanningConfigurationInput{
			RepositoryName: new("app"), ImageScanningConfiguration: &types.ImageScanningConfiguration{ScanOnPush: on}})
		if err != nil || out.ImageScanningConfiguration.ScanOnPush != on {
			t.Errorf("%+v, %v", out, err)
		}
	}
}

func TestTags(t *testing.T) {
	f := newFixture(t)
	ctx := t.Context()
	f.create("app")
	arn := aws.String("arn:aws:ecr:ap-northeast-2:111122223333:repository/app")
	tag := func(k, v string) types.Tag { return types.Tag{Key: &k, Value: &v} }
	if _, err := f.TagResource(ctx, &sdk.TagResourceInput{ResourceArn: arn, Tags: []types.Tag{tag("b", "1"), tag("a", "2"), tag("c", "")}}); err != nil {
		t.Fatal(err)
	}
	if _, err := f.TagResource(ctx, &sdk.TagResourceInput{ResourceArn: arn, Tags: []types.Tag{tag("b", "3")}}); err != nil {
		t.Fatal(err)
	}
	if _, err := f.UntagResource(ctx, &sdk.UntagResourceInput{ResourceArn: arn, TagKeys: []string{"c", "none"}}); err != nil {
		t.Fatal(err)
	}
	out, err := f.ListTagsForResource(ctx, &sdk.ListTagsForResourceInput{ResourceArn: arn})
	if err != nil {
		t.Fatal(err)
	}
	got := ""
	for _, x := range out.Tags {
		got += *x.Key + "=" + *x.Value + " "
	}
	if got != "a=2 b=3 " {
		t.Error(got)
	}
	for arn, code := range map[string]string{
		"arn:aws:ecr:ap-northeast-2:111122223333:repository/none": "RepositoryNotFoundException",
		"arn:aws:ecr:us-east-1:111122223333:repository/app":       "RepositoryNotFoundException",
		"arn:aws:ecr:ap-northeast-2:999999999999:repository/app":  "RepositoryNotFoundException",
		"arn:aws:ecs:ap-northeast-2:111122223333:repository/app":  "InvalidParameterException",
		"app": "InvalidParameterException",
	} {
		_, err := f.ListTagsForResource(ctx, &sdk.ListTagsForResourceInput{ResourceArn: &arn})
		fails(t, arn, err, code, "")
	}
}
