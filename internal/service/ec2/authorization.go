package ec2

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"reflect"
	"slices"
	"strings"

	"github.com/tarn-eks/tarn/internal/api"
	ec2api "github.com/tarn-eks/tarn/internal/api/ec2"
	"github.com/tarn-eks/tarn/internal/policy"
	"github.com/tarn-eks/tarn/internal/store"
)

// part adds what a call must be allowed to do with some of what it names.
type part func(context.Context, *call) error

// authorizations are the resources of each operation. A call needs its action,
// ec2:<operation>, on each; without resources, on nothing in particular.
// https://docs.aws.amazon.com/service-authorization/latest/reference/list_amazonec2.html
var authorizations = map[string][]part{
	"AssociateIamInstanceProfile":                {on("i", "InstanceId"), passesRole},
	"AssociateRouteTable":                        {on("rtb", "RouteTableId"), mayName("subnet", "SubnetId")},
	"AttachInternetGateway":                      {on("igw", "InternetGatewayId"), on("vpc", "VpcId")},
	"AuthorizeSecurityGroupEgress":               {on("sg", "GroupId"), mayMake("security-group-rule")},
	"AuthorizeSecurityGroupIngress":              {on("sg", "GroupId"), mayMake("security-group-rule")},
	"CreateInternetGateway":                      {makes("internet-gateway")},
	"CreateKeyPair":                              {keyPair},
	"CreateLaunchTemplate":                       {makes("launch-template")},
	"CreateLaunchTemplateVersion":                {template},
	"CreateRoute":                                {on("rtb", "RouteTableId")},
	"CreateRouteTable":                           {makes("route-table"), on("vpc", "VpcId")},
	"CreateSecurityGroup":                        {makes("security-group"), mayName("vpc", "VpcId")},
	"CreateSubnet":                               {makes("subnet"), on("vpc", "VpcId")},
	"CreateTags":                                 {tagging},
	"CreateVpc":                                  {makes("vpc")},
	"DeleteInternetGateway":                      {on("igw", "InternetGatewayId")},
	"DeleteKeyPair":                              {keyPair},
	"DeleteLaunchTemplate":                       {template},
	"DeleteLaunchTemplateVersions":               {template},
	"DeleteRoute":                                {on("rtb", "RouteTableId")},
	"DeleteRouteTable":                           {on("rtb", "RouteTableId")},
	"DeleteSecurityGroup":                        {on("sg", "GroupId")},
	"DeleteSubnet":                               {on("subnet", "SubnetId")},
	"DeleteTags":                                 {tagging},
	"DeleteVpc":                                  {on("vpc", "VpcId")},
	"DescribeAccountAttributes":                  nil,
	"DescribeAvailabilityZones":                  nil,
	"DescribeIamInstanceProfileAssociations":     nil,
	"DescribeImages":                             nil,
	"DescribeInstanceAttribute":                  {on("i", "InstanceId")},
	"DescribeInstanceStatus":                     nil,
	"DescribeInstanceTopology":                   nil,
	"DescribeInstanceTypeOfferings":              nil,
	"DescribeInstanceTypes":                      nil,
	"DescribeInstances":                          nil,
	"DescribeInternetGateways":                   nil,
	"DescribeKeyPairs":                           nil,
	"DescribeLaunchTemplateVersions":             nil,
	"DescribeLaunchTemplates":                    nil,
	"DescribeNetworkInterfaces":                  nil,
	"DescribeRegions":                            nil,
	"DescribeRouteTables":                        nil,
	"DescribeSecurityGroupRules":                 nil,
	"DescribeSecurityGroups":                     nil,
	"DescribeSubnets":                            nil,
	"DescribeTags":                               nil,
	"DescribeVolumes":                            nil,
	"DescribeVpcAttribute":                       {on("vpc", "VpcId")},
	"DescribeVpcs":                               nil,
	"DetachInternetGateway":                      {on("igw", "InternetGatewayId"), on("vpc", "VpcId")},
	"DisassociateIamInstanceProfile":             {profileAssociation},
	"DisassociateRouteTable":                     {routeAssociation},
	"GetConsoleOutput":                           {on("i", "InstanceId")},
	"GetInstanceTypesFromInstanceRequirements":   nil,
	"ImportKeyPair":                              {keyPair},
	"ModifyInstanceAttribute":                    {on("i", "InstanceId"), mayName("sg", "Groups")},
	"ModifyInstanceMetadataOptions":              {on("i", "InstanceId")},
	"ModifyLaunchTemplate":                       {template},
	"ModifyNetworkInterfaceAttribute":            {on("eni", "NetworkInterfaceId"), mayName("sg", "Groups")},
	"ModifySecurityGroupRules":                   {on("sg", "GroupId"), modifiedRules},
	"ModifySubnetAttribute":                      {on("subnet", "SubnetId")},
	"ModifyVpcAttribute":                         {on("vpc", "VpcId")},
	"RebootInstances":                            {on("i", "InstanceIds")},
	"ReplaceIamInstanceProfileAssociation":       {profileAssociation, passesRole},
	"ReplaceRoute":                               {on("rtb", "RouteTableId")},
	"ReplaceRouteTableAssociation":               {routeAssociation, on("rtb", "RouteTableId")},
	"RevokeSecurityGroupEgress":                  {on("sg", "GroupId")},
	"RevokeSecurityGroupIngress":                 {on("sg", "GroupId")},
	"RunInstances":                               {runInstances},
	"StartInstances":                             {on("i", "InstanceIds")},
	"StopInstances":                              {on("i", "InstanceIds")},
	"TerminateInstances":                         {on("i", "InstanceIds")},
	"UpdateSecurityGroupRuleDescriptionsEgress":  {on("sg", "GroupId")},
	"UpdateSecurityGroupRuleDescriptionsIngress": {on("sg", "GroupId")},
}

// Authorization returns what a call must be allowed to do: a request for each
// action and resource, as each resource has condition keys of its own. The
// gateway fills in the principal.
func (s *Service) Authorization(ctx context.Context, operation string, input any) ([]policy.Request, error) {
	parts, ok := authorizations[operation]
	if !ok {
		return nil, fmt.Errorf("nothing is known of what ec2:%s may be allowed", operation)
	}
	c := &call{s: s, operation: operation, input: input, in: reflect.Indirect(reflect.ValueOf(input))}
	if len(parts) == 0 {
		c.need("ec2:"+operation, "", nil)
	}
	for _, p := range parts {
		if err := p(ctx, c); err != nil {
			return nil, err
		}
	}
	return append(c.requests, c.then...), nil
}

// call is a call whose needs are being found out.
type call struct {
	s         *Service
	operation string
	input     any           // a pointer to the operation's input
	in        reflect.Value // what it points to
	requests  []policy.Request
	then      []policy.Request // what a call also needs, checked after its own action
}

// keys are condition keys, in lower case, without their "ec2:" unless they have a
// colon.
type keys map[string][]string

// request is an action on a resource; "" is none.
func (c *call) request(action, resource string, k keys) policy.Request {
	context := map[string][]string{"ec2:region": {c.s.region}}
	for name, v := range k {
		if !strings.Contains(name, ":") {
			name = "ec2:" + name
		}
		if len(v) > 0 {
			context[name] = v
		}
	}
	r := policy.Request{Action: action, Context: context}
	if resource != "" {
		r.Resources = []string{resource}
	}
	return r
}

func (c *call) need(action, resource string, k keys) {
	c.requests = append(c.requests, c.request(action, resource, k))
}

// strings are the values of the input's first member that is there: a string or
// strings.
func (c *call) strings(members ...string) []string {
	for _, m := range members {
		switch v := c.in.FieldByName(m); {
		case !v.IsValid(), v.IsZero():
		case v.Kind() == reflect.Pointer:
			return []string{v.Elem().String()}
		case v.Kind() == reflect.Slice:
			return v.Interface().([]string)
		}
	}
	return nil
}

// on is for a resource, or several, that the call names by id: any of the kind
// if it names none, as when it names a group by name only.
func on(prefix, member string) part {
	return func(ctx context.Context, c *call) error {
		ids := c.strings(member)
		if len(ids) == 0 {
			c.need("ec2:"+c.operation, c.s.arnOf(resources[prefix].name, "*"), nil)
		}
		return c.named(ctx, prefix, ids, nil)
	}
}

// mayName is for a resource that the call may name.
func mayName(prefix, member string) part {
	return func(ctx context.Context, c *call) error { return c.named(ctx, prefix, c.strings(member), nil) }
}

func (c *call) named(ctx context.Context, prefix string, ids []string, more keys) error {
	for _, id := range ids {
		resource, k, err := c.s.facts(ctx, prefix, id)
		if err != nil {
			return err
		}
		maps.Copy(k, more)
		c.need("ec2:"+c.operation, resource, k)
	}
	return nil
}

// requestTags are the condition keys of tags that a call gives.
func requestTags(tags []ec2api.Tag) keys {
	k := keys{}
	for _, t := range tags {
		policy.AddRequestTag(k, api.Val(t.Key), api.Val(t.Value))
	}
	return k
}

// specified are the tags that the call gives to what it makes of a kind.
func (c *call) specified(resource string) []ec2api.Tag {
	specs := c.in.FieldByName("TagSpecifications")
	if !specs.IsValid() {
		return nil
	}
	return tagsOf(specs.Interface().([]ec2api.TagSpecification), resource)
}

func tagsOf(specs []ec2api.TagSpecification, resource string) []ec2api.Tag {
	var tags []ec2api.Tag
	for _, spec := range specs {
		if string(spec.ResourceType) == resource {
			tags = append(tags, spec.Tags...)
		}
	}
	return tags
}

// makes is for a kind of resource that the call makes. Tags for it need
// ec2:CreateTags too.
func makes(resource string) part {
	return func(_ context.Context, c *call) error {
		c.make(c.s.arnOf(resource, "*"), c.specified(resource), nil)
		return nil
	}
}

// mayMake is for what only matters if it gets tags.
func mayMake(resource string) part {
	return func(ctx context.Context, c *call) error {
		if c.specified(resource) == nil {
			return nil
		}
		return makes(resource)(ctx, c)
	}
}

func (c *call) make(resource string, tags []ec2api.Tag, k keys) {
	all := requestTags(tags)
	maps.Copy(all, k)
	c.need("ec2:"+c.operation, resource, all)
	if len(tags) > 0 {
		k := requestTags(tags)
		k["createaction"] = []string{c.operation}
		c.then = append(c.then, c.request("ec2:CreateTags", resource, k))
	}
}

// tagging is for CreateTags and DeleteTags: the tags are those of the request,
// whatever they are for.
func tagging(ctx context.Context, c *call) error {
	tags, _ := c.in.FieldByName("Tags").Interface().([]ec2api.Tag)
	for _, id := range c.strings("Resources") {
		prefix, _, _ := strings.Cut(id, "-")
		if err := c.named(ctx, prefix, []string{id}, requestTags(tags)); err != nil {
			return err
		}
	}
	return nil
}

// routeAssociation is for calls that name a subnet's association with its table.
func routeAssociation(ctx context.Context, c *call) error {
	id := c.strings("AssociationId")[0]
	tables, err := list(ctx, c.s.RouteTables)
	if err != nil {
		return err
	}
	for _, t := range tables {
		i := slices.IndexFunc(t.Associations, func(a Association) bool { return a.ID == id })
		if i < 0 {
			continue
		}
		if err := c.named(ctx, "rtb", []string{t.ID}, nil); err != nil || t.Associations[i].Subnet == "" {
			return err
		}
		return c.named(ctx, "subnet", []string{t.Associations[i].Subnet}, nil)
	}
	c.need("ec2:"+c.operation, c.s.arnOf("route-table", "*"), nil)
	return nil
}

// profileAssociation is for calls that name an instance's association with its profile.
func profileAssociation(ctx context.Context, c *call) error {
	id := c.strings("AssociationId")[0]
	instances, err := list(ctx, c.s.Instances)
	if err != nil {
		return err
	}
	for _, i := range instances {
		if i.ProfileAssociation == id {
			return c.named(ctx, "i", []string{i.ID}, nil)
		}
	}
	c.need("ec2:"+c.operation, c.s.arnOf("instance", "*"), nil)
	return nil
}

// modifiedRules are the rules of ModifySecurityGroupRules.
func modifiedRules(ctx context.Context, c *call) error {
	var ids []string
	for _, r := range c.input.(*ec2api.ModifySecurityGroupRulesInput).SecurityGroupRules {
		ids = append(ids, api.Val(r.SecurityGroupRuleId))
	}
	return c.named(ctx, "sgr", ids, nil)
}

// keyPair is a key pair, which is known by its name.
func keyPair(ctx context.Context, c *call) error {
	if ids := c.strings("KeyPairId"); len(ids) > 0 {
		return c.named(ctx, "key", ids, nil)
	}
	name := "*"
	if n := c.strings("KeyName"); len(n) > 0 {
		name = n[0]
	}
	c.make(c.s.arnOf("key-pair", name), c.specified("key-pair"), keys{"keypairname": {name}})
	return nil
}

// template is the launch template that a call names by id or name.
func template(ctx context.Context, c *call) error {
	if ids := c.strings("LaunchTemplateId"); len(ids) > 0 {
		return c.named(ctx, "lt", ids, nil)
	}
	name := c.strings("LaunchTemplateName")
	templates, err := list(ctx, c.s.LaunchTemplates)
	if err != nil {
		return err
	}
	for _, t := range templates {
		if len(name) > 0 && t.Name == name[0] {
			return c.named(ctx, "lt", []string{t.ID}, nil)
		}
	}
	c.need("ec2:"+c.operation, c.s.arnOf("launch-template", "*"), nil)
	return nil
}

// passesRole is for calls that give a role to an instance.
func passesRole(ctx context.Context, c *call) error {
	profile, _ := c.in.FieldByName("IamInstanceProfile").Interface().(*ec2api.IamInstanceProfileSpecification)
	_, err := c.pass(ctx, profile)
	return err
}

// pass needs iam:PassRole for a profile's role. A profile that does not exist has
// none: the call itself refuses it.
func (c *call) pass(ctx context.Context, spec *ec2api.IamInstanceProfileSpecification) (Profile, error) {
	if spec == nil || spec.Arn == nil && spec.Name == nil {
		return Profile{}, nil
	}
	p, err := c.s.profile(ctx, api.Val(spec.Arn)+api.Val(spec.Name))
	if errors.Is(err, store.ErrNotFound) {
		return Profile{}, nil
	}
	if err == nil && p.RoleARN != "" {
		c.then = append(c.then, c.request("iam:PassRole", p.RoleARN, keys{"iam:passedtoservice": {"ec2.amazonaws.com"}}))
	}
	return p, err
}
