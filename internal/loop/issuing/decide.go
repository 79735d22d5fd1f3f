package issuing

import (
	"slices"
	"strings"
	"time"

	acmapi "github.com/tarn-eks/tarn/internal/api/acm"
	"github.com/tarn-eks/tarn/internal/service/acm"
)

const (
	// validationTime is how long a request waits for its validation.
	validationTime = 72 * time.Hour
	// Since February 2026 public certificates of ACM are valid for 198 days and
	// renewed from 45 days before their end.
	validity    = 198 * 24 * time.Hour
	renewBefore = 45 * 24 * time.Hour
	// daily is how often at most a certificate is renewed by itself, and how often
	// the log says that one ends soon.
	daily = 24 * time.Hour
	// eagerly is how long records are looked up at each second after a zone has
	// changed.
	eagerly = 10 * time.Second
)

// Seen is what the loop knows about a certificate besides its record.
type Seen struct {
	Now time.Time
	// Used says that somebody serves with it; it counts when it is to be renewed.
	Used bool
	// Looked is when the records were last looked up for the validation that is
	// under way; zero is never, or not since zones have changed.
	Looked time.Time
	// Woken is when zones have last changed.
	Woken time.Time
	// Notice is how many days before a certificate's end the account wants to hear
	// of it, 0 is never; Noticed when it was last told.
	Notice  int
	Noticed time.Time
}

// Decision is what to do about a certificate. The first that is set is to be
// done, and then decided again.
type Decision struct {
	End     acmapi.CertificateStatus // the status with which it ends now
	Reason  acmapi.FailureReason     // of End
	Renewal acmapi.RenewalStatus     // what its renewal has come to now
	Issue   bool
	Mail    []acm.Domain // whose mailboxes are to get a mail
	Lookup  []acm.Domain // whose records are to be looked up

	Notice bool // to be logged: the certificate ends soon

	// Key says that a key will be wanted.
	Key bool
	// Again is when to decide again if nothing happens until then; zero is never.
	Again time.Time
}

// Decide says what to do about a certificate.
func Decide(c acm.Certificate, seen Seen) Decision {
	switch c.Status {
	case acmapi.CertificateStatusPendingValidation:
		return decidePending(c, seen)
	case acmapi.CertificateStatusIssued:
		return decideIssued(c, seen).notice(c, seen)
	}
	return Decision{}
}

// notice adds that the certificate ends soon, once there is nothing else to do.
func (d Decision) notice(c acm.Certificate, seen Seen) Decision {
	if seen.Notice == 0 || d.End != "" || d.Renewal != "" || d.Issue || len(d.Mail) > 0 || len(d.Lookup) > 0 {
		return d
	}
	next := c.Material.NotAfter.AddDate(0, 0, -seen.Notice)
	if !seen.Noticed.IsZero() && next.Before(seen.Noticed.Add(daily)) {
		next = seen.Noticed.Add(daily)
	}
	if d.Notice = !seen.Now.Before(next); !d.Notice {
		d.Again = earliest(next, d.Again)
	}
	return d
}

func decidePending(c acm.Certificate, seen Seen) Decision {
	deadline := c.Created.Add(validationTime)
	switch {
	case c.Authority != "": // this region has no private CA
		return Decision{End: acmapi.CertificateStatusFailed, Reason: acmapi.FailureReasonPcaResourceNotFound}
	case slices.ContainsFunc(c.Names, ofAmazon):
		return Decision{End: acmapi.CertificateStatusFailed, Reason: acmapi.FailureReasonAdditionalVerificationRequired}
	case acm.Validated(c.Domains):
		return Decision{Issue: true, Key: true}
	case !seen.Now.Before(deadline):
		return Decision{End: acmapi.CertificateStatusValidationTimedOut}
	}
	d := Decision{Key: true, Again: deadline}
	if c.Method == acmapi.ValidationMethodEmail {
		d.Mail = among(c.Domains, func(d acm.Domain) bool { return d.Mailed.IsZero() || d.Remail })
		return d
	}
	return d.lookup(c.Domains, seen, interval(seen.Now.Sub(c.Created)))
}

func decideIssued(c acm.Certificate, seen Seen) Decision {
	end := c.Material.NotAfter
	if seen.Now.After(end) {
		return Decision{End: acmapi.CertificateStatusExpired}
	}
	afterEnd := end.Add(time.Second) // it is valid until then, inclusive
	if c.Type == acmapi.CertificateTypeImported {
		return Decision{Again: afterEnd}
	}
	if !c.Renewing() {
		from := RenewFrom(c)
		if c.Renewal != nil && from.Before(c.Renewal.Updated.Add(daily)) { // near the end of its issuer
			from = c.Renewal.Updated.Add(daily)
		}
		if seen.Now.Before(from) {
			return Decision{Again: earliest(from, afterEnd)}
		}
		if c.Eligible(seen.Used) {
			return Decision{Renewal: acmapi.RenewalStatusPendingAutoRenewal}
		}
		// Somebody may begin to use it.
		return Decision{Again: earliest(seen.Now.Add(time.Hour), afterEnd)}
	}
	domains := c.Renewal.Domains
	if acm.Validated(domains) {
		return Decision{Issue: true, Key: true}
	}
	d := Decision{Key: true, Again: afterEnd}
	automatic := c.Renewal.Status == acmapi.RenewalStatusPendingAutoRenewal
	if c.Method == acmapi.ValidationMethodEmail {
		if automatic { // nothing happens by itself
			return Decision{Renewal: acmapi.RenewalStatusPendingValidation}
		}
		mark := reminder(end, seen.Now)
		d.Mail = among(domains, func(d acm.Domain) bool { return d.Mailed.Before(mark) || d.Remail })
		if next := nextReminder(end, seen.Now); !next.IsZero() {
			d.Again = next
		}
		return d
	}
	d = d.lookup(domains, seen, time.Hour)
	if automatic && len(d.Lookup) == 0 { // some records are not there
		return Decision{Renewal: acmapi.RenewalStatusPendingValidation}
	}
	return d
}

// RenewFrom is when ACM begins to renew a certificate.
func RenewFrom(c acm.Certificate) time.Time { return c.Material.NotAfter.Add(-renewBefore) }

// lookup has records looked up as often as every says, and more often when zones
// have just changed.
func (d Decision) lookup(domains []acm.Domain, seen Seen, every time.Duration) Decision {
	if !seen.Woken.IsZero() && seen.Now.Sub(seen.Woken) < eagerly {
		every = time.Second
	}
	next := seen.Looked.Add(every)
	if seen.Looked.IsZero() || !seen.Now.Before(next) {
		d.Lookup = among(domains, func(acm.Domain) bool { return true })
		return d
	}
	d.Again = earliest(next, d.Again)
	return d
}

// interval is how often records are looked up that a request waits for. People
// set them soon, or need long.
func interval(age time.Duration) time.Duration {
	switch {
	case age < 30*time.Minute:
		return time.Second
	case age < 6*time.Hour:
		return 5 * time.Second
	}
	return time.Minute
}

// among are the domains that wait for their validation and are as wanted.
func among(domains []acm.Domain, wanted func(acm.Domain) bool) []acm.Domain {
	var all []acm.Domain
	for _, d := range domains {
		if d.Status == acmapi.DomainStatusPendingValidation && wanted(d) {
			all = append(all, d)
		}
	}
	return all
}

// reminders are how many days before a certificate's end its domains' mailboxes
// get a mail.
//
// https://docs.aws.amazon.com/acm/latest/userguide/email-renewal-validation.html
var reminders = []int{45, 30, 15, 7, 3, 1}

// reminder is when the last mail was due, also if the renewal began before the
// first.
func reminder(end, now time.Time) time.Time {
	last := end.AddDate(0, 0, -365)
	for _, days := range reminders {
		if at := end.AddDate(0, 0, -days); !at.After(now) {
			last = at
		}
	}
	return last
}

// nextReminder is when the next mail is due, zero after the last.
func nextReminder(end, now time.Time) time.Time {
	for _, days := range reminders {
		if at := end.AddDate(0, 0, -days); at.After(now) {
			return at
		}
	}
	return time.Time{}
}

func earliest(a, b time.Time) time.Time {
	if a.Before(b) {
		return a
	}
	return b
}

// ofAmazon says whether a name is under a domain of Amazon, for which nobody else
// gets a certificate.
func ofAmazon(name string) bool {
	return slices.ContainsFunc([]string{"amazonaws.com", "cloudfront.net", "elasticbeanstalk.com"}, func(domain string) bool {
		return name == domain || strings.HasSuffix(name, "."+domain)
	})
}
