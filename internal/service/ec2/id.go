package ec2

import (
	"context"
	"errors"
	"slices"
	"strings"

	"github.com/tarn-eks/tarn/internal/store"
)

// idKind is how the ids of a kind of resource look, and how EC2 says that one is
// wrong: which spelling of the codes it has for each kind follows no rule.
// https://docs.aws.amazon.com/AWSEC2/latest/APIReference/errors-overview.html
type idKind struct {
	prefix    string // without the dash
	notFound  string
	malformed string
	noun      string // in "The vpc ID 'vpc-0' does not exist"
}

var (
	vpcIDs         = idKind{"vpc", "InvalidVpcID.NotFound", "InvalidVpcID.Malformed", "vpc ID"}
	subnetIDs      = idKind{"subnet", "InvalidSubnetID.NotFound", "InvalidSubnetID.Malformed", "subnet ID"}
	routeTableIDs  = idKind{"rtb", "InvalidRouteTableID.NotFound", "InvalidRouteTableId.Malformed", "routeTable ID"}
	gatewayIDs     = idKind{"igw", "InvalidInternetGatewayID.NotFound", "InvalidInternetGatewayId.Malformed", "internetGateway ID"}
	groupIDs       = idKind{"sg", "InvalidGroup.NotFound", "InvalidGroupId.Malformed", "security group"}
	ruleIDs        = idKind{"sgr", "InvalidSecurityGroupRuleId.NotFound", "InvalidSecurityGroupRuleId.Malformed", "security group rule ID"}
	interfaceIDs   = idKind{"eni", "InvalidNetworkInterfaceID.NotFound", "InvalidNetworkInterfaceId.Malformed", "networkInterface ID"}
	instanceIDs    = idKind{"i", "InvalidInstanceID.NotFound", "InvalidInstanceID.Malformed", "instance ID"}
	templateIDs    = idKind{"lt", "InvalidLaunchTemplateId.NotFound", "InvalidLaunchTemplateId.Malformed", "launch template ID"}
	keyPairIDs     = idKind{"key", "InvalidKeyPair.NotFound", "InvalidKeyPairId.Malformed", "key pair ID"}
	associationIDs = idKind{"rtbassoc", "InvalidAssociationID.NotFound", "InvalidAssociationID.Malformed", "association ID"}
)

// check wants ids of the kind: 8 or 17 hex digits after the prefix.
func (k idKind) check(ids ...string) error {
	for _, id := range ids {
		digits, ok := strings.CutPrefix(id, k.prefix+"-")
		switch {
		case !ok:
			return bad(k.malformed, "Invalid id: %q (expecting %q)", id, k.prefix+"-...")
		case len(digits) != 8 && len(digits) != 17 || strings.Trim(digits, "0123456789abcdef") != "":
			return bad(k.malformed, "Invalid id: %q", id)
		}
	}
	return nil
}

// missing says that these do not exist.
func (k idKind) missing(ids ...string) error {
	if len(ids) == 1 {
		return bad(k.notFound, "The %s '%s' does not exist", k.noun, ids[0])
	}
	return bad(k.notFound, "The %ss '%s' do not exist", k.noun, strings.Join(ids, ", "))
}

// get reads what an id names; the errors are EC2's.
func get[T any](ctx context.Context, c *store.Collection[T], k idKind, id string) (store.Item[T], error) {
	if err := k.check(id); err != nil {
		return store.Item[T]{}, err
	}
	item, err := c.Get(ctx, id)
	if errors.Is(err, store.ErrNotFound) {
		return item, k.missing(id)
	}
	return item, err
}

// wanted are the items that were asked for by id, or all if no id was given. Each
// id must exist.
func wanted[T any](items []T, k idKind, id func(T) string, ids []string) ([]T, error) {
	if len(ids) == 0 {
		return items, nil
	}
	if err := k.check(ids...); err != nil {
		return nil, err
	}
	absent := make(map[string]bool, len(ids))
	for _, want := range ids {
		absent[want] = true
	}
	var out []T
	for _, item := range items {
		if _, ok := absent[id(item)]; ok {
			absent[id(item)] = false
			out = append(out, item)
		}
	}
	gone := slices.DeleteFunc(slices.Clone(ids), func(want string) bool { return !absent[want] })
	if len(gone) > 0 {
		return nil, k.missing(slices.Compact(gone)...)
	}
	return out, nil
}
