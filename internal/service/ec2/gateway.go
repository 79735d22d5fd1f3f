package ec2

import (
	"context"
	"time"

	ec2api "github.com/tarn-eks/tarn/internal/api/ec2"
	"github.com/tarn-eks/tarn/internal/store"
)

// InternetGateway is a VPC's way to and from the internet.
type InternetGateway struct {
	ID      string
	VPC     string // empty while it is detached
	Tags    map[string]string
	Created time.Time
}

// CreateInternetGateway makes a gateway that is attached to no VPC.
func (s *Service) CreateInternetGateway(ctx context.Context, in *ec2api.CreateInternetGatewayInput) (*ec2api.CreateInternetGatewayOutput, error) {
	tags, err := tagSpecifications(ctx, in.TagSpecifications, ec2api.ResourceTypeInternetGateway)
	if err != nil {
		return nil, err
	}
	if err := dryRun(in.DryRun); err != nil {
		return nil, err
	}
	g := InternetGateway{ID: newID("igw"), Tags: tags[ec2api.ResourceTypeInternetGateway], Created: s.now()}
	if _, err := s.InternetGateways.Create(ctx, g.ID, g); err != nil {
		return nil, err
	}
	out := s.gatewayOut(g)
	return &ec2api.CreateInternetGatewayOutput{InternetGateway: &out}, nil
}

func (s *Service) gatewayOut(g InternetGateway) ec2api.InternetGateway {
	attachments := []ec2api.InternetGatewayAttachment{}
	if g.VPC != "" {
		attachments = append(attachments, ec2api.InternetGatewayAttachment{State: "available", VpcId: new(g.VPC)})
	}
	return ec2api.InternetGateway{InternetGatewayId: new(g.ID), OwnerId: &s.scope.Account, Attachments: attachments, Tags: toTags(g.Tags)}
}

// AttachInternetGateway attaches a gateway to a VPC; each has one at most.
func (s *Service) AttachInternetGateway(ctx context.Context, in *ec2api.AttachInternetGatewayInput) (*ec2api.AttachInternetGatewayOutput, error) {
	return exclusively(s, func() (*ec2api.AttachInternetGatewayOutput, error) {
		g, err := get(ctx, s.InternetGateways, gatewayIDs, *in.InternetGatewayId)
		if err != nil {
			return nil, err
		}
		v, err := get(ctx, s.VPCs, vpcIDs, *in.VpcId)
		if err != nil {
			return nil, err
		}
		if g.Value.VPC != "" {
			return nil, bad("Resource.AlreadyAssociated", "resource %s is already attached to network %s", g.Key, g.Value.VPC)
		}
		gateways, err := list(ctx, s.InternetGateways)
		if err != nil {
			return nil, err
		}
		for _, other := range gateways {
			if other.VPC == v.Key {
				return nil, bad("InvalidParameterValue", "Network %s already has an internet gateway attached", v.Key)
			}
		}
		if err := dryRun(in.DryRun); err != nil {
			return nil, err
		}
		g.Value.VPC = v.Key
		_, err = store.Commit(ctx, s.client, s.VPCs.MustExist(v.Key), s.InternetGateways.UpdateOp(g))
		return &ec2api.AttachInternetGatewayOutput{}, err
	})
}

// DetachInternetGateway detaches a gateway. Routes to it stay, and lead nowhere.
func (s *Service) DetachInternetGateway(ctx context.Context, in *ec2api.DetachInternetGatewayInput) (*ec2api.DetachInternetGatewayOutput, error) {
	return exclusively(s, func() (*ec2api.DetachInternetGatewayOutput, error) {
		g, err := get(ctx, s.InternetGateways, gatewayIDs, *in.InternetGatewayId)
		if err != nil {
			return nil, err
		}
		if err := vpcIDs.check(*in.VpcId); err != nil {
			return nil, err
		}
		if g.Value.VPC != *in.VpcId {
			return nil, bad("Gateway.NotAttached", "resource %s is not attached to network %s", g.Key, *in.VpcId)
		}
		if err := dryRun(in.DryRun); err != nil {
			return nil, err
		}
		g.Value.VPC = ""
		_, err = s.InternetGateways.Update(ctx, g)
		return &ec2api.DetachInternetGatewayOutput{}, err
	})
}

// DeleteInternetGateway deletes a gateway that is detached.
func (s *Service) DeleteInternetGateway(ctx context.Context, in *ec2api.DeleteInternetGatewayInput) (*ec2api.DeleteInternetGatewayOutput, error) {
	return exclusively(s, func() (*ec2api.DeleteInternetGatewayOutput, error) {
		g, err := get(ctx, s.InternetGateways, gatewayIDs, *in.InternetGatewayId)
		if err != nil {
			return nil, err
		}
		if g.Value.VPC != "" {
			return nil, bad("DependencyViolation", "The internetGateway '%s' has dependencies and cannot be deleted.", g.Key)
		}
		if err := dryRun(in.DryRun); err != nil {
			return nil, err
		}
		return &ec2api.DeleteInternetGatewayOutput{}, s.InternetGateways.DeleteItem(ctx, g)
	})
}

// DescribeInternetGateways lists gateways, by id.
func (s *Service) DescribeInternetGateways(ctx context.Context, in *ec2api.DescribeInternetGatewaysInput) (*ec2api.DescribeInternetGatewaysOutput, error) {
	gateways, err := list(ctx, s.InternetGateways)
	if err != nil {
		return nil, err
	}
	found, next, err := describe(gateways, query{in.InternetGatewayIds, in.Filters, in.MaxResults, in.NextToken, in.DryRun}, gatewayIDs,
		func(g InternetGateway) string { return g.ID },
		func(g InternetGateway) func(string) ([]string, bool) {
			var state []string
			if g.VPC != "" {
				state = []string{"available"}
			}
			return attributes{
				"attachment.state": state, "attachment.vpc-id": one(g.VPC), "internet-gateway-id": {g.ID}, "owner-id": {s.scope.Account},
			}.tagged(g.Tags)
		})
	if err != nil {
		return nil, err
	}
	out := make([]ec2api.InternetGateway, len(found))
	for i, g := range found {
		out[i] = s.gatewayOut(g)
	}
	return &ec2api.DescribeInternetGatewaysOutput{InternetGateways: out, NextToken: next}, nil
}
