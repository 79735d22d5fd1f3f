package eks

import (
	"context"
	"errors"
	"regexp"
	"strings"
	"time"

	"github.com/google/uuid"

	"github.com/tarn-eks/tarn/internal/api"
	eksapi "github.com/tarn-eks/tarn/internal/api/eks"
	"github.com/tarn-eks/tarn/internal/arn"
	"github.com/tarn-eks/tarn/internal/store"
)

// AccessEntry lets an IAM principal into a cluster.
type AccessEntry struct {
	Cluster   string
	ID        string
	Principal string   // ARN of a role, a user or the account's root, path included
	Type      string   // STANDARD, EC2_LINUX, …
	Username  string   // may hold {{SessionName}} and the like
	Groups    []string // Kubernetes
	Policies  []AssociatedPolicy
	Tags      map[string]string
	Created   time.Time
	Modified  time.Time
	Creator   bool // of who made the cluster
	ForNodes  bool // EKS made it for a node group's role
	Request   request
}

// AssociatedPolicy is an access policy and where it holds.
type AssociatedPolicy struct {
	ARN                  string
	Scope                string // cluster or namespace
	Namespaces           []string
	Associated, Modified time.Time
}

// Scopes of policies.
const (
	scopeCluster   = string(eksapi.AccessScopeTypeCluster)
	scopeNamespace = string(eksapi.AccessScopeTypeNamespace)
)

// Key is the entry's key in the store.
func (e AccessEntry) Key() string { return e.Cluster + "/" + e.Principal }

// Types of entries.
const (
	typeStandard = "STANDARD"
	typeEC2Linux = "EC2_LINUX"
)

// nodeTypes are the types for nodes: they have the user name and the groups
// that nodes have.
var nodeTypes = map[string]struct {
	username string
	groups   []string
}{
	typeEC2Linux:    {"system:node:{{EC2PrivateDNSName}}", []string{"system:nodes"}},
	"EC2_WINDOWS":   {"system:node:{{EC2PrivateDNSName}}", []string{"eks:kube-proxy-windows", "system:nodes"}},
	"EC2":           {"system:node:{{EC2PrivateDNSName}}", nil},
	"FARGATE_LINUX": {"system:node:{{SessionName}}", []string{"system:node-proxier", "system:nodes"}},
	"HYBRID_LINUX":  {"system:node:{{SessionName}}", []string{"system:nodes"}},
}

// newEntry is an entry with the defaults of its type.
func (s *Service) newEntry(cluster, principal, kind string) AccessEntry {
	now := s.time()
	e := AccessEntry{Cluster: cluster, ID: uuid.NewString(), Principal: principal, Type: kind, Created: now, Modified: now}
	if n, ok := nodeTypes[kind]; ok {
		e.Username, e.Groups = n.username, n.groups
		return e
	}
	e.Username = principal
	if p, ok := parsePrincipal(principal); ok && p.kind == "role" {
		e.Username = arn.ARN{Partition: p.Partition, Service: "sts", Account: p.Account, Resource: "assumed-role/" + p.name + "/{{SessionName}}"}.String()
	}
	return e
}

// principal is an IAM ARN, taken apart.
type principal struct {
	arn.ARN
	kind string // role, user, root
	name string // without path
}

func parsePrincipal(text string) (principal, bool) {
	a, err := arn.Parse(text)
	if err != nil || a.Service != "iam" || a.Region != "" {
		return principal{}, false
	}
	if a.Resource == "root" {
		return principal{a, "root", "root"}, true
	}
	kind, path, ok := strings.Cut(a.Resource, "/")
	name := path[strings.LastIndexByte(path, '/')+1:]
	return principal{a, kind, name}, ok && (kind == "role" || kind == "user") && name != ""
}

func (s *Service) entryARN(e AccessEntry) string {
	p, _ := parsePrincipal(e.Principal)
	return s.arns.Of("eks", "access-entry/%s/%s/%s/%s/%s", e.Cluster, p.kind, p.Account, p.name, e.ID)
}

func (s *Service) describeEntry(e AccessEntry) *eksapi.AccessEntry {
	out := &eksapi.AccessEntry{
		ClusterName: &e.Cluster, PrincipalArn: &e.Principal, KubernetesGroups: present(e.Groups),
		AccessEntryArn: new(s.entryARN(e)), CreatedAt: &e.Created, ModifiedAt: &e.Modified, Tags: e.Tags,
		Username: &e.Username, Type: &e.Type,
	}
	if out.Tags == nil {
		out.Tags = map[string]string{}
	}
	return out
}

// Entry finds the access entry of an IAM principal (a role, not a session), or
// store.ErrNotFound. Where entries do not count, because the cluster's access is
// its ConfigMap's alone, only that of the cluster's creator is found.
func (s *Service) Entry(ctx context.Context, c Cluster, principalARN string) (AccessEntry, error) {
	item, err := s.AccessEntries.Get(ctx, AccessEntry{Cluster: c.Name, Principal: principalARN}.Key())
	if err == nil && !item.Value.Creator && c.AuthenticationMode == string(eksapi.AuthenticationModeConfigMap) {
		return AccessEntry{}, store.ErrNotFound
	}
	return item.Value, err
}

// apiAccess finds a cluster for a call about access entries.
func (s *Service) apiAccess(ctx context.Context, cluster *string) (store.Item[Cluster], error) {
	item, err := s.cluster(ctx, cluster)
	if err == nil && item.Value.AuthenticationMode == string(eksapi.AuthenticationModeConfigMap) {
		err = about{cluster: item.Key}.refused("The cluster's authentication mode must be set to one of [API, API_AND_CONFIG_MAP] to perform this operation.")
	}
	return item, err
}

// entry finds an access entry for an API call.
func (s *Service) entry(ctx context.Context, cluster, principal *string) (store.Item[AccessEntry], error) {
	if _, err := s.apiAccess(ctx, cluster); err != nil {
		return store.Item[AccessEntry]{}, err
	}
	item, err := s.AccessEntries.Get(ctx, AccessEntry{Cluster: api.Val(cluster), Principal: api.Val(principal)}.Key())
	if errors.Is(err, store.ErrNotFound) {
		return item, about{cluster: api.Val(cluster)}.missing("The specified principalArn could not be found. You can view your available access entries with 'list-access-entries'.")
	}
	return item, err
}

var (
	reservedUsers = []string{"system:", "eks:", "aws:", "amazon:", "iam:"}
	templateWords = regexp.MustCompile(`\{\{SessionName(Raw)?\}\}`)
)

// setUser gives an entry a user name and groups of the caller's choice.
func setUser(a about, e *AccessEntry, username *string, groups []string) error {
	own := username != nil && *username != e.Username
	if e.Type != typeStandard && (own || len(groups) > 0) {
		return a.invalid("The access entry type %s does not allow a username or kubernetesGroups of your own", e.Type)
	}
	if own {
		for _, prefix := range reservedUsers {
			if strings.HasPrefix(*username, prefix) {
				return a.invalid("The username %s is invalid, it cannot start with %s", *username, prefix)
			}
		}
		if at := templateWords.FindStringIndex(*username); at != nil && !strings.Contains((*username)[:at[0]], ":") {
			return a.invalid("The username %s is invalid, a colon must come before the session name", *username)
		}
		e.Username = *username
	}
	for _, g := range groups {
		if g == "" || strings.HasPrefix(g, "system:") {
			return a.invalid("The kubernetes group name %s is invalid, it cannot start with system:", g)
		}
	}
	if e.Type == typeStandard && groups != nil {
		e.Groups = groups
	}
	return nil
}

// CreateAccessEntry lets a principal into a cluster.
func (s *Service) CreateAccessEntry(ctx context.Context, in *eksapi.CreateAccessEntryInput) (*eksapi.CreateAccessEntryOutput, error) {
	a := about{cluster: api.Val(in.ClusterName)}
	req := asked(in.ClientRequestToken, in)
	made, err := again(func() (AccessEntry, error) {
		cluster, err := s.apiAccess(ctx, in.ClusterName)
		if err != nil {
			return AccessEntry{}, err
		}
		kind := api.Val(in.Type)
		if kind == "" {
			kind = typeStandard
		}
		e := s.newEntry(a.cluster, api.Val(in.PrincipalArn), kind)
		have, err := s.AccessEntries.Get(ctx, e.Key())
		switch {
		case err == nil && req.repeats(have.Value.Request):
			return have.Value, nil
		case err == nil:
			return e, a.inUse("The specified access entry resource is already in use on this cluster.")
		case !errors.Is(err, store.ErrNotFound):
			return e, err
		}
		if err := s.checkEntry(ctx, a, e); err != nil {
			return e, err
		}
		if err := setUser(a, &e, in.Username, in.KubernetesGroups); err != nil {
			return e, err
		}
		if problem := checkTags(in.Tags); problem != "" {
			return e, a.invalid("%s", problem)
		}
		if cluster.Value.Status == Deleting || cluster.Value.Status == Failed {
			return e, a.notActive()
		}
		e.Tags, e.Request = in.Tags, req
		_, err = store.Commit(ctx, s.client, s.AccessEntries.CreateOp(e.Key(), e), s.Clusters.Unchanged(cluster))
		return e, err
	})
	if err != nil {
		return nil, err
	}
	return &eksapi.CreateAccessEntryOutput{AccessEntry: s.describeEntry(made)}, nil
}

func (s *Service) checkEntry(ctx context.Context, a about, e AccessEntry) error {
	p, ok := parsePrincipal(e.Principal)
	if !ok {
		return a.invalid("The principalArn parameter format is not valid")
	}
	if _, node := nodeTypes[e.Type]; !node && e.Type != typeStandard {
		return a.invalid("The access entry type %s is none of STANDARD, EC2, EC2_LINUX, EC2_WINDOWS, FARGATE_LINUX and HYBRID_LINUX", e.Type)
	} else if node && p.kind != "role" {
		return a.invalid("The access entry type %s needs a principalArn that is a role", e.Type)
	}
	if p.kind == "role" && strings.HasPrefix(p.Resource, "role/aws-service-role/") {
		return a.invalid("The caller is not allowed to modify access entries with a principalArn value of a Service Linked Role")
	}
	if p.kind == "root" && p.Account == s.arns.Account {
		return nil
	}
	exists, err := s.roles.Exists(ctx, e.Principal)
	if err == nil && !exists {
		err = a.invalid("The specified principalArn is invalid: invalid principal.")
	}
	return err
}

// DescribeAccessEntry shows an access entry.
func (s *Service) DescribeAccessEntry(ctx context.Context, in *eksapi.DescribeAccessEntryInput) (*eksapi.DescribeAccessEntryOutput, error) {
	item, err := s.entry(ctx, in.ClusterName, in.PrincipalArn)
	if err != nil {
		return nil, err
	}
	return &eksapi.DescribeAccessEntryOutput{AccessEntry: s.describeEntry(item.Value)}, nil
}

// ListAccessEntries lists the principals that a cluster lets in.
func (s *Service) ListAccessEntries(ctx context.Context, in *eksapi.ListAccessEntriesInput) (*eksapi.ListAccessEntriesOutput, error) {
	if _, err := s.apiAccess(ctx, in.ClusterName); err != nil {
		return nil, err
	}
	items, _, err := s.AccessEntries.List(ctx, api.Val(in.ClusterName)+"/")
	if err != nil {
		return nil, err
	}
	arns, next, err := page(namesOf(items, func(e AccessEntry) string {
		if in.AssociatedPolicyArn != nil && policyIndex(e, *in.AssociatedPolicyArn) < 0 {
			return ""
		}
		return e.Principal
	}), in.MaxResults, in.NextToken)
	if err != nil {
		return nil, err
	}
	return &eksapi.ListAccessEntriesOutput{AccessEntries: arns, NextToken: next}, nil
}

// UpdateAccessEntry changes an entry's user name and groups.
func (s *Service) UpdateAccessEntry(ctx context.Context, in *eksapi.UpdateAccessEntryInput) (*eksapi.UpdateAccessEntryOutput, error) {
	a := about{cluster: api.Val(in.ClusterName)}
	e, err := s.changeEntry(ctx, in.ClusterName, in.PrincipalArn, func(e *AccessEntry) error {
		if err := setUser(a, e, in.Username, in.KubernetesGroups); err != nil {
			return err
		}
		e.Modified = s.time()
		return nil
	})
	if err != nil {
		return nil, err
	}
	return &eksapi.UpdateAccessEntryOutput{AccessEntry: s.describeEntry(e)}, nil
}

func (s *Service) changeEntry(ctx context.Context, cluster, principal *string, change func(*AccessEntry) error) (AccessEntry, error) {
	return again(func() (AccessEntry, error) {
		item, err := s.entry(ctx, cluster, principal)
		if err != nil {
			return AccessEntry{}, err
		}
		if err := change(&item.Value); err != nil {
			return AccessEntry{}, err
		}
		item, err = s.AccessEntries.Update(ctx, item)
		return item.Value, err
	})
}

// DeleteAccessEntry shuts a principal out.
func (s *Service) DeleteAccessEntry(ctx context.Context, in *eksapi.DeleteAccessEntryInput) (*eksapi.DeleteAccessEntryOutput, error) {
	item, err := s.entry(ctx, in.ClusterName, in.PrincipalArn)
	if err != nil {
		return nil, err
	}
	if err := s.AccessEntries.Delete(ctx, item.Key); err != nil && !errors.Is(err, store.ErrNotFound) {
		return nil, err
	}
	return &eksapi.DeleteAccessEntryOutput{}, nil
}
