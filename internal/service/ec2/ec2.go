// Package ec2 is the Amazon EC2 service: VPCs and what is in them, security
// groups, instances, launch templates, as the region's desired state. It checks,
// writes to the store and returns; loops make instances run and rules hold. It
// may not touch a namespace, process or cgroup.
package ec2

import (
	"context"
	crand "crypto/rand"
	"encoding/binary"
	"encoding/hex"
	"errors"
	"fmt"
	"math/rand/v2"
	"net"
	"sync"
	"time"

	clientv3 "go.etcd.io/etcd/client/v3"

	"github.com/tarn-eks/tarn/internal/arn"
	"github.com/tarn-eks/tarn/internal/store"
)

// Config says where the service keeps its state, and for whom.
type Config struct {
	Client *clientv3.Client
	// Account and Region are those of everything that is made.
	Account, Region string
	// Profiles finds instance profiles. Without it no instance can have one.
	Profiles Profiles
	// Console shows instances' consoles. Without it they have shown nothing.
	Console Console
	// Now is the clock; nil is time.Now.
	Now func() time.Time
}

// Profile is an instance profile, as far as EC2 needs it.
type Profile struct{ ARN, ID, Name, RoleARN string }

// Profiles is what EC2 asks of IAM.
type Profiles interface {
	// InstanceProfile finds an instance profile by its name or ARN; its error
	// wraps store.ErrNotFound if there is none.
	InstanceProfile(ctx context.Context, nameOrARN string) (Profile, error)
}

// Service is EC2 of one region. It implements the API's Handler.
type Service struct {
	VPCs             *store.Collection[VPC]
	Subnets          *store.Collection[Subnet]
	RouteTables      *store.Collection[RouteTable]
	InternetGateways *store.Collection[InternetGateway]
	SecurityGroups   *store.Collection[SecurityGroup]
	ENIs             *store.Collection[NetworkInterface]
	Instances        *store.Collection[Instance]
	LaunchTemplates  *store.Collection[LaunchTemplate]
	KeyPairs         *store.Collection[KeyPair]

	instances *store.Cached[Instance]      // reads Instances
	groups    *store.Cached[SecurityGroup] // reads SecurityGroups
	tokens    *store.Collection[clientToken]
	versions  *store.Collection[templateVersion]

	client   *clientv3.Client
	scope    arn.Scope
	region   string
	profiles Profiles
	console  Console
	clock    func() time.Time
	random   *rand.Rand

	// allocating is held while something is decided that rests on more than the
	// items that are written: free addresses, blocks that must not overlap, names
	// that must be new, things that nobody may use. It guards random and swept.
	allocating sync.Mutex
	swept      time.Time // when old client tokens were last removed
}

// New makes the service on the region's store.
func New(c Config) (*Service, error) {
	if c.Client == nil || c.Region == "" {
		return nil, errors.New("EC2 needs a store and a region")
	}
	var seed [16]byte
	if _, err := crand.Read(seed[:]); err != nil {
		return nil, fmt.Errorf("seeding the choice of addresses: %w", err)
	}
	if c.Now == nil {
		c.Now = time.Now
	}
	s := &Service{
		VPCs:             store.NewCollection[VPC](c.Client, "vpcs"),
		Subnets:          store.NewCollection[Subnet](c.Client, "subnets"),
		RouteTables:      store.NewCollection[RouteTable](c.Client, "route-tables"),
		InternetGateways: store.NewCollection[InternetGateway](c.Client, "internet-gateways"),
		SecurityGroups:   store.NewCollection[SecurityGroup](c.Client, "security-groups"),
		ENIs:             store.NewCollection[NetworkInterface](c.Client, "network-interfaces"),
		Instances:        store.NewCollection[Instance](c.Client, "instances"),
		LaunchTemplates:  store.NewCollection[LaunchTemplate](c.Client, "launch-templates"),
		KeyPairs:         store.NewCollection[KeyPair](c.Client, "key-pairs"),
		versions:         store.NewCollection[templateVersion](c.Client, "launch-template-versions"),
		tokens:           store.NewCollection[clientToken](c.Client, "ec2-client-tokens"),
		client:           c.Client,
		scope:            arn.Scope{Account: c.Account, Region: c.Region},
		region:           c.Region,
		profiles:         c.Profiles,
		console:          c.Console,
		clock:            c.Now,
		random:           rand.New(rand.NewPCG(binary.LittleEndian.Uint64(seed[:8]), binary.LittleEndian.Uint64(seed[8:]))),
	}
	s.instances, s.groups = store.NewCached(s.Instances), store.NewCached(s.SecurityGroups)
	return s, nil
}

// allInstances are the instances, by id. They are others' too: not to be changed.
func (s *Service) allInstances(ctx context.Context) ([]Instance, error) {
	items, _, err := s.instances.List(ctx)
	return values(items), err
}

// now is the time as EC2 keeps it: UTC, in whole seconds.
func (s *Service) now() time.Time { return s.clock().UTC().Truncate(time.Second) }

// arnOf names a resource of EC2: arnOf("subnet", "subnet-0123").
func (s *Service) arnOf(resource, id string) string { return s.scope.Of("ec2", "%s/%s", resource, id) }

// values are the items of a list without their keys.
func values[T any](items []store.Item[T]) []T {
	v := make([]T, len(items))
	for i := range items {
		v[i] = items[i].Value
	}
	return v
}

// list is all that a collection holds, by key.
func list[T any](ctx context.Context, c *store.Collection[T]) ([]T, error) {
	items, _, err := c.List(ctx, "")
	return values(items), err
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
