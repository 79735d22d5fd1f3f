package region

import (
	"context"
	"strings"
	"testing"

	"github.com/aws/aws-sdk-go-v2/aws"
	sdk "github.com/aws/aws-sdk-go-v2/service/resourcegroupstaggingapi"
	"github.com/aws/aws-sdk-go-v2/service/resourcegroupstaggingapi/types"
	"github.com/google/go-cmp/cmp"

	cloudwatchapi "github.com/tarn-eks/tarn/internal/api/cloudwatch"
	ec2api "github.com/tarn-eks/tarn/internal/api/ec2"
	ecrapi "github.com/tarn-eks/tarn/internal/api/ecr"
	iamapi "github.com/tarn-eks/tarn/internal/api/iam"
	stsapi "github.com/tarn-eks/tarn/internal/api/sts"
)

// tagClient is AWS's client of the tagging service.
func (r *Region) tagClient(region, id, secret, token string) *sdk.Client {
	return sdk.New(sdk.Options{
		Region: region, BaseEndpoint: aws.String("http://" + r.listen.endpoint.Addr().String()), Retryer: aws.NopRetryer{},
		Credentials: aws.CredentialsProviderFunc(func(context.Context) (aws.Credentials, error) {
			return aws.Credentials{AccessKeyID: id, SecretAccessKey: secret, SessionToken: token}, nil
		}),
	})
}

// tagged are the ARNs of what has the tag.
func tagged(t *testing.T, client *sdk.Client, key string, types_ ...string) []string {
	t.Helper()
	out, err := client.GetResources(t.Context(), &sdk.GetResourcesInput{TagFilters: []types.TagFilter{{Key: &key}}, ResourceTypeFilters: types_})
	if err != nil {
		t.Fatal(err)
	}
	var list []string
	for _, m := range out.ResourceTagMappingList {
		list = append(list, *m.ResourceARN)
	}
	return list
}

// Resources of all services are tagged and listed together, each in the region
// that it belongs to.
func TestTagging(t *testing.T) {
	r := newRegion(t)
	cc := builtIn()
	r.withCluster(t, cc)
	root, err := LoadCredentials(string(r.layout))
	if err != nil {
		t.Fatal(err)
	}
	here := r.tagClient("ap-northeast-2", root.AccessKeyID, root.SecretAccessKey, "")
	there := r.tagClient("us-east-1", root.AccessKeyID, root.SecretAccessKey, "")

	role := r.withRole(t, "tagged")
	user := *call[iamapi.CreateUserOutput](t, r, "iam", "CreateUser", &iamapi.CreateUserInput{UserName: new("tagged"), Path: new("/a/")}).User.Arn
	profile := *call[iamapi.CreateInstanceProfileOutput](t, r, "iam", "CreateInstanceProfile", &iamapi.CreateInstanceProfileInput{InstanceProfileName: new("tagged"), Path: new("/a/b/")}).InstanceProfile.Arn
	allowed := *call[iamapi.CreatePolicyOutput](t, r, "iam", "CreatePolicy", &iamapi.CreatePolicyInput{
		PolicyName: new("tagged"), PolicyDocument: new(`{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Action":["tag:*","ec2:*"],"Resource":"*"}]}`),
	}).Policy.Arn
	provider := *call[iamapi.CreateOpenIDConnectProviderOutput](t, r, "iam", "CreateOpenIDConnectProvider", &iamapi.CreateOpenIDConnectProviderInput{
		Url: new("https://issuer.example/id"), ClientIDList: []string{"sts.amazonaws.com"},
	}).OpenIDConnectProviderArn
	repository := *call[ecrapi.CreateRepositoryOutput](t, r, "ecr", "CreateRepository", &ecrapi.CreateRepositoryInput{RepositoryName: new("team/app")}).Repository.RepositoryArn
	call[cloudwatchapi.PutMetricAlarmOutput](t, r, "cloudwatch", "PutMetricAlarm", &cloudwatchapi.PutMetricAlarmInput{
		AlarmName: new("busy"), Namespace: new("AWS/EC2"), MetricName: new("CPUUtilization"), Statistic: cloudwatchapi.StatisticAverage,
		Period: new(int32(60)), EvaluationPeriods: new(int32(1)), Threshold: new(70.0),
		ComparisonOperator: cloudwatchapi.ComparisonOperatorGreaterThanThreshold,
	})
	alarm := r.scope().Of("cloudwatch", "alarm:busy")
	vpcs := call[ec2api.DescribeVpcsOutput](t, r, "ec2", "DescribeVpcs", &ec2api.DescribeVpcsInput{}).Vpcs
	groups := call[ec2api.DescribeSecurityGroupRulesOutput](t, r, "ec2", "DescribeSecurityGroupRules", &ec2api.DescribeSecurityGroupRulesInput{}).SecurityGroupRules
	vpc := r.scope().Of("ec2", "vpc/%s", *vpcs[0].VpcId)
	rule := *groups[0].SecurityGroupRuleArn
	cluster := r.scope().Of("eks", "cluster/%s", cc.Name)

	tag := func(client *sdk.Client, names ...string) map[string]types.FailureInfo {
		t.Helper()
		out, err := client.TagResources(t.Context(), &sdk.TagResourcesInput{ResourceARNList: names, Tags: map[string]string{"team": "blue", "Z": "1"}})
		if err != nil {
			t.Fatal(err)
		}
		return out.FailedResourcesMap
	}
	if failed := tag(here, alarm, vpc, rule, cluster, repository); len(failed) != 0 {
		t.Errorf("not tagged here: %v", failed)
	}
	if failed := tag(there, role, user, profile, allowed, provider); len(failed) != 0 {
		t.Errorf("not tagged there: %v", failed)
	}
	if d := cmp.Diff([]string{alarm, rule, vpc, repository, cluster}, tagged(t, here, "team")); d != "" {
		t.Errorf("here: %s", d)
	}
	// Of IAM, users and roles are tagged and not listed.
	if d := cmp.Diff([]string{profile, provider, allowed}, tagged(t, there, "team")); d != "" {
		t.Errorf("there: %s", d)
	}
	for _, list := range [][]iamapi.Tag{
		call[iamapi.GetRoleOutput](t, r, "iam", "GetRole", &iamapi.GetRoleInput{RoleName: new("tagged")}).Role.Tags,
		call[iamapi.GetUserOutput](t, r, "iam", "GetUser", &iamapi.GetUserInput{UserName: new("tagged")}).User.Tags,
	} {
		if len(list) != 2 || *list[1].Key != "team" && *list[0].Key != "team" {
			t.Errorf("IAM has %v", list)
		}
	}
	if d := cmp.Diff([]string{cluster}, tagged(t, here, "team", "eks:cluster", "iam")); d != "" {
		t.Error(d)
	}

	// What cannot be tagged says why, in its own service's words.
	for name, want := range map[string]string{
		r.scope().Of("ec2", "vpc/vpc-0123456789abcdef0"):                                                "InvalidVpcID.NotFound",
		r.scope().Of("ec2", "vpc/%s", strings.TrimPrefix(rule[strings.LastIndexByte(rule, '/'):], "/")): "InvalidVpcID.Malformed",
		r.scope().Of("cloudwatch", "alarm:none"):                                                        "ResourceNotFoundException",
		r.scope().Of("ec2", "spaceship/x-1"):                                                            "InvalidParameterException",
		r.scope().Of("eks", "cluster/none"):                                                             "NotFoundException",
		r.scope().Of("ecr", "repository/none"):                                                          "RepositoryNotFoundException",
	} {
		if failed := tag(here, name); len(failed) != 1 || string(failed[name].ErrorCode) != want {
			t.Errorf("%s: %v, want %s", name, failed, want)
		}
	}
	for name, want := range map[string]string{
		r.scope().Global("iam", "role/none"):         "NoSuchEntityException",
		r.scope().Global("iam", "role/path/tagged"):  "NoSuchEntityException",
		r.scope().Global("iam", "user/tagged"):       "NoSuchEntityException",
		r.scope().Global("iam", "policy/no/tagged"):  "NoSuchEntityException",
		r.scope().Global("iam", "oidc-provider/x/y"): "NoSuchEntityException",
		r.scope().Global("iam", "group/admins"):      "InvalidParameterException",
	} {
		if failed := tag(there, name); len(failed) != 1 || string(failed[name].ErrorCode) != want {
			t.Errorf("%s: %v, want %s", name, failed, want)
		}
	}

	for client, names := range map[*sdk.Client][]string{here: {alarm, vpc, rule, cluster, repository}, there: {role, user, profile, allowed, provider}} {
		out, err := client.UntagResources(t.Context(), &sdk.UntagResourcesInput{ResourceARNList: names, TagKeys: []string{"team"}})
		if err != nil || len(out.FailedResourcesMap) != 0 {
			t.Errorf("untagging: %v, %v", out, err)
		}
		if left := tagged(t, client, "team"); len(left) != 0 {
			t.Errorf("still tagged: %v", left)
		}
		if left := tagged(t, client, "Z"); len(left) < 3 {
			t.Errorf("all tags are gone: %v", left)
		}
	}
}

// Tagging needs the permission of the resource's own service, too, and a session's
// policies hold for both.
func TestTaggingPermissions(t *testing.T) {
	r := newRegion(t)
	r.withNetwork(t, builtIn())
	vpcs := call[ec2api.DescribeVpcsOutput](t, r, "ec2", "DescribeVpcs", &ec2api.DescribeVpcsInput{}).Vpcs
	vpc := r.scope().Of("ec2", "vpc/%s", *vpcs[0].VpcId)
	repository := *call[ecrapi.CreateRepositoryOutput](t, r, "ecr", "CreateRepository", &ecrapi.CreateRepositoryInput{RepositoryName: new("app")}).Repository.RepositoryArn

	call[iamapi.CreateUserOutput](t, r, "iam", "CreateUser", &iamapi.CreateUserInput{UserName: new("alice")})
	key := call[iamapi.CreateAccessKeyOutput](t, r, "iam", "CreateAccessKey", &iamapi.CreateAccessKeyInput{UserName: new("alice")}).AccessKey
	client := r.tagClient("ap-northeast-2", *key.AccessKeyId, *key.SecretAccessKey, "")
	in := &sdk.TagResourcesInput{ResourceARNList: []string{vpc, repository}, Tags: map[string]string{"team": "blue"}}
	if _, err := client.TagResources(t.Context(), in); err == nil || !strings.Contains(err.Error(), "not authorized to perform: tag:TagResources") {
		t.Errorf("without any permission: %v", err)
	}
	allow := func(actions string) {
		t.Helper()
		call[iamapi.PutUserPolicyOutput](t, r, "iam", "PutUserPolicy", &iamapi.PutUserPolicyInput{
			UserName: new("alice"), PolicyName: new("p"), PolicyDocument: new(`{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Action":[` + actions + `],"Resource":"*"}]}`),
		})
	}
	codes := func(client *sdk.Client) map[string]string {
		t.Helper()
		out, err := client.TagResources(t.Context(), in)
		if err != nil {
			t.Fatal(err)
		}
		got := map[string]string{}
		for name, f := range out.FailedResourcesMap {
			got[name] = string(f.ErrorCode)
		}
		return got
	}
	allow(`"tag:*"`)
	if d := cmp.Diff(map[string]string{vpc: "UnauthorizedOperation", repository: "AccessDeniedException"}, codes(client)); d != "" {
		t.Errorf("with permission for the tagging service alone: %s", d)
	}
	allow(`"tag:*","ecr:*"`)
	if d := cmp.Diff(map[string]string{vpc: "UnauthorizedOperation"}, codes(client)); d != "" {
		t.Errorf("with ECR's permission: %s", d)
	}
	if d := cmp.Diff([]string{repository}, tagged(t, client, "team")); d != "" {
		t.Error(d)
	}

	// A role that may do everything, in a session that may not.
	role := *call[iamapi.CreateRoleOutput](t, r, "iam", "CreateRole", &iamapi.CreateRoleInput{
		RoleName: new("admin"), AssumeRolePolicyDocument: new(`{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Principal":{"AWS":"arn:aws:iam::000000000000:user/alice"},"Action":"sts:AssumeRole"}]}`),
	}).Role.Arn
	call[iamapi.AttachRolePolicyOutput](t, r, "iam", "AttachRolePolicy", &iamapi.AttachRolePolicyInput{RoleName: new("admin"), PolicyArn: new("arn:aws:iam::aws:policy/AdministratorAccess")})
	found, err := keyring{r.iam, r.sts}.Find(t.Context(), *key.AccessKeyId, "")
	if err != nil {
		t.Fatal(err)
	}
	session, err := r.gateway.Invoke(t.Context(), found.Caller, "sts", "AssumeRole", &stsapi.AssumeRoleInput{
		RoleArn: &role, RoleSessionName: new("limited"), Policy: new(`{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Action":["tag:*","ec2:CreateTags"],"Resource":"*"}]}`),
	})
	if err != nil {
		t.Fatal(err)
	}
	c := session.(*stsapi.AssumeRoleOutput).Credentials
	limited := r.tagClient("ap-northeast-2", *c.AccessKeyId, *c.SecretAccessKey, *c.SessionToken)
	if d := cmp.Diff(map[string]string{repository: "AccessDeniedException"}, codes(limited)); d != "" {
		t.Errorf("in a session: %s", d)
	}

	// IAM does not take a user's session, by this way neither.
	allow(`"tag:*","iam:*"`)
	session, err = r.gateway.Invoke(t.Context(), found.Caller, "sts", "GetSessionToken", &stsapi.GetSessionTokenInput{})
	if err != nil {
		t.Fatal(err)
	}
	c = session.(*stsapi.GetSessionTokenOutput).Credentials
	in.ResourceARNList = []string{role}
	own := r.tagClient("us-east-1", *c.AccessKeyId, *c.SecretAccessKey, *c.SessionToken)
	if d := cmp.Diff(map[string]string{role: "InvalidClientTokenId"}, codes(own)); d != "" {
		t.Errorf("with a session of the user's: %s", d)
	}
	if d := cmp.Diff(map[string]string{}, codes(r.tagClient("us-east-1", *key.AccessKeyId, *key.SecretAccessKey, ""))); d != "" {
		t.Errorf("with the user's key: %s", d)
	}
}
