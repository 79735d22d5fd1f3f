package eks

import (
	"context"
	"slices"
	"strings"

	"github.com/tarn-eks/tarn/internal/api"
	eksapi "github.com/tarn-eks/tarn/internal/api/eks"
	"github.com/tarn-eks/tarn/internal/store"
)

// Kinds of updates that the frozen model does not name.
const (
	zonalShiftUpdate         eksapi.UpdateType      = "ZonalShiftConfigUpdate"
	zonalShiftParam          eksapi.UpdateParamType = "ZonalShiftConfig"
	deletionProtectionUpdate eksapi.UpdateType      = "DeletionProtectionUpdate"
	deletionProtectionParam  eksapi.UpdateParamType = "DeletionProtection"
)

// UpdateClusterConfig changes one of a cluster's settings.
func (s *Service) UpdateClusterConfig(ctx context.Context, in *eksapi.UpdateClusterConfigInput) (*eksapi.UpdateClusterConfigOutput, error) {
	u, err := s.updateCluster(ctx, in.Name, asked(in.ClientRequestToken, in), func(a about, c *Cluster) (eksapi.UpdateType, []Param, error) {
		return s.configure(ctx, a, c, in)
	})
	if err != nil {
		return nil, err
	}
	return &eksapi.UpdateClusterConfigOutput{Update: u.describe()}, nil
}

// UpdateClusterVersion moves a cluster to the Kubernetes version that the region
// has now: one that was made by an older Tarn.
func (s *Service) UpdateClusterVersion(ctx context.Context, in *eksapi.UpdateClusterVersionInput) (*eksapi.UpdateClusterVersionOutput, error) {
	to := api.Val(in.Version)
	u, err := s.updateCluster(ctx, in.Name, asked(in.ClientRequestToken, in), func(a about, c *Cluster) (eksapi.UpdateType, []Param, error) {
		switch {
		case to == c.Version:
			return "", nil, a.invalid("Unsupported Kubernetes minor version update from %s to %s", c.Version, to)
		case to != minor(s.version):
			return "", nil, s.unsupportedVersion(a, to)
		}
		c.Version = to
		return eksapi.UpdateTypeVersionUpdate, []Param{
			param(eksapi.UpdateParamTypeVersion, to), param(eksapi.UpdateParamTypePlatformVersion, platformVersion),
		}, nil
	})
	if err != nil {
		return nil, err
	}
	return &eksapi.UpdateClusterVersionOutput{Update: u.describe()}, nil
}

// updateCluster begins the update that change describes; loop/provisioning ends it.
func (s *Service) updateCluster(ctx context.Context, cluster *string, req request, change func(about, *Cluster) (eksapi.UpdateType, []Param, error)) (Update, error) {
	a := about{cluster: api.Val(cluster)}
	return again(func() (Update, error) {
		item, err := s.cluster(ctx, cluster)
		if err != nil {
			return Update{}, err
		}
		if earlier, err := s.repeated(ctx, a, req); err != nil || earlier != nil {
			return api.Val(earlier), err
		}
		c := &item.Value
		status, running := c.Status, c.Update
		kind, params, err := change(a, c)
		switch {
		case status == Updating && kind != "":
			return Update{}, a.inUse("Cannot %s because cluster %s currently has update %s in progress", kind, c.Name, running)
		case err != nil:
			return Update{}, err
		case status != Active:
			return Update{}, a.notActive()
		}
		u := s.newUpdate(a, kind, params, req)
		c.Status, c.Update = Updating, u.ID
		c.Generation++
		_, err = store.Commit(ctx, s.client, s.Clusters.UpdateOp(item), s.Updates.CreateOp(u.Key(), u))
		return u, err
	})
}

// configure makes the change that a request asks for, and says what it is.
func (s *Service) configure(ctx context.Context, a about, c *Cluster, in *eksapi.UpdateClusterConfigInput) (eksapi.UpdateType, []Param, error) {
	vpc := api.Val(in.ResourcesVpcConfig)
	network := vpc.SubnetIds != nil || vpc.SecurityGroupIds != nil
	endpoint := vpc.EndpointPublicAccess != nil || vpc.EndpointPrivateAccess != nil || vpc.PublicAccessCidrs != nil
	kinds := 0
	for _, there := range []bool{network, endpoint, in.Logging != nil, in.AccessConfig != nil, in.UpgradePolicy != nil, in.ZonalShiftConfig != nil, in.DeletionProtection != nil} {
		if there {
			kinds++
		}
	}
	switch {
	case kinds > 1:
		return "", nil, a.invalid("Only one type of update can be allowed.")
	case network:
		return s.configureNetwork(ctx, a, c, vpc)
	case endpoint:
		return configureEndpoint(a, c, vpc)
	case in.Logging != nil:
		before := c.LogTypes
		if err := setLogging(a, c, in.Logging); err != nil {
			return "", nil, err
		}
		if slices.Equal(before, c.LogTypes) {
			return "", nil, a.invalid("No changes needed for the logging config provided")
		}
		return eksapi.UpdateTypeLoggingUpdate, []Param{param(eksapi.UpdateParamTypeClusterLogging, loggingParam(in.Logging))}, nil
	case in.AccessConfig != nil:
		to := string(in.AccessConfig.AuthenticationMode)
		if authenticationRank(to) != authenticationRank(c.AuthenticationMode)+1 {
			return "", nil, a.invalid("Unsupported authentication mode update from %s to %s", c.AuthenticationMode, to)
		}
		c.AuthenticationMode = to
		return eksapi.UpdateTypeAccessConfigUpdate, []Param{param(eksapi.UpdateParamTypeAuthenticationMode, to)}, nil
	case in.UpgradePolicy != nil:
		to := string(in.UpgradePolicy.SupportType)
		if !knownSupport(to) || to == c.SupportType {
			return "", nil, a.invalid("The supportType must be STANDARD or EXTENDED, and another than the cluster's %s", c.SupportType)
		}
		c.SupportType = to
		return eksapi.UpdateTypeUpgradePolicyUpdate, []Param{param(eksapi.UpdateParamTypeUpgradePolicy, map[string]string{"supportType": to})}, nil
	case in.ZonalShiftConfig != nil:
		c.ZonalShift = api.Val(in.ZonalShiftConfig.Enabled)
		return zonalShiftUpdate, []Param{param(zonalShiftParam, map[string]bool{"enabled": c.ZonalShift})}, nil
	case in.DeletionProtection != nil:
		c.DeletionProtection = *in.DeletionProtection
		return deletionProtectionUpdate, []Param{param(deletionProtectionParam, c.DeletionProtection)}, nil
	default:
		return "", nil, a.invalid("The update must name what to change: resourcesVpcConfig, logging, accessConfig, upgradePolicy, zonalShiftConfig or deletionProtection")
	}
}

func (s *Service) configureNetwork(ctx context.Context, a about, c *Cluster, vpc eksapi.VpcConfigRequest) (eksapi.UpdateType, []Param, error) {
	var params []Param
	if vpc.SubnetIds != nil {
		subnets, err := s.checkSubnets(ctx, a, vpc.SubnetIds)
		if err != nil {
			return "", nil, err
		}
		if subnets[0].VPC != c.VPC {
			return "", nil, a.invalid("Subnets specified must belong to the cluster's VPC: %s is in %s and the cluster in %s", subnets[0].ID, subnets[0].VPC, c.VPC)
		}
		c.Subnets = vpc.SubnetIds
		params = append(params, param(eksapi.UpdateParamTypeSubnets, vpc.SubnetIds))
	}
	if vpc.SecurityGroupIds != nil {
		if err := s.checkSecurityGroups(ctx, a, c.VPC, vpc.SecurityGroupIds); err != nil {
			return "", nil, err
		}
		c.SecurityGroups = vpc.SecurityGroupIds
		params = append(params, param(eksapi.UpdateParamTypeSecurityGroups, vpc.SecurityGroupIds))
	}
	return eksapi.UpdateTypeVpcConfigUpdate, params, nil
}

func configureEndpoint(a about, c *Cluster, vpc eksapi.VpcConfigRequest) (eksapi.UpdateType, []Param, error) {
	before := *c
	if err := setEndpointAccess(a, c, vpc); err != nil {
		return "", nil, err
	}
	if before.PublicAccess == c.PublicAccess && before.PrivateAccess == c.PrivateAccess && slices.Equal(before.PublicCIDRs, c.PublicCIDRs) {
		return "", nil, a.invalid("Cluster is already at the desired configuration with endpointPrivateAccess: %t , endpointPublicAccess: %t, and Public Endpoint Restrictions: [%s]",
			c.PrivateAccess, c.PublicAccess, strings.Join(c.PublicCIDRs, ", "))
	}
	return eksapi.UpdateTypeEndpointAccessUpdate, []Param{
		param(eksapi.UpdateParamTypeEndpointPublicAccess, c.PublicAccess),
		param(eksapi.UpdateParamTypeEndpointPrivateAccess, c.PrivateAccess),
		param(eksapi.UpdateParamTypePublicAccessCidrs, c.PublicCIDRs),
	}, nil
}

// loggingParam is a logging request in the API's own form.
func loggingParam(logging *eksapi.Logging) any {
	type setup struct {
		Types   []eksapi.LogType `json:"types"`
		Enabled bool             `json:"enabled"`
	}
	var setups []setup
	for _, l := range logging.ClusterLogging {
		setups = append(setups, setup{l.Types, api.Val(l.Enabled)})
	}
	return map[string]any{"clusterLogging": setups}
}
