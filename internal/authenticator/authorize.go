package authenticator

import (
	"context"
	"fmt"
	"slices"
	"strings"

	authorizationv1 "k8s.io/api/authorization/v1"
	rbacv1 "k8s.io/api/rbac/v1"
)

// reviewAccess answers whether the access policies of the user's access entry
// allow what it wants to do. It never denies: the API server's other authorizers
// have their own opinion.
func (h *Handler) reviewAccess(ctx context.Context, review *authorizationv1.SubjectAccessReview) error {
	review.Status = authorizationv1.SubjectAccessReviewStatus{}
	spec := &review.Spec
	canonicalARN, principalID := first(spec.Extra[extraCanonical]), first(spec.Extra[extraPrincipal])
	if canonicalARN == "" {
		return nil // not a user that reviewToken made
	}
	access, err := h.cfg.Access(ctx)
	if err != nil {
		err = fmt.Errorf("reading the access entries of cluster %s: %w", h.cfg.Cluster, err)
		h.cfg.Logger.Warn("no opinion on an access", "user", spec.User, "err", err)
		review.Status.EvaluationError = err.Error()
		return nil
	}
	entry, ok := access.canonicalEntry(canonicalARN, principalID)
	if !ok {
		return nil
	}
	if a, ok := entry.allows(spec); ok {
		binding := "ClusterRoleBinding"
		if !a.Cluster {
			binding = "RoleBinding"
		}
		review.Status.Allowed = true // the reason is EKS's, in the audit log
		review.Status.Reason = fmt.Sprintf("EKS Access Policy: allowed by %s %q of ClusterRole %q to User %q",
			binding, entry.PrincipalARN+"+"+a.Policy, a.Policy, principalID)
	}
	return nil
}

func first(values []string) string {
	if len(values) == 0 {
		return ""
	}
	return values[0]
}

// allows reports whether one of the entry's policies allows the access, and which.
func (e Entry) allows(spec *authorizationv1.SubjectAccessReviewSpec) (Association, bool) {
	for _, a := range e.Policies {
		name := a.Policy[strings.LastIndexByte(a.Policy, '/')+1:]
		if a.covers(spec) && slices.ContainsFunc(accessPolicies[name], func(r rbacv1.PolicyRule) bool { return ruleAllows(r, spec) }) {
			return a, true
		}
	}
	return Association{}, false
}

// covers reports whether the access is within the association's scope.
func (a Association) covers(spec *authorizationv1.SubjectAccessReviewSpec) bool {
	if a.Cluster {
		return true
	}
	r := spec.ResourceAttributes
	return r != nil && r.Namespace != "" &&
		slices.ContainsFunc(a.Namespaces, func(pattern string) bool { return glob(pattern, r.Namespace) })
}

// ruleAllows is RBAC's reading of a rule.
func ruleAllows(rule rbacv1.PolicyRule, spec *authorizationv1.SubjectAccessReviewSpec) bool {
	has := func(list []string, value string) bool {
		return slices.Contains(list, rbacv1.ResourceAll) || slices.Contains(list, value)
	}
	if n := spec.NonResourceAttributes; n != nil {
		return has(rule.Verbs, n.Verb) && has(rule.NonResourceURLs, n.Path)
	}
	r := spec.ResourceAttributes
	if r == nil {
		return false
	}
	resource := r.Resource
	if r.Subresource != "" {
		resource += "/" + r.Subresource
	}
	return has(rule.Verbs, r.Verb) && has(rule.APIGroups, r.Group) && has(rule.Resources, resource)
}

// glob matches names against patterns in which * stands for any characters.
func glob(pattern, name string) bool {
	head, rest, found := strings.Cut(pattern, "*")
	if !found {
		return pattern == name
	}
	if !strings.HasPrefix(name, head) {
		return false
	}
	name = name[len(head):]
	for {
		part, next, more := strings.Cut(rest, "*")
		if !more {
			return strings.HasSuffix(name, part)
		}
		i := strings.Index(name, part)
		if i < 0 {
			return false
		}
		name, rest = name[i+len(part):], next
	}
}
