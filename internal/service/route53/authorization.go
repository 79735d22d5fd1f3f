package route53

import (
	"context"
	"fmt"
	"reflect"
	"slices"
	"strings"

	"github.com/tarn-eks/tarn/internal/api"
	route53api "github.com/tarn-eks/tarn/internal/api/route53"
	"github.com/tarn-eks/tarn/internal/policy"
)

// about says on which resource an operation acts, and by which member a request
// names it.
type about struct{ kind, member string }

var (
	anyResource = about{}
	hostedZone  = about{"hostedzone", "Id"}
	zoneOf      = about{"hostedzone", "HostedZoneId"}
	checkOf     = about{"healthcheck", "HealthCheckId"}
	setOf       = about{"delegationset", "Id"}
	tagsOf      = about{"", "ResourceId"} // the kind is a member too
)

// operations are all of the API, but for those that nobody needs a permission
// for: AWS says so of the geolocations.
//
// https://docs.aws.amazon.com/service-authorization/latest/reference/list_amazonroute53.html
var operations = map[string]about{
	"AssociateVPCWithHostedZone":      zoneOf,
	"ChangeResourceRecordSets":        zoneOf,
	"ChangeTagsForResource":           tagsOf,
	"CreateHealthCheck":               anyResource,
	"CreateHostedZone":                anyResource,
	"CreateReusableDelegationSet":     anyResource,
	"DeleteHealthCheck":               checkOf,
	"DeleteHostedZone":                hostedZone,
	"DeleteReusableDelegationSet":     setOf,
	"DisassociateVPCFromHostedZone":   zoneOf,
	"GetAccountLimit":                 anyResource,
	"GetChange":                       {"change", "Id"},
	"GetCheckerIpRanges":              anyResource,
	"GetHealthCheck":                  checkOf,
	"GetHealthCheckCount":             anyResource,
	"GetHealthCheckLastFailureReason": checkOf,
	"GetHealthCheckStatus":            checkOf,
	"GetHostedZone":                   hostedZone,
	"GetHostedZoneCount":              anyResource,
	"GetHostedZoneLimit":              zoneOf,
	"GetReusableDelegationSet":        setOf,
	"GetReusableDelegationSetLimit":   {"delegationset", "DelegationSetId"},
	"ListHealthChecks":                anyResource,
	"ListHostedZones":                 anyResource,
	"ListHostedZonesByName":           anyResource,
	"ListHostedZonesByVPC":            anyResource,
	"ListResourceRecordSets":          zoneOf,
	"ListReusableDelegationSets":      anyResource,
	"ListTagsForResource":             tagsOf,
	"ListTagsForResources":            tagsOf,
	"TestDNSAnswer":                   anyResource,
	"UpdateHealthCheck":               checkOf,
	"UpdateHostedZoneComment":         hostedZone,
}

var unguarded = []string{"GetGeoLocation", "ListGeoLocations"}

// Authorization returns what a call must be allowed to do. The principal is for
// the caller to fill in.
func (s *Service) Authorization(_ context.Context, operation string, input any) ([]policy.Request, error) {
	if slices.Contains(unguarded, operation) {
		return nil, nil
	}
	about, ok := operations[operation]
	if !ok {
		return nil, fmt.Errorf("authorizing a call: Route 53 has no operation %s here", operation)
	}
	r := policy.Request{Action: "route53:" + operation, ResourceAccount: s.account}
	if about == anyResource {
		r.Resources = []string{"*"}
	}
	switch in := input.(type) {
	case *route53api.ChangeResourceRecordSetsInput:
		r.Context = changeKeys(in.ChangeBatch)
	case *route53api.ListTagsForResourcesInput: // one request for each resource
		var all []policy.Request
		for _, id := range in.ResourceIds {
			r.Resources = []string{s.arn("%s/%s", in.ResourceType, plainID(string(in.ResourceType), &id))}
			all = append(all, r)
		}
		return all, nil
	}
	if about.member != "" {
		v := reflect.ValueOf(input).Elem()
		kind := about.kind
		if kind == "" {
			kind = v.FieldByName("ResourceType").String()
		}
		id, _ := v.FieldByName(about.member).Interface().(*string)
		r.Resources = []string{s.arn("%s/%s", kind, plainID(kind, id))}
	}
	requests := []policy.Request{r}
	if v := vpcOf(input); v != nil {
		requests[0].Context = map[string][]string{"route53:vpcs": {fmt.Sprintf("VPCId=%s,VPCRegion=%s", api.Val(v.VPCId), v.VPCRegion)}}
		requests = append(requests, policy.Request{Action: "ec2:DescribeVpcs", Resources: []string{"*"}, ResourceAccount: s.account})
	}
	return requests, nil
}

// vpcOf is the VPC that a request is about, or nil.
func vpcOf(input any) *route53api.VPC {
	switch in := input.(type) {
	case *route53api.CreateHostedZoneInput:
		return in.VPC
	case *route53api.AssociateVPCWithHostedZoneInput:
		return in.VPC
	case *route53api.DisassociateVPCFromHostedZoneInput:
		return in.VPC
	case *route53api.ListHostedZonesByVPCInput:
		return &route53api.VPC{VPCId: in.VPCId, VPCRegion: in.VPCRegion}
	}
	return nil
}

// changeKeys are the condition keys of a batch.
//
// https://docs.aws.amazon.com/Route53/latest/DeveloperGuide/specifying-rrset-conditions.html
func changeKeys(batch *route53api.ChangeBatch) map[string][]string {
	if batch == nil {
		return nil
	}
	var names, types, actions []string
	add := func(list *[]string, value string) {
		if !slices.Contains(*list, value) {
			*list = append(*list, value)
		}
	}
	for i := range batch.Changes {
		c := &batch.Changes[i]
		add(&actions, string(c.Action))
		if r := c.ResourceRecordSet; r != nil {
			add(&types, string(r.Type))
			name, err := Name(api.Val(r.Name))
			if err != nil { // the handler says what is wrong with it
				name = api.Val(r.Name)
			}
			add(&names, strings.TrimSuffix(name, "."))
		}
	}
	return map[string][]string{
		"route53:changeresourcerecordsetsnormalizedrecordnames": names,
		"route53:changeresourcerecordsetsrecordtypes":           types,
		"route53:changeresourcerecordsetsactions":               actions,
	}
}
