package issuing

import (
	"bytes"
	"context"
	"crypto"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"log/slog"
	"os"
	"strings"
	"sync"
	"testing"
	"time"

	acmapi "github.com/tarn-eks/tarn/internal/api/acm"
	"github.com/tarn-eks/tarn/internal/pki"
	"github.com/tarn-eks/tarn/internal/service/acm"
	"github.com/tarn-eks/tarn/internal/store/storetest"
)

// zone is a Resolver: what the world's name servers say.
type zone struct {
	mu      sync.Mutex
	records map[string]string
	fail    error
	asked   chan string // what was asked
}

func (z *zone) LookupCNAME(_ context.Context, name string) (string, error) {
	z.asked <- name
	z.mu.Lock()
	defer z.mu.Unlock()
	return z.records[name], z.fail
}

func (z *zone) set(name, value string) {
	z.mu.Lock()
	defer z.mu.Unlock()
	z.records[name] = value
}

func (z *zone) failWith(err error) {
	z.mu.Lock()
	defer z.mu.Unlock()
	z.fail = err
}

// mailbox is a Mailer.
type mailbox chan Message

func (m mailbox) Send(_ context.Context, message Message) error {
	m <- message
	return nil
}

// clock goes as the real one does, and is set by the test.
type clock struct {
	mu       sync.Mutex
	now, was time.Time // what it is set to, and when
}

func (c *clock) Now() time.Time {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.now.Add(time.Since(c.was))
}

func (c *clock) set(now time.Time) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.now, c.was = now, time.Now()
}

type users struct {
	mu   sync.Mutex
	used bool
}

func (u *users) InUse(context.Context, string) ([]string, error) {
	u.mu.Lock()
	defer u.mu.Unlock()
	if u.used {
		return []string{"lb"}, nil
	}
	return nil, nil
}

func (u *users) use() {
	u.mu.Lock()
	defer u.mu.Unlock()
	u.used = true
}

// authority is the same each time: its keys take long to make.
var authority = sync.OnceValue(func() *pki.Authority {
	dir, err := os.MkdirTemp("", "authority")
	if err != nil {
		panic(err)
	}
	defer os.RemoveAll(dir)
	a, err := pki.EnsureAuthority(dir, "root")
	if err != nil {
		panic(err)
	}
	return a
})

type fixture struct {
	*testing.T
	acm     *acm.Service
	zone    *zone
	mailbox mailbox
	clock   *clock
	users   *users
	wake    chan struct{}
	ca      CA
	stop    func() error
	log     *bytes.Buffer // to be read when the loop has ended
}

func newFixture(t *testing.T) *fixture {
	t.Helper()
	f := &fixture{
		T: t, zone: &zone{records: map[string]string{}, asked: make(chan string, 10_000)}, mailbox: make(mailbox, 100),
		clock: &clock{now: t0, was: time.Now()}, users: &users{}, wake: make(chan struct{}), ca: authority(), log: &bytes.Buffer{},
	}
	var err error
	f.acm, err = acm.New(acm.Config{
		Client: storetest.Open(t).Client(), Account: "000000000000", Region: "ap-northeast-2",
		Key: bytes.Repeat([]byte("k"), 32), Users: f.users, Now: f.clock.Now,
	})
	if err != nil {
		t.Fatal(err)
	}
	return f
}

// start starts the loop; it ends with the test.
func (f *fixture) start() {
	l := &Loop{
		ACM: f.acm, CA: f.ca, Resolver: f.zone, Mailer: f.mailbox, Endpoint: "http://127.0.0.1:4566/", Wake: f.wake,
		Logger: slog.New(slog.NewTextHandler(f.log, nil)), Now: f.clock.Now,
	}
	ctx, cancel := context.WithCancel(f.Context())
	done := make(chan error, 1)
	go func() { done <- l.Run(ctx) }()
	f.stop = sync.OnceValue(func() error {
		cancel()
		return <-done
	})
	f.Cleanup(func() { f.stop() })
}

// request asks for a certificate with a key that is quickly made.
func (f *fixture) request(method acmapi.ValidationMethod, names ...string) acm.Certificate {
	f.Helper()
	in := &acmapi.RequestCertificateInput{DomainName: &names[0], SubjectAlternativeNames: names[1:], ValidationMethod: method, KeyAlgorithm: acmapi.KeyAlgorithmEcPrime256v1}
	if len(names) == 1 {
		in.SubjectAlternativeNames = nil
	}
	out, err := f.acm.RequestCertificate(f.Context(), in)
	if err != nil {
		f.Fatal(err)
	}
	it, err := f.acm.Certificates.Get(f.Context(), (*out.CertificateArn)[strings.LastIndex(*out.CertificateArn, "/")+1:])
	if err != nil {
		f.Fatal(err)
	}
	return it.Value
}

// until waits until the certificate's record is as wanted.
func (f *fixture) until(id, what string, wanted func(acm.Certificate) bool) acm.Certificate {
	f.Helper()
	ctx, cancel := context.WithTimeout(f.Context(), 20*time.Second)
	defer cancel()
	follower := f.acm.Certificates.Follow(ctx, id)
	var last acm.Certificate
	for s := range follower.C {
		if it, ok := s.Get(id); ok {
			if last = it.Value; wanted(last) {
				cancel()
				for range follower.C {
				}
				return last
			}
		}
	}
	f.Fatalf("waited in vain for %s: %s, domains %+v, renewal %+v", what, last.Status, last.Domains, last.Renewal)
	return last
}

func is(status acmapi.CertificateStatus) func(acm.Certificate) bool {
	return func(c acm.Certificate) bool { return c.Status == status }
}

func renewal(status acmapi.RenewalStatus) func(acm.Certificate) bool {
	return func(c acm.Certificate) bool { return c.Renewal != nil && c.Renewal.Status == status }
}

// looked returns when the loop has looked up the name, and done what is to be
// done then: when it looks again, as it does both one after the other.
func (f *fixture) looked(name string) {
	f.Helper()
	for len(f.zone.asked) > 0 {
		<-f.zone.asked
	}
	for range 2 {
		f.wake <- struct{}{}
		for got := ""; got != name; {
			select {
			case got = <-f.zone.asked:
			case <-time.After(20 * time.Second):
				f.Fatalf("nobody asks for %s", name)
			}
		}
	}
}

// The lesson's first chapter: pending without the record, with a wrong one, and
// issued when the right one is there.
func TestByDNS(t *testing.T) {
	f := newFixture(t)
	f.start()
	c := f.request(acmapi.ValidationMethodDns, "api.example.com", "*.api.example.com", "www.example.org")
	d := c.Domains
	f.looked(d[0].RecordName)
	f.zone.set(d[0].RecordName, d[2].RecordValue) // another's
	f.looked(d[0].RecordName)
	now := f.until(c.ID, "it to be pending", is(acmapi.CertificateStatusPendingValidation))
	if now.Domains[0].Status != acmapi.DomainStatusPendingValidation {
		t.Errorf("a wrong record shows something: %+v", now.Domains)
	}
	f.zone.set(d[0].RecordName, strings.ToUpper(strings.TrimSuffix(d[0].RecordValue, "."))) // as name servers may write it
	f.wake <- struct{}{}
	now = f.until(c.ID, "one domain", func(c acm.Certificate) bool { return c.Domains[0].Status == acmapi.DomainStatusSuccess })
	if now.Domains[1].Status != acmapi.DomainStatusSuccess || now.Domains[2].Status != acmapi.DomainStatusPendingValidation || now.Status != acmapi.CertificateStatusPendingValidation {
		t.Errorf("each domain by itself, the wildcard with its parent: %+v", now.Domains)
	}
	f.zone.set(d[2].RecordName, d[2].RecordValue) // and nobody is woken
	now = f.until(c.ID, "the certificate", is(acmapi.CertificateStatusIssued))
	pair, err := f.acm.TLSCertificate(t.Context(), f.acm.ARN(c.ID))
	if err != nil {
		t.Fatal(err)
	}
	loaded, err := tls.X509KeyPair(pair.Chain, pair.Key)
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{"api.example.com", "v1.api.example.com", "www.example.org"} {
		if err := loaded.Leaf.VerifyHostname(name); err != nil {
			t.Error(err)
		}
	}
	// By signatures: the loop's clock stands still, the authority's does not.
	signed := loaded.Leaf
	for _, der := range append(loaded.Certificate[1:], authority().Root.Cert.Raw) {
		signer, err := x509.ParseCertificate(der)
		if err != nil {
			t.Fatal(err)
		}
		if err := signed.CheckSignatureFrom(signer); err != nil {
			t.Error(err)
		}
		signed = signer
	}
	// 198 days, from midnight to the last second.
	from, to := time.Date(2026, 11, 29, 0, 0, 0, 0, time.UTC), time.Date(2027, 6, 14, 23, 59, 59, 0, time.UTC)
	if !now.Material.NotBefore.Equal(from) || !now.Material.NotAfter.Equal(to) || now.Issued.IsZero() {
		t.Errorf("valid from %s to %s, issued %s", now.Material.NotBefore, now.Material.NotAfter, now.Issued)
	}
	if err := f.stop(); !errors.Is(err, context.Canceled) {
		t.Errorf("the loop ended with %v", err)
	}
	if strings.Contains(f.log.String(), "level=ERROR") {
		t.Errorf("log: %s", f.log)
	}
}

// A name server that does not answer shows nothing, and is asked again. A
// record of one domain counts although another's cannot be looked up.
func TestNameServerInTrouble(t *testing.T) {
	f := newFixture(t)
	c := f.request(acmapi.ValidationMethodDns, "example.com")
	f.zone.set(c.Domains[0].RecordName, c.Domains[0].RecordValue)
	f.zone.failWith(errors.New("no answer"))
	f.start()
	f.looked(c.Domains[0].RecordName)
	if now := f.until(c.ID, "it", func(acm.Certificate) bool { return true }); now.Status != acmapi.CertificateStatusPendingValidation {
		t.Errorf("without an answer: %s", now.Status)
	}
	f.zone.failWith(nil)
	f.until(c.ID, "the certificate", is(acmapi.CertificateStatusIssued))
	f.stop()
	if n := strings.Count(f.log.String(), "no answer"); n != 1 {
		t.Errorf("the same trouble is logged %d times", n)
	}
}

func TestByMail(t *testing.T) {
	f := newFixture(t)
	f.start()
	c := f.request(acmapi.ValidationMethodEmail, "www.example.com", "example.org")
	links := map[string]string{}
	for range 2 {
		m := <-f.mailbox
		if len(m.To) != 5 || !strings.HasPrefix(m.To[0], "administrator@example.") || !strings.Contains(m.Body, f.acm.ARN(c.ID)) {
			t.Errorf("%+v", m)
		}
		_, link, _ := strings.Cut(m.Body, "http://127.0.0.1:4566/_tarn/")
		link, _, _ = strings.Cut(link, "\n")
		links[m.Subject] = "/_tarn/" + link
	}
	if len(links) != 2 || links["Certificate request for www.example.com"] == "" {
		t.Fatalf("%v", links)
	}
	f.until(c.ID, "mails that are noted", func(c acm.Certificate) bool { return !c.Domains[0].Mailed.IsZero() && !c.Domains[1].Mailed.IsZero() })
	for _, link := range links {
		f.approve(link)
	}
	f.until(c.ID, "the certificate", is(acmapi.CertificateStatusIssued))
	select {
	case m := <-f.mailbox:
		t.Errorf("a further mail: %+v", m)
	default:
	}
}

func TestTimesOut(t *testing.T) {
	f := newFixture(t)
	f.start()
	c := f.request(acmapi.ValidationMethodDns, "example.com")
	f.looked(c.Domains[0].RecordName)
	f.clock.set(t0.Add(72*time.Hour + time.Second))
	f.wake <- struct{}{}
	c = f.until(c.ID, "the deadline", is(acmapi.CertificateStatusValidationTimedOut))
	if c.Domains[0].Status != acmapi.DomainStatusFailed || c.Material != nil {
		t.Errorf("%+v", c)
	}
}

func TestFailsAtOnce(t *testing.T) {
	f := newFixture(t)
	f.start()
	c := f.request(acmapi.ValidationMethodDns, "x-1.ap-northeast-2.elb.amazonaws.com")
	if c = f.until(c.ID, "its failure", is(acmapi.CertificateStatusFailed)); c.Reason != acmapi.FailureReasonAdditionalVerificationRequired {
		t.Errorf("%s", c.Reason)
	}
	out, err := f.acm.RequestCertificate(t.Context(), &acmapi.RequestCertificateInput{
		DomainName: new("example.com"), CertificateAuthorityArn: new("arn:aws:acm-pca:ap-northeast-2:000000000000:certificate-authority/12345678-1234-1234-1234-123456789012"),
	})
	if err != nil {
		t.Fatal(err)
	}
	id := (*out.CertificateArn)[strings.LastIndex(*out.CertificateArn, "/")+1:]
	if c = f.until(id, "its failure", is(acmapi.CertificateStatusFailed)); c.Reason != acmapi.FailureReasonPcaResourceNotFound {
		t.Errorf("%s", c.Reason)
	}
}

// From one certificate to the next under the same ARN, with the record gone for
// a while; then, unused, to the end.
func TestRenews(t *testing.T) {
	f := newFixture(t)
	f.start()
	c := f.request(acmapi.ValidationMethodDns, "example.com")
	f.zone.set(c.Domains[0].RecordName, c.Domains[0].RecordValue)
	first := f.until(c.ID, "the certificate", is(acmapi.CertificateStatusIssued))
	f.users.use()
	f.zone.set(c.Domains[0].RecordName, "")
	f.clock.set(first.Material.NotAfter.AddDate(0, 0, -45))
	f.wake <- struct{}{}
	now := f.until(c.ID, "the record to be missed", renewal(acmapi.RenewalStatusPendingValidation))
	if now.Status != acmapi.CertificateStatusIssued || now.Material.Version != 1 {
		t.Errorf("meanwhile: %s, version %d", now.Status, now.Material.Version)
	}
	f.zone.set(c.Domains[0].RecordName, c.Domains[0].RecordValue)
	f.wake <- struct{}{}
	second := f.until(c.ID, "the renewal", renewal(acmapi.RenewalStatusSuccess))
	if second.Material.Version != 2 || second.Material.Certificate == first.Material.Certificate || !second.Material.NotAfter.After(first.Material.NotAfter.AddDate(0, 4, 0)) {
		t.Errorf("version %d until %s", second.Material.Version, second.Material.NotAfter)
	}
	f.users.mu.Lock()
	f.users.used = false
	f.users.mu.Unlock()
	f.clock.set(second.Material.NotAfter.Add(time.Second))
	f.wake <- struct{}{}
	if now = f.until(c.ID, "its end", is(acmapi.CertificateStatusExpired)); now.Material.Version != 2 {
		t.Errorf("version %d", now.Material.Version)
	}
	f.stop()
	for _, said := range []string{"a certificate cannot be renewed before", "a certificate ends soon", "a certificate has ended"} {
		if strings.Count(f.log.String(), said) != 1 {
			t.Errorf("%q is not in the log once: %s", said, f.log)
		}
	}
}

// refusing is a CA that fails at first.
type refusing struct {
	mu    sync.Mutex
	times int
}

func (r *refusing) Sign(req pki.ServerRequest, public crypto.PublicKey) ([]byte, []byte, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.times--; r.times >= 0 {
		return nil, nil, errors.New("no space left")
	}
	return authority().Sign(req, public)
}

func TestTriesAgain(t *testing.T) {
	f := newFixture(t)
	f.ca = &refusing{times: 1}
	c := f.request(acmapi.ValidationMethodDns, "example.com")
	f.zone.set(c.Domains[0].RecordName, c.Domains[0].RecordValue)
	f.start()
	f.until(c.ID, "the certificate", is(acmapi.CertificateStatusIssued))
	f.stop()
	if !strings.Contains(f.log.String(), "no space left") {
		t.Errorf("log: %s", f.log)
	}
}

// A certificate that is deleted takes its goroutine along; one that comes later
// is looked after as before.
func TestDeletedMeanwhile(t *testing.T) {
	f := newFixture(t)
	f.start()
	gone := f.request(acmapi.ValidationMethodDns, "gone.example.com")
	f.looked(gone.Domains[0].RecordName)
	if err := f.acm.Certificates.Delete(t.Context(), gone.ID); err != nil {
		t.Fatal(err)
	}
	f.zone.set(gone.Domains[0].RecordName, gone.Domains[0].RecordValue)
	c := f.request(acmapi.ValidationMethodDns, "example.com")
	f.zone.set(c.Domains[0].RecordName, c.Domains[0].RecordValue)
	f.until(c.ID, "the certificate", is(acmapi.CertificateStatusIssued))
	if all, _, err := f.acm.Certificates.List(t.Context(), ""); err != nil || len(all) != 1 {
		t.Errorf("%d certificates, %v", len(all), err)
	}
}

func TestMakeKey(t *testing.T) {
	for algorithm, want := range map[acmapi.KeyAlgorithm]string{
		acmapi.KeyAlgorithmRsa2048: "RSA 2048", acmapi.KeyAlgorithmRsa3072: "RSA 3072",
		acmapi.KeyAlgorithmEcPrime256v1: "ECDSA 256", acmapi.KeyAlgorithmEcSecp384r1: "ECDSA 384", acmapi.KeyAlgorithmRsa1024: "",
	} {
		key, err := makeKey(algorithm)
		if got := describe(key); got != want || (err != nil) != (want == "") {
			t.Errorf("%s: %s, %v", algorithm, got, err)
		}
	}
}
