package cluster

import (
	"bytes"
	"crypto/rsa"
	"crypto/tls"
	"crypto/x509"
	"encoding/pem"
	"io/fs"
	"net"
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"k8s.io/client-go/tools/clientcmd"
)

func testConfig(t *testing.T) Config {
	t.Helper()
	return Config{
		Name: "eks-work", Region: "ap-northeast-2", ID: "0123456789ABCDEF0123456789ABCDEF",
		Dir: filepath.Join(t.TempDir(), "eks-work"), Etcd: "unix:///run/etcd.sock",
		Address: netip.MustParseAddr("192.168.3.4"), LocalAddress: "127.0.0.1:6443",
		ServiceCIDR: netip.MustParsePrefix("10.100.0.0/16"),
	}
}

func prepared(t *testing.T) Config {
	t.Helper()
	c := testConfig(t)
	if err := c.Prepare(); err != nil {
		t.Fatal(err)
	}
	return c
}

func read(t *testing.T, file string) []byte {
	t.Helper()
	data, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	return data
}

func pool(t *testing.T, file string) *x509.CertPool {
	t.Helper()
	pool := x509.NewCertPool()
	if !pool.AppendCertsFromPEM(read(t, file)) {
		t.Fatalf("%s holds no certificate", file)
	}
	return pool
}

// pair loads a certificate with the key that belongs to it.
func pair(t *testing.T, cert, key []byte) *x509.Certificate {
	t.Helper()
	p, err := tls.X509KeyPair(cert, key)
	if err != nil {
		t.Fatal(err)
	}
	return p.Leaf
}

func verify(t *testing.T, name string, cert *x509.Certificate, roots *x509.CertPool, usage x509.ExtKeyUsage) {
	t.Helper()
	if _, err := cert.Verify(x509.VerifyOptions{Roots: roots, KeyUsages: []x509.ExtKeyUsage{usage}}); err != nil {
		t.Errorf("%s: %v", name, err)
	}
	for _, other := range []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth, x509.ExtKeyUsageServerAuth} {
		if _, err := cert.Verify(x509.VerifyOptions{Roots: roots, KeyUsages: []x509.ExtKeyUsage{other}}); err == nil && other != usage {
			t.Errorf("%s is good for more than it is for", name)
		}
	}
}

// checkKubeconfig wants a kubeconfig whose user the API server at the address
// takes for what is wanted.
func checkKubeconfig(t *testing.T, c Config, file, server, user string, groups ...string) {
	t.Helper()
	config, err := clientcmd.BuildConfigFromFlags("", file)
	if err != nil {
		t.Error(err)
		return
	}
	if config.Host != server {
		t.Errorf("%s leads to %s, want %s", file, config.Host, server)
	}
	if !bytes.Equal(config.CAData, read(t, c.CAFile())) {
		t.Errorf("%s trusts another CA", file)
	}
	cert := pair(t, config.CertData, config.KeyData)
	verify(t, file, cert, pool(t, c.CAFile()), x509.ExtKeyUsageClientAuth)
	if cert.Subject.CommonName != user || !slices.Equal(cert.Subject.Organization, groups) {
		t.Errorf("%s is of %s in %v, want %s in %v", file, cert.Subject.CommonName, cert.Subject.Organization, user, groups)
	}
}

func TestKubeconfigs(t *testing.T) {
	c := prepared(t)
	const inVPC = "https://192.168.3.4:443"
	checkKubeconfig(t, c, c.Kubeconfig(), "https://127.0.0.1:6443", "kubernetes-admin", "system:masters")
	checkKubeconfig(t, c, c.ComponentKubeconfig("control-plane"), inVPC, "eks:cluster-bootstrap", "system:masters")
	checkKubeconfig(t, c, c.ComponentKubeconfig("controller-manager"), inVPC, "system:kube-controller-manager")
	checkKubeconfig(t, c, c.ComponentKubeconfig("scheduler"), inVPC, "system:kube-scheduler")

	// The names are eksctl's.
	raw, err := clientcmd.LoadFromFile(c.Kubeconfig())
	if err != nil {
		t.Fatal(err)
	}
	if want := "kubernetes-admin@eks-work.ap-northeast-2.eksctl.io"; raw.CurrentContext != want {
		t.Errorf("context %s, want %s", raw.CurrentContext, want)
	}
	if context := raw.Contexts[raw.CurrentContext]; context == nil || context.Cluster != "eks-work.ap-northeast-2.eksctl.io" {
		t.Errorf("%+v", context)
	}
}

func TestCertificates(t *testing.T) {
	c := prepared(t)
	ca, frontProxy := pool(t, c.CAFile()), pool(t, c.PKI("front-proxy-ca.crt"))
	load := func(name string) *x509.Certificate {
		return pair(t, read(t, c.PKI(name+".crt")), read(t, c.PKI(name+".key")))
	}
	server := load("apiserver")
	verify(t, "apiserver", server, ca, x509.ExtKeyUsageServerAuth)
	for _, name := range []string{
		"10.100.0.1", "192.168.3.4", "127.0.0.1", // Service, VPC, loopback
		"localhost", "kubernetes", "kubernetes.default", "kubernetes.default.svc", "kubernetes.default.svc.cluster.local",
		"0123456789ABCDEF0123456789ABCDEF.gr7.ap-northeast-2.eks.amazonaws.com",
	} {
		if err := server.VerifyHostname(name); err != nil {
			t.Error(err)
		}
	}
	if err := server.VerifyHostname("192.168.3.5"); err == nil {
		t.Error("the API server's certificate is good for another address")
	}
	verify(t, "apiserver-kubelet-client", load("apiserver-kubelet-client"), ca, x509.ExtKeyUsageClientAuth)
	proxy := load("front-proxy-client")
	verify(t, "front-proxy-client", proxy, frontProxy, x509.ExtKeyUsageClientAuth)
	// What the front proxy's CA signs must not pass for a user.
	if _, err := proxy.Verify(x509.VerifyOptions{Roots: ca, KeyUsages: []x509.ExtKeyUsage{x509.ExtKeyUsageAny}}); err == nil {
		t.Error("the cluster's CA signed the front proxy's certificate")
	}

	block, _ := pem.Decode(read(t, c.PKI("sa.key")))
	key, err := x509.ParsePKCS8PrivateKey(block.Bytes)
	if err != nil {
		t.Fatal(err)
	}
	block, _ = pem.Decode(read(t, c.PKI("sa.pub")))
	public, err := x509.ParsePKIXPublicKey(block.Bytes)
	if err != nil {
		t.Fatal(err)
	}
	if !key.(*rsa.PrivateKey).PublicKey.Equal(public) {
		t.Error("sa.pub is not that of sa.key")
	}
}

func TestPrepareAgain(t *testing.T) {
	c := prepared(t)
	before := map[string][]byte{}
	for _, name := range []string{"ca.crt", "ca.key", "front-proxy-ca.crt", "front-proxy-ca.key", "sa.key", "sa.pub", "apiserver.crt"} {
		before[name] = read(t, c.PKI(name))
	}
	// A port that changed is in the new kubeconfig; what was signed before stays good.
	c.LocalAddress = "127.0.0.1:7443"
	if err := c.Prepare(); err != nil {
		t.Fatal(err)
	}
	for name, data := range before {
		if same := bytes.Equal(data, read(t, c.PKI(name))); same != (name != "apiserver.crt") {
			t.Errorf("%s: the same %v", name, same)
		}
	}
	checkKubeconfig(t, c, c.Kubeconfig(), "https://127.0.0.1:7443", "kubernetes-admin", "system:masters")
}

// A damaged CA is not replaced: everything that it signed would be void.
func TestPrepareKeepsADamagedCA(t *testing.T) {
	c := prepared(t)
	if err := os.WriteFile(c.PKI("ca.key"), []byte("half a k"), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := c.Prepare(); err == nil {
		t.Error("no error")
	}
	if got := read(t, c.PKI("ca.key")); string(got) != "half a k" {
		t.Error("the CA's key was replaced")
	}
}

// checkModes wants that nobody but the owner reads what is secret below dir.
func checkModes(t *testing.T, dir string, secret func(name string) bool) {
	t.Helper()
	seen := 0
	err := filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		info, err := d.Info()
		if err != nil {
			return err
		}
		switch mode := info.Mode().Perm(); {
		case d.IsDir():
			if mode != 0o700 {
				t.Errorf("directory %s has mode %o", path, mode)
			}
		case secret(d.Name()):
			seen++
			if mode != 0o600 {
				t.Errorf("%s has mode %o", path, mode)
			}
		case mode&0o022 != 0:
			t.Errorf("others write %s: %o", path, mode)
		}
		return nil
	})
	if err != nil || seen == 0 {
		t.Errorf("%d secrets in %s, %v", seen, dir, err)
	}
}

func secret(name string) bool {
	return slices.Contains([]string{".key", ".kubeconfig", ".json"}, filepath.Ext(name))
}

func TestFileModes(t *testing.T) {
	c := prepared(t)
	if err := c.WriteConfig(); err != nil {
		t.Fatal(err)
	}
	checkModes(t, c.Dir, secret)
	if err := c.Prepare(); err != nil {
		t.Fatal(err)
	}
	checkModes(t, c.Dir, secret)
	dir := filepath.Join(t.TempDir(), "kubernetes")
	if err := c.IssueNode(dir, Node{Name: "n", Address: netip.MustParseAddr("192.168.0.9")}); err != nil {
		t.Fatal(err)
	}
	checkModes(t, dir, secret)
}

func TestIssueNode(t *testing.T) {
	c := prepared(t)
	const name = "ip-192-168-12-34.ap-northeast-2.compute.internal"
	dir := filepath.Join(t.TempDir(), "kubernetes")
	node := Node{Name: name, Address: netip.MustParseAddr("192.168.12.34")}
	for range 2 { // a node that boots again
		if err := c.IssueNode(dir, node); err != nil {
			t.Fatal(err)
		}
		file := func(name string) string { return filepath.Join(dir, name) }
		if !bytes.Equal(read(t, file(NodeCAFile)), read(t, c.CAFile())) {
			t.Error("the node has another CA")
		}
		serving := pair(t, read(t, file(NodeServingCert)), read(t, file(NodeServingKey)))
		verify(t, NodeServingCert, serving, pool(t, c.CAFile()), x509.ExtKeyUsageServerAuth)
		for _, host := range []string{name, "192.168.12.34"} {
			if err := serving.VerifyHostname(host); err != nil {
				t.Error(err)
			}
		}
		if len(serving.DNSNames) != 1 || len(serving.IPAddresses) != 1 || !serving.IPAddresses[0].Equal(net.IPv4(192, 168, 12, 34)) {
			t.Errorf("the certificate is good for %v and %v", serving.DNSNames, serving.IPAddresses)
		}
		checkKubeconfig(t, c, file(NodeKubeletKubeconfig), "https://192.168.3.4:443", "system:node:"+name, "system:nodes")
		checkKubeconfig(t, c, file(NodeProxyKubeconfig), "https://192.168.3.4:443", "system:kube-proxy")
	}
	if _, err := os.Stat(filepath.Join(dir, "ca.key")); err == nil {
		t.Error("the node has the CA's key")
	}
}

func TestConfigRoundTrip(t *testing.T) {
	c := testConfig(t)
	if err := os.MkdirAll(c.Dir, 0o700); err != nil {
		t.Fatal(err)
	}
	if err := c.WriteConfig(); err != nil {
		t.Fatal(err)
	}
	got, err := LoadConfig(c.ConfigFile())
	if err != nil {
		t.Fatal(err)
	}
	equal := cmp.Options{
		cmp.Comparer(func(a, b netip.Addr) bool { return a == b }),
		cmp.Comparer(func(a, b netip.Prefix) bool { return a == b }),
	}
	if diff := cmp.Diff(c, got, equal); diff != "" {
		t.Error(diff)
	}
	if err := os.WriteFile(c.ConfigFile(), []byte("{"), 0o600); err != nil {
		t.Fatal(err)
	}
	for _, file := range []string{c.ConfigFile(), c.ConfigFile() + ".missing"} {
		if _, err := LoadConfig(file); err == nil || !bytes.Contains([]byte(err.Error()), []byte(file)) {
			t.Errorf("%s: %v", file, err)
		}
	}
}

func TestNth(t *testing.T) {
	for _, test := range []struct {
		prefix string
		n      int
		want   string
	}{
		{"10.100.0.0/16", 0, "10.100.0.0"},
		{"10.100.0.0/16", 1, "10.100.0.1"},
		{"10.100.0.0/16", 10, "10.100.0.10"},
		{"10.100.3.7/16", 10, "10.100.0.10"}, // the prefix counts, not the address
		{"10.0.0.250/24", 256, "10.0.1.0"},
		{"fd00::/108", 10, "fd00::a"},
	} {
		if got := nth(netip.MustParsePrefix(test.prefix), test.n); got.String() != test.want {
			t.Errorf("nth(%s, %d) = %s, want %s", test.prefix, test.n, got, test.want)
		}
	}
}

func TestNames(t *testing.T) {
	c := testConfig(t)
	for got, want := range map[string]string{
		c.Issuer():              "https://oidc.eks.ap-northeast-2.amazonaws.com/id/0123456789ABCDEF0123456789ABCDEF",
		c.EndpointName():        "0123456789ABCDEF0123456789ABCDEF.gr7.ap-northeast-2.eks.amazonaws.com",
		c.DNSAddress().String(): "10.100.0.10",
		c.EtcdPrefix():          "/registry/0123456789ABCDEF0123456789ABCDEF",
	} {
		if got != want {
			t.Errorf("%s, want %s", got, want)
		}
	}
}

// The cloud provider learns from its file what an instance would ask its metadata.
func TestCloudConfig(t *testing.T) {
	c := testConfig(t)
	c.VPC, c.Subnet = "vpc-1", "subnet-1"
	if err := c.Prepare(); err != nil {
		t.Fatal(err)
	}
	got := string(read(t, c.CloudConfigFile()))
	for _, want := range []string{
		"[Global]\n", "Region = \"" + c.Region + "\"\n", "VPC = \"" + c.VPC + "\"\n",
		"SubnetID = \"" + c.Subnet + "\"\n", "KubernetesClusterID = \"" + c.Name + "\"\n",
	} {
		if !strings.Contains(got, want) {
			t.Errorf("%q is not in\n%s", want, got)
		}
	}
}
