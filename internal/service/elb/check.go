package elb

import (
	"regexp"
	"strings"

	"github.com/tarn-eks/tarn/internal/api"
	elbapi "github.com/tarn-eks/tarn/internal/api/elb"
	"github.com/tarn-eks/tarn/internal/loadbalancer"
)

// The quotas of Classic Load Balancers that an account begins with, and what a
// load balancer may have.
const (
	maxLoadBalancers = 20
	maxListeners     = 100
	maxInstances     = 1000
	maxPolicies      = 98
	maxTags          = 50
	maxNamed         = 20
)

// What both versions of the API have in common.
var (
	invalid    = loadbalancer.Invalid
	constraint = loadbalancer.Constraint
	between    = loadbalancer.Between
	unique     = loadbalancer.Unique
	sameSet    = loadbalancer.SameSet
)

// refused is for what the load balancer's state does not allow.
func refused(format string, args ...any) *api.Error {
	return elbapi.InvalidConfigurationRequestException.New(format, args...)
}

func notFound(name string) *api.Error {
	return elbapi.AccessPointNotFoundException.New("There is no ACTIVE Load Balancer named '%s'", name)
}

var nameChars = regexp.MustCompile(`^[a-zA-Z0-9-]+$`) // of load balancers and policies

// checkName wants the name of a load balancer.
func checkName(name string) error {
	switch {
	case name == "":
		return invalid("LoadBalancer name cannot be empty")
	case len(name) > 32:
		return invalid("LoadBalancer name cannot be longer than 32 characters")
	case !nameChars.MatchString(name):
		return invalid("LoadBalancer name cannot contain characters that are not letters, or digits or the dash.")
	case strings.HasPrefix(name, "-"), strings.HasSuffix(name, "-"):
		return invalid("LoadBalancer name cannot begin or end with the dash.")
	}
	return nil
}

// checkTags reads tags as a request gives them.
func checkTags(tags []elbapi.Tag) (map[string]string, error) {
	read := map[string]string{}
	for _, t := range tags {
		key, value := api.Val(t.Key), api.Val(t.Value)
		if err := loadbalancer.CheckTag(key, value); err != nil {
			return nil, err
		}
		if _, ok := read[key]; ok {
			return nil, elbapi.DuplicateTagKeysException.New("Tag key was specified more than once: %s", key)
		}
		read[key] = value
	}
	return read, nil
}

func tooManyTags() error {
	return elbapi.TooManyTagsException.New("The quota for the number of tags that can be assigned to a load balancer has been reached")
}
