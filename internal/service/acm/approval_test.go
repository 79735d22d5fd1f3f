package acm_test

import (
	"io"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"
	"time"

	sdk "github.com/aws/aws-sdk-go-v2/service/acm"
	"github.com/aws/aws-sdk-go-v2/service/acm/types"

	"github.com/tarn-eks/tarn/internal/service/acm"
)

// mailed asks for a certificate that is validated by mail.
func (f *fixture) mailed(names ...string) string {
	f.t.Helper()
	in := &sdk.RequestCertificateInput{DomainName: &names[0], ValidationMethod: types.ValidationMethodEmail}
	if len(names) > 1 {
		in.SubjectAlternativeNames = names[1:]
	}
	out, err := f.RequestCertificate(f.t.Context(), in)
	if err != nil {
		f.t.Fatal(err)
	}
	return *out.CertificateArn
}

func TestApproval(t *testing.T) {
	f := newFixture(t)
	server := httptest.NewServer(f.service.Approval())
	defer server.Close()
	call := func(method, link string) (int, string) {
		t.Helper()
		target, body := server.URL+link, io.Reader(nil)
		if method == http.MethodPost { // as the form does
			u := must(url.Parse(link))
			target, body = server.URL+u.Path, strings.NewReader(u.RawQuery)
		}
		req := must(http.NewRequestWithContext(t.Context(), method, target, body))
		if body != nil {
			req.Header.Set("Content-Type", "application/x-www-form-urlencoded")
		}
		resp, err := http.DefaultClient.Do(req)
		if err != nil {
			t.Fatal(err)
		}
		defer resp.Body.Close()
		if resp.Header.Get("Cache-Control") != "no-store" || resp.Header.Get("Referrer-Policy") != "no-referrer" || !strings.Contains(resp.Header.Get("Content-Security-Policy"), "default-src 'none'") {
			t.Errorf("%s %s: headers %v", method, link, resp.Header)
		}
		return resp.StatusCode, string(must(io.ReadAll(resp.Body)))
	}
	status := func(arn string, i int) types.DomainStatus {
		return f.describe(arn).DomainValidationOptions[i].ValidationStatus
	}
	link := func(arn string, i int) string {
		return f.service.ApprovalLink(id(arn), f.record(arn).Domains[i], f.now.Add(72*time.Hour))
	}
	arn := f.mailed("www.example.com", "example.org")
	first, second := link(arn, 0), link(arn, 1)
	if !strings.HasPrefix(first, acm.ApprovalPath+"?token=") || len(first) > 150 || first == second {
		t.Errorf("%s, %s", first, second)
	}
	code, body := call(http.MethodGet, first)
	if code != 200 || !strings.Contains(body, "www.example.com") || !strings.Contains(body, account) || !strings.Contains(body, arn) || !strings.Contains(body, `<form method="post">`) {
		t.Errorf("%d %s", code, body)
	}
	if s := status(arn, 0); s != types.DomainStatusPendingValidation {
		t.Errorf("a page that was read has approved: %s", s)
	}
	if code, body = call(http.MethodPost, first); code != 200 || !strings.Contains(body, "Approved") {
		t.Errorf("%d %s", code, body)
	}
	if status(arn, 0) != types.DomainStatusSuccess || status(arn, 1) != types.DomainStatusPendingValidation {
		t.Errorf("%s, %s", status(arn, 0), status(arn, 1))
	}

	token := strings.TrimPrefix(second, acm.ApprovalPath+"?token=")
	other := f.mailed("other.example.com")
	otherToken := strings.TrimPrefix(link(other, 0), acm.ApprovalPath+"?token=")
	gone := f.mailed("gone.example.com")
	goneLink := link(gone, 0)
	if _, err := f.DeleteCertificate(t.Context(), &sdk.DeleteCertificateInput{CertificateArn: &gone}); err != nil {
		t.Fatal(err)
	}
	dns := f.request("dns.example.com")
	for _, tc := range []struct {
		name, link string
		code       int
		text       string
	}{
		{"no token", acm.ApprovalPath, 400, "not complete"},
		{"cut off", second[:len(second)-1], 400, "not complete"},
		{"another's signature", acm.ApprovalPath + "?token=" + token[:53] + otherToken[53:], 400, "not complete"},
		{"changed", acm.ApprovalPath + "?token=A" + token[1:], 400, "not complete"},
		{"expired", f.service.ApprovalLink(id(arn), f.record(arn).Domains[1], f.now.Add(-time.Second)), 410, "expired"},
		{"done already", first, 410, "nothing to approve"},
		{"deleted", goneLink, 410, "nothing to approve"},
		{"to be shown by DNS", link(dns, 0), 410, "nothing to approve"},
	} {
		for _, method := range []string{http.MethodGet, http.MethodPost} {
			if code, body := call(method, tc.link); code != tc.code || !strings.Contains(body, tc.text) || strings.Contains(body, "<form") {
				t.Errorf("%s %s: %d %s", method, tc.name, code, body)
			}
		}
	}
	if code, _ := call(http.MethodPut, second); code != 405 {
		t.Errorf("PUT: %d", code)
	}
	if status(arn, 1) != types.DomainStatusPendingValidation || status(dns, 0) != types.DomainStatusPendingValidation {
		t.Error("a bad link approves")
	}
	// Asked anew of another domain's mailboxes: the first mail's link is void.
	if _, err := f.ResendValidationEmail(t.Context(), &sdk.ResendValidationEmailInput{CertificateArn: &other, Domain: new("other.example.com"), ValidationDomain: new("example.com")}); err != nil {
		t.Fatal(err)
	}
	if code, _ := call(http.MethodPost, acm.ApprovalPath+"?token="+otherToken); code != 410 {
		t.Errorf("the former mailboxes' link: %d", code)
	}
	if code, _ := call(http.MethodPost, link(other, 0)); code != 200 {
		t.Errorf("the new mailboxes' link: %d", code)
	}
}

func TestResendValidationEmail(t *testing.T) {
	f := newFixture(t)
	arn, dns := f.mailed("a.example.com", "b.example.com"), f.request("example.com")
	resend := func(arn, name, domain string) error {
		_, err := f.ResendValidationEmail(t.Context(), &sdk.ResendValidationEmailInput{CertificateArn: &arn, Domain: &name, ValidationDomain: &domain})
		return err
	}
	if it, err := f.service.Mailed(t.Context(), id(arn), "a.example.com"); err != nil || it.Value.Domains[0].Mailed.IsZero() || !it.Value.Domains[1].Mailed.IsZero() {
		t.Fatalf("%+v, %v", it.Value.Domains, err)
	}
	if err := resend(arn, "A.example.com", "example.com"); err != nil {
		t.Fatal(err)
	}
	d := f.record(arn).Domains
	if !d[0].Remail || d[1].Remail || d[0].ValidationDomain != "example.com" || d[1].ValidationDomain != "b.example.com" {
		t.Errorf("%+v", d)
	}
	if it, err := f.service.Mailed(t.Context(), id(arn), "a.example.com"); err != nil || it.Value.Domains[0].Remail {
		t.Errorf("%+v, %v", it.Value.Domains, err)
	}
	fails(t, "not a name of it", resend(arn, "c.example.com", "example.com"), "InvalidDomainValidationOptionsException", "c.example.com is not in the certificate")
	fails(t, "not a superdomain", resend(arn, "a.example.com", "example.org"), "InvalidDomainValidationOptionsException", "example.org must be the same")
	fails(t, "by DNS", resend(dns, "example.com", "example.com"), "InvalidStateException", "not waiting for validation by email")
	fails(t, "no name", resend(arn, "x", "y"), "ValidationException", "2 validation errors detected: Value 'x' at 'domain'")
	if _, err := f.service.Shown(t.Context(), id(arn), []string{"a.example.com"}); err != nil {
		t.Fatal(err)
	}
	fails(t, "validated", resend(arn, "a.example.com", "example.com"), "InvalidStateException", "is validated already")
	f.issue(arn)
	fails(t, "issued", resend(arn, "b.example.com", "example.com"), "InvalidStateException", "not waiting for validation by email")
}
