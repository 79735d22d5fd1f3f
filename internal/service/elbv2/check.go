package elbv2

import (
	"net/http"
	"regexp"
	"slices"
	"strings"

	"github.com/tarn-eks/tarn/internal/api"
	elbv2api "github.com/tarn-eks/tarn/internal/api/elbv2"
	"github.com/tarn-eks/tarn/internal/loadbalancer"
)

// The quotas that an account begins with, and what a resource may have.
//
// https://docs.aws.amazon.com/elasticloadbalancing/latest/application/load-balancer-limits.html
const (
	maxLoadBalancers = 50
	maxTargetGroups  = 3000
	maxListeners     = 50   // of a load balancer
	maxTargets       = 1000 // of a target group, and of a load balancer
	maxTags          = 50
	maxNamed         = 20
)

// among wants one of the values that the model lists.
func among[T ~string](member string, value T, values ...T) error {
	if slices.Contains(values, value) {
		return nil
	}
	names := make([]string, len(values))
	for i, v := range values {
		names[i] = string(v)
	}
	return constraint(member, value, "satisfy enum value set: [%s]", strings.Join(names, ", "))
}

// What both versions of the API have in common.
var (
	invalid    = loadbalancer.Invalid
	constraint = loadbalancer.Constraint
	between    = loadbalancer.Between
	unique     = loadbalancer.Unique
	sameSet    = loadbalancer.SameSet
)

// refused is for what the state of things does not allow.
func refused(format string, args ...any) *api.Error {
	return elbv2api.InvalidConfigurationRequestException.New(format, args...)
}

// notImplemented is for a part of an operation that Tarn does not have.
func notImplemented(format string, args ...any) *api.Error {
	return api.Errorf(http.StatusNotImplemented, "NotImplemented", "Tarn does not implement "+format, args...)
}

func noBalancer(arn string) *api.Error {
	return elbv2api.LoadBalancerNotFoundException.New("Load balancer '%s' not found", arn)
}

func noListener(arn string) *api.Error {
	return elbv2api.ListenerNotFoundException.New("Listener '%s' not found", arn)
}

func noGroup(arn string) *api.Error {
	return elbv2api.TargetGroupNotFoundException.New("Target groups '%s' not found", arn)
}

var nameChars = regexp.MustCompile(`^[a-zA-Z0-9-]+$`)

// checkName wants the name of what is said: The load balancer, or Target group.
func checkName(what, name string) error {
	switch {
	case name == "":
		return invalid("%s name cannot be empty", what)
	case len(name) > 32:
		return invalid("%s name '%s' cannot be longer than '32' characters", what, name)
	case !nameChars.MatchString(name):
		return invalid("%s name '%s' can only contain characters that are alphanumeric characters or hyphens(-)", what, name)
	case strings.HasPrefix(name, "-"), strings.HasSuffix(name, "-"):
		return invalid("%s name '%s' cannot begin or end with '-'", what, name)
	}
	return nil
}

// checkTags reads tags as a request gives them.
func checkTags(tags []elbv2api.Tag) (map[string]string, error) {
	read := map[string]string{}
	for _, t := range tags {
		key, value := api.Val(t.Key), api.Val(t.Value)
		if err := loadbalancer.CheckTag(key, value); err != nil {
			return nil, err
		}
		if _, ok := read[key]; ok {
			return nil, elbv2api.DuplicateTagKeysException.New("Tag key was specified more than once: %s", key)
		}
		read[key] = value
	}
	if len(read) > maxTags {
		return nil, tooManyTags()
	}
	return read, nil
}

func tooManyTags() error {
	return elbv2api.TooManyTagsException.New("The quota for the number of tags that can be assigned to a resource has been reached")
}
