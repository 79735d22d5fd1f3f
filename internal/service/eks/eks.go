// Package eks is the Amazon EKS service: clusters and node groups as the
// region's desired state. It checks, writes to the store and returns; the
// region runs the control plane, and loop/fleet turns node groups into
// instances.
package eks

import (
	"context"
	"crypto/rand"
	"encoding/hex"
	"errors"
	"fmt"
	"net/netip"
	"strings"
	"time"

	"github.com/google/uuid"
	clientv3 "go.etcd.io/etcd/client/v3"

	"github.com/tarn-eks/tarn/internal/store"
)

// Cluster is an EKS cluster.
type Cluster struct {
	Name    string
	ID      string // 32 hex digits of its endpoint's name
	Version string // Kubernetes
	VPC     string
	Subnets []string
	// Address is the control plane's own in the VPC.
	Address     netip.Addr
	ServiceCIDR netip.Prefix
	Tags        map[string]string
	Created     time.Time
}

// Taint is a Kubernetes taint.
type Taint struct{ Key, Value, Effect string }

// Nodegroup is a group of nodes of one type; it owns an Auto Scaling group.
type Nodegroup struct {
	Cluster      string
	Name         string
	Managed      bool
	GroupName    string // its Auto Scaling group's
	InstanceType string
	Min, Max     int
	Desired      int
	VolumeGiB    int
	Spot         bool
	Labels       map[string]string
	Taints       []Taint
	Tags         map[string]string
	Subnets      []string
	Created      time.Time
}

// Key is the node group's key in the store.
func (n Nodegroup) Key() string { return n.Cluster + "/" + n.Name }

// Scaling is the node group's size.
func (n Nodegroup) Scaling() Scaling { return Scaling{n.Min, n.Max, n.Desired} }

// Service is EKS of one region.
type Service struct {
	Clusters   *store.Collection[Cluster]
	Nodegroups *store.Collection[Nodegroup]
}

// New makes the service on the region's store.
func New(client *clientv3.Client) *Service {
	return &Service{
		Clusters:   store.NewCollection[Cluster](client, "clusters"),
		Nodegroups: store.NewCollection[Nodegroup](client, "nodegroups"),
	}
}

// CreateCluster makes a cluster and gives it its ID. It returns store.ErrExists
// when there is one of the name.
func (s *Service) CreateCluster(ctx context.Context, c Cluster) (Cluster, error) {
	var id [16]byte
	if _, err := rand.Read(id[:]); err != nil {
		return Cluster{}, fmt.Errorf("naming cluster %s: %w", c.Name, err)
	}
	c.ID = strings.ToUpper(hex.EncodeToString(id[:]))
	c.Created = time.Now().UTC()
	item, err := s.Clusters.Create(ctx, c.Name, c)
	if err != nil {
		return Cluster{}, fmt.Errorf("creating cluster %s: %w", c.Name, err)
	}
	return item.Value, nil
}

// CreateNodegroup makes a node group, with its Auto Scaling group's name.
func (s *Service) CreateNodegroup(ctx context.Context, n Nodegroup) (Nodegroup, error) {
	n.GroupName = "eks-" + n.Name + "-" + uuid.NewString()
	n.Created = time.Now().UTC()
	item, err := s.Nodegroups.Create(ctx, n.Key(), n)
	if err != nil {
		return Nodegroup{}, fmt.Errorf("creating node group %s: %w", n.Name, err)
	}
	return item.Value, nil
}

// Scaling is a node group's size.
type Scaling struct{ Min, Max, Desired int }

// ErrScaling says that a size cannot be.
var ErrScaling = errors.New("minimum, desired and maximum size must rise in this order")

// ScaleNodegroup sets a node group's size.
func (s *Service) ScaleNodegroup(ctx context.Context, cluster, name string, to Scaling) (Nodegroup, error) {
	if to.Min < 0 || to.Desired < to.Min || to.Max < to.Desired || to.Max < 1 {
		return Nodegroup{}, fmt.Errorf("scaling node group %s to %d, %d, %d: %w", name, to.Min, to.Desired, to.Max, ErrScaling)
	}
	item, err := s.Nodegroups.Modify(ctx, cluster+"/"+name, func(n *Nodegroup) error {
		n.Min, n.Max, n.Desired = to.Min, to.Max, to.Desired
		return nil
	})
	if err != nil {
		return Nodegroup{}, fmt.Errorf("scaling node group %s: %w", name, err)
	}
	return item.Value, nil
}
