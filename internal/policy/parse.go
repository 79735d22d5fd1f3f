package policy

import (
	"slices"
	"strings"
)

// IAM reports the first problem of a kind that it looks for, in this order for identity
// policies: syntax, version, what its older parser refuses, statement ids, actions,
// resources, the resources' form, the actions' form.
const (
	msgSyntax   = "Syntax errors in policy."
	msgVersion  = "Policy document must be version 2012-10-17 or greater."
	msgLegacy   = "The policy failed legacy parsing"
	msgSidTwice = "Statement IDs (SID) in a single policy must be unique."
	msgSidForm  = "Statement IDs (SID) must be alpha-numeric. Check that your input satisfies the regular expression [0-9A-Za-z]*"
	msgActions  = "Policy statement must contain actions."
	msgResource = "Policy statement must contain resources."
)

// rawStatement is a statement whose elements have the right JSON types.
type rawStatement struct {
	node                    *node
	sid, effect             string
	action, notAction       []string
	resource, notResource   []string
	hasAction, hasNotAction bool
	hasResource, hasNotRes  bool
	principal, notPrincipal *node
	conditions              []*condition
}

// readDocument checks what all kinds have in common. It returns nil statements where
// the syntax is wrong.
func readDocument(document string) (root *node, version string, statements []*rawStatement) {
	if len(document) > MaxDocument {
		return nil, "", nil
	}
	root, err := parseJSON(document)
	if err != nil || !root.isObject {
		return nil, "", nil
	}
	var list []*node
	for _, m := range root.members {
		switch m.name {
		case "Version":
			v, ok := m.value.str()
			if !ok {
				return root, "", nil
			}
			version = v
		case "Id":
			if _, ok := m.value.str(); !ok {
				return root, version, nil
			}
		case "Statement":
			switch {
			case m.value.isObject:
				list = []*node{m.value}
			case m.value.isList:
				list = m.value.items
			default:
				return root, version, nil
			}
		default:
			return root, version, nil
		}
	}
	variables := version == Version2012
	for _, n := range list {
		s := readStatement(n, variables)
		if s == nil {
			return root, version, nil
		}
		statements = append(statements, s)
	}
	return root, version, statements
}

func readStatement(n *node, variables bool) *rawStatement {
	if !n.isObject {
		return nil
	}
	s := &rawStatement{node: n}
	for _, m := range n.members {
		ok := true
		switch m.name {
		case "Sid":
			s.sid, ok = m.value.str()
		case "Effect":
			s.effect, ok = m.value.str()
		case "Action":
			s.action, ok = m.value.list()
			s.hasAction = true
		case "NotAction":
			s.notAction, ok = m.value.list()
			s.hasNotAction = true
		case "Resource":
			s.resource, ok = m.value.list()
			s.hasResource = true
		case "NotResource":
			s.notResource, ok = m.value.list()
			s.hasNotRes = true
		case "Principal":
			s.principal = m.value
		case "NotPrincipal":
			s.notPrincipal = m.value
		case "Condition":
			s.conditions, ok = readConditions(m.value, variables)
		default:
			ok = false
		}
		if !ok {
			return nil
		}
	}
	if s.hasAction && s.hasNotAction || s.hasResource && s.hasNotRes || s.principal != nil && s.notPrincipal != nil {
		return nil
	}
	return s
}

func readConditions(n *node, variables bool) ([]*condition, bool) {
	if !n.isObject {
		return nil, false
	}
	var out []*condition
	for _, op := range n.members {
		if !op.value.isObject {
			return nil, false
		}
		// IAM lets an operator without keys pass, even an unknown one.
		for _, key := range op.value.members {
			values, ok := key.value.scalars()
			if !ok {
				return nil, false
			}
			c, ok := newCondition(op.name, key.name, values, variables)
			if !ok {
				return nil, false
			}
			out = append(out, c)
		}
	}
	return out, true
}

func parseIdentity(document string) (*Policy, *Error) {
	root, version, statements := readDocument(document)
	if len(statements) == 0 || version != "" && version != Version2008 && version != Version2012 {
		return nil, malformed(msgSyntax)
	}
	for _, s := range statements {
		if s.principal != nil || s.notPrincipal != nil {
			return nil, malformed("Policy document should not specify a principal.")
		}
		if !strings.EqualFold(s.effect, "Allow") && !strings.EqualFold(s.effect, "Deny") {
			return nil, malformed(msgSyntax)
		}
	}
	if version != Version2012 {
		return nil, malformed(msgVersion)
	}
	var resourceError *Error
	for _, s := range statements {
		if s.effect != "Allow" && s.effect != "Deny" || slices.ContainsFunc(s.conditions, (*condition).badDate) {
			return nil, malformed(msgLegacy)
		}
		for _, r := range slices.Concat(s.resource, s.notResource) {
			if resourceError == nil {
				resourceError = checkResource(r)
			}
			if resourceError == nil && !legacyResource(r) {
				return nil, malformed(msgLegacy)
			}
		}
	}
	sids := map[string]bool{}
	for _, s := range statements {
		if s.sid != "" && sids[s.sid] {
			return nil, malformed(msgSidTwice)
		}
		sids[s.sid] = true
	}
	for _, s := range statements {
		if !alphanumeric(s.sid) {
			return nil, malformed(msgSidForm)
		}
	}
	for _, s := range statements {
		if len(s.action)+len(s.notAction) == 0 {
			return nil, malformed(msgActions)
		}
	}
	for _, s := range statements {
		if len(s.resource)+len(s.notResource) == 0 {
			return nil, malformed(msgResource)
		}
	}
	if resourceError != nil {
		return nil, resourceError
	}
	for _, s := range statements {
		for _, a := range slices.Concat(s.action, s.notAction) {
			if err := checkAction(a); err != nil {
				return nil, err
			}
		}
		for _, c := range s.conditions {
			if !strings.Contains(c.keyText, ":") {
				return nil, malformed(msgVendor)
			}
		}
	}
	return compile(IdentityPolicy, document, root, version, statements)
}

// parseWithPrincipals reads trust and resource policies, whose checks another part of
// AWS does, in other words.
func parseWithPrincipals(kind Kind, document string) (*Policy, *Error) {
	root, version, statements := readDocument(document)
	switch {
	case root == nil:
		return nil, malformed("This policy contains invalid Json")
	case version != "" && version != Version2008 && version != Version2012:
		return nil, malformed("The policy must contain a valid version string")
	}
	if list := root.get("Statement"); list != nil && list.isList && len(list.items) == 0 {
		return nil, malformed("Could not parse the policy: Statement is empty!")
	}
	if len(statements) == 0 {
		return nil, malformed("Syntax error in policy.")
	}
	if version == "" {
		version = Version2008
	}
	sids := map[string]bool{}
	for _, s := range statements {
		switch {
		case s.node.get("Effect") == nil:
			return nil, malformed("Missing required field Effect")
		case s.effect != "Allow" && s.effect != "Deny":
			return nil, malformed("Invalid effect: %s", s.effect)
		case s.notPrincipal != nil && s.effect == "Allow":
			return nil, malformed("Allow with NotPrincipal is not allowed.")
		case s.notPrincipal != nil && kind == TrustPolicy:
			return nil, malformed("AssumeRole policy must not contain NotPrincipal field.")
		case s.principal == nil && s.notPrincipal == nil:
			return nil, malformed("Missing required field Principal")
		case len(s.action)+len(s.notAction) == 0:
			return nil, malformed("Missing required field Action")
		}
		if kind == TrustPolicy {
			for _, a := range slices.Concat(s.action, s.notAction) {
				if len(a) < 4 || !strings.EqualFold(a[:4], "sts:") {
					return nil, malformed("AssumeRole policy may only specify STS AssumeRole actions.")
				}
			}
			if s.hasResource {
				return nil, malformed("Has prohibited field Resource")
			}
			if s.hasNotRes {
				return nil, malformed("AssumeRole policy must not contain resources.")
			}
		}
		for _, r := range slices.Concat(s.resource, s.notResource) {
			if r != "*" && !strings.HasPrefix(r, "arn:") {
				return nil, malformed("Policy has invalid resource")
			}
		}
		if s.sid != "" && sids[s.sid] {
			return nil, malformed("The Statement Ids in the policy are not unique")
		}
		sids[s.sid] = true
	}
	return compile(kind, document, root, version, statements)
}

func compile(kind Kind, document string, root *node, version string, raw []*rawStatement) (*Policy, *Error) {
	p := &Policy{kind: kind, version: version, document: document}
	if id := root.get("Id"); id != nil {
		p.id, _ = id.str()
	}
	variables := version == Version2012
	for i, s := range raw {
		out := &statement{
			sid: s.sid, effect: s.effect == "Allow", index: i,
			start: positionAt(document, s.node.start), end: positionAt(document, s.node.end),
			actions:    newActionSet(slices.Concat(s.action, s.notAction), s.hasNotAction),
			conditions: s.conditions,
		}
		if s.hasResource || s.hasNotRes {
			out.resources = newResourceSet(slices.Concat(s.resource, s.notResource), s.hasNotRes, variables)
		}
		if kind != IdentityPolicy {
			set, err := newPrincipalSet(s.principal, s.notPrincipal)
			if err != nil {
				return nil, err
			}
			out.principals = set
		}
		p.statements = append(p.statements, out)
	}
	return p, nil
}

func alphanumeric(s string) bool {
	for i := range len(s) {
		c := s[i]
		if !('a' <= c && c <= 'z' || 'A' <= c && c <= 'Z' || '0' <= c && c <= '9') {
			return false
		}
	}
	return true
}
