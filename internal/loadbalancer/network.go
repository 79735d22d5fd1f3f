package loadbalancer

import (
	"context"
	crand "crypto/rand"
	"encoding/hex"
	"slices"

	"github.com/tarn-eks/tarn/internal/api"
)

const (
	// MinFree is how many free addresses a subnet must have for a load balancer.
	MinFree = 8
	// maxGroups is how many security groups a network interface has at most.
	maxGroups = 5
)

// NewID is the id of a new load balancer, or of a part of one: sixteen digits.
func NewID() string {
	var id [8]byte
	_, _ = crand.Read(id[:]) // never fails: crypto/rand
	return hex.EncodeToString(id[:])
}

// CheckSecurityGroups wants security groups that load balancers in a VPC may have, and
// returns each once. The errors are of the types that the API's version has: refused is
// for what the network does not allow, unknown for groups that do not exist.
func CheckSecurityGroups(ctx context.Context, n Network, vpc string, ids []string, refused, unknown api.ErrorType) ([]string, error) {
	ids = Unique(ids)
	if len(ids) == 0 {
		return nil, refused.New("A load balancer in a VPC must have at least one security group")
	}
	if len(ids) > maxGroups {
		return nil, refused.New("A load balancer cannot have more than %d security groups", maxGroups)
	}
	found, err := n.SecurityGroups(ctx, ids)
	if err != nil {
		return nil, err
	}
	for _, id := range ids {
		i := slices.IndexFunc(found, func(g SecurityGroup) bool { return g.ID == id })
		switch {
		case i < 0:
			return nil, unknown.New("One or more of the specified security groups do not exist.")
		case found[i].VPC != vpc:
			return nil, refused.New("One or more security groups are invalid")
		}
	}
	return ids, nil
}

// CheckGateway wants an internet gateway in the VPC of a load balancer that faces the
// internet; invalid is the type of the error.
func (p *Placement) CheckGateway(ctx context.Context, n Network, invalid api.ErrorType) error {
	if p.Scheme == Internal {
		return nil
	}
	ok, err := n.InternetGateway(ctx, p.VPC)
	if err == nil && !ok {
		err = invalid.New("VPC %s has no internet gateway", p.VPC)
	}
	return err
}
