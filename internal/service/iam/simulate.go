package iam

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/tarn-eks/tarn/internal/api"
	iamapi "github.com/tarn-eks/tarn/internal/api/iam"
	"github.com/tarn-eks/tarn/internal/arn"
	"github.com/tarn-eks/tarn/internal/policy"
	"github.com/tarn-eks/tarn/internal/store"
)

// SimulateCustomPolicy says what policies would allow.
func (s *Service) SimulateCustomPolicy(ctx context.Context, in *iamapi.SimulateCustomPolicyInput) (*iamapi.SimulateCustomPolicyOutput, error) {
	if err := check(in); err != nil {
		return nil, err
	}
	sim := iamapi.SimulatePrincipalPolicyInput{
		PolicyInputList: in.PolicyInputList, PermissionsBoundaryPolicyInputList: in.PermissionsBoundaryPolicyInputList,
		ActionNames: in.ActionNames, ResourceArns: in.ResourceArns, ResourcePolicy: in.ResourcePolicy, ResourceOwner: in.ResourceOwner,
		CallerArn: in.CallerArn, ContextEntries: in.ContextEntries, MaxItems: in.MaxItems, Marker: in.Marker,
	}
	out, err := s.simulate(&sim, policy.Principal{}, &policy.Policies{})
	if err != nil {
		return nil, err
	}
	return &iamapi.SimulateCustomPolicyOutput{EvaluationResults: out.EvaluationResults, IsTruncated: out.IsTruncated, Marker: out.Marker}, nil
}

// SimulatePrincipalPolicy says what a user, group or role may do.
func (s *Service) SimulatePrincipalPolicy(ctx context.Context, in *iamapi.SimulatePrincipalPolicyInput) (*iamapi.SimulatePrincipalPolicyOutput, error) {
	if err := check(in); err != nil {
		return nil, err
	}
	p, have, err := s.source(ctx, *in.PolicySourceArn)
	if err != nil {
		return nil, err
	}
	return s.simulate(in, p, have)
}

// source finds whose policies the simulator is asked about.
func (s *Service) source(ctx context.Context, name string) (policy.Principal, *policy.Policies, error) {
	bad := iamapi.InvalidInputException.New("Invalid Entity Arn: %s", name)
	a, err := arn.Parse(name)
	if err != nil || a.Service != "iam" || a.Account != s.scope.Account {
		return policy.Principal{}, nil, bad
	}
	if p, ok := policy.PrincipalFromARN(name); ok && p.Type != policy.Root {
		have, err := s.Policies(ctx, p)
		return p, have, s.noSource(err, name)
	}
	if !strings.HasPrefix(a.Resource, "group/") {
		return policy.Principal{}, nil, bad
	}
	g, err := s.groups.lookup(ctx, name)
	if err != nil {
		return policy.Principal{}, nil, s.noSource(err, name)
	}
	have, err := s.policiesOf(ctx, "group", g.Name, &g.Holder)
	return policy.Principal{Account: s.scope.Account}, have, err
}

// noSource words the error of not finding who has the policies.
func (s *Service) noSource(err error, name string) error {
	if !errors.Is(err, store.ErrNotFound) {
		return err
	}
	a, _ := arn.Parse(name) // source has done so before
	what, _, _ := strings.Cut(a.Resource, "/")
	return iamapi.NoSuchEntityException.New("The %s with name %s cannot be found.", what, last(name))
}

func (s *Service) simulate(in *iamapi.SimulatePrincipalPolicyInput, p policy.Principal, have *policy.Policies) (*iamapi.SimulatePrincipalPolicyOutput, error) {
	policies := *have
	policies.Identity = slices.Clone(have.Identity)
	more, err := s.inputs("PolicyInputList", in.PolicyInputList)
	if err != nil {
		return nil, err
	}
	policies.Identity = append(policies.Identity, more...)
	bounds, err := s.inputs("PermissionsBoundaryPolicyInputList", in.PermissionsBoundaryPolicyInputList)
	if err != nil {
		return nil, err
	}
	switch {
	case len(bounds) > 1:
		return nil, invalid("Only one permissions boundary policy may be given.")
	case len(bounds) == 1:
		policies.Boundary = bounds[0]
	}
	if in.ResourcePolicy != nil {
		parsed, err := s.documents.parse(policy.ResourcePolicy, *in.ResourcePolicy)
		if err != nil {
			return nil, err
		}
		policies.Resource = policy.Source{ID: "ResourcePolicy", Policy: parsed}
	}
	if in.CallerArn != nil {
		as, ok := policy.PrincipalFromARN(*in.CallerArn)
		if !ok || as.Type != policy.User {
			return nil, iamapi.InvalidInputException.New("Invalid Caller Arn: %s", *in.CallerArn)
		}
		p = as
	}
	owner, err := s.owner(in.ResourceOwner)
	if err != nil {
		return nil, err
	}
	sim := policy.Simulation{
		Principal: p, Policies: policies, Actions: in.ActionNames, Resources: in.ResourceArns, ResourceAccount: owner,
		Context: map[string][]string{},
	}
	for _, e := range in.ContextEntries {
		sim.Context[api.Val(e.ContextKeyName)] = e.ContextKeyValues
	}
	results := policy.Simulate(sim)
	numbered := make([]numberedResult, len(results))
	for i := range results {
		numbered[i] = numberedResult{fmt.Sprintf("%09d", i), &results[i]}
	}
	part, truncated, next, err := page(numbered, func(r *numberedResult) string { return r.number }, in.Marker, in.MaxItems)
	return &iamapi.SimulatePrincipalPolicyOutput{
		EvaluationResults: convert(part, func(r *numberedResult) iamapi.EvaluationResult { return evaluation(r.Result, len(in.ResourceArns) > 0) }),
		IsTruncated:       truncated, Marker: next,
	}, err
}

// numberedResult is a result with its place in the answer.
type numberedResult struct {
	number string
	*policy.Result
}

// owner is the account in a ResourceOwner, which is an ARN or the account itself.
func (s *Service) owner(name *string) (string, error) {
	if name == nil {
		return "", nil
	}
	if a, err := arn.Parse(*name); err == nil {
		return a.Account, nil
	}
	if len(*name) == 12 {
		return *name, nil
	}
	return "", iamapi.InvalidInputException.New("Invalid Resource Owner: %s", *name)
}

// inputs are policies that come with the request.
func (s *Service) inputs(list string, documents []string) ([]policy.Source, error) {
	var out []policy.Source
	for i, d := range documents {
		p, err := s.documents.parse(policy.IdentityPolicy, d)
		if e, ok := errors.AsType[*api.Error](err); ok {
			return nil, iamapi.InvalidInputException.New("Invalid %s.%d: %s", list, i+1, e.Message)
		}
		if err != nil {
			return nil, err
		}
		out = append(out, policy.Source{ID: fmt.Sprintf("%s.%d", list, i+1), Policy: p})
	}
	return out, nil
}

// evaluation is a result in the answer. Results for resources that were named repeat it
// in a list, which the simulator of other services' resources has several entries in.
func evaluation(r *policy.Result, named bool) iamapi.EvaluationResult {
	decision := iamapi.PolicyEvaluationDecisionType(r.Decision)
	out := iamapi.EvaluationResult{
		EvalActionName: &r.Action, EvalResourceName: &r.Resource, EvalDecision: decision,
		MatchedStatements:    convert(r.Matched, statement),
		MissingContextValues: convert(r.MissingContext, itself),
	}
	if r.HasBoundary {
		out.PermissionsBoundaryDecisionDetail = &iamapi.PermissionsBoundaryDecisionDetail{AllowedByPermissionsBoundary: &r.AllowedByBoundary}
	}
	if named {
		out.ResourceSpecificResults = []iamapi.ResourceSpecificResult{{
			EvalResourceName: &r.Resource, EvalResourceDecision: decision, MatchedStatements: out.MatchedStatements,
			MissingContextValues: out.MissingContextValues, PermissionsBoundaryDecisionDetail: out.PermissionsBoundaryDecisionDetail,
		}}
	}
	return out
}

// statement is where a statement stands. The type is what IAM sends, whatever its model
// says.
func statement(m *policy.Match) iamapi.Statement {
	kind := iamapi.PolicySourceType("IAM Policy")
	switch m.Type {
	case policy.ResourceBased:
		kind = "Resource Policy"
	case policy.PermissionsBoundary:
		kind = "Permissions Boundary Policy"
	}
	return iamapi.Statement{
		SourcePolicyId: &m.Source, SourcePolicyType: kind,
		StartPosition: &iamapi.Position{Line: new(int32(m.Start.Line)), Column: new(int32(m.Start.Column))},
		EndPosition:   &iamapi.Position{Line: new(int32(m.End.Line)), Column: new(int32(m.End.Column))},
	}
}

// GetContextKeysForCustomPolicy lists the condition keys that policies refer to.
func (s *Service) GetContextKeysForCustomPolicy(_ context.Context, in *iamapi.GetContextKeysForCustomPolicyInput) (*iamapi.GetContextKeysForCustomPolicyOutput, error) {
	if err := check(in); err != nil {
		return nil, err
	}
	sources, err := s.inputs("PolicyInputList", in.PolicyInputList)
	return &iamapi.GetContextKeysForCustomPolicyOutput{ContextKeyNames: contextKeys(sources)}, err
}

// GetContextKeysForPrincipalPolicy lists the condition keys that a principal's policies
// refer to, and further ones.
func (s *Service) GetContextKeysForPrincipalPolicy(ctx context.Context, in *iamapi.GetContextKeysForPrincipalPolicyInput) (*iamapi.GetContextKeysForPrincipalPolicyOutput, error) {
	if err := check(in); err != nil {
		return nil, err
	}
	_, have, err := s.source(ctx, *in.PolicySourceArn)
	if err != nil {
		return nil, err
	}
	sources, err := s.inputs("PolicyInputList", in.PolicyInputList)
	return &iamapi.GetContextKeysForPrincipalPolicyOutput{ContextKeyNames: contextKeys(append(slices.Clone(have.Identity), sources...))}, err
}

func contextKeys(sources []policy.Source) []string {
	keys := policy.ContextKeys(convert(sources, func(s *policy.Source) *policy.Policy { return s.Policy })...)
	return convert(keys, itself)
}
