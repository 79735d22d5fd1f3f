package eks

import (
	"context"
	"errors"
	"slices"
	"strings"

	"github.com/google/uuid"

	"github.com/tarn-eks/tarn/internal/api"
	eksapi "github.com/tarn-eks/tarn/internal/api/eks"
	"github.com/tarn-eks/tarn/internal/instancetype"
	"github.com/tarn-eks/tarn/internal/store"
)

const (
	maxNodegroups       = 100 // per cluster; EKS's quota
	defaultInstanceType = "t3.medium"
	defaultVolumeGiB    = 20
	maxTaints           = 50
	maxInstanceTypes    = 20
)

// nodeService is the principal that assumes a node's role.
const nodeService = "ec2.amazonaws.com"

// ReleaseDate is the date of the region's EKS-optimized image; a release
// version is the Kubernetes version and it.
const ReleaseDate = "20261112"

// release is the only release version that node groups can have.
func (s *Service) release() string { return s.version + "-" + ReleaseDate }

// CreateNodegroup makes a managed node group; loop/nodegroups gives it an Auto
// Scaling group.
func (s *Service) CreateNodegroup(ctx context.Context, in *eksapi.CreateNodegroupInput) (*eksapi.CreateNodegroupOutput, error) {
	a := about{cluster: api.Val(in.ClusterName), nodegroup: api.Val(in.NodegroupName)}
	req := asked(in.ClientRequestToken, in)
	n, err := again(func() (Nodegroup, error) {
		cluster, err := s.cluster(ctx, in.ClusterName)
		if err != nil {
			return Nodegroup{}, err
		}
		have, err := s.Nodegroups.Get(ctx, Nodegroup{Cluster: a.cluster, Name: a.nodegroup}.Key())
		switch {
		case err == nil && req.repeats(have.Value.Request):
			return have.Value, nil
		case err == nil:
			return Nodegroup{}, a.inUse("NodeGroup already exists with name %s and cluster name %s", a.nodegroup, a.cluster)
		case !errors.Is(err, store.ErrNotFound):
			return Nodegroup{}, err
		}
		n, err := s.newNodegroup(ctx, a, cluster.Value, in)
		if err != nil {
			return n, err
		}
		n.Request = req
		// The cluster is written too: its deletion must notice.
		ops := []store.Op{s.Nodegroups.CreateOp(n.Key(), n), s.Clusters.UpdateOp(cluster)}
		if entry, err := s.nodeEntry(ctx, cluster.Value, n.RoleARN); err != nil {
			return n, err
		} else if entry != nil {
			ops = append(ops, s.AccessEntries.CreateOp(entry.Key(), *entry))
		}
		_, err = store.Commit(ctx, s.client, ops...)
		return n, err
	})
	if err != nil {
		return nil, err
	}
	return &eksapi.CreateNodegroupOutput{Nodegroup: s.describeNodegroup(n)}, nil
}

// nodeEntry is the access entry that EKS makes for the role of a node group's
// nodes, nil if there is one or the cluster has none.
func (s *Service) nodeEntry(ctx context.Context, c Cluster, role string) (*AccessEntry, error) {
	if c.AuthenticationMode == string(eksapi.AuthenticationModeConfigMap) {
		return nil, nil
	}
	e := s.newEntry(c.Name, role, typeEC2Linux)
	e.ForNodes = true
	_, err := s.AccessEntries.Get(ctx, e.Key())
	switch {
	case errors.Is(err, store.ErrNotFound):
		return &e, nil
	default:
		return nil, err
	}
}

// CreateSelfManaged makes a node group that is not EKS's: the API does not show
// it. n says what it is; ids, times and state are filled in. It returns
// store.ErrExists when there is one of the name.
func (s *Service) CreateSelfManaged(ctx context.Context, n Nodegroup) (Nodegroup, error) {
	n.Managed = false
	n.identify(s)
	n.InstanceTypes = []string{n.InstanceType}
	item, err := s.Nodegroups.Create(ctx, n.Key(), n)
	return item.Value, err
}

// identify fills in what each new node group has.
func (n *Nodegroup) identify(s *Service) {
	n.ID = uuid.NewString()
	n.GroupName = "eks-" + n.Name + "-" + n.ID
	n.Created = s.time()
	n.Modified = n.Created
	n.Status = Creating
	n.Revision, n.Current = 1, 1
}

// newNodegroup checks a request, and is the node group that it asks for.
func (s *Service) newNodegroup(ctx context.Context, a about, c Cluster, in *eksapi.CreateNodegroupInput) (Nodegroup, error) {
	n := Nodegroup{
		Cluster: a.cluster, Name: a.nodegroup, Managed: true, Version: c.Version, Release: s.release(),
		RoleARN: api.Val(in.NodeRole), Labels: in.Labels, Tags: in.Tags, Subnets: in.Subnets,
		AMIType: string(in.AmiType), VolumeGiB: int(api.Val(in.DiskSize)), MaxUnavailable: 1,
	}
	n.identify(s)
	if !nodegroupName.MatchString(n.Name) {
		return n, about{cluster: a.cluster}.invalid("The node group name '%s' must have 1 to 63 characters: letters, digits, - and _, and begin with a letter or digit", n.Name)
	}
	if c.Status != Active {
		return n, a.notActive()
	}
	if problem := checkTags(in.Tags); problem != "" {
		return n, a.invalid("%s", problem)
	}
	subnets, err := s.subnets(ctx, a, in.Subnets)
	if err != nil {
		return n, err
	}
	for _, sub := range subnets {
		if sub.VPC != c.VPC {
			return n, a.invalid("Subnets are not in the same VPC as the cluster: %s is in %s and the cluster in %s", sub.ID, sub.VPC, c.VPC)
		}
	}
	for _, check := range []func() error{
		func() error { return s.chooseVersion(a, &n, in.Version, in.ReleaseVersion) },
		func() error { return s.chooseTemplate(ctx, a, &n, in) },
		func() error { return chooseTypes(a, &n, in) },
		func() error { return chooseSize(a, &n, in.ScalingConfig) },
		func() error { return setUpdateConfig(a, &n, in.UpdateConfig) },
		func() error { return s.chooseAccess(ctx, a, &n, c, in.RemoteAccess) },
	} {
		if err := check(); err != nil {
			return n, err
		}
	}
	if problem := checkLabels(n.Labels); problem != "" {
		return n, a.invalid("%s", problem)
	}
	if n.Taints, err = readTaints(a, in.Taints); err != nil {
		return n, err
	}
	exists, trusts, err := s.roles.Trust(ctx, n.RoleARN, nodeService)
	switch {
	case err != nil:
		return n, err
	case !exists:
		return n, a.invalid("The role with name %s cannot be found.", n.RoleARN[strings.LastIndexByte(n.RoleARN, '/')+1:])
	case !trusts:
		return n, a.invalid("Following required service principals [%s] were not found in the trust relationships of nodeRole %s", nodeService, n.RoleARN)
	}
	groups, _, err := s.Nodegroups.List(ctx, a.cluster+"/")
	if err == nil && len(groups) >= maxNodegroups {
		err = a.tooMany("Nodegroup limit exceeded: a cluster has %d node groups at most", maxNodegroups)
	}
	return n, err
}

// chooseVersion wants the versions that there are.
func (s *Service) chooseVersion(a about, n *Nodegroup, version, release *string) error {
	if v := api.Val(version); v != "" && v != n.Version {
		return a.invalid("Nodegroup Kubernetes version should be equal to Cluster kubernetes version %s or NodeGroup kubernetes version %s", n.Version, n.Version)
	}
	if r := api.Val(release); r != "" && r != s.release() {
		return a.invalid("Requested release version %s is not valid for kubernetes version %s. Allowed release version is %s", r, n.Version, s.release())
	}
	return nil
}

// chooseTemplate finds the launch template.
func (s *Service) chooseTemplate(ctx context.Context, a about, n *Nodegroup, in *eksapi.CreateNodegroupInput) error {
	if in.LaunchTemplate == nil {
		if in.DiskSize == nil {
			n.VolumeGiB = defaultVolumeGiB
		}
		if n.VolumeGiB < 1 {
			return a.invalid("The diskSize %d must be at least 1 GiB", n.VolumeGiB)
		}
		return nil
	}
	switch {
	case in.DiskSize != nil:
		return a.invalid("Disk size must be specified within the launch template.")
	case in.RemoteAccess != nil:
		return a.invalid("Remote access configuration cannot be specified with a launch template.")
	}
	t, err := s.template(ctx, a, in.LaunchTemplate)
	if err != nil {
		return err
	}
	n.Template = &Template{t.ID, t.Name, t.Version}
	if t.InstanceType != "" {
		if len(in.InstanceTypes) > 0 {
			return a.invalid("Instance type should not be specified in both the launch template and the API request")
		}
		n.InstanceTypes = []string{t.InstanceType}
	}
	return nil
}

func (s *Service) template(ctx context.Context, a about, spec *eksapi.LaunchTemplateSpecification) (LaunchTemplate, error) {
	if (spec.Id == nil) == (spec.Name == nil) {
		return LaunchTemplate{}, a.invalid("Either the launch template's id or its name must be specified, and not both")
	}
	t, err := s.network.LaunchTemplate(ctx, api.Val(spec.Id), api.Val(spec.Name), api.Val(spec.Version))
	if errors.Is(err, store.ErrNotFound) {
		return t, a.invalid("Launch template %s%s with version '%s' could not be found", api.Val(spec.Id), api.Val(spec.Name), api.Val(spec.Version))
	}
	if e, ok := errors.AsType[*api.Error](err); ok {
		return t, a.invalid("%s", e.Message) // EC2's words
	}
	return t, err
}

// amiTypes are those that the region's image is.
var amiTypes = []eksapi.AMITypes{eksapi.AMITypesAl2023X8664Standard, eksapi.AMITypesAl2X8664}

func chooseTypes(a about, n *Nodegroup, in *eksapi.CreateNodegroupInput) error {
	if len(in.InstanceTypes) > 0 {
		n.InstanceTypes = in.InstanceTypes
	}
	if len(n.InstanceTypes) == 0 {
		n.InstanceTypes = []string{defaultInstanceType}
	}
	if len(n.InstanceTypes) > maxInstanceTypes {
		return a.invalid("Cannot specify more than %d instance types", maxInstanceTypes)
	}
	var unknown []string
	for _, t := range n.InstanceTypes {
		if _, err := instancetype.Lookup(t); err != nil {
			unknown = append(unknown, t)
		}
	}
	if len(unknown) > 0 {
		return a.invalid("The following supplied instance types do not exist: [%s]", strings.Join(unknown, ", "))
	}
	n.InstanceType = n.InstanceTypes[0]
	if n.AMIType == "" {
		n.AMIType = string(amiTypes[0])
	}
	if !slices.Contains(amiTypes, eksapi.AMITypes(n.AMIType)) {
		return a.invalid("The amiType %s is not available in this region: it has %v", n.AMIType, amiTypes)
	}
	switch in.CapacityType {
	case "", eksapi.CapacityTypesOnDemand:
	case eksapi.CapacityTypesSpot:
		n.Spot = true
	default:
		return a.invalid("The capacityType %s must be ON_DEMAND or SPOT", in.CapacityType)
	}
	return nil
}

func (s *Service) chooseAccess(ctx context.Context, a about, n *Nodegroup, c Cluster, in *eksapi.RemoteAccessConfig) error {
	if in == nil {
		return nil
	}
	if in.Ec2SshKey == nil {
		return a.invalid("ec2SshKey in remote-access can't be empty")
	}
	n.RemoteAccess = &RemoteAccess{KeyName: *in.Ec2SshKey, SourceGroups: in.SourceSecurityGroups}
	return s.checkSecurityGroups(ctx, a, c.VPC, in.SourceSecurityGroups)
}
