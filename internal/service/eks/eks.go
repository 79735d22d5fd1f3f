// Package eks is the Amazon EKS service: clusters, node groups, add-ons and who
// has access, as the region's desired state. Its API handlers check, write to
// the store and return; loop/provisioning makes clusters and add-ons so, and
// loop/fleet turns node groups into instances. Both say how it went through the
// methods here that are no API operations. No other service, no data plane and
// no Kubernetes client may enter.
package eks

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"strings"
	"time"

	clientv3 "go.etcd.io/etcd/client/v3"

	eksapi "github.com/tarn-eks/tarn/internal/api/eks"
	"github.com/tarn-eks/tarn/internal/arn"
	"github.com/tarn-eks/tarn/internal/store"
)

// Config is what the service belongs to, and what it needs of others.
type Config struct {
	Client  *clientv3.Client
	Account string
	Region  string
	// Version is the Kubernetes version that clusters run: "1.37.2".
	Version string
	Network Network
	Roles   Roles
	Now     func() time.Time // nil is time.Now
}

// Subnet is what EKS looks at in a subnet.
type Subnet struct {
	ID, VPC, Zone string
	Free          int            // addresses
	VPCCIDRs      []netip.Prefix // of its VPC
}

// LaunchTemplate is what EKS looks at in a version of a launch template.
type LaunchTemplate struct {
	ID, Name, Version string // Version is a number: "3"
	InstanceType      string // "" where the template has none
}

// Network is what the service must know of EC2.
type Network interface {
	// Subnets returns those of the subnets that exist.
	Subnets(ctx context.Context, ids []string) ([]Subnet, error)
	// SecurityGroups returns the VPCs of those of the groups that exist, by id.
	SecurityGroups(ctx context.Context, ids []string) (map[string]string, error)
	// LaunchTemplate finds a version ("" and "$Default", "$Latest", or a number)
	// of the launch template with the id or, where that is "", with the name. What
	// does not exist is store.ErrNotFound, or an *api.Error of EC2's.
	LaunchTemplate(ctx context.Context, id, name, version string) (LaunchTemplate, error)
}

// Roles is what the service must know of IAM.
type Roles interface {
	// Trust says whether a role exists, and whether its trust policy lets an AWS
	// service ("eks.amazonaws.com") assume it.
	Trust(ctx context.Context, roleARN, service string) (exists, trusts bool, err error)
	// Exists says whether there is such a role or user.
	Exists(ctx context.Context, principalARN string) (bool, error)
}

// Service is EKS of one region.
type Service struct {
	Clusters      *store.Collection[Cluster]     // by name
	Nodegroups    *store.Collection[Nodegroup]   // by Nodegroup.Key
	Addons        *store.Collection[Addon]       // by Addon.Key
	AccessEntries *store.Collection[AccessEntry] // by AccessEntry.Key
	Updates       *store.Collection[Update]      // by Update.Key

	client  *clientv3.Client
	arns    arn.Scope
	version string // 1.37.2
	addons  []addonKind
	network Network
	roles   Roles
	now     func() time.Time
}

var _ eksapi.Handler = (*Service)(nil)

// New makes the service on the region's store.
func New(c Config) (*Service, error) {
	if strings.Count(c.Version, ".") != 2 {
		return nil, fmt.Errorf("making the EKS service: %q is no Kubernetes version like 1.37.2", c.Version)
	}
	s := &Service{
		Clusters:      store.NewCollection[Cluster](c.Client, "clusters"),
		Nodegroups:    store.NewCollection[Nodegroup](c.Client, "nodegroups"),
		Addons:        store.NewCollection[Addon](c.Client, "addons"),
		AccessEntries: store.NewCollection[AccessEntry](c.Client, "access-entries"),
		Updates:       store.NewCollection[Update](c.Client, "eks-updates"),
		client:        c.Client,
		arns:          arn.Scope{Account: c.Account, Region: c.Region},
		version:       c.Version,
		addons:        addonKinds(c.Version),
		network:       c.Network,
		roles:         c.Roles,
		now:           c.Now,
	}
	if s.now == nil {
		s.now = time.Now
	}
	return s, nil
}

// time is now, as precise as the API shows it.
func (s *Service) time() time.Time { return s.now().UTC().Truncate(time.Millisecond) }

// minor is a version's part that the API speaks of: 1.37 of 1.37.2.
func minor(version string) string {
	return version[:strings.LastIndexByte(version, '.')]
}

// Status is the state of a cluster, a node group or an add-on, in EKS's words.
type Status string

// The states. A cluster has the first five of them.
const (
	Creating     Status = "CREATING"
	Active       Status = "ACTIVE"
	Updating     Status = "UPDATING"
	Deleting     Status = "DELETING"
	Failed       Status = "FAILED"
	CreateFailed Status = "CREATE_FAILED"
	UpdateFailed Status = "UPDATE_FAILED"
	DeleteFailed Status = "DELETE_FAILED"
	Degraded     Status = "DEGRADED"
)

// Issue is a problem that the health of a resource shows. Code is one of the
// API's ClusterIssueCode, NodegroupIssueCode or AddonIssueCode.
type Issue struct {
	Code      string
	Message   string
	Resources []string
}

// request is what is kept of the call that made something, to know it again:
// its client token, and what it asked for.
type request struct {
	Token  string
	Params string
}

// again runs change until nobody was faster. It must begin anew each time, with
// reading.
func again[T any](change func() (T, error)) (v T, err error) {
	for range 100 { // more would be no contention
		v, err = change()
		if !errors.Is(err, store.ErrConflict) && !errors.Is(err, store.ErrExists) {
			break
		}
	}
	return v, err
}
