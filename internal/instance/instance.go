// Package instance is an EC2 instance as a sandbox on this machine: a root file
// system, network, mount and UTS namespaces of its own, and one cgroup that
// enforces the CPU and memory of its type. What runs inside (kubelet,
// containerd, kube-proxy) is in instance/node; this package does not link them,
// and it knows neither AWS nor the store.
package instance

import (
	"encoding/json"
	"fmt"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
)

// Capacity is what an instance has and what EKS keeps back from pods.
type Capacity struct {
	VCPU              int
	MemoryMiB         int
	MaxPods           int
	ReservedCPUMilli  int // kube-reserved
	ReservedMemoryMiB int
	VolumeGiB         int // root volume
}

// Taint is a Kubernetes taint that the node registers with.
type Taint struct {
	Key, Value, Effect string
}

// Config describes one instance. As JSON, inside the instance's own root, it is
// what the instance role is started with.
type Config struct {
	ID       string // i-0123456789abcdef0
	NodeName string // ip-192-168-12-34.ap-northeast-2.compute.internal
	Region   string
	Zone     string
	Capacity Capacity

	// Address is the primary address of eth0; PodAddresses are the secondary
	// ones, which the CNI plugin hands to pods.
	Address      netip.Addr
	PodAddresses []netip.Addr
	MTU          int
	Resolver     netip.Addr // the VPC's DNS server

	// Node says that the instance joins a cluster. One that does not runs nothing
	// but the role's process, and the rest of this has no meaning for it.
	Node       bool
	ClusterDNS netip.Addr
	Labels     map[string]string
	Taints     []Taint

	// Registry is the URL, inside the VPC, that all images are pulled from.
	Registry   string
	PauseImage string

	// Cgroup is the instance's cgroup below the root of each hierarchy.
	Cgroup string
}

// ConfigFile is where the role finds its Config, inside the instance's root.
const ConfigFile = "/etc/tarn/instance.json"

// KubernetesDir holds the node's credentials (cluster.NodeCAFile and so on).
const KubernetesDir = "/etc/kubernetes"

// ProviderID is the node's name for cloud controllers.
func (c Config) ProviderID() string { return "aws:///" + c.Zone + "/" + c.ID }

// domain is the part of the node's name that private DNS names of its region
// have in common.
func (c Config) domain() string {
	_, domain, _ := strings.Cut(c.NodeName, ".")
	return domain
}

// LoadConfig reads the Config that the region wrote.
func LoadConfig(file string) (Config, error) {
	var c Config
	data, err := os.ReadFile(file)
	if err != nil {
		return c, fmt.Errorf("reading the instance's configuration: %w", err)
	}
	if err := json.Unmarshal(data, &c); err != nil {
		return c, fmt.Errorf("decoding %s: %w", file, err)
	}
	return c, nil
}

func (c Config) write(root string) error {
	data, err := json.MarshalIndent(c, "", "  ")
	if err != nil {
		return fmt.Errorf("encoding the configuration of %s: %w", c.ID, err)
	}
	return writeFiles(root, map[string]string{ConfigFile: string(data) + "\n"})
}

// writeFiles writes files below root, with their directories.
func writeFiles(root string, files map[string]string) error {
	for name, content := range files {
		path := filepath.Join(root, name)
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			return fmt.Errorf("making the directory of %s: %w", path, err)
		}
		if err := os.WriteFile(path, []byte(content), 0o644); err != nil {
			return fmt.Errorf("writing %s: %w", path, err)
		}
	}
	return nil
}
