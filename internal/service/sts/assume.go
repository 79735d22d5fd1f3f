package sts

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/tarn-eks/tarn/internal/api"
	stsapi "github.com/tarn-eks/tarn/internal/api/sts"
	"github.com/tarn-eks/tarn/internal/caller"
	"github.com/tarn-eks/tarn/internal/policy"
)

// AssumeRole gives credentials of a role to who may assume it: the role's trust
// policy and the caller's own policies decide.
func (s *Service) AssumeRole(ctx context.Context, in *stsapi.AssumeRoleInput) (*stsapi.AssumeRoleOutput, error) {
	if err := checkAssume(in); err != nil {
		return nil, err
	}
	c := caller.From(ctx)
	switch c.Principal.Type {
	case policy.Root:
		return nil, accessDenied("Roles may not be assumed by root accounts.")
	case policy.Anonymous:
		return nil, api.Errorf(403, "MissingAuthenticationToken", "Request is missing Authentication Token")
	}
	var own *opened // the caller's session
	if c.Session != nil {
		var err error
		if own, err = s.callerSession(c); err != nil {
			return nil, err
		}
	}
	if err := refuseMFA(in.SerialNumber, in.TokenCode); err != nil {
		return nil, err
	}
	next, err := nextSession(in, own)
	if err != nil {
		return nil, err
	}
	packed, err := s.limit(ctx, next, in.Policy, in.PolicyArns)
	if err != nil {
		return nil, err
	}
	role, err := s.role(ctx, *in.RoleArn)
	if err != nil {
		return nil, err
	}
	if err := s.mayAssume(ctx, c, own, role, next, api.Val(in.ExternalId)); err != nil {
		return nil, err
	}
	lifetime, err := sessionLifetime(in.DurationSeconds, role, c.Session != nil)
	if err != nil {
		return nil, err
	}
	next.RoleARN, next.RoleID = role.ARN, role.ID
	credentials, err := s.issue(next, lifetime)
	if err != nil {
		return nil, err
	}
	out := &stsapi.AssumeRoleOutput{
		Credentials:      credentials.wire(),
		AssumedRoleUser:  assumedRoleUser(next),
		PackedPolicySize: packed,
	}
	if next.SourceIdentity != "" {
		out.SourceIdentity = &next.SourceIdentity
	}
	return out, nil
}

func assumedRoleUser(s *session) *stsapi.AssumedRoleUser {
	p := s.principal()
	return &stsapi.AssumedRoleUser{Arn: &p.ARN, AssumedRoleId: &p.UserID}
}

func checkAssume(in *stsapi.AssumeRoleInput) error {
	var v validation
	v.role(in.RoleArn, in.RoleSessionName, in.DurationSeconds)
	v.length("externalId", in.ExternalId, 2, 1224)
	v.pattern("externalId", in.ExternalId, externalIDForm, externalIDPattern)
	v.length("sourceIdentity", in.SourceIdentity, 2, 64)
	v.pattern("sourceIdentity", in.SourceIdentity, nameForm, namePattern)
	v.atMost("tags", len(in.Tags), maxTags)
	v.atMost("transitiveTagKeys", len(in.TransitiveTagKeys), maxTags)
	for i, t := range in.Tags {
		key, value := fmt.Sprintf("tags.%d.member.key", i+1), fmt.Sprintf("tags.%d.member.value", i+1)
		v.length(key, t.Key, 1, 128)
		v.pattern(key, t.Key, tagForm, tagPattern)
		v.length(value, t.Value, 0, 256)
		v.pattern(value, t.Value, tagForm, tagValuePattern)
	}
	if err := v.err(); err != nil {
		return err
	}
	if len(in.ProvidedContexts) > 0 {
		return invalid("The region has no trusted identity propagation: ProvidedContexts is not supported.")
	}
	if parseRole(*in.RoleArn).name == "" {
		return invalid("%s is invalid", *in.RoleArn)
	}
	return nil
}

// nextSession is what the caller asks for, together with what its own session
// passes on: transitive tags and the source identity, which stay the same for a
// whole chain of roles.
func nextSession(in *stsapi.AssumeRoleInput, own *opened) (*session, error) {
	next := &session{Name: *in.RoleSessionName, SourceIdentity: api.Val(in.SourceIdentity)}
	tags := map[string]string{}
	seen := map[string]bool{} // keys differ by more than case
	for _, t := range in.Tags {
		if seen[strings.ToLower(*t.Key)] {
			return nil, api.Errorf(400, "InvalidParameterValue", "Duplicate tag keys found. Please note that Tag keys are case insensitive.")
		}
		seen[strings.ToLower(*t.Key)] = true
		tags[*t.Key] = *t.Value
	}
	for _, key := range in.TransitiveTagKeys {
		if _, ok := tags[key]; !ok {
			return nil, api.Errorf(400, "InvalidParameterValue", "The specified transitive tag key must be included in the requested tags.")
		}
		next.Transitive = append(next.Transitive, key)
	}
	if own != nil {
		for _, key := range own.session.Transitive {
			if seen[strings.ToLower(key)] {
				return nil, api.Errorf(400, "InvalidParameterValue", "One of the specified transitive tag keys can't be set because it conflicts with a transitive tag key from the calling session.")
			}
			tags[key] = own.session.Tags[key]
			next.Transitive = append(next.Transitive, key)
		}
		if next.SourceIdentity == "" {
			next.SourceIdentity = own.session.SourceIdentity
		}
	}
	if len(tags) > maxTags {
		return nil, stsapi.PackedPolicyTooLargeException.New("A session has at most %d tags, those that it inherits included", maxTags)
	}
	if len(tags) > 0 {
		next.Tags = tags
	}
	return next, nil
}

// mayAssume decides sts:AssumeRole, and for sessions that have them sts:TagSession
// and sts:SetSourceIdentity.
func (s *Service) mayAssume(ctx context.Context, c caller.Caller, own *opened, role Role, next *session, externalID string) error {
	policies, err := s.cfg.Policies.Policies(ctx, c.Principal)
	if err != nil {
		return fmt.Errorf("finding the policies of %s: %w", c.Principal.ARN, err)
	}
	all := *policies
	all.Resource = trustOf(role)
	conditions, err := s.conditions(ctx, c, own, role, next)
	if err != nil {
		return err
	}
	if externalID != "" {
		conditions["sts:externalid"] = []string{externalID}
	}
	inherited := ""
	if own != nil {
		inherited = own.session.SourceIdentity
		if all.Session, err = s.sessionPolicies(ctx, own); err != nil {
			return err
		}
	}
	actions := []string{"sts:AssumeRole"}
	if len(next.Tags) > 0 {
		actions = append(actions, "sts:TagSession")
	}
	if next.SourceIdentity != "" {
		actions = append(actions, "sts:SetSourceIdentity")
	}
	for _, action := range actions {
		request := policy.Request{
			Principal: c.Principal, Action: action,
			Resources: []string{role.ARN}, ResourceAccount: parseRole(role.ARN).account, Context: conditions,
		}
		d := policy.Evaluate(&request, &all)
		if action == "sts:SetSourceIdentity" && inherited != "" && inherited != next.SourceIdentity {
			d = policy.Decision{Resource: role.ARN} // once set, it cannot be changed
		}
		if !d.Allowed() {
			return accessDenied("%s", d.AccessDenied(&request))
		}
	}
	return nil
}

// conditions are the keys that a trust policy can ask about.
//
// https://docs.aws.amazon.com/IAM/latest/UserGuide/reference_policies_iam-condition-keys.html
func (s *Service) conditions(ctx context.Context, c caller.Caller, own *opened, role Role, next *session) (map[string][]string, error) {
	out := s.requestConditions(c, role, next)
	tags, err := s.PrincipalTags(ctx, c)
	if err != nil {
		return nil, fmt.Errorf("finding the tags of %s: %w", c.Principal.ARN, err)
	}
	for k, v := range tags {
		out["aws:principaltag/"+strings.ToLower(k)] = []string{v}
	}
	if own != nil {
		s.sessionConditions(out, own.session)
	}
	if next.SourceIdentity != "" {
		out["sts:sourceidentity"] = []string{next.SourceIdentity}
	}
	for _, k := range slices.Sorted(maps.Keys(next.Tags)) {
		policy.AddRequestTag(out, k, next.Tags[k])
	}
	if len(next.Transitive) > 0 {
		out["sts:transitivetagkeys"] = slices.Clone(next.Transitive)
	}
	return out, nil
}

// sessionConditions adds the keys that follow from the caller's session.
func (s *Service) sessionConditions(out map[string][]string, own *session) {
	out["aws:tokenissuetime"] = []string{own.issued().Format(time.RFC3339)}
	out["aws:multifactorauthpresent"] = []string{"false"}
	if own.Provider != "" {
		out["aws:federatedprovider"] = []string{own.Provider}
	}
	if own.SourceIdentity != "" {
		out["aws:sourceidentity"] = []string{own.SourceIdentity}
	}
	if own.Instance != "" {
		out["ec2:sourceinstancearn"] = []string{s.scope.Of("ec2", "instance/%s", own.Instance)}
	}
}

// requestConditions are the keys of any request for a role.
func (s *Service) requestConditions(c caller.Caller, role Role, next *session) map[string][]string {
	now := s.cfg.Now().UTC()
	out := map[string][]string{
		"aws:currenttime":     {now.Format(time.RFC3339)},
		"aws:epochtime":       {strconv.FormatInt(now.Unix(), 10)},
		"aws:requestedregion": {s.cfg.Region},
		"aws:securetransport": {"true"}, // as the gateway has it
		"sts:rolesessionname": {next.Name},
	}
	if c.SourceIP != "" {
		out["aws:sourceip"] = []string{c.SourceIP}
	}
	if c.UserAgent != "" {
		out["aws:useragent"] = []string{c.UserAgent}
	}
	for k, v := range role.Tags {
		policy.AddResourceTag(out, k, v, "iam")
	}
	return out
}

// sessionLifetime is how long a session of the role may last.
func sessionLifetime(seconds *int32, role Role, chained bool) (time.Duration, error) {
	longest := role.MaxSession
	if longest == 0 {
		longest = defaultSession * time.Second
	}
	wanted := defaultSession * time.Second
	if seconds != nil {
		wanted = time.Duration(*seconds) * time.Second
	}
	switch {
	case chained && wanted > defaultSession*time.Second:
		return 0, invalid("The requested DurationSeconds exceeds the 1 hour session limit for roles assumed by role chaining.")
	case wanted > longest:
		return 0, invalid("The requested DurationSeconds exceeds the MaxSessionDuration set for this role.")
	}
	return wanted, nil
}
