package vpc

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/netip"
	"os"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"

	"github.com/tarn-eks/tarn/internal/namespace"
	"github.com/tarn-eks/tarn/internal/subnet"
)

// dialIn connects from a namespace and returns what the greeter says.
func dialIn(set namespace.Set, address string) (string, error) {
	var conn net.Conn
	err := set.Do(func() (err error) {
		conn, err = net.DialTimeout("tcp4", address, 5*time.Second)
		return err
	})
	if err != nil {
		return "", err
	}
	defer conn.Close()
	said, err := io.ReadAll(conn)
	return string(said), err
}

func TestInstancesReachEachOther(t *testing.T) {
	l := newLab(t)
	a := l.instance(l.eni(1, 0, 10))
	b := l.instance(l.eni(2, 0, 20)) // same subnet: through the router's proxy ARP
	c := l.instance(l.eni(3, 2, 30)) // another one
	greeter(t, listenIn(a, "192.168.0.10:80"))
	greeter(t, listenIn(c, "192.168.64.30:80"))
	greeter(t, func() (net.Listener, error) { return l.Listen(t.Context(), "tcp", "169.254.169.254:80") })
	for _, tt := range []struct {
		from    namespace.Set
		to, say string
	}{
		{b, "192.168.0.10:80", "192.168.0.20"},
		{c, "192.168.0.10:80", "192.168.64.30"},
		{a, "192.168.64.30:80", "192.168.0.10"},
		{a, "169.254.169.254:80", "192.168.0.10"},
	} {
		start := time.Now()
		got, err := dialIn(tt.from, tt.to)
		if err != nil || got != tt.say {
			t.Errorf("to %s: said %q, %v; want %q", tt.to, got, err, tt.say)
		}
		t.Logf("to %s: %v", tt.to, time.Since(start))
	}
	// The load balancer's side: from the router, and from an address of its own.
	conn, err := l.DialContext(t.Context(), "tcp", "192.168.64.30:80")
	if err != nil {
		t.Fatal(err)
	}
	if said, _ := io.ReadAll(conn); string(said) != "192.168.64.1" {
		t.Errorf("the router came as %s, want its address in the subnet", said)
	}
	conn.Close()
	own := netip.MustParseAddr("192.168.5.5")
	if err := l.AddAddress(own); err != nil {
		t.Fatal(err)
	}
	l.allow("eni-of-balancer", own)
	if conn, err = l.DialFrom(t.Context(), own, "tcp", "192.168.64.30:80"); err != nil {
		t.Fatal(err)
	}
	if said, _ := io.ReadAll(conn); string(said) != own.String() {
		t.Errorf("the load balancer came as %s, want %s", said, own)
	}
	conn.Close()
	if _, err := dialIn(a, "203.0.113.1:80"); !errors.Is(err, unix.ENETUNREACH) {
		t.Errorf("way out of the VPC: %v", err)
	}
}

// The metadata service limits the hops of its answers to 1: the instance gets
// them, a pod behind it does not.
func TestHopLimit(t *testing.T) {
	l := newLab(t)
	e := l.eni(1, 0, 10, 11)
	instance := l.instance(e)
	pod := l.pod(instance, "pod", e.Addresses[1])

	conn, err := l.ListenPacket(t.Context(), "udp4", "169.254.169.254:8000")
	if err != nil {
		t.Fatal(err)
	}
	raw, err := conn.(*net.UDPConn).SyscallConn()
	if err != nil {
		t.Fatal(err)
	}
	done := make(chan struct{})
	go func() { // answers a hop limit with a packet of that limit, and one without
		defer close(done)
		buf := make([]byte, 1)
		for {
			_, from, err := conn.ReadFrom(buf)
			if err != nil {
				return
			}
			for _, ttl := range []int{int(buf[0]), 64} {
				if err := TTL(ttl)("", "", raw); err != nil {
					t.Error(err)
				}
				if _, err := conn.WriteTo([]byte{byte(ttl)}, from); err != nil {
					t.Error(err)
				}
			}
		}
	}()
	t.Cleanup(func() {
		conn.Close()
		<-done
	})
	for _, tt := range []struct {
		name string
		from namespace.Set
		ttl  byte
		want bool
	}{
		{"instance", instance, 1, true},
		{"pod", pod, 1, false},
		{"pod", pod, 2, true},
	} {
		if got := hopsReach(t, tt.from, conn.LocalAddr().String(), tt.ttl); got != tt.want {
			t.Errorf("a hop limit of %d reaches the %s: %v, want %v", tt.ttl, tt.name, got, tt.want)
		}
	}

	// And by TCP, as the service does it.
	config := net.ListenConfig{Control: TTL(1)}
	greeter(t, func() (net.Listener, error) {
		return l.ListenWith(t.Context(), config, "tcp", "169.254.169.254:80")
	})
	if _, err := dialIn(instance, "169.254.169.254:80"); err != nil {
		t.Errorf("from the instance: %v", err)
	}
	err = pod.Do(func() error {
		conn, err := net.DialTimeout("tcp4", "169.254.169.254:80", 300*time.Millisecond)
		if err == nil {
			conn.Close()
		}
		return err
	})
	if err == nil {
		t.Error("a pod got an answer that may make one hop only")
	}
}

// hopsReach asks for a packet with the hop limit and reports whether it arrives
// before the one that has no limit.
func hopsReach(t *testing.T, from namespace.Set, address string, ttl byte) bool {
	t.Helper()
	var conn net.Conn
	err := from.Do(func() (err error) {
		conn, err = net.Dial("udp4", address)
		return err
	})
	if err == nil {
		_, err = conn.Write([]byte{ttl})
	}
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	conn.SetReadDeadline(time.Now().Add(5 * time.Second))
	buf := make([]byte, 1)
	if _, err = conn.Read(buf); err != nil {
		t.Fatal(err)
	}
	return buf[0] == ttl
}

// An ENI may send from its own addresses only.
func TestSpoofedSourceIsDropped(t *testing.T) {
	l := newLab(t)
	a := l.instance(l.eni(1, 0, 10, 11))
	l.instance(l.eni(2, 0, 20))
	sink, err := l.ListenPacket(t.Context(), "udp4", "192.168.0.2:53")
	if err != nil {
		t.Fatal(err)
	}
	defer sink.Close()

	for _, tt := range []struct {
		source string
		passes bool
	}{
		{"192.168.0.10", true},     // primary
		{"192.168.0.11", true},     // secondary, of a pod
		{"192.168.0.20", false},    // the other instance's
		{"192.168.0.99", false},    // nobody's
		{"192.168.0.1", false},     // the router's
		{"169.254.169.254", false}, // the metadata service's
		{"203.0.113.7", false},     // the world's
	} {
		if err := sendFrom(a, tt.source, "192.168.0.2", 53, tt.source); err != nil {
			t.Fatalf("send from %s: %v", tt.source, err)
		}
		// A packet that passes follows: what was dropped did not arrive before.
		if err := sendFrom(a, "192.168.0.10", "192.168.0.2", 53, "end"); err != nil {
			t.Fatal(err)
		}
		var got []string
		buf := make([]byte, 64)
		for {
			sink.SetReadDeadline(time.Now().Add(5 * time.Second))
			n, _, err := sink.ReadFrom(buf)
			if err != nil {
				t.Fatal(err)
			}
			if string(buf[:n]) == "end" {
				break
			}
			got = append(got, string(buf[:n]))
		}
		if passed := len(got) == 1 && got[0] == tt.source; passed != tt.passes || len(got) > 1 {
			t.Errorf("source %s: arrived %v, want %v", tt.source, got, tt.passes)
		}
	}
}

// sendFrom sends a UDP datagram with any source address, by a raw socket.
func sendFrom(set namespace.Set, source, dest string, port uint16, text string) error {
	return set.Do(func() error {
		fd, err := unix.Socket(unix.AF_INET, unix.SOCK_RAW|unix.SOCK_CLOEXEC, unix.IPPROTO_RAW)
		if err != nil {
			return err
		}
		defer unix.Close(fd)
		src, dst := netip.MustParseAddr(source).As4(), netip.MustParseAddr(dest).As4()
		length := 28 + len(text)
		p := []byte{
			0x45, 0, byte(length >> 8), byte(length), 0, 0, 0, 0, 64, unix.IPPROTO_UDP, 0, 0,
			src[0], src[1], src[2], src[3], dst[0], dst[1], dst[2], dst[3],
			0x30, 0x39, byte(port >> 8), byte(port), byte((8 + len(text)) >> 8), byte(8 + len(text)), 0, 0,
		}
		return unix.Sendto(fd, append(p, text...), 0, &unix.SockaddrInet4{Addr: dst})
	})
}

// A packet to an address that nobody has vanishes without a word, as in AWS; an
// answer for a neighbour comes without the kernel's usual random delay.
func TestRouterSettings(t *testing.T) {
	l := newLab(t)
	e := l.eni(1, 0, 10)
	l.instance(e)
	if _, err := l.nl.RouteGet(net.IPv4(192, 168, 0, 99)); !errors.Is(err, unix.EINVAL) {
		t.Errorf("route to nobody: %v, want that of a blackhole", err)
	}
	err := l.Do(func() error {
		delay, err := os.ReadFile("/proc/sys/net/ipv4/neigh/" + linkName(e.ID) + "/proxy_delay")
		if got := strings.TrimSpace(string(delay)); got != "0" {
			t.Errorf("proxy_delay %s", got)
		}
		return err
	})
	if err != nil {
		t.Error(err)
	}
}

// Attaching is repeated, changed, moved and undone at will.
func TestAttachIsLevelTriggered(t *testing.T) {
	l := newLab(t)
	e := l.eni(1, 0, 10, 11, 12)
	set := l.instance(e)
	before := routerState(t, l)
	if err := l.Attach(e); err != nil {
		t.Fatal(err)
	}
	if after := routerState(t, l); after != before {
		t.Errorf("a second Attach changed\n%sto\n%s", before, after)
	}

	e.Addresses = []netip.Addr{subnet.Nth(e.Subnet.CIDR, 13), subnet.Nth(e.Subnet.CIDR, 11)}
	e.MAC = net.HardwareAddr{2, 0, 0, 0, 9, 9}
	if err := l.Attach(e); err != nil {
		t.Fatal(err)
	}
	state := routerState(t, l)
	for _, want := range []string{"192.168.0.13/32 via -", "192.168.0.11/32 via 192.168.0.13"} {
		if !strings.Contains(state, want) {
			t.Errorf("no route %q in\n%s", want, state)
		}
	}
	for _, gone := range []string{"192.168.0.10/", "192.168.0.12/"} {
		if strings.Contains(state, gone) {
			t.Errorf("route %q stayed in\n%s", gone, state)
		}
	}
	greeter(t, listenIn(set, "192.168.0.13:80"))
	if conn, err := l.DialContext(t.Context(), "tcp", "192.168.0.13:80"); err != nil {
		t.Error(err)
	} else {
		conn.Close()
	}

	// The instance's namespace is lost and made anew.
	if err := namespace.Remove(set); err != nil {
		t.Fatal(err)
	}
	set = l.instance(e)
	greeter(t, listenIn(set, "192.168.0.13:81"))
	conn, err := l.DialContext(t.Context(), "tcp", "192.168.0.13:81")
	if err != nil {
		t.Fatal(err)
	}
	conn.Close()

	for range 2 {
		if err := l.Detach(e.ID); err != nil {
			t.Fatal(err)
		}
	}
	if state := routerState(t, l); strings.Contains(state, "via") {
		t.Errorf("routes after Detach:\n%s", state)
	}
}

// routerState lists the router's routes over links, and the links.
func routerState(t *testing.T, l *lab) string {
	t.Helper()
	routes, err := l.nl.RouteList(nil, netlink.FAMILY_V4)
	if err != nil {
		t.Fatal(err)
	}
	var s strings.Builder
	for _, r := range routes {
		if r.LinkIndex != 0 {
			gw := "-"
			if r.Gw != nil {
				gw = r.Gw.String()
			}
			fmt.Fprintf(&s, "%s via %s link %d\n", r.Dst, gw, r.LinkIndex)
		}
	}
	ids, err := l.Attachments()
	if err != nil {
		t.Fatal(err)
	}
	fmt.Fprintln(&s, ids)
	return s.String()
}

func TestAttachRefuses(t *testing.T) {
	l := newLab(t)
	e := l.eni(1, 0, 10)
	l.instance(e)
	other := l.eni(2, 0, 20)
	other.Namespace = e.Namespace
	if err := l.Attach(other); err == nil {
		t.Error("two ENIs in one instance")
	}
	twin := l.eni(3, 0, 30)
	twin.ID = "eni-f" + e.ID[5:] // same end, so the same link name
	if err := namespace.Create(namespace.Set{Net: twin.Namespace}); err != nil {
		t.Fatal(err)
	}
	if err := l.Attach(twin); err == nil || !strings.Contains(err.Error(), e.ID) {
		t.Errorf("a link of another ENI was taken over: %v", err)
	}
	if err := l.Attach(l.eni(4, 0, 40)); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("instance without a namespace: %v", err)
	}
	for name, spoil := range map[string]func(*ENI){
		"id":      func(e *ENI) { e.ID = "eni/../x" },
		"no id":   func(e *ENI) { e.ID = "" },
		"mac":     func(e *ENI) { e.MAC = nil },
		"address": func(e *ENI) { e.Addresses = nil },
		"foreign": func(e *ENI) { e.Addresses = []netip.Addr{netip.MustParseAddr("192.168.99.1")} },
		"host":    func(e *ENI) { e.Namespace = "" },
	} {
		bad := e
		spoil(&bad)
		if err := l.Attach(bad); err == nil {
			t.Errorf("%s: accepted", name)
		}
	}
}

// A packet of the largest size passes unfragmented, a larger one does not.
func TestMTU(t *testing.T) {
	l := newLab(t)
	a := l.instance(l.eni(1, 0, 10))
	b := l.instance(l.eni(2, 1, 20))
	var sink net.PacketConn
	err := b.Do(func() (err error) {
		sink, err = net.ListenPacket("udp4", "192.168.32.20:9")
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	defer sink.Close()
	var conn net.Conn
	err = a.Do(func() (err error) {
		d := net.Dialer{ControlContext: func(_ context.Context, _, _ string, c syscall.RawConn) error {
			return c.Control(func(fd uintptr) {
				unix.SetsockoptInt(int(fd), unix.IPPROTO_IP, unix.IP_MTU_DISCOVER, unix.IP_PMTUDISC_DO)
			})
		}}
		conn, err = d.Dial("udp4", sink.LocalAddr().String())
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	if _, err := conn.Write(make([]byte, 9001-27)); !errors.Is(err, unix.EMSGSIZE) {
		t.Errorf("9002 bytes: %v", err)
	}
	if _, err := conn.Write(make([]byte, 9001-28)); err != nil {
		t.Fatal(err)
	}
	sink.SetReadDeadline(time.Now().Add(5 * time.Second))
	if n, _, err := sink.ReadFrom(make([]byte, 10000)); err != nil || n != 9001-28 {
		t.Errorf("received %d bytes, %v", n, err)
	}
}

func BenchmarkAttach(b *testing.B) {
	for _, n := range []int{18, 737} {
		b.Run(fmt.Sprint(n), func(b *testing.B) {
			l := newLab(b)
			var hosts []uint32
			for i := range n {
				hosts = append(hosts, uint32(10+i))
			}
			e := l.eni(1, 0, hosts...)
			if err := namespace.Create(namespace.Set{Net: e.Namespace}); err != nil {
				b.Fatal(err)
			}
			for b.Loop() {
				if err := l.Attach(e); err != nil {
					b.Fatal(err)
				}
				b.StopTimer()
				if err := l.Detach(e.ID); err != nil {
					b.Fatal(err)
				}
				b.StartTimer()
			}
		})
	}
}

func BenchmarkDial(b *testing.B) {
	l := newLab(b)
	ln, err := l.Listen(b.Context(), "tcp", "192.168.0.2:80")
	if err != nil {
		b.Fatal(err)
	}
	done := make(chan struct{})
	go func() {
		defer close(done)
		for {
			conn, err := ln.Accept()
			if err != nil {
				return
			}
			conn.Close()
		}
	}()
	for b.Loop() {
		conn, err := l.DialContext(b.Context(), "tcp", "192.168.0.2:80")
		if err != nil {
			b.Fatal(err)
		}
		conn.Close()
	}
	ln.Close()
	<-done
}
