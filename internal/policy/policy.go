// Package policy is the IAM policy language: it parses and validates documents in AWS's
// words, compiles them, and decides requests against them, as IAM's evaluation logic and
// its simulator do. It is pure: no store, no clock, no network. Who a principal is and
// which policies are attached to it, callers say.
//
// The language: https://docs.aws.amazon.com/IAM/latest/UserGuide/reference_policies.html
package policy

import (
	"fmt"
	"slices"
	"strings"
)

// Kind says what a document is for, which decides what it may contain.
type Kind int

// The kinds of documents.
const (
	IdentityPolicy Kind = iota // permissions of users, groups and roles; boundaries; session policies
	TrustPolicy                // who may assume a role
	ResourcePolicy             // attached to a resource, such as an ECR repository
)

// Versions of the policy language. Variables exist only in the newer one.
const (
	Version2008 = "2008-10-17"
	Version2012 = "2012-10-17"
)

// MaxDocument is the largest document that Parse takes, in bytes: the API's own limit.
// The lower quotas per entity are IAM's to check.
const MaxDocument = 131072

// Effect of a statement.
type Effect bool

// The effects.
const (
	Deny  Effect = false
	Allow Effect = true
)

func (e Effect) String() string {
	if e == Allow {
		return "Allow"
	}
	return "Deny"
}

// Policy is a parsed document. It never changes and may be used by many goroutines.
type Policy struct {
	kind       Kind
	version    string
	id         string
	document   string
	statements []*statement
}

type statement struct {
	sid        string
	effect     Effect
	index      int
	start, end Position
	actions    actionSet
	resources  *resourceSet  // nil: any, in documents that name none
	principals *principalSet // nil in identity policies
	conditions []*condition
}

// Position is a place in a document's text: lines and columns count from 1, columns in
// characters. As in IAM's simulator it is the place after the brace that opens or closes
// a statement.
type Position struct{ Line, Column int }

// Error is a document that IAM does not take: code MalformedPolicyDocument, HTTP 400.
type Error struct {
	Message string // IAM's words
}

func (e *Error) Error() string { return "MalformedPolicyDocument: " + e.Message }

func malformed(format string, args ...any) *Error {
	return &Error{Message: fmt.Sprintf(format, args...)}
}

// Parse reads and validates a document of the given kind. Its errors are of type *Error.
func Parse(kind Kind, document string) (*Policy, error) {
	var p *Policy
	var err *Error
	if kind == IdentityPolicy {
		p, err = parseIdentity(document)
	} else {
		p, err = parseWithPrincipals(kind, document)
	}
	if err != nil {
		return nil, err
	}
	return p, nil
}

// Kind is what the document was parsed as.
func (p *Policy) Kind() Kind { return p.kind }

// Version of the policy language.
func (p *Policy) Version() string { return p.version }

// Document is the text, as it was given to Parse.
func (p *Policy) Document() string { return p.document }

// Len is the number of statements.
func (p *Policy) Len() int { return len(p.statements) }

// ContextKeys are the condition keys that the policies refer to in conditions and
// variables, sorted, each once, as they are first spelled.
func ContextKeys(policies ...*Policy) []string {
	seen := map[string]bool{}
	var keys []string
	add := func(key string) {
		if lower := strings.ToLower(key); !seen[lower] {
			seen[lower] = true
			keys = append(keys, key)
		}
	}
	for _, p := range policies {
		for _, s := range p.statements {
			if s.resources != nil {
				for _, r := range s.resources.arns {
					for _, segment := range r {
						segment.variables(add)
					}
				}
			}
			for _, c := range s.conditions {
				add(c.keyText)
				for _, v := range c.values {
					v.text.variables(add)
					for _, segment := range v.arn {
						segment.variables(add)
					}
				}
			}
		}
	}
	slices.Sort(keys)
	return keys
}
