package issuing

import (
	"slices"
	"testing"
	"time"

	acmapi "github.com/tarn-eks/tarn/internal/api/acm"
	"github.com/tarn-eks/tarn/internal/service/acm"
)

const (
	pending = acmapi.DomainStatusPendingValidation
	success = acmapi.DomainStatusSuccess
)

var (
	t0  = time.Date(2026, 11, 29, 12, 0, 0, 0, time.UTC)
	end = time.Date(2027, 6, 14, 23, 59, 59, 0, time.UTC)
)

func domains(statuses ...acmapi.DomainStatus) []acm.Domain {
	var all []acm.Domain
	for i, s := range statuses {
		all = append(all, acm.Domain{Name: string(rune('a'+i)) + ".example.com", Status: s})
	}
	return all
}

// requested is a certificate that waits for its validation since t0.
func requested(method acmapi.ValidationMethod, d ...acm.Domain) acm.Certificate {
	return acm.Certificate{
		Type: acmapi.CertificateTypeAmazonIssued, Status: acmapi.CertificateStatusPendingValidation,
		Names: []string{"a.example.com"}, Created: t0, Method: method, Domains: d,
	}
}

// issued is a certificate that ends at end.
func issued(change func(*acm.Certificate)) acm.Certificate {
	c := requested(acmapi.ValidationMethodDns, domains(success)...)
	c.Status, c.Material = acmapi.CertificateStatusIssued, &acm.Material{NotAfter: end, Version: 1}
	if change != nil {
		change(&c)
	}
	return c
}

func renewing(status acmapi.RenewalStatus, method acmapi.ValidationMethod, d ...acm.Domain) acm.Certificate {
	return issued(func(c *acm.Certificate) {
		c.Method, c.Renewal = method, &acm.Renewal{Status: status, Domains: d}
	})
}

func TestDecide(t *testing.T) {
	const dns, email = acmapi.ValidationMethodDns, acmapi.ValidationMethodEmail
	const auto, waiting = acmapi.RenewalStatusPendingAutoRenewal, acmapi.RenewalStatusPendingValidation
	after := func(d time.Duration) time.Time { return t0.Add(d) }
	days := func(n int) time.Time { return end.AddDate(0, 0, -n) }
	mailed := func(at time.Time, remail bool) acm.Domain {
		return acm.Domain{Name: "a.example.com", Status: pending, Mailed: at, Remail: remail}
	}
	named := func(names ...string) acm.Certificate {
		c := requested(dns, domains(pending)...)
		c.Names = names
		return c
	}
	private := named("a.example.com")
	private.Type, private.Authority = acmapi.CertificateTypePrivate, "arn:aws:acm-pca:r:1:certificate-authority/x"
	imported := issued(func(c *acm.Certificate) { c.Type = acmapi.CertificateTypeImported })
	used := func(now time.Time) Seen { return Seen{Now: now, Used: true} }
	for _, tc := range []struct {
		name         string
		c            acm.Certificate
		seen         Seen
		want         Decision // without Mail and Lookup
		mail, lookup string   // the names' first letters
	}{
		// By DNS.
		{name: "at first", c: requested(dns, domains(pending, success, pending)...), seen: Seen{Now: after(0)}, want: Decision{Key: true, Again: after(72 * time.Hour)}, lookup: "ac"},
		{name: "looked up", c: requested(dns, domains(pending)...), seen: Seen{Now: after(0), Looked: after(0)}, want: Decision{Key: true, Again: after(time.Second)}},
		{name: "a second later", c: requested(dns, domains(pending)...), seen: Seen{Now: after(time.Second), Looked: after(0)}, want: Decision{Key: true, Again: after(72 * time.Hour)}, lookup: "a"},
		{name: "an hour later, less often", c: requested(dns, domains(pending)...), seen: Seen{Now: after(time.Hour + time.Second), Looked: after(time.Hour)}, want: Decision{Key: true, Again: after(time.Hour + 5*time.Second)}},
		{name: "a day later, still less often", c: requested(dns, domains(pending)...), seen: Seen{Now: after(24*time.Hour + 5*time.Second), Looked: after(24 * time.Hour)}, want: Decision{Key: true, Again: after(24*time.Hour + time.Minute)}},
		{name: "a day later, when zones change", c: requested(dns, domains(pending)...), seen: Seen{Now: after(24 * time.Hour), Woken: after(24 * time.Hour)}, want: Decision{Key: true, Again: after(72 * time.Hour)}, lookup: "a"},
		{name: "just after that", c: requested(dns, domains(pending)...), seen: Seen{Now: after(24*time.Hour + time.Second), Woken: after(24 * time.Hour), Looked: after(24*time.Hour + 900*time.Millisecond)}, want: Decision{Key: true, Again: after(24*time.Hour + 1900*time.Millisecond)}},
		{name: "some time after that", c: requested(dns, domains(pending)...), seen: Seen{Now: after(24*time.Hour + 10*time.Second), Woken: after(24 * time.Hour), Looked: after(24*time.Hour + 9*time.Second)}, want: Decision{Key: true, Again: after(24*time.Hour + 69*time.Second)}},
		{name: "not after the deadline", c: requested(dns, domains(pending)...), seen: Seen{Now: after(72*time.Hour - time.Second), Looked: after(72*time.Hour - time.Second)}, want: Decision{Key: true, Again: after(72 * time.Hour)}},
		{name: "timed out", c: requested(dns, domains(success, pending)...), seen: Seen{Now: after(72 * time.Hour)}, want: Decision{End: acmapi.CertificateStatusValidationTimedOut}},
		{name: "validated", c: requested(dns, domains(success, success)...), seen: Seen{Now: after(0)}, want: Decision{Issue: true, Key: true}},
		{name: "validated in time, seen late", c: requested(dns, domains(success)...), seen: Seen{Now: after(80 * time.Hour)}, want: Decision{Issue: true, Key: true}},
		{name: "Amazon's", c: named("example.com", "x.ap-northeast-2.elb.amazonaws.com"), seen: Seen{Now: after(0)}, want: Decision{End: acmapi.CertificateStatusFailed, Reason: acmapi.FailureReasonAdditionalVerificationRequired}},
		{name: "sounds like Amazon's", c: named("myamazonaws.com"), seen: Seen{Now: after(0)}, want: Decision{Key: true, Again: after(72 * time.Hour)}, lookup: "a"},
		{name: "of a private CA", c: private, seen: Seen{Now: after(0)}, want: Decision{End: acmapi.CertificateStatusFailed, Reason: acmapi.FailureReasonPcaResourceNotFound}},

		// By mail.
		{name: "to be mailed", c: requested(email, domains(pending, success, pending)...), seen: Seen{Now: after(0)}, want: Decision{Key: true, Again: after(72 * time.Hour)}, mail: "ac"},
		{name: "mailed", c: requested(email, mailed(after(0), false)), seen: Seen{Now: after(time.Hour)}, want: Decision{Key: true, Again: after(72 * time.Hour)}},
		{name: "to be mailed again", c: requested(email, mailed(after(0), true)), seen: Seen{Now: after(time.Hour)}, want: Decision{Key: true, Again: after(72 * time.Hour)}, mail: "a"},
		{name: "approved", c: requested(email, domains(success)...), seen: Seen{Now: after(time.Hour)}, want: Decision{Issue: true, Key: true}},
		{name: "not approved", c: requested(email, mailed(after(0), false)), seen: Seen{Now: after(72 * time.Hour)}, want: Decision{End: acmapi.CertificateStatusValidationTimedOut}},

		// Renewal.
		{name: "fresh", c: issued(nil), seen: used(after(0)), want: Decision{Again: days(45)}},
		{name: "near its end, used", c: issued(nil), seen: used(days(45)), want: Decision{Renewal: auto}},
		{name: "near its end, exported", c: issued(func(c *acm.Certificate) { c.Exported = true }), seen: Seen{Now: days(45)}, want: Decision{Renewal: auto}},
		{name: "near its end, unused", c: issued(nil), seen: Seen{Now: days(45)}, want: Decision{Again: days(45).Add(time.Hour)}},
		{name: "a minute before its end, unused", c: issued(nil), seen: Seen{Now: end.Add(-time.Minute)}, want: Decision{Again: end.Add(time.Second)}},
		{name: "imported", c: imported, seen: used(days(1)), want: Decision{Again: end.Add(time.Second)}},
		{name: "in its last second", c: issued(nil), seen: Seen{Now: end}, want: Decision{Again: end.Add(time.Second)}},
		{name: "expired", c: issued(nil), seen: used(end.Add(time.Second)), want: Decision{End: acmapi.CertificateStatusExpired}},
		{name: "imported, expired", c: imported, seen: used(end.Add(time.Second)), want: Decision{End: acmapi.CertificateStatusExpired}},
		{name: "expired while it was renewed", c: renewing(waiting, dns, domains(pending)...), seen: used(end.Add(time.Second)), want: Decision{End: acmapi.CertificateStatusExpired}},
		{name: "renewing", c: renewing(auto, dns, domains(pending, pending)...), seen: Seen{Now: days(45)}, want: Decision{Key: true, Again: end.Add(time.Second)}, lookup: "ab"},
		{name: "renewing, a record is gone", c: renewing(auto, dns, domains(success, pending)...), seen: Seen{Now: days(45), Looked: days(45)}, want: Decision{Renewal: waiting}},
		{name: "renewing, it still is", c: renewing(waiting, dns, domains(success, pending)...), seen: Seen{Now: days(45).Add(time.Minute), Looked: days(45)}, want: Decision{Key: true, Again: days(45).Add(time.Hour)}},
		{name: "renewing, an hour later", c: renewing(waiting, dns, domains(success, pending)...), seen: Seen{Now: days(45).Add(time.Hour), Looked: days(45)}, want: Decision{Key: true, Again: end.Add(time.Second)}, lookup: "b"},
		{name: "renewing, validated", c: renewing(waiting, dns, domains(success, success)...), seen: Seen{Now: days(40)}, want: Decision{Issue: true, Key: true}},
		{name: "renewed", c: renewing(acmapi.RenewalStatusSuccess, dns, domains(success)...), seen: used(after(0)), want: Decision{Again: days(45)}},
		{name: "renewing by mail", c: renewing(auto, email, domains(pending)...), seen: used(days(45)), want: Decision{Renewal: waiting}},
		{name: "renewing by mail, first reminder", c: renewing(waiting, email, mailed(time.Time{}, false)), seen: used(days(45)), want: Decision{Key: true, Again: days(30)}, mail: "a"},
		{name: "renewing by mail, reminded", c: renewing(waiting, email, mailed(days(45), false)), seen: used(days(31)), want: Decision{Key: true, Again: days(30)}},
		{name: "renewing by mail, second reminder", c: renewing(waiting, email, mailed(days(45), false)), seen: used(days(30)), want: Decision{Key: true, Again: days(15)}, mail: "a"},
		{name: "renewing by mail, on request", c: renewing(waiting, email, mailed(days(30), true)), seen: used(days(20)), want: Decision{Key: true, Again: days(15)}, mail: "a"},
		{name: "renewing by mail, last day", c: renewing(waiting, email, mailed(days(1), false)), seen: used(end.Add(-time.Hour)), want: Decision{Key: true, Again: end.Add(time.Second)}},
		{name: "renewing by mail before its time", c: renewing(waiting, email, mailed(time.Time{}, false)), seen: used(days(100)), want: Decision{Key: true, Again: days(45)}, mail: "a"},

		{name: "renewed a moment ago, by an issuer that ends", c: issued(func(c *acm.Certificate) {
			c.Renewal = &acm.Renewal{Status: acmapi.RenewalStatusSuccess, Updated: days(10)}
		}), seen: used(days(10).Add(time.Second)), want: Decision{Again: days(9)}},
		{name: "renewed a day ago, by an issuer that ends", c: issued(func(c *acm.Certificate) {
			c.Renewal = &acm.Renewal{Status: acmapi.RenewalStatusSuccess, Updated: days(10)}
		}), seen: used(days(9)), want: Decision{Renewal: auto}},

		// What the account wants to hear.
		{name: "ends not so soon", c: imported, seen: Seen{Now: days(31), Notice: 30}, want: Decision{Again: days(30)}},
		{name: "ends soon", c: imported, seen: Seen{Now: days(30), Notice: 30}, want: Decision{Notice: true, Again: end.Add(time.Second)}},
		{name: "ends soon, as was said today", c: imported, seen: Seen{Now: days(30).Add(time.Hour), Notice: 30, Noticed: days(30)}, want: Decision{Again: days(29)}},
		{name: "ends soon, as was said yesterday", c: imported, seen: Seen{Now: days(29), Notice: 30, Noticed: days(30)}, want: Decision{Notice: true, Again: end.Add(time.Second)}},
		{name: "ends soon, first it is renewed", c: issued(nil), seen: Seen{Now: days(30), Used: true, Notice: 30}, want: Decision{Renewal: auto}},

		// Nothing more comes of these.
		{name: "failed", c: acm.Certificate{Status: acmapi.CertificateStatusFailed}, seen: used(after(0))},
		{name: "has timed out", c: acm.Certificate{Status: acmapi.CertificateStatusValidationTimedOut}, seen: used(after(0))},
		{name: "has expired", c: issued(func(c *acm.Certificate) { c.Status = acmapi.CertificateStatusExpired }), seen: used(end.AddDate(1, 0, 0))},
	} {
		got := Decide(tc.c, tc.seen)
		if letters(got.Mail) != tc.mail || letters(got.Lookup) != tc.lookup {
			t.Errorf("%s: mail %q, look up %q, want %q, %q", tc.name, letters(got.Mail), letters(got.Lookup), tc.mail, tc.lookup)
		}
		if got.End != tc.want.End || got.Reason != tc.want.Reason || got.Renewal != tc.want.Renewal || got.Issue != tc.want.Issue || got.Key != tc.want.Key || got.Notice != tc.want.Notice || !got.Again.Equal(tc.want.Again) {
			t.Errorf("%s: %+v\nwant %+v", tc.name, got, tc.want)
		}
	}
}

func letters(domains []acm.Domain) string {
	var out []byte
	for _, d := range domains {
		out = append(out, d.Name[0])
	}
	return string(out)
}

// However long somebody takes, records are looked up within two seconds of a
// zone's change, and of any change while the request is young.
func TestHowLongARecordIsMissed(t *testing.T) {
	c := requested(acmapi.ValidationMethodDns, domains(pending)...)
	for _, age := range []time.Duration{0, 10 * time.Minute, 5 * time.Hour, 71 * time.Hour} {
		changed := t0.Add(age)
		for _, late := range []time.Duration{0, 300 * time.Millisecond, 5 * time.Second, 9 * time.Second} { // a name server's
			now := changed.Add(late)
			d := Decide(c, Seen{Now: now, Woken: changed, Looked: now})
			if wait := d.Again.Sub(now); wait > 2*time.Second {
				t.Errorf("at the age of %s, %s after the change: the next look is in %s", age, late, wait)
			}
		}
	}
	if d := Decide(c, Seen{Now: t0.Add(29 * time.Minute), Looked: t0.Add(29 * time.Minute)}); d.Again.Sub(t0.Add(29*time.Minute)) > 2*time.Second {
		t.Errorf("young, and zones of others: the next look is at %s", d.Again)
	}
}

func TestReminders(t *testing.T) {
	// Each is sent once, in order, and none is left out.
	var sent []int
	last := time.Time{}
	for now := end.AddDate(0, 0, -50); now.Before(end); now = now.Add(7 * time.Hour) {
		if mark := reminder(end, now); last.Before(mark) && !now.Before(end.AddDate(0, 0, -45)) {
			sent, last = append(sent, int(end.Sub(now).Hours()/24)), now
		}
	}
	if !slices.Equal(sent, []int{44, 29, 15, 6, 2, 1}) {
		t.Errorf("reminded %v days before the end", sent)
	}
}
