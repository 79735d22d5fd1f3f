package authenticator

import (
	"context"
	"errors"
	"slices"
	"strings"
	"testing"

	authorizationv1 "k8s.io/api/authorization/v1"
)

const policyARN = "arn:aws:eks::aws:cluster-access-policy/"

// access is "verb group/resource[/sub] namespace", with "core" for no group, or
// "verb /path".
func access(text string) authorizationv1.SubjectAccessReviewSpec {
	f := strings.Fields(text)
	if strings.HasPrefix(f[1], "/") {
		return authorizationv1.SubjectAccessReviewSpec{NonResourceAttributes: &authorizationv1.NonResourceAttributes{Verb: f[0], Path: f[1]}}
	}
	parts := strings.SplitN(f[1], "/", 3)
	r := &authorizationv1.ResourceAttributes{Verb: f[0], Group: parts[0], Version: "v1", Resource: parts[1]}
	if r.Group == "core" {
		r.Group = ""
	}
	if len(parts) == 3 {
		r.Subresource = parts[2]
	}
	if len(f) == 3 {
		r.Namespace = f[2]
	}
	return authorizationv1.SubjectAccessReviewSpec{ResourceAttributes: r}
}

func TestAccessPolicies(t *testing.T) {
	const (
		clusterAdmin = "AmazonEKSClusterAdminPolicy"
		admin        = "AmazonEKSAdminPolicy"
		edit         = "AmazonEKSEditPolicy"
		view         = "AmazonEKSViewPolicy"
		adminView    = "AmazonEKSAdminViewPolicy"
		secretReader = "AmazonEKSSecretReaderPolicy"
	)
	all := []string{adminView, admin, clusterAdmin, edit, secretReader, view}
	if got := AccessPolicies(); !slices.Equal(got, []string{admin, adminView, clusterAdmin, edit, secretReader, view}) {
		t.Errorf("policies %v", got)
	}
	for text, want := range map[string][]string{
		"get core/pods dev":                                         {adminView, admin, clusterAdmin, edit, view},
		"list core/pods":                                            {adminView, admin, clusterAdmin, edit, view},
		"get core/pods/log dev":                                     {adminView, admin, clusterAdmin, edit, view},
		"get core/secrets dev":                                      {adminView, admin, clusterAdmin, edit, secretReader},
		"delete core/secrets dev":                                   {admin, clusterAdmin, edit},
		"create core/pods dev":                                      {admin, clusterAdmin, edit},
		"create core/pods/exec dev":                                 {admin, clusterAdmin, edit},
		"create core/pods/eviction dev":                             {clusterAdmin},
		"patch apps/deployments dev":                                {admin, clusterAdmin, edit},
		"update apps/deployments/scale dev":                         {admin, clusterAdmin, edit},
		"get apps/deployments/scale dev":                            {adminView, admin, clusterAdmin, edit, view},
		"get apps/pods dev":                                         {adminView, clusterAdmin},
		"create rbac.authorization.k8s.io/roles dev":                {admin, clusterAdmin},
		"bind rbac.authorization.k8s.io/roles dev":                  {clusterAdmin},
		"get rbac.authorization.k8s.io/roles dev":                   {adminView, admin, clusterAdmin},
		"create rbac.authorization.k8s.io/clusterroles":             {clusterAdmin},
		"impersonate core/serviceaccounts dev":                      {admin, clusterAdmin, edit},
		"impersonate core/users":                                    {clusterAdmin},
		"get core/nodes":                                            {adminView, clusterAdmin},
		"create core/namespaces":                                    {clusterAdmin},
		"get core/namespaces dev":                                   {adminView, admin, clusterAdmin, edit, view},
		"create networking.k8s.io/ingresses dev":                    {admin, clusterAdmin, edit},
		"create batch/jobs dev":                                     {admin, clusterAdmin, edit},
		"list autoscaling/horizontalpodautoscalers dev":             {adminView, admin, clusterAdmin, edit, view},
		"watch discovery.k8s.io/endpointslices dev":                 {adminView, admin, clusterAdmin, edit, view},
		"deletecollection policy/poddisruptionbudgets dev":          {admin, clusterAdmin, edit},
		"get /metrics":                                              {clusterAdmin},
		"get metrics.k8s.io/pods dev":                               {adminView, clusterAdmin},
		"create authorization.k8s.io/localsubjectaccessreviews dev": {admin, clusterAdmin},
	} {
		spec := access(text)
		for _, p := range all {
			e := Entry{Policies: []Association{{Policy: policyARN + p, Cluster: true}}}
			if _, ok := e.allows(&spec); ok != slices.Contains(want, p) {
				t.Errorf("%s: %s allows: %t", text, p, ok)
			}
		}
	}
}

func TestAccessScope(t *testing.T) {
	scoped := func(namespaces ...string) Association {
		return Association{Policy: policyARN + "AmazonEKSClusterAdminPolicy", Namespaces: namespaces}
	}
	for _, c := range []struct {
		a    Association
		text string
		want bool
	}{
		{scoped("dev"), "get core/pods dev", true},
		{scoped("dev"), "get core/pods prod", false},
		{scoped("dev"), "get core/pods development", false},
		{scoped("dev"), "get core/pods", false},
		{scoped("dev"), "get core/nodes", false},
		{scoped("dev"), "get /metrics", false},
		{scoped("dev", "prod"), "get core/pods prod", true},
		{scoped("dev-*"), "get core/pods dev-1", true},
		{scoped("dev-*"), "get core/pods dev", false},
		{scoped("*"), "get core/pods dev", true},
		{scoped("*"), "get core/nodes", false},
		{scoped("*-dev-*x"), "get core/pods a-dev-bx", true},
		{scoped("*-dev-*x"), "get core/pods a-dev-b", false},
		{scoped("a*a"), "get core/pods a", false},
		{scoped(), "get core/pods dev", false},
		{Association{Policy: policyARN + "AmazonEKSUnheardOfPolicy", Cluster: true}, "get core/pods dev", false},
		{Association{Policy: "AmazonEKSViewPolicy", Cluster: true}, "get core/pods dev", true},
	} {
		spec := access(c.text)
		if _, ok := (Entry{Policies: []Association{c.a}}).allows(&spec); ok != c.want {
			t.Errorf("%v: %s: %t", c.a, c.text, ok)
		}
	}
	if _, ok := (Entry{Policies: []Association{{Policy: "AmazonEKSClusterAdminPolicy", Cluster: true}}}).allows(&authorizationv1.SubjectAccessReviewSpec{}); ok {
		t.Error("an access to nothing was allowed")
	}
}

func TestAuthorize(t *testing.T) {
	entries := []Entry{
		{PrincipalARN: userARN, Policies: []Association{{Policy: policyARN + "AmazonEKSViewPolicy", Namespaces: []string{"dev"}}}},
		{PrincipalARN: roleARN, PrincipalID: "AROADEV", Policies: []Association{
			{Policy: policyARN + "AmazonEKSViewPolicy", Cluster: true}, {Policy: policyARN + "AmazonEKSEditPolicy", Namespaces: []string{"dev"}},
		}},
	}
	const canonical = "arn:aws:iam::123456789012:role/dev"
	for _, c := range []struct {
		name, mode, canonical, id, text string
		reason                          string // "": no opinion
	}{
		{"cluster", ModeAPI, canonical, "AROADEV", "get core/pods prod", `EKS Access Policy: allowed by ClusterRoleBinding "` + roleARN + "+" + policyARN + `AmazonEKSViewPolicy" of ClusterRole "` + policyARN + `AmazonEKSViewPolicy" to User "AROADEV"`},
		{"namespace", ModeAPIAndConfig, canonical, "AROADEV", "create core/pods dev", `EKS Access Policy: allowed by RoleBinding "` + roleARN + "+" + policyARN + `AmazonEKSEditPolicy" of ClusterRole "` + policyARN + `AmazonEKSEditPolicy" to User "AROADEV"`},
		{"outside", ModeAPI, canonical, "AROADEV", "create core/pods prod", ""},
		{"recreated role", ModeAPI, canonical, "AROANEW", "get core/pods prod", ""},
		{"any user of the name", ModeAPI, userARN, "AIDANEW", "get core/pods dev", `EKS Access Policy: allowed by RoleBinding "` + userARN + "+" + policyARN + `AmazonEKSViewPolicy" of ClusterRole "` + policyARN + `AmazonEKSViewPolicy" to User "AIDANEW"`},
		{"no entry", ModeAPI, nodeARN, "AROANODE", "get core/pods dev", ""},
		{"no entries in this mode", ModeConfig, canonical, "AROADEV", "get core/pods prod", ""},
		{"no AWS user", ModeAPI, "", "", "get core/pods dev", ""},
	} {
		w := &world{access: Access{Mode: c.mode, Entries: entries}}
		in := authorizationv1.SubjectAccessReview{Spec: access(c.text)}
		in.APIVersion, in.Kind = accessReview.ToAPIVersionAndKind()
		if c.canonical != "" {
			in.Spec.Extra = map[string]authorizationv1.ExtraValue{extraCanonical: {c.canonical}, extraPrincipal: {c.id}}
		}
		out, _ := ask[authorizationv1.SubjectAccessReview](t, w.handler(), AccessPath, in)
		if out.Status.Allowed != (c.reason != "") || out.Status.Denied || out.Status.Reason != c.reason {
			t.Errorf("%s: %+v", c.name, out.Status)
		}
	}

	h := (&world{}).handler()
	h.cfg.Access = func(context.Context) (Access, error) { return Access{}, errors.New("no store") }
	in := authorizationv1.SubjectAccessReview{Spec: access("get core/pods dev")}
	in.APIVersion, in.Kind = accessReview.ToAPIVersionAndKind()
	in.Spec.Extra = map[string]authorizationv1.ExtraValue{extraCanonical: {userARN}}
	out, _ := ask[authorizationv1.SubjectAccessReview](t, h, AccessPath, in)
	if out.Status.Allowed || out.Status.Denied || !strings.Contains(out.Status.EvaluationError, "no store") {
		t.Errorf("without the entries: %+v", out.Status)
	}
}

func TestParsePolicies(t *testing.T) {
	for _, text := range []string{"apps pods get", "A\n  apps pods", "A\n apps pods get more"} {
		if _, err := parsePolicies(text); err == nil {
			t.Errorf("%q was parsed", text)
		}
	}
}
