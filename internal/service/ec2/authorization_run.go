package ec2

import (
	"context"
	"errors"
	"maps"
	"slices"
	"strconv"

	"github.com/tarn-eks/tarn/internal/api"
	ec2api "github.com/tarn-eks/tarn/internal/api/ec2"
	"github.com/tarn-eks/tarn/internal/store"
)

// launch is a RunInstances call with what its launch template adds.
type launch struct {
	*call
	direct, in *ec2api.RunInstancesInput // as it was sent, and completed
	common     keys                      // those of all of its resources
	home       Subnet                    // the zero value if it does not exist
}

// runInstances needs ec2:RunInstances on everything that instances are made of,
// and on what is made with them.
// https://docs.aws.amazon.com/AWSEC2/latest/UserGuide/iam-policies-ec2-console.html#run-instances-permissions
func runInstances(ctx context.Context, c *call) error {
	direct := c.input.(*ec2api.RunInstancesInput)
	l := &launch{call: c, direct: direct, in: direct, common: keys{}}
	for _, step := range []func(context.Context) error{l.template, l.network, l.instance, l.things} {
		if err := step(ctx); err != nil {
			return err
		}
	}
	return nil
}

// template completes the request. One whose template is wrong is told so by the
// call itself, if it may make it.
func (l *launch) template(ctx context.Context) error {
	spec := l.direct.LaunchTemplate
	if spec == nil {
		return nil
	}
	id := "*"
	item, err := l.s.template(ctx, spec.LaunchTemplateId, spec.LaunchTemplateName)
	switch apiError := (*api.Error)(nil); {
	case err == nil:
		id = item.Key
	case !errors.As(err, &apiError):
		return err
	case spec.LaunchTemplateId != nil:
		id = *spec.LaunchTemplateId
	}
	if merged, err := l.s.withTemplate(ctx, l.direct); err == nil {
		l.in = merged
	}
	resource, k, err := l.s.facts(ctx, "lt", id)
	if err != nil {
		return err
	}
	l.common["launchtemplate"] = []string{resource}
	l.on(resource, k, true)
	return nil
}

// on needs the call on a resource; sent says that the request itself names it,
// not the template alone.
func (l *launch) on(resource string, k keys, sent bool) {
	l.need("ec2:"+l.operation, resource, l.with(k, sent))
}

func (l *launch) with(k keys, sent bool) keys {
	all := maps.Clone(l.common)
	maps.Copy(all, k)
	if l.direct.LaunchTemplate != nil {
		all["islaunchtemplateresource"] = boolean(!sent)
	}
	return all
}

// named needs the call on things that are named by id.
func (l *launch) named(ctx context.Context, prefix string, ids []string, sent bool) error {
	for _, id := range ids {
		resource, k, err := l.s.facts(ctx, prefix, id)
		if err != nil {
			return err
		}
		l.on(resource, k, sent)
	}
	return nil
}

// network is the subnet, the security groups and the interfaces.
func (l *launch) network(ctx context.Context) error {
	subnets, groups := subnetsAndGroups(l.in)
	sentSubnets, sentGroups := subnetsAndGroups(l.direct)
	if err := l.named(ctx, "subnet", subnets, len(sentSubnets) > 0); err != nil {
		return err
	}
	if len(subnets) == 0 {
		l.on(l.s.arnOf("subnet", "*"), nil, true)
	} else {
		item, err := l.s.Subnets.Get(ctx, subnets[0])
		if err != nil && !errors.Is(err, store.ErrNotFound) {
			return err
		}
		l.home = item.Value
	}
	if len(groups) == 0 && l.home.VPC != "" {
		g, err := l.s.defaultGroup(ctx, l.home.VPC)
		if err != nil {
			return err
		}
		groups = []string{g.ID}
	}
	if err := l.named(ctx, "sg", groups, len(sentGroups) > 0); err != nil {
		return err
	}
	k := keys{"availabilityzone": one(l.home.Zone)}
	if l.home.ID != "" {
		k["subnet"], k["vpc"] = []string{l.s.arnOf("subnet", l.home.ID)}, []string{l.s.arnOf("vpc", l.home.VPC)}
	}
	for _, i := range l.in.NetworkInterfaces {
		if i.AssociatePublicIpAddress != nil {
			k["associatepublicipaddress"] = boolean(*i.AssociatePublicIpAddress)
		}
	}
	l.makes("network-interface", k)
	return nil
}

// subnetsAndGroups are those of a request, wherever it names them.
func subnetsAndGroups(in *ec2api.RunInstancesInput) (subnets, groups []string) {
	subnets = append(subnets, deref(in.SubnetId)...)
	groups = append(groups, in.SecurityGroupIds...)
	for _, i := range in.NetworkInterfaces {
		subnets = append(subnets, deref(i.SubnetId)...)
		groups = append(groups, i.Groups...)
	}
	return slices.Compact(subnets), groups
}

// makes is something that the call makes, with its tags.
func (l *launch) makes(resource string, k keys) {
	tags := tagsOf(l.in.TagSpecifications, resource)
	l.make(l.s.arnOf(resource, "*"), tags, l.with(k, true))
}

// instance is what the instances will be, and the role that they are given.
func (l *launch) instance(ctx context.Context) error {
	profile, err := l.pass(ctx, l.in.IamInstanceProfile)
	if err != nil {
		return err
	}
	market := "on-demand"
	if m := l.in.InstanceMarketOptions; m != nil && m.MarketType != "" {
		market = string(m.MarketType)
	}
	tenancy, zone := "default", l.home.Zone
	if p := l.in.Placement; p != nil {
		if p.Tenancy != "" {
			tenancy = string(p.Tenancy)
		}
		if zone == "" {
			zone = api.Val(p.AvailabilityZone)
		}
	}
	k := keys{
		"instancetype": one(string(l.in.InstanceType)), "availabilityzone": one(zone), "tenancy": {tenancy}, "rootdevicetype": {"ebs"},
		"ebsoptimized": boolean(api.Val(l.in.EbsOptimized)), "instancemarkettype": {market}, "instanceprofile": one(profile.ARN),
	}
	if m := l.in.MetadataOptions; m != nil {
		k["metadatahttptokens"], k["metadatahttpendpoint"] = one(string(m.HttpTokens)), one(string(m.HttpEndpoint))
		if m.HttpPutResponseHopLimit != nil {
			k["metadatahttpputresponsehoplimit"] = []string{strconv.Itoa(int(*m.HttpPutResponseHopLimit))}
		}
	}
	l.makes("instance", k)
	return nil
}

// things are the image, the volumes and the key pair.
func (l *launch) things(ctx context.Context) error {
	if id := api.Val(l.in.ImageId); id != "" {
		k := keys{"imageid": {id}, "imagetype": {"machine"}, "rootdevicetype": {"ebs"}}
		if _, err := l.s.image(id); err == nil {
			k["owner"], k["public"] = []string{"amazon"}, boolean(true)
		}
		public := l.s.scope
		public.Account = "" // images' ARNs have none
		l.on(public.Of("ec2", "image/%s", id), k, l.direct.ImageId != nil)
	}
	volume := keys{"availabilityzone": one(l.home.Zone)}
	for _, m := range l.in.BlockDeviceMappings {
		if m.Ebs == nil {
			continue
		}
		volume["volumetype"], volume["encrypted"] = one(string(m.Ebs.VolumeType)), boolean(api.Val(m.Ebs.Encrypted))
		if m.Ebs.VolumeSize != nil {
			volume["volumesize"] = []string{strconv.Itoa(int(*m.Ebs.VolumeSize))}
		}
	}
	l.makes("volume", volume)
	name := api.Val(l.in.KeyName)
	if name == "" {
		return nil
	}
	pairs, err := list(ctx, l.s.KeyPairs)
	if err != nil {
		return err
	}
	id := ""
	for _, p := range pairs {
		if p.Name == name {
			id = p.ID
		}
	}
	if id == "" {
		l.on(l.s.arnOf("key-pair", name), keys{"keypairname": {name}}, l.direct.KeyName != nil)
		return nil
	}
	return l.named(ctx, "key", []string{id}, l.direct.KeyName != nil)
}
