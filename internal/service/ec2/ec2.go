// Package ec2 is the Amazon EC2 service: VPCs, subnets and instances as the
// region's desired state. It checks, writes to the store and returns; loop/booting
// makes instances run. It may not touch a namespace, process or cgroup.
package ec2

import (
	"context"
	crand "crypto/rand"
	"encoding/binary"
	"encoding/hex"
	"errors"
	"fmt"
	"maps"
	"math/rand/v2"
	"net"
	"net/netip"
	"strings"
	"sync"
	"time"

	clientv3 "go.etcd.io/etcd/client/v3"

	"github.com/tarn-eks/tarn/internal/instancetype"
	"github.com/tarn-eks/tarn/internal/store"
	"github.com/tarn-eks/tarn/internal/subnet"
)

// VPC is a virtual private cloud.
type VPC struct {
	ID      string
	CIDR    netip.Prefix
	Tags    map[string]string
	Created time.Time
}

// Subnet is a part of a VPC in one availability zone.
type Subnet struct {
	ID     string
	VPC    string
	Zone   string
	CIDR   netip.Prefix
	Public bool
	Tags   map[string]string
}

// Network is the subnet in the terms of package subnet.
func (s Subnet) Network() subnet.Subnet {
	return subnet.Subnet{CIDR: s.CIDR, Zone: s.Zone, Public: s.Public}
}

// State is an instance's state, in EC2's words.
type State string

// States of an instance.
const (
	Pending      State = "pending"
	Running      State = "running"
	ShuttingDown State = "shutting-down"
	Terminated   State = "terminated"
)

// Taint is a Kubernetes taint.
type Taint struct{ Key, Value, Effect string }

// Bootstrap is what an EKS node's user data tells it.
type Bootstrap struct {
	Cluster   string
	Nodegroup string
	Labels    map[string]string
	Taints    []Taint
	MaxPods   int
}

// Instance is an EC2 instance.
type Instance struct {
	ID             string
	Type           string
	VPC            string
	Subnet         string
	Zone           string
	PrivateDNSName string
	ENI            string
	MAC            string
	Address        netip.Addr   // primary private address
	PodAddresses   []netip.Addr // secondary private addresses
	VolumeGiB      int
	Bootstrap      Bootstrap
	Tags           map[string]string
	State          State
	StateReason    string
	Launched       time.Time
	Ended          time.Time // when it was terminated
}

// NetworkInterface is an elastic network interface: addresses of a subnet and
// who has them.
type NetworkInterface struct {
	ID          string
	VPC         string
	Subnet      string
	MAC         string
	Addresses   []netip.Addr // the primary one first
	Description string
	Instance    string // empty for those that services keep, as EKS does
}

// Alive says that the instance runs or will.
func (i Instance) Alive() bool { return i.State == Pending || i.State == Running }

// Service is EC2 of one region.
type Service struct {
	VPCs      *store.Collection[VPC]
	Subnets   *store.Collection[Subnet]
	Instances *store.Collection[Instance]
	ENIs      *store.Collection[NetworkInterface]

	client *clientv3.Client
	region string
	random *rand.Rand

	allocating sync.Mutex // one at a time chooses addresses; guards random
}

// New makes the service on the region's store.
func New(client *clientv3.Client, region string) (*Service, error) {
	var seed [16]byte
	if _, err := crand.Read(seed[:]); err != nil {
		return nil, fmt.Errorf("seeding the choice of addresses: %w", err)
	}
	return &Service{
		VPCs:      store.NewCollection[VPC](client, "vpcs"),
		Subnets:   store.NewCollection[Subnet](client, "subnets"),
		Instances: store.NewCollection[Instance](client, "instances"),
		ENIs:      store.NewCollection[NetworkInterface](client, "network-interfaces"),
		client:    client,
		region:    region,
		random:    rand.New(rand.NewPCG(binary.LittleEndian.Uint64(seed[:8]), binary.LittleEndian.Uint64(seed[8:]))),
	}, nil
}

// CreateVPC makes a VPC with the subnets that eksctl gives it in the zones.
func (s *Service) CreateVPC(ctx context.Context, cidr netip.Prefix, zones []string, tags map[string]string) (VPC, []Subnet, error) {
	layout, err := subnet.Layout(cidr, zones)
	if err != nil {
		return VPC{}, nil, fmt.Errorf("creating a VPC: %w", err)
	}
	v := VPC{ID: newID("vpc"), CIDR: cidr, Tags: tags, Created: time.Now().UTC()}
	ops := []store.Op{s.VPCs.CreateOp(v.ID, v)}
	subnets := make([]Subnet, len(layout))
	for i, l := range layout {
		subnets[i] = Subnet{ID: newID("subnet"), VPC: v.ID, Zone: l.Zone, CIDR: l.CIDR, Public: l.Public, Tags: tags}
		ops = append(ops, s.Subnets.CreateOp(subnets[i].ID, subnets[i]))
	}
	if _, err := store.Commit(ctx, s.client, ops...); err != nil {
		return VPC{}, nil, fmt.Errorf("creating a VPC: %w", err)
	}
	return v, subnets, nil
}

// RunInput describes instances to run.
type RunInput struct {
	Type      string
	Subnet    string
	Count     int
	VolumeGiB int
	Bootstrap Bootstrap
	Tags      map[string]string
}

// RunInstances writes new instances in state pending. All of them are made or
// none is. Errors: *instancetype.UnknownError, store.ErrNotFound (subnet),
// subnet.ErrFull.
func (s *Service) RunInstances(ctx context.Context, in RunInput) ([]Instance, error) {
	t, err := instancetype.Lookup(in.Type)
	if err != nil {
		return nil, err
	}
	if in.Count < 1 {
		return nil, errors.New("running instances: at least one must be asked for")
	}
	home, err := s.Subnets.Get(ctx, in.Subnet)
	if err != nil {
		return nil, fmt.Errorf("running instances: %w", err)
	}
	maxPods := in.Bootstrap.MaxPods
	if maxPods == 0 {
		maxPods = t.MaxPods()
	}
	s.allocating.Lock()
	defer s.allocating.Unlock()
	taken, err := s.takenAddresses(ctx)
	if err != nil {
		return nil, err
	}
	var (
		instances []Instance
		ops       []store.Op
	)
	for range in.Count {
		// An address for every pod: on EKS two of the pods that a type allows
		// (aws-node, kube-proxy) use the host's, but here they are no pods.
		eni, err := s.newENI(home.Value, taken, 1+maxPods)
		if err != nil {
			return nil, fmt.Errorf("running instances: %w", err)
		}
		i := Instance{
			ID:             newID("i"),
			Type:           in.Type,
			VPC:            home.Value.VPC,
			Subnet:         in.Subnet,
			Zone:           home.Value.Zone,
			PrivateDNSName: s.privateDNSName(eni.Addresses[0]),
			ENI:            eni.ID,
			MAC:            eni.MAC,
			Address:        eni.Addresses[0],
			PodAddresses:   eni.Addresses[1:],
			VolumeGiB:      in.VolumeGiB,
			Bootstrap:      in.Bootstrap,
			Tags:           maps.Clone(in.Tags),
			State:          Pending,
			Launched:       time.Now().UTC(),
		}
		eni.Instance = i.ID
		i.Bootstrap.MaxPods = maxPods
		instances = append(instances, i)
		ops = append(ops, s.Instances.CreateOp(i.ID, i), s.ENIs.CreateOp(eni.ID, eni))
	}
	if _, err := store.Commit(ctx, s.client, ops...); err != nil {
		return nil, fmt.Errorf("running instances: %w", err)
	}
	return instances, nil
}

// TerminateInstance asks for an instance's end. One that has ended or is about
// to is left as it is.
func (s *Service) TerminateInstance(ctx context.Context, id, reason string) error {
	_, err := s.Instances.Modify(ctx, id, func(i *Instance) error {
		if i.Alive() {
			i.State, i.StateReason = ShuttingDown, reason
		}
		return nil
	})
	if err != nil {
		return fmt.Errorf("terminating %s: %w", id, err)
	}
	return nil
}

// MarkRunning notes that a pending instance runs.
func (s *Service) MarkRunning(ctx context.Context, id string) error {
	_, err := s.Instances.Modify(ctx, id, func(i *Instance) error {
		if i.State == Pending {
			i.State = Running
		}
		return nil
	})
	return err
}

// MarkTerminated notes that an instance has ended, and frees its addresses.
func (s *Service) MarkTerminated(ctx context.Context, id string) error {
	item, err := s.Instances.Get(ctx, id)
	if err != nil {
		return err
	}
	if item.Value.State == Terminated {
		return nil
	}
	item.Value.State, item.Value.Ended = Terminated, time.Now().UTC()
	ops := []store.Op{s.Instances.UpdateOp(item)}
	eni, err := s.ENIs.Get(ctx, item.Value.ENI)
	switch {
	case err == nil:
		ops = append(ops, s.ENIs.DeleteOp(eni))
	case !errors.Is(err, store.ErrNotFound):
		return err
	}
	_, err = store.Commit(ctx, s.client, ops...)
	return err
}

// CreateNetworkInterface makes a network interface with one address, for a
// service that lives in the subnet.
func (s *Service) CreateNetworkInterface(ctx context.Context, subnet, description string) (NetworkInterface, error) {
	s.allocating.Lock()
	defer s.allocating.Unlock()
	in, err := s.Subnets.Get(ctx, subnet)
	if err != nil {
		return NetworkInterface{}, fmt.Errorf("creating a network interface: %w", err)
	}
	taken, err := s.takenAddresses(ctx)
	if err != nil {
		return NetworkInterface{}, err
	}
	eni, err := s.newENI(in.Value, taken, 1)
	if err != nil {
		return NetworkInterface{}, fmt.Errorf("creating a network interface: %w", err)
	}
	eni.Description = description
	if _, err := s.ENIs.Create(ctx, eni.ID, eni); err != nil {
		return NetworkInterface{}, fmt.Errorf("creating a network interface: %w", err)
	}
	return eni, nil
}

// newENI chooses n free addresses, and adds them to those that are taken.
func (s *Service) newENI(in Subnet, taken map[netip.Addr]bool, n int) (NetworkInterface, error) {
	addresses, err := subnet.Allocate(in.Network(), func(a netip.Addr) bool { return taken[a] }, n, s.random)
	if err != nil {
		return NetworkInterface{}, fmt.Errorf("choosing addresses in %s: %w", in.ID, err)
	}
	for _, a := range addresses {
		taken[a] = true
	}
	return NetworkInterface{ID: newID("eni"), VPC: in.VPC, Subnet: in.ID, MAC: newMAC().String(), Addresses: addresses}, nil
}

func (s *Service) takenAddresses(ctx context.Context) (map[netip.Addr]bool, error) {
	items, _, err := s.ENIs.List(ctx, "")
	if err != nil {
		return nil, fmt.Errorf("looking for free addresses: %w", err)
	}
	taken := map[netip.Addr]bool{}
	for _, item := range items {
		for _, a := range item.Value.Addresses {
			taken[a] = true
		}
	}
	return taken, nil
}

// privateDNSName is an instance's IP-based name, and its node's.
func (s *Service) privateDNSName(a netip.Addr) string {
	domain := s.region + ".compute.internal"
	if s.region == "us-east-1" {
		domain = "ec2.internal"
	}
	return "ip-" + strings.ReplaceAll(a.String(), ".", "-") + "." + domain
}

// newID is a resource id as EC2 makes them: 17 hex digits after the kind.
func newID(kind string) string {
	var b [9]byte
	_, _ = crand.Read(b[:]) // never fails: crypto/rand
	return kind + "-" + hex.EncodeToString(b[:])[:17]
}

// newMAC is a locally administered address that begins as EC2's do.
func newMAC() net.HardwareAddr {
	mac := net.HardwareAddr{0x06, 0, 0, 0, 0, 0}
	_, _ = crand.Read(mac[1:])
	return mac
}
