package ec2

import "context"

// What the region and its loops ask, and the API does not.

// ZoneID is the id of a zone ("apne2-az1"), or empty if AWS knows none.
func (s *Service) ZoneID(zone string) string { return s.zoneID(zone) }

// FreeAddresses are how many addresses nobody has, by subnet.
func (s *Service) FreeAddresses(ctx context.Context) (map[string]int, error) {
	subnets, err := list(ctx, s.Subnets)
	if err != nil {
		return nil, err
	}
	taken, err := s.takenBySubnet(ctx)
	if err != nil {
		return nil, err
	}
	free := map[string]int{}
	for _, sub := range subnets {
		free[sub.ID] = sub.Network().Free() - taken[sub.ID]
	}
	return free, nil
}

// DefaultGroup is the default security group of a VPC; store.ErrNotFound.
func (s *Service) DefaultGroup(ctx context.Context, vpc string) (SecurityGroup, error) {
	return s.defaultGroup(ctx, vpc)
}
