package authenticator

import (
	"slices"
	"strings"
)

// Authentication modes of a cluster.
const (
	ModeAPI          = "API"
	ModeAPIAndConfig = "API_AND_CONFIG_MAP"
	ModeConfig       = "CONFIG_MAP"
)

// Types of access entries.
const (
	TypeStandard = "STANDARD"
	TypeLinux    = "EC2_LINUX"
	TypeWindows  = "EC2_WINDOWS"
	TypeEC2      = "EC2"
	TypeFargate  = "FARGATE_LINUX"
	TypeHybrid   = "HYBRID_LINUX"
)

// Access is who may enter a cluster, by EKS's API.
type Access struct {
	Mode    string // ModeAPI, ModeAPIAndConfig or ModeConfig
	Entries []Entry
	// Creator is the ARN of the user or role that made the cluster, if that made it
	// an administrator. It counts in ModeConfig, where it has no access entry.
	Creator string
}

// Entry is an access entry.
type Entry struct {
	PrincipalARN string // of a user or role, path included
	// PrincipalID is the principal's unique id (AIDA…, AROA…) when the entry was
	// made: another principal of the same name is not meant. "" is any.
	PrincipalID string
	Type        string // "" is TypeStandard
	Username    string // may hold templates; "" is DefaultUsername
	Groups      []string
	Policies    []Association
}

// Association gives an entry the permissions of an access policy.
type Association struct {
	Policy string // ARN, or the name alone
	// Namespaces limit the permissions; they may hold wildcards (dev-*).
	Namespaces []string
	// Cluster says that the permissions are for the whole cluster.
	Cluster bool
}

// DefaultUsername is the Kubernetes user name that EKS gives an access entry.
//
// https://docs.aws.amazon.com/eks/latest/userguide/creating-access-entries.html
func DefaultUsername(kind, principalARN string) string {
	switch kind {
	case TypeLinux, TypeWindows, TypeEC2:
		return "system:node:{{EC2PrivateDNSName}}"
	case TypeFargate, TypeHybrid:
		return "system:node:{{SessionName}}"
	}
	role := withoutPath(principalARN)
	head, name, found := strings.Cut(role, ":role/")
	if !found {
		return principalARN
	}
	return strings.Replace(head, ":iam:", ":sts:", 1) + ":assumed-role/" + name + "/{{SessionName}}"
}

// DefaultGroups are the Kubernetes groups of an access entry that is not of
// TypeStandard.
func DefaultGroups(kind string) []string {
	switch kind {
	case TypeLinux, TypeEC2, TypeHybrid:
		return []string{"system:nodes"}
	case TypeWindows:
		return []string{"eks:kube-proxy-windows", "system:nodes"}
	case TypeFargate:
		return []string{"system:bootstrappers", "system:node-proxier", "system:nodes"}
	}
	return nil
}

// entry finds the access entry of an identity.
func (a Access) entry(principalARN, principalID string) (Entry, bool) {
	if a.Mode == ModeConfig {
		return Entry{}, false
	}
	i := slices.IndexFunc(a.Entries, func(e Entry) bool {
		return e.PrincipalARN == principalARN && (e.PrincipalID == "" || e.PrincipalID == principalID)
	})
	if i < 0 {
		return Entry{}, false
	}
	return a.Entries[i], true
}

// canonicalEntry finds the access entry of who the API server knows by the ARN
// without a role's path. Names of roles are unique whatever their path.
func (a Access) canonicalEntry(canonicalARN, principalID string) (Entry, bool) {
	if a.Mode == ModeConfig {
		return Entry{}, false
	}
	i := slices.IndexFunc(a.Entries, func(e Entry) bool {
		return withoutPath(e.PrincipalARN) == canonicalARN && (e.PrincipalID == "" || e.PrincipalID == principalID)
	})
	if i < 0 {
		return Entry{}, false
	}
	return a.Entries[i], true
}

// mapping is the user that an identity becomes, with templates.
type mapping struct {
	by       string // for the log
	username string
	groups   []string
}

func (e Entry) mapping() mapping {
	m := mapping{by: "access entry " + e.PrincipalARN, username: e.Username, groups: e.Groups}
	if m.username == "" {
		m.username = DefaultUsername(e.Type, e.PrincipalARN)
	}
	if len(m.groups) == 0 {
		m.groups = DefaultGroups(e.Type)
	}
	return m
}

// entryMapping maps by EKS's API.
func (a Access) entryMapping(id identity) (mapping, bool) {
	if e, ok := a.entry(id.principalARN, id.principalID); ok {
		return e.mapping(), true
	}
	if a.Mode == ModeConfig && a.Creator != "" && withoutPath(a.Creator) == id.canonicalARN {
		return mapping{by: "the cluster's creator", username: "kubernetes-admin", groups: []string{"system:masters"}}, true
	}
	return mapping{}, false
}
