// Package cluster is an EKS cluster as the region sees it: its addresses, the
// certificates and kubeconfigs of its users and nodes, and the add-ons that it
// starts with. The control plane itself is in controlplane, which links
// upstream Kubernetes; this package does not. It knows no AWS API: the region
// tells it names, addresses and directories.
package cluster

import (
	"crypto/x509"
	"fmt"
	"net"
	"net/netip"
	"os"
	"path/filepath"
	"time"

	"k8s.io/client-go/tools/clientcmd"
	clientcmdapi "k8s.io/client-go/tools/clientcmd/api"

	"github.com/tarn-eks/tarn/internal/pki"
)

// Version is the Kubernetes version that the linked-in modules are.
const Version = "1.37.2"

const certLifetime = 365 * 24 * time.Hour

// Config describes one cluster. It is also, as JSON, what the control-plane
// role is started with.
type Config struct {
	Name   string
	Region string
	// ID is the 32 hex digits that EKS puts into the endpoint's name.
	ID string
	// Dir holds the cluster's keys, certificates and kubeconfigs, mode 0700.
	Dir string
	// Etcd is the client URL of the region's etcd.
	Etcd string
	// Address is the API server's own address in the VPC; it listens there on
	// port 443. Nodes and pods use it.
	Address netip.Addr
	// LocalAddress is the loopback host:port where people reach the API server.
	LocalAddress string
	// ServiceCIDR is 10.100.0.0/16 on EKS.
	ServiceCIDR netip.Prefix
	// VPC and Subnet are where the cloud controller manager takes itself to be.
	VPC, Subnet string
}

// EndpointName is the DNS name of the API server, as EKS names it.
func (c Config) EndpointName() string {
	return c.ID + ".gr7." + c.Region + ".eks.amazonaws.com"
}

// Issuer is the OIDC issuer of the cluster's service-account tokens.
func (c Config) Issuer() string {
	return "https://oidc.eks." + c.Region + ".amazonaws.com/id/" + c.ID
}

// EtcdPrefix is where the API server keeps its objects in the region's etcd.
func (c Config) EtcdPrefix() string { return "/registry/" + c.ID }

// DNSAddress is the address of the cluster's DNS Service: base + 10.
func (c Config) DNSAddress() netip.Addr { return nth(c.ServiceCIDR, 10) }

// Kubeconfig is the file that people use.
func (c Config) Kubeconfig() string { return filepath.Join(c.Dir, "admin.kubeconfig") }

// CAFile is the certificate of the cluster's CA.
func (c Config) CAFile() string { return c.PKI("ca.crt") }

// PKI is the path of one of the cluster's keys or certificates.
func (c Config) PKI(name string) string { return filepath.Join(c.pkiDir(), name) }

// ComponentKubeconfig is the kubeconfig of one of the control plane's own users:
// controller-manager, cloud-controller-manager, scheduler, control-plane.
func (c Config) ComponentKubeconfig(name string) string {
	return filepath.Join(c.Dir, name+".kubeconfig")
}

// TokenWebhookFile tells the API server who authenticates bearer tokens.
func (c Config) TokenWebhookFile() string { return filepath.Join(c.Dir, "token-webhook.kubeconfig") }

// CloudConfigFile tells the cloud controller manager which cluster it is for.
func (c Config) CloudConfigFile() string { return filepath.Join(c.Dir, "cloud.conf") }

// AuthorizationFile tells the API server who is asked about access, in which order.
func (c Config) AuthorizationFile() string { return filepath.Join(c.Dir, "authorization.yaml") }

// AccessWebhookFile leads to who is asked after RBAC.
func (c Config) AccessWebhookFile() string { return filepath.Join(c.Dir, "access-webhook.kubeconfig") }

func (c Config) pkiDir() string { return filepath.Join(c.Dir, "pki") }

func (c Config) vpcServer() string {
	return "https://" + netip.AddrPortFrom(c.Address, 443).String()
}

// Prepare makes the cluster's keys, certificates and kubeconfigs. CAs and the
// service-account key are made once; what they sign is made anew each time.
func (c Config) Prepare() error {
	if err := os.MkdirAll(c.pkiDir(), 0o700); err != nil {
		return fmt.Errorf("making the directory of cluster %s: %w", c.Name, err)
	}
	ca, err := pki.EnsureCA(c.pkiDir(), "ca", "kubernetes")
	if err != nil {
		return err
	}
	frontProxyCA, err := pki.EnsureCA(c.pkiDir(), "front-proxy-ca", "front-proxy-ca")
	if err != nil {
		return err
	}
	if err := pki.EnsureRSAKey(c.pkiDir(), "sa"); err != nil {
		return err
	}
	client := []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth}
	certs := []struct {
		ca   *pki.CA
		name string
		req  pki.Request
	}{
		{ca, "apiserver", pki.Request{
			CommonName: "kube-apiserver",
			Usages:     []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth},
			DNSNames: []string{
				"kubernetes", "kubernetes.default", "kubernetes.default.svc",
				"kubernetes.default.svc.cluster.local", "localhost", c.EndpointName(),
			},
			IPs: []net.IP{
				net.IP(nth(c.ServiceCIDR, 1).AsSlice()), net.IP(c.Address.AsSlice()), net.IPv4(127, 0, 0, 1),
			},
		}},
		{ca, "apiserver-kubelet-client", pki.Request{CommonName: "kube-apiserver-kubelet-client", Usages: client}},
		{frontProxyCA, "front-proxy-client", pki.Request{CommonName: "front-proxy-client", Usages: client}},
	}
	for _, cert := range certs {
		cert.req.Lifetime = certLifetime
		pair, err := cert.ca.Issue(cert.req)
		if err != nil {
			return err
		}
		if err := pair.Write(c.pkiDir(), cert.name); err != nil {
			return err
		}
	}
	users := []struct {
		name, user, server string
		groups             []string
	}{
		{"controller-manager", "system:kube-controller-manager", c.vpcServer(), nil},
		{"cloud-controller-manager", "eks:cloud-controller-manager", c.vpcServer(), nil},
		{"scheduler", "system:kube-scheduler", c.vpcServer(), nil},
		// The user who made a cluster is in system:masters, as on EKS.
		{"control-plane", "eks:cluster-bootstrap", c.vpcServer(), []string{"system:masters"}},
		{"admin", "kubernetes-admin", "https://" + c.LocalAddress, []string{"system:masters"}},
	}
	for _, u := range users {
		if err := c.writeKubeconfig(ca, c.ComponentKubeconfig(u.name), u.server, u.user, u.groups); err != nil {
			return err
		}
	}
	return c.writeCloudConfig()
}

// writeCloudConfig writes what the AWS cloud provider would else ask the metadata
// service of an instance: a control plane has none.
//
// https://cloud-provider-aws.sigs.k8s.io/
func (c Config) writeCloudConfig() error {
	text := fmt.Sprintf("[Global]\nRegion = %q\nVPC = %q\nSubnetID = %q\nKubernetesClusterID = %q\n", c.Region, c.VPC, c.Subnet, c.Name)
	if err := os.WriteFile(c.CloudConfigFile(), []byte(text), 0o600); err != nil {
		return fmt.Errorf("writing the cloud configuration of cluster %s: %w", c.Name, err)
	}
	return nil
}

// Node is a machine that may join the cluster.
type Node struct {
	Name    string // ip-192-168-12-34.ap-northeast-2.compute.internal
	Address netip.Addr
}

// NodeFiles are a node's credentials, inside the directory given to IssueNode.
const (
	NodeCAFile            = "ca.crt"
	NodeServingCert       = "kubelet.crt"
	NodeServingKey        = "kubelet.key"
	NodeKubeletKubeconfig = "kubelet.kubeconfig"
	NodeProxyKubeconfig   = "kube-proxy.kubeconfig"
)

// IssueNode writes what a node needs to join into dir: the cluster's CA, the
// kubelet's serving certificate, and kubeconfigs for the kubelet (as
// system:node:<name>, which the Node authorizer confines) and kube-proxy.
func (c Config) IssueNode(dir string, node Node) error {
	ca, err := pki.EnsureCA(c.pkiDir(), "ca", "kubernetes")
	if err != nil {
		return err
	}
	serving, err := ca.Issue(pki.Request{
		CommonName:   "system:node:" + node.Name,
		Organization: []string{"system:nodes"},
		DNSNames:     []string{node.Name},
		IPs:          []net.IP{net.IP(node.Address.AsSlice())},
		Usages:       []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth},
		Lifetime:     certLifetime,
	})
	if err != nil {
		return err
	}
	if err := serving.Write(dir, "kubelet"); err != nil {
		return err
	}
	if err := os.WriteFile(filepath.Join(dir, NodeCAFile), ca.PEM(), 0o644); err != nil {
		return fmt.Errorf("writing the cluster's CA for %s: %w", node.Name, err)
	}
	if err := c.writeKubeconfig(ca, filepath.Join(dir, NodeKubeletKubeconfig), c.vpcServer(), "system:node:"+node.Name, []string{"system:nodes"}); err != nil {
		return err
	}
	return c.writeKubeconfig(ca, filepath.Join(dir, NodeProxyKubeconfig), c.vpcServer(), "system:kube-proxy", nil)
}

func (c Config) writeKubeconfig(ca *pki.CA, file, server, user string, groups []string) error {
	pair, err := ca.Issue(pki.Request{
		CommonName: user, Organization: groups,
		Usages: []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth}, Lifetime: certLifetime,
	})
	if err != nil {
		return err
	}
	// The context is named as `aws eks update-kubeconfig` users know it from eksctl.
	context := user + "@" + c.Name + "." + c.Region + ".eksctl.io"
	clusterName := c.Name + "." + c.Region + ".eksctl.io"
	config := clientcmdapi.Config{
		Clusters:       map[string]*clientcmdapi.Cluster{clusterName: {Server: server, CertificateAuthorityData: ca.PEM()}},
		AuthInfos:      map[string]*clientcmdapi.AuthInfo{context: {ClientCertificateData: pair.Cert, ClientKeyData: pair.Key}},
		Contexts:       map[string]*clientcmdapi.Context{context: {Cluster: clusterName, AuthInfo: context}},
		CurrentContext: context,
	}
	if err := clientcmd.WriteToFile(config, file); err != nil {
		return fmt.Errorf("writing the kubeconfig of %s: %w", user, err)
	}
	return nil
}

// nth is the n-th address of a prefix, the network's own being the 0th.
func nth(p netip.Prefix, n int) netip.Addr {
	addr := p.Masked().Addr()
	for range n {
		addr = addr.Next()
	}
	return addr
}
