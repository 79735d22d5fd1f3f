package ec2

import (
	"context"
	"errors"
	"fmt"
	"strconv"

	"github.com/tarn-eks/tarn/internal/policy"
	"github.com/tarn-eks/tarn/internal/store"
)

// resource is a kind of resource as policies see it.
type resource struct {
	name string // in ARNs
	// facts are the condition keys of the one with the id, and its tags;
	// store.ErrNotFound if it does not exist.
	facts func(ctx context.Context, s *Service, id string) (keys, map[string]string, error)
}

// of is a kind in a collection.
func of[T any](name string, c func(*Service) *store.Collection[T], facts func(*Service, T) (keys, map[string]string)) resource {
	return resource{name, func(ctx context.Context, s *Service, id string) (keys, map[string]string, error) {
		item, err := c(s).Get(ctx, id)
		if err != nil {
			return nil, nil, err
		}
		k, tags := facts(s, item.Value)
		return k, tags, nil
	}}
}

// resources are the kinds by their ids' prefix.
var resources = map[string]resource{
	"vpc": of("vpc", func(s *Service) *store.Collection[VPC] { return s.VPCs }, func(_ *Service, v VPC) (keys, map[string]string) {
		return keys{"vpcid": {v.ID}, "tenancy": {v.tenancy()}}, v.Tags
	}),
	"subnet": of("subnet", func(s *Service) *store.Collection[Subnet] { return s.Subnets }, func(s *Service, v Subnet) (keys, map[string]string) {
		return keys{"subnetid": {v.ID}, "vpc": {s.arnOf("vpc", v.VPC)}, "availabilityzone": {v.Zone}}, v.Tags
	}),
	"rtb": of("route-table", func(s *Service) *store.Collection[RouteTable] { return s.RouteTables }, func(s *Service, v RouteTable) (keys, map[string]string) {
		return keys{"routetableid": {v.ID}, "vpc": {s.arnOf("vpc", v.VPC)}}, v.Tags
	}),
	"igw": of("internet-gateway", func(s *Service) *store.Collection[InternetGateway] { return s.InternetGateways }, func(_ *Service, v InternetGateway) (keys, map[string]string) {
		return keys{"internetgatewayid": {v.ID}}, v.Tags
	}),
	"sg": of("security-group", func(s *Service) *store.Collection[SecurityGroup] { return s.SecurityGroups }, func(s *Service, v SecurityGroup) (keys, map[string]string) {
		return keys{"securitygroupid": {v.ID}, "vpc": {s.arnOf("vpc", v.VPC)}}, v.Tags
	}),
	"eni": of("network-interface", func(s *Service) *store.Collection[NetworkInterface] { return s.ENIs }, func(s *Service, v NetworkInterface) (keys, map[string]string) {
		return keys{
			"networkinterfaceid": {v.ID}, "vpc": {s.arnOf("vpc", v.VPC)}, "subnet": {s.arnOf("subnet", v.Subnet)},
			"availabilityzone": {v.Zone}, "authorizedservice": one(v.Requester),
		}, v.Tags
	}),
	"i": of("instance", func(s *Service) *store.Collection[Instance] { return s.Instances }, func(_ *Service, v Instance) (keys, map[string]string) {
		return keys{
			"instanceid": {v.ID}, "instancetype": {v.Type}, "availabilityzone": {v.Zone}, "tenancy": {"default"},
			"rootdevicetype": {"ebs"}, "ebsoptimized": boolean(v.EBSOptimized), "instanceprofile": one(v.Profile.ARN),
			"metadatahttptokens": one(v.Metadata.Tokens), "metadatahttpendpoint": one(v.Metadata.Endpoint),
			"metadatahttpputresponsehoplimit": {strconv.Itoa(v.Metadata.HopLimit)},
		}, v.Tags
	}),
	"lt": of("launch-template", func(s *Service) *store.Collection[LaunchTemplate] { return s.LaunchTemplates }, func(_ *Service, v LaunchTemplate) (keys, map[string]string) {
		return nil, v.Tags
	}),
	"key": {"key-pair", keyFacts},
	"sgr": {"security-group-rule", ruleFacts},
	"vol": {"volume", volumeFacts},
}

// facts are the ARN of what an id names, and its condition keys. What does not
// exist has an ARN too, so that a call is refused before it is told so.
func (s *Service) facts(ctx context.Context, prefix, id string) (string, keys, error) {
	r, ok := resources[prefix]
	if !ok { // an id of no kind here
		return s.scope.Of("ec2", "*/%s", id), keys{}, nil
	}
	k, tags, err := r.facts(ctx, s, id)
	if err != nil && !errors.Is(err, store.ErrNotFound) {
		return "", nil, fmt.Errorf("looking for what conditions may ask of %s: %w", id, err)
	}
	if k == nil {
		k = keys{}
	}
	for key, value := range tags {
		policy.AddResourceTag(k, key, value, "ec2")
	}
	name := id
	if n := k["keypairname"]; len(n) > 0 { // key pairs have their names in ARNs
		name = n[0]
	}
	return s.arnOf(r.name, name), k, nil
}

// keyFacts finds a key pair by id.
func keyFacts(ctx context.Context, s *Service, id string) (keys, map[string]string, error) {
	pairs, err := list(ctx, s.KeyPairs)
	if err != nil {
		return nil, nil, err
	}
	for _, p := range pairs {
		if p.ID == id {
			return keys{"keypairname": {p.Name}}, p.Tags, nil
		}
	}
	return nil, nil, store.ErrNotFound
}

// ruleFacts finds a security group's rule.
func ruleFacts(ctx context.Context, s *Service, id string) (keys, map[string]string, error) {
	groups, err := list(ctx, s.SecurityGroups)
	if err != nil {
		return nil, nil, err
	}
	for _, g := range groups {
		for _, r := range g.Rules {
			if r.ID == id {
				return nil, r.Tags, nil
			}
		}
	}
	return nil, nil, store.ErrNotFound
}

// volumeFacts finds a volume at its instance.
func volumeFacts(ctx context.Context, s *Service, id string) (keys, map[string]string, error) {
	instances, err := s.withVolume(ctx)
	if err != nil {
		return nil, nil, err
	}
	for _, i := range instances {
		if i.Volume.ID == id {
			return keys{
				"volumeid": {id}, "volumetype": one(i.Volume.Type), "volumesize": {strconv.Itoa(i.VolumeGiB)},
				"encrypted": boolean(i.Volume.Encrypted), "availabilityzone": {i.Zone},
			}, i.Volume.Tags, nil
		}
	}
	return nil, nil, store.ErrNotFound
}
