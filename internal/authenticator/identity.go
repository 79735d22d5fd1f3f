package authenticator

import (
	"fmt"
	"strings"

	"github.com/tarn-eks/tarn/internal/policy"
)

// identity is an AWS caller as Kubernetes gets to know it.
type identity struct {
	arn string // of the user or the session
	// principalARN is the user's or the role's ARN, path included.
	principalARN string
	// canonicalARN is the same without a role's path, as aws-iam-authenticator
	// derives it from a session's ARN. aws-auth has to name roles so.
	canonicalARN string
	account      string
	principalID  string // AIDA…, AROA…, or the account of its root
	session      string // "" if it is none
	accessKeyID  string
}

func identify(s Signer) (identity, error) {
	p := s.Principal
	id := identity{
		arn: p.ARN, principalARN: p.ARN, canonicalARN: p.ARN,
		account: p.Account, accessKeyID: s.AccessKeyID,
	}
	id.principalID, id.session, _ = strings.Cut(p.UserID, ":")
	switch p.Type {
	case policy.User, policy.Root:
	case policy.AssumedRole:
		id.principalARN, id.canonicalARN = p.RoleARN, withoutPath(p.RoleARN)
	case policy.FederatedUser:
	default:
		return identity{}, fmt.Errorf("%q is no identity of IAM that can use a cluster", p.ARN)
	}
	return id, nil
}

// withoutPath is a role's ARN without its path. Others stay as they are.
func withoutPath(arn string) string {
	head, path, found := strings.Cut(arn, ":role/")
	if !found {
		return arn
	}
	return head + ":role/" + path[strings.LastIndexByte(path, '/')+1:]
}

// extra is what the API server's audit log, authorizers and `kubectl auth whoami`
// know of the caller besides its name.
func (id identity) extra() map[string][]string {
	return map[string][]string{
		extraAccessKey:   {id.accessKeyID},
		extraARN:         {id.arn},
		extraCanonical:   {id.canonicalARN},
		extraPrincipal:   {id.principalID},
		extraSession:     {id.session},
		extraPrincipalV2: {id.principalID},
	}
}

const (
	extraAccessKey   = "accessKeyId"
	extraARN         = "arn"
	extraCanonical   = "canonicalArn"
	extraPrincipal   = "principalId"
	extraSession     = "sessionName"
	extraPrincipalV2 = "sigs.k8s.io/aws-iam-authenticator/principalId"
)

// uid is unique in all of AWS.
func (id identity) uid() string {
	return "aws-iam-authenticator:" + id.account + ":" + id.principalID
}
