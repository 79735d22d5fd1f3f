package policy

import (
	"strings"
	"testing"
)

// The example of `aws iam simulate-custom-policy`'s documentation.
func TestSimulateExample(t *testing.T) {
	p := mustParse(t, IdentityPolicy, `{"Version":"2012-10-17","Statement":{"Effect":"Allow","Action":"dynamodb:*","Resource":"*","Condition":{"DateGreaterThan":{"aws:CurrentTime":"2018-08-16T12:00:00Z"}}}}`)
	s := Simulation{Policies: Policies{Identity: []Source{{"PolicyInputList.1", p}}}, Principal: ann, Actions: []string{"dynamodb:CreateBackup"}}
	results := Simulate(s)
	if len(results) != 1 {
		t.Fatal(results)
	}
	r := results[0]
	if r.Decision != "implicitDeny" || len(r.Matched) != 0 || r.Resource != "*" || strings.Join(r.MissingContext, " ") != "aws:CurrentTime" {
		t.Errorf("%+v", r)
	}
	s.Context = map[string][]string{"aws:CurrentTime": {"2019-04-25T11:00:00Z"}}
	r = Simulate(s)[0]
	if r.Decision != "allowed" || r.Action != "dynamodb:CreateBackup" || len(r.MissingContext) != 0 || len(r.Matched) != 1 {
		t.Fatalf("%+v", r)
	}
	if m := r.Matched[0]; m.Source != "PolicyInputList.1" || m.Start != (Position{1, 38}) || m.End != (Position{1, 167}) {
		t.Errorf("%+v", m)
	}
}

func TestSimulate(t *testing.T) {
	p := mustParse(t, IdentityPolicy, "{\n  \"Version\": \"2012-10-17\",\n  \"Statement\": [\n    {\"Sid\": \"R\", \"Effect\": \"Allow\", \"Action\": \"s3:Get*\", \"Resource\": \"*\"},\n"+
		"    {\n      \"Sid\": \"D\",\n      \"Effect\": \"Deny\", \"Action\": \"s3:*\", \"Resource\": \"arn:aws:s3:::secret/*\" }\n  ]\n}")
	boundary := mustParse(t, IdentityPolicy, identity(`{"Effect":"Allow","Action":"s3:*","Resource":"*","Condition":{"Bool":{"aws:SecureTransport":"true"},"StringLike":{"aws:username":"*"}}}`))
	results := Simulate(Simulation{
		Principal: ann,
		Policies:  Policies{Identity: []Source{{"mine", p}}, Boundary: Source{"limit", boundary}},
		Actions:   []string{"s3:GetObject", "s3:PutObject"},
		Resources: []string{bucket, "arn:aws:s3:::secret/x"},
		Context:   map[string][]string{"AWS:SecureTransport": {"true"}},
	})
	want := []struct{ action, resource, decision string }{
		{"s3:GetObject", bucket, "allowed"},
		{"s3:GetObject", "arn:aws:s3:::secret/x", "explicitDeny"},
		{"s3:PutObject", bucket, "implicitDeny"},
		{"s3:PutObject", "arn:aws:s3:::secret/x", "explicitDeny"},
	}
	if len(results) != len(want) {
		t.Fatal(results)
	}
	for i, w := range want {
		r := results[i]
		if r.Action != w.action || r.Resource != w.resource || r.Decision != w.decision || !r.HasBoundary || !r.AllowedByBoundary || len(r.MissingContext) != 0 {
			t.Errorf("%+v, want %+v", r, w)
		}
	}
	if m := results[0].Matched[0]; m.Start != (Position{4, 6}) || m.End != (Position{4, 74}) {
		t.Errorf("%+v", m)
	}
	if m := results[1].Matched[0]; m.Sid != "D" || m.Start != (Position{5, 6}) || m.End.Line != 7 {
		t.Errorf("%+v", m)
	}
}
