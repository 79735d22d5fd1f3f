package cluster

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"time"

	v1 "k8s.io/api/core/v1"
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

// NodeReady says whether the node of that name is among nodes, is Ready, and
// has said so since a time: what an earlier run has left does not count.
func NodeReady(nodes []v1.Node, name string, since time.Time) bool {
	for _, n := range nodes {
		if n.Name != name {
			continue
		}
		for _, condition := range n.Status.Conditions {
			if condition.Type == v1.NodeReady {
				// Kubernetes keeps whole seconds.
				fresh := !condition.LastHeartbeatTime.Time.Before(since.Truncate(time.Second))
				return condition.Status == v1.ConditionTrue && fresh
			}
		}
	}
	return false
}
