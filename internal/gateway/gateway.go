// Package gateway is the region's one AWS endpoint. It takes a request to the
// service that it was signed for, checks who signed it and what the policies
// say, has the service answer, and puts the call on record. It knows no service
// by what it does: services come in as tables, handlers and the authorization
// that each asks for. What AWS's clients see of errors comes from here, from
// package wire or from the services, always in the service's own dialect.
package gateway

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/tarn-eks/tarn/internal/api"
	"github.com/tarn-eks/tarn/internal/caller"
	"github.com/tarn-eks/tarn/internal/policy"
	"github.com/tarn-eks/tarn/internal/sigv4"
	"github.com/tarn-eks/tarn/internal/trail"
	"github.com/tarn-eks/tarn/internal/wire"
)

// Service is one AWS service.
type Service struct {
	API *api.Service
	// Handler also implements the Handler interface that was generated with API.
	Handler Authorizer
	// MaxBody bounds the bodies of its requests, in bytes; 0 is
	// wire.DefaultMaxBody.
	MaxBody int64
}

// Authorizer says what a call must be allowed to do: one request for each
// action, whose Principal and global condition keys the gateway fills in.
// None: everyone may. Its errors are answered as the operation's own.
type Authorizer interface {
	Authorization(ctx context.Context, operation string, input any) ([]policy.Request, error)
}

// Credential is what an access key stands for, as it was presented.
type Credential struct {
	caller.Credential
	// SessionPolicies limit temporary credentials; none if empty.
	SessionPolicies []policy.Source
}

// Credentials knows access keys and who holds which permissions.
type Credentials interface {
	// Find looks an access key up. sessionToken is what was sent with it, "" if
	// nothing was: credentials that are sealed in their token are opened with it.
	// Its errors match sigv4.ErrUnknownKey if there is no such key, it is inactive,
	// or the token is not its own.
	Find(ctx context.Context, accessKeyID, sessionToken string) (Credential, error)
	// Policies are those attached to the caller: identity policies, its groups',
	// its boundary. Session policies are the Credential's.
	Policies(ctx context.Context, c caller.Caller) (*policy.Policies, error)
}

// Recorder takes the record of each call; *trail.Trail is one.
type Recorder interface{ Add(trail.Record) }

// Config says what a Gateway stands before.
type Config struct {
	Account, Region string
	Services        []Service
	Credentials     Credentials
	Trail           Recorder // nil: calls are not recorded
	// Reset wipes what clients made. Nil: POST /_tarn/reset is refused.
	Reset func(ctx context.Context) error
	// Pages are what else is served without a signature, by its path below /_tarn/.
	Pages map[string]http.Handler
	// Ready tells what the region still waits for; nil, or no error, is ready.
	Ready func() error
	// PrincipalTags are the tags of the caller's user, or of its role and session,
	// for aws:PrincipalTag conditions. Nil: nobody has any.
	PrincipalTags func(ctx context.Context, c caller.Caller) (map[string]string, error)
	// Used is told of every call whose signature was good: which keys and roles are
	// in use. Nil: nobody wants to know.
	Used func(c caller.Caller, service, region string)
	// Messages seals the reasons that EC2 gives with a denial. Nil: with a key that
	// is forgotten at the end.
	Messages *Messages
	// Hosts are names by which the endpoint may be addressed, apart from those of
	// loopback and of AWS, and IP addresses.
	Hosts   []string
	Version string
	Logger  *slog.Logger     // nil is slog.Default
	Now     func() time.Time // nil is time.Now
}

// Gateway is the endpoint, an http.Handler. It is safe for concurrent use.
type Gateway struct {
	cfg      Config
	log      *slog.Logger
	services []*service            // by name
	signing  map[string][]*service // by signing name
	verifier *sigv4.Verifier
	door     http.Handler // GET /_tarn/…
	elsewise struct{ json, xml *service }

	resetting sync.Mutex // held while Reset runs
}

// service is a service with its protocols.
type service struct {
	*wire.Service
	handler Authorizer // nil for services that do not exist here
	maxBody int64
}

// global are the services (by signing name) that AWS serves from one place for
// all regions: requests are signed for us-east-1, or for the endpoint's region.
// The tagging service has in us-east-1 what belongs to no region.
var global = map[string]bool{"iam": true, "sts": true, "route53": true, "tagging": true}

const globalRegion = "us-east-1"

// New returns a Gateway. It fails if the configuration lacks something or names
// a service twice.
func New(cfg Config) (*Gateway, error) {
	if cfg.Account == "" || cfg.Region == "" || cfg.Credentials == nil {
		return nil, errors.New("gateway: the configuration lacks the account, the region or the credentials")
	}
	if cfg.Now == nil {
		cfg.Now = time.Now
	}
	if cfg.Messages == nil {
		key := make([]byte, MessageKeySize)
		_, _ = rand.Read(key) // never fails
		var err error
		if cfg.Messages, err = NewMessages(key); err != nil {
			return nil, err
		}
	}
	g := &Gateway{cfg: cfg, log: cfg.Logger, signing: map[string][]*service{}}
	if g.log == nil {
		g.log = slog.Default()
	}
	largest := int64(wire.DefaultMaxBody)
	for _, s := range cfg.Services {
		if s.Handler == nil || g.named(s.API.Name) != nil {
			return nil, fmt.Errorf("gateway: the service %s is there twice or has no handler", s.API.Name)
		}
		if s.MaxBody == 0 {
			s.MaxBody = wire.DefaultMaxBody
		}
		largest = max(largest, s.MaxBody)
		svc := &service{wire.New(wire.Config{API: s.API, MaxBody: s.MaxBody}), s.Handler, s.MaxBody}
		g.services = append(g.services, svc)
		g.signing[s.API.SigningName] = append(g.signing[s.API.SigningName], svc)
	}
	slices.SortFunc(g.services, func(a, b *service) int { return strings.Compare(a.Name, b.Name) })
	g.elsewise.json, g.elsewise.xml = nowhere(api.RestJSON1), nowhere(api.RestXML)
	g.verifier = sigv4.New(sigv4.Config{MaxBody: largest})
	var err error
	g.door, err = g.newDoor()
	return g, err
}

// named finds a service by the name of its package.
func (g *Gateway) named(name string) *service {
	for _, s := range g.services {
		if s.Name == name {
			return s
		}
	}
	return nil
}

// Server returns a server for the endpoint, without an address. Its limits keep
// slow or silent clients from holding on to it; SDKs keep idle connections for
// 90 s, which must be less than the server does, or they send into closed ones.
func (g *Gateway) Server() *http.Server {
	return &http.Server{
		Handler:           g,
		ReadHeaderTimeout: 10 * time.Second,
		ReadTimeout:       time.Minute,
		WriteTimeout:      2 * time.Minute,
		IdleTimeout:       2 * time.Minute,
		MaxHeaderBytes:    64 << 10,
		ErrorLog:          slog.NewLogLogger(g.log.Handler(), slog.LevelDebug),
	}
}
