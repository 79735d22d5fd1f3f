package nodegroups

import (
	"bytes"
	"encoding/base64"
	"fmt"
	"maps"
	"mime/multipart"
	"net/netip"
	"net/textproto"
	"slices"
	"strings"

	"go.yaml.in/yaml/v3"

	"github.com/tarn-eks/tarn/internal/instancetype"
	"github.com/tarn-eks/tarn/internal/service/eks"
	"github.com/tarn-eks/tarn/internal/userdata"
)

// nodeConfig is nodeadm's, as EKS writes it.
//
// https://awslabs.github.io/amazon-eks-ami/nodeadm/doc/api/
type nodeConfig struct {
	APIVersion string `yaml:"apiVersion"`
	Kind       string `yaml:"kind"`
	Spec       struct {
		Cluster struct {
			Name                 string `yaml:"name"`
			APIServerEndpoint    string `yaml:"apiServerEndpoint,omitempty"`
			CertificateAuthority string `yaml:"certificateAuthority,omitempty"`
			CIDR                 string `yaml:"cidr,omitempty"`
		} `yaml:"cluster"`
		Kubelet struct {
			Config struct {
				MaxPods    int      `yaml:"maxPods,omitempty"`
				ClusterDNS []string `yaml:"clusterDNS,omitempty"`
			} `yaml:"config"`
			Flags []string `yaml:"flags,omitempty"`
		} `yaml:"kubelet"`
	} `yaml:"spec"`
}

// userData is what an instance of the node group is told: a NodeConfig, with what
// the user data of the group's own launch template says of the node.
func userData(n eks.Nodegroup, c eks.Cluster, image, own string) ([]byte, error) {
	text, err := base64.StdEncoding.DecodeString(strings.Join(strings.Fields(own), ""))
	if err != nil {
		return nil, fmt.Errorf("it is no base64: %w", err)
	}
	said, err := userdata.Parse(text)
	if err != nil {
		return nil, err
	}
	var nc nodeConfig
	nc.APIVersion, nc.Kind = "node.eks.aws/v1alpha1", "NodeConfig"
	nc.Spec.Cluster.Name, nc.Spec.Cluster.APIServerEndpoint = n.Cluster, c.Endpoint.URL
	nc.Spec.Cluster.CertificateAuthority = base64.StdEncoding.EncodeToString(c.Endpoint.CA)
	config := &nc.Spec.Kubelet.Config
	if c.ServiceCIDR.IsValid() {
		nc.Spec.Cluster.CIDR = c.ServiceCIDR.String()
	}
	if said.ClusterDNS.IsValid() {
		config.ClusterDNS = []string{said.ClusterDNS.String()}
	} else if c.ServiceCIDR.IsValid() {
		config.ClusterDNS = []string{dnsOf(c.ServiceCIDR).String()}
	}
	if config.MaxPods = said.MaxPods; config.MaxPods == 0 {
		config.MaxPods = maxPods(types(n))
	}
	labels := maps.Clone(said.Labels)
	if labels == nil {
		labels = map[string]string{}
	}
	maps.Copy(labels, nodeLabels(n, image))
	var list []string
	for _, key := range slices.Sorted(maps.Keys(labels)) {
		list = append(list, key+"="+labels[key])
	}
	if len(list) > 0 {
		nc.Spec.Kubelet.Flags = append(nc.Spec.Kubelet.Flags, "--node-labels="+strings.Join(list, ","))
	}
	list = nil
	for _, t := range said.Taints {
		list = append(list, t.Key+"="+t.Value+":"+t.Effect)
	}
	for _, t := range n.Taints {
		list = append(list, t.Key+"="+t.Value+":"+t.Effect)
	}
	if len(list) > 0 {
		nc.Spec.Kubelet.Flags = append(nc.Spec.Kubelet.Flags, "--register-with-taints="+strings.Join(list, ","))
	}
	return document(nc)
}

// document is the NodeConfig in the archive that instances get.
func document(nc nodeConfig) ([]byte, error) {
	config, err := yaml.Marshal(nc)
	if err != nil {
		return nil, err
	}
	var body bytes.Buffer
	w := multipart.NewWriter(&body)
	if err := w.SetBoundary("//"); err != nil {
		return nil, err
	}
	part, err := w.CreatePart(textproto.MIMEHeader{"Content-Type": {"application/node.eks.aws"}})
	if err != nil {
		return nil, err
	}
	if _, err := part.Write(append([]byte("---\n"), config...)); err != nil {
		return nil, err
	}
	if err := w.Close(); err != nil {
		return nil, err
	}
	return append([]byte("MIME-Version: 1.0\nContent-Type: multipart/mixed; boundary=\"//\"\n\n"), body.Bytes()...), nil
}

// maxPods is what nodes of all the types can hold; 0, each its own, where they
// differ.
func maxPods(types []string) int {
	pods := 0
	for _, name := range types {
		t, err := instancetype.Lookup(name)
		if err != nil || pods > 0 && t.MaxPods() != pods {
			return 0
		}
		pods = t.MaxPods()
	}
	return pods
}

// dnsOf is a cluster's own resolver: the tenth address of its services.
func dnsOf(services netip.Prefix) netip.Addr {
	a := services.Masked().Addr()
	for range 10 {
		a = a.Next()
	}
	return a
}

// nodeLabels are the labels that EKS gives the nodes of a group.
func nodeLabels(n eks.Nodegroup, image string) map[string]string {
	labels := maps.Clone(n.Labels)
	if labels == nil {
		labels = map[string]string{}
	}
	if !n.Managed {
		return labels
	}
	labels["eks.amazonaws.com/nodegroup"] = n.Name
	labels["eks.amazonaws.com/capacityType"] = "ON_DEMAND"
	if n.Spot {
		labels["eks.amazonaws.com/capacityType"] = "SPOT"
	}
	if image != "" {
		labels["eks.amazonaws.com/nodegroup-image"] = image
	}
	if t := n.Template; t != nil {
		labels["eks.amazonaws.com/sourceLaunchTemplateId"] = t.ID
		labels["eks.amazonaws.com/sourceLaunchTemplateVersion"] = t.Version
	}
	return labels
}
