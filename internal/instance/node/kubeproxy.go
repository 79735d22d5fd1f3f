package node

import (
	"context"
	"fmt"
	"os"
	"path/filepath"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	componentconfig "k8s.io/component-base/config/v1alpha1"
	proxyconfig "k8s.io/kube-proxy/config/v1alpha1"
	kubeproxy "k8s.io/kubernetes/cmd/kube-proxy/app"
	"sigs.k8s.io/yaml"

	"github.com/tarn-eks/tarn/internal/cluster"
	"github.com/tarn-eks/tarn/internal/instance"
)

const kubeProxyConfig = "/etc/kubernetes/kube-proxy/config.yaml"

// kubeProxyConfiguration leaves the machine's kernel settings alone.
func kubeProxyConfiguration(c instance.Config) proxyconfig.KubeProxyConfiguration {
	keep := int32(0)
	config := proxyconfig.KubeProxyConfiguration{
		TypeMeta:           metav1.TypeMeta{APIVersion: "kubeproxy.config.k8s.io/v1alpha1", Kind: "KubeProxyConfiguration"},
		Mode:               "nftables",
		HostnameOverride:   c.NodeName,
		BindAddress:        "0.0.0.0",
		MetricsBindAddress: "0.0.0.0:10249",
		HealthzBindAddress: "0.0.0.0:10256",
		ClientConnection: componentconfig.ClientConnectionConfiguration{
			Kubeconfig: filepath.Join(instance.KubernetesDir, cluster.NodeProxyKubeconfig),
		},
		// The connection-tracking table's size belongs to the machine.
		Conntrack: proxyconfig.KubeProxyConntrackConfiguration{
			MaxPerCore:            &keep,
			Min:                   &keep,
			TCPEstablishedTimeout: &metav1.Duration{},
			TCPCloseWaitTimeout:   &metav1.Duration{},
		},
	}
	if score := oomScore(); score != 0 {
		config.OOMScoreAdj = &score
	} else {
		config.OOMScoreAdj = &keep
	}
	return config
}

// runKubeProxy goes through kube-proxy's own command, its only public door.
func runKubeProxy(ctx context.Context, c instance.Config) error {
	data, err := yaml.Marshal(kubeProxyConfiguration(c))
	if err != nil {
		return fmt.Errorf("encoding its configuration: %w", err)
	}
	if err := os.MkdirAll(filepath.Dir(kubeProxyConfig), 0o755); err != nil {
		return fmt.Errorf("making the directory of %s: %w", kubeProxyConfig, err)
	}
	if err := os.WriteFile(kubeProxyConfig, data, 0o644); err != nil {
		return fmt.Errorf("writing %s: %w", kubeProxyConfig, err)
	}
	cmd := kubeproxy.NewProxyCommand()
	cmd.SilenceUsage = true
	cmd.SetArgs([]string{"--config", kubeProxyConfig})
	return cmd.ExecuteContext(ctx)
}
