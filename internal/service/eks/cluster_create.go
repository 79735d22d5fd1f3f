package eks

import (
	"context"
	"crypto/rand"
	"encoding/hex"
	"errors"
	"net/netip"
	"slices"
	"strings"

	"github.com/tarn-eks/tarn/internal/api"
	eksapi "github.com/tarn-eks/tarn/internal/api/eks"
	"github.com/tarn-eks/tarn/internal/arn"
	"github.com/tarn-eks/tarn/internal/caller"
	"github.com/tarn-eks/tarn/internal/policy"
	"github.com/tarn-eks/tarn/internal/store"
)

const (
	maxClusters       = 100 // EKS's quota
	maxSecurityGroups = 5
	minFreeAddresses  = 5 // in each of a cluster's subnets
	maxPublicCIDRs    = 40
)

// clusterService is the principal that assumes a cluster's role.
const clusterService = "eks.amazonaws.com"

// CreateCluster makes a cluster; loop/provisioning makes it run.
func (s *Service) CreateCluster(ctx context.Context, in *eksapi.CreateClusterInput) (*eksapi.CreateClusterOutput, error) {
	a := about{cluster: api.Val(in.Name)}
	req := asked(in.ClientRequestToken, in)
	c, err := again(func() (Cluster, error) {
		have, err := s.Clusters.Get(ctx, a.cluster)
		switch {
		case err == nil && req.repeats(have.Value.Request):
			return have.Value, nil
		case err == nil:
			return Cluster{}, a.inUse("Cluster already exists with name: %s", a.cluster)
		case !errors.Is(err, store.ErrNotFound):
			return Cluster{}, err
		}
		c, err := s.newCluster(ctx, in)
		if err != nil {
			return Cluster{}, err
		}
		c.Request = req
		ops := []store.Op{s.Clusters.CreateOp(c.Name, c)}
		if creator := principalOf(caller.From(ctx).Principal); creator != "" && c.CreatorIsAdmin {
			e := s.newEntry(c.Name, creator, typeStandard)
			e.Creator = true
			e.Policies = []AssociatedPolicy{{ARN: accessPolicyARN(clusterAdminPolicy), Scope: scopeCluster, Associated: c.Created, Modified: c.Created}}
			ops = append(ops, s.AccessEntries.CreateOp(e.Key(), e))
		}
		_, err = store.Commit(ctx, s.client, ops...)
		return c, err
	})
	if err != nil {
		return nil, err
	}
	return &eksapi.CreateClusterOutput{Cluster: s.describe(c)}, nil
}

// principalOf is the IAM principal behind a caller: for a session, its role.
// It is empty for calls of Tarn's own.
func principalOf(p policy.Principal) string {
	if p.RoleARN != "" {
		return p.RoleARN
	}
	return p.ARN
}

// newCluster checks a request, and is the cluster that it asks for.
func (s *Service) newCluster(ctx context.Context, in *eksapi.CreateClusterInput) (Cluster, error) {
	a := about{cluster: api.Val(in.Name)}
	if !clusterName.MatchString(a.cluster) {
		return Cluster{}, about{}.invalid("The cluster name '%s' must have 1 to 100 characters: letters, digits, - and _, and begin with a letter or digit", a.cluster)
	}
	c := Cluster{
		Name: a.cluster, ID: newClusterID(), Version: minor(s.version), RoleARN: api.Val(in.RoleArn), Tags: in.Tags,
		Created: s.time(), Status: Creating, Generation: 1,
		AuthenticationMode: string(eksapi.AuthenticationModeConfigMap), CreatorIsAdmin: true,
		SupportType: string(eksapi.SupportTypeExtended), DeletionProtection: api.Val(in.DeletionProtection),
		PublicAccess: true,
	}
	if in.BootstrapSelfManagedAddons == nil || *in.BootstrapSelfManagedAddons {
		for _, k := range s.addons {
			if k.bootstrap {
				c.SelfManaged = append(c.SelfManaged, k.name)
			}
		}
	}
	if v := api.Val(in.Version); v != "" && v != c.Version {
		return c, s.unsupportedVersion(a, v)
	}
	if problem := checkTags(in.Tags); problem != "" {
		return c, a.invalid("%s", problem)
	}
	if in.OutpostConfig != nil {
		return c, a.invalid("Local clusters on AWS Outposts are not available in this region")
	}
	if err := s.placeCluster(ctx, a, &c, in); err != nil {
		return c, err
	}
	if err := setLogging(a, &c, in.Logging); err != nil {
		return c, err
	}
	if err := setAccess(a, &c, in); err != nil {
		return c, err
	}
	for _, e := range in.EncryptionConfig {
		k := api.Val(api.Val(e.Provider).KeyArn)
		if key, err := arn.Parse(k); err != nil || key.Service != "kms" || !slices.Equal(e.Resources, []string{"secrets"}) || len(in.EncryptionConfig) > 1 {
			return c, a.invalid("The encryptionConfig must name the resources [secrets] and the ARN of a KMS key")
		}
		c.Encryption = append(c.Encryption, Encryption{Resources: e.Resources, KeyARN: k})
	}
	if in.UpgradePolicy != nil && in.UpgradePolicy.SupportType != "" {
		c.SupportType = string(in.UpgradePolicy.SupportType)
		if !knownSupport(c.SupportType) {
			return c, a.invalid("The supportType %s must be STANDARD or EXTENDED", c.SupportType)
		}
	}
	if in.ZonalShiftConfig != nil {
		c.ZonalShift = api.Val(in.ZonalShiftConfig.Enabled)
	}
	exists, trusts, err := s.roles.Trust(ctx, c.RoleARN, clusterService)
	if err != nil {
		return c, err
	}
	if !exists || !trusts {
		return c, a.invalid("Role with arn: %s, could not be assumed because it does not exist or the trusted entity is not correct", c.RoleARN)
	}
	clusters, _, err := s.Clusters.List(ctx, "")
	if err != nil {
		return c, err
	}
	if len(clusters) >= maxClusters {
		return c, a.tooMany("Cluster limit exceeded for account: a region has %d clusters at most", maxClusters)
	}
	return c, nil
}

func knownSupport(t string) bool {
	return t == string(eksapi.SupportTypeStandard) || t == string(eksapi.SupportTypeExtended)
}

func (s *Service) unsupportedVersion(a about, version string) *api.Error {
	return a.invalid("unsupported Kubernetes version %s: this region has %s", version, minor(s.version))
}

// placeCluster fills in where the cluster is.
func (s *Service) placeCluster(ctx context.Context, a about, c *Cluster, in *eksapi.CreateClusterInput) error {
	vpc := api.Val(in.ResourcesVpcConfig)
	subnets, err := s.checkSubnets(ctx, a, vpc.SubnetIds)
	if err != nil {
		return err
	}
	c.VPC, c.Subnets = subnets[0].VPC, vpc.SubnetIds
	if err := s.checkSecurityGroups(ctx, a, c.VPC, vpc.SecurityGroupIds); err != nil {
		return err
	}
	c.SecurityGroups = vpc.SecurityGroupIds
	if err := setEndpointAccess(a, c, vpc); err != nil {
		return err
	}
	k := api.Val(in.KubernetesNetworkConfig)
	if k.IpFamily != "" && k.IpFamily != eksapi.IpFamilyIpv4 {
		return a.invalid("The ipFamily %s is not available in this region: its VPCs have IPv4 addresses only", k.IpFamily)
	}
	var problem string
	if c.ServiceCIDR, problem = serviceCIDR(api.Val(k.ServiceIpv4Cidr), subnets[0].VPCCIDRs); problem != "" {
		return a.invalid("%s", problem)
	}
	return nil
}

// checkSubnets wants what a control plane needs of its subnets.
func (s *Service) checkSubnets(ctx context.Context, a about, ids []string) ([]Subnet, error) {
	subnets, err := s.subnets(ctx, a, ids)
	if err != nil {
		return nil, err
	}
	zones := map[string]bool{}
	var full []string
	for _, sub := range subnets {
		zones[sub.Zone] = true
		if sub.VPC != subnets[0].VPC {
			return nil, a.invalid("Subnets specified must belong to the same VPC: %s is in %s and %s in %s", subnets[0].ID, subnets[0].VPC, sub.ID, sub.VPC)
		}
		if sub.Free < minFreeAddresses {
			full = append(full, sub.ID)
		}
	}
	if len(zones) < 2 {
		return nil, a.invalid("Subnets specified must be in at least two different AZs")
	}
	if len(full) > 0 {
		return nil, a.invalid("Provided subnets %s have too few free IPs: need at least %d IPs in each subnet to be free for this operation", strings.Join(full, ","), minFreeAddresses)
	}
	return subnets, nil
}

// subnets finds the subnets, all of them.
func (s *Service) subnets(ctx context.Context, a about, ids []string) ([]Subnet, error) {
	if len(ids) == 0 {
		return nil, a.invalid("subnets can not be empty")
	}
	found, err := s.network.Subnets(ctx, ids)
	if err != nil {
		return nil, err
	}
	var subnets []Subnet
	for i, id := range ids {
		n := slices.IndexFunc(found, func(sub Subnet) bool { return sub.ID == id })
		if n < 0 {
			return nil, a.invalid("The subnet ID '%s' does not exist", id)
		}
		if slices.Contains(ids[:i], id) {
			return nil, a.invalid("Duplicate subnet ID '%s'", id)
		}
		subnets = append(subnets, found[n])
	}
	return subnets, nil
}

func (s *Service) checkSecurityGroups(ctx context.Context, a about, vpc string, ids []string) error {
	if len(ids) == 0 {
		return nil
	}
	if len(ids) > maxSecurityGroups {
		return a.invalid("At most %d security groups may be specified", maxSecurityGroups)
	}
	vpcs, err := s.network.SecurityGroups(ctx, ids)
	if err != nil {
		return err
	}
	for _, id := range ids {
		switch vpcs[id] {
		case "":
			return a.invalid("The security group '%s' does not exist", id)
		case vpc:
		default:
			return a.invalid("Security group(s) [%s] are not in the same VPC as the subnets: %s", id, vpc)
		}
	}
	return nil
}

// setEndpointAccess changes what the request has.
func setEndpointAccess(a about, c *Cluster, vpc eksapi.VpcConfigRequest) error {
	if vpc.EndpointPublicAccess != nil {
		c.PublicAccess = *vpc.EndpointPublicAccess
	}
	if vpc.EndpointPrivateAccess != nil {
		c.PrivateAccess = *vpc.EndpointPrivateAccess
	}
	if !c.PublicAccess && !c.PrivateAccess {
		return a.invalid("Private and public endpoint access cannot be false")
	}
	if vpc.PublicAccessCidrs != nil {
		c.PublicCIDRs = nil
	}
	for _, text := range vpc.PublicAccessCidrs {
		p, err := netip.ParsePrefix(text)
		if err != nil || !p.Addr().Is4() || len(vpc.PublicAccessCidrs) > maxPublicCIDRs {
			return a.invalid("The publicAccessCidrs must be up to %d IPv4 CIDR blocks: %s", maxPublicCIDRs, text)
		}
		c.PublicCIDRs = append(c.PublicCIDRs, p.Masked().String())
	}
	if len(c.PublicCIDRs) == 0 && c.PublicAccess {
		c.PublicCIDRs = []string{"0.0.0.0/0"}
	}
	return nil
}

// setLogging turns the types on and off that the request names.
func setLogging(a about, c *Cluster, logging *eksapi.Logging) error {
	enabled := map[string]bool{}
	for _, t := range c.LogTypes {
		enabled[t] = true
	}
	for _, setup := range api.Val(logging).ClusterLogging {
		for _, t := range setup.Types {
			if !slices.Contains(logTypes, string(t)) {
				return a.invalid("The log type %s is none of %v", t, logTypes)
			}
			enabled[string(t)] = api.Val(setup.Enabled)
		}
	}
	c.LogTypes = nil
	for _, t := range logTypes {
		if enabled[t] {
			c.LogTypes = append(c.LogTypes, t)
		}
	}
	return nil
}

func setAccess(a about, c *Cluster, in *eksapi.CreateClusterInput) error {
	access := api.Val(in.AccessConfig)
	if access.BootstrapClusterCreatorAdminPermissions != nil {
		c.CreatorIsAdmin = *access.BootstrapClusterCreatorAdminPermissions
	}
	if access.AuthenticationMode != "" {
		c.AuthenticationMode = string(access.AuthenticationMode)
	}
	if authenticationRank(c.AuthenticationMode) < 0 {
		return a.invalid("The authenticationMode %s must be API, API_AND_CONFIG_MAP or CONFIG_MAP", c.AuthenticationMode)
	}
	if !c.CreatorIsAdmin && c.AuthenticationMode == string(eksapi.AuthenticationModeConfigMap) {
		return a.invalid("bootstrapClusterCreatorAdminPermissions must be true if cluster authentication mode is set to CONFIG_MAP")
	}
	return nil
}

// authenticationRank orders the modes: a cluster moves up by one, and never back.
func authenticationRank(mode string) int {
	return slices.Index([]string{
		string(eksapi.AuthenticationModeConfigMap), string(eksapi.AuthenticationModeApiAndConfigMap), string(eksapi.AuthenticationModeApi),
	}, mode)
}

func newClusterID() string {
	var b [16]byte
	_, _ = rand.Read(b[:]) // never fails
	return strings.ToUpper(hex.EncodeToString(b[:]))
}
