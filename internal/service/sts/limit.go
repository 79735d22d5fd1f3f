package sts

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"regexp"

	"github.com/tarn-eks/tarn/internal/api"
	stsapi "github.com/tarn-eks/tarn/internal/api/sts"
	"github.com/tarn-eks/tarn/internal/policy"
	"github.com/tarn-eks/tarn/internal/store"
)

const (
	maxTags        = 50
	maxPolicyARNs  = 10
	maxPolicyChars = 2048
	// maxPacked is what session policies and tags may come to when deflated, in
	// bytes. AWS's own limit is a secret of its packing; this lets pass every policy
	// of 2048 characters and twenty tags.
	maxPacked = 4096
)

var managedForm = regexp.MustCompile(`^arn:aws[a-z-]*:iam::(\d{12}|aws):policy/[\x21-\x7e]+$`)

// limit puts the session policies of a request into a session. The result is how
// much of the room for policies and tags they take, in percent; nil if there are
// none.
func (s *Service) limit(ctx context.Context, next *session, inline *string, managed []stsapi.PolicyDescriptorType) (*int32, error) {
	var v validation
	v.atMost("policyArns", len(managed), maxPolicyARNs)
	v.length("policy", inline, 1, maxPolicyChars)
	for i, m := range managed {
		v.length(fmt.Sprintf("policyArns.%d.member.arn", i+1), m.Arn, 20, 2048)
	}
	if err := v.err(); err != nil {
		return nil, err
	}
	if inline != nil {
		if _, err := policy.Parse(policy.IdentityPolicy, *inline); err != nil {
			return nil, stsapi.MalformedPolicyDocumentException.New("%s", malformed(err))
		}
		next.Policy = *inline
	}
	for _, m := range managed {
		name := api.Val(m.Arn)
		if !managedForm.MatchString(name) {
			return nil, invalid("ARN %s is not valid.", name)
		}
		_, err := s.cfg.Policies.ManagedPolicy(ctx, name)
		if errors.Is(err, store.ErrNotFound) {
			return nil, invalid("Policy %s does not exist or is not attachable.", name)
		}
		if err != nil {
			return nil, fmt.Errorf("looking up policy %s: %w", name, err)
		}
		next.PolicyARNs = append(next.PolicyARNs, name)
	}
	return packedSize(next)
}

// malformed is what a policy's author may read.
func malformed(err error) string {
	if e, ok := errors.AsType[*policy.Error](err); ok {
		return e.Message
	}
	return err.Error()
}

func packedSize(next *session) (*int32, error) {
	what := session{Policy: next.Policy, PolicyARNs: next.PolicyARNs, Tags: next.Tags}
	if what.Policy == "" && len(what.PolicyARNs) == 0 && len(what.Tags) == 0 {
		return nil, nil
	}
	plain, err := json.Marshal(what)
	if err != nil {
		return nil, fmt.Errorf("encoding session policies: %w", err)
	}
	percent := int32((len(deflate(plain))*100 + maxPacked - 1) / maxPacked)
	if percent > 100 {
		return nil, stsapi.PackedPolicyTooLargeException.New("Packed size of session tags consumes %d%% of allotted space.", percent)
	}
	return &percent, nil
}

// sessionPolicies are the policies that limit a session, parsed. A managed policy
// that is gone allows nothing.
func (s *Service) sessionPolicies(ctx context.Context, o *opened) ([]policy.Source, error) {
	var out []policy.Source
	if o.inline != nil {
		out = append(out, policy.Source{ID: "session-policy", Policy: o.inline})
	}
	for _, name := range o.session.PolicyARNs {
		p, err := s.cfg.Policies.ManagedPolicy(ctx, name)
		if errors.Is(err, store.ErrNotFound) {
			p = allowNothing
		} else if err != nil {
			return nil, fmt.Errorf("looking up session policy %s: %w", name, err)
		}
		out = append(out, policy.Source{ID: name, Policy: p})
	}
	return out, nil
}

// allowNothing stands for a session policy that has been deleted: without it a
// session that was limited would be unlimited.
var allowNothing = mustParse(policy.IdentityPolicy, `{"Version":"2012-10-17","Statement":[{"Effect":"Deny","Action":"sts:None","Resource":"*"}]}`)

// trustNobody is the trust policy of roles that do not exist: without any, the
// decision would be left to the caller's own policies.
var trustNobody = mustParse(policy.TrustPolicy, `{"Version":"2012-10-17","Statement":[{"Effect":"Deny","Principal":{"AWS":"*"},"Action":"sts:None"}]}`)

func mustParse(kind policy.Kind, document string) *policy.Policy {
	p, err := policy.Parse(kind, document)
	if err != nil {
		panic(err)
	}
	return p
}
