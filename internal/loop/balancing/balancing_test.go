package balancing

import (
	"bytes"
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"math/big"
	"net"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	acmapi "github.com/tarn-eks/tarn/internal/api/acm"
	"github.com/tarn-eks/tarn/internal/loadbalancer"
	"github.com/tarn-eks/tarn/internal/service/acm"
	"github.com/tarn-eks/tarn/internal/service/ec2"
	"github.com/tarn-eks/tarn/internal/service/elb"
	"github.com/tarn-eks/tarn/internal/service/elbv2"
	"github.com/tarn-eks/tarn/internal/store"
	"github.com/tarn-eks/tarn/internal/store/storetest"
)

// fakeHost has VPCs on the loopback: an address of a VPC's router is a port there,
// and every instance is the one server.
type fakeHost struct {
	server string // where instances are

	mu        sync.Mutex
	none      bool                // there is no VPC yet
	addresses map[string]bool     // vpc/address
	sockets   map[string]net.Addr // vpc/address:port
	dialed    map[string]int      // from
}

func (h *fakeHost) AddAddress(vpc string, a netip.Addr) error {
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.none {
		return fmt.Errorf("%s: %w", vpc, ErrNoNetwork)
	}
	h.addresses[vpc+"/"+a.String()] = true
	return nil
}

func (h *fakeHost) RemoveAddress(vpc string, a netip.Addr) error {
	h.mu.Lock()
	defer h.mu.Unlock()
	delete(h.addresses, vpc+"/"+a.String())
	return nil
}

func (h *fakeHost) Listen(ctx context.Context, vpc string, at netip.AddrPort) (net.Listener, error) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if !h.addresses[vpc+"/"+at.Addr().String()] {
		return nil, fmt.Errorf("%s has no address %s: %w", vpc, at.Addr(), ErrNoNetwork)
	}
	var c net.ListenConfig
	l, err := c.Listen(ctx, "tcp4", "127.0.0.1:0")
	if err == nil {
		h.sockets[vpc+"/"+at.String()] = l.Addr()
	}
	return l, err
}

func (h *fakeHost) Dial(ctx context.Context, vpc string, from netip.Addr, _ netip.AddrPort) (net.Conn, error) {
	h.mu.Lock()
	ok := h.addresses[vpc+"/"+from.String()]
	h.dialed[from.String()]++
	h.mu.Unlock()
	if !ok {
		return nil, fmt.Errorf("%s has no address %s", vpc, from)
	}
	var d net.Dialer
	return d.DialContext(ctx, "tcp4", h.server)
}

func (h *fakeHost) have() (addresses int) {
	h.mu.Lock()
	defer h.mu.Unlock()
	return len(h.addresses)
}

// fixture is a region with two subnets, an instance, and the loop.
type fixture struct {
	*testing.T
	ec2  *ec2.Service
	elb  *elb.Service
	apps *elbv2.Service
	acm  *acm.Service
	host *fakeHost
	logs string
	said *lines
	loop *Loop
	stop func()

	awaited chan string // network interfaces
}

// lines is a log.
type lines struct {
	mu  sync.Mutex
	buf bytes.Buffer
}

func (l *lines) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.buf.Write(p)
}

func (l *lines) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.buf.String()
}

func newFixture(t *testing.T) *fixture {
	t.Helper()
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		fmt.Fprintf(w, "%s for %s", r.URL.Path, r.Header.Get("X-Forwarded-Port"))
	}))
	t.Cleanup(server.Close)
	f := &fixture{T: t, logs: t.TempDir(), awaited: make(chan string, 100), said: &lines{}, host: &fakeHost{
		server: server.Listener.Addr().String(), addresses: map[string]bool{}, sockets: map[string]net.Addr{}, dialed: map[string]int{},
	}}
	client := storetest.Open(t).Client()
	var err error
	if f.ec2, err = ec2.New(ec2.Config{Client: client, Account: "111122223333", Region: "ap-northeast-2"}); err != nil {
		t.Fatal(err)
	}
	f.elb = elb.New(elb.Config{Client: client, Account: "111122223333", Region: "ap-northeast-2"})
	f.apps = elbv2.New(elbv2.Config{Client: client, Account: "111122223333", Region: "ap-northeast-2"})
	if f.acm, err = acm.New(acm.Config{Client: client, Account: "111122223333", Region: "ap-northeast-2", Key: make([]byte, 32), Users: f.elb}); err != nil {
		t.Fatal(err)
	}
	put(f, f.ec2.VPCs, "vpc-1", ec2.VPC{ID: "vpc-1", CIDR: netip.MustParsePrefix("192.168.0.0/16")})
	for i, zone := range []string{"a", "b"} {
		id := "subnet-" + zone
		put(f, f.ec2.Subnets, id, ec2.Subnet{ID: id, VPC: "vpc-1", Zone: zone, CIDR: netip.MustParsePrefix(fmt.Sprintf("192.168.%d.0/24", i))})
	}
	for _, id := range []string{"sg-1", "sg-2"} {
		put(f, f.ec2.SecurityGroups, id, ec2.SecurityGroup{ID: id, VPC: "vpc-1", Name: id})
	}
	put(f, f.ec2.Instances, "i-1", ec2.Instance{ID: "i-1", VPC: "vpc-1", Zone: "a", State: ec2.Running, Address: addr("192.168.0.20")})
	return f
}

func put[T any](f *fixture, c *store.Collection[T], key string, v T) {
	f.Helper()
	if _, err := c.Create(f.Context(), key, v); err != nil {
		f.Fatal(err)
	}
}

// start starts the loop; it ends with the test.
func (f *fixture) start() {
	f.loop = New(Config{
		ELB: f.elb, ELBv2: f.apps, EC2: f.ec2, ACM: f.acm, Host: f.host, Seed: f.logs, Logs: f.logs, Account: "111122223333", Region: "ap-northeast-2",
		Await: func(_ context.Context, id string) error {
			f.awaited <- id
			return nil
		},
		Logger: slog.New(slog.NewTextHandler(f.said, nil)), Retry: time.Millisecond,
	})
	ctx, cancel := context.WithCancel(f.Context())
	done := make(chan error, 1)
	go func() { done <- f.loop.Run(ctx) }()
	f.stop = sync.OnceFunc(func() {
		cancel()
		if err := <-done; !errors.Is(err, context.Canceled) {
			f.Errorf("the loop ended with %v", err)
		}
	})
	f.Cleanup(f.stop)
}

// freePort is a port on which nobody listens.
func freePort(t *testing.T) int32 {
	t.Helper()
	l, err := net.Listen("tcp4", "0.0.0.0:0") //nolint:gosec // to find a port that is free everywhere
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	return int32(l.Addr().(*net.TCPAddr).Port)
}

// inBoth is a placement in both subnets.
func inBoth(name, id string) loadbalancer.Placement {
	return loadbalancer.Placement{
		Name: name, ID: id, Scheme: loadbalancer.InternetFacing,
		VPC: "vpc-1", Subnets: []string{"subnet-a", "subnet-b"}, Zones: []string{"a", "b"}, SecurityGroups: []string{"sg-1"},
	}
}

// balancer is a load balancer in both subnets with the instance.
func (f *fixture) balancer(name string, listeners ...elb.Listener) {
	f.Helper()
	put(f, f.elb.LoadBalancers, name, elb.LoadBalancer{
		Placement: inBoth(name, "id-"+name),
		Listeners: listeners, Instances: []string{"i-1"},
		HealthCheck: elb.HealthCheck{Target: "HTTP:30080/healthz", Interval: 5, Timeout: 2, UnhealthyThreshold: 2, HealthyThreshold: 2},
		Attributes:  elb.Attributes{CrossZone: true, IdleTimeout: 60, Desync: elb.DesyncDefensive, AccessLog: elb.AccessLog{Enabled: true, Bucket: "logs", Interval: 5}},
	})
}

func (f *fixture) change(name string, change func(*elb.LoadBalancer)) {
	f.Helper()
	if _, err := f.elb.LoadBalancers.Modify(f.Context(), name, func(lb *elb.LoadBalancer) error {
		change(lb)
		return nil
	}); err != nil {
		f.Fatal(err)
	}
}

// await looks at the store until a condition holds.
func (f *fixture) await(what string, holds func() bool) {
	f.Helper()
	deadline := time.Now().Add(20 * time.Second)
	for !holds() {
		if time.Now().After(deadline) {
			f.Fatalf("waited in vain: %s\n%s", what, f.said)
		}
		time.Sleep(2 * time.Millisecond)
	}
}

// ready waits until a load balancer is on the host and in its subnets.
func (f *fixture) ready(name string, nodes int) elb.LoadBalancer {
	f.Helper()
	var lb elb.LoadBalancer
	f.await(name+" is ready", func() bool {
		it, err := f.elb.LoadBalancers.Get(f.Context(), name)
		lb = it.Value
		return err == nil && lb.HostAddress.IsValid() && len(lb.Nodes) == nodes
	})
	return lb
}

func (f *fixture) interfaces() []ec2.NetworkInterface {
	f.Helper()
	items, _, err := f.ec2.ENIs.List(f.Context(), "")
	if err != nil {
		f.Fatal(err)
	}
	var all []ec2.NetworkInterface
	for _, it := range items {
		all = append(all, it.Value)
	}
	return all
}

// healthy waits until the instance is in service.
func (f *fixture) healthy(lb elb.LoadBalancer) {
	f.Helper()
	f.await("healthy", func() bool {
		all, err := f.loop.Health(f.Context(), lb)
		return err == nil && len(all) == 1 && all[0].ID == "i-1" && all[0].State == "InService"
	})
}

func httpListener(port int32) elb.Listener {
	return elb.Listener{Protocol: elb.HTTP, Port: port, InstanceProtocol: elb.HTTP, InstancePort: 30080}
}

func (f *fixture) get(url string, roots *x509.CertPool) string {
	f.Helper()
	client := &http.Client{Timeout: 10 * time.Second, Transport: &http.Transport{DisableKeepAlives: true, TLSClientConfig: &tls.Config{RootCAs: roots, ServerName: "api.example.com"}}}
	r, err := client.Get(url)
	if err != nil {
		f.Fatalf("%v\n%s", err, f.said)
	}
	defer r.Body.Close()
	body, err := io.ReadAll(r.Body)
	if err != nil {
		f.Fatal(err)
	}
	return fmt.Sprint(r.StatusCode, " ", string(body))
}

// The life of a load balancer, from its record to a page, and to its end.
func TestLife(t *testing.T) {
	f := newFixture(t)
	f.start()
	port := freePort(t)
	f.balancer("web", httpListener(port))
	lb := f.ready("web", 2)
	if !hostPrefix.Contains(lb.HostAddress) {
		t.Errorf("its address on the host is %s", lb.HostAddress)
	}
	var made []string
	for _, eni := range f.interfaces() {
		made = append(made, fmt.Sprint(eni.Subnet, " ", eni.Requester, " ", eni.Description, " ", eni.SecurityGroups, " ", eni.Attachment != ""))
	}
	slices.Sort(made)
	if want := []string{"subnet-a amazon-elb ELB web [sg-1] true", "subnet-b amazon-elb ELB web [sg-1] true"}; !slices.Equal(made, want) {
		t.Errorf("its interfaces are %q", made)
	}
	for _, n := range lb.Nodes { // in their order
		if id := <-f.awaited; id != n.ENI {
			t.Errorf("it waited for %s and not for %s", id, n.ENI)
		}
	}
	f.healthy(lb)
	want := fmt.Sprint("200 /page for ", port)
	if got := f.get(fmt.Sprintf("http://%s:%d/page", lb.HostAddress, port), nil); got != want {
		t.Errorf("on the host: %q", got)
	}
	for _, n := range lb.Nodes {
		f.host.mu.Lock()
		at := f.host.sockets[fmt.Sprintf("vpc-1/%s:%d", n.Address, port)]
		f.host.mu.Unlock()
		if at == nil {
			t.Fatalf("nobody listens at %s", n.Address)
		}
		if got := f.get(fmt.Sprintf("http://%s/page", at), nil); got != want {
			t.Errorf("in zone %s: %q", n.Zone, got)
		}
	}

	// Groups, subnets and listeners follow their record.
	f.change("web", func(lb *elb.LoadBalancer) { lb.SecurityGroups = []string{"sg-2"} })
	f.await("the groups", func() bool {
		return !slices.ContainsFunc(f.interfaces(), func(i ec2.NetworkInterface) bool { return !slices.Equal(i.SecurityGroups, []string{"sg-2"}) })
	})
	second := freePort(t)
	f.change("web", func(lb *elb.LoadBalancer) {
		lb.Subnets, lb.Zones = lb.Subnets[:1], lb.Zones[:1]
		lb.Listeners = append(lb.Listeners, httpListener(second))
	})
	f.await("one subnet", func() bool { return len(f.interfaces()) == 1 && f.host.have() == 1 })
	if lb = f.ready("web", 1); lb.Nodes[0].Subnet != "subnet-a" {
		t.Errorf("it is in %+v", lb.Nodes)
	}
	f.await("the other listener", func() bool { return f.loop.Proxy().Port(lb.ID, int(second)) != "" })
	if got := f.get(fmt.Sprintf("http://%s:%d/page", lb.HostAddress, second), nil); got != fmt.Sprint("200 /page for ", second) {
		t.Errorf("the other listener: %q", got)
	}

	// An instance that stops is none any more.
	if _, err := f.ec2.Instances.Modify(t.Context(), "i-1", func(i *ec2.Instance) error {
		i.State = ec2.Stopping
		return nil
	}); err != nil {
		t.Fatal(err)
	}
	f.await("no backend", func() bool {
		all, _ := f.loop.Health(t.Context(), lb)
		return len(all) == 0
	})

	if err := f.elb.LoadBalancers.Delete(t.Context(), "web"); err != nil {
		t.Fatal(err)
	}
	f.await("its end", func() bool { return len(f.interfaces()) == 0 && f.host.have() == 0 })
	if c, err := net.DialTimeout("tcp4", netip.AddrPortFrom(lb.HostAddress, uint16(port)).String(), time.Second); err == nil {
		c.Close()
		t.Error("somebody still listens on the host")
	}
	f.stop()
	logged := ""
	for name, text := range files(t, f.logs) {
		if strings.HasPrefix(name, filepath.FromSlash("logs/AWSLogs/111122223333/elasticloadbalancing/ap-northeast-2/")) {
			logged += text
		}
	}
	if n := strings.Count(logged, " web "); n != 4 || !strings.Contains(logged, fmt.Sprintf(`"GET http://%s:%d/page HTTP/1.1"`, lb.HostAddress, port)) {
		t.Errorf("the access log has\n%s", logged)
	}
}

// What a region that was killed has left is taken over, or removed.
func TestRestart(t *testing.T) {
	f := newFixture(t)
	f.start()
	port := freePort(t)
	f.balancer("stays", httpListener(port))
	f.balancer("goes", httpListener(port))
	before := f.ready("stays", 2)
	f.ready("goes", 2)
	f.stop()
	if err := f.elb.LoadBalancers.Delete(t.Context(), "goes"); err != nil {
		t.Fatal(err)
	}
	// An interface that was made and not recorded, and one of somebody else.
	for what, requester := range map[string]string{"ELB stays": Requester, "ELB net/other/0123": Requester, "Amazon EKS x": "amazon-eks"} {
		if _, err := f.ec2.CreateNetworkInterface(t.Context(), ec2.InterfaceInput{Subnet: "subnet-a", SecurityGroups: []string{"sg-1"}, Description: what, Requester: requester}); err != nil {
			t.Fatal(err)
		}
	}
	f.start()
	f.await("what is left", func() bool { return len(f.interfaces()) == 4 })
	after := f.ready("stays", 2)
	if before.HostAddress != after.HostAddress || !slices.Equal(before.Nodes, after.Nodes) {
		t.Errorf("%+v became %+v", before, after)
	}
	f.healthy(after)
	f.get(fmt.Sprintf("http://%s:%d/", after.HostAddress, port), nil)
}

// A load balancer at whose address somebody else listens takes another; a port that
// somebody has on all addresses hinders no other port.
func TestTakenAddress(t *testing.T) {
	f := newFixture(t)
	first, _ := chooseHost(f.logs, "id-web", func(netip.Addr) bool { return false })
	l, err := net.Listen("tcp4", first.String()+":0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	taken := int32(l.Addr().(*net.TCPAddr).Port)
	f.start()
	f.balancer("web", httpListener(taken))
	lb := f.ready("web", 2)
	if lb.HostAddress == first {
		t.Errorf("it is at %s, where somebody else listens", first)
	}
	f.healthy(lb)
	f.get(fmt.Sprintf("http://%s:%d/", lb.HostAddress, taken), nil)

	everywhere, err := net.Listen("tcp4", "0.0.0.0:0") //nolint:gosec // on all addresses, on purpose
	if err != nil {
		t.Fatal(err)
	}
	defer everywhere.Close()
	port := freePort(t)
	f.balancer("other", httpListener(int32(everywhere.Addr().(*net.TCPAddr).Port)), httpListener(port))
	other := f.ready("other", 2)
	home, _ := chooseHost(f.logs, "id-other", func(netip.Addr) bool { return false })
	if other.HostAddress != home {
		t.Errorf("it is at %s and not at %s, though all addresses are the same", other.HostAddress, home)
	}
	f.healthy(other)
	f.get(fmt.Sprintf("http://%s:%d/", other.HostAddress, port), nil)
	f.await("a log of the cause", func() bool { return strings.Contains(f.said.String(), "address already in use") })
}

// Until the VPC is there, and when one load balancer cannot be made, the others run.
func TestFailuresAreApart(t *testing.T) {
	f := newFixture(t)
	f.host.none = true
	f.start()
	port := freePort(t)
	f.balancer("good", httpListener(port))
	put(f, f.elb.LoadBalancers, "bad", elb.LoadBalancer{
		Placement: loadbalancer.Placement{
			Name: "bad", ID: "id-bad", VPC: "vpc-1", Subnets: []string{"subnet-a"}, Zones: []string{"a"}, SecurityGroups: []string{"sg-gone"},
		},
		Listeners:   []elb.Listener{httpListener(port)},
		HealthCheck: elb.HealthCheck{Target: "TCP:1", Interval: 5, Timeout: 2, UnhealthyThreshold: 2, HealthyThreshold: 2},
		Attributes:  elb.Attributes{IdleTimeout: 60, Desync: elb.DesyncDefensive},
	})
	lb := f.ready("good", 2)
	f.await("a log of the cause", func() bool { return strings.Contains(f.said.String(), "sg-gone") })
	if strings.Contains(f.said.String(), "has no network") {
		t.Errorf("a VPC that is not there yet is complained of:\n%s", f.said)
	}
	f.host.mu.Lock()
	f.host.none = false
	f.host.mu.Unlock()
	f.healthy(lb)
	put(f, f.ec2.SecurityGroups, "sg-gone", ec2.SecurityGroup{ID: "sg-gone", VPC: "vpc-1"})
	f.ready("bad", 1)
	f.await("the end of the trouble", func() bool { return strings.Contains(f.said.String(), "is as it is to be") })
	if n := strings.Count(f.said.String(), "level=ERROR"); n != 1 {
		t.Errorf("%d errors were logged:\n%s", n, f.said)
	}
}

// While clients are connected, what they are connected through stays for a while.
func TestLinger(t *testing.T) {
	f := newFixture(t)
	f.start()
	f.loop.linger = time.Hour // before there is anything that may linger
	port := freePort(t)
	f.balancer("web", httpListener(port))
	lb := f.ready("web", 2)
	f.healthy(lb)
	c, err := net.Dial("tcp4", netip.AddrPortFrom(lb.HostAddress, uint16(port)).String())
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	f.await("the connection", func() bool {
		s, _ := f.loop.Proxy().Stats(lb.ID)
		return s.ActiveConnections == 1
	})
	if err := f.elb.LoadBalancers.Delete(t.Context(), "web"); err != nil {
		t.Fatal(err)
	}
	f.await("its end", func() bool {
		_, runs := f.loop.Proxy().Stats(lb.ID)
		return !runs
	})
	// Two more are made in later rounds: the one of the end is over.
	f.balancer("next", httpListener(port))
	f.ready("next", 2)
	f.balancer("last", httpListener(port))
	f.ready("last", 2)
	if n := len(f.interfaces()); n != 6 {
		t.Errorf("there are %d network interfaces, and not 6", n)
	}
}

// newCertificate is a self-signed one, in PEM.
func newCertificate(t *testing.T, serial int64) (cert, key []byte, roots *x509.CertPool) {
	t.Helper()
	private, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(serial), Subject: pkix.Name{CommonName: "api.example.com"}, DNSNames: []string{"api.example.com"},
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour), IsCA: true, BasicConstraintsValid: true,
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, private.Public(), private)
	if err != nil {
		t.Fatal(err)
	}
	pkcs8, err := x509.MarshalPKCS8PrivateKey(private)
	if err != nil {
		t.Fatal(err)
	}
	cert = pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der})
	roots = x509.NewCertPool()
	roots.AppendCertsFromPEM(cert)
	return cert, pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: pkcs8}), roots
}

// A certificate that is imported again is served without a restart.
func TestCertificateRotates(t *testing.T) {
	f := newFixture(t)
	cert, key, roots := newCertificate(t, 1)
	imported, err := f.acm.ImportCertificate(t.Context(), &acmapi.ImportCertificateInput{Certificate: cert, PrivateKey: key})
	if err != nil {
		t.Fatal(err)
	}
	f.start()
	port := freePort(t)
	f.balancer("web", elb.Listener{Protocol: elb.HTTPS, Port: port, InstanceProtocol: elb.HTTP, InstancePort: 30080, Certificate: *imported.CertificateArn})
	lb := f.ready("web", 2)
	f.healthy(lb)
	url := fmt.Sprintf("https://%s:%d/page", lb.HostAddress, port)
	if got := f.get(url, roots); !strings.HasPrefix(got, "200 ") {
		t.Errorf("%q", got)
	}
	cert, key, roots = newCertificate(t, 2)
	if _, err := f.acm.ImportCertificate(t.Context(), &acmapi.ImportCertificateInput{CertificateArn: imported.CertificateArn, Certificate: cert, PrivateKey: key}); err != nil {
		t.Fatal(err)
	}
	f.await("the new certificate", func() bool {
		c, err := tls.Dial("tcp4", strings.TrimSuffix(strings.TrimPrefix(url, "https://"), "/page"), &tls.Config{RootCAs: roots, ServerName: "api.example.com"})
		if err != nil {
			return false
		}
		defer c.Close()
		return c.ConnectionState().PeerCertificates[0].SerialNumber.Int64() == 2
	})
	if got := f.get(url, roots); !strings.HasPrefix(got, "200 ") {
		t.Errorf("%q", got)
	}
}
