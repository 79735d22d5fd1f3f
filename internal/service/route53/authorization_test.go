package route53_test

import (
	"fmt"
	"testing"

	"github.com/google/go-cmp/cmp"

	route53api "github.com/tarn-eks/tarn/internal/api/route53"
	"github.com/tarn-eks/tarn/internal/policy"
	"github.com/tarn-eks/tarn/internal/service/route53"
)

func TestAuthorization(t *testing.T) {
	s := route53.New(route53.Config{Account: account, Region: region})
	on := func(action string, resources ...string) (all []policy.Request) {
		for _, r := range resources {
			all = append(all, policy.Request{Action: action, Resources: []string{r}, ResourceAccount: account})
		}
		return all
	}
	vpc := func(rs []policy.Request) []policy.Request {
		rs[0].Context = map[string][]string{"route53:vpcs": {"VPCId=vpc-1,VPCRegion=ap-northeast-2"}}
		return append(rs, on("ec2:DescribeVpcs", "*")...)
	}
	change := on("route53:ChangeResourceRecordSets", "arn:aws:route53:::hostedzone/Z1")
	change[0].Context = map[string][]string{
		"route53:changeresourcerecordsetsnormalizedrecordnames": {`\052.example.com`, "www.example.com", "a..b"},
		"route53:changeresourcerecordsetsrecordtypes":           {"A", "TXT"},
		"route53:changeresourcerecordsetsactions":               {"CREATE", "UPSERT"},
	}
	set := func(name, typ string) *route53api.ResourceRecordSet {
		return &route53api.ResourceRecordSet{Name: &name, Type: route53api.RRType(typ)}
	}
	for operation, tc := range map[string]struct {
		in   any
		want []policy.Request
	}{
		"GetHostedZone":    {&route53api.GetHostedZoneInput{Id: new("/hostedzone/Z1")}, on("route53:GetHostedZone", "arn:aws:route53:::hostedzone/Z1")},
		"GetChange":        {&route53api.GetChangeInput{Id: new("C1")}, on("route53:GetChange", "arn:aws:route53:::change/C1")},
		"ListHostedZones":  {&route53api.ListHostedZonesInput{}, on("route53:ListHostedZones", "*")},
		"ListGeoLocations": {&route53api.ListGeoLocationsInput{}, nil},
		"CreateHostedZone": {&route53api.CreateHostedZoneInput{VPC: &route53api.VPC{VPCId: new("vpc-1"), VPCRegion: region}}, vpc(on("route53:CreateHostedZone", "*"))},
		"AssociateVPCWithHostedZone": {&route53api.AssociateVPCWithHostedZoneInput{HostedZoneId: new("Z1"), VPC: &route53api.VPC{VPCId: new("vpc-1"), VPCRegion: region}},
			vpc(on("route53:AssociateVPCWithHostedZone", "arn:aws:route53:::hostedzone/Z1"))},
		"UpdateHealthCheck":        {&route53api.UpdateHealthCheckInput{HealthCheckId: new("h")}, on("route53:UpdateHealthCheck", "arn:aws:route53:::healthcheck/h")},
		"GetReusableDelegationSet": {&route53api.GetReusableDelegationSetInput{Id: new("N1")}, on("route53:GetReusableDelegationSet", "arn:aws:route53:::delegationset/N1")},
		"ChangeTagsForResource":    {&route53api.ChangeTagsForResourceInput{ResourceType: "healthcheck", ResourceId: new("h")}, on("route53:ChangeTagsForResource", "arn:aws:route53:::healthcheck/h")},
		"ListTagsForResources": {&route53api.ListTagsForResourcesInput{ResourceType: "hostedzone", ResourceIds: []string{"Z1", "Z2"}},
			on("route53:ListTagsForResources", "arn:aws:route53:::hostedzone/Z1", "arn:aws:route53:::hostedzone/Z2")},
		"ChangeResourceRecordSets": {&route53api.ChangeResourceRecordSetsInput{HostedZoneId: new("Z1"), ChangeBatch: &route53api.ChangeBatch{Changes: []route53api.Change{
			{Action: "CREATE", ResourceRecordSet: set("*.Example.com.", "A")}, {Action: "UPSERT", ResourceRecordSet: set("www.example.com", "A")},
			{Action: "CREATE", ResourceRecordSet: set("a..b", "TXT")},
		}}}, change},
	} {
		got, err := s.Authorization(t.Context(), operation, tc.in)
		if d := cmp.Diff(tc.want, got); err != nil || d != "" {
			t.Errorf("%s: %v\n%s", operation, err, d)
		}
	}
	// There is something to allow for every operation, whatever the request lacks.
	for _, op := range route53api.Service.Operations {
		in := fmt.Sprintf("%v", op.Input)
		got, err := s.Authorization(t.Context(), op.Name, newInput(op))
		if want := op.Name != "GetGeoLocation" && op.Name != "ListGeoLocations" && op.Name != "ListTagsForResources"; err != nil || (len(got) > 0) != want {
			t.Errorf("%s: %+v, %v", in, got, err)
		}
		for _, r := range got {
			if len(r.Resources) == 0 || r.Resources[0] == "" {
				t.Errorf("%s: about nothing", in)
			}
		}
	}
	if _, err := s.Authorization(t.Context(), "CreateTrafficPolicy", nil); err == nil {
		t.Error("an unknown operation is allowed")
	}
}
