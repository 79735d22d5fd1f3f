package node

import (
	"bytes"
	"encoding/json"
	"net/netip"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"testing"

	containerdconfig "github.com/containerd/containerd/v2/cmd/containerd/server/config"
	"github.com/containerd/plugin/registry"
	"github.com/google/go-cmp/cmp"
	"github.com/pelletier/go-toml/v2"
	v1 "k8s.io/api/core/v1"
	kubeletoptions "k8s.io/kubernetes/cmd/kubelet/app/options"
	kubeletconfig "k8s.io/kubernetes/pkg/kubelet/apis/config"
	kubeproxyconfig "k8s.io/kubernetes/pkg/proxy/apis/config"
	proxyscheme "k8s.io/kubernetes/pkg/proxy/apis/config/scheme"
	proxyvalidation "k8s.io/kubernetes/pkg/proxy/apis/config/validation"
	"sigs.k8s.io/yaml"

	"github.com/tarn-eks/tarn/internal/cni"
	"github.com/tarn-eks/tarn/internal/instance"
)

// node is a t3.medium.
func node() instance.Config {
	return instance.Config{
		ID: "i-0123456789abcdef0", NodeName: "ip-192-168-12-34.ap-northeast-2.compute.internal",
		Region: "ap-northeast-2", Zone: "ap-northeast-2a",
		Capacity: instance.Capacity{VCPU: 2, MemoryMiB: 4096, MaxPods: 17, ReservedCPUMilli: 70, ReservedMemoryMiB: 442, VolumeGiB: 80},
		Address:  netip.MustParseAddr("192.168.12.34"), PodAddresses: []netip.Addr{netip.MustParseAddr("192.168.12.35")},
		MTU: 9001, Resolver: netip.MustParseAddr("192.168.0.2"), ClusterDNS: netip.MustParseAddr("10.100.0.10"),
		Labels: map[string]string{
			"beta.kubernetes.io/instance-type": "t3.medium", "node.kubernetes.io/instance-type": "t3.medium",
			"failure-domain.beta.kubernetes.io/region": "ap-northeast-2", "topology.kubernetes.io/region": "ap-northeast-2",
			"failure-domain.beta.kubernetes.io/zone": "ap-northeast-2a", "topology.kubernetes.io/zone": "ap-northeast-2a",
			"eks.amazonaws.com/nodegroup": "g", "eks.amazonaws.com/capacityType": "ON_DEMAND",
		},
		Taints:     []instance.Taint{{Key: "dedicated", Value: "x", Effect: "NoSchedule"}},
		PauseImage: "602401143452.dkr.ecr.ap-northeast-2.amazonaws.com/eks/pause:3.10", Cgroup: "tarn-0/i-0123456789abcdef0",
	}
}

func TestKubeletServer(t *testing.T) {
	c := node()
	s, err := kubeletServer(c)
	if err != nil {
		t.Fatal(err)
	}
	if err := kubeletoptions.ValidateKubeletServer(s); err != nil {
		t.Errorf("kubelet refuses it: %v", err)
	}
	for what, values := range map[string][2]any{
		"max pods":            {s.MaxPods, int32(17)},
		"kube-reserved":       {s.KubeReserved, map[string]string{"cpu": "70m", "memory": "442Mi", "ephemeral-storage": "1Gi"}},
		"eviction":            {s.EvictionHard, map[string]string{"memory.available": "100Mi", "nodefs.available": "10%", "nodefs.inodesFree": "5%"}},
		"read-only port":      {s.ReadOnlyPort, int32(0)},
		"anonymous":           {s.Authentication.Anonymous.Enabled, false},
		"webhook":             {s.Authentication.Webhook.Enabled, true},
		"authorization":       {s.Authorization.Mode, kubeletconfig.KubeletAuthorizationModeWebhook},
		"client CA":           {s.Authentication.X509.ClientCAFile, "/etc/kubernetes/ca.crt"},
		"serving certificate": {s.TLSCertFile + " " + s.TLSPrivateKeyFile, "/etc/kubernetes/kubelet.crt /etc/kubernetes/kubelet.key"},
		"kubeconfig":          {s.KubeConfig, "/etc/kubernetes/kubelet.kubeconfig"},
		"provider id":         {s.ProviderID, "aws:///ap-northeast-2a/i-0123456789abcdef0"},
		"name":                {s.HostnameOverride, c.NodeName},
		"address":             {s.NodeIP, "192.168.12.34"},
		"cgroup driver":       {s.CgroupDriver, "cgroupfs"},
		"cgroup root":         {s.CgroupRoot, "/tarn-0/i-0123456789abcdef0"},
		"cgroup v1":           {s.FailCgroupV1, false},
		"swap":                {s.FailSwapOn, false},
		"DNS":                 {s.ClusterDNS, []string{"10.100.0.10"}},
		"domain":              {s.ClusterDomain, "cluster.local"},
		"runtime":             {s.ContainerRuntimeEndpoint, "unix:///run/containerd/containerd.sock"},
		"labels":              {s.NodeLabels, c.Labels},
		"taints":              {s.RegisterWithTaints, []v1.Taint{{Key: "dedicated", Value: "x", Effect: v1.TaintEffectNoSchedule}}},
	} {
		if diff := cmp.Diff(values[1], values[0]); diff != "" {
			t.Errorf("%s: %s", what, diff)
		}
	}
	if want := int32(-999); s.OOMScoreAdj != want && mayLowerOOMScore() || s.OOMScoreAdj != 0 && !mayLowerOOMScore() {
		t.Errorf("OOM score %d, may be lowered: %v", s.OOMScoreAdj, mayLowerOOMScore())
	}
	c.Taints = nil
	if s, err = kubeletServer(c); err != nil || s.RegisterWithTaints != nil {
		t.Errorf("without taints: %v, %v", s.RegisterWithTaints, err)
	}
}

// containerd warns of a key that it does not know and goes on without; here
// that is an error.
func TestContainerdConfig(t *testing.T) {
	files, err := containerdFiles(node())
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	file := filepath.Join(dir, "config.toml")
	if err := os.WriteFile(file, files["/etc/containerd/config.toml"], 0o600); err != nil {
		t.Fatal(err)
	}
	var config containerdconfig.Config
	if err := containerdconfig.LoadConfig(t.Context(), file, &config); err != nil {
		t.Fatal(err)
	}
	var strict containerdconfig.Config
	if err := toml.NewDecoder(bytes.NewReader(files["/etc/containerd/config.toml"])).DisallowUnknownFields().Decode(&strict); err != nil {
		t.Errorf("containerd does not know: %v", err)
	}
	if config.Version != 3 || config.Root != "/var/lib/containerd" || config.State != "/run/containerd" {
		t.Errorf("version %d, root %s, state %s", config.Version, config.Root, config.State)
	}
	plugins := map[string]any{} // by name, with the defaults of their configuration
	for _, r := range registry.Graph(nil) {
		plugins[r.URI()] = r.Config
	}
	decoded := map[string]string{}
	for name, values := range config.Plugins {
		if plugins[name] == nil {
			t.Errorf("containerd has no plugin %s that can be configured", name)
			continue
		}
		data, err := toml.Marshal(values)
		if err != nil {
			t.Fatal(err)
		}
		into := reflect.New(reflect.TypeOf(plugins[name]).Elem()).Interface()
		if err := toml.NewDecoder(bytes.NewReader(data)).DisallowUnknownFields().Decode(into); err != nil {
			t.Errorf("plugin %s does not know: %v", name, err)
		}
		text, err := json.Marshal(into)
		if err != nil {
			t.Fatal(err)
		}
		decoded[name] = string(text)
	}
	for name, wants := range map[string][]string{
		"io.containerd.cri.v1.runtime": {
			`"runtimeType":"io.containerd.runc.v2"`, `"runtimePath":"/opt/tarn/bin/containerd-shim-runc-v2"`,
			`"binDirs":["/opt/cni/bin"]`, `"confDir":"/etc/cni/net.d"`, `"useInternalLoopback":true`,
		},
		"io.containerd.cri.v1.images": {
			`"sandbox":"602401143452.dkr.ecr.ap-northeast-2.amazonaws.com/eks/pause:3.10"`, `"snapshotter":"overlayfs"`,
			`"configPath":"/etc/containerd/certs.d"`,
		},
	} {
		for _, want := range wants {
			if !strings.Contains(decoded[name], want) {
				t.Errorf("%s: no %s in %s", name, want, decoded[name])
			}
		}
	}
	for _, name := range config.DisabledPlugins {
		if _, ok := plugins[name]; !ok && name != "io.containerd.snapshotter.v1.btrfs" { // which needs cgo
			t.Errorf("containerd has no plugin %s to disable", name)
		}
	}
	for _, name := range []string{"io.containerd.cri.v1.runtime", "io.containerd.snapshotter.v1.overlayfs", "io.containerd.grpc.v1.cri"} {
		if _, ok := plugins[name]; !ok || slices.Contains(config.DisabledPlugins, name) {
			t.Errorf("a node needs the plugin %s", name)
		}
	}
}

func TestCNIConfig(t *testing.T) {
	files, err := containerdFiles(node())
	if err != nil {
		t.Fatal(err)
	}
	var list struct {
		Plugins []struct{ Type string }
	}
	file := "/etc/cni/net.d/" + cni.FileName
	if err := json.Unmarshal(files[file], &list); err != nil || len(list.Plugins) == 0 {
		t.Fatalf("%s: %s, %v", file, files[file], err)
	}
	if list.Plugins[0].Type != instance.CNIPlugin {
		t.Errorf("the plugin is %s, and the program %s", list.Plugins[0].Type, instance.CNIPlugin)
	}
}

func TestKubeProxyConfiguration(t *testing.T) {
	data, err := yaml.Marshal(kubeProxyConfiguration(node()))
	if err != nil {
		t.Fatal(err)
	}
	object, _, err := proxyscheme.Codecs.UniversalDecoder().Decode(data, nil, nil) // strict
	if err != nil {
		t.Fatal(err)
	}
	config := object.(*kubeproxyconfig.KubeProxyConfiguration)
	proxyscheme.Scheme.Default(config)
	if errs := proxyvalidation.Validate(config); len(errs) > 0 {
		t.Errorf("kube-proxy refuses it: %v", errs.ToAggregate())
	}
	if config.Mode != "nftables" || config.HostnameOverride != "ip-192-168-12-34.ap-northeast-2.compute.internal" {
		t.Errorf("mode %s, name %s", config.Mode, config.HostnameOverride)
	}
	if config.ClientConnection.Kubeconfig != "/etc/kubernetes/kube-proxy.kubeconfig" {
		t.Errorf("kubeconfig %s", config.ClientConnection.Kubeconfig)
	}
	// Zero means: leave the machine's setting as it is. Upstream's default is not.
	conntrack := config.Linux.Conntrack
	if *conntrack.MaxPerCore != 0 || *conntrack.Min != 0 || conntrack.TCPEstablishedTimeout.Duration != 0 || conntrack.TCPCloseWaitTimeout.Duration != 0 {
		t.Errorf("it would change the machine's connection tracking: %+v", conntrack)
	}
}
