package eks

import (
	"context"
	"encoding/base64"
	"errors"
	"net/netip"
	"slices"
	"time"

	"github.com/tarn-eks/tarn/internal/api"
	eksapi "github.com/tarn-eks/tarn/internal/api/eks"
	"github.com/tarn-eks/tarn/internal/store"
)

// Cluster is an EKS cluster.
type Cluster struct {
	Name    string
	ID      string // 32 hex digits of its endpoint's name
	Version string // Kubernetes: "1.37"
	RoleARN string

	VPC            string
	Subnets        []string
	SecurityGroups []string // besides its own
	ServiceCIDR    netip.Prefix
	PublicAccess   bool // whether the endpoint can be reached from outside the VPC
	PrivateAccess  bool
	PublicCIDRs    []string

	AuthenticationMode string // API, API_AND_CONFIG_MAP, CONFIG_MAP
	CreatorIsAdmin     bool   // bootstrapClusterCreatorAdminPermissions
	// SelfManaged names the add-ons that it was created with and that are no EKS
	// add-ons (bootstrapSelfManagedAddons).
	SelfManaged        []string
	LogTypes           []string // that are enabled
	Encryption         []Encryption
	SupportType        string
	ZonalShift         bool
	DeletionProtection bool
	Tags               map[string]string
	Created            time.Time

	Status Status
	Issues []Issue
	// Generation rises with each change that the control plane must be told of.
	Generation int
	// Update is the id of the update that is in progress.
	Update  string
	Request request

	// What loop/provisioning has made of it:
	Network  ClusterNetwork
	Endpoint Endpoint
}

// ClusterNetwork is what a cluster has in its VPC.
type ClusterNetwork struct {
	SecurityGroup string     // the cluster security group
	Interface     string     // the control plane's network interface
	Address       netip.Addr // and its address
}

// Endpoint is where a cluster's API server is.
type Endpoint struct {
	URL string
	CA  []byte // PEM
}

// Encryption is what a key encrypts.
type Encryption struct {
	Resources []string
	KeyARN    string
}

// SecurityGroupName is the name of the cluster security group. It is the same
// each time, so that one made before a crash is found.
func (c Cluster) SecurityGroupName() string {
	return "eks-cluster-sg-" + c.Name + "-" + digits(c.ID)
}

// digits are eight or more decimal digits that follow from an id, as EKS puts
// at the end of names.
func digits(id string) string {
	var b []byte
	for _, c := range []byte(id) {
		if len(b) == 10 {
			break
		}
		if c >= '0' && c <= '9' {
			b = append(b, c)
		} else {
			b = append(b, '0'+c%10)
		}
	}
	return string(b)
}

// Issuer is the OIDC issuer of the cluster's service-account tokens.
func (s *Service) Issuer(c Cluster) string {
	return "https://oidc.eks." + s.arns.Region + ".amazonaws.com/id/" + c.ID
}

// ClusterARN is the ARN of the cluster with the name.
func (s *Service) ClusterARN(cluster string) string { return s.arns.Of("eks", "cluster/%s", cluster) }

// platformVersion is the first of a Kubernetes version: there are no others here.
const platformVersion = "eks.1"

// cluster finds a cluster for an API call.
func (s *Service) cluster(ctx context.Context, name *string) (store.Item[Cluster], error) {
	item, err := s.Clusters.Get(ctx, api.Val(name))
	if errors.Is(err, store.ErrNotFound) {
		return item, about{cluster: api.Val(name)}.noCluster()
	}
	return item, err
}

// describe is the cluster as the API shows it.
func (s *Service) describe(c Cluster) *eksapi.Cluster {
	out := &eksapi.Cluster{
		Name: &c.Name, Arn: new(s.ClusterARN(c.Name)), CreatedAt: &c.Created, Version: &c.Version, RoleArn: &c.RoleARN,
		ResourcesVpcConfig: &eksapi.VpcConfigResponse{
			SubnetIds: c.Subnets, SecurityGroupIds: present(c.SecurityGroups), VpcId: &c.VPC,
			ClusterSecurityGroupId: name(c.Network.SecurityGroup),
			EndpointPublicAccess:   &c.PublicAccess, EndpointPrivateAccess: &c.PrivateAccess,
			PublicAccessCidrs: present(c.PublicCIDRs),
		},
		KubernetesNetworkConfig: &eksapi.KubernetesNetworkConfigResponse{
			ServiceIpv4Cidr: new(c.ServiceCIDR.String()), IpFamily: eksapi.IpFamilyIpv4,
		},
		Logging:              describeLogging(c.LogTypes),
		Status:               eksapi.ClusterStatus(c.Status),
		CertificateAuthority: &eksapi.Certificate{},
		PlatformVersion:      new(platformVersion),
		Tags:                 c.Tags,
		Health:               &eksapi.ClusterHealth{Issues: []eksapi.ClusterIssue{}},
		AccessConfig: &eksapi.AccessConfigResponse{
			BootstrapClusterCreatorAdminPermissions: &c.CreatorIsAdmin,
			AuthenticationMode:                      eksapi.AuthenticationMode(c.AuthenticationMode),
		},
		UpgradePolicy:      &eksapi.UpgradePolicyResponse{SupportType: eksapi.SupportType(c.SupportType)},
		ZonalShiftConfig:   &eksapi.ZonalShiftConfigResponse{Enabled: &c.ZonalShift},
		DeletionProtection: &c.DeletionProtection,
		ClientRequestToken: name(c.Request.Token),
	}
	if out.Tags == nil {
		out.Tags = map[string]string{}
	}
	if c.Endpoint.URL != "" {
		out.Endpoint = &c.Endpoint.URL
		out.CertificateAuthority.Data = new(base64.StdEncoding.EncodeToString(c.Endpoint.CA))
		out.Identity = &eksapi.Identity{Oidc: &eksapi.OIDC{Issuer: new(s.Issuer(c))}}
	}
	for _, i := range c.Issues {
		out.Health.Issues = append(out.Health.Issues, eksapi.ClusterIssue{
			Code: eksapi.ClusterIssueCode(i.Code), Message: &i.Message, ResourceIds: i.Resources})
	}
	for _, e := range c.Encryption {
		out.EncryptionConfig = append(out.EncryptionConfig, eksapi.EncryptionConfig{
			Resources: e.Resources, Provider: &eksapi.Provider{KeyArn: &e.KeyARN}})
	}
	return out
}

// logTypes are all that there are, in the order in which EKS lists them.
var logTypes = []string{"api", "audit", "authenticator", "controllerManager", "scheduler"}

func describeLogging(enabled []string) *eksapi.Logging {
	on, off := eksapi.LogSetup{Enabled: new(true)}, eksapi.LogSetup{Enabled: new(false)}
	for _, t := range logTypes {
		if slices.Contains(enabled, t) {
			on.Types = append(on.Types, eksapi.LogType(t))
		} else {
			off.Types = append(off.Types, eksapi.LogType(t))
		}
	}
	out := &eksapi.Logging{}
	for _, setup := range []eksapi.LogSetup{on, off} {
		if len(setup.Types) > 0 {
			out.ClusterLogging = append(out.ClusterLogging, setup)
		}
	}
	return out
}

// DescribeCluster shows a cluster.
func (s *Service) DescribeCluster(ctx context.Context, in *eksapi.DescribeClusterInput) (*eksapi.DescribeClusterOutput, error) {
	item, err := s.cluster(ctx, in.Name)
	if err != nil {
		return nil, err
	}
	return &eksapi.DescribeClusterOutput{Cluster: s.describe(item.Value)}, nil
}

// ListClusters lists the clusters' names.
func (s *Service) ListClusters(ctx context.Context, in *eksapi.ListClustersInput) (*eksapi.ListClustersOutput, error) {
	items, _, err := s.Clusters.List(ctx, "")
	if err != nil {
		return nil, err
	}
	names, next, err := page(namesOf(items, func(c Cluster) string { return c.Name }), in.MaxResults, in.NextToken)
	if err != nil {
		return nil, err
	}
	return &eksapi.ListClustersOutput{Clusters: names, NextToken: next}, nil
}

// namesOf are the names of items; those without one are left out.
func namesOf[T any](items []store.Item[T], nameOf func(T) string) []string {
	var names []string
	for _, item := range items {
		if n := nameOf(item.Value); n != "" {
			names = append(names, n)
		}
	}
	return names
}

// DeleteCluster asks for a cluster's end.
func (s *Service) DeleteCluster(ctx context.Context, in *eksapi.DeleteClusterInput) (*eksapi.DeleteClusterOutput, error) {
	a := about{cluster: api.Val(in.Name)}
	c, err := again(func() (Cluster, error) {
		item, err := s.cluster(ctx, in.Name)
		if err != nil {
			return Cluster{}, err
		}
		groups, _, err := s.Nodegroups.List(ctx, item.Key+"/")
		if err != nil {
			return Cluster{}, err
		}
		switch c := item.Value; {
		case c.Status == Deleting:
			return c, nil
		case slices.ContainsFunc(groups, func(g store.Item[Nodegroup]) bool { return g.Value.Managed }):
			return c, a.inUse("Cluster has nodegroups attached")
		case c.DeletionProtection:
			return c, a.refused("Cannot delete cluster %s because deletion protection is enabled", c.Name)
		case c.Status == Updating:
			return c, a.inUse("Cannot delete because cluster %s currently has an update in progress", c.Name)
		}
		item.Value.Status, item.Value.Issues = Deleting, nil
		ops := []store.Op{s.Clusters.UpdateOp(item)}
		// Self-managed groups are the customer's own on EKS, and would stay. Here
		// there is nobody but EKS who could end them.
		for _, g := range groups {
			if g.Value.Status != Deleting {
				g.Value.Status = Deleting
				ops = append(ops, s.Nodegroups.UpdateOp(g))
			}
		}
		_, err = store.Commit(ctx, s.client, ops...)
		return item.Value, err
	})
	if err != nil {
		return nil, err
	}
	return &eksapi.DeleteClusterOutput{Cluster: s.describe(c)}, nil
}
