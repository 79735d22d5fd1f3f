package issuing

import (
	"cmp"
	"context"
	"crypto"
	"errors"
	"strings"
	"sync"
	"time"

	acmapi "github.com/tarn-eks/tarn/internal/api/acm"
	"github.com/tarn-eks/tarn/internal/pki"
	"github.com/tarn-eks/tarn/internal/service/acm"
	"github.com/tarn-eks/tarn/internal/store"
)

type item = store.Item[acm.Certificate]

// tender looks after one certificate.
type tender struct {
	*Loop
	news  chan item     // has the newest that run does not know
	woken chan struct{} // has a value if zones have changed
	stop  context.CancelFunc

	// What follows is run's.
	looked, wokenAt time.Time
	phase           string // what looked is about
	key             chan made
	problem         string // that was logged last
	noticed         time.Time
}

// made is a key, or why there is none.
type made struct {
	key crypto.Signer
	err error
}

// tell and poke never wait: Run alone calls them.
func (t *tender) tell(it item) {
	select {
	case <-t.news:
	default:
	}
	t.news <- it
}

func (t *tender) poke() {
	select {
	case t.woken <- struct{}{}:
	default:
	}
}

// run looks after the certificate until ctx ends: it is gone then, or the loop
// ends.
func (t *tender) run(ctx context.Context, it item) {
	defer func() {
		t.stop()
		if t.key != nil {
			<-t.key // who makes it is ours
		}
	}()
	for {
		again, err := t.act(ctx, &it)
		if ctx.Err() != nil {
			return
		}
		var pause <-chan time.Time
		switch {
		case errors.Is(err, store.ErrNotFound): // Run stops us as soon as it knows
		case err != nil:
			t.complain(err)
			pause = time.After(retry)
		case !again.IsZero():
			pause = time.After(min(again.Sub(t.now()), longest))
		}
		select {
		case <-ctx.Done():
			return
		case <-pause:
		case <-t.woken:
			t.wokenAt, t.looked = t.now(), time.Time{}
		case newer := <-t.news:
			if newer.Revision > it.Revision {
				it = newer
			}
		}
	}
}

// complain logs what goes wrong, once as long as it is the same.
func (t *tender) complain(err error) {
	if err.Error() != t.problem {
		t.problem = err.Error()
		t.Logger.Error("a certificate is not ready; trying again", "error", err)
	}
}

// act does all that is to be done now, and returns when there may be more.
func (t *tender) act(ctx context.Context, it *item) (time.Time, error) {
	for {
		c := it.Value
		d, err := t.decide(ctx, c)
		if err != nil {
			return time.Time{}, err
		}
		if d.Key {
			t.want(ctx, c)
		}
		next := *it
		switch {
		case d.End != "":
			next, err = t.ACM.Ended(ctx, c.ID, c.Status, d.End, d.Reason)
			if err == nil {
				t.Logger.Warn("a certificate has ended", "certificate", t.ACM.ARN(c.ID), "domain", c.DomainName(), "status", d.End, "reason", d.Reason)
			}
		case d.Renewal != "":
			next, err = t.ACM.Renews(ctx, c.ID, d.Renewal)
			if err == nil && d.Renewal == acmapi.RenewalStatusPendingValidation {
				t.Logger.Warn("a certificate cannot be renewed before its domains are validated again", "certificate", t.ACM.ARN(c.ID), "domain", c.DomainName(), "until", c.Material.NotAfter)
			}
		case d.Issue:
			next, err = t.issue(ctx, c)
		case len(d.Mail) > 0:
			next, err = t.mail(ctx, c, d.Mail[0])
		case len(d.Lookup) > 0:
			var found []string
			var told error
			found, err = t.lookup(ctx, d.Lookup)
			t.looked = t.now()
			if len(found) > 0 {
				next, told = t.ACM.Shown(ctx, c.ID, found)
				err = cmp.Or(told, err)
			}
			if err != nil && told == nil { // a name server's trouble: wait as if there were no record
				t.complain(err)
				err = nil
			}
		case d.Notice:
			t.noticed = t.now()
			t.Logger.Warn("a certificate ends soon", "certificate", t.ACM.ARN(c.ID), "domain", c.DomainName(), "end", c.Material.NotAfter,
				"days", int(c.Material.NotAfter.Sub(t.noticed)/daily))
		default:
			return d.Again, nil
		}
		if err != nil {
			return time.Time{}, err
		}
		*it = next
	}
}

// decide asks for what Decide must know.
func (t *tender) decide(ctx context.Context, c acm.Certificate) (Decision, error) {
	phase := string(c.Status)
	if c.Renewing() {
		phase = "renewing"
	}
	if phase != t.phase {
		t.phase, t.looked = phase, time.Time{}
	}
	seen := Seen{Now: t.now(), Looked: t.looked, Woken: t.wokenAt, Noticed: t.noticed}
	if c.Status != acmapi.CertificateStatusIssued {
		return Decide(c, seen), nil
	}
	var err error
	if seen.Notice, err = t.ACM.DaysBeforeExpiry(ctx); err != nil {
		return Decision{}, err
	}
	if !c.Renewing() && !seen.Now.Before(RenewFrom(c)) {
		uses, err := t.ACM.InUse(ctx, t.ACM.ARN(c.ID))
		if err != nil {
			return Decision{}, err
		}
		seen.Used = len(uses) > 0
	}
	return Decide(c, seen), nil
}

// lookup returns the names of those domains whose records are as they must be.
func (t *tender) lookup(ctx context.Context, domains []acm.Domain) ([]string, error) {
	records := map[string]string{} // a wildcard has its parent's
	for _, d := range domains {
		records[d.RecordName] = d.RecordValue
	}
	var (
		mu     sync.Mutex // guards the two below
		right  = map[string]bool{}
		failed error
		asking sync.WaitGroup
	)
	for name, want := range records {
		asking.Go(func() {
			got, err := t.Resolver.LookupCNAME(ctx, name)
			mu.Lock()
			defer mu.Unlock()
			right[name] = err == nil && sameName(got, want)
			failed = cmp.Or(failed, err)
		})
	}
	asking.Wait()
	var found []string
	for _, d := range domains {
		if right[d.RecordName] {
			found = append(found, d.Name)
		}
	}
	return found, failed
}

// sameName compares names as DNS does.
func sameName(a, b string) bool {
	return strings.EqualFold(strings.TrimSuffix(a, "."), strings.TrimSuffix(b, "."))
}

// issue has the certificate signed, and gives it to the service.
func (t *tender) issue(ctx context.Context, c acm.Certificate) (item, error) {
	m, err := t.take(ctx)
	if err != nil {
		return item{}, err
	}
	// From midnight to the last second of a day, as ACM's are.
	from := t.now().UTC().Truncate(24 * time.Hour)
	leaf, chain, err := t.CA.Sign(pki.ServerRequest{
		CommonName: c.DomainName(), DNSNames: c.Names, NotBefore: from, NotAfter: from.Add(validity - time.Second),
	}, m.Public())
	if err != nil {
		return item{}, err
	}
	var version int64
	if c.Material != nil {
		version = c.Material.Version
	}
	next, err := t.ACM.Issue(ctx, c.ID, version, leaf, chain, m)
	if err == nil {
		t.Logger.Info("a certificate is issued", "certificate", t.ACM.ARN(c.ID), "domain", c.DomainName(), "until", next.Value.Material.NotAfter)
	}
	return next, err
}
