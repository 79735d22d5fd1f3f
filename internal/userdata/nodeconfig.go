package userdata

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"

	"go.yaml.in/yaml/v3"
)

const nodeConfigVersion = "node.eks.aws/v1alpha1"

func isNodeConfig(text string) bool {
	return strings.Contains(text, "kind: NodeConfig") || strings.Contains(text, "node.eks.aws/") || strings.Contains(text, `"NodeConfig"`)
}

// nodeConfig is nodeadm's. Decoding is strict: a field that is not here is an
// error that names it.
//
// https://awslabs.github.io/amazon-eks-ami/nodeadm/doc/api/
type nodeConfig struct {
	APIVersion string         `yaml:"apiVersion"`
	Kind       string         `yaml:"kind"`
	Metadata   map[string]any `yaml:"metadata"`
	Spec       struct {
		Cluster struct {
			Name                 string `yaml:"name"`
			APIServerEndpoint    string `yaml:"apiServerEndpoint"`
			CertificateAuthority string `yaml:"certificateAuthority"`
			CIDR                 string `yaml:"cidr"`
			ID                   string `yaml:"id"`
			EnableOutpost        bool   `yaml:"enableOutpost"`
		} `yaml:"cluster"`
		Kubelet struct {
			Config struct {
				// KubeletConfiguration's own, which some write.
				APIVersion string   `yaml:"apiVersion"`
				Kind       string   `yaml:"kind"`
				MaxPods    *int     `yaml:"maxPods"`
				ClusterDNS []string `yaml:"clusterDNS"`
				Taints     []struct {
					Key    string `yaml:"key"`
					Value  string `yaml:"value"`
					Effect string `yaml:"effect"`
				} `yaml:"registerWithTaints"`
			} `yaml:"config"`
			Flags []string `yaml:"flags"`
		} `yaml:"kubelet"`
	} `yaml:"spec"`
}

// parseNodeConfigs reads YAML documents; later ones add to earlier ones, as in
// nodeadm.
func (c *Config) parseNodeConfigs(text string) error {
	d := yaml.NewDecoder(bytes.NewReader([]byte(text)))
	d.KnownFields(true)
	for n := 0; ; n++ {
		var nc nodeConfig
		err := d.Decode(&nc)
		if errors.Is(err, io.EOF) && n > 0 {
			return nil
		}
		if err != nil {
			return fmt.Errorf("reading the NodeConfig: %w", explain(err))
		}
		if err := c.addNodeConfig(nc); err != nil {
			return fmt.Errorf("reading the NodeConfig: %w", err)
		}
	}
}

// explain says of fields that YAML does not know what that means here.
func explain(err error) error {
	if e, ok := errors.AsType[*yaml.TypeError](err); ok && slices.ContainsFunc(e.Errors, func(s string) bool { return strings.Contains(s, "not found in type") }) {
		var said []string
		for _, s := range e.Errors {
			before, _, _ := strings.Cut(s, " not found in type")
			said = append(said, before+" is not supported")
		}
		return errors.New(strings.Join(said, "; "))
	}
	if errors.Is(err, io.EOF) {
		return errors.New("it is empty")
	}
	return err
}

func (c *Config) addNodeConfig(nc nodeConfig) error {
	if nc.APIVersion != nodeConfigVersion || nc.Kind != "NodeConfig" {
		return fmt.Errorf("apiVersion %q and kind %q: want %s and NodeConfig", nc.APIVersion, nc.Kind, nodeConfigVersion)
	}
	cluster, kubelet := nc.Spec.Cluster, nc.Spec.Kubelet
	if cluster.EnableOutpost {
		return errors.New("spec.cluster.enableOutpost is not supported")
	}
	if err := c.setCluster(cluster.Name); err != nil {
		return err
	}
	if kubelet.Config.MaxPods != nil {
		if err := c.setMaxPods("spec.kubelet.config.maxPods", *kubelet.Config.MaxPods); err != nil {
			return err
		}
	}
	if dns := kubelet.Config.ClusterDNS; len(dns) > 0 {
		if err := c.setClusterDNS("spec.kubelet.config.clusterDNS", strings.Join(dns, ",")); err != nil {
			return err
		}
	}
	for _, t := range kubelet.Config.Taints {
		if err := c.addTaint(Taint{t.Key, t.Value, t.Effect}); err != nil {
			return err
		}
	}
	// Each flag is one argument; some write several into one.
	var words []string
	for _, f := range kubelet.Flags {
		words = append(words, strings.Fields(f)...)
	}
	return c.addKubeletFlags(words)
}
