// Package issuing is the loop that makes certificates of requests: it follows
// ACM's records, shows by DNS or by mail that the names are the account's, has
// keys made and signed, renews and lets expire. What a certificate is, and what
// becomes of a private key, is for service/acm to know.
package issuing

import (
	"context"
	"crypto"
	"log/slog"
	"sync"
	"time"

	"github.com/tarn-eks/tarn/internal/pki"
	"github.com/tarn-eks/tarn/internal/service/acm"
)

// CA signs certificates. *pki.Authority is one.
type CA interface {
	// Sign signs for a key of which it sees the public half. leaf and chain are PEM.
	Sign(r pki.ServerRequest, public crypto.PublicKey) (leaf, chain []byte, err error)
}

// Resolver looks up names.
type Resolver interface {
	// LookupCNAME returns what the CNAME record at the name itself says, "" if there
	// is none.
	LookupCNAME(ctx context.Context, name string) (string, error)
}

// Mailer sends mail.
type Mailer interface {
	Send(ctx context.Context, m Message) error
}

const (
	// retry is the pause after something has failed.
	retry = 2 * time.Second
	// longest is the longest pause: a machine that slept, or whose clock was set,
	// is right again after it.
	longest = time.Hour
	// makers is how many keys are made at a time.
	makers = 2
)

// Loop validates, issues and renews certificates.
type Loop struct {
	ACM      *acm.Service
	CA       CA
	Resolver Resolver
	Mailer   Mailer
	// Endpoint is where people reach acm.ApprovalPath: http://127.0.0.1:4566.
	Endpoint string
	// Wake gets a value when zones have changed, after name servers answer from
	// them: records are looked up at once then. It may be nil.
	Wake   <-chan struct{}
	Logger *slog.Logger
	Now    func() time.Time // nil is time.Now

	makers chan struct{} // holds as many as make keys; Run makes it
}

// Run follows the store until ctx ends. Each certificate has a goroutine of its
// own, so that none waits for another's name servers or key.
func (l *Loop) Run(ctx context.Context) error {
	ctx, cancel := context.WithCancel(ctx)
	l.makers = make(chan struct{}, makers)
	certificates := l.ACM.Certificates.Follow(ctx, "")
	all := map[string]*tender{}
	var running sync.WaitGroup
	defer func() {
		cancel()
		for range certificates.C { // until it has ended
		}
		running.Wait()
	}()
	for {
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-l.Wake:
			for _, t := range all {
				t.poke()
			}
		case current, ok := <-certificates.C:
			if !ok {
				return certificates.Err()
			}
			for _, it := range current.Items {
				if t := all[it.Key]; t != nil {
					t.tell(it)
					continue
				}
				ctx, stop := context.WithCancel(ctx)
				t := &tender{Loop: l, news: make(chan item, 1), woken: make(chan struct{}, 1), stop: stop}
				all[it.Key] = t
				running.Go(func() { t.run(ctx, it) })
			}
			for id, t := range all {
				if _, ok := current.Get(id); !ok {
					t.stop()
					delete(all, id)
				}
			}
		}
	}
}

func (l *Loop) now() time.Time {
	if l.Now != nil {
		return l.Now()
	}
	return time.Now()
}
