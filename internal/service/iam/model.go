package iam

import (
	"time"

	iamapi "github.com/tarn-eks/tarn/internal/api/iam"
)

// Resource is what everything in IAM has. Names of one kind differ by more than case.
type Resource struct {
	Name    string
	ID      string // AIDA…, AROA… : never given twice
	ARN     string
	Path    string // begins and ends with a slash
	Created time.Time
	Tags    map[string]string `json:",omitempty"`
}

// Inline is a policy inside of an entity.
type Inline struct{ Name, Document string }

// Holder is what users, groups and roles have: policies.
type Holder struct {
	Inline   []Inline `json:",omitempty"` // by name
	Attached []string `json:",omitempty"` // ARNs of managed policies
	Boundary string   `json:",omitempty"` // ARN of the permissions boundary; groups have none
}

// User is an IAM user.
type User struct {
	Resource
	Holder
	Groups []string `json:",omitempty"` // their keys in the store
	Keys   []string `json:",omitempty"` // ids of access keys, the oldest first
}

// Group is a group of users.
type Group struct {
	Resource
	Holder
	Members []string `json:",omitempty"` // ids of users
}

// Role is an IAM role.
type Role struct {
	Resource
	Holder
	Trust       string // the trust policy's document
	Description string `json:",omitempty"`
	MaxSeconds  int32  // how long its sessions may last
	// Service is the principal of the AWS service that the role is linked to.
	Service  string   `json:",omitempty"`
	Profiles []string `json:",omitempty"` // keys of the instance profiles that hold it
}

// MaxSession is how long the role's sessions may last.
func (r *Role) MaxSession() time.Duration { return time.Duration(r.MaxSeconds) * time.Second }

// InstanceProfile carries a role to an EC2 instance.
type InstanceProfile struct {
	Resource
	Role string `json:",omitempty"` // its key in the store
}

// Policy is a customer managed policy.
type Policy struct {
	Resource
	Description string `json:",omitempty"`
	Updated     time.Time
	Default     int    // number of the default version
	Document    string // of the default version
	Last        int    // number of the newest version there ever was
	Versions    []int  // ascending
	// Attachments and Boundaries count the entities that use it.
	Attachments, Boundaries int
}

// Version is one version of a customer managed policy.
type Version struct {
	Document string
	Created  time.Time
}

// OIDCProvider is an OpenID Connect issuer that roles may trust.
type OIDCProvider struct {
	Resource             // Name is the URL without https://
	ClientIDs   []string `json:",omitempty"` // audiences
	Thumbprints []string `json:",omitempty"`
}

// AccessKey is a long-term credential.
type AccessKey struct {
	ID      string
	Secret  string
	User    string `json:",omitempty"` // the user's key in the store; empty for root
	Active  bool
	Created time.Time
}

// Account is what the account itself has.
type Account struct {
	Alias string   `json:",omitempty"`
	Keys  []string `json:",omitempty"` // ids of root's access keys, the oldest first
}

func (u *User) api() iamapi.User {
	return iamapi.User{
		Path: &u.Path, UserName: &u.Name, UserId: &u.ID, Arn: &u.ARN, CreateDate: &u.Created,
		PermissionsBoundary: u.boundary(),
	}
}

func (g *Group) api() iamapi.Group {
	return iamapi.Group{Path: &g.Path, GroupName: &g.Name, GroupId: &g.ID, Arn: &g.ARN, CreateDate: &g.Created}
}

// api is the role as most answers show it: without description, duration and tags.
func (r *Role) api() iamapi.Role {
	return iamapi.Role{
		Path: &r.Path, RoleName: &r.Name, RoleId: &r.ID, Arn: &r.ARN, CreateDate: &r.Created,
		AssumeRolePolicyDocument: encoded(r.Trust),
	}
}

// api is the profile with the role that it holds, if any.
func (p *InstanceProfile) api(role *Role) iamapi.InstanceProfile {
	out := iamapi.InstanceProfile{
		Path: &p.Path, InstanceProfileName: &p.Name, InstanceProfileId: &p.ID, Arn: &p.ARN, CreateDate: &p.Created,
		Roles: []iamapi.Role{},
	}
	if role != nil {
		out.Roles = append(out.Roles, role.api())
	}
	return out
}

func (p *Policy) api() iamapi.Policy {
	return iamapi.Policy{
		PolicyName: &p.Name, PolicyId: &p.ID, Arn: &p.ARN, Path: &p.Path, DefaultVersionId: new(versionID(p.Default)),
		AttachmentCount: new(int32(p.Attachments)), PermissionsBoundaryUsageCount: new(int32(p.Boundaries)),
		IsAttachable: new(true), CreateDate: &p.Created, UpdateDate: &p.Updated,
	}
}

// boundary is the permissions boundary in answers. The type is what IAM sends, whatever
// its model says.
func (h *Holder) boundary() *iamapi.AttachedPermissionsBoundary {
	if h.Boundary == "" {
		return nil
	}
	return &iamapi.AttachedPermissionsBoundary{PermissionsBoundaryType: "Policy", PermissionsBoundaryArn: &h.Boundary}
}
