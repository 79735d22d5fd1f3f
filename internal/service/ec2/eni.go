package ec2

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"slices"
	"time"

	"github.com/tarn-eks/tarn/internal/store"
	"github.com/tarn-eks/tarn/internal/subnet"
)

// NetworkInterface is an elastic network interface: addresses of a subnet and
// who has them.
type NetworkInterface struct {
	ID             string
	VPC            string
	Subnet         string
	Zone           string
	MAC            string
	Addresses      []netip.Addr // the primary one first
	SecurityGroups []string
	Description    string
	// Instance has it as its device 0; empty for those that services keep, as EKS
	// does. Attachment is eni-attach-…; empty while nobody has it.
	Instance   string
	Attachment string
	Attached   time.Time
	// Requester is who made it for its own use (amazon-eks, amazon-elb); empty
	// for those of instances.
	Requester   string
	NoDestCheck bool // sourceDestCheck is off
	Tags        map[string]string
	Created     time.Time
}

// InterfaceInput describes a network interface that a service wants.
type InterfaceInput struct {
	Subnet         string
	SecurityGroups []string // none: the VPC's default one
	Description    string
	Requester      string // who asks: amazon-eks, amazon-elb
	Tags           map[string]string
}

// CreateNetworkInterface makes a network interface with one address, for a
// service that lives in the subnet. Errors: store.ErrNotFound (subnet or group),
// subnet.ErrFull.
func (s *Service) CreateNetworkInterface(ctx context.Context, in InterfaceInput) (NetworkInterface, error) {
	s.allocating.Lock()
	defer s.allocating.Unlock()
	home, err := s.Subnets.Get(ctx, in.Subnet)
	if err != nil {
		return NetworkInterface{}, fmt.Errorf("creating a network interface: %w", err)
	}
	taken, err := s.takenAddresses(ctx, home.Value.VPC)
	if err != nil {
		return NetworkInterface{}, err
	}
	eni, err := s.newENI(home.Value, taken, 1)
	if err != nil {
		return NetworkInterface{}, fmt.Errorf("creating a network interface: %w", err)
	}
	eni.SecurityGroups, eni.Description, eni.Requester, eni.Tags = slices.Clone(in.SecurityGroups), in.Description, in.Requester, in.Tags
	if in.Requester != "" {
		eni.Attachment, eni.Attached = newID("eni-attach"), eni.Created
	}
	if len(eni.SecurityGroups) == 0 {
		g, err := s.defaultGroup(ctx, home.Value.VPC)
		if err != nil {
			return NetworkInterface{}, fmt.Errorf("creating a network interface: %w", err)
		}
		eni.SecurityGroups = []string{g.ID}
	}
	if _, err := store.Commit(ctx, s.client, append(s.uses(eni), s.ENIs.CreateOp(eni.ID, eni))...); err != nil {
		return NetworkInterface{}, fmt.Errorf("creating a network interface: %w", err)
	}
	return eni, nil
}

// DeleteNetworkInterface removes a service's interface, if it is there. One that
// an instance has goes with the instance.
func (s *Service) DeleteNetworkInterface(ctx context.Context, id string) error {
	item, err := s.ENIs.Get(ctx, id)
	switch {
	case errors.Is(err, store.ErrNotFound):
		return nil
	case err != nil:
		return err
	case item.Value.Instance != "":
		return fmt.Errorf("network interface %s is in use by %s", id, item.Value.Instance)
	}
	if err := s.ENIs.DeleteItem(ctx, item); err != nil && !errors.Is(err, store.ErrNotFound) {
		return fmt.Errorf("deleting network interface %s: %w", id, err)
	}
	return nil
}

// uses are the conditions under which an interface may be made: its subnet and
// groups exist.
func (s *Service) uses(eni NetworkInterface) []store.Op {
	ops := []store.Op{s.Subnets.MustExist(eni.Subnet)}
	for _, g := range eni.SecurityGroups {
		ops = append(ops, s.SecurityGroups.MustExist(g))
	}
	return ops
}

// defaultGroup finds the VPC's default security group.
func (s *Service) defaultGroup(ctx context.Context, vpc string) (SecurityGroup, error) {
	groups, err := list(ctx, s.SecurityGroups)
	if err != nil {
		return SecurityGroup{}, err
	}
	for _, g := range groups {
		if g.VPC == vpc && g.Name == defaultGroup {
			return g, nil
		}
	}
	return SecurityGroup{}, fmt.Errorf("the default security group of %s: %w", vpc, store.ErrNotFound)
}

// newENI chooses n free addresses, and adds them to those that are taken.
// s.allocating must be held until the interface is written.
func (s *Service) newENI(in Subnet, taken map[netip.Addr]bool, n int) (NetworkInterface, error) {
	addresses, err := subnet.Allocate(in.Network(), func(a netip.Addr) bool { return taken[a] }, n, s.random)
	if err != nil {
		return NetworkInterface{}, fmt.Errorf("choosing addresses in %s: %w", in.ID, err)
	}
	for _, a := range addresses {
		taken[a] = true
	}
	return NetworkInterface{
		ID: newID("eni"), VPC: in.VPC, Subnet: in.ID, Zone: in.Zone, MAC: newMAC().String(), Addresses: addresses, Created: s.now(),
	}, nil
}

// takenAddresses are those of the VPC that interfaces have. VPCs may overlap.
func (s *Service) takenAddresses(ctx context.Context, vpc string) (map[netip.Addr]bool, error) {
	enis, err := list(ctx, s.ENIs)
	if err != nil {
		return nil, fmt.Errorf("looking for free addresses: %w", err)
	}
	taken := map[netip.Addr]bool{}
	for _, eni := range enis {
		if eni.VPC != vpc {
			continue
		}
		for _, a := range eni.Addresses {
			taken[a] = true
		}
	}
	return taken, nil
}
