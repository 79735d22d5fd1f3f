package cni

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/containernetworking/cni/pkg/types"
	current "github.com/containernetworking/cni/pkg/types/100"
	"github.com/moby/sys/mountinfo"
	"github.com/vishvananda/netlink"

	"github.com/tarn-eks/tarn/internal/namespace"
	"github.com/tarn-eks/tarn/internal/subnet"
	"github.com/tarn-eks/tarn/internal/vpc"
)

// The test binary is the plugin when it is called by its name, as the region's
// binary is.
func TestMain(m *testing.M) {
	if filepath.Base(os.Args[0]) == Name {
		Main()
		return
	}
	os.Exit(m.Run())
}

// lab is a VPC whose instances have pods made by the plugin.
type lab struct {
	t      *testing.T
	dir    string // pins
	plugin string // the program
	vpc    *vpc.VPC
	open   vpc.Firewall // what instance adds to
	subnet []subnet.Subnet
}

func newLab(t *testing.T) *lab {
	t.Helper()
	if os.Geteuid() != 0 {
		t.Skip("making network namespaces needs root")
	}
	l := &lab{t: t, dir: filepath.Join(t.TempDir(), "ns"), plugin: filepath.Join(t.TempDir(), Name)}
	before := hostState(t, l.dir)
	t.Cleanup(func() {
		if after := hostState(t, l.dir); after != before {
			t.Errorf("the host was\n%sand is\n%s", before, after)
		}
	})
	self, err := os.Executable()
	if err == nil {
		err = os.Symlink(self, l.plugin)
	}
	if err != nil {
		t.Fatal(err)
	}
	if err := namespace.Prepare(l.dir); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := namespace.Teardown(l.dir); err != nil {
			t.Error(err)
		}
	})
	cidr := netip.MustParsePrefix("192.168.0.0/16")
	if l.subnet, err = subnet.Layout(cidr, []string{"a", "b"}); err != nil {
		t.Fatal(err)
	}
	l.vpc, err = vpc.Open(vpc.Config{
		Namespace: filepath.Join(l.dir, "vpc"),
		CIDR:      cidr,
		Subnets:   l.subnet,
		Logger:    slog.New(slog.NewTextHandler(t.Output(), nil)),
	})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := l.vpc.Delete(); err != nil {
			t.Error(err)
		}
	})
	return l
}

// hostState describes what a region must leave alone: the host's links,
// addresses, routes and rules, and mounts where the test works.
func hostState(t *testing.T, dir string) string {
	t.Helper()
	var s strings.Builder
	show := func(list any, err error) {
		if err != nil {
			t.Fatal(err)
		}
		fmt.Fprintf(&s, "%v\n", list)
	}
	links, err := netlink.LinkList()
	for _, link := range links {
		show(link.Attrs().Name, nil)
	}
	show(len(links), err)
	addrs, err := netlink.AddrList(nil, netlink.FAMILY_V4)
	show(addrs, err)
	routes, err := netlink.RouteListFiltered(netlink.FAMILY_V4, &netlink.Route{}, netlink.RT_FILTER_TABLE)
	show(routes, err)
	rules, err := netlink.RuleList(netlink.FAMILY_V4)
	show(rules, err)
	mounts, err := mountinfo.GetMounts(mountinfo.PrefixFilter(dir))
	show(len(mounts), err)
	forward, err := os.ReadFile("/proc/sys/net/ipv4/ip_forward")
	show(string(forward), err)
	if nft, err := exec.LookPath("nft"); err == nil {
		out, err := exec.Command(nft, "list", "ruleset").Output()
		show(string(out), err)
	}
	return s.String()
}

// instance is a namespace with an ENI, and the plugin's state.
type instance struct {
	*lab
	namespace.Set
	primary netip.Addr
	conf    map[string]any
}

// instance makes the n-th instance in the subnet of that number, with as many
// secondary addresses.
func (l *lab) instance(n, secondary int) *instance {
	l.t.Helper()
	set := namespace.Set{Net: filepath.Join(l.dir, fmt.Sprint("i-", n))}
	if err := namespace.Create(set); err != nil {
		l.t.Fatal(err)
	}
	var addrs []netip.Addr
	addr := l.subnet[n].CIDR.Addr()
	for range 10 {
		addr = addr.Next()
	}
	for range 1 + secondary {
		addrs = append(addrs, addr)
		addr = addr.Next()
	}
	err := l.vpc.Attach(vpc.ENI{
		ID:        fmt.Sprintf("eni-%017x", n),
		Addresses: addrs,
		MAC:       net.HardwareAddr{2, 0, 0, 0, 0, byte(n)},
		Subnet:    l.subnet[n],
		Namespace: set.Net,
	})
	if err != nil {
		l.t.Fatal(err)
	}
	// The plugin's tests are not about security groups.
	anything := []vpc.Rule{{Protocol: vpc.AnyProtocol, Prefix: netip.MustParsePrefix("0.0.0.0/0")}}
	l.open.Groups = []vpc.Group{{ID: "open", Ingress: anything, Egress: anything}}
	l.open.Interfaces = append(slices.Clone(l.open.Interfaces), vpc.Interface{ID: fmt.Sprint("eni-", n), Addresses: addrs, Groups: []string{"open"}})
	if err := l.vpc.SetFirewall(l.open); err != nil {
		l.t.Fatal(err)
	}
	return &instance{l, set, addrs[0], map[string]any{
		"cniVersion": "1.1.0",
		"name":       Name,
		"type":       Name,
		"mtu":        9001,
		"addresses":  addrs[1:],
		"stateDir":   filepath.Join(l.t.TempDir(), "cni"),
	}}
}

// call runs the plugin in the instance; extra is added to its configuration.
func (i *instance) call(command, id, netns, args string, extra map[string]any) ([]byte, error) {
	conf := make(map[string]any)
	for _, m := range []map[string]any{i.conf, extra} {
		for k, v := range m {
			conf[k] = v
		}
	}
	stdin, err := json.Marshal(conf)
	if err != nil {
		return nil, err
	}
	var stdout, stderr bytes.Buffer
	cmd := exec.Command(i.plugin)
	cmd.Stdin, cmd.Stdout, cmd.Stderr = bytes.NewReader(stdin), &stdout, &stderr
	cmd.Env = append(os.Environ(), "CNI_COMMAND="+command, "CNI_CONTAINERID="+id, "CNI_NETNS="+netns,
		"CNI_IFNAME=eth0", "CNI_ARGS="+args, "CNI_PATH="+filepath.Dir(i.plugin),
		"GORACE=atexit_sleep_ms=0") // else each call takes a second more under -race
	if err := i.Start(cmd); err != nil {
		return nil, err
	}
	if err := cmd.Wait(); err != nil {
		var cniErr types.Error
		if json.Unmarshal(stdout.Bytes(), &cniErr) == nil && cniErr.Msg != "" {
			return nil, &cniErr
		}
		return nil, fmt.Errorf("%s: %w: %s%s", command, err, &stdout, &stderr)
	}
	return stdout.Bytes(), nil
}

// sandbox is a pod that the plugin was or will be called for.
type sandbox struct {
	*instance
	namespace.Set
	id, args string
	addr     netip.Addr
	result   []byte
}

// sandbox makes the namespace of a pod that has no network yet.
func (i *instance) sandbox(id string) *sandbox {
	i.t.Helper()
	set := namespace.Set{Net: filepath.Join(i.dir, id)}
	if err := namespace.Create(set); err != nil {
		i.t.Fatal(err)
	}
	return &sandbox{instance: i, Set: set, id: id, args: "IgnoreUnknown=1;K8S_POD_NAMESPACE=default;K8S_POD_NAME=" + id}
}

func (p *sandbox) add(extra map[string]any) error {
	out, err := p.call("ADD", p.id, p.Set.Net, p.args, extra)
	if err != nil {
		return err
	}
	var r current.Result
	if err := json.Unmarshal(out, &r); err != nil {
		return err
	}
	if len(r.IPs) != 1 {
		return fmt.Errorf("result with %d addresses: %s", len(r.IPs), out)
	}
	p.addr, _ = netip.AddrFromSlice(r.IPs[0].Address.IP.To4())
	p.result = out
	return nil
}

func (p *sandbox) del() error {
	_, err := p.call("DEL", p.id, p.Set.Net, p.args, nil)
	return err
}

// pod makes a pod.
func (i *instance) pod(id string) *sandbox {
	i.t.Helper()
	p := i.sandbox(id)
	if err := p.add(nil); err != nil {
		i.t.Fatal(err)
	}
	return p
}

// serve answers TCP connections in the namespace with the client's address.
func (l *lab) serve(in namespace.Set, address string) {
	l.t.Helper()
	var ln net.Listener
	err := in.Do(func() (err error) {
		ln, err = net.Listen("tcp4", address)
		return err
	})
	if err != nil {
		l.t.Fatal(err)
	}
	done := make(chan struct{})
	go func() {
		defer close(done)
		for {
			conn, err := ln.Accept()
			if err != nil {
				return
			}
			host, _, _ := net.SplitHostPort(conn.RemoteAddr().String())
			fmt.Fprint(conn, host)
			conn.Close()
		}
	}()
	l.t.Cleanup(func() {
		ln.Close()
		<-done
	})
}

// ask connects from the namespace and returns what serve says.
func ask(from namespace.Set, address string) (string, error) {
	var conn net.Conn
	err := from.Do(func() (err error) {
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

// links lists the links of a namespace.
func links(t *testing.T, set namespace.Set) []string {
	t.Helper()
	n, err := namespace.OpenNet(set.Net)
	if errors.Is(err, os.ErrNotExist) {
		return nil
	}
	if err != nil {
		t.Fatal(err)
	}
	defer n.Close()
	nl, err := n.Netlink()
	if err != nil {
		t.Fatal(err)
	}
	defer nl.Close()
	list, err := nl.LinkList()
	if err != nil {
		t.Fatal(err)
	}
	var names []string
	for _, link := range list {
		names = append(names, link.Attrs().Name)
	}
	return names
}
