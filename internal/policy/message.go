package policy

import "strings"

// AccessDenied is the text of the error that most services answer a denied request
// with.
//
// https://docs.aws.amazon.com/IAM/latest/UserGuide/troubleshoot_access-denied.html
func (d Decision) AccessDenied(r *Request) string {
	var b strings.Builder
	b.WriteString("User: ")
	switch p := &r.Principal; {
	case p.ARN != "":
		b.WriteString(p.ARN)
	case p.Type == Service:
		b.WriteString(p.Service)
	default:
		b.WriteString("anonymous")
	}
	b.WriteString(" is not authorized to perform: " + r.Action)
	if d.Resource != "" {
		b.WriteString(" on resource: " + d.Resource)
	}
	b.WriteString(d.reason(r.Action))
	return b.String()
}

func (d Decision) reason(action string) string {
	if d.Outcome == ExplicitDeny {
		return " with an explicit deny in " + map[Type]string{
			IdentityBased:       "an identity-based policy",
			ResourceBased:       "a resource-based policy",
			RoleTrust:           "the role trust policy",
			PermissionsBoundary: "a permissions boundary",
			Session:             "a session policy",
		}[d.By]
	}
	if foldCase(action) == "sts:assumerole" && (d.By == RoleTrust || d.By == IdentityBased) {
		return "" // STS does not say which of the two is missing
	}
	return " because no " + map[Type]string{
		IdentityBased:       "identity-based policy",
		ResourceBased:       "resource-based policy",
		RoleTrust:           "role trust policy",
		PermissionsBoundary: "permissions boundary",
		Session:             "session policy",
	}[d.By] + " allows the " + action + " action"
}

// UnauthorizedOperation is EC2's text for the same. encoded is the encoded
// authorization message; "" where the operation has none.
func (d Decision) UnauthorizedOperation(r *Request, encoded string) string {
	text := "You are not authorized to perform this operation. " + d.AccessDenied(r)
	if encoded != "" {
		text += ". Encoded authorization failure message: " + encoded
	}
	return text
}
