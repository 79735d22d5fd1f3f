package ecr_test

import (
	"strings"
	"testing"

	sdk "github.com/aws/aws-sdk-go-v2/service/ecr"
)

func TestRepositoryPolicy(t *testing.T) {
	f := newFixture(t)
	ctx := t.Context()
	f.create("app")
	const words = "Repository policy does not exist for the repository with name 'app' in the registry with id '111122223333'"
	_, err := f.GetRepositoryPolicy(ctx, &sdk.GetRepositoryPolicyInput{RepositoryName: new("app")})
	fails(t, "none yet", err, "RepositoryPolicyNotFoundException", words)
	const policy = `{"Version":"2008-10-17","Statement":[{"Sid":"pull","Effect":"Allow","Principal":{"AWS":"arn:aws:iam::999999999999:root"},"Action":["ecr:BatchGetImage","ecr:GetDownloadUrlForLayer"]}]}`
	set, err := f.SetRepositoryPolicy(ctx, &sdk.SetRepositoryPolicyInput{RepositoryName: new("app"), PolicyText: new(policy)})
	if err != nil || *set.PolicyText != policy {
		t.Fatalf("%+v, %v", set, err)
	}
	for _, bad := range []string{"", "{", `{"Statement":[]}`, `{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Action":"ecr:*"}]}`, strings.Repeat(" ", 10241)} {
		_, err := f.SetRepositoryPolicy(ctx, &sdk.SetRepositoryPolicyInput{RepositoryName: new("app"), PolicyText: &bad})
		fails(t, bad[:min(len(bad), 60)], err, "InvalidParameterException", "Invalid parameter at 'PolicyText' failed to satisfy constraint: '")
	}
	got, err := f.GetRepositoryPolicy(ctx, &sdk.GetRepositoryPolicyInput{RepositoryName: new("app")})
	if err != nil || *got.PolicyText != policy {
		t.Errorf("%+v, %v", got, err)
	}
	deleted, err := f.DeleteRepositoryPolicy(ctx, &sdk.DeleteRepositoryPolicyInput{RepositoryName: new("app")})
	if err != nil || *deleted.PolicyText != policy {
		t.Errorf("%+v, %v", deleted, err)
	}
	_, err = f.DeleteRepositoryPolicy(ctx, &sdk.DeleteRepositoryPolicyInput{RepositoryName: new("app")})
	fails(t, "deleted", err, "RepositoryPolicyNotFoundException", words)
}

func TestLifecyclePolicy(t *testing.T) {
	f := newFixture(t)
	ctx := t.Context()
	f.create("app")
	const words = "Lifecycle policy does not exist for the repository with name 'app' in the registry with id '111122223333'"
	_, err := f.GetLifecyclePolicy(ctx, &sdk.GetLifecyclePolicyInput{RepositoryName: new("app")})
	fails(t, "none yet", err, "LifecyclePolicyNotFoundException", words)
	const policy = `{"rules":[{"rulePriority":1,"description":"old","selection":{"tagStatus":"untagged","countType":"sinceImagePushed","countUnit":"days","countNumber":14},"action":{"type":"expire"}}]}`
	if _, err := f.PutLifecyclePolicy(ctx, &sdk.PutLifecyclePolicyInput{RepositoryName: new("app"), LifecyclePolicyText: new(policy)}); err != nil {
		t.Fatal(err)
	}
	_, err = f.PutLifecyclePolicy(ctx, &sdk.PutLifecyclePolicyInput{RepositoryName: new("app"), LifecyclePolicyText: new("{}")})
	fails(t, "no rules", err, "InvalidParameterException", `Invalid parameter at 'LifecyclePolicyText' failed to satisfy constraint: 'Lifecycle policy validation failure: object has missing required properties (["rules"])'`)
	got, err := f.GetLifecyclePolicy(ctx, &sdk.GetLifecyclePolicyInput{RepositoryName: new("app")})
	if err != nil || *got.LifecyclePolicyText != policy {
		t.Errorf("%+v, %v", got, err)
	}
	deleted, err := f.DeleteLifecyclePolicy(ctx, &sdk.DeleteLifecyclePolicyInput{RepositoryName: new("app")})
	if err != nil || *deleted.LifecyclePolicyText != policy {
		t.Errorf("%+v, %v", deleted, err)
	}
	_, err = f.DeleteLifecyclePolicy(ctx, &sdk.DeleteLifecyclePolicyInput{RepositoryName: new("app")})
	fails(t, "deleted", err, "LifecyclePolicyNotFoundException", words)
}
