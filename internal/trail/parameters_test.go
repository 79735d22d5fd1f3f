package trail

import (
	"encoding/json"
	"strings"
	"testing"
	"time"

	"github.com/tarn-eks/tarn/internal/api"
	ec2api "github.com/tarn-eks/tarn/internal/api/ec2"
	ecrapi "github.com/tarn-eks/tarn/internal/api/ecr"
	eksapi "github.com/tarn-eks/tarn/internal/api/eks"
	iamapi "github.com/tarn-eks/tarn/internal/api/iam"
	stsapi "github.com/tarn-eks/tarn/internal/api/sts"
)

var at = time.Date(2026, 11, 23, 8, 5, 6, 208e6, time.UTC)

func TestParameters(t *testing.T) {
	for _, c := range []struct {
		name    string
		service *api.Service
		input   any
		want    string
	}{
		{"nothing", iamapi.Service, &iamapi.ListUsersInput{}, ``},
		{"names begin in lower case", iamapi.Service, &iamapi.CreateRoleInput{
			RoleName: new("node"), AssumeRolePolicyDocument: new(`{"Version": "2012-10-17"}`), MaxSessionDuration: new(int32(3600)),
			Tags: []iamapi.Tag{{Key: new("a"), Value: new("")}},
		}, `{"roleName":"node","assumeRolePolicyDocument":"{\"Version\": \"2012-10-17\"}","maxSessionDuration":3600,"tags":[{"key":"a","value":""}]}`},
		{"EC2's sets", ec2api.Service, &ec2api.DescribeInstancesInput{
			InstanceIds: []string{"i-1", "i-2"}, Filters: []ec2api.Filter{{Name: new("tag:Name"), Values: []string{"x"}}},
		}, `{"filterSet":{"items":[{"name":"tag:Name","valueSet":{"items":[{"value":"x"}]}}]},"instancesSet":{"items":[{"instanceId":"i-1"},{"instanceId":"i-2"}]}}`},
		{"EC2's tags", ec2api.Service, &ec2api.CreateTagsInput{
			Resources: []string{"i-1"}, Tags: []ec2api.Tag{{Key: new("Name"), Value: new("x")}},
		}, `{"resourcesSet":{"items":[{"resourceId":"i-1"}]},"tagSet":{"items":[{"key":"Name","value":"x"}]}}`},
		{"user data", ec2api.Service, &ec2api.RunInstancesInput{ImageId: new("ami-1"), UserData: new("c2VjcmV0")},
			`{"imageId":"ami-1","userData":"<sensitiveDataRemoved>"}`},
		{"user data in a template", ec2api.Service, &ec2api.CreateLaunchTemplateInput{
			LaunchTemplateData: &ec2api.RequestLaunchTemplateData{UserData: new("c2VjcmV0")},
		}, `{"launchTemplateData":{"userData":"<sensitiveDataRemoved>"}}`},
		{"a public key", ec2api.Service, &ec2api.ImportKeyPairInput{KeyName: new("k"), PublicKeyMaterial: []byte("ssh-ed25519 A")},
			`{"keyName":"k","publicKeyMaterial":"c3NoLWVkMjU1MTkgQQ=="}`},
		{"a map and nested structs", eksapi.Service, &eksapi.CreateClusterInput{
			Name: new("c"), Tags: map[string]string{"b": "2", "a": "1"},
			ResourcesVpcConfig: &eksapi.VpcConfigRequest{SubnetIds: []string{"subnet-1"}, EndpointPublicAccess: new(true)},
		}, `{"name":"c","resourcesVpcConfig":{"subnetIds":["subnet-1"],"endpointPublicAccess":true},"tags":{"a":"1","b":"2"}}`},
		{"blobs are left out", ecrapi.Service, &ecrapi.UploadLayerPartInput{RepositoryName: new("r"), UploadId: new("u"), LayerPartBlob: make([]byte, 1<<20)},
			`{"repositoryName":"r","uploadId":"u"}`},
		{"a token", stsapi.Service, &stsapi.AssumeRoleWithWebIdentityInput{RoleArn: new("arn:r"), WebIdentityToken: new("eyJ")},
			`{"roleArn":"arn:r","webIdentityToken":"HIDDEN_DUE_TO_SECURITY_REASONS"}`},
		{"characters", iamapi.Service, &iamapi.GetUserInput{UserName: new("\x00\n\"\\é<\xff")},
			`{"userName":"\u0000\n\"\\é<` + "\uFFFD" + `"}`},
		{"too much", iamapi.Service, &iamapi.GetUserInput{UserName: new(strings.Repeat("x", 200_000))},
			`{"omitted":true,"originalSize":200015,"reason":"CloudTrail records at most 102400 bytes of an element"}`},
	} {
		got := Parameters(c.service, c.input)
		if string(got) != c.want {
			t.Errorf("%s:\n got %s\nwant %s", c.name, got, c.want)
		}
		if got != nil && !json.Valid(got) {
			t.Errorf("%s: not JSON", c.name)
		}
	}
}

func TestElements(t *testing.T) {
	for _, c := range []struct {
		service   *api.Service
		operation string
		output    any
		want      string
	}{
		{ec2api.Service, "DeleteSubnet", &ec2api.DeleteSubnetOutput{}, `{"requestId":"r","_return":true}`},
		{ec2api.Service, "CreateKeyPair", &ec2api.CreateKeyPairOutput{KeyName: new("k"), KeyMaterial: new("-----BEGIN")},
			`{"requestId":"r","keyMaterial":"<sensitiveDataRemoved>","keyName":"k"}`},
		{ec2api.Service, "RunInstances", &ec2api.RunInstancesOutput{Instances: []ec2api.Instance{{InstanceId: new("i-1"), LaunchTime: &at}}},
			`{"requestId":"r","instancesSet":{"items":[{"instanceId":"i-1","launchTime":1795421106208}]}}`},
		{iamapi.Service, "DeleteUser", &iamapi.DeleteUserOutput{}, ``},
		{iamapi.Service, "CreateAccessKey", &iamapi.CreateAccessKeyOutput{AccessKey: &iamapi.AccessKey{
			UserName: new("u"), AccessKeyId: new("AKIA"), Status: "Active", SecretAccessKey: new("s3cr3t"), CreateDate: &at,
		}}, `{"accessKey":{"userName":"u","accessKeyId":"AKIA","status":"Active","secretAccessKey":"HIDDEN_DUE_TO_SECURITY_REASONS","createDate":"Nov 23, 2026 8:05:06 AM"}}`},
		{eksapi.Service, "CreateCluster", &eksapi.CreateClusterOutput{Cluster: &eksapi.Cluster{Name: new("c"), CreatedAt: &at}},
			`{"cluster":{"name":"c","createdAt":1795421106.208}}`},
	} {
		op := c.service.Lookup(c.operation)
		if op == nil {
			t.Errorf("no operation %s", c.operation)
			continue
		}
		if got := Elements(c.service, op, c.output, "r"); string(got) != c.want {
			t.Errorf("%s:\n got %s\nwant %s", c.operation, got, c.want)
		}
	}
}

func TestReadOnly(t *testing.T) {
	for call, want := range map[string]bool{
		"ec2 DescribeInstances": true, "ec2 RunInstances": false, "ec2 GetConsoleOutput": true, "iam ListUsers": true,
		"iam CreateUser": false, "iam SimulatePrincipalPolicy": true, "sts AssumeRole": true, "ecr BatchGetImage": true,
		"ecr BatchDeleteImage": false, "ecr BatchCheckLayerAvailability": true, "eks TagResource": false,
	} {
		service, operation, _ := strings.Cut(call, " ")
		if got := ReadOnly(service, operation); got != want {
			t.Errorf("%s: %v", call, got)
		}
	}
}

func TestFormat(t *testing.T) {
	for _, c := range []struct {
		record Record
		want   string
	}{
		{Record{UserIdentity: Identity{Type: "Root", ARN: "arn:aws:iam::000000000000:root"}, EventSource: "sts.amazonaws.com", EventName: "GetCallerIdentity"},
			"2026-11-23 08:05:06  root                              sts.GetCallerIdentity                 ok                                 0.0 ms"},
		{Record{
			UserIdentity: Identity{Type: "AssumedRole", ARN: "arn:aws:sts::000000000000:assumed-role/eks-node/i-0123456789abcdef0"},
			EventSource:  "ec2.amazonaws.com", EventName: "RunInstances", ErrorCode: "Client.UnauthorizedOperation",
			AdditionalEventData: Additional{12.345},
		}, "2026-11-23 08:05:06  eks-node/i-0123456789abcdef0      ec2.RunInstances                      UnauthorizedOperation             12.3 ms"},
		{Record{UserIdentity: Identity{Type: "AWSService", InvokedBy: "eks.amazonaws.com"}, EventSource: "ec2.amazonaws.com", EventName: strings.Repeat("x", 60)},
			"2026-11-23 08:05:06  eks.amazonaws.com                 ec2.xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx…  ok                                 0.0 ms"},
		{Record{UserIdentity: Identity{Type: "Unknown", AccessKeyID: "AKIA\x1b[2J"}, EventSource: "s3.amazonaws.com", EventName: "GET"},
			"2026-11-23 08:05:06  AKIA?[2J                          s3.GET                                ok                                 0.0 ms"},
		{Record{UserIdentity: Identity{Type: "Unknown"}, EventSource: "iam.amazonaws.com", EventName: "ListUsers", ErrorCode: "MissingAuthenticationToken"},
			"2026-11-23 08:05:06  anonymous                         iam.ListUsers                         MissingAuthenticationToken         0.0 ms"},
		{Record{UserIdentity: Identity{Type: "IAMUser", UserName: "alice"}, EventSource: "iam.amazonaws.com", EventName: "ListUsers"},
			"2026-11-23 08:05:06  alice                             iam.ListUsers                         ok                                 0.0 ms"},
	} {
		c.record.EventTime = at
		if got := Format(c.record, time.UTC); got != c.want {
			t.Errorf("\n got %s\nwant %s", got, c.want)
		}
	}
}

// FuzzFormat: a line of the trail, whatever is in it, becomes one line.
func FuzzFormat(f *testing.F) {
	f.Add([]byte(`{"userIdentity":{"type":"AssumedRole","arn":"arn:aws:sts::0:assumed-role/a/b"},"eventTime":"2026-11-23T08:05:06Z","eventSource":"ec2.amazonaws.com","eventName":"RunInstances"}`))
	f.Add([]byte(`{"userIdentity":{"userName":"\u001b[2J\n"},"eventName":"\r"}`))
	f.Fuzz(func(t *testing.T, line []byte) {
		r, err := Parse(line)
		if err != nil {
			return
		}
		if s := Format(r, time.UTC); strings.ContainsAny(s, "\n\r\x1b") {
			t.Errorf("%q", s)
		}
	})
}

// FuzzText: strings survive the way to JSON and back, apart from what is not UTF-8.
func FuzzText(f *testing.F) {
	f.Add("a\"\\\x00\x1f\u2028\xffé")
	f.Fuzz(func(t *testing.T, s string) {
		got := Parameters(iamapi.Service, &iamapi.GetUserInput{UserName: &s})
		var back struct{ UserName string }
		if err := json.Unmarshal(got, &back); err != nil {
			if len(s) < maxElement/8 {
				t.Fatal(err)
			}
			return
		}
		if want := strings.ToValidUTF8(s, "\uFFFD"); back.UserName != want && len(s) < maxElement/8 && !strings.Contains(want, "\uFFFD") {
			t.Errorf("%q became %q", s, back.UserName)
		}
	})
}

func BenchmarkParameters(b *testing.B) {
	in := &ec2api.DescribeInstancesInput{InstanceIds: []string{"i-1"}, Filters: []ec2api.Filter{{Name: new("tag:Name"), Values: []string{"x"}}}}
	b.ReportAllocs()
	for b.Loop() {
		Parameters(ec2api.Service, in)
	}
}
