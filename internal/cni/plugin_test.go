package cni

import (
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/containernetworking/cni/pkg/types"
	current "github.com/containernetworking/cni/pkg/types/100"
	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"

	"github.com/tarn-eks/tarn/internal/namespace"
)

func TestPodsReachEachOther(t *testing.T) {
	l := newLab(t)
	a, b := l.instance(0, 3), l.instance(1, 3)
	a1, a2, b1 := a.pod("a1"), a.pod("a2"), b.pod("b1")
	for _, p := range []*sandbox{a1, a2, b1} {
		l.serve(p.Set, netip.AddrPortFrom(p.addr, 80).String())
	}
	l.serve(a.Set, netip.AddrPortFrom(a.primary, 10250).String())
	l.serve(b.Set, netip.AddrPortFrom(b.primary, 10250).String())

	for _, tt := range []struct {
		name string
		from namespace.Set
		addr netip.Addr
		port uint16
		say  netip.Addr // the source that the server sees
	}{
		{"pod to pod on its node", a1.Set, a2.addr, 80, a1.addr},
		{"pod to pod on another node", a1.Set, b1.addr, 80, a1.addr},
		{"and back", b1.Set, a1.addr, 80, b1.addr},
		{"pod to itself", a1.Set, a1.addr, 80, a1.addr},
		{"pod to its node", a1.Set, a.primary, 10250, a1.addr},
		{"pod to another node", a1.Set, b.primary, 10250, a1.addr},
		{"node to its pod, as probes do", a.Set, a1.addr, 80, a.primary},
		{"node to another node's pod", a.Set, b1.addr, 80, a.primary},
	} {
		got, err := ask(tt.from, netip.AddrPortFrom(tt.addr, tt.port).String())
		if err != nil || got != tt.say.String() {
			t.Errorf("%s: came as %q, %v; want %s", tt.name, got, err, tt.say)
		}
	}
	conn, err := l.vpc.DialContext(t.Context(), "tcp", netip.AddrPortFrom(a2.addr, 80).String())
	if err != nil {
		t.Fatalf("router to pod: %v", err)
	}
	conn.Close()
}

func TestPodLooksAsOnEKS(t *testing.T) {
	l := newLab(t)
	i := l.instance(0, 2)
	p := i.pod("web-0")
	n, err := namespace.OpenNet(p.Set.Net)
	if err != nil {
		t.Fatal(err)
	}
	defer n.Close()
	nl, err := n.Netlink()
	if err != nil {
		t.Fatal(err)
	}
	defer nl.Close()
	eth0, err := nl.LinkByName("eth0")
	if err != nil {
		t.Fatal(err)
	}
	if mtu := eth0.Attrs().MTU; mtu != 9001 {
		t.Errorf("MTU %d", mtu)
	}
	addrs, err := nl.AddrList(eth0, netlink.FAMILY_ALL)
	if err != nil || len(addrs) != 1 || addrs[0].IPNet.String() != p.addr.String()+"/32" {
		t.Errorf("addresses %v, %v", addrs, err)
	}
	routes, err := nl.RouteList(eth0, netlink.FAMILY_V4)
	if err != nil {
		t.Fatal(err)
	}
	var got []string
	for _, r := range routes {
		got = append(got, fmt.Sprintf("%s via %v scope %s", r.Dst, r.Gw, r.Scope))
	}
	slices.Sort(got)
	if want := []string{"0.0.0.0/0 via 169.254.1.1 scope universe", "169.254.1.1/32 via <nil> scope link"}; !slices.Equal(got, want) {
		t.Errorf("routes %v", got)
	}
	var r current.Result
	if err := json.Unmarshal(p.result, &r); err != nil {
		t.Fatal(err)
	}
	if len(r.Interfaces) != 2 || !slices.Contains(links(t, i.Set), r.Interfaces[0].Name) ||
		r.Interfaces[1].Name != "eth0" || r.Interfaces[1].Mac != eth0.Attrs().HardwareAddr.String() || *r.IPs[0].Interface != 1 {
		t.Errorf("result %s", p.result)
	}
	neigh, err := nl.NeighList(eth0.Attrs().Index, netlink.FAMILY_V4)
	if err != nil || len(neigh) != 1 || neigh[0].State != netlink.NUD_PERMANENT ||
		!neigh[0].IP.Equal(gateway) || neigh[0].HardwareAddr.String() != r.Interfaces[0].Mac {
		t.Errorf("neighbours %v, %v", neigh, err)
	}
}

func TestAddIsIdempotentAndDelCleansUp(t *testing.T) {
	l := newLab(t)
	i := l.instance(0, 2)
	before := links(t, i.Set)
	p := i.pod("web-0")
	first := string(p.result)
	if err := p.add(nil); err != nil {
		t.Fatal(err)
	}
	if string(p.result) != first {
		t.Errorf("ADD gave\n%s\nand then\n%s", first, p.result)
	}
	for range 2 {
		if err := p.del(); err != nil {
			t.Fatal(err)
		}
	}
	if after := links(t, i.Set); !slices.Equal(after, before) {
		t.Errorf("links before %v, after %v", before, after)
	}
	if got := links(t, p.Set); !slices.Equal(got, []string{"lo"}) {
		t.Errorf("links left in the pod: %v", got)
	}
	var routes []netlink.Route
	err := i.Do(func() (err error) {
		routes, err = netlink.RouteListFiltered(netlink.FAMILY_V4, &netlink.Route{Dst: single(p.addr.AsSlice())}, netlink.RT_FILTER_DST)
		return err
	})
	if err != nil || len(routes) != 0 {
		t.Errorf("routes after DEL: %v, %v", routes, err)
	}

	// DEL after the sandbox has gone, and of one that never was.
	p = i.pod("web-1")
	if err := namespace.Remove(p.Set); err != nil {
		t.Fatal(err)
	}
	if err := p.del(); err != nil {
		t.Errorf("DEL without the namespace: %v", err)
	}
	if _, err := i.call("DEL", "never", "", "", nil); err != nil {
		t.Errorf("DEL of an unknown container: %v", err)
	}
	if n, err := stateOf(i).free(i.addresses()); n != 2 || err != nil {
		t.Errorf("%d addresses free, %v", n, err)
	}
}

func stateOf(i *instance) state { return state{i.conf["stateDir"].(string)} }

func (i *instance) addresses() []netip.Addr { return i.conf["addresses"].([]netip.Addr) }

// A StatefulSet's pod is made again under its name before the old sandbox is
// deleted: the late DEL must not cut the new pod's link.
func TestLateDelOfFormerPod(t *testing.T) {
	l := newLab(t)
	i := l.instance(0, 2)
	old := i.pod("web-0")
	fresh := i.sandbox("web-0-again")
	fresh.args = old.args
	if err := fresh.add(nil); err != nil {
		t.Fatal(err)
	}
	if fresh.addr == old.addr {
		t.Errorf("both sandboxes have %s", old.addr)
	}
	if err := old.del(); err != nil {
		t.Fatal(err)
	}
	l.serve(fresh.Set, netip.AddrPortFrom(fresh.addr, 80).String())
	if _, err := ask(i.Set, netip.AddrPortFrom(fresh.addr, 80).String()); err != nil {
		t.Errorf("the new pod lost its network: %v", err)
	}
}

func TestCheck(t *testing.T) {
	l := newLab(t)
	i := l.instance(0, 2)
	p := i.pod("web-0")
	check := func() error {
		var prev any
		if err := json.Unmarshal(p.result, &prev); err != nil {
			t.Fatal(err)
		}
		_, err := i.call("CHECK", p.id, p.Set.Net, p.args, map[string]any{"prevResult": prev})
		return err
	}
	if err := check(); err != nil {
		t.Fatal(err)
	}
	spoil := func(in namespace.Set, fn func() error) {
		t.Helper()
		if err := in.Do(fn); err != nil {
			t.Fatal(err)
		}
		if err := check(); err == nil {
			t.Error("CHECK found nothing")
		}
		if err := p.add(nil); err != nil { // repairs
			t.Fatal(err)
		}
		if err := check(); err != nil {
			t.Errorf("after repair: %v", err)
		}
	}
	spoil(p.Set, func() error {
		eth0, err := netlink.LinkByName("eth0")
		if err != nil {
			return err
		}
		return netlink.RouteDel(&netlink.Route{LinkIndex: eth0.Attrs().Index, Dst: &net.IPNet{IP: net.IPv4zero, Mask: net.CIDRMask(0, 32)}})
	})
	spoil(i.Set, func() error {
		return netlink.RouteDel(&netlink.Route{Dst: single(p.addr.AsSlice()), Scope: netlink.SCOPE_LINK})
	})
	spoil(p.Set, func() error {
		eth0, err := netlink.LinkByName("eth0")
		if err != nil {
			return err
		}
		return netlink.LinkDel(eth0)
	})
	if err := p.del(); err != nil {
		t.Fatal(err)
	}
	if err := check(); err == nil {
		t.Error("CHECK of a deleted pod passed")
	}
}

func TestExhaustion(t *testing.T) {
	l := newLab(t)
	i := l.instance(0, 1)
	status := func() error {
		_, err := i.call("STATUS", "", "", "", nil)
		return err
	}
	if err := status(); err != nil {
		t.Fatal(err)
	}
	first := i.pod("web-0")
	var cniErr *types.Error
	if err := status(); !errors.As(err, &cniErr) || cniErr.Code != types.ErrPluginNotAvailable {
		t.Errorf("status without a free address: %v", err)
	}
	second := i.sandbox("web-1")
	err := second.add(nil)
	if !errors.As(err, &cniErr) || !strings.Contains(cniErr.Msg, "failed to assign an IP address to container") {
		t.Errorf("ADD without a free address: %v", err)
	}
	if got := links(t, second.Set); !slices.Equal(got, []string{"lo"}) {
		t.Errorf("links after the failed ADD: %v", got)
	}
	if err := first.del(); err != nil {
		t.Fatal(err)
	}
	if err := second.add(nil); err != nil {
		t.Errorf("ADD after DEL: %v", err)
	}
}

func TestAddRollsBack(t *testing.T) {
	l := newLab(t)
	i := l.instance(0, 2)
	before := links(t, i.Set)
	p := i.sandbox("web-0")
	err := p.Set.Do(func() error { // something else has made an eth0
		attrs := netlink.NewLinkAttrs()
		attrs.Name = "eth0"
		return netlink.LinkAdd(&netlink.Bridge{LinkAttrs: attrs})
	})
	if err != nil {
		t.Fatal(err)
	}
	if err := p.add(nil); err == nil || !strings.Contains(err.Error(), "eth0 already") {
		t.Errorf("ADD over a foreign eth0: %v", err)
	}
	if after := links(t, i.Set); !slices.Equal(after, before) {
		t.Errorf("links before %v, after %v", before, after)
	}
	if n, err := stateOf(i).free(i.addresses()); n != 2 || err != nil {
		t.Errorf("%d addresses free, %v", n, err)
	}
	for name, netns := range map[string]string{"own": i.Set.Net, "missing": filepath.Join(i.dir, "missing")} {
		_, err := i.call("ADD", name, netns, "", nil)
		var cniErr *types.Error
		if !errors.As(err, &cniErr) || cniErr.Code != types.ErrInvalidNetNS {
			t.Errorf("ADD with the %s namespace: %v", name, err)
		}
	}
	if after := links(t, i.Set); !slices.Equal(after, before) {
		t.Errorf("links before %v, after %v", before, after)
	}
}

func TestGC(t *testing.T) {
	l := newLab(t)
	i := l.instance(0, 3)
	keep, lost := i.pod("keep"), i.pod("lost")
	valid := map[string]any{"cni.dev/valid-attachments": []types.GCAttachment{{ContainerID: keep.id, IfName: "eth0"}}}
	if _, err := i.call("GC", "", "", "", valid); err != nil {
		t.Fatal(err)
	}
	if got := links(t, lost.Set); !slices.Equal(got, []string{"lo"}) {
		t.Errorf("links of the unknown attachment: %v", got)
	}
	if n, err := stateOf(i).free(i.addresses()); n != 2 || err != nil {
		t.Errorf("%d addresses free, %v", n, err)
	}
	l.serve(keep.Set, netip.AddrPortFrom(keep.addr, 80).String())
	if _, err := ask(i.Set, netip.AddrPortFrom(keep.addr, 80).String()); err != nil {
		t.Errorf("the known attachment was hurt: %v", err)
	}
}

// Many plugin processes at once, as when a Deployment scales up, and pods that
// end meanwhile.
func TestParallelAdds(t *testing.T) {
	l := newLab(t)
	const pods = 17 // a t3.medium's
	i := l.instance(0, pods)
	before := links(t, i.Set)
	var sandboxes []*sandbox
	for n := range pods {
		sandboxes = append(sandboxes, i.sandbox(fmt.Sprint("web-", n)))
	}
	var wg sync.WaitGroup
	for n, p := range sandboxes {
		wg.Go(func() {
			rounds := 1 + n%2
			for r := range rounds {
				if err := p.add(nil); err != nil {
					t.Error(err)
				}
				if r < rounds-1 {
					if err := p.del(); err != nil {
						t.Error(err)
					}
				}
			}
		})
	}
	wg.Wait()
	owner := make(map[netip.Addr]string)
	for _, p := range sandboxes {
		if other, ok := owner[p.addr]; ok {
			t.Errorf("%s and %s share %s", other, p.id, p.addr)
		}
		owner[p.addr] = p.id
		l.serve(p.Set, netip.AddrPortFrom(p.addr, 80).String())
		if _, err := ask(i.Set, netip.AddrPortFrom(p.addr, 80).String()); err != nil {
			t.Errorf("%s: %v", p.id, err)
		}
	}
	for _, p := range sandboxes {
		wg.Go(func() {
			if err := p.del(); err != nil {
				t.Error(err)
			}
		})
	}
	wg.Wait()
	if after := links(t, i.Set); !slices.Equal(after, before) {
		t.Errorf("links before %v, after %v", before, after)
	}
	files, err := os.ReadDir(filepath.Join(stateOf(i).dir, "attachments"))
	if err != nil || len(files) != 0 {
		t.Errorf("records left: %v, %v", files, err)
	}
}

// A pod may not use the address of another one, on its node or elsewhere.
func TestPodCannotSpoof(t *testing.T) {
	l := newLab(t)
	a, b := l.instance(0, 2), l.instance(1, 2)
	liar, victim, other := a.pod("liar"), a.pod("victim"), b.pod("other")
	var sink net.PacketConn
	err := other.Set.Do(func() (err error) {
		sink, err = net.ListenPacket("udp4", netip.AddrPortFrom(other.addr, 9).String())
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	defer sink.Close()
	for _, source := range []netip.Addr{victim.addr, a.primary, b.primary, netip.MustParseAddr("203.0.113.7")} {
		send(t, liar.Set, source, other.addr, "lie")
	}
	send(t, liar.Set, liar.addr, other.addr, "end") // comes after the others
	buf := make([]byte, 16)
	sink.SetReadDeadline(time.Now().Add(5 * time.Second))
	n, from, err := sink.ReadFrom(buf)
	if err != nil || string(buf[:n]) != "end" {
		t.Errorf("arrived first: %q from %v, %v", buf[:n], from, err)
	}
}

// send sends a UDP datagram to port 9 with any source address.
func send(t *testing.T, from namespace.Set, source, dest netip.Addr, text string) {
	t.Helper()
	err := from.Do(func() error {
		fd, err := unix.Socket(unix.AF_INET, unix.SOCK_RAW|unix.SOCK_CLOEXEC, unix.IPPROTO_RAW)
		if err != nil {
			return err
		}
		defer unix.Close(fd)
		p := []byte{0x45, 0, 0, byte(28 + len(text)), 0, 0, 0, 0, 64, unix.IPPROTO_UDP, 0, 0}
		p = append(p, source.AsSlice()...)
		p = append(p, dest.AsSlice()...)
		p = append(p, 0x30, 0x39, 0, 9, 0, byte(8+len(text)), 0, 0)
		return unix.Sendto(fd, append(p, text...), 0, &unix.SockaddrInet4{Addr: dest.As4()})
	})
	if err != nil {
		t.Fatal(err)
	}
}

func TestHostPorts(t *testing.T) {
	l := newLab(t)
	a, b := l.instance(0, 3), l.instance(1, 1)
	ports := func(list ...portMapping) map[string]any {
		return map[string]any{"runtimeConfig": map[string]any{"portMappings": list}}
	}
	web, side := a.sandbox("web"), a.sandbox("side")
	if err := web.add(ports(portMapping{8080, 80, "tcp", ""}, portMapping{53, 53, "udp", ""})); err != nil {
		t.Fatal(err)
	}
	if err := side.add(ports(portMapping{8081, 80, "tcp", "127.0.0.1"})); err != nil {
		t.Fatal(err)
	}
	client := b.pod("client")
	l.serve(web.Set, netip.AddrPortFrom(web.addr, 80).String())
	l.serve(side.Set, netip.AddrPortFrom(side.addr, 80).String())

	node := netip.AddrPortFrom(a.primary, 8080).String()
	for _, tt := range []struct {
		name, address string
		from          namespace.Set
		say           string
	}{
		{"from another node's pod", node, client.Set, client.addr.String()},
		{"from the node", node, a.Set, a.primary.String()},
		{"from the node's loopback", "127.0.0.1:8080", a.Set, ""},
		{"from the pod itself", node, web.Set, ""},
		{"from a neighbour", node, side.Set, side.addr.String()},
		{"on the loopback only", "127.0.0.1:8081", a.Set, ""},
	} {
		got, err := ask(tt.from, tt.address)
		if err != nil || tt.say != "" && got != tt.say {
			t.Errorf("%s: came as %q, %v; want %s", tt.name, got, err, tt.say)
		}
	}
	if _, err := ask(client.Set, netip.AddrPortFrom(a.primary, 8081).String()); !errors.Is(err, unix.ECONNREFUSED) {
		t.Errorf("a host port of 127.0.0.1 from outside: %v", err)
	}

	if err := web.del(); err != nil {
		t.Fatal(err)
	}
	if _, err := ask(client.Set, node); !errors.Is(err, unix.ECONNREFUSED) {
		t.Errorf("the host port after DEL: %v", err)
	}
	if _, err := ask(a.Set, "127.0.0.1:8081"); err != nil {
		t.Errorf("the other pod's host port after DEL: %v", err)
	}
}
