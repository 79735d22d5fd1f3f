package ec2_test

import (
	"strings"
	"testing"

	"github.com/aws/aws-sdk-go-v2/aws"
	awsec2 "github.com/aws/aws-sdk-go-v2/service/ec2"
	"github.com/aws/aws-sdk-go-v2/service/ec2/types"

	"github.com/tarn-eks/tarn/internal/service/ec2"
)

// template makes a launch template as node groups have it.
func template(t *testing.T, c *awsec2.Client, name string) *types.LaunchTemplate {
	t.Helper()
	return must[*awsec2.CreateLaunchTemplateOutput](t)(c.CreateLaunchTemplate(t.Context(), &awsec2.CreateLaunchTemplateInput{
		LaunchTemplateName: &name, VersionDescription: aws.String("first"), ClientToken: aws.String("token-" + name),
		LaunchTemplateData: &types.RequestLaunchTemplateData{
			InstanceType: "t3.small", UserData: encoded(nodeConfig), ImageId: aws.String(newestImage(t, c)),
			MetadataOptions:     &types.LaunchTemplateInstanceMetadataOptionsRequest{HttpTokens: "required", HttpPutResponseHopLimit: aws.Int32(1)},
			IamInstanceProfile:  &types.LaunchTemplateIamInstanceProfileSpecificationRequest{Name: aws.String("nodes")},
			BlockDeviceMappings: []types.LaunchTemplateBlockDeviceMappingRequest{{DeviceName: aws.String("/dev/xvda"), Ebs: &types.LaunchTemplateEbsBlockDeviceRequest{VolumeSize: aws.Int32(50), VolumeType: "gp3", Encrypted: aws.Bool(true)}}},
			NetworkInterfaces:   []types.LaunchTemplateInstanceNetworkInterfaceSpecificationRequest{{DeviceIndex: aws.Int32(0), AssociatePublicIpAddress: aws.Bool(true)}},
			TagSpecifications:   []types.LaunchTemplateTagSpecificationRequest{{ResourceType: "instance", Tags: []types.Tag{{Key: aws.String("a"), Value: aws.String("template")}, {Key: aws.String("b"), Value: aws.String("template")}}}},
		},
		TagSpecifications: []types.TagSpecification{{ResourceType: "launch-template", Tags: []types.Tag{{Key: aws.String("team"), Value: aws.String("lake")}}}},
	})).LaunchTemplate
}

func TestLaunchTemplates(t *testing.T) {
	s, _ := withVPC(t, "ap-northeast-2", "192.168.0.0/16")
	c := client(t, s)
	made := template(t, c, "nodes")
	checkID(t, "lt", *made.LaunchTemplateId)
	if *made.DefaultVersionNumber != 1 || *made.LatestVersionNumber != 1 || *made.Tags[0].Key != "team" || !strings.HasPrefix(*made.CreatedBy, "arn:aws:iam::000000000000:") {
		t.Errorf("%+v", made)
	}
	if again := template(t, c, "nodes"); *again.LaunchTemplateId != *made.LaunchTemplateId {
		t.Error("the same token made another")
	}
	data := &types.RequestLaunchTemplateData{InstanceType: "m5.large"}
	create := func(name string, data *types.RequestLaunchTemplateData) error {
		_, err := c.CreateLaunchTemplate(t.Context(), &awsec2.CreateLaunchTemplateInput{LaunchTemplateName: &name, LaunchTemplateData: data, ClientToken: aws.String("")})
		return err
	}
	wantCode(t, "a name in use", create("nodes", data), "InvalidLaunchTemplateName.AlreadyExistsException", "already in use")
	wantCode(t, "a name with a space", create("a b", data), "InvalidLaunchTemplateName.MalformedException", "")
	wantCode(t, "broken user data", create("x-x", &types.RequestLaunchTemplateData{UserData: aws.String("*")}), "InvalidUserData.Malformed", "")

	version := must[*awsec2.CreateLaunchTemplateVersionOutput](t)
	second := version(c.CreateLaunchTemplateVersion(t.Context(), &awsec2.CreateLaunchTemplateVersionInput{
		LaunchTemplateId: made.LaunchTemplateId, SourceVersion: aws.String("1"), VersionDescription: aws.String("second"), LaunchTemplateData: data,
	})).LaunchTemplateVersion
	if d := second.LaunchTemplateData; *second.VersionNumber != 2 || *second.DefaultVersion || d.InstanceType != "m5.large" || *d.UserData != *encoded(nodeConfig) ||
		*d.MetadataOptions.HttpPutResponseHopLimit != 1 || *d.BlockDeviceMappings[0].Ebs.VolumeSize != 50 || *d.IamInstanceProfile.Name != "nodes" {
		t.Errorf("%+v of %+v", d, second)
	}
	third := version(c.CreateLaunchTemplateVersion(t.Context(), &awsec2.CreateLaunchTemplateVersionInput{LaunchTemplateName: aws.String("nodes"), LaunchTemplateData: data})).LaunchTemplateVersion
	if *third.VersionNumber != 3 || third.LaunchTemplateData.UserData != nil {
		t.Errorf("without a source: %+v", third.LaunchTemplateData)
	}
	versions := func(in awsec2.DescribeLaunchTemplateVersionsInput) (numbers []int64) {
		for p := awsec2.NewDescribeLaunchTemplateVersionsPaginator(c, &in); p.HasMorePages(); {
			for _, v := range must[*awsec2.DescribeLaunchTemplateVersionsOutput](t)(p.NextPage(t.Context())).LaunchTemplateVersions {
				numbers = append(numbers, *v.VersionNumber)
			}
		}
		return numbers
	}
	same := func(name string, got []int64, want ...int64) {
		t.Helper()
		if len(got) != len(want) {
			t.Errorf("%s: %v, want %v", name, got, want)
			return
		}
		for i := range want {
			if got[i] != want[i] {
				t.Errorf("%s: %v, want %v", name, got, want)
			}
		}
	}
	id := made.LaunchTemplateId
	same("all, newest first", versions(awsec2.DescribeLaunchTemplateVersionsInput{LaunchTemplateId: id}), 3, 2, 1)
	same("in pages", versions(awsec2.DescribeLaunchTemplateVersionsInput{LaunchTemplateId: id, MaxResults: aws.Int32(1)}), 3, 2, 1)
	same("from 2", versions(awsec2.DescribeLaunchTemplateVersionsInput{LaunchTemplateId: id, MinVersion: aws.String("2")}), 3, 2)
	same("by filter", versions(awsec2.DescribeLaunchTemplateVersionsInput{LaunchTemplateId: id, Filters: filters("is-default-version", "true")}), 1)
	same("$Latest of all", versions(awsec2.DescribeLaunchTemplateVersionsInput{Versions: []string{"$Latest"}}), 3)
	must[*awsec2.ModifyLaunchTemplateOutput](t)(c.ModifyLaunchTemplate(t.Context(), &awsec2.ModifyLaunchTemplateInput{LaunchTemplateId: id, DefaultVersion: aws.String("2")}))
	same("$Default", versions(awsec2.DescribeLaunchTemplateVersionsInput{LaunchTemplateId: id, Versions: []string{"$Default"}}), 2)

	deleted := must[*awsec2.DeleteLaunchTemplateVersionsOutput](t)(c.DeleteLaunchTemplateVersions(t.Context(), &awsec2.DeleteLaunchTemplateVersionsInput{LaunchTemplateId: id, Versions: []string{"3", "2", "9"}}))
	if ok, not := deleted.SuccessfullyDeletedLaunchTemplateVersions, deleted.UnsuccessfullyDeletedLaunchTemplateVersions; len(ok) != 1 || *ok[0].VersionNumber != 3 ||
		len(not) != 2 || not[0].ResponseError.Code != "unexpectedError" || not[1].ResponseError.Code != "launchTemplateVersionDoesNotExist" {
		t.Errorf("deleted %+v, not %+v", ok, not)
	}
	described := must[*awsec2.DescribeLaunchTemplatesOutput](t)(c.DescribeLaunchTemplates(t.Context(), &awsec2.DescribeLaunchTemplatesInput{LaunchTemplateNames: []string{"nodes"}})).LaunchTemplates
	if len(described) != 1 || *described[0].LatestVersionNumber != 2 || *described[0].DefaultVersionNumber != 2 {
		t.Errorf("%+v", described)
	}
	if v := version(c.CreateLaunchTemplateVersion(t.Context(), &awsec2.CreateLaunchTemplateVersionInput{LaunchTemplateId: id, LaunchTemplateData: data})).LaunchTemplateVersion; *v.VersionNumber != 4 {
		t.Errorf("the number %d, after 3 was deleted", *v.VersionNumber)
	}
	for _, test := range []struct {
		name, code string
		err        error
	}{
		{"an unknown id", "InvalidLaunchTemplateId.NotFound", failure(c.DescribeLaunchTemplates(t.Context(), &awsec2.DescribeLaunchTemplatesInput{LaunchTemplateIds: []string{"lt-00000000000000000"}}))},
		{"a broken id", "InvalidLaunchTemplateId.Malformed", failure(c.DescribeLaunchTemplates(t.Context(), &awsec2.DescribeLaunchTemplatesInput{LaunchTemplateIds: []string{"x"}}))},
		{"an unknown name", "InvalidLaunchTemplateName.NotFoundException", failure(c.DescribeLaunchTemplates(t.Context(), &awsec2.DescribeLaunchTemplatesInput{LaunchTemplateNames: []string{"none"}}))},
		{"an unknown version", "InvalidLaunchTemplateId.VersionNotFound", failure(c.DescribeLaunchTemplateVersions(t.Context(), &awsec2.DescribeLaunchTemplateVersionsInput{LaunchTemplateId: id, Versions: []string{"3"}}))},
		{"id and name", "InvalidParameterCombination", failure(c.DeleteLaunchTemplate(t.Context(), &awsec2.DeleteLaunchTemplateInput{LaunchTemplateId: id, LaunchTemplateName: aws.String("nodes")}))},
		{"neither", "MissingParameter", failure(c.DeleteLaunchTemplate(t.Context(), &awsec2.DeleteLaunchTemplateInput{}))},
	} {
		wantCode(t, test.name, test.err, test.code, "")
	}
	must[*awsec2.DeleteLaunchTemplateOutput](t)(c.DeleteLaunchTemplate(t.Context(), &awsec2.DeleteLaunchTemplateInput{LaunchTemplateName: aws.String("nodes")}))
	if got := must[*awsec2.DescribeLaunchTemplatesOutput](t)(c.DescribeLaunchTemplates(t.Context(), &awsec2.DescribeLaunchTemplatesInput{})).LaunchTemplates; len(got) != 0 {
		t.Errorf("after its deletion: %+v", got)
	}
}

func failure[T any](_ T, err error) error { return err }

// A template gives what the request does not, and is overruled where it does.
func TestRunFromLaunchTemplate(t *testing.T) {
	s, home := withVPC(t, "ap-northeast-2", "192.168.0.0/16")
	c := client(t, s)
	made := template(t, c, "nodes")
	out := must[*awsec2.RunInstancesOutput](t)(c.RunInstances(t.Context(), &awsec2.RunInstancesInput{
		LaunchTemplate: &types.LaunchTemplateSpecification{LaunchTemplateId: made.LaunchTemplateId, Version: aws.String("$Latest")},
		InstanceType:   "t3.medium", SubnetId: &home.ID, MinCount: aws.Int32(1), MaxCount: aws.Int32(1),
		BlockDeviceMappings: []types.BlockDeviceMapping{{DeviceName: aws.String("/dev/xvda"), Ebs: &types.EbsBlockDevice{VolumeSize: aws.Int32(60)}}},
		TagSpecifications:   []types.TagSpecification{{ResourceType: "instance", Tags: []types.Tag{{Key: aws.String("a"), Value: aws.String("request")}}}},
	}))
	i := get(t, s, *out.Instances[0].InstanceId).Value
	if i.Type != "t3.medium" || i.Bootstrap.Cluster != "eks-work" || i.Profile.Name != "nodes" || i.Metadata.HopLimit != 1 || i.VolumeGiB != 60 || !i.Volume.Encrypted ||
		i.Tags["a"] != "request" || i.Tags["b"] != "template" || i.Subnet != home.ID {
		t.Errorf("%+v", i)
	}
	got, number, data, err := s.TemplateData(t.Context(), "", "nodes", "$Default")
	if err != nil || got.ID != *made.LaunchTemplateId || number != 1 || data.InstanceType != "t3.small" {
		t.Errorf("%+v, %d, %+v, %v", got, number, data, err)
	}
}

func TestTagsOfInstanceAndVolume(t *testing.T) {
	s, home := withVPC(t, "ap-northeast-2", "192.168.0.0/16")
	c := client(t, s)
	i := run(t, s, ec2.LaunchInput{Type: "t3.small", Subnet: home.ID, Count: 1})[0]
	must[*awsec2.CreateTagsOutput](t)(c.CreateTags(t.Context(), &awsec2.CreateTagsInput{
		Resources: []string{i.ID, i.Volume.ID, i.ENI}, Tags: []types.Tag{{Key: aws.String("k"), Value: aws.String("v")}},
	}))
	if got := get(t, s, i.ID).Value; got.Tags["k"] != "v" || got.Volume.Tags["k"] != "v" {
		t.Errorf("instance %v, volume %v", got.Tags, got.Volume.Tags)
	}
	tags := must[*awsec2.DescribeTagsOutput](t)(c.DescribeTags(t.Context(), &awsec2.DescribeTagsInput{Filters: filters("resource-type", "volume")})).Tags
	if len(tags) != 1 || *tags[0].ResourceId != i.Volume.ID {
		t.Errorf("%+v", tags)
	}
}
