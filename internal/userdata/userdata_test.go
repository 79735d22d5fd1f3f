package userdata_test

import (
	"bytes"
	"compress/gzip"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/tarn-eks/tarn/internal/userdata"
)

var equalAddr = cmp.Comparer(func(a, b netip.Addr) bool { return a == b })

func compress(t testing.TB, data []byte) []byte {
	t.Helper()
	var b bytes.Buffer
	w := gzip.NewWriter(&b)
	if _, err := w.Write(data); err != nil {
		t.Fatal(err)
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

// Files are what eksctl, EKS, Karpenter and AWS's guides write.
func TestParse(t *testing.T) {
	dns := netip.MustParseAddr("10.100.0.10")
	for file, want := range map[string]userdata.Config{
		"nodeadm.yaml": {
			Cluster: "eks-work", MaxPods: 58, ClusterDNS: dns,
			Labels: map[string]string{"team": "lake", "node.kubernetes.io/lifecycle": "spot"},
			Taints: []userdata.Taint{{"dedicated", "gpu", "NoSchedule"}, {"karpenter.sh/unregistered", "", "NoExecute"}},
		},
		"nodeadm.mime": {
			Cluster: "eks-work", MaxPods: 17,
			Labels: map[string]string{"alpha.eksctl.io/cluster-name": "eks-work", "alpha.eksctl.io/nodegroup-name": "ng"},
		},
		"bootstrap.sh": {
			Cluster: "eks-work", MaxPods: 20, ClusterDNS: dns,
			Labels: map[string]string{"a": "b", "eks.amazonaws.com/nodegroup": "g"},
			Taints: []userdata.Taint{{"k", "v", "NoSchedule"}, {"x", "", "PreferNoSchedule"}},
		},
		"bootstrap-plain.sh": {Cluster: "eks-work", MaxPods: 110},
		"bootstrap.mime":     {Cluster: "eks-work", ClusterDNS: dns, Labels: map[string]string{"a": "b"}},
		"bottlerocket.toml": {
			Cluster: "eks-work", MaxPods: 29, ClusterDNS: dns,
			Labels: map[string]string{"a": "b"},
			Taints: []userdata.Taint{{"k", "v", "NoSchedule"}, {"k", "v", "NoExecute"}},
		},
		"empty": {},
	} {
		t.Run(file, func(t *testing.T) {
			data, err := os.ReadFile(filepath.Join("testdata", file))
			if err != nil {
				t.Fatal(err)
			}
			for name, data := range map[string][]byte{"plain": data, "gzip": compress(t, data), "CRLF": bytes.ReplaceAll(data, []byte("\n"), []byte("\r\n"))} {
				got, err := userdata.Parse(data)
				if err != nil {
					t.Errorf("%s: %v", name, err)
				} else if diff := cmp.Diff(want, got, equalAddr); diff != "" {
					t.Errorf("%s: %s", name, diff)
				}
			}
		})
	}
}

func TestParseRefuses(t *testing.T) {
	nodeConfig := func(spec string) string {
		return "apiVersion: node.eks.aws/v1alpha1\nkind: NodeConfig\nspec:\n" + spec
	}
	script := func(lines ...string) string { return "#!/bin/bash\n" + strings.Join(lines, "\n") }
	mime := func(kind, body string) string {
		return "Content-Type: multipart/mixed; boundary=b\n\n--b\nContent-Type: " + kind + "\n\n" + body + "\n--b--\n"
	}
	for _, test := range []struct{ name, data, want string }{
		{"prose", "hello", "none that an EKS node understands"},
		{"cloud-config", "#cloud-config\npackages: []", "#cloud-config"},
		{"broken gzip", "\x1f\x8b\x08junk", "decompressing"},
		{"a field that nothing honours", nodeConfig("  instance:\n    localStorage: {strategy: RAID0}\n"), "instance"},
		{"a kubelet setting", nodeConfig("  kubelet: {config: {shutdownGracePeriod: 30s}}\n"), "shutdownGracePeriod is not supported"},
		{"another version", "apiVersion: node.eks.aws/v2\nkind: NodeConfig\n", "node.eks.aws/v2"},
		{"not YAML", nodeConfig("\t:"), "reading the NodeConfig"},
		{"Outposts", nodeConfig("  cluster: {name: a, enableOutpost: true}\n"), "enableOutpost"},
		{"no pods", nodeConfig("  kubelet: {config: {maxPods: 0}}\n"), "maxPods is 0"},
		{"two DNS servers", nodeConfig("  kubelet: {config: {clusterDNS: [10.0.0.1, 10.0.0.2]}}\n"), "clusterDNS"},
		{"a flag", nodeConfig("  kubelet: {flags: [--v=9]}\n"), "--v is not supported"},
		{"a flag without value", nodeConfig("  kubelet: {flags: [--max-pods]}\n"), "--max-pods has no value"},
		{"a label", nodeConfig("  kubelet: {flags: [--node-labels=a]}\n"), `"a" is no label`},
		{"an effect", nodeConfig("  kubelet: {flags: ['--register-with-taints=k=v:Never']}\n"), "k=v:Never"},
		{"two clusters", nodeConfig("  cluster: {name: a}\n") + "---\n" + nodeConfig("  cluster: {name: b}\n"), `two clusters, "a" and "b"`},
		{"a script without bootstrap.sh", script("set -e"), "does not call /etc/eks/bootstrap.sh"},
		{"another command", script("yum install -y htop", "/etc/eks/bootstrap.sh a"), `line 2 of the user data's script runs "yum"`},
		{"a pipe", script("/etc/eks/bootstrap.sh a | tee log"), `"|" is not supported`},
		{"a command's result", script("X=$(curl http://169.254.169.254)"), "result of a command"},
		{"a variable that is not set", script("/etc/eks/bootstrap.sh $CLUSTER"), `"$CLUSTER" is not set`},
		{"an expansion", script("/etc/eks/bootstrap.sh ${A:-b}"), "expansion"},
		{"an open quotation", script("/etc/eks/bootstrap.sh 'a"), "does not end"},
		{"no cluster", script("/etc/eks/bootstrap.sh --use-max-pods false"), "without the name of a cluster"},
		{"bootstrap.sh's flag", script("/etc/eks/bootstrap.sh a --enable-local-outpost true"), "--enable-local-outpost of bootstrap.sh"},
		{"docker", script("/etc/eks/bootstrap.sh a --container-runtime dockerd"), "dockerd"},
		{"IPv6", script("/etc/eks/bootstrap.sh a --ip-family ipv6"), "ipv6"},
		{"a flag's value", script("/etc/eks/bootstrap.sh a --kubelet-extra-args"), "has no value"},
		{"kubelet's arguments", script("/etc/eks/bootstrap.sh a --kubelet-extra-args '--kube-reserved=cpu=1'"), "--kube-reserved is not supported"},
		{"a part's type", mime("text/cloud-boothook", "#!/bin/sh"), "text/cloud-boothook"},
		{"no boundary", "Content-Type: multipart/mixed\n\nx", "boundary"},
		{"a part cut off", "Content-Type: multipart/mixed; boundary=b\n\n--b\nContent-Type: application/node.eks.aws\n\nkind: x", "unexpected EOF"},
		{"Bottlerocket's host containers", "[settings.host-containers.admin]\nenabled = true\n[settings.kubernetes]\n", "settings.host-containers"},
		{"Bottlerocket's kubelet", "[settings.kubernetes]\npod-pids-limit = 3\n", "settings.kubernetes.pod-pids-limit"},
		{"not TOML", "[settings.kubernetes\n", "reading the Bottlerocket settings"},
	} {
		got, err := userdata.Parse([]byte(test.data))
		if err == nil || !strings.Contains(err.Error(), test.want) {
			t.Errorf("%s: %+v, %v; want an error with %q", test.name, got, err, test.want)
		}
	}
}

func TestParseBounds(t *testing.T) {
	if _, err := userdata.Parse(compress(t, make([]byte, 2<<20))); err == nil || !strings.Contains(err.Error(), "larger than") {
		t.Errorf("2 MiB of zeroes: %v", err)
	}
}

func FuzzParse(f *testing.F) {
	files, err := filepath.Glob("testdata/*")
	if err != nil {
		f.Fatal(err)
	}
	for _, file := range files {
		if data, err := os.ReadFile(file); err == nil { // not the directory of seeds
			f.Add(data)
		}
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		c, err := userdata.Parse(data)
		if err != nil {
			if diff := cmp.Diff(userdata.Config{}, c, equalAddr); diff != "" {
				t.Errorf("an error, and a result: %s", diff)
			}
			return
		}
		for key, value := range c.Labels {
			if key == "" || strings.ContainsAny(key+value, ", =\n") {
				t.Errorf("label %q=%q", key, value)
			}
		}
		for _, taint := range c.Taints {
			if taint.Key == "" || taint.Effect == "" {
				t.Errorf("taint %+v", taint)
			}
		}
		if c.MaxPods < 0 || c.MaxPods > 1000 {
			t.Errorf("%d pods", c.MaxPods)
		}
		again, err := userdata.Parse(data)
		if diff := cmp.Diff(c, again, equalAddr); err != nil || diff != "" {
			t.Errorf("a second time: %v %s", err, diff)
		}
	})
}
