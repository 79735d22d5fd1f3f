package policy

import (
	"regexp"
	"slices"
	"strings"
)

// PrincipalType says what kind of caller makes a request.
type PrincipalType int

// The types of principals.
const (
	Anonymous     PrincipalType = iota
	Root                        // the account itself
	User                        // an IAM user
	AssumedRole                 // a session of a role
	FederatedUser               // a session of GetFederationToken
	Service                     // an AWS service, such as ec2.amazonaws.com
	WebIdentity                 // somebody known to an OIDC provider, asking for a role
)

// Principal is who makes a request.
type Principal struct {
	Type PrincipalType
	// ARN of the user, the session or the account root.
	ARN string
	// RoleARN is the ARN of the role, path included, that a session belongs to.
	RoleARN string
	// Account is the twelve-digit id of the caller's account.
	Account string
	// UserName is a user's name: ${aws:username}.
	UserName string
	// UserID is what GetCallerIdentity calls UserId: ${aws:userid}.
	UserID string
	// Service is the service principal of a Service.
	Service string
	// Federated is the ARN of the provider that vouches for a WebIdentity.
	Federated string
}

// typeName is the value of aws:PrincipalType.
func (p *Principal) typeName() string {
	switch p.Type {
	case Root:
		return "Account"
	case User:
		return "User"
	case AssumedRole:
		return "AssumedRole"
	case FederatedUser:
		return "FederatedUser"
	}
	return "Anonymous"
}

// key gives the condition keys that follow from the principal.
func (p *Principal) key(name string) (string, bool) {
	switch name {
	case "aws:principalarn":
		if p.Type == AssumedRole {
			return p.RoleARN, p.RoleARN != ""
		}
		return p.ARN, p.ARN != ""
	case "aws:principalaccount":
		return p.Account, p.Account != ""
	case "aws:principaltype":
		return p.typeName(), p.Type != Service && p.Type != WebIdentity
	case "aws:username":
		return p.UserName, p.Type == User && p.UserName != ""
	case "aws:userid":
		return p.UserID, p.UserID != ""
	case "aws:principalisawsservice":
		if p.Type == Service {
			return "true", true
		}
		return "false", true
	case "aws:principalservicename":
		return p.Service, p.Type == Service
	}
	return "", false
}

// grant is how directly a statement names the principal; the evaluation of policies
// attached to resources depends on it.
type grant int

const (
	noGrant    grant = iota
	viaAccount       // its account: the account's own policies decide
	viaRole          // its role, or everybody
	directly         // the user, the session, the service, the provider
)

// principalSet is Principal or NotPrincipal.
type principalSet struct {
	not       bool
	everyone  bool // "*"
	anyAWS    bool // {"AWS": "*"}
	arns      []string
	accounts  []string
	services  []string
	federated []string
}

var (
	accountForm = regexp.MustCompile(`^\d{12}$`)
	arnForm     = regexp.MustCompile(`^arn:aws[a-z-]*:(iam|sts)::(\d{12}):(root|(user|role|assumed-role|federated-user)/[\x21-\x7e]+)$`)
	idForm      = regexp.MustCompile(`^A(IDA|ROA|GPA|SIA|KIA)[A-Z0-9]{12,124}$`)
	serviceForm = regexp.MustCompile(`^[a-z0-9-]+(\.[a-z0-9-]+)*\.(amazonaws\.com(\.cn)?|amazon\.com|aws\.com|aws\.internal)$`)
	providerARN = regexp.MustCompile(`^arn:aws[a-z-]*:iam::\d{12}:(oidc-provider|saml-provider)/[\x21-\x7e]+$`)
	domainForm  = regexp.MustCompile(`^[a-z0-9-]+(\.[a-z0-9-]+)+$`)
)

// InvalidPrincipal is IAM's refusal of a principal that does not exist or has the wrong
// form. kind is AWS, Service or Federated.
func InvalidPrincipal(kind, value string) *Error {
	if kind == "Service" {
		kind = "SERVICE"
	}
	return malformed(`Invalid principal in policy: "%s":"%s"`, kind, value)
}

func newPrincipalSet(yes, not *node) (*principalSet, *Error) {
	n, s := yes, &principalSet{}
	if n == nil {
		n, s.not = not, true
	}
	if text, ok := n.str(); ok {
		if text != "*" {
			return nil, malformed("Principal must be a JSON object.")
		}
		s.everyone = true
		return s, nil
	}
	if !n.isObject {
		return nil, malformed("Syntax error in policy.")
	}
	if len(n.members) == 0 {
		return nil, malformed("Missing required field Principal cannot be empty!")
	}
	for _, m := range n.members {
		values, ok := m.value.list()
		if !ok {
			return nil, malformed("Syntax error in policy.")
		}
		if len(values) == 0 {
			return nil, malformed("Missing required field Principal cannot be empty!")
		}
		for _, v := range values {
			if err := s.add(m.name, v); err != nil {
				return nil, err
			}
		}
	}
	return s, nil
}

func (s *principalSet) add(kind, value string) *Error {
	switch kind {
	case "AWS":
		switch {
		case value == "*":
			s.anyAWS = true
		case accountForm.MatchString(value):
			s.accounts = append(s.accounts, value)
		case idForm.MatchString(value):
			s.arns = append(s.arns, value) // what IAM makes of a deleted user or role
		default:
			m := arnForm.FindStringSubmatch(value)
			if m == nil || strings.ContainsAny(value, "*?") {
				return InvalidPrincipal(kind, value)
			}
			if m[3] == "root" {
				s.accounts = append(s.accounts, m[2])
			} else {
				s.arns = append(s.arns, value)
			}
		}
	case "Service":
		if !serviceForm.MatchString(value) {
			return InvalidPrincipal(kind, value)
		}
		s.services = append(s.services, value)
	case "Federated":
		if !providerARN.MatchString(value) && !domainForm.MatchString(value) {
			return InvalidPrincipal(kind, value)
		}
		s.federated = append(s.federated, value)
	case "CanonicalUser":
		s.arns = append(s.arns, value) // S3's; nobody here has one
	default:
		return malformed(`Invalid principal in policy: "%s"`, kind)
	}
	return nil
}

// ARNs are the users and roles that the document's statements name as principals, for
// IAM to check that they exist.
func (p *Policy) ARNs() []string {
	var out []string
	for _, s := range p.statements {
		if s.principals != nil {
			for _, a := range s.principals.arns {
				if strings.HasPrefix(a, "arn:") {
					out = append(out, a)
				}
			}
		}
	}
	return out
}

// match tells how the set names the principal.
func (s *principalSet) match(p *Principal) grant {
	g := s.listed(p)
	if !s.not {
		return g
	}
	if g == noGrant {
		return viaRole
	}
	return noGrant
}

func (s *principalSet) listed(p *Principal) grant {
	switch p.Type {
	case Service:
		if slices.Contains(s.services, p.Service) {
			return directly
		}
	case WebIdentity:
		if slices.Contains(s.federated, p.Federated) {
			return directly
		}
	default:
		if p.ARN != "" && (slices.Contains(s.arns, p.ARN) || p.UserID != "" && slices.Contains(s.arns, p.UserID)) {
			return directly
		}
		if p.Type == AssumedRole && p.RoleARN != "" && slices.Contains(s.arns, p.RoleARN) {
			return viaRole
		}
		if s.anyAWS {
			return viaRole
		}
		if p.Account != "" && slices.Contains(s.accounts, p.Account) {
			if p.Type == Root {
				return directly
			}
			return viaAccount
		}
	}
	if s.everyone {
		return viaRole
	}
	return noGrant
}

// PrincipalFromARN is the principal that an ARN names: the account root, a user, a
// session, or a role, which stands for a session of it. A session's ARN lacks the path
// of its role: set RoleARN where the role has one. Not ok for anything else.
func PrincipalFromARN(arn string) (p Principal, ok bool) {
	m := arnForm.FindStringSubmatch(arn)
	if m == nil {
		return Principal{}, false
	}
	p = Principal{ARN: arn, Account: m[2]}
	partition, _, _ := strings.Cut(strings.TrimPrefix(arn, "arn:"), ":")
	kind, path, _ := strings.Cut(m[3], "/")
	name := path[strings.LastIndexByte(path, '/')+1:]
	switch m[1] + " " + kind {
	case "iam root":
		p.Type, p.UserID = Root, p.Account
	case "iam user":
		p.Type, p.UserName = User, name
	case "iam role":
		p.Type, p.RoleARN = AssumedRole, arn
	case "sts assumed-role":
		role, _, found := strings.Cut(path, "/")
		if !found {
			return Principal{}, false
		}
		p.Type, p.RoleARN = AssumedRole, "arn:"+partition+":iam::"+p.Account+":role/"+role
	case "sts federated-user":
		p.Type = FederatedUser
	default:
		return Principal{}, false
	}
	return p, true
}
