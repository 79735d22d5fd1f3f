package region

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
)

// Ports are the loopback ports that a region listens on.
type Ports struct {
	Endpoint int `json:"endpoint"` // AWS APIs
	API      int `json:"api"`      // Kubernetes API server of the region's own cluster
	Registry int `json:"registry"` // OCI registry
	DNS      int `json:"dns"`      // the host's view of Route 53, UDP and TCP
	HTTPS    int `json:"https"`    // load balancers by SNI
	HTTP     int `json:"http"`     // load balancers by Host
}

// Identity is what a region is from its first start on, also while it is down.
type Identity struct {
	Account string `json:"account"`
	Region  string `json:"region"`
	Cluster string `json:"cluster"` // the one that kubectl and status mean
	Ports   Ports  `json:"ports"`
}

// LoadIdentity reads a state directory's identity. It returns fs.ErrNotExist
// (wrapped) when there is no region.
func LoadIdentity(dataDir string) (Identity, error) {
	var id Identity
	file := layout(dataDir).identity()
	data, err := os.ReadFile(file)
	if err != nil {
		return id, err
	}
	if err := json.Unmarshal(data, &id); err != nil {
		return id, fmt.Errorf("the state directory %s is damaged: %s: %w; `tarn delete` removes it", dataDir, file, err)
	}
	return id, nil
}

func (id Identity) save(l layout) error {
	data, err := json.MarshalIndent(id, "", "  ")
	if err != nil {
		return fmt.Errorf("encoding the region's identity: %w", err)
	}
	tmp := l.identity() + ".tmp"
	if err := os.WriteFile(tmp, append(data, '\n'), 0o644); err != nil {
		return fmt.Errorf("writing the region's identity: %w", err)
	}
	if err := os.Rename(tmp, l.identity()); err != nil {
		return fmt.Errorf("writing the region's identity: %w", err)
	}
	return nil
}

// Exists says whether a state directory holds a region.
func Exists(dataDir string) bool {
	_, err := os.Stat(layout(dataDir).identity())
	return !errors.Is(err, fs.ErrNotExist)
}

// Endpoint is the URL of the AWS APIs.
func (id Identity) Endpoint() string { return fmt.Sprintf("http://127.0.0.1:%d", id.Ports.Endpoint) }
