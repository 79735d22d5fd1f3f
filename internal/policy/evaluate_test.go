package policy

import (
	"fmt"
	"reflect"
	"strings"
	"testing"
)

const (
	account = "123456789012"
	bucket  = "arn:aws:s3:::b/o"
)

var (
	ann = Principal{Type: User, ARN: "arn:aws:iam::123456789012:user/ann", Account: account, UserName: "ann", UserID: "AIDAANN"}
	ses = Principal{Type: AssumedRole, ARN: "arn:aws:sts::123456789012:assumed-role/r/s", RoleARN: "arn:aws:iam::123456789012:role/p/r", Account: account, UserID: "AROAR:s"}
	top = Principal{Type: Root, ARN: "arn:aws:iam::123456789012:root", Account: account, UserID: account}
)

func say(effect, action, resource string) string {
	return fmt.Sprintf(`{"Effect":%q,"Action":%q,"Resource":%q}`, effect, action, resource)
}

func sources(t testing.TB, documents ...string) []Source {
	var out []Source
	for i, d := range documents {
		out = append(out, Source{fmt.Sprint("p", i), mustParse(t, IdentityPolicy, d)})
	}
	return out
}

func TestEvaluateIdentity(t *testing.T) {
	tests := []struct {
		name      string
		documents []string
		action    string
		resources []string
		context   map[string][]string
		want      Outcome
	}{
		{"nothing", nil, "s3:GetObject", nil, nil, ImplicitDeny},
		{"allow", []string{identity(say("Allow", "s3:Get*", "*"))}, "S3:getobject", []string{bucket}, nil, Allowed},
		{"another action", []string{identity(say("Allow", "s3:Get*", "*"))}, "s3:PutObject", []string{bucket}, nil, ImplicitDeny},
		{"another resource", []string{identity(say("Allow", "s3:*", "arn:aws:s3:::c/*"))}, "s3:GetObject", []string{bucket}, nil, ImplicitDeny},
		{"deny wins", []string{identity(say("Allow", "*", "*") + "," + say("Deny", "s3:*", "*"))}, "s3:GetObject", []string{bucket}, nil, ExplicitDeny},
		{"deny wins over other policies", []string{identity(say("Deny", "s3:*", "*")), identity(say("Allow", "*", "*"))}, "s3:GetObject", []string{bucket}, nil, ExplicitDeny},
		{"deny elsewhere", []string{identity(say("Allow", "*", "*") + "," + say("Deny", "s3:*", "arn:aws:s3:::c/*"))}, "s3:GetObject", []string{bucket}, nil, Allowed},
		{"several resources, all allowed", []string{identity(say("Allow", "ec2:*", "arn:aws:ec2:*:*:instance/*") + "," + say("Allow", "ec2:*", "arn:aws:ec2:*:*:subnet/*"))}, "ec2:RunInstances",
			[]string{"arn:aws:ec2:a:1:instance/i", "arn:aws:ec2:a:1:subnet/s"}, nil, Allowed},
		{"several resources, one not", []string{identity(say("Allow", "ec2:*", "arn:aws:ec2:*:*:instance/*"))}, "ec2:RunInstances",
			[]string{"arn:aws:ec2:a:1:instance/i", "arn:aws:ec2:a:1:subnet/s"}, nil, ImplicitDeny},
		{"no resource needs a star", []string{identity(say("Allow", "ec2:*", "arn:aws:ec2:*:*:*"))}, "ec2:DescribeInstances", nil, nil, ImplicitDeny},
		{"no resource", []string{identity(say("Allow", "ec2:*", "*"))}, "ec2:DescribeInstances", []string{"*"}, nil, Allowed},
		{"NotAction", []string{identity(`{"Effect":"Allow","NotAction":["iam:*","sts:*"],"Resource":"*"}`)}, "ec2:RunInstances", nil, nil, Allowed},
		{"NotAction, the action", []string{identity(`{"Effect":"Allow","NotAction":["iam:*","sts:*"],"Resource":"*"}`)}, "iam:ListUsers", nil, nil, ImplicitDeny},
		{"NotResource", []string{identity(`{"Effect":"Deny","Action":"*","NotResource":"arn:aws:s3:::b/*"}`)}, "s3:GetObject", []string{bucket}, nil, ImplicitDeny},
		{"NotResource, another", []string{identity(`{"Effect":"Deny","Action":"*","NotResource":"arn:aws:s3:::c/*"}`)}, "s3:GetObject", []string{bucket}, nil, ExplicitDeny},
		{"NotResource, none", []string{identity(`{"Effect":"Deny","Action":"*","NotResource":"arn:aws:s3:::c/*"}`)}, "ec2:DescribeInstances", nil, nil, ExplicitDeny},
		{"variable", []string{identity(say("Allow", "s3:*", "arn:aws:s3:::home/${aws:username}/*"))}, "s3:GetObject", []string{"arn:aws:s3:::home/ann/x"}, nil, Allowed},
		{"variable of somebody else", []string{identity(say("Allow", "s3:*", "arn:aws:s3:::home/${aws:username}/*"))}, "s3:GetObject", []string{"arn:aws:s3:::home/bob/x"}, nil, ImplicitDeny},
		{"tag variable", []string{identity(say("Allow", "s3:*", "arn:aws:s3:::${aws:PrincipalTag/Team, 'shared'}/*"))}, "s3:GetObject", []string{"arn:aws:s3:::red/x"}, map[string][]string{"aws:PrincipalTag/team": {"red"}}, Allowed},
		{"tag variable's default", []string{identity(say("Allow", "s3:*", "arn:aws:s3:::${aws:PrincipalTag/Team, 'shared'}/*"))}, "s3:GetObject", []string{"arn:aws:s3:::shared/x"}, nil, Allowed},
		{"condition", []string{identity(`{"Effect":"Allow","Action":"*","Resource":"*","Condition":{"StringEquals":{"aws:RequestedRegion":"ap-northeast-2"}}}`)}, "ec2:RunInstances", nil, map[string][]string{"AWS:requestedregion": {"ap-northeast-2"}}, Allowed},
		{"condition fails", []string{identity(`{"Effect":"Allow","Action":"*","Resource":"*","Condition":{"StringEquals":{"aws:RequestedRegion":"ap-northeast-2"}}}`)}, "ec2:RunInstances", nil, map[string][]string{"aws:RequestedRegion": {"us-east-1"}}, ImplicitDeny},
		{"two conditions, one fails", []string{identity(`{"Effect":"Allow","Action":"*","Resource":"*","Condition":{"StringEquals":{"a:x":"1","a:y":"2"}}}`)}, "ec2:RunInstances", nil, map[string][]string{"a:x": {"1"}, "a:y": {"3"}}, ImplicitDeny},
		{"key of the principal", []string{identity(`{"Effect":"Allow","Action":"*","Resource":"*","Condition":{"ArnLike":{"aws:PrincipalArn":"arn:aws:iam::*:user/a*"},"StringEquals":{"aws:PrincipalType":"User","aws:PrincipalAccount":"123456789012","aws:userid":"AIDAANN"}}}`)}, "ec2:RunInstances", nil, nil, Allowed},
		{"MFA, absent", []string{identity(say("Allow", "*", "*") + `,{"Effect":"Deny","NotAction":"iam:*","Resource":"*","Condition":{"BoolIfExists":{"aws:MultiFactorAuthPresent":"false"}}}`)}, "ec2:RunInstances", nil, nil, ExplicitDeny},
		{"tags", []string{identity(`{"Effect":"Allow","Action":"ec2:CreateTags","Resource":"*","Condition":{"ForAllValues:StringEquals":{"aws:TagKeys":["a","b"]},"Null":{"aws:TagKeys":"false"}}}`)}, "ec2:CreateTags", nil, map[string][]string{"aws:TagKeys": {"a"}}, Allowed},
		{"tags, none", []string{identity(`{"Effect":"Allow","Action":"ec2:CreateTags","Resource":"*","Condition":{"ForAllValues:StringEquals":{"aws:TagKeys":["a","b"]},"Null":{"aws:TagKeys":"false"}}}`)}, "ec2:CreateTags", nil, nil, ImplicitDeny},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			r := &Request{Principal: ann, Action: tt.action, Resources: tt.resources, Context: tt.context}
			d := Evaluate(r, &Policies{Identity: sources(t, tt.documents...)})
			if d.Outcome != tt.want {
				t.Errorf("%v, want %v (%+v)", d.Outcome, tt.want, d)
			}
			if (len(d.Matched) > 0) != (tt.want != ImplicitDeny) {
				t.Errorf("matched %v", d.Matched)
			}
			// The account root is not subject to its users' policies.
			r.Principal = top
			if d := Evaluate(r, &Policies{}); !d.Allowed() {
				t.Error("root was denied")
			}
		})
	}
}

// TestEvaluationTable holds the tables of AWS's page on evaluation within one account:
// what each type of policy says, and what comes of it.
func TestEvaluationTable(t *testing.T) {
	on := func(effect, principal string) string {
		if principal == "" {
			return ""
		}
		return `{"Version":"2012-10-17","Statement":{"Effect":"` + effect + `","Principal":` + principal + `,"Action":"s3:*","Resource":"*"}}`
	}
	aws := func(arn string) string { return `{"AWS":"` + arn + `"}` }
	const yes, no, none, deny = "yes", "no", "none", "deny"
	tests := []struct {
		name                        string
		principal                   Principal
		resource                    string // principal element of the resource's policy, which allows
		identity, boundary, session string
		want                        Outcome
		by                          Type
	}{
		{"user, identity", ann, "", yes, none, none, Allowed, 0},
		{"user, nothing", ann, "", no, none, none, ImplicitDeny, IdentityBased},
		{"user, boundary too", ann, "", yes, yes, none, Allowed, 0},
		{"user, not in the boundary", ann, "", yes, no, none, ImplicitDeny, PermissionsBoundary},
		{"user, boundary alone", ann, "", no, yes, none, ImplicitDeny, IdentityBased},
		{"user, boundary denies", ann, "", yes, deny, none, ExplicitDeny, PermissionsBoundary},
		{"user by ARN, nothing else", ann, aws(ann.ARN), no, none, none, Allowed, 0},
		{"user by ARN, boundary silent", ann, aws(ann.ARN), no, no, none, Allowed, 0},
		{"user by ARN, boundary denies", ann, aws(ann.ARN), no, deny, none, ExplicitDeny, PermissionsBoundary},
		{"user by ARN, identity denies", ann, aws(ann.ARN), deny, none, none, ExplicitDeny, IdentityBased},
		{"user by account", ann, aws(account), no, none, none, ImplicitDeny, IdentityBased},
		{"user by account and identity", ann, aws("arn:aws:iam::123456789012:root"), yes, none, none, Allowed, 0},
		{"user by everyone", ann, `"*"`, no, none, none, Allowed, 0},
		{"user by everyone, not in the boundary", ann, `{"AWS":"*"}`, no, no, none, ImplicitDeny, PermissionsBoundary},
		{"another user's ARN", ann, aws("arn:aws:iam::123456789012:user/bob"), no, none, none, ImplicitDeny, IdentityBased},
		{"session, identity", ses, "", yes, none, none, Allowed, 0},
		{"session, session policy too", ses, "", yes, none, yes, Allowed, 0},
		{"session, not in the session policy", ses, "", yes, none, no, ImplicitDeny, Session},
		{"session, session policy alone", ses, "", no, none, yes, ImplicitDeny, IdentityBased},
		{"session, session policy denies", ses, "", yes, none, deny, ExplicitDeny, Session},
		{"session, three allow", ses, "", yes, yes, yes, Allowed, 0},
		{"role ARN, nothing else", ses, aws(ses.RoleARN), no, none, none, Allowed, 0},
		{"role ARN, boundary and session silent", ses, aws(ses.RoleARN), no, no, no, ImplicitDeny, PermissionsBoundary},
		{"role ARN, session silent", ses, aws(ses.RoleARN), no, yes, no, ImplicitDeny, Session},
		{"role ARN, boundary and session allow", ses, aws(ses.RoleARN), no, yes, yes, Allowed, 0},
		{"session ARN, all silent", ses, aws(ses.ARN), no, no, no, Allowed, 0},
		{"root", top, "", none, none, none, Allowed, 0},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			var p Policies
			source := func(what string) Source {
				switch what {
				case yes:
					return sources(t, identity(say("Allow", "s3:*", "*")))[0]
				case no:
					return sources(t, identity(say("Allow", "ec2:*", "*")))[0]
				case deny:
					return sources(t, identity(say("Allow", "s3:*", "*")+","+say("Deny", "s3:Get*", "*")))[0]
				}
				return Source{}
			}
			p.Identity = append(p.Identity, source(tt.identity))
			p.Boundary = source(tt.boundary)
			if tt.session != none {
				p.Session = append(p.Session, source(tt.session))
			}
			if tt.resource != "" {
				p.Resource = Source{"bucket", mustParse(t, ResourcePolicy, on("Allow", tt.resource))}
			}
			r := &Request{Principal: tt.principal, Action: "s3:GetObject", Resources: []string{bucket}}
			d := Evaluate(r, &p)
			if d.Outcome != tt.want || d.Outcome != Allowed && d.By != tt.by {
				t.Errorf("%v by %v, want %v by %v", d.Outcome, d.By, tt.want, tt.by)
			}
			if want := tt.boundary == none || tt.boundary == yes; d.Bounded != want {
				t.Errorf("within the boundary: %v", d.Bounded)
			}
			// The resource's policy can always deny, also the root.
			p.Resource = Source{"bucket", mustParse(t, ResourcePolicy, on("Deny", `"*"`))}
			if d := Evaluate(r, &p); d.Outcome != ExplicitDeny {
				t.Errorf("denied by the resource: %v", d.Outcome)
			}
		})
	}
}

func TestCrossAccount(t *testing.T) {
	allow := sources(t, identity(say("Allow", "s3:*", "*")))
	policy := func(arn string) Source {
		return Source{"b", mustParse(t, ResourcePolicy, `{"Statement":{"Effect":"Allow","Principal":{"AWS":"`+arn+`"},"Action":"s3:*","Resource":"*"}}`)}
	}
	r := &Request{Principal: ann, Action: "s3:GetObject", Resources: []string{bucket}, ResourceAccount: "999999999999"}
	for _, tt := range []struct {
		name string
		p    Policies
		want Outcome
		by   Type
	}{
		{"identity alone", Policies{Identity: allow}, ImplicitDeny, ResourceBased},
		{"resource alone", Policies{Resource: policy(ann.ARN)}, ImplicitDeny, IdentityBased},
		{"both", Policies{Identity: allow, Resource: policy(ann.ARN)}, Allowed, 0},
		{"the account and the identity", Policies{Identity: allow, Resource: policy(account)}, Allowed, 0},
	} {
		if d := Evaluate(r, &tt.p); d.Outcome != tt.want || d.Outcome != Allowed && d.By != tt.by {
			t.Errorf("%s: %v by %v", tt.name, d.Outcome, d.By)
		}
	}
}

func TestTrust(t *testing.T) {
	const (
		role     = "arn:aws:iam::123456789012:role/r"
		issuer   = "oidc.eks.ap-northeast-2.amazonaws.com/id/ABC"
		provider = "arn:aws:iam::123456789012:oidc-provider/" + issuer
	)
	trust := func(statement string) Source {
		return Source{"trust", mustParse(t, TrustPolicy, `{"Version":"2012-10-17","Statement":[`+statement+`]}`)}
	}
	simple := func(principal string) Source {
		return trust(`{"Effect":"Allow","Principal":` + principal + `,"Action":["sts:AssumeRole","sts:TagSession"]}`)
	}
	irsa := trust(`{"Effect":"Allow","Principal":{"Federated":"` + provider + `"},"Action":"sts:AssumeRoleWithWebIdentity",
		"Condition":{"StringEquals":{"` + issuer + `:aud":"sts.amazonaws.com","` + issuer + `:sub":"system:serviceaccount:kube-system:cluster-autoscaler"}}}`)
	pod := Principal{Type: WebIdentity, Federated: provider}
	claims := func(sub, aud string) map[string][]string {
		return map[string][]string{issuer + ":sub": {sub}, issuer + ":aud": {aud}}
	}
	mayAssume := sources(t, identity(say("Allow", "sts:AssumeRole", role)))
	ec2 := Principal{Type: Service, Service: "ec2.amazonaws.com"}
	tests := []struct {
		name      string
		principal Principal
		action    string
		trust     Source
		identity  []Source
		context   map[string][]string
		want      Outcome
	}{
		{"service", ec2, "sts:AssumeRole", simple(`{"Service":"ec2.amazonaws.com"}`), nil, nil, Allowed},
		{"another service", ec2, "sts:AssumeRole", simple(`{"Service":"eks.amazonaws.com"}`), nil, nil, ImplicitDeny},
		{"a service is no AWS principal", ec2, "sts:AssumeRole", simple(`{"AWS":"*"}`), nil, nil, ImplicitDeny},
		{"another action", ec2, "sts:AssumeRoleWithWebIdentity", simple(`{"Service":"ec2.amazonaws.com"}`), nil, nil, ImplicitDeny},
		{"user by ARN", ann, "sts:AssumeRole", simple(`{"AWS":"` + ann.ARN + `"}`), nil, nil, Allowed},
		{"user by account", ann, "sts:AssumeRole", simple(`{"AWS":"123456789012"}`), nil, nil, ImplicitDeny},
		{"user by account, with leave", ann, "sts:AssumeRole", simple(`{"AWS":"arn:aws:iam::123456789012:root"}`), mayAssume, nil, Allowed},
		{"leave without trust", ann, "sts:AssumeRole", simple(`{"Service":"ec2.amazonaws.com"}`), mayAssume, nil, ImplicitDeny},
		{"another account", ann, "sts:AssumeRole", simple(`{"AWS":"999999999999"}`), mayAssume, nil, ImplicitDeny},
		{"session of a trusted role", ses, "sts:AssumeRole", simple(`{"AWS":"` + ses.RoleARN + `"}`), nil, nil, Allowed},
		{"trusted session", ses, "sts:AssumeRole", simple(`{"AWS":"` + ses.ARN + `"}`), nil, nil, Allowed},
		{"session of another role", ses, "sts:AssumeRole", simple(`{"AWS":"arn:aws:iam::123456789012:role/r"}`), nil, nil, ImplicitDeny},
		{"root without trust", top, "sts:AssumeRole", simple(`{"Service":"ec2.amazonaws.com"}`), nil, nil, ImplicitDeny},
		{"root", top, "sts:AssumeRole", simple(`{"AWS":"123456789012"}`), nil, nil, Allowed},
		{"trust denies", ann, "sts:AssumeRole", trust(`{"Effect":"Allow","Principal":{"AWS":"*"},"Action":"sts:AssumeRole"},{"Effect":"Deny","Principal":{"AWS":"` + ann.ARN + `"},"Action":"sts:*"}`), mayAssume, nil, ExplicitDeny},
		{"external id", ann, "sts:AssumeRole", trust(`{"Effect":"Allow","Principal":{"AWS":"` + ann.ARN + `"},"Action":"sts:AssumeRole","Condition":{"StringEquals":{"sts:ExternalId":"x"}}}`), nil, map[string][]string{"sts:ExternalId": {"x"}}, Allowed},
		{"no external id", ann, "sts:AssumeRole", trust(`{"Effect":"Allow","Principal":{"AWS":"` + ann.ARN + `"},"Action":"sts:AssumeRole","Condition":{"StringEquals":{"sts:ExternalId":"x"}}}`), nil, nil, ImplicitDeny},
		{"service account", pod, "sts:AssumeRoleWithWebIdentity", irsa, nil, claims("system:serviceaccount:kube-system:cluster-autoscaler", "sts.amazonaws.com"), Allowed},
		{"another service account", pod, "sts:AssumeRoleWithWebIdentity", irsa, nil, claims("system:serviceaccount:default:default", "sts.amazonaws.com"), ImplicitDeny},
		{"another audience", pod, "sts:AssumeRoleWithWebIdentity", irsa, nil, claims("system:serviceaccount:kube-system:cluster-autoscaler", "x"), ImplicitDeny},
		{"another provider", Principal{Type: WebIdentity, Federated: provider + "D"}, "sts:AssumeRoleWithWebIdentity", irsa, nil, claims("system:serviceaccount:kube-system:cluster-autoscaler", "sts.amazonaws.com"), ImplicitDeny},
		{"nobody", Principal{}, "sts:AssumeRole", simple(`{"AWS":"123456789012"}`), nil, nil, ImplicitDeny},
	}
	for _, tt := range tests {
		d := Evaluate(&Request{Principal: tt.principal, Action: tt.action, Resources: []string{role}, Context: tt.context},
			&Policies{Identity: tt.identity, Resource: tt.trust})
		if d.Outcome != tt.want {
			t.Errorf("%s: %v by %v", tt.name, d.Outcome, d.By)
		}
	}
}

func TestNotPrincipal(t *testing.T) {
	p := Policies{
		Identity: sources(t, identity(say("Allow", "*", "*"))),
		Resource: Source{"b", mustParse(t, ResourcePolicy, `{"Statement":{"Effect":"Deny","NotPrincipal":{"AWS":["`+ann.ARN+`","123456789012"]},"Action":"s3:*","Resource":"*"}}`)},
	}
	bob := Principal{Type: User, ARN: "arn:aws:iam::999999999999:user/bob", Account: "999999999999"}
	for _, tt := range []struct {
		who  Principal
		want Outcome
	}{{ann, Allowed}, {bob, ExplicitDeny}, {Principal{Type: Service, Service: "x.amazonaws.com"}, ExplicitDeny}} {
		if d := Evaluate(&Request{Principal: tt.who, Action: "s3:GetObject", Resources: []string{bucket}}, &p); d.Outcome != tt.want {
			t.Errorf("%s: %v", tt.who.ARN, d.Outcome)
		}
	}
}

// The most direct of several grants counts, wherever it stands.
func TestGrants(t *testing.T) {
	direct := `{"Effect":"Allow","Principal":{"AWS":"` + ann.ARN + `"},"Action":"*"}`
	indirect := `{"Effect":"Allow","Principal":{"AWS":"123456789012"},"Action":"*"}`
	for _, statements := range []string{direct + "," + indirect, indirect + "," + direct} {
		p := Policies{Resource: Source{"r", mustParse(t, ResourcePolicy, `{"Statement":[`+statements+`]}`)}}
		d := Evaluate(&Request{Principal: ann, Action: "ecr:BatchGetImage", Resources: []string{"arn:aws:ecr:a:1:repository/r"}}, &p)
		if !d.Allowed() || len(d.Matched) != 2 {
			t.Errorf("%+v", d)
		}
	}
}

func TestMatched(t *testing.T) {
	p := Policies{Identity: sources(t,
		identity(`{"Sid":"Read","Effect":"Allow","Action":"s3:Get*","Resource":"*"},`+say("Allow", "ec2:*", "*")),
		identity(`{"Sid":"All","Effect":"Allow","Action":"s3:*","Resource":"*"}`))}
	d := Evaluate(&Request{Principal: ann, Action: "s3:GetObject", Resources: []string{bucket, "arn:aws:s3:::c"}}, &p)
	var got []string
	for _, m := range d.Matched {
		got = append(got, fmt.Sprint(m.Source, m.Sid, m.Index, m.Type))
	}
	if want := []string{"p0Read0 0", "p1All0 0"}; !reflect.DeepEqual(strings.Fields(strings.Join(got, " ")), strings.Fields(strings.Join(want, " "))) {
		t.Errorf("%q", got)
	}
}

// The caller's context is its own.
func TestContextIsLeftAlone(t *testing.T) {
	context := map[string][]string{"AWS:Username": {"x"}, "Other:Key": {"y"}}
	p := Policies{Identity: sources(t, identity(`{"Effect":"Allow","Action":"*","Resource":"*","Condition":{"StringEquals":{"other:key":"y","aws:username":"x"}}}`))}
	if d := Evaluate(&Request{Principal: ann, Action: "a:b", Context: context}, &p); !d.Allowed() {
		t.Error("keys in upper case are not found, or do not take precedence")
	}
	if !reflect.DeepEqual(context, map[string][]string{"AWS:Username": {"x"}, "Other:Key": {"y"}}) {
		t.Error(context)
	}
}
