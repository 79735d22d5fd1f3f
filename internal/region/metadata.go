package region

import (
	"context"
	"fmt"
	"net/netip"
	"strings"

	"github.com/tarn-eks/tarn/internal/imds"
	"github.com/tarn-eks/tarn/internal/service/ec2"
	"github.com/tarn-eks/tarn/internal/store"
)

// metadata is what an instance is told of itself.
func (r *Region) metadata(n *network, i ec2.Instance, subnets store.Snapshot[ec2.Subnet], groups store.Snapshot[ec2.SecurityGroup]) imds.Instance {
	eni := imds.Interface{
		ID: i.ENI, MAC: i.MAC, PrivateDNSName: i.PrivateDNSName,
		Addresses: append([]netip.Addr{i.Address}, i.PodAddresses...),
		SubnetID:  i.Subnet, VPCID: i.VPC, VPCCIDRs: []netip.Prefix{n.record.CIDR},
	}
	if s, ok := subnets.Get(i.Subnet); ok {
		eni.SubnetCIDR = s.Value.CIDR
	}
	for _, id := range i.SecurityGroups {
		if g, ok := groups.Get(id); ok {
			eni.SecurityGroups = append(eni.SecurityGroups, imds.SecurityGroup{ID: id, Name: g.Value.Name})
		}
	}
	view := imds.Instance{
		ID: i.ID, Type: i.Type, ImageID: i.ImageID, Architecture: "x86_64",
		AccountID: r.identity.Account, Region: r.identity.Region,
		AvailabilityZone: i.Zone, AvailabilityZoneID: r.ec2.ZoneID(i.Zone),
		ReservationID: i.Reservation, LaunchIndex: i.LaunchIndex, LifeCycle: "on-demand",
		PendingTime: i.Launched, Interfaces: []imds.Interface{eni}, Tags: i.Tags, UserData: i.UserData,
		Options: imds.Options{
			HTTPEndpoint: i.Metadata.Endpoint, HTTPTokens: i.Metadata.Tokens,
			HTTPPutResponseHopLimit: i.Metadata.HopLimit, InstanceMetadataTags: i.Metadata.Tags,
		},
	}
	if i.Spot != "" {
		view.LifeCycle = "spot"
	}
	if p := i.Profile; p.ARN != "" {
		view.Profile = &imds.InstanceProfile{ARN: p.ARN, ID: p.ID, Role: p.RoleARN[strings.LastIndexByte(p.RoleARN, '/')+1:]}
	}
	return view
}

// instanceCredentials are those of the role that is in an instance's profile now.
func (r *Region) instanceCredentials(ctx context.Context, i imds.Instance) (imds.Credentials, error) {
	p, err := (profiles{r.iam}).InstanceProfile(ctx, i.Profile.ARN)
	if err != nil {
		return imds.Credentials{}, err
	}
	if p.RoleARN == "" {
		return imds.Credentials{}, fmt.Errorf("there is no role in the instance profile %s", p.ARN)
	}
	c, err := r.rotating.Credentials(ctx, i.ID, p.RoleARN)
	if err != nil {
		return imds.Credentials{}, err
	}
	return imds.Credentials{
		AccessKeyID: c.AccessKeyID, SecretAccessKey: c.SecretAccessKey, Token: c.SessionToken,
		LastUpdated: c.Issued, Expiration: c.Expires,
	}, nil
}
