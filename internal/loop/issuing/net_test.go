package issuing

import (
	"bytes"
	"context"
	"crypto"
	"crypto/ecdsa"
	"crypto/rsa"
	"fmt"
	"net"
	"net/http"
	"net/http/httptest"
	"net/mail"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/miekg/dns"
)

func describe(key crypto.Signer) string {
	switch key := key.(type) {
	case *rsa.PrivateKey:
		return fmt.Sprintf("RSA %d", key.N.BitLen())
	case *ecdsa.PrivateKey:
		return fmt.Sprintf("ECDSA %d", key.Params().BitSize)
	}
	return ""
}

// approve does what a reader of the mail does.
func (f *fixture) approve(link string) {
	f.Helper()
	u, err := url.Parse(link)
	if err != nil {
		f.Fatal(err)
	}
	r := httptest.NewRequestWithContext(f.Context(), http.MethodPost, u.Path, strings.NewReader(u.RawQuery))
	r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	w := httptest.NewRecorder()
	f.acm.Approval().ServeHTTP(w, r)
	if w.Code != http.StatusOK {
		f.Errorf("%s: %d %s", link, w.Code, w.Body)
	}
}

// nameServer answers on loopback, over UDP and TCP on one port.
func nameServer(t *testing.T, h dns.HandlerFunc) string {
	t.Helper()
	tcp, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	udp, err := net.ListenPacket("udp", tcp.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	for _, s := range []*dns.Server{{PacketConn: udp, Handler: h}, {Listener: tcp, Handler: h}} {
		started, ended := make(chan struct{}), make(chan error, 1)
		s.NotifyStartedFunc = func() { close(started) }
		go func() { ended <- s.ActivateAndServe() }()
		<-started
		t.Cleanup(func() {
			if err := s.Shutdown(); err != nil {
				t.Error(err)
			}
			<-ended
		})
	}
	return tcp.Addr().String()
}

func TestLookupCNAME(t *testing.T) {
	rr := func(text string) dns.RR {
		r, err := dns.NewRR(text)
		if err != nil {
			t.Fatal(err)
		}
		return r
	}
	address := nameServer(t, func(w dns.ResponseWriter, q *dns.Msg) {
		answer := new(dns.Msg).SetReply(q)
		name := q.Question[0].Name
		if q.Question[0].Qtype != dns.TypeCNAME || !q.RecursionDesired {
			answer.Rcode = dns.RcodeFormatError
		}
		_, overUDP := w.RemoteAddr().(*net.UDPAddr)
		switch strings.ToLower(name) {
		case "right.example.com.":
			answer.Answer = []dns.RR{rr("RIGHT.example.com. 60 IN CNAME _x.acm-validations.aws.")}
		case "elsewhere.example.com.": // what it says is of another name
			answer.Answer = []dns.RR{rr("other.example.com. 60 IN CNAME _x.acm-validations.aws.")}
		case "chain.example.com.": // a resolver may send all of a chain
			answer.Answer = []dns.RR{rr("next.example.com. 60 IN CNAME _x.acm-validations.aws."), rr("chain.example.com. 60 IN CNAME next.example.com.")}
		case "address.example.com.":
			answer.Answer = []dns.RR{rr("address.example.com. 60 IN A 203.0.113.1")}
		case "large.example.com.":
			if overUDP {
				answer.Truncated = true
			} else {
				answer.Answer = []dns.RR{rr("large.example.com. 60 IN CNAME _tcp.acm-validations.aws.")}
			}
		case "none.example.com.":
			answer.Rcode = dns.RcodeNameError
		case "empty.example.com.":
		case "refused.example.com.":
			answer.Rcode = dns.RcodeRefused
		case "silent.example.com.":
			return
		default:
			answer.Rcode = dns.RcodeServerFailure
		}
		if err := w.WriteMsg(answer); err != nil {
			t.Error(err)
		}
	})
	resolver := DNS{Address: func() string { return address }}
	for name, want := range map[string]string{
		"right.example.com.": "_x.acm-validations.aws.", "right.example.com": "_x.acm-validations.aws.", "elsewhere.example.com.": "", "chain.example.com.": "next.example.com.",
		"address.example.com.": "", "large.example.com.": "_tcp.acm-validations.aws.", "none.example.com.": "", "empty.example.com.": "",
	} {
		if got, err := resolver.LookupCNAME(t.Context(), name); err != nil || got != want {
			t.Errorf("%s: %q, %v, want %q", name, got, err, want)
		}
	}
	for name, text := range map[string]string{"refused.example.com.": "REFUSED", "broken.example.com.": "SERVFAIL"} {
		if _, err := resolver.LookupCNAME(t.Context(), name); err == nil || !strings.Contains(err.Error(), text) || !strings.Contains(err.Error(), name) {
			t.Errorf("%s: %v", name, err)
		}
	}
	resolver.Timeout = 10 * time.Millisecond
	if _, err := resolver.LookupCNAME(t.Context(), "silent.example.com."); err == nil {
		t.Error("silence is an answer")
	}
	if _, err := (DNS{Address: func() string { return "" }}).LookupCNAME(t.Context(), "x.example.com."); err == nil || !strings.Contains(err.Error(), "name server's address") {
		t.Errorf("no name server: %v", err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := resolver.LookupCNAME(ctx, "right.example.com."); err == nil {
		t.Error("a context that has ended")
	}
}

func TestDirectory(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "mail")
	m := Message{
		ID: "1/../x.*.example.com.7@acm.ap-northeast-2", From: "Certificates <no-reply@acm.ap-northeast-2.tarn.invalid>", To: []string{"admin@example.com", "webmaster@example.com"},
		Subject: "Certificate request for *.example.com", Date: time.Date(2026, 11, 29, 1, 2, 3, 4_000_000, time.UTC),
		Body: "Open\n\nhttp://127.0.0.1:4566/_tarn/acm/approve?token=" + strings.Repeat("A", 96) + "\n",
	}
	if err := Directory(dir).Send(t.Context(), m); err != nil {
		t.Fatal(err)
	}
	files, err := os.ReadDir(dir)
	if err != nil || len(files) != 1 || files[0].Name() != "20261129T010203.004Z-1_.._x._.example.com.7_acm.ap-northeast-2.eml" {
		t.Fatalf("%v, %v", files, err)
	}
	name := filepath.Join(dir, files[0].Name())
	for path, want := range map[string]os.FileMode{dir: 0o700, name: 0o600} {
		info, err := os.Stat(path)
		if err != nil || info.Mode().Perm() != want {
			t.Errorf("%s: mode %o, %v, want %o", path, info.Mode().Perm(), err, want)
		}
	}
	data, err := os.ReadFile(name)
	if err != nil {
		t.Fatal(err)
	}
	if bytes.Contains(bytes.ReplaceAll(data, []byte("\r\n"), nil), []byte("\n")) {
		t.Error("a line ends as mails' lines do not")
	}
	got, err := mail.ReadMessage(bytes.NewReader(data))
	if err != nil {
		t.Fatal(err)
	}
	to, err := got.Header.AddressList("To")
	if err != nil || len(to) != 2 || to[1].Address != "webmaster@example.com" {
		t.Errorf("to %v, %v", to, err)
	}
	date, err := got.Header.Date()
	if err != nil || !date.Equal(m.Date.Truncate(time.Second)) || got.Header.Get("Subject") != m.Subject || got.Header.Get("Message-ID") != "<"+m.ID+">" {
		t.Errorf("%v, %v", got.Header, err)
	}
	var body bytes.Buffer
	if _, err := body.ReadFrom(got.Body); err != nil || strings.ReplaceAll(body.String(), "\r\n", "\n") != m.Body {
		t.Errorf("%q, %v", body.String(), err)
	}
}
