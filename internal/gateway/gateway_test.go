package gateway

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"net/url"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	v4 "github.com/aws/aws-sdk-go-v2/aws/signer/v4"

	"github.com/tarn-eks/tarn/internal/api"
	iamapi "github.com/tarn-eks/tarn/internal/api/iam"
	stsapi "github.com/tarn-eks/tarn/internal/api/sts"
	"github.com/tarn-eks/tarn/internal/caller"
	"github.com/tarn-eks/tarn/internal/policy"
)

// form is a POST of a query protocol.
func form(text string) *http.Request {
	r := httptest.NewRequest("POST", "http://127.0.0.1:4566/", strings.NewReader(text))
	r.Header.Set("Content-Type", "application/x-www-form-urlencoded; charset=utf-8")
	return r
}

// do sends a request and returns status and body.
func (f *fake) do(r *http.Request) (int, string) {
	w := httptest.NewRecorder()
	f.ServeHTTP(w, r)
	return w.Code, w.Body.String()
}

func TestPresigned(t *testing.T) {
	f := newFake(t, nil)
	r := httptest.NewRequest("GET", "http://sts.ap-northeast-2.amazonaws.com/?Action=GetCallerIdentity&Version=2011-06-15&X-Amz-Expires=60", nil)
	r.Header.Set("X-K8s-Aws-Id", "eks-work")
	signed, headers, err := v4.NewSigner().PresignHTTP(t.Context(), aws.Credentials{AccessKeyID: "AKIAalice", SecretAccessKey: "alice"},
		r, "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855", "sts", region, noon.Add(-14*time.Minute))
	if err != nil {
		t.Fatal(err)
	}
	again := httptest.NewRequest("GET", signed, nil)
	again.Header = headers
	if status, body := f.do(again); status != 200 || !strings.Contains(body, "user/alice") {
		t.Errorf("%d %s", status, body)
	}
}

// TestTargetMustBeSigned: a signature for one operation must not be good for
// another.
func TestTargetMustBeSigned(t *testing.T) {
	f := newFake(t, nil)
	r := httptest.NewRequest("POST", "http://127.0.0.1:4566/", strings.NewReader("{}"))
	r.Header.Set("Content-Type", "application/x-amz-json-1.1")
	sign(t, r, "alice", "ecr", region, noon)
	r.Header.Set("X-Amz-Target", "AmazonEC2ContainerRegistry_V20150921.DescribeRepositories")
	if status, body := f.do(r); status != 400 || !strings.Contains(body, "InvalidSignatureException") || !strings.Contains(body, "'X-Amz-Target' must be a 'SignedHeader'") {
		t.Errorf("%d %s", status, body)
	}
}

func TestTamperedBody(t *testing.T) {
	f := newFake(t, nil)
	r := form("Action=GetUser&Version=2010-05-08&UserName=alice")
	sign(t, r, "alice", "iam", "us-east-1", noon)
	r.Body = io.NopCloser(strings.NewReader("Action=GetUser&Version=2010-05-08&UserName=clara"))
	if status, body := f.do(r); status != 403 || !strings.Contains(body, "SignatureDoesNotMatch") {
		t.Errorf("%d %s", status, body)
	}
}

// TestSessionTokens: IAM does not take what GetSessionToken gives; others do, and
// IAM takes the sessions of roles.
func TestSessionTokens(t *testing.T) {
	f := newFake(t, nil)
	f.creds.policies = map[string]string{user("alice").Principal.ARN: allowAll(), node.Principal.ARN: allowAll()}
	for _, c := range []struct {
		who, service, body string
		want               int
	}{
		{"session", "iam", "Action=GetUser&Version=2010-05-08&UserName=alice", 403},
		{"session", "sts", "Action=GetCallerIdentity&Version=2011-06-15", 200},
		{"node", "iam", "Action=GetUser&Version=2010-05-08&UserName=alice", 200},
	} {
		r := form(c.body)
		sign(t, r, c.who, c.service, "us-east-1", noon)
		status, body := f.do(r)
		if status != c.want || (status == 403) != strings.Contains(body, "<Code>InvalidClientTokenId</Code><Message>The security token included in the request is invalid.<") {
			t.Errorf("%s, %s: %d %s", c.who, c.service, status, body)
		}
	}
}

func TestBodyLimits(t *testing.T) {
	f := newFake(t, nil)
	send := func(service, target string, n int) (int, string) {
		r := httptest.NewRequest("POST", "http://127.0.0.1:4566/", strings.NewReader(`{"repositoryName":"r","uploadId":"`+strings.Repeat("u", n)+`","partFirstByte":0,"partLastByte":1,"layerPartBlob":"AAA="}`))
		r.Header.Set("X-Amz-Target", target)
		sign(t, r, "alice", service, region, noon)
		return f.do(r)
	}
	const upload = "AmazonEC2ContainerRegistry_V20150921.UploadLayerPart"
	if status, body := send("ecr", upload, 1<<20+1); status != 200 {
		t.Errorf("a body within the service's own limit: %d %.200s", status, body)
	}
	if status, body := send("ecr", upload, 5<<20); status != 413 || !strings.Contains(body, "RequestEntityTooLarge") {
		t.Errorf("a larger one: %d %.200s", status, body)
	}
	r := form("Action=GetUser&Version=2010-05-08&UserName=" + strings.Repeat("x", 2<<20))
	sign(t, r, "alice", "iam", "us-east-1", noon)
	if status, body := f.do(r); status != 413 {
		t.Errorf("a service without a limit of its own: %d %.200s", status, body)
	}
	if status, _ := f.do(form("Action=AssumeRoleWithWebIdentity&Version=2011-06-15&WebIdentityToken=" + strings.Repeat("x", 2<<20))); status != 413 {
		t.Errorf("without a signature: %d", status)
	}
}

// TestChunkedBody: a chunk with a wrong signature is refused like any other
// request with one, though it is found only while the body is read.
func TestChunkedBody(t *testing.T) {
	f := newFake(t, nil)
	const body = "Action=GetUser&Version=2010-05-08&UserName=alice"
	r := form(fmt.Sprintf("%x;chunk-signature=%s\r\n%s\r\n", len(body), strings.Repeat("0", 64), body))
	r.Header.Set("X-Amz-Content-Sha256", "STREAMING-AWS4-HMAC-SHA256-PAYLOAD")
	r.Header.Set("X-Amz-Decoded-Content-Length", fmt.Sprint(len(body)))
	if err := v4.NewSigner().SignHTTP(t.Context(), aws.Credentials{AccessKeyID: "AKIAalice", SecretAccessKey: "alice"},
		r, "STREAMING-AWS4-HMAC-SHA256-PAYLOAD", "iam", "us-east-1", noon); err != nil {
		t.Fatal(err)
	}
	if status, body := f.do(r); status != 403 || !strings.Contains(body, "SignatureDoesNotMatch") {
		t.Errorf("%d %s", status, body)
	}
}

// TestConditions asks for each of the gateway's condition keys in a policy.
func TestConditions(t *testing.T) {
	for _, c := range []struct{ who, operator, key, value string }{
		{"alice", "IpAddress", "aws:SourceIp", "192.0.2.0/24"},
		{"alice", "NotIpAddress", "aws:SourceIp", "6.6.6.6"}, // which the service would have it be
		{"alice", "StringLike", "aws:UserAgent", "aws-cli/*"},
		{"alice", "Bool", "aws:SecureTransport", "true"},
		{"alice", "StringEquals", "aws:RequestedRegion", "us-east-1"},
		{"alice", "DateEquals", "aws:CurrentTime", "2026-11-23T12:00:00Z"},
		{"alice", "NumericEquals", "aws:EpochTime", fmt.Sprint(noon.Unix())},
		{"alice", "Bool", "aws:ViaAWSService", "false"},
		{"alice", "Null", "aws:TokenIssueTime", "true"},
		{"alice", "Null", "aws:MultiFactorAuthPresent", "true"},
		{"alice", "StringEquals", "aws:username", "alice"},
		{"alice", "StringEquals", "aws:PrincipalTag/Team", "blue"},
		{"alice", "StringEquals", "iam:ResourceTag/team", "blue"}, // the service's own
		{"alice", "StringEquals", "aws:Referer", "http://x.example/"},
		{"node", "DateEquals", "aws:TokenIssueTime", "2026-11-23T11:00:00Z"},
		{"node", "Bool", "aws:MultiFactorAuthPresent", "false"},
		{"node", "ArnEquals", "ec2:SourceInstanceARN", "arn:aws:ec2:ap-northeast-2:000000000000:instance/i-1"},
		{"node", "ArnEquals", "aws:PrincipalArn", "arn:aws:iam::000000000000:role/node"},
		{"pod", "StringEquals", "aws:FederatedProvider", "arn:aws:iam::000000000000:oidc-provider/oidc.example/id"},
		{"pod", "StringEquals", "oidc.example/id:sub", "system:serviceaccount:a:b"},
	} {
		for _, holds := range []bool{true, false} {
			document := `{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Action":"*","Resource":"*"},{"Effect":"Deny","Action":"*","Resource":"*","Condition":{"` + c.operator + `":{"` + c.key + `":"` + c.value + `"}}}]}`
			if holds {
				document = `{"Version":"2012-10-17","Statement":{"Effect":"Allow","Action":"*","Resource":"*","Condition":{"` + c.operator + `":{"` + c.key + `":"` + c.value + `"}}}}`
			}
			f := newFake(t, func(cfg *Config) {
				cfg.PrincipalTags = func(context.Context, caller.Caller) (map[string]string, error) {
					return map[string]string{"Team": "blue"}, nil
				}
			})
			f.creds.policies = map[string]string{user("alice").Principal.ARN: document, node.Principal.ARN: document}
			r := form("Action=GetUser&Version=2010-05-08&UserName=alice")
			r.Header.Set("User-Agent", "aws-cli/2.31")
			r.Header.Set("Referer", "http://x.example/")
			r.RemoteAddr = "192.0.2.7:1234"
			sign(t, r, c.who, "iam", region, noon) // which is not where IAM is
			if status, body := f.do(r); (status == 200) != holds {
				t.Errorf("%s, if %s is %s, allowed %v: %d %s", c.who, c.key, c.value, holds, status, body)
			}
		}
	}
}

func TestLogTellsWhatClientsAreNot(t *testing.T) {
	for operation, want := range map[string][]string{
		"ListUsers": {"nobody's business", "iam.ListUsers"},
		"ListRoles": {"panicked", "fakeIAM", "goroutine"},
	} {
		f := newFake(t, nil)
		r := form("Action=" + operation + "&Version=2010-05-08")
		sign(t, r, "alice", "iam", "us-east-1", noon)
		status, body := f.do(r)
		for _, text := range want {
			if status != 500 || strings.Contains(body, text) || !strings.Contains(f.log.String(), text) {
				t.Errorf("%s: %d; the client must not see %q, the log must:\n%s\n%s", operation, status, text, body, f.log)
			}
		}
	}
}

func TestMessages(t *testing.T) {
	f := newFake(t, nil)
	r := form("Action=TerminateInstances&Version=2016-11-15&InstanceId.1=i-1")
	sign(t, r, "bob", "ec2", region, noon)
	_, body := f.do(r)
	_, encoded, ok := strings.Cut(body, "Encoded authorization failure message: ")
	if !ok {
		t.Fatal(body)
	}
	encoded, _, _ = strings.Cut(encoded, "<")
	text, err := f.cfg.Messages.Decode(encoded)
	if err != nil {
		t.Fatal(err)
	}
	var got denial
	if err := json.Unmarshal([]byte(text), &got); err != nil {
		t.Fatal(err)
	}
	if got.Allowed || got.ExplicitDeny || got.Context.Action != "ec2:TerminateInstances" || got.Context.Principal.Name != "bob" ||
		!strings.HasSuffix(got.Context.Resource, "instance/i-1") ||
		!slices.ContainsFunc(got.Context.Conditions.Items, func(k conditionKey) bool { return k.Key == "aws:requestedregion" }) {
		t.Errorf("decoded: %s", text)
	}
	other, err := NewMessages(make([]byte, MessageKeySize))
	if err != nil {
		t.Fatal(err)
	}
	for _, bad := range []string{"", "!", "AAAA", encoded[1:], encoded + "A"} {
		if _, err := f.cfg.Messages.Decode(bad); !errors.Is(err, ErrInvalidMessage) {
			t.Errorf("Decode(%q): %v", bad, err)
		}
	}
	if _, err := other.Decode(encoded); !errors.Is(err, ErrInvalidMessage) {
		t.Errorf("with another key: %v", err)
	}
}

func FuzzDecode(f *testing.F) {
	m, err := NewMessages(make([]byte, MessageKeySize))
	if err != nil {
		f.Fatal(err)
	}
	f.Add(m.Encode(&policy.Request{Action: "ec2:RunInstances"}, policy.Decision{Resource: "*"}))
	f.Add("AAAA")
	f.Fuzz(func(t *testing.T, message string) {
		if text, err := m.Decode(message); err == nil && !json.Valid([]byte(text)) {
			t.Errorf("%q", text)
		}
	})
}

func TestInvoke(t *testing.T) {
	f := newFake(t, nil)
	out, err := f.Invoke(t.Context(), root, "sts", "GetCallerIdentity", &stsapi.GetCallerIdentityInput{})
	if err != nil || *out.(*stsapi.GetCallerIdentityOutput).Arn != root.Principal.ARN {
		t.Errorf("%v, %v", out, err)
	}
	if rec := f.trail.last(t); rec.UserIdentity.Type != "Root" || rec.SourceIPAddress != "AWS Internal" || rec.RequestID == "" || rec.AWSRegion != region {
		t.Errorf("recorded: %+v", rec)
	}
	if _, err := f.Invoke(t.Context(), user("bob"), "iam", "GetUser", &iamapi.GetUserInput{UserName: new("x")}); api.Code(err) != "AccessDenied" {
		t.Errorf("bob: %v", err)
	}
	service := caller.Caller{Principal: policy.Principal{Type: policy.Service, Service: "eks.amazonaws.com"}}
	if _, err := f.Invoke(t.Context(), service, "iam", "GetUser", &iamapi.GetUserInput{UserName: new("x")}); err != nil {
		t.Errorf("a service: %v", err)
	}
	if rec := f.trail.last(t); rec.UserIdentity.InvokedBy != "eks.amazonaws.com" || rec.SourceIPAddress != "eks.amazonaws.com" || rec.AWSRegion != "us-east-1" {
		t.Errorf("recorded: %+v", rec)
	}
	if out, err := f.Invoke(t.Context(), root, "iam", "ListRoles", &iamapi.ListRolesInput{}); err == nil || out != nil {
		t.Errorf("a panic: %v, %v", out, err)
	}
	n := len(f.trail.all)
	for _, c := range []struct {
		service, operation string
		input              any
	}{{"s3", "GetObject", nil}, {"iam", "Fry", nil}, {"iam", "GetUser", &iamapi.ListRolesInput{}}, {"iam", "GetUser", nil}} {
		if _, err := f.Invoke(t.Context(), root, c.service, c.operation, c.input); err == nil {
			t.Errorf("%v succeeds", c)
		}
	}
	if len(f.trail.all) != n {
		t.Errorf("mistakes of the program are in the trail")
	}
}

func TestNewRefuses(t *testing.T) {
	creds := &fakeCredentials{}
	for name, cfg := range map[string]Config{
		"no credentials": {Account: account, Region: region},
		"no region":      {Account: account, Credentials: creds},
		"a service twice": {Account: account, Region: region, Credentials: creds,
			Services: []Service{{API: stsapi.Service, Handler: fakeSTS{}}, {API: stsapi.Service, Handler: fakeSTS{}}}},
		"no handler": {Account: account, Region: region, Credentials: creds, Services: []Service{{API: stsapi.Service}}},
	} {
		if _, err := New(cfg); err == nil {
			t.Errorf("%s: no error", name)
		}
	}
}

// TestGuess: errors for unsigned requests come in the dialect of the service that
// they are for.
func TestGuess(t *testing.T) {
	f := newFake(t, nil)
	for _, c := range []struct {
		want string
		r    *http.Request
	}{
		{"sts", form("Action=GetCallerIdentity")},
		{"ec2", form("Action=DescribeInstances&Version=2016-11-15")},
		{"elb", form("Action=DescribeLoadBalancers&Version=2012-06-01")},
		{"elbv2", form("Action=DescribeLoadBalancers&Version=2015-12-01")},
		{"iam", httptest.NewRequest("GET", "http://localhost/?Action=ListUsers&Version=2010-05-08", nil)},
		{"ecr", httptest.NewRequest("GET", "https://api.ecr.ap-northeast-2.amazonaws.com/", nil)},
		{"elb", httptest.NewRequest("GET", "https://elasticloadbalancing.ap-northeast-2.amazonaws.com/", nil)},
		{"eks", httptest.NewRequest("GET", "http://127.0.0.1/clusters/x", nil)},
		{"", httptest.NewRequest("GET", "http://127.0.0.1/x?"+url.QueryEscape("%zz")+"=%zz", nil)},
	} {
		if got := f.guess(c.r).Name; got != c.want {
			t.Errorf("%s %s: %q instead of %q", c.r.Method, c.r.URL, got, c.want)
		}
	}
}
