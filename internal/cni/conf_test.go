package cni

import (
	"encoding/json"
	"errors"
	"net/netip"
	"strings"
	"testing"

	"github.com/containernetworking/cni/libcni"
	"github.com/containernetworking/cni/pkg/skel"
	"github.com/containernetworking/cni/pkg/types"
	"github.com/google/go-cmp/cmp"
)

func TestParseConf(t *testing.T) {
	tests := []struct {
		name, json string
		fails      string // part of the error
	}{
		{"usual", `{"cniVersion":"1.0.0","name":"aws-cni","type":"aws-cni","mtu":9001,"addresses":["192.168.0.7"],"stateDir":"/var/lib/aws-cni"}`, ""},
		{"no address yet", `{"mtu":1500,"addresses":[],"stateDir":"/s"}`, ""},
		{"host port", `{"mtu":1500,"stateDir":"/s","runtimeConfig":{"portMappings":[{"hostPort":80,"containerPort":8080,"protocol":"tcp","hostIP":"0.0.0.0"}]}}`, ""},
		{"not JSON", `{`, "parse the network configuration"},
		{"no mtu", `{"addresses":[],"stateDir":"/s"}`, "mtu 0"},
		{"mtu in words", `{"mtu":"9001","stateDir":"/s"}`, "parse the network configuration"},
		{"relative state", `{"mtu":9001,"stateDir":"s"}`, "not an absolute path"},
		{"twice", `{"mtu":9001,"stateDir":"/s","addresses":["10.0.0.1","10.0.0.1"]}`, "listed twice"},
		{"IPv6", `{"mtu":9001,"stateDir":"/s","addresses":["fd00::1"]}`, "not an IPv4 address"},
		{"empty address", `{"mtu":9001,"stateDir":"/s","addresses":[""]}`, "not an IPv4 address"},
		{"bad port", `{"mtu":9001,"stateDir":"/s","runtimeConfig":{"portMappings":[{"hostPort":0,"containerPort":80,"protocol":"tcp"}]}}`, "port 0"},
		{"bad protocol", `{"mtu":9001,"stateDir":"/s","runtimeConfig":{"portMappings":[{"hostPort":1,"containerPort":80,"protocol":"tcp dport 1 accept;"}]}}`, "protocol"},
		{"bad host IP", `{"mtu":9001,"stateDir":"/s","runtimeConfig":{"portMappings":[{"hostPort":1,"containerPort":80,"protocol":"tcp","hostIP":"x"}]}}`, "port mapping"},
		{"bad prevResult", `{"cniVersion":"1.0.0","mtu":9001,"stateDir":"/s","prevResult":{"ips":7}}`, "prevResult"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			_, err := parseConf([]byte(tt.json))
			if tt.fails == "" {
				if err != nil {
					t.Error(err)
				}
				return
			}
			var cniErr *types.Error
			if !errors.As(err, &cniErr) || !strings.Contains(err.Error(), tt.fails) {
				t.Errorf("error %v, want a CNI error about %q", err, tt.fails)
			}
		})
	}
}

func TestConfigIsWhatThePluginReads(t *testing.T) {
	want := Network{MTU: 9001, Addresses: addrs("192.168.0.7 192.168.0.9"), StateDir: "/var/lib/aws-cni"}
	data, err := Config(want)
	if err != nil {
		t.Fatal(err)
	}
	list, err := libcni.NetworkConfFromBytes(data) // as containerd reads it
	if err != nil {
		t.Fatal(err)
	}
	if list.Name != Name || list.CNIVersion != "1.0.0" || len(list.Plugins) != 1 {
		t.Fatalf("list %+v", list)
	}
	if p := list.Plugins[0].Network; p.Type != Name || !p.Capabilities["portMappings"] {
		t.Errorf("plugin %+v", p)
	}
	c, err := parseConf(list.Plugins[0].Bytes)
	if err != nil {
		t.Fatal(err)
	}
	got := Network{MTU: c.MTU, Addresses: c.Addresses, StateDir: c.StateDir}
	if diff := cmp.Diff(want, got, cmp.Comparer(func(a, b netip.Addr) bool { return a == b })); diff != "" {
		t.Error(diff)
	}
	if _, err := Config(Network{MTU: 9001, StateDir: "relative"}); err == nil {
		t.Error("a configuration that the plugin refuses was rendered")
	}
}

func TestHostInterface(t *testing.T) {
	name := func(args, ifName string) string {
		t.Helper()
		n, err := hostInterface(&skel.CmdArgs{Args: args, ContainerID: "c1", IfName: ifName})
		if err != nil {
			t.Fatal(err)
		}
		if len(n) > 15 {
			t.Errorf("%s is too long for a link", n)
		}
		return n
	}
	pod := "IgnoreUnknown=1;K8S_POD_NAMESPACE=kube-system;K8S_POD_NAME=coredns-57ff979f67-qqbdh;K8S_POD_UID=7"
	// From the VPC CNI's own tests.
	if got := name(pod, "eth0"); got != "enib5faff8a083" {
		t.Errorf("link of the pod: %s", got)
	}
	if name(pod, "net1") == name(pod, "eth0") || name("", "eth0") == name(pod, "eth0") {
		t.Error("two interfaces share a name")
	}
	if _, err := hostInterface(&skel.CmdArgs{Args: "no pairs"}); err == nil {
		t.Error("bad CNI_ARGS were accepted")
	}
}

func TestPortRule(t *testing.T) {
	pod := netip.MustParseAddr("192.168.0.7")
	for _, tt := range []struct {
		m    portMapping
		want string
	}{
		{portMapping{80, 8080, "tcp", ""}, "tcp dport 80 dnat to 192.168.0.7:8080"},
		{portMapping{80, 8080, "tcp", "0.0.0.0"}, "tcp dport 80 dnat to 192.168.0.7:8080"},
		{portMapping{80, 8080, "tcp", "::"}, "tcp dport 80 dnat to 192.168.0.7:8080"},
		{portMapping{53, 53, "udp", "127.0.0.1"}, "ip daddr 127.0.0.1 udp dport 53 dnat to 192.168.0.7:53"},
		{portMapping{53, 53, "udp", "fd00::1"}, ""},
	} {
		if got := tt.m.rule(pod); got != tt.want {
			t.Errorf("%+v: %q, want %q", tt.m, got, tt.want)
		}
	}
}

func FuzzParseConf(f *testing.F) {
	f.Fuzz(func(t *testing.T, data []byte) {
		c, err := parseConf(data)
		if err != nil {
			return
		}
		// What was accepted can be acted on: rendered again, it is the same.
		out, err := Config(Network{c.MTU, c.Addresses, c.StateDir})
		if err != nil {
			t.Fatalf("accepted, but not renderable: %v", err)
		}
		if !json.Valid(out) {
			t.Fatalf("not JSON: %s", out)
		}
		if _, err := libcni.NetworkConfFromBytes(out); err != nil {
			t.Fatal(err)
		}
		for _, m := range c.RuntimeConfig.PortMappings {
			if rule := m.rule(netip.AddrFrom4([4]byte{10, 0, 0, 1})); strings.ContainsAny(rule, ";\n{}\"") {
				t.Fatalf("a mapping got out of its rule: %q", rule)
			}
		}
	})
}

func FuzzHostInterface(f *testing.F) {
	f.Fuzz(func(t *testing.T, args, id, ifName string) {
		name, err := hostInterface(&skel.CmdArgs{Args: args, ContainerID: id, IfName: ifName})
		if err == nil && (len(name) != 14 || strings.ContainsAny(name, "/ :")) {
			t.Errorf("name %q", name)
		}
	})
}
