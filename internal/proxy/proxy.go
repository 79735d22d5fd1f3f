// Package proxy is the data plane of load balancers: it listens, ends TLS, chooses backends, checks
// their health, lets connections drain, and counts. What to do it is told in snapshots, which do not
// change once given; parsing and forwarding HTTP is package http1's. It knows neither the AWS API nor
// the store, and opens no socket itself: where a balancer listens and dials from is the caller's.
package proxy

import (
	"context"
	"crypto/tls"
	"log/slog"
	"net"
	"net/netip"
	"time"
)

// Protocol is what a listener speaks with clients, or a balancer with a backend.
type Protocol string

// The protocols that there are.
const (
	HTTP  Protocol = "HTTP"
	HTTPS Protocol = "HTTPS"
	TCP   Protocol = "TCP"
	SSL   Protocol = "SSL"
)

// Secure says whether the protocol is inside TLS.
func (p Protocol) Secure() bool { return p == HTTPS || p == SSL }

// Web says whether the protocol is HTTP, inside TLS or not.
func (p Protocol) Web() bool { return p == HTTP || p == HTTPS }

// Config is what [New] needs.
type Config struct {
	// Listen opens the socket of a listener in a zone of the balancer; zone "" is the host, where
	// each balancer has one beside those of its zones. Nil and no error: nothing is to be opened
	// there. It is called for sockets that are not open yet only.
	Listen func(ctx context.Context, b *Balancer, zone string, port int) (net.Listener, error)

	// Dial connects to a backend, or checks its health, from the balancer's node in a zone. The
	// zone is "" for a balancer that has none.
	Dial func(ctx context.Context, b *Balancer, zone string, address netip.AddrPort) (net.Conn, error)

	// Log takes a line of the access log, with its line feed, of balancers that have AccessLog. The
	// line may be used until it returns. It is called from many goroutines and should not block.
	Log func(b *Balancer, line []byte)

	Logger *slog.Logger // slog.Default() when nil
}

// Balancer is a load balancer as it is to be. It and what it points to must not change once given.
type Balancer struct {
	ID   string // connections, health and counters go by it
	Name string // in access logs

	Zones     []string
	Addresses map[string]netip.Addr // by zone, "" for the host: a socket is opened anew when its zone's changes
	CrossZone bool                  // a node sends to the backends of all zones, not only of its own

	Listeners   []Listener
	Backends    []Backend
	HealthCheck HealthCheck // not needed where all backends are in groups
	// Groups are target groups by id: backends and listeners that name one have its settings instead of
	// the balancer's own.
	Groups map[string]Group
	// Application has it behave as an Application Load Balancer where that differs from a Classic one.
	// Where no backend is healthy, requests go to all. One that is unhealthy keeps its connections. 502 is
	// the answer when a backend refuses the connection, or closes it instead of responding; answers of its
	// own are pages. Requests have an X-Amzn-Trace-Id. The balancer's cookies are AWSALB and AWSALBCORS, and
	// its health checks are those of ELB-HealthChecker/2.0.
	Application bool

	IdleTimeout time.Duration // of clients and backends; 60 s when 0
	Drain       time.Duration // how long requests may take to finish on a backend that leaves; 0: they are cut off
	SlowStart   time.Duration // how long the share of a backend that comes (back) grows; 0: full at once

	BackendServers map[int]BackendPolicy // by the backends' port
	Limits         Limits
	// DesyncMitigation is one of Monitor, Defensive (also when empty) and Strictest.
	DesyncMitigation string

	AccessLog bool
}

// Group is what holds for the backends of a target group.
type Group struct {
	HealthCheck HealthCheck
	Drain       time.Duration // as Balancer's
	SlowStart   time.Duration // as Balancer's
	RoundRobin  bool          // HTTP requests go to backends by turn, otherwise to the one with the fewest under way
}

// Listener is a port with what is done with connections to it. Front and back are both HTTP or HTTPS,
// or both TCP or SSL.
type Listener struct {
	Port            int
	Protocol        Protocol
	Group           string // whose backends it sends to; "": those that are in none
	BackendPort     int    // of backends that have no Port; with a Group, 0 when all have
	BackendProtocol Protocol

	Certificate *tls.Certificate // of HTTPS and SSL
	TLS         TLSPolicy        // of HTTPS and SSL
	Sticky      *Sticky          // of HTTP and HTTPS; nil: no stickiness
}

// TLSPolicy is how TLS with clients is negotiated; see [CipherSuite] for what cannot be had.
type TLSPolicy struct {
	MinVersion, MaxVersion uint16   // tls.VersionTLS10 and on; 0: TLS 1.0 and 1.2, as a CLB
	CipherSuites           []uint16 // nil: those of crypto/tls
	ServerOrder            bool     // for the record: crypto/tls has an order of its own
}

// Sticky keeps a client with a backend.
type Sticky struct {
	// AppCookie is the name of the application's cookie that the balancer's own one goes with;
	// empty: the balancer's comes with the first response and lasts for Duration.
	AppCookie string
	Duration  time.Duration // 0: until the client's session ends
}

// Backend is where requests go. No two of a balancer have the same ID, Group and Port.
type Backend struct {
	ID      string
	Zone    string
	Address netip.Addr
	Group   string // the target group that it is in; "": none
	Port    int    // where it listens; 0: the listener's BackendPort
}

// BackendPolicy is how to speak with a port of the backends.
type BackendPolicy struct {
	ProxyProtocol bool     // of TCP and SSL
	PublicKeys    [][]byte // DER, SubjectPublicKeyInfo: one of them must be the backend's; none: any may be
}

// HealthCheck is when a backend is in service.
type HealthCheck struct {
	Protocol           Protocol
	Port               int      // 0, of groups only: the backend's own (“traffic-port”)
	Path               string   // of HTTP and HTTPS
	Statuses           Statuses // of HTTP and HTTPS: those that pass; none: 200 alone
	Interval, Timeout  time.Duration
	Healthy, Unhealthy int // so many checks in a row change the state
}

// Limits bound what a balancer does; 0 is no bound, but for SurgeQueue.
type Limits struct {
	Connections        int     // of clients; more are closed, after a 503 where HTTP is spoken
	RequestRate        float64 // per second; more are answered with 429
	BackendConnections int     // in use per backend; more requests wait in the surge queue
	SurgeQueue         int     // waiting for a connection to a backend; more are answered with 503; 1024 when 0
}

// What is done with requests that servers may understand in different ways.
const (
	Monitor   = "monitor"
	Defensive = "defensive"
	Strictest = "strictest"
)

// States of a backend's health, and who gives the reason for it, as DescribeInstanceHealth has them.
const (
	InService    = "InService"
	OutOfService = "OutOfService"

	ReasonELB      = "ELB"
	ReasonInstance = "Instance"
	ReasonNone     = "N/A"
)

// BackendHealth is a backend's health in the words of DescribeInstanceHealth.
type BackendHealth struct {
	ID          string
	Zone        string
	Group       string // as Backend's
	Port        int    // as Backend's
	State       string // InService, OutOfService
	Reason      string // ELB, Instance, N/A
	Description string
	Draining    bool // it left the balancer, and requests under way may finish
	// Cause is what the last failed check of a backend that is out of service ran into, nil otherwise. It
	// wraps a StatusError for a status that does not pass, and context.DeadlineExceeded when time was up.
	// Changed does not tell of a change of the cause alone.
	Cause error
}
