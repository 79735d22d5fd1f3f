package ec2

import (
	"context"
	"strings"

	ec2api "github.com/tarn-eks/tarn/internal/api/ec2"
	"github.com/tarn-eks/tarn/internal/store"
)

// kind is a kind of resource that carries tags.
type kind struct {
	idKind
	resource ec2api.ResourceType
	// tags are all tags of the kind, by the resource's id.
	tags func(ctx context.Context) (map[string]map[string]string, error)
	// find reads a resource; store.ErrNotFound.
	find func(ctx context.Context, id string) (tagged, error)
}

// tagged is where a resource's tags are: in a copy of an item, which write puts
// into the store again. Resources in one item share the copy; its key tells.
type tagged struct {
	tags  *map[string]string
	key   string
	write func() store.Op
}

// kindOf is a kind whose resources are in a collection under their ids, with tags
// where tags points to.
func kindOf[T any](ids idKind, resource ec2api.ResourceType, c *store.Collection[T], tags func(*T) *map[string]string) kind {
	return kind{
		idKind: ids, resource: resource,
		tags: func(ctx context.Context) (map[string]map[string]string, error) {
			items, _, err := c.List(ctx, "")
			out := make(map[string]map[string]string, len(items))
			for _, item := range items {
				out[item.Key] = *tags(&item.Value)
			}
			return out, err
		},
		find: func(ctx context.Context, id string) (tagged, error) {
			item, err := c.Get(ctx, id)
			if err != nil {
				return tagged{}, err
			}
			return tagged{tags: tags(&item.Value), key: id, write: func() store.Op { return c.UpdateOp(item) }}, nil
		},
	}
}

// kinds are all kinds of resources that can be tagged. They remember what they
// have found, so a call asks for them once.
func (s *Service) kinds() []kind {
	return append(append(s.groupKinds(), s.instanceKinds()...),
		kindOf(vpcIDs, ec2api.ResourceTypeVpc, s.VPCs, func(v *VPC) *map[string]string { return &v.Tags }),
		kindOf(subnetIDs, ec2api.ResourceTypeSubnet, s.Subnets, func(v *Subnet) *map[string]string { return &v.Tags }),
		kindOf(routeTableIDs, ec2api.ResourceTypeRouteTable, s.RouteTables, func(v *RouteTable) *map[string]string { return &v.Tags }),
		kindOf(gatewayIDs, ec2api.ResourceTypeInternetGateway, s.InternetGateways, func(v *InternetGateway) *map[string]string { return &v.Tags }),
		kindOf(interfaceIDs, ec2api.ResourceTypeNetworkInterface, s.ENIs, func(v *NetworkInterface) *map[string]string { return &v.Tags }),
		kindOf(templateIDs, ec2api.ResourceTypeLaunchTemplate, s.LaunchTemplates, func(v *LaunchTemplate) *map[string]string { return &v.Tags }),
		kindOf(keyPairIDs, ec2api.ResourceTypeKeyPair, s.KeyPairs, func(v *KeyPair) *map[string]string { return &v.Tags }),
	)
}

// groupKinds are security groups, and their rules, which the groups hold.
func (s *Service) groupKinds() []kind {
	var groups map[string]*store.Item[SecurityGroup]
	load := func(ctx context.Context) error {
		if groups != nil {
			return nil
		}
		items, _, err := s.SecurityGroups.List(ctx, "")
		if err != nil {
			return err
		}
		groups = make(map[string]*store.Item[SecurityGroup], len(items))
		for i := range items {
			groups[items[i].Key] = &items[i]
		}
		return nil
	}
	found := func(g *store.Item[SecurityGroup], tags *map[string]string) tagged {
		return tagged{tags: tags, key: g.Key, write: func() store.Op { return s.SecurityGroups.UpdateOp(*g) }}
	}
	group := kindOf(groupIDs, ec2api.ResourceTypeSecurityGroup, s.SecurityGroups, func(v *SecurityGroup) *map[string]string { return &v.Tags })
	group.find = func(ctx context.Context, id string) (tagged, error) {
		if err := load(ctx); err != nil {
			return tagged{}, err
		}
		if g := groups[id]; g != nil {
			return found(g, &g.Value.Tags), nil
		}
		return tagged{}, store.ErrNotFound
	}
	rule := kind{idKind: ruleIDs, resource: ec2api.ResourceTypeSecurityGroupRule}
	rule.tags = func(ctx context.Context) (map[string]map[string]string, error) {
		all, err := list(ctx, s.SecurityGroups)
		out := map[string]map[string]string{}
		for _, g := range all {
			for _, r := range g.Rules {
				out[r.ID] = r.Tags
			}
		}
		return out, err
	}
	rule.find = func(ctx context.Context, id string) (tagged, error) {
		if err := load(ctx); err != nil {
			return tagged{}, err
		}
		for _, g := range groups {
			for i := range g.Value.Rules {
				if g.Value.Rules[i].ID == id {
					return found(g, &g.Value.Rules[i].Tags), nil
				}
			}
		}
		return tagged{}, store.ErrNotFound
	}
	return []kind{group, rule}
}

// kindByID finds the kind that an id says it is of.
func kindByID(kinds []kind, id string) (kind, error) {
	prefix, _, _ := strings.Cut(id, "-")
	for _, k := range kinds {
		if k.prefix == prefix {
			return k, nil
		}
	}
	return kind{}, bad("InvalidID", "The ID '%s' is not valid", id)
}
