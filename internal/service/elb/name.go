package elb

import (
	"context"
	"fmt"
	"math/rand/v2"
	"strings"

	"github.com/tarn-eks/tarn/internal/arn"
)

// Domain is what the names of a region's load balancers end with:
// ap-northeast-2.elb.amazonaws.com.
func Domain(region string) string {
	domain := region + ".elb.amazonaws.com"
	if arn.Partition(region) == "aws-cn" {
		domain += ".cn"
	}
	return domain
}

// newDNSName is a load balancer's name in the DNS. The number makes sure that no
// client that knows a name of before finds another load balancer.
func (s *Service) newDNSName(name, scheme string) string {
	prefix := ""
	if scheme == Internal {
		prefix = "internal-"
	}
	return fmt.Sprintf("%s%s-%d.%s", prefix, name, 100_000_000+rand.IntN(2_000_000_000), Domain(s.scope.Region))
}

// ByDNSName finds the load balancer with a DNS name, with or without dualstack.
// before it and a dot at the end, in whatever case; ok is false if there is none.
func (s *Service) ByDNSName(ctx context.Context, name string) (lb LoadBalancer, ok bool, err error) {
	name = strings.TrimPrefix(strings.TrimSuffix(strings.ToLower(name), "."), "dualstack.")
	if !strings.HasSuffix(name, "."+Domain(s.scope.Region)) {
		return LoadBalancer{}, false, nil
	}
	items, _, err := s.all.List(ctx)
	if err != nil {
		return LoadBalancer{}, false, err
	}
	for _, it := range items {
		if strings.EqualFold(it.Value.DNSName, name) {
			return it.Value, true, nil
		}
	}
	return LoadBalancer{}, false, nil
}

// ARN names a load balancer.
func (s *Service) ARN(name string) string {
	return s.scope.Of("elasticloadbalancing", "loadbalancer/%s", name)
}

// InUse are the ARNs of the load balancers that have a listener with the
// certificate. ACM asks.
func (s *Service) InUse(ctx context.Context, certificate string) ([]string, error) {
	items, _, err := s.all.List(ctx)
	if err != nil {
		return nil, err
	}
	var users []string
	for _, it := range items {
		for _, l := range it.Value.Listeners {
			if l.Certificate == certificate {
				users = append(users, s.ARN(it.Value.Name))
				break
			}
		}
	}
	return users, nil
}
