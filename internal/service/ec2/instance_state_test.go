package ec2_test

import (
	"encoding/base64"
	"net/netip"
	"testing"

	"github.com/aws/aws-sdk-go-v2/aws"
	awsec2 "github.com/aws/aws-sdk-go-v2/service/ec2"
	"github.com/aws/aws-sdk-go-v2/service/ec2/types"

	"github.com/tarn-eks/tarn/internal/service/ec2"
)

var zonesCIDR = netip.MustParsePrefix("192.168.0.0/16")

// A life as clients see it: each call's previous and current state.
func TestStateChanges(t *testing.T) {
	s, home := withVPC(t, "ap-northeast-2", "192.168.0.0/16")
	c := client(t, s)
	made := run(t, s, ec2.LaunchInput{Type: "t3.small", Subnet: home.ID, Count: 1, Bootstrap: node})[0]
	ids := []string{made.ID}
	stop := func() ([]types.InstanceStateChange, error) {
		out, err := c.StopInstances(t.Context(), &awsec2.StopInstancesInput{InstanceIds: ids})
		if err != nil {
			return nil, err
		}
		return out.StoppingInstances, nil
	}
	start := func() ([]types.InstanceStateChange, error) {
		out, err := c.StartInstances(t.Context(), &awsec2.StartInstancesInput{InstanceIds: ids})
		if err != nil {
			return nil, err
		}
		return out.StartingInstances, nil
	}
	terminate := func() ([]types.InstanceStateChange, error) {
		out, err := c.TerminateInstances(t.Context(), &awsec2.TerminateInstancesInput{InstanceIds: ids})
		if err != nil {
			return nil, err
		}
		return out.TerminatingInstances, nil
	}
	reboot := func() ([]types.InstanceStateChange, error) {
		_, err := c.RebootInstances(t.Context(), &awsec2.RebootInstancesInput{InstanceIds: ids})
		return nil, err
	}
	mark := func(f func() error) func() ([]types.InstanceStateChange, error) {
		return func() ([]types.InstanceStateChange, error) { return nil, f() }
	}
	running := mark(func() error { return s.MarkRunning(t.Context(), made.ID) })
	stopped := mark(func() error { return s.MarkStopped(t.Context(), made.ID) })
	terminated := mark(func() error { return s.MarkTerminated(t.Context(), made.ID) })
	for n, step := range []struct {
		call              func() ([]types.InstanceStateChange, error)
		code              string // of an error
		previous, current types.InstanceStateName
	}{
		{stop, "IncorrectInstanceState", "", ""},
		{reboot, "IncorrectState", "", ""},
		{start, "", "pending", "pending"},
		{running, "", "", ""},
		{reboot, "", "", ""},
		{reboot, "", "", ""},
		{stop, "", "running", "stopping"},
		{stop, "", "stopping", "stopping"},
		{start, "IncorrectInstanceState", "", ""},
		{running, "", "", ""}, // late: it stays stopping
		{stopped, "", "", ""},
		{stop, "", "stopped", "stopped"},
		{start, "", "stopped", "pending"},
		{running, "", "", ""},
		{start, "", "running", "running"},
		{terminate, "", "running", "shutting-down"},
		{stop, "IncorrectInstanceState", "", ""},
		{terminated, "", "", ""},
		{terminate, "", "terminated", "terminated"},
		{start, "IncorrectInstanceState", "", ""},
	} {
		changes, err := step.call()
		switch {
		case step.code != "":
			wantCode(t, "step "+string(rune('0'+n)), err, step.code, made.ID)
		case err != nil:
			t.Errorf("step %d: %v", n, err)
		case step.current != "" && (len(changes) != 1 || changes[0].PreviousState.Name != step.previous || changes[0].CurrentState.Name != step.current):
			t.Errorf("step %d: %+v, want %s to %s", n, changes, step.previous, step.current)
		}
		if i := get(t, s, made.ID).Value; i.State == ec2.Stopped && (i.Address != made.Address || len(enis(t, s)) != 1) {
			t.Error("a stopped instance has lost its address")
		}
	}
	if i := get(t, s, made.ID).Value; i.Reboots != 2 || len(enis(t, s)) != 0 {
		t.Errorf("%d reboots, interfaces %v", i.Reboots, enis(t, s))
	}
	_, err := c.TerminateInstances(t.Context(), &awsec2.TerminateInstancesInput{InstanceIds: []string{"i-00000000"}})
	wantCode(t, "an instance that does not exist", err, "InvalidInstanceID.NotFound", "i-00000000")
	_, err = c.TerminateInstances(t.Context(), &awsec2.TerminateInstancesInput{InstanceIds: []string{made.ID}, DryRun: aws.Bool(true)})
	wantCode(t, "only asking", err, "DryRunOperation", "")
}

func TestProtection(t *testing.T) {
	s, home := withVPC(t, "ap-northeast-2", "192.168.0.0/16")
	c := client(t, s)
	made := run(t, s, ec2.LaunchInput{Type: "t3.small", Subnet: home.ID, Count: 2, DisableTermination: true, DisableStop: true})
	free, kept := made[0].ID, made[1].ID
	modify := must[*awsec2.ModifyInstanceAttributeOutput](t)
	modify(c.ModifyInstanceAttribute(t.Context(), &awsec2.ModifyInstanceAttributeInput{InstanceId: &free, DisableApiTermination: &types.AttributeBooleanValue{Value: aws.Bool(false)}}))
	_, err := c.TerminateInstances(t.Context(), &awsec2.TerminateInstancesInput{InstanceIds: []string{free, kept}})
	wantCode(t, "a protected instance", err, "OperationNotPermitted", kept)
	if get(t, s, free).Value.State != ec2.Pending {
		t.Error("one of two was terminated where the other may not be")
	}
	if err := s.MarkRunning(t.Context(), kept); err != nil {
		t.Fatal(err)
	}
	_, err = c.StopInstances(t.Context(), &awsec2.StopInstancesInput{InstanceIds: []string{kept}})
	wantCode(t, "an instance that may not be stopped", err, "OperationNotPermitted", "disableApiStop")
	if err := s.Terminate(t.Context(), kept, "the group is smaller"); err != nil || get(t, s, kept).Value.State != ec2.ShuttingDown {
		t.Errorf("the region's own loops are kept from ending it: %v", err)
	}
}

func TestInstanceAttributes(t *testing.T) {
	s, home := withVPC(t, "ap-northeast-2", "192.168.0.0/16")
	c := client(t, s)
	id := run(t, s, ec2.LaunchInput{Type: "t3.small", Subnet: home.ID, Count: 1, Bootstrap: node, UserData: []byte("x")})[0].ID
	modify := func(in awsec2.ModifyInstanceAttributeInput) error {
		in.InstanceId = &id
		_, err := c.ModifyInstanceAttribute(t.Context(), &in)
		return err
	}
	describe := func(a types.InstanceAttributeName) *awsec2.DescribeInstanceAttributeOutput {
		return must[*awsec2.DescribeInstanceAttributeOutput](t)(c.DescribeInstanceAttribute(t.Context(), &awsec2.DescribeInstanceAttributeInput{InstanceId: &id, Attribute: a}))
	}
	if got := describe("userData").UserData.Value; *got != base64.StdEncoding.EncodeToString([]byte("x")) {
		t.Errorf("user data %q", *got)
	}
	if err := modify(awsec2.ModifyInstanceAttributeInput{SourceDestCheck: &types.AttributeBooleanValue{Value: aws.Bool(false)}}); err != nil {
		t.Fatal(err)
	}
	if *describe("sourceDestCheck").SourceDestCheck.Value || !enis(t, s)[0].Value.NoDestCheck {
		t.Error("sourceDestCheck is still on")
	}
	bigger := awsec2.ModifyInstanceAttributeInput{InstanceType: &types.AttributeValue{Value: aws.String("t3.large")}}
	wantCode(t, "the type of one that is pending", modify(bigger), "IncorrectInstanceState", "stopped")
	for _, step := range []func() error{
		func() error { return s.MarkRunning(t.Context(), id) },
		func() error { return s.Stop(t.Context(), id, "") },
		func() error { return s.MarkStopped(t.Context(), id) },
	} {
		if err := step(); err != nil {
			t.Fatal(err)
		}
	}
	before := get(t, s, id).Value
	if err := modify(bigger); err != nil {
		t.Fatal(err)
	}
	i := get(t, s, id).Value
	if i.Type != "t3.large" || i.Bootstrap.MaxPods != 35 || len(i.PodAddresses) != 35 || i.Address != before.Address || len(enis(t, s)[0].Value.Addresses) != 36 {
		t.Errorf("after a change to t3.large: %d pods, %d addresses", i.Bootstrap.MaxPods, len(i.PodAddresses))
	}
	checkAddresses(t, s, home)
	if err := modify(awsec2.ModifyInstanceAttributeInput{UserData: &types.SecureBlobAttributeValue{Value: []byte(nodeConfig)}}); err != nil {
		t.Fatal(err)
	}
	if i := get(t, s, id).Value; i.Bootstrap.MaxPods != 8 || len(i.PodAddresses) != 8 || string(i.UserData) != nodeConfig {
		t.Errorf("after other user data: %+v", i.Bootstrap)
	}
	group := must[*awsec2.CreateSecurityGroupOutput](t)(c.CreateSecurityGroup(t.Context(), &awsec2.CreateSecurityGroupInput{
		GroupName: aws.String("web"), Description: aws.String("web"), VpcId: &home.VPC,
	}))
	if err := modify(awsec2.ModifyInstanceAttributeInput{Groups: []string{*group.GroupId}}); err != nil {
		t.Fatal(err)
	}
	if got := describe("groupSet").Groups; len(got) != 1 || *got[0].GroupName != "web" || enis(t, s)[0].Value.SecurityGroups[0] != *group.GroupId {
		t.Errorf("groups %+v", got)
	}
	if err := modify(awsec2.ModifyInstanceAttributeInput{Attribute: "disableApiTermination", Value: aws.String("true")}); err != nil || !*describe("disableApiTermination").DisableApiTermination.Value {
		t.Errorf("disableApiTermination by name: %v", err)
	}
	wantCode(t, "nothing", modify(awsec2.ModifyInstanceAttributeInput{}), "InvalidParameterCombination", "No attributes")
	wantCode(t, "two", modify(awsec2.ModifyInstanceAttributeInput{
		EbsOptimized: &types.AttributeBooleanValue{Value: aws.Bool(true)}, DisableApiStop: &types.AttributeBooleanValue{Value: aws.Bool(true)},
	}), "InvalidParameterCombination", "one attribute")
	m := must[*awsec2.ModifyInstanceMetadataOptionsOutput](t)(c.ModifyInstanceMetadataOptions(t.Context(), &awsec2.ModifyInstanceMetadataOptionsInput{
		InstanceId: &id, HttpTokens: "optional", HttpPutResponseHopLimit: aws.Int32(3),
	})).InstanceMetadataOptions
	if kept := get(t, s, id).Value.Metadata; m.State != "pending" || kept.Tokens != "optional" || kept.HopLimit != 3 || kept.Endpoint != "enabled" {
		t.Errorf("%+v, kept %+v", m, kept)
	}
	_, err := c.ModifyInstanceMetadataOptions(t.Context(), &awsec2.ModifyInstanceMetadataOptionsInput{InstanceId: &id, HttpPutResponseHopLimit: aws.Int32(65)})
	wantCode(t, "65 hops", err, "InvalidParameterValue", "HttpPutResponseHopLimit")
}

func TestProfileAssociations(t *testing.T) {
	s, home := withVPC(t, "ap-northeast-2", "192.168.0.0/16")
	c := client(t, s)
	id := run(t, s, ec2.LaunchInput{Type: "t3.small", Subnet: home.ID, Count: 1})[0].ID
	spec := &types.IamInstanceProfileSpecification{Name: aws.String("nodes")}
	made := must[*awsec2.AssociateIamInstanceProfileOutput](t)(c.AssociateIamInstanceProfile(t.Context(), &awsec2.AssociateIamInstanceProfileInput{InstanceId: &id, IamInstanceProfile: spec})).IamInstanceProfileAssociation
	checkID(t, "iip-assoc", *made.AssociationId)
	_, err := c.AssociateIamInstanceProfile(t.Context(), &awsec2.AssociateIamInstanceProfileInput{InstanceId: &id, IamInstanceProfile: spec})
	wantCode(t, "a second one", err, "IncorrectState", id)
	list := func() []types.IamInstanceProfileAssociation {
		return must[*awsec2.DescribeIamInstanceProfileAssociationsOutput](t)(c.DescribeIamInstanceProfileAssociations(t.Context(), &awsec2.DescribeIamInstanceProfileAssociationsInput{Filters: filters("instance-id", id)})).IamInstanceProfileAssociations
	}
	if got := list(); len(got) != 1 || got[0].State != "associated" || *got[0].IamInstanceProfile.Id != "AIPA0123456789ABCDEFG" {
		t.Errorf("%+v", got)
	}
	replaced := must[*awsec2.ReplaceIamInstanceProfileAssociationOutput](t)(c.ReplaceIamInstanceProfileAssociation(t.Context(), &awsec2.ReplaceIamInstanceProfileAssociationInput{AssociationId: made.AssociationId, IamInstanceProfile: spec})).IamInstanceProfileAssociation
	_, err = c.DisassociateIamInstanceProfile(t.Context(), &awsec2.DisassociateIamInstanceProfileInput{AssociationId: made.AssociationId})
	wantCode(t, "the replaced one", err, "InvalidAssociationID.NotFound", "")
	must[*awsec2.DisassociateIamInstanceProfileOutput](t)(c.DisassociateIamInstanceProfile(t.Context(), &awsec2.DisassociateIamInstanceProfileInput{AssociationId: replaced.AssociationId}))
	if got := list(); len(got) != 0 || get(t, s, id).Value.Profile.ARN != "" {
		t.Errorf("%+v", got)
	}
}
