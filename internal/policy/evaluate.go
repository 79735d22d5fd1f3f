package policy

import "strings"

// Request is what is to be decided.
type Request struct {
	Principal Principal
	Action    string // ec2:DescribeInstances
	// Resources are the ARNs that the operation touches; every one must be allowed.
	// None, or "*", is for operations without a resource, which only a statement about
	// all resources matches.
	Resources []string
	// ResourceAccount owns the resources; "" means the principal's account.
	ResourceAccount string
	// Context holds the values of the condition keys. Keys are not case-sensitive;
	// keys in lower case save a copy. The keys that follow from the principal
	// (aws:PrincipalArn, aws:username …) need not be given.
	Context map[string][]string
}

// Source is a policy and the name that callers know it by.
type Source struct {
	ID     string
	Policy *Policy
}

// Policies are all that apply to a request. Service control policies do not exist here.
type Policies struct {
	Identity []Source // attached to the principal and its groups, managed and inline
	Boundary Source   // permissions boundary; none if its Policy is nil
	Session  []Source // passed to AssumeRole; none if empty
	Resource Source   // the resource's own, or the role's trust policy; none if nil
}

// Type says by which way a policy applies.
type Type int

// The types of policies.
const (
	IdentityBased Type = iota
	ResourceBased
	RoleTrust
	PermissionsBoundary
	Session
)

// Outcome of a decision.
type Outcome int

// The outcomes. The zero value denies.
const (
	ImplicitDeny Outcome = iota
	ExplicitDeny
	Allowed
)

// String is the simulator's EvalDecision.
func (o Outcome) String() string {
	switch o {
	case Allowed:
		return "allowed"
	case ExplicitDeny:
		return "explicitDeny"
	}
	return "implicitDeny"
}

// Match is a statement that brought a decision about.
type Match struct {
	Source     string // Source.ID
	Type       Type
	Sid        string
	Index      int // of the statement in its policy, from 0
	Start, End Position
}

// Decision is the answer to a Request.
type Decision struct {
	Outcome Outcome
	// Resource is the one that decided: the first that is denied. "" if the request
	// names none.
	Resource string
	// By is the type of policy that denies, or whose allowance is missing.
	By Type
	// Matched are the statements that deny, or those that allow. None for an implicit
	// denial.
	Matched []Match
	// Bounded is false where a permissions boundary is in force and does not allow.
	Bounded bool
}

// Allowed reports whether the request may go on.
func (d Decision) Allowed() bool { return d.Outcome == Allowed }

// Evaluate decides a request as IAM does: a denial anywhere wins; otherwise what the
// principal's policies allow within its boundary and its session, together with what
// the resource's policy grants.
//
// https://docs.aws.amazon.com/IAM/latest/UserGuide/reference_policies_evaluation-logic.html
func Evaluate(r *Request, p *Policies) Decision {
	e := evaluation{request: r, policies: p, action: foldCase(r.Action), context: lowerKeys(r.Context)}
	if len(r.Resources) == 0 {
		return e.decide("")
	}
	var d Decision
	for i, resource := range r.Resources {
		next := e.decide(resource)
		if i == 0 {
			d = next
		} else {
			d.Matched = merge(d.Matched, next.Matched)
		}
		if next.Outcome != Allowed {
			return next
		}
	}
	return d
}

func merge(a, b []Match) []Match {
	n := len(a)
	for _, m := range b {
		seen := false
		for _, old := range a[:n] {
			seen = seen || old == m
		}
		if !seen {
			a = append(a, m)
		}
	}
	return a
}

type evaluation struct {
	request  *Request
	policies *Policies
	action   string
	context  map[string][]string
	arn      [6]string
	resource *[6]string // arn, or nil for no resource
}

// lookup is the environment of patterns and conditions.
func (e *evaluation) lookup(key string) []string {
	if v, ok := e.context[key]; ok {
		return v
	}
	if strings.HasPrefix(key, "aws:") {
		if v, ok := e.request.Principal.key(key); ok {
			return []string{v}
		}
	}
	return nil
}

// lowerKeys returns m itself if its keys are in lower case already.
func lowerKeys(m map[string][]string) map[string][]string {
	for k := range m {
		if strings.ToLower(k) == k {
			continue
		}
		out := make(map[string][]string, len(m))
		for k, v := range m {
			out[strings.ToLower(k)] = append(out[strings.ToLower(k)], v...)
		}
		return out
	}
	return m
}

// verdict is what the policies of one type say.
type verdict struct {
	denies, allows []Match
	grant          grant // of the statements that allow, in policies with principals
}

func (e *evaluation) scan(v *verdict, s Source, t Type) {
	if s.Policy == nil {
		return
	}
	for _, st := range s.Policy.statements {
		g := noGrant
		if st.principals != nil {
			if g = st.principals.match(&e.request.Principal); g == noGrant {
				continue
			}
		}
		if !st.applies(e) {
			continue
		}
		m := Match{Source: s.ID, Type: t, Sid: st.sid, Index: st.index, Start: st.start, End: st.end}
		if st.effect == Deny {
			v.denies = append(v.denies, m)
			continue
		}
		v.allows = append(v.allows, m)
		v.grant = max(v.grant, g)
	}
}

// applies reports whether action, resource and conditions fit.
func (s *statement) applies(e *evaluation) bool {
	if !s.actions.match(e.action) || s.resources != nil && !s.resources.match(e.resource, e) {
		return false
	}
	for _, c := range s.conditions {
		if !c.holds(e) {
			return false
		}
	}
	return true
}

func (e *evaluation) decide(resource string) Decision {
	e.resource = nil
	if arn, ok := parseARN(resource); ok {
		e.arn = arn
		e.resource = &e.arn
	}
	p := e.policies
	var identity, onResource, boundary, session verdict
	resourceType := ResourceBased
	if p.Resource.Policy != nil && p.Resource.Policy.kind == TrustPolicy {
		resourceType = RoleTrust
	}
	for _, s := range p.Identity {
		e.scan(&identity, s, IdentityBased)
	}
	e.scan(&onResource, p.Resource, resourceType)
	e.scan(&boundary, p.Boundary, PermissionsBoundary)
	for _, s := range p.Session {
		e.scan(&session, s, Session)
	}

	d := Decision{Resource: resource, Bounded: p.Boundary.Policy == nil || len(boundary.allows) > 0 && len(boundary.denies) == 0}
	for _, v := range []struct {
		denies []Match
		by     Type
	}{
		{identity.denies, IdentityBased},
		{onResource.denies, resourceType},
		{boundary.denies, PermissionsBoundary},
		{session.denies, Session},
	} {
		if len(v.denies) == 0 {
			continue
		}
		if d.Outcome != ExplicitDeny {
			d.Outcome, d.By = ExplicitDeny, v.by
		}
		d.Matched = append(d.Matched, v.denies...)
	}
	if d.Outcome == ExplicitDeny {
		return d
	}

	allow := func(matches ...[]Match) Decision {
		d.Outcome = Allowed
		for _, m := range matches {
			d.Matched = append(d.Matched, m...)
		}
		return d
	}
	missing := func(by Type) Decision {
		d.By = by
		return d
	}

	principal := &e.request.Principal
	switch principal.Type {
	case Anonymous, Service, WebIdentity: // they have no policies of their own
		if onResource.grant == noGrant {
			return missing(resourceType)
		}
		return allow(onResource.allows)
	}
	crossAccount := e.request.ResourceAccount != "" && e.request.ResourceAccount != principal.Account
	// A role is assumed, and another account's resource used, only by leave of its policy.
	if (crossAccount || resourceType == RoleTrust) && onResource.grant == noGrant {
		return missing(resourceType)
	}
	if principal.Type == Root { // the account may do all that nobody denies it
		return allow(identity.allows, onResource.allows)
	}
	if !crossAccount && onResource.grant == directly {
		return allow(identity.allows, onResource.allows)
	}
	needsIdentity := crossAccount || onResource.grant < viaRole
	switch {
	case needsIdentity && len(identity.allows) == 0:
		return missing(IdentityBased)
	case p.Boundary.Policy != nil && len(boundary.allows) == 0:
		return missing(PermissionsBoundary)
	case len(p.Session) > 0 && len(session.allows) == 0:
		return missing(Session)
	}
	return allow(identity.allows, onResource.allows)
}
