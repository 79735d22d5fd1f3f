package policy

import (
	"slices"
	"strings"
)

// Simulation is a question to IAM's policy simulator: every action on every resource.
type Simulation struct {
	Principal       Principal
	Policies        Policies
	Actions         []string
	Resources       []string // none means "*"
	ResourceAccount string
	Context         map[string][]string
}

// Result is the simulator's answer for one action on one resource.
type Result struct {
	Action   string
	Resource string
	// Decision is allowed, explicitDeny or implicitDeny.
	Decision string
	// Matched are the statements that decided, with their places in their documents.
	Matched []Match
	// MissingContext are the condition keys that the policies refer to and that the
	// simulation did not give.
	MissingContext []string
	// HasBoundary says that a permissions boundary was part of the question, and
	// AllowedByBoundary what it says.
	HasBoundary, AllowedByBoundary bool
}

// Simulate answers in the order of actions, and of resources within an action.
func Simulate(s Simulation) []Result {
	resources := s.Resources
	if len(resources) == 0 {
		resources = []string{"*"}
	}
	missing := s.missing()
	results := make([]Result, 0, len(s.Actions)*len(resources))
	for _, action := range s.Actions {
		for _, resource := range resources {
			d := Evaluate(&Request{
				Principal: s.Principal, Action: action, Resources: []string{resource},
				ResourceAccount: s.ResourceAccount, Context: s.Context,
			}, &s.Policies)
			results = append(results, Result{
				Action: action, Resource: resource, Decision: d.Outcome.String(), Matched: d.Matched,
				MissingContext: missing,
				HasBoundary:    s.Policies.Boundary.Policy != nil, AllowedByBoundary: d.Bounded,
			})
		}
	}
	return results
}

func (s *Simulation) missing() []string {
	var policies []*Policy
	for _, source := range slices.Concat(s.Policies.Identity, s.Policies.Session, []Source{s.Policies.Boundary, s.Policies.Resource}) {
		if source.Policy != nil {
			policies = append(policies, source.Policy)
		}
	}
	e := evaluation{request: &Request{Principal: s.Principal}, context: lowerKeys(s.Context)}
	return slices.DeleteFunc(ContextKeys(policies...), func(key string) bool {
		return len(e.lookup(strings.ToLower(key))) > 0
	})
}
