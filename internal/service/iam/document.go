package iam

import (
	"context"
	"errors"
	"net/url"
	"strings"
	"sync"
	"unicode"

	iamapi "github.com/tarn-eks/tarn/internal/api/iam"
	"github.com/tarn-eks/tarn/internal/policy"
)

// encoded is a document as answers carry it: escaped as RFC 3986 says.
func encoded(document string) *string {
	return new(strings.ReplaceAll(url.QueryEscape(document), "+", "%20"))
}

// size is a document's length as IAM counts it, without white space.
func size(document string) int {
	n := 0
	for _, r := range document {
		if !unicode.IsSpace(r) {
			n++
		}
	}
	return n
}

// documents remembers parsed documents by their content.
type documents struct {
	mu     sync.Mutex // guards parsed
	parsed map[documentKey]*policy.Policy
}

type documentKey struct {
	kind policy.Kind
	text string
}

// maxDocuments bounds what documents and memo remember; beyond it they begin anew.
const maxDocuments = 8192

// parse is policy.Parse; its error is for the client.
func (d *documents) parse(kind policy.Kind, text string) (*policy.Policy, error) {
	k := documentKey{kind, text}
	d.mu.Lock()
	p := d.parsed[k]
	d.mu.Unlock()
	if p != nil {
		return p, nil
	}
	p, err := policy.Parse(kind, text)
	if err != nil {
		return nil, malformed(err)
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.parsed == nil || len(d.parsed) >= maxDocuments {
		d.parsed = map[documentKey]*policy.Policy{}
	}
	d.parsed[k] = p
	return p, nil
}

func malformed(err error) error {
	if e, ok := errors.AsType[*policy.Error](err); ok {
		return iamapi.MalformedPolicyDocumentException.New("%s", e.Message)
	}
	return err
}

// maxTrust is how long a trust policy may be, in characters other than spaces.
const maxTrust = 2048

// checkTrust checks a trust policy, and that the users and roles it names exist.
func (s *Service) checkTrust(ctx context.Context, document string) error {
	p, err := s.documents.parse(policy.TrustPolicy, document)
	if err != nil {
		return err
	}
	for _, name := range p.ARNs() {
		ok, err := s.PrincipalExists(ctx, name)
		if err != nil {
			return err
		}
		if !ok {
			return malformed(policy.InvalidPrincipal("AWS", name))
		}
	}
	if size(document) > maxTrust {
		return quota{"ACLSizePerRole", maxTrust}.room(maxTrust)
	}
	return nil
}

// last is what comes behind the last slash.
func last(path string) string { return path[strings.LastIndexByte(path, '/')+1:] }
