package imds

import (
	"context"
	"errors"
	"net"
	"net/http"
	"net/netip"
	"os"
	"runtime"
	"sync/atomic"
	"testing"
	"time"

	"github.com/vishvananda/netlink"
	"github.com/vishvananda/netns"
	"golang.org/x/sys/unix"
)

// serve runs h on l until the test ends, and checks that it then ends well.
func serve(t *testing.T, h *Handler, l net.Listener) {
	t.Helper()
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- h.Serve(ctx, l) }()
	t.Cleanup(func() {
		cancel()
		if err := <-done; err != nil {
			t.Errorf("Serve: %v", err)
		}
	})
}

// ttlListener tells the time-to-live that each connection had when the service was done with it.
type ttlListener struct {
	net.Listener
	ttl chan int
}

type ttlConn struct {
	*net.TCPConn
	ttl chan int
}

func (l ttlListener) Accept() (net.Conn, error) {
	c, err := l.Listener.Accept()
	if err != nil {
		return nil, err
	}
	return &ttlConn{c.(*net.TCPConn), l.ttl}, nil
}

func (c *ttlConn) Close() error {
	raw, err := c.SyscallConn()
	if err == nil {
		raw.Control(func(fd uintptr) {
			if ttl, err := unix.GetsockoptInt(int(fd), unix.IPPROTO_IP, unix.IP_TTL); err == nil {
				c.ttl <- ttl
			}
		})
	}
	return c.TCPConn.Close()
}

func TestHopLimitIsOfPutOnly(t *testing.T) {
	l, err := net.Listen("tcp4", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	inst := node()
	inst.Options = Options{HTTPTokens: Optional, HTTPPutResponseHopLimit: 3}
	rec := ttlListener{l, make(chan int, 8)}
	serve(t, New(Config{Lookup: func(netip.Addr) (Instance, bool) { return inst, true }, Logger: quiet}), rec)

	ask := func(method, path string) int {
		t.Helper()
		req, _ := http.NewRequest(method, "http://"+l.Addr().String()+path, nil)
		req.Header.Set(ttlHeader, "60")
		res, err := http.DefaultTransport.RoundTrip(req)
		if err != nil {
			t.Fatal(err)
		}
		res.Body.Close()
		if res.StatusCode != 200 || !res.Close {
			t.Errorf("%s %s: %s, connection closed: %v", method, path, res.Status, res.Close)
		}
		return <-rec.ttl
	}
	if ttl := ask("PUT", tokenPath); ttl != 3 {
		t.Errorf("PUT was answered with time-to-live %d, want 3", ttl)
	}
	if ttl := ask("GET", "/latest/meta-data/"); ttl == 3 {
		t.Errorf("GET was answered with the hop limit of PUT")
	}
}

func TestServeReportsItsListener(t *testing.T) {
	l, err := net.Listen("tcp4", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	l.Close()
	if err := New(Config{Logger: quiet}).Serve(t.Context(), l); !errors.Is(err, net.ErrClosed) {
		t.Errorf("Serve on a closed listener: %v", err)
	}
}

// TestHopLimitKeepsTokensFromPods puts the service, an instance that forwards and a pod behind it
// into network namespaces of their own.
func TestHopLimitKeepsTokensFromPods(t *testing.T) {
	if os.Geteuid() != 0 {
		t.Skip("network namespaces need root")
	}
	service, instance, pod := newNamespace(t), newNamespace(t), newNamespace(t)
	link(t, service, "169.254.169.254/30", instance, "169.254.169.253/30")
	link(t, instance, "10.0.1.1/24", pod, "10.0.1.2/24")
	service.route(t, "10.0.1.0/24", "169.254.169.253")
	pod.route(t, "169.254.169.252/30", "10.0.1.1")
	instance.do(t, func() error { return os.WriteFile("/proc/sys/net/ipv4/ip_forward", []byte("1"), 0) })

	var hops atomic.Int64
	h := New(Config{Logger: quiet, Lookup: func(netip.Addr) (Instance, bool) {
		i := node()
		i.Options = Options{HTTPTokens: Optional, HTTPPutResponseHopLimit: int(hops.Load())}
		return i, true
	}})
	var l net.Listener
	service.do(t, func() (err error) { l, err = net.Listen("tcp4", "169.254.169.254:80"); return err })
	serve(t, h, l)

	for _, tc := range []struct {
		name   string
		from   namespace
		method string
		hops   int64
		want   bool
	}{
		{"the instance's own token", instance, "PUT", 1, true},
		{"a pod's token, one hop", pod, "PUT", 1, false},
		{"a pod's token, two hops", pod, "PUT", 2, true},
		{"a pod without a token, one hop", pod, "GET", 1, true},
	} {
		hops.Store(tc.hops)
		if err := tc.from.request(t, tc.method); (err == nil) != tc.want {
			t.Errorf("%s: %v, want an answer: %v", tc.name, err, tc.want)
		}
	}
}

// namespace is a network namespace of the test's own.
type namespace struct{ netns.NsHandle }

// do runs f on a thread inside the namespace.
func (ns namespace) do(t *testing.T, f func() error) {
	t.Helper()
	done := make(chan error, 1)
	go func() {
		runtime.LockOSThread() // never unlocked: the thread ends with the goroutine
		if err := netns.Set(ns.NsHandle); err != nil {
			done <- err
			return
		}
		done <- f()
	}()
	if err := <-done; err != nil {
		t.Fatal(err)
	}
}

func newNamespace(t *testing.T) namespace {
	t.Helper()
	var made namespace
	done := make(chan error, 1)
	go func() {
		runtime.LockOSThread()
		h, err := netns.New()
		made = namespace{h}
		done <- err
	}()
	if err := <-done; err != nil {
		t.Fatalf("network namespace: %v", err)
	}
	t.Cleanup(func() { made.Close() }) // the kernel removes it with the last reference
	return made
}

// link joins two namespaces by a pair of devices with these addresses.
func link(t *testing.T, a namespace, aAddr string, b namespace, bAddr string) {
	t.Helper()
	a.do(t, func() error {
		return netlink.LinkAdd(&netlink.Veth{
			LinkAttrs: netlink.LinkAttrs{Name: "to-b"}, PeerName: "to-a", PeerNamespace: netlink.NsFd(b.NsHandle),
		})
	})
	a.address(t, "to-b", aAddr)
	b.address(t, "to-a", bAddr)
}

func (ns namespace) address(t *testing.T, device, address string) {
	t.Helper()
	ns.do(t, func() error {
		l, err := netlink.LinkByName(device)
		if err != nil {
			return err
		}
		addr, err := netlink.ParseAddr(address)
		if err != nil {
			return err
		}
		return errors.Join(netlink.AddrAdd(l, addr), netlink.LinkSetUp(l))
	})
}

func (ns namespace) route(t *testing.T, to, via string) {
	t.Helper()
	ns.do(t, func() error {
		_, dst, err := net.ParseCIDR(to)
		if err != nil {
			return err
		}
		return netlink.RouteAdd(&netlink.Route{Dst: dst, Gw: net.ParseIP(via)})
	})
}

// request asks the service from inside the namespace, once. Half a second is ample on a veth; an
// answer that dies on the way is an error by then.
func (ns namespace) request(t *testing.T, method string) error {
	t.Helper()
	var conn net.Conn
	ns.do(t, func() (err error) {
		conn, err = net.DialTimeout("tcp4", "169.254.169.254:80", 5*time.Second)
		return err
	})
	client := &http.Client{
		Timeout:   500 * time.Millisecond,
		Transport: &http.Transport{DialContext: func(context.Context, string, string) (net.Conn, error) { return conn, nil }},
	}
	path := "/latest/meta-data/"
	if method == "PUT" {
		path = tokenPath
	}
	req, _ := http.NewRequest(method, "http://169.254.169.254"+path, nil)
	req.Header.Set(ttlHeader, "60")
	res, err := client.Do(req)
	if err != nil {
		return err
	}
	res.Body.Close()
	if res.StatusCode != 200 {
		return errors.New(res.Status)
	}
	return nil
}
