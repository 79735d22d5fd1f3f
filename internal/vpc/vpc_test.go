package vpc

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"testing"
	"time"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"

	"github.com/tarn-eks/tarn/internal/namespace"
	"github.com/tarn-eks/tarn/internal/subnet"
)

var testCIDR = netip.MustParsePrefix("192.168.0.0/16")

// lab is a VPC in namespaces of the test's own.
type lab struct {
	t   *testing.T
	dir string
	cfg Config
	*VPC
	open Firewall // what instance adds to
}

func newLab(t testing.TB) *lab {
	t.Helper()
	if os.Geteuid() != 0 {
		t.Skip("making network namespaces needs root")
	}
	dir := filepath.Join(t.TempDir(), "ns")
	if err := namespace.Prepare(dir); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := namespace.Teardown(dir); err != nil {
			t.Error(err)
		}
	})
	subnets, err := subnet.Layout(testCIDR, []string{"ap-northeast-2a", "ap-northeast-2b", "ap-northeast-2c"})
	if err != nil {
		t.Fatal(err)
	}
	l := &lab{dir: dir}
	l.t, _ = t.(*testing.T)
	l.cfg = Config{
		Namespace: filepath.Join(dir, "vpc"),
		CIDR:      testCIDR,
		Subnets:   subnets,
		Logger:    slog.New(slog.NewTextHandler(t.Output(), nil)),
	}
	if l.VPC, err = Open(l.cfg); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := Delete(l.cfg.Namespace); err != nil {
			t.Error(err)
		}
	})
	return l
}

// eni describes the n-th instance, in the subnet of that index; its addresses
// are base+hosts.
func (l *lab) eni(n, index int, hosts ...uint32) ENI {
	e := ENI{
		ID:        fmt.Sprintf("eni-0000000000000%04x", n),
		MAC:       net.HardwareAddr{0x02, 0, 0, 0, byte(n >> 8), byte(n)},
		Subnet:    l.cfg.Subnets[index],
		Namespace: filepath.Join(l.dir, fmt.Sprintf("i-%04x", n)),
	}
	for _, h := range hosts {
		e.Addresses = append(e.Addresses, subnet.Nth(e.Subnet.CIDR, h))
	}
	return e
}

// everything is a group that lets all in and out.
var everything = Group{
	ID:      "sg-everything",
	Ingress: []Rule{{Protocol: AnyProtocol, Prefix: netip.PrefixFrom(netip.IPv4Unspecified(), 0)}},
	Egress:  []Rule{{Protocol: AnyProtocol, Prefix: netip.PrefixFrom(netip.IPv4Unspecified(), 0)}},
}

// instance makes and attaches an instance that may do what it wants.
func (l *lab) instance(e ENI) namespace.Set {
	l.t.Helper()
	l.allow(e.ID, e.Addresses...)
	return l.closedInstance(e)
}

// allow lets the interface do what it wants.
func (l *lab) allow(id string, addresses ...netip.Addr) {
	l.t.Helper()
	l.open.Groups = []Group{everything}
	l.open.Interfaces = slices.DeleteFunc(slices.Clone(l.open.Interfaces), func(i Interface) bool { return i.ID == id })
	l.open.Interfaces = append(l.open.Interfaces, Interface{id, slices.Clone(addresses), []string{everything.ID}})
	if err := l.SetFirewall(l.open); err != nil {
		l.t.Fatal(err)
	}
}

func (l *lab) closedInstance(e ENI) namespace.Set {
	l.t.Helper()
	set := namespace.Set{Net: e.Namespace}
	if err := namespace.Create(set); err != nil {
		l.t.Fatal(err)
	}
	if err := l.Attach(e); err != nil {
		l.t.Fatal(err)
	}
	return set
}

// pod makes a namespace behind the instance that has one of its addresses, as
// the CNI plugin does.
func (l *lab) pod(instance namespace.Set, name string, addr netip.Addr) namespace.Set {
	l.t.Helper()
	pod := namespace.Set{Net: filepath.Join(l.dir, name)}
	if err := namespace.Create(pod); err != nil {
		l.t.Fatal(err)
	}
	n, nl, err := openNet(pod.Net)
	if err != nil {
		l.t.Fatal(err)
	}
	defer n.Close()
	defer nl.Close()
	err = instance.Do(func() error {
		h, err := netlink.NewHandle(unix.NETLINK_ROUTE)
		if err != nil {
			return err
		}
		defer h.Close()
		attrs := netlink.NewLinkAttrs()
		attrs.Name = name
		if err := h.LinkAdd(&netlink.Veth{LinkAttrs: attrs, PeerName: "eth0", PeerNamespace: netlink.NsFd(n.Fd())}); err != nil {
			return err
		}
		outer, err := h.LinkByName(name)
		if err != nil {
			return err
		}
		inner, err := nl.LinkByName("eth0")
		if err != nil {
			return err
		}
		gw := net.IPv4(169, 254, 1, 1)
		return errors.Join(
			h.LinkSetUp(outer),
			h.RouteAdd(&netlink.Route{LinkIndex: outer.Attrs().Index, Scope: netlink.SCOPE_LINK, Dst: hostAddr(addr).IPNet}),
			nl.LinkSetUp(inner),
			nl.AddrAdd(inner, hostAddr(addr)),
			nl.NeighAdd(&netlink.Neigh{LinkIndex: inner.Attrs().Index, State: netlink.NUD_PERMANENT, IP: gw, HardwareAddr: outer.Attrs().HardwareAddr}),
			nl.RouteAdd(&netlink.Route{LinkIndex: inner.Attrs().Index, Gw: gw, Flags: int(netlink.FLAG_ONLINK)}),
		)
	})
	if err != nil {
		l.t.Fatal(err)
	}
	return pod
}

// greeter answers every TCP connection with its client's address.
func greeter(t *testing.T, listen func() (net.Listener, error)) {
	t.Helper()
	l, err := listen()
	if err != nil {
		t.Fatal(err)
	}
	done := make(chan struct{})
	go func() {
		defer close(done)
		for {
			conn, err := l.Accept()
			if err != nil {
				return
			}
			host, _, _ := net.SplitHostPort(conn.RemoteAddr().String())
			fmt.Fprint(conn, host)
			conn.Close()
		}
	}()
	t.Cleanup(func() {
		l.Close()
		<-done
	})
}

func listenIn(set namespace.Set, address string) func() (net.Listener, error) {
	return func() (l net.Listener, err error) {
		err = set.Do(func() (err error) {
			l, err = net.Listen("tcp4", address)
			return err
		})
		return l, err
	}
}

func TestAddressesOfTheRouter(t *testing.T) {
	l := newLab(t)
	addr := netip.MustParseAddr("192.168.7.7")
	for range 2 {
		if err := l.AddAddress(addr); err != nil {
			t.Fatal(err)
		}
	}
	if got, err := l.Addresses(); err != nil || !slices.Equal(got, []netip.Addr{addr}) {
		t.Errorf("addresses %v, %v", got, err)
	}
	for range 2 {
		if err := l.RemoveAddress(addr); err != nil {
			t.Fatal(err)
		}
	}
	if got, err := l.Addresses(); err != nil || len(got) != 0 {
		t.Errorf("addresses %v, %v", got, err)
	}
	if err := l.RemoveAddress(MetadataAddr); err == nil {
		t.Error("the metadata address was removed")
	}
}

func TestSubnetsComeAndGo(t *testing.T) {
	l := newLab(t)
	all, router := l.cfg.Subnets, netip.MustParseAddr("192.168.32.1")
	without := slices.DeleteFunc(slices.Clone(all), func(s subnet.Subnet) bool { return s.Router() == router })
	for range 2 {
		if err := l.SetSubnets(without); err != nil {
			t.Fatal(err)
		}
	}
	if err := l.RemoveAddress(router); err != nil { // nobody's now
		t.Error(err)
	}
	if err := l.SetSubnets(all); err != nil {
		t.Fatal(err)
	}
	if err := l.RemoveAddress(router); err == nil {
		t.Error("a router's address was removed")
	}
	// An instance reaches its router, which is never filtered.
	checkFlow(t, "the new subnet's router", flow{l.closedInstance(l.eni(1, 1, 10)), "", "icmp", router.String(), true})
	if err := l.SetSubnets(append(all, all[0])); err == nil {
		t.Error("a subnet twice was accepted")
	}
}

func TestReopen(t *testing.T) {
	l := newLab(t)
	e := l.eni(1, 0, 10, 11)
	set := l.instance(e)
	addr := netip.MustParseAddr("192.168.7.7")
	if err := l.AddAddress(addr); err != nil {
		t.Fatal(err)
	}
	if err := l.Close(); err != nil {
		t.Fatal(err)
	}

	again, err := Open(l.cfg)
	if err != nil {
		t.Fatal(err)
	}
	defer again.Close()
	if got, err := again.Addresses(); err != nil || !slices.Equal(got, []netip.Addr{addr}) {
		t.Errorf("addresses %v, %v", got, err)
	}
	if got, err := again.Attachments(); err != nil || !slices.Equal(got, []string{e.ID}) {
		t.Errorf("attachments %v, %v", got, err)
	}
	greeter(t, listenIn(set, "192.168.0.10:80"))
	conn, err := again.DialContext(t.Context(), "tcp", "192.168.0.10:80")
	if err != nil {
		t.Fatal(err)
	}
	conn.Close()
}

func TestConfigIsChecked(t *testing.T) {
	good := Config{Namespace: "unused", CIDR: testCIDR, Subnets: []subnet.Subnet{
		{CIDR: netip.MustParsePrefix("192.168.0.0/19")}, {CIDR: netip.MustParsePrefix("192.168.32.0/19")},
	}}
	if err := good.check(); err != nil {
		t.Fatal(err)
	}
	for name, spoil := range map[string]func(*Config){
		"no file":          func(c *Config) { c.Namespace = "" },
		"no CIDR":          func(c *Config) { c.CIDR = netip.Prefix{} },
		"foreign subnet":   func(c *Config) { c.Subnets[0].CIDR = netip.MustParsePrefix("10.0.0.0/19") },
		"overlap":          func(c *Config) { c.Subnets[0].CIDR = netip.MustParsePrefix("192.168.48.0/20") },
		"larger than VPC":  func(c *Config) { c.Subnets[0].CIDR = netip.MustParsePrefix("192.168.0.0/15") },
		"subnet of nobody": func(c *Config) { c.Subnets[0].CIDR = netip.Prefix{} },
	} {
		bad := good
		bad.Subnets = slices.Clone(good.Subnets)
		spoil(&bad)
		if err := bad.check(); err == nil {
			t.Errorf("%s: accepted", name)
		}
	}
}

func TestDeleteLeavesNothing(t *testing.T) {
	l := newLab(t)
	e := l.eni(1, 0, 10)
	set := l.instance(e)
	if err := l.VPC.Delete(); err != nil {
		t.Fatal(err)
	}
	if _, err := os.Stat(l.cfg.Namespace); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("the namespace's file: %v", err)
	}
	err := set.Do(func() error {
		links, err := net.Interfaces()
		if len(links) != 1 {
			t.Errorf("links left in the instance: %v", links)
		}
		return err
	})
	if err != nil {
		t.Error(err)
	}
	if err := Delete(l.cfg.Namespace); err != nil {
		t.Errorf("second delete: %v", err)
	}
}

func TestDialErrors(t *testing.T) {
	l := newLab(t)
	l.instance(l.eni(1, 0, 10, 11))
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	soon, stop := context.WithTimeout(t.Context(), 50*time.Millisecond)
	defer stop()
	for _, tt := range []struct {
		name, network, address string
		ctx                    context.Context
		want                   error
	}{
		{"nobody listens", "tcp", "192.168.0.10:81", t.Context(), unix.ECONNREFUSED},
		{"no instance", "tcp", "192.168.0.99:80", t.Context(), unix.EHOSTUNREACH},
		{"outside", "tcp", "203.0.113.1:80", t.Context(), unix.ENETUNREACH},
		// The instance looks for a pod with this address for three seconds.
		{"no answer", "tcp", "192.168.0.11:80", soon, context.DeadlineExceeded},
		{"cancelled", "tcp", "192.168.0.10:81", ctx, context.Canceled},
	} {
		conn, err := l.DialContext(tt.ctx, tt.network, tt.address)
		if !errors.Is(err, tt.want) {
			t.Errorf("%s: %v, want %v", tt.name, err, tt.want)
		}
		var op *net.OpError
		if !errors.As(err, &op) {
			t.Errorf("%s: %T is not a net.OpError", tt.name, err)
		}
		if conn != nil {
			conn.Close()
		}
	}
	for _, bad := range []string{"localhost:80", "192.168.0.10", ""} {
		if _, err := l.DialContext(t.Context(), "tcp", bad); err == nil {
			t.Errorf("dialled %q", bad)
		}
		if _, err := l.Listen(t.Context(), "tcp", bad); err == nil {
			t.Errorf("listened on %q", bad)
		}
	}
}
