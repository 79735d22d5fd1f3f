package policy

import (
	"errors"
	"strings"
	"testing"
)

func mustParse(t testing.TB, kind Kind, document string) *Policy {
	t.Helper()
	p, err := Parse(kind, document)
	if err != nil {
		t.Fatalf("%v\n%s", err, document)
	}
	return p
}

func identity(statements string) string {
	return `{"Version":"2012-10-17","Statement":[` + statements + `]}`
}

func TestParseIdentity(t *testing.T) {
	const good = `{"Effect":"Allow","Action":"s3:*","Resource":"*"}`
	arn := func(r string) string {
		return identity(`{"Effect":"Allow","Action":"s3:*","Resource":"` + r + `"}`)
	}
	tests := []struct{ name, document, want string }{
		{"one statement", `{"Version":"2012-10-17","Statement":` + good + `}`, ""},
		{"list", identity(good + "," + good), ""},
		{"id", `{"Version":"2012-10-17","Id":"x","Statement":` + good + `}`, ""},
		{"white space", " \n" + identity(good) + "\n ", ""},
		{"empty", "", msgSyntax},
		{"not JSON", "{", msgSyntax},
		{"trailing text", identity(good) + "x", msgSyntax},
		{"second document", identity(good) + identity(good), msgSyntax},
		{"list at the top", "[" + identity(good) + "]", msgSyntax},
		{"null", "null", msgSyntax},
		{"element twice", `{"Version":"2012-10-17","Version":"2012-10-17","Statement":` + good + `}`, msgSyntax},
		{"not UTF-8", identity(`{"Effect":"Allow","Action":"s3:*","Resource":"*","Sid":"` + "\xff" + `"}`), msgSyntax},
		{"unknown element", `{"Version":"2012-10-17","Extra":"","Statement":` + good + `}`, msgSyntax},
		{"element in lower case", `{"version":"2012-10-17","Statement":` + good + `}`, msgSyntax},
		{"unknown version", `{"Version":"2013-10-17","Statement":` + good + `}`, msgSyntax},
		{"old version", `{"Version":"2008-10-17","Statement":` + good + `}`, msgVersion},
		{"no version", `{"Statement":` + good + `}`, msgVersion},
		{"id is a list", `{"Version":"2012-10-17","Id":["x"],"Statement":` + good + `}`, msgSyntax},
		{"no statement", `{"Version":"2012-10-17"}`, msgSyntax},
		{"no statements", identity(""), msgSyntax},
		{"statement is a string", `{"Version":"2012-10-17","Statement":"x"}`, msgSyntax},
		{"no effect", identity(`{"Action":"s3:*","Resource":"*"}`), msgSyntax},
		{"wrong effect", identity(`{"Effect":"Permit","Action":"s3:*","Resource":"*"}`), msgSyntax},
		{"effect in lower case", identity(`{"Effect":"allow","Action":"s3:*","Resource":"*"}`), msgLegacy},
		{"unknown statement element", identity(`{"Effect":"Allow","Action":"s3:*","Resource":"*","Extra":1}`), msgSyntax},
		{"principal", identity(`{"Effect":"Allow","Action":"s3:*","Resource":"*","Principal":"*"}`), "Policy document should not specify a principal."},
		{"not principal", identity(`{"Effect":"Deny","Action":"s3:*","Resource":"*","NotPrincipal":"*"}`), "Policy document should not specify a principal."},
		{"no action", identity(`{"Effect":"Allow","Resource":"*"}`), msgActions},
		{"no actions", identity(`{"Effect":"Allow","Action":[],"Resource":"*"}`), msgActions},
		{"action is an object", identity(`{"Effect":"Allow","Action":{},"Resource":"*"}`), msgSyntax},
		{"both actions", identity(`{"Effect":"Allow","Action":"s3:*","NotAction":"s3:*","Resource":"*"}`), msgSyntax},
		{"no vendor", identity(`{"Effect":"Allow","Action":"GetObject","Resource":"*"}`), msgVendor},
		{"two colons", identity(`{"Effect":"Allow","Action":"s3:Get:Object","Resource":"*"}`), "Actions/Condition can contain only one colon."},
		{"bad vendor", identity(`{"Effect":"Allow","Action":["s3:*","s 3:Get"],"Resource":"*"}`), "Vendor s 3 is not valid"},
		{"vendor in NotAction", identity(`{"Effect":"Allow","NotAction":"x_y:z","Resource":"*"}`), "Vendor x_y is not valid"},
		{"no resource", identity(`{"Effect":"Allow","Action":"s3:*"}`), msgResource},
		{"no resources", identity(`{"Effect":"Allow","Action":"s3:*","Resource":[]}`), msgResource},
		{"both resources", identity(`{"Effect":"Allow","Action":"s3:*","Resource":"*","NotResource":"*"}`), msgSyntax},
		{"no ARN", arn("bucket"), `Resource bucket must be in ARN format or "*".`},
		{"no ARN either", arn("a:b:c"), `Resource a:b:c must be in ARN format or "*".`},
		{"partition", arn("arn:mars:s3:::b"), `Partition "mars" is not valid for resource "arn:mars:s3:::b".`},
		{"partition, short", arn("arn:mars:s3"), `Partition "mars" is not valid for resource "arn:mars:s3:*:*:*".`},
		{"only a partition", arn("arn:aws"), "Resource vendor must be fully qualified and cannot contain regexes."},
		{"no service", arn("arn:aws::::b"), msgLegacy},
		{"legacy colons", arn("arn:aws:sqs::"), msgLegacy},
		{"incomplete", arn("arn:aws:sqs"), ""},
		{"s3 region", arn("arn:aws:s3:us-east-1::b"), "Resource arn:aws:s3:us-east-1::b can not contain region information."},
		{"iam region", arn("arn:aws:iam:us-east-1::user/x"), "IAM resource arn:aws:iam:us-east-1::user/x cannot contain region information."},
		{"iam path", arn("arn:aws:iam::123456789012:nothing/x"), `IAM resource path must either be "*" or start with user/, federated-user/, role/, group/, instance-profile/, mfa/, server-certificate/, policy/, sms-mfa/, saml-provider/, oidc-provider/, report/, access-report/.`},
		{"iam star", arn("arn:aws:iam::*:*"), ""},
		{"variable with colon", arn("arn:aws:iam::${aws:PrincipalAccount}:user/${aws:username}"), ""},
		{"sid twice", identity(`{"Sid":"a","Effect":"Allow","Action":"s3:*","Resource":"*"},{"Sid":"a","Effect":"Allow","Action":"s3:*","Resource":"*"}`), msgSidTwice},
		{"empty sids", identity(`{"Sid":"","Effect":"Allow","Action":"s3:*","Resource":"*"},{"Sid":"","Effect":"Allow","Action":"s3:*","Resource":"*"}`), ""},
		{"sid form", identity(`{"Sid":"a b","Effect":"Allow","Action":"s3:*","Resource":"*"}`), msgSidForm},
		{"sid number", identity(`{"Sid":1,"Effect":"Allow","Action":"s3:*","Resource":"*"}`), msgSyntax},
		{"condition", identity(`{"Effect":"Allow","Action":"s3:*","Resource":"*","Condition":{"Bool":{"aws:SecureTransport":true},"NumericLessThan":{"s3:max-keys":[10,"20"]}}}`), ""},
		{"operator", identity(`{"Effect":"Allow","Action":"s3:*","Resource":"*","Condition":{"StringIs":{"a:b":"c"}}}`), msgSyntax},
		{"operator of nothing", identity(`{"Effect":"Allow","Action":"s3:*","Resource":"*","Condition":{"StringIs":{}}}`), ""},
		{"null if exists", identity(`{"Effect":"Allow","Action":"s3:*","Resource":"*","Condition":{"NullIfExists":{"a:b":"true"}}}`), msgSyntax},
		{"condition is a list", identity(`{"Effect":"Allow","Action":"s3:*","Resource":"*","Condition":[]}`), msgSyntax},
		{"condition without key", identity(`{"Effect":"Allow","Action":"s3:*","Resource":"*","Condition":{"Bool":"true"}}`), msgSyntax},
		{"condition value", identity(`{"Effect":"Allow","Action":"s3:*","Resource":"*","Condition":{"Bool":{"a:b":{}}}}`), msgSyntax},
		{"condition key", identity(`{"Effect":"Allow","Action":"s3:*","Resource":"*","Condition":{"Bool":{"SecureTransport":"true"}}}`), msgVendor},
		{"date", identity(`{"Effect":"Allow","Action":"s3:*","Resource":"*","Condition":{"DateLessThan":{"aws:CurrentTime":"tomorrow"}}}`), msgLegacy},
		{"deep", strings.Repeat("[", 100000), msgSyntax},
		{"huge", strings.Repeat(" ", MaxDocument) + identity(good), msgSyntax},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) { checkParse(t, IdentityPolicy, tt.document, tt.want) })
	}
}

func checkParse(t *testing.T, kind Kind, document, want string) {
	t.Helper()
	p, err := Parse(kind, document)
	if want == "" {
		if err != nil || p.Document() != document || p.Kind() != kind {
			t.Fatalf("%v", err)
		}
		return
	}
	var e *Error
	if !errors.As(err, &e) || e.Message != want {
		t.Fatalf("got  %v\nwant %s", err, want)
	}
	if p != nil {
		t.Error("a policy beside the error")
	}
}

func TestParseTrust(t *testing.T) {
	trust := func(principal, rest string) string {
		return `{"Statement":[{"Effect":"Allow","Principal":` + principal + `,"Action":"sts:AssumeRole"` + rest + `}]}`
	}
	tests := []struct{ name, document, want string }{
		{"service", trust(`{"Service":"ec2.amazonaws.com"}`, ""), ""},
		{"services", trust(`{"Service":["eks.amazonaws.com","pods.eks.amazonaws.com"]}`, ""), ""},
		{"aws", trust(`{"AWS":["123456789012","arn:aws:iam::123456789012:root","arn:aws:iam::123456789012:user/a/b","arn:aws:sts::123456789012:assumed-role/r/s"]}`, ""), ""},
		{"everyone", trust(`{"AWS":"*"}`, ""), ""},
		{"star", trust(`"*"`, ""), ""},
		{"deleted user", trust(`{"AWS":"AIDAABCDEFGHIJKLMNOPQ"}`, ""), ""},
		{"oidc", trust(`{"Federated":"arn:aws:iam::123456789012:oidc-provider/oidc.eks.ap-northeast-2.amazonaws.com/id/ABC"}`, `,"Condition":{"StringEquals":{"oidc.eks.ap-northeast-2.amazonaws.com/id/ABC:aud":"sts.amazonaws.com"}}`), ""},
		{"tag session", `{"Version":"2012-10-17","Statement":{"Effect":"Allow","Principal":{"Service":"pods.eks.amazonaws.com"},"Action":["sts:AssumeRole","sts:TagSession"]}}`, ""},
		{"json", "{", "This policy contains invalid Json"},
		{"list", "[]", "This policy contains invalid Json"},
		{"version", `{"Version":"2011-10-17","Statement":[]}`, "The policy must contain a valid version string"},
		{"empty statement", `{"Statement":[]}`, "Could not parse the policy: Statement is empty!"},
		{"no statement", `{"Version":"2012-10-17"}`, "Syntax error in policy."},
		{"unknown element", trust(`"*"`, `,"X":1`), "Syntax error in policy."},
		{"effect", `{"Statement":[{"Principal":"*","Action":"sts:AssumeRole"}]}`, "Missing required field Effect"},
		{"wrong effect", `{"Statement":[{"Effect":"allow","Principal":"*","Action":"sts:AssumeRole"}]}`, "Invalid effect: allow"},
		{"principal", `{"Statement":[{"Effect":"Allow","Action":"sts:AssumeRole"}]}`, "Missing required field Principal"},
		{"empty principal", trust(`{}`, ""), "Missing required field Principal cannot be empty!"},
		{"no principals", trust(`{"AWS":[]}`, ""), "Missing required field Principal cannot be empty!"},
		{"string principal", trust(`"ec2.amazonaws.com"`, ""), "Principal must be a JSON object."},
		{"principal list", trust(`["*"]`, ""), "Syntax error in policy."},
		{"principal kind", trust(`{"Human":"bob"}`, ""), `Invalid principal in policy: "Human"`},
		{"service form", trust(`{"Service":"ec2"}`, ""), `Invalid principal in policy: "SERVICE":"ec2"`},
		{"arn form", trust(`{"AWS":"arn:aws:iam::123:user/x"}`, ""), `Invalid principal in policy: "AWS":"arn:aws:iam::123:user/x"`},
		{"arn wildcard", trust(`{"AWS":"arn:aws:iam::123456789012:role/*"}`, ""), `Invalid principal in policy: "AWS":"arn:aws:iam::123456789012:role/*"`},
		{"federated form", trust(`{"Federated":"x"}`, ""), `Invalid principal in policy: "Federated":"x"`},
		{"not principal", `{"Statement":[{"Effect":"Allow","NotPrincipal":"*","Action":"sts:AssumeRole"}]}`, "Allow with NotPrincipal is not allowed."},
		{"deny not principal", `{"Statement":[{"Effect":"Deny","NotPrincipal":"*","Action":"sts:AssumeRole"}]}`, "AssumeRole policy must not contain NotPrincipal field."},
		{"action", `{"Statement":[{"Effect":"Allow","Principal":"*"}]}`, "Missing required field Action"},
		{"other action", `{"Statement":[{"Effect":"Allow","Principal":"*","Action":"*"}]}`, "AssumeRole policy may only specify STS AssumeRole actions."},
		{"resource", trust(`"*"`, `,"Resource":"*"`), "Has prohibited field Resource"},
		{"not resource", trust(`"*"`, `,"NotResource":"*"`), "AssumeRole policy must not contain resources."},
		{"sids", `{"Statement":[{"Sid":"a b","Effect":"Allow","Principal":"*","Action":"sts:AssumeRole"},{"Sid":"a b","Effect":"Allow","Principal":"*","Action":"sts:AssumeRole"}]}`, "The Statement Ids in the policy are not unique"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) { checkParse(t, TrustPolicy, tt.document, tt.want) })
	}
}

func TestParseResource(t *testing.T) {
	checkParse(t, ResourcePolicy, `{"Version":"2008-10-17","Statement":[{"Sid":"new statement","Effect":"Allow","Principal":"*","Action":["ecr:BatchGetImage"]}]}`, "")
	checkParse(t, ResourcePolicy, `{"Statement":[{"Effect":"Deny","NotPrincipal":{"AWS":"123456789012"},"Action":"s3:*","Resource":"arn:aws:s3:::b/*"}]}`, "")
	checkParse(t, ResourcePolicy, `{"Statement":[{"Effect":"Allow","Principal":"*","Action":"s3:*","Resource":"b"}]}`, "Policy has invalid resource")
}

func TestContextKeys(t *testing.T) {
	p := mustParse(t, IdentityPolicy, identity(`{"Effect":"Allow","Action":"s3:*","Resource":"arn:aws:s3:::${aws:username}/${aws:PrincipalTag/team, 'none'}/${*}",
		"Condition":{"StringEquals":{"AWS:username":"x","aws:RequestTag/a":["${aws:userid}"]},"ArnLike":{"aws:SourceArn":"arn:aws:iam::${aws:PrincipalAccount}:*"},"Null":{"aws:TokenIssueTime":"false"}}}`))
	got := strings.Join(ContextKeys(p, p), " ")
	if want := "aws:PrincipalAccount aws:PrincipalTag/team aws:RequestTag/a aws:SourceArn aws:TokenIssueTime aws:userid aws:username"; got != want {
		t.Errorf("got  %s\nwant %s", got, want)
	}
}

func TestARNs(t *testing.T) {
	p := mustParse(t, TrustPolicy, `{"Statement":[{"Effect":"Allow","Principal":{"AWS":["arn:aws:iam::123456789012:role/a","123456789012","AROAABCDEFGHIJKLMNOPQ"]},"Action":"sts:AssumeRole"}]}`)
	if got := strings.Join(p.ARNs(), " "); got != "arn:aws:iam::123456789012:role/a" {
		t.Error(got)
	}
}

func TestJSON(t *testing.T) {
	for document, want := range map[string]error{
		strings.Repeat("[", maxDepth) + strings.Repeat("]", maxDepth):     nil,
		strings.Repeat("[", maxDepth+1) + strings.Repeat("]", maxDepth+1): errDepth,
		`{"a":{"b":1,"b":2}}`:       errDuplicate,
		`{"a":{"b":1},"c":{"b":2}}`: nil,
		"{} {}":                     errTrailing,
		"{}]":                       errTrailing,
		"\xff":                      errEncoding,
	} {
		if _, err := parseJSON(document); !errors.Is(err, want) {
			t.Errorf("%q: %v, want %v", document, err, want)
		}
	}
	for _, document := range []string{"", "{", "{]", `{"a"}`, `{"a":}`, `{"a":1,}`, "[1,]", "[1 2]", `{1:2}`, "nul", `"a`, "[}"} {
		if n, err := parseJSON(document); err == nil {
			t.Errorf("%q: %+v", document, n)
		}
	}
}
