package sts

import (
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	stsapi "github.com/tarn-eks/tarn/internal/api/sts"
	"github.com/tarn-eks/tarn/internal/caller"
	"github.com/tarn-eks/tarn/internal/policy"
	"github.com/tarn-eks/tarn/internal/sigv4"
)

func assume(role, name string) *stsapi.AssumeRoleInput {
	return &stsapi.AssumeRoleInput{RoleArn: &role, RoleSessionName: &name}
}

func TestAssumeRoleDecision(t *testing.T) {
	tagged := func(in *stsapi.AssumeRoleInput) { in.Tags = []stsapi.Tag{{Key: new("team"), Value: new("blue")}} }
	byAnn := `{"AWS":"` + annARN + `"}`
	denied := func(action string) string {
		return "User: " + annARN + " is not authorized to perform: " + action + " on resource: " + roleARN
	}
	for _, c := range []struct {
		name      string
		trust     *policy.Policy
		identity  string // "-": none
		change    func(*stsapi.AssumeRoleInput)
		principal policy.Principal
		want      string // "": allowed; otherwise a prefix
	}{
		{name: "account, with leave"},
		{name: "account, without", identity: "-", want: denied("sts:AssumeRole")},
		{name: "explicit deny", identity: statement("Deny", "", `"sts:AssumeRole"`, ""), want: denied("sts:AssumeRole") + " with an explicit deny in an identity-based policy"},
		{name: "by name, without leave", identity: "-", trust: trust(byAnn, `"sts:AssumeRole"`, "")},
		{name: "another", trust: trust(`{"AWS":"arn:aws:iam::123456789012:user/bob"}`, `"sts:AssumeRole"`, ""), want: denied("sts:AssumeRole")},
		{name: "a service only", trust: trust(`{"Service":"ec2.amazonaws.com"}`, `"sts:AssumeRole"`, ""), want: denied("sts:AssumeRole")},
		{
			name: "external id", trust: trust(byAnn, `"sts:AssumeRole"`, `{"StringEquals":{"sts:ExternalId":"x-1"}}`),
			change: func(in *stsapi.AssumeRoleInput) { in.ExternalId = new("x-1") },
		},
		{name: "no external id", trust: trust(byAnn, `"sts:AssumeRole"`, `{"StringEquals":{"sts:ExternalId":"x-1"}}`), want: denied("sts:AssumeRole")},
		{name: "principal's ARN", trust: trust(`{"AWS":"*"}`, `"sts:AssumeRole"`, `{"ArnLike":{"aws:PrincipalArn":"arn:aws:iam::*:user/a*"}}`)},
		{name: "principal's tag", trust: trust(byAnn, `"sts:AssumeRole"`, `{"StringEquals":{"aws:PrincipalTag/team":"blue"}}`)},
		{name: "another tag", trust: trust(byAnn, `"sts:AssumeRole"`, `{"StringEquals":{"aws:PrincipalTag/team":"red"}}`), want: denied("sts:AssumeRole")},
		{name: "source address", trust: trust(byAnn, `"sts:AssumeRole"`, `{"IpAddress":{"aws:SourceIp":"198.51.100.0/24"}}`), want: denied("sts:AssumeRole")},
		{name: "tags", change: tagged},
		{name: "tags, not trusted to", identity: "-", trust: trust(byAnn, `"sts:AssumeRole"`, ""), change: tagged, want: denied("sts:TagSession")},
		{
			name: "tags, of a value", trust: trust(byAnn, `["sts:AssumeRole","sts:TagSession"]`, `{"StringEquals":{"aws:RequestTag/team":"blue"},"ForAllValues:StringEquals":{"aws:TagKeys":["team"]}}`),
			change: tagged,
		},
		{name: "source identity", change: func(in *stsapi.AssumeRoleInput) { in.SourceIdentity = new("alice") }},
		{
			name: "source identity, not trusted to", identity: "-", trust: trust(byAnn, `"sts:AssumeRole"`, ""),
			change: func(in *stsapi.AssumeRoleInput) { in.SourceIdentity = new("alice") }, want: denied("sts:SetSourceIdentity"),
		},
		{name: "root", principal: root, want: "Roles may not be assumed by root accounts."},
	} {
		now := start
		iam := fixture()
		if c.trust != nil {
			r := iam.roles[roleARN]
			r.Trust = c.trust
			iam.roles[roleARN] = r
		}
		switch c.identity {
		case "":
		case "-":
			delete(iam.identity, annARN)
		default:
			iam.identity[annARN] = c.identity
		}
		who := c.principal
		if who.ARN == "" {
			who = ann
		}
		in := assume(roleARN, "session")
		if c.change != nil {
			c.change(in)
		}
		_, err := newService(t, iam, &now).AssumeRole(as(who), in)
		switch {
		case c.want == "" && err != nil:
			t.Errorf("%s: %v", c.name, err)
		case c.want != "" && (err == nil || !strings.HasPrefix(err.Error(), "AccessDenied: "+c.want)):
			t.Errorf("%s: %v\nwant %s", c.name, err, c.want)
		}
	}
}

// TestAssumeRoleUnknown: to callers, a role that does not exist is one that they
// may not assume.
func TestAssumeRoleUnknown(t *testing.T) {
	now := start
	s := newService(t, fixture(), &now)
	missing := "arn:aws:iam::123456789012:role/missing"
	_, err := s.AssumeRole(as(ann), assume(missing, "session"))
	check(t, err, 403, "AccessDenied", "User: "+annARN+" is not authorized to perform: sts:AssumeRole on resource: "+missing)
	_, err = s.AssumeRole(t.Context(), assume(roleARN, "session"))
	check(t, err, 403, "MissingAuthenticationToken", "Request is missing Authentication Token")
}

func TestAssumeRoleValidation(t *testing.T) {
	const one = "1 validation error detected: "
	for _, c := range []struct {
		name          string
		change        func(*stsapi.AssumeRoleInput)
		code, message string
	}{
		{"short role", func(in *stsapi.AssumeRoleInput) { in.RoleArn = new("app") }, "ValidationError", one + "Value 'app' at 'roleArn' failed to satisfy constraint: Member must have length greater than or equal to 20"},
		{"no role", func(in *stsapi.AssumeRoleInput) { in.RoleArn = new("arn:aws:iam::123456789012:user/ann") }, "ValidationError", "arn:aws:iam::123456789012:user/ann is invalid"},
		{"session name", func(in *stsapi.AssumeRoleInput) { in.RoleSessionName = new("a b") }, "ValidationError", one + `Value 'a b' at 'roleSessionName' failed to satisfy constraint: Member must satisfy regular expression pattern: [\w+=,.@-]*`},
		{"two at once", func(in *stsapi.AssumeRoleInput) { in.RoleSessionName, in.DurationSeconds = new("a"), new(int32(43201)) }, "ValidationError", "2 validation errors detected: Value 'a' at 'roleSessionName' failed to satisfy constraint: Member must have length greater than or equal to 2; Value '43201' at 'durationSeconds' failed to satisfy constraint: Member must have value less than or equal to 43200"},
		{"too long for the role", func(in *stsapi.AssumeRoleInput) { in.DurationSeconds = new(int32(7201)) }, "ValidationError", "The requested DurationSeconds exceeds the MaxSessionDuration set for this role."},
		{"no policy", func(in *stsapi.AssumeRoleInput) { in.Policy = new("{") }, "MalformedPolicyDocument", "Syntax errors in policy."},
		{"no such policy", func(in *stsapi.AssumeRoleInput) {
			in.PolicyArns = []stsapi.PolicyDescriptorType{{Arn: new("arn:aws:iam::aws:policy/Nope")}}
		}, "ValidationError", "Policy arn:aws:iam::aws:policy/Nope does not exist or is not attachable."},
		{"twice a tag", func(in *stsapi.AssumeRoleInput) {
			in.Tags = []stsapi.Tag{{Key: new("a"), Value: new("1")}, {Key: new("A"), Value: new("2")}}
		}, "InvalidParameterValue", "Duplicate tag keys found. Please note that Tag keys are case insensitive."},
		{"transitive", func(in *stsapi.AssumeRoleInput) { in.TransitiveTagKeys = []string{"a"} }, "InvalidParameterValue", "The specified transitive tag key must be included in the requested tags."},
		{"mfa", func(in *stsapi.AssumeRoleInput) { in.SerialNumber = new("arn:aws:iam::123456789012:mfa/ann") }, "AccessDenied", "MultiFactorAuthentication failed, unable to validate MFA code.  Please verify your MFA serial number is valid and associated with this user."},
	} {
		now := start
		in := assume(roleARN, "session")
		c.change(in)
		_, err := newService(t, fixture(), &now).AssumeRole(as(ann), in)
		status := 400
		if c.code == "AccessDenied" {
			status = 403
		}
		t.Run(c.name, func(t *testing.T) { check(t, err, status, c.code, c.message) })
	}
}

func TestSessionPolicies(t *testing.T) {
	now := start
	iam := fixture()
	s := newService(t, iam, &now)
	const readOnly = "arn:aws:iam::aws:policy/ReadOnlyAccess"
	in := assume(roleARN, "session")
	in.Policy = new(statement("Allow", "", `"ec2:*"`, ""))
	in.PolicyArns = []stsapi.PolicyDescriptorType{{Arn: new(readOnly)}}
	out, err := s.AssumeRole(as(ann), in)
	if err != nil {
		t.Fatal(err)
	}
	if out.PackedPolicySize == nil || *out.PackedPolicySize < 1 || *out.PackedPolicySize > 100 {
		t.Errorf("packed size %v", out.PackedPolicySize)
	}
	o, err := s.Open(t.Context(), *out.Credentials.AccessKeyId, *out.Credentials.SessionToken)
	if err != nil {
		t.Fatal(err)
	}
	allowed := func(o Opened, action string) bool {
		all := policy.Policies{Identity: []policy.Source{{Policy: mustParse(policy.IdentityPolicy, statement("Allow", "", `"*"`, ""))}}, Session: o.Policies}
		return policy.Evaluate(&policy.Request{Principal: o.Credential.Caller.Principal, Action: action}, &all).Allowed()
	}
	for action, want := range map[string]bool{"ec2:RunInstances": true, "eks:DescribeCluster": true, "iam:CreateUser": false} {
		if allowed(o, action) != want {
			t.Errorf("%s: allowed %t, want %t", action, !want, want)
		}
	}

	// A session that was limited by a policy which is deleted does not become unlimited.
	in.Policy = nil
	if out, err = s.AssumeRole(as(ann), in); err != nil {
		t.Fatal(err)
	}
	delete(iam.managed, readOnly)
	if o, err = s.Open(t.Context(), *out.Credentials.AccessKeyId, *out.Credentials.SessionToken); err != nil {
		t.Fatal(err)
	}
	if allowed(o, "iam:CreateUser") || allowed(o, "eks:DescribeCluster") {
		t.Error("a session policy that is gone allows")
	}

	// The caller's session policy counts when it assumes the next role.
	in.PolicyArns = nil
	in.Policy = new(statement("Allow", "", `"ec2:*"`, ""))
	if out, err = s.AssumeRole(as(ann), in); err != nil {
		t.Fatal(err)
	}
	if _, err = s.AssumeRole(holding(t, s, out.Credentials), assume(otherARN, "next")); err == nil {
		t.Error("a session limited to EC2 has assumed another role")
	}
}

func TestPackedPolicyTooLarge(t *testing.T) {
	now := start
	in := assume(roleARN, "session")
	for i := range maxTags {
		in.Tags = append(in.Tags, stsapi.Tag{Key: new(noise(i, 120)), Value: new(noise(i+1000, 250))})
	}
	_, err := newService(t, fixture(), &now).AssumeRole(as(ann), in)
	if !stsapi.PackedPolicyTooLargeException.Is(err) {
		t.Errorf("fifty long tags: %v", err)
	}
}

// noise is text that does not compress.
func noise(seed, n int) string {
	x := uint64(seed)*2654435761 + 1
	b := make([]byte, n)
	for i := range b {
		x = x*6364136223846793005 + 1442695040888963407
		b[i] = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_."[x>>58]
	}
	return string(b)
}

// TestChain assumes a role with the credentials of another.
func TestChain(t *testing.T) {
	now, iam := start, fixture()
	s := newService(t, iam, &now)
	in := assume(roleARN, "first")
	in.Tags = []stsapi.Tag{{Key: new("team"), Value: new("blue")}, {Key: new("cost"), Value: new("7")}}
	in.TransitiveTagKeys = []string{"team"}
	in.SourceIdentity = new("alice")
	first, err := s.AssumeRole(as(ann), in)
	if err != nil {
		t.Fatal(err)
	}
	if *first.SourceIdentity != "alice" {
		t.Errorf("source identity %v", first.SourceIdentity)
	}
	ctx := holding(t, s, first.Credentials)
	if got := caller.From(ctx); got.Session.IssuerARN != roleARN || got.Session.IssuerName != "app" || got.Principal.RoleARN != roleARN {
		t.Errorf("caller %+v, session %+v", got, got.Session)
	}
	second, err := s.AssumeRole(ctx, assume(otherARN, "second"))
	if err != nil {
		t.Fatal(err)
	}
	who := caller.From(holding(t, s, second.Credentials))
	tags, err := s.PrincipalTags(ctx, who)
	if diff := cmp.Diff(map[string]string{"team": "blue"}, tags); diff != "" || err != nil {
		t.Errorf("tags of the second session (-want +got):\n%s%v", diff, err)
	}
	if *second.SourceIdentity != "alice" {
		t.Errorf("the second session's source identity is %v", second.SourceIdentity)
	}
	iam.roles[otherARN] = func(r Role) Role {
		r.Trust = trust(`{"AWS":"*"}`, `["sts:AssumeRole","sts:TagSession","sts:SetSourceIdentity"]`,
			`{"StringEquals":{"aws:PrincipalTag/team":"blue","aws:PrincipalTag/cost":"7","aws:SourceIdentity":"alice"},"DateLessThan":{"aws:TokenIssueTime":"2026-11-23T08:00:01Z"}}`)
		return r
	}(iam.roles[otherARN])
	if _, err := s.AssumeRole(ctx, assume(otherARN, "second")); err != nil {
		t.Errorf("by the conditions of the caller's session: %v", err)
	}

	next := assume(otherARN, "second")
	next.DurationSeconds = new(int32(3601))
	_, err = s.AssumeRole(ctx, next)
	check(t, err, 400, "ValidationError", "The requested DurationSeconds exceeds the 1 hour session limit for roles assumed by role chaining.")
	next = assume(otherARN, "second")
	next.SourceIdentity = new("mallory")
	if _, err = s.AssumeRole(ctx, next); err == nil || !strings.Contains(err.Error(), "is not authorized to perform: sts:SetSourceIdentity on resource: "+otherARN) {
		t.Errorf("the source identity was changed: %v", err)
	}
	next = assume(otherARN, "second")
	next.Tags = []stsapi.Tag{{Key: new("TEAM"), Value: new("red")}}
	if _, err = s.AssumeRole(ctx, next); err == nil {
		t.Error("a transitive tag was changed")
	}
	// A caller whose session is no longer in memory is never taken for one without.
	s.opened.Purge()
	_, err = s.AssumeRole(ctx, assume(otherARN, "second"))
	check(t, err, 503, "ServiceUnavailable", "Service is unable to handle request. Please try again.")
}

func TestRecreatedRole(t *testing.T) {
	now := start
	iam := fixture()
	s := newService(t, iam, &now)
	out, err := s.AssumeRole(as(ann), assume(roleARN, "session"))
	if err != nil {
		t.Fatal(err)
	}
	open := func() error {
		_, err := s.Open(t.Context(), *out.Credentials.AccessKeyId, *out.Credentials.SessionToken)
		return err
	}
	if err := open(); err != nil {
		t.Fatal(err)
	}
	role := iam.roles[roleARN]
	delete(iam.roles, roleARN)
	if err := open(); !errors.Is(err, sigv4.ErrUnknownKey) {
		t.Errorf("the session of a deleted role: %v", err)
	}
	role.ID = "AROANEWNEWNEWNEWNEWN1"
	iam.roles[roleARN] = role
	if err := open(); !errors.Is(err, sigv4.ErrUnknownKey) {
		t.Errorf("the session of a recreated role: %v", err)
	}
}

func TestRotating(t *testing.T) {
	now := start
	iam := fixture()
	role := iam.roles[roleARN]
	role.Trust = trust(`{"Service":"ec2.amazonaws.com"}`, `"sts:AssumeRole"`, "")
	role.Tags = map[string]string{"Team": "red"}
	iam.roles[roleARN] = role
	s := newService(t, iam, &now)
	r := NewRotating(s)
	get := func(id string) Credentials {
		t.Helper()
		c, err := r.Credentials(t.Context(), id, roleARN)
		if err != nil {
			t.Fatal(err)
		}
		return c
	}
	const one, two = "i-0123456789abcdef0", "i-0123456789abcdef1"
	first := get(one)
	if first.Expires.Sub(now) != 6*time.Hour || first != get(one) || first == get(two) {
		t.Errorf("first credentials %+v", first)
	}
	o, err := s.Open(t.Context(), first.AccessKeyID, first.SessionToken)
	if err != nil {
		t.Fatal(err)
	}
	who := o.Credential.Caller
	if who.Session.InstanceID != one || who.Principal.ARN != "arn:aws:sts::123456789012:assumed-role/app/"+one {
		t.Errorf("credentials of %+v, %+v", who.Principal, who.Session)
	}
	if tags, err := s.PrincipalTags(t.Context(), who); err != nil || tags["team"] != "red" {
		t.Errorf("the role's tags %v, %v", tags, err)
	}
	now = start.Add(5*time.Hour - time.Second)
	if get(one) != first {
		t.Error("renewed more than an hour before the end")
	}
	now = start.Add(5 * time.Hour)
	second := get(one)
	if second == first {
		t.Error("not renewed an hour before the end")
	}
	now = start.Add(12 * time.Hour)
	get(two)
	if len(r.held) != 1 {
		t.Errorf("%d instances are remembered; the credentials of one have expired", len(r.held))
	}
	role.ID = "AROANEWNEWNEWNEWNEWN1"
	role.Trust = trust(`{"Service":"eks.amazonaws.com"}`, `"sts:AssumeRole"`, "")
	iam.roles[roleARN] = role
	if _, err := r.Credentials(t.Context(), two, roleARN); err == nil || !strings.Contains(err.Error(), "ec2.amazonaws.com is not authorized to perform: sts:AssumeRole") {
		t.Errorf("a role that does not trust EC2: %v", err)
	}
}

func TestRotatingTogether(t *testing.T) {
	now := start
	iam := fixture()
	role := iam.roles[roleARN]
	role.Trust = trust(`{"Service":"ec2.amazonaws.com"}`, `"sts:AssumeRole"`, "")
	iam.roles[roleARN] = role
	r := NewRotating(newService(t, iam, &now))
	got := make(chan Credentials)
	for range 20 {
		go func() {
			c, err := r.Credentials(t.Context(), "i-0123456789abcdef0", roleARN)
			if err != nil {
				t.Error(err)
			}
			got <- c
		}()
	}
	first := <-got
	for range 19 {
		if c := <-got; c != first {
			t.Errorf("two sets of credentials for one instance: %s, %s", c.AccessKeyID, first.AccessKeyID)
		}
	}
}
