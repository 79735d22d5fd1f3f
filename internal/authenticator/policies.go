package authenticator

import (
	_ "embed"
	"fmt"
	"maps"
	"slices"
	"strings"

	rbacv1 "k8s.io/api/rbac/v1"
)

// policies.txt holds the access policies, a rule in each line below their names:
// API groups, resources, verbs. "core" is the group without a name.
//
// https://docs.aws.amazon.com/eks/latest/userguide/access-policy-permissions.html
//
//go:embed policies.txt
var policiesText string

var accessPolicies = func() map[string][]rbacv1.PolicyRule {
	p, err := parsePolicies(policiesText)
	if err != nil {
		panic(err)
	}
	return p
}()

// AccessPolicies are the names of the access policies that the cluster enforces,
// sorted. Their ARNs are arn:aws:eks::aws:cluster-access-policy/<name>.
func AccessPolicies() []string {
	return slices.Sorted(maps.Keys(accessPolicies))
}

func parsePolicies(text string) (map[string][]rbacv1.PolicyRule, error) {
	out := map[string][]rbacv1.PolicyRule{}
	name := ""
	for line := range strings.Lines(text) {
		fields := strings.Fields(line)
		switch {
		case len(fields) == 0 || fields[0] == "#":
		case len(fields) == 1:
			name = fields[0]
			out[name] = nil
		case len(fields) == 3 && name != "":
			list := func(i int) []string { return strings.Split(fields[i], ",") }
			rule := rbacv1.PolicyRule{Verbs: list(2)}
			if fields[0] == "nonResourceURLs" {
				rule.NonResourceURLs = list(1)
			} else {
				rule.APIGroups, rule.Resources = list(0), list(1)
			}
			for i, g := range rule.APIGroups {
				if g == "core" {
					rule.APIGroups[i] = ""
				}
			}
			out[name] = append(out[name], rule)
		default:
			return nil, fmt.Errorf("policies.txt: %q is neither a name nor a rule", strings.TrimSpace(line))
		}
	}
	return out, nil
}
