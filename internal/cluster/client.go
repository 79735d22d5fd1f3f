package cluster

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"time"

	v1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/tools/clientcmd"
)

// ConfigFile is what the control-plane role is started with.
func (c Config) ConfigFile() string { return filepath.Join(c.Dir, "cluster.json") }

// WriteConfig writes ConfigFile.
func (c Config) WriteConfig() error {
	data, err := json.MarshalIndent(c, "", "  ")
	if err != nil {
		return fmt.Errorf("encoding cluster %s: %w", c.Name, err)
	}
	if err := os.WriteFile(c.ConfigFile(), append(data, '\n'), 0o600); err != nil {
		return fmt.Errorf("writing cluster %s: %w", c.Name, err)
	}
	return nil
}

// LoadConfig reads what WriteConfig wrote.
func LoadConfig(file string) (Config, error) {
	var c Config
	data, err := os.ReadFile(file)
	if err != nil {
		return c, fmt.Errorf("reading the cluster's configuration: %w", err)
	}
	if err := json.Unmarshal(data, &c); err != nil {
		return c, fmt.Errorf("decoding %s: %w", file, err)
	}
	return c, nil
}

// Client is a client of the cluster, as its administrator, from the host.
func (c Config) Client() (*kubernetes.Clientset, error) {
	config, err := clientcmd.BuildConfigFromFlags("", c.Kubeconfig())
	if err != nil {
		return nil, fmt.Errorf("loading the kubeconfig of cluster %s: %w", c.Name, err)
	}
	config.QPS = -1
	client, err := kubernetes.NewForConfig(config)
	if err != nil {
		return nil, fmt.Errorf("making a client of cluster %s: %w", c.Name, err)
	}
	return client, nil
}

// Ready returns nil when the API server says that it is ready.
func (c Config) Ready(ctx context.Context) error {
	client, err := c.Client()
	if err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(ctx, 2*time.Second)
	defer cancel()
	var status int
	err = client.Discovery().RESTClient().Get().AbsPath("/readyz").Do(ctx).StatusCode(&status).Error()
	if err != nil {
		return err
	}
	if status != http.StatusOK {
		return fmt.Errorf("the API server answers %d", status)
	}
	return nil
}

// NodeReady says whether the node of that name is among nodes, is Ready and has
// said so since a time (what an earlier run has left does not count), and takes
// pods: its not-ready taint is gone.
func NodeReady(nodes []v1.Node, name string, since time.Time) bool {
	i := slices.IndexFunc(nodes, func(n v1.Node) bool { return n.Name == name })
	if i < 0 {
		return false
	}
	if slices.ContainsFunc(nodes[i].Spec.Taints, func(t v1.Taint) bool { return t.Key == v1.TaintNodeNotReady || t.Key == v1.TaintNodeUnreachable }) {
		return false
	}
	return slices.ContainsFunc(nodes[i].Status.Conditions, func(c v1.NodeCondition) bool {
		// Kubernetes keeps whole seconds.
		fresh := !c.LastHeartbeatTime.Time.Before(since.Truncate(time.Second))
		return c.Type == v1.NodeReady && c.Status == v1.ConditionTrue && fresh
	})
}

// Usable returns nil when a pod can be made: the default service account is
// there, which the controller manager makes soon after it starts.
func (c Config) Usable(ctx context.Context, client *kubernetes.Clientset) error {
	_, err := client.CoreV1().ServiceAccounts(metav1.NamespaceDefault).Get(ctx, "default", metav1.GetOptions{})
	return err
}
