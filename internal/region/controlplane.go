package region

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"net"
	"os"
	"time"

	"github.com/tarn-eks/tarn/internal/cluster"
	"github.com/tarn-eks/tarn/internal/namespace"
	"github.com/tarn-eks/tarn/internal/proc"
)

// controlPlaneGrace is what the API server has to end its connections.
const controlPlaneGrace = 5 * time.Second

// startControlPlane starts a cluster's control plane, or finds it started, and
// waits until its API server is ready.
func (r *Region) startControlPlane(ctx context.Context, c cluster.Config) error {
	r.mu.Lock()
	p := r.controlPlanes[c.Name]
	r.mu.Unlock()
	if p == nil {
		if err := r.network.vpc.AddAddress(c.Address); err != nil {
			return err
		}
		if err := c.Prepare(); err != nil {
			return err
		}
		if err := c.WriteConfig(); err != nil {
			return err
		}
		started, err := r.spawnControlPlane(c)
		if err != nil {
			return err
		}
		p = started
		r.mu.Lock()
		r.controlPlanes[c.Name] = p
		r.mu.Unlock()
	}
	if err := p.AwaitReady(ctx, c.Ready); err != nil {
		return err
	}
	return r.linkKubeconfig(c)
}

// spawnControlPlane starts the control-plane role in the VPC's namespace, and
// hands it the loopback listener: the port stays open while the role restarts.
func (r *Region) spawnControlPlane(c cluster.Config) (*proc.Process, error) {
	local, err := r.listen.api.(*net.TCPListener).File()
	if err != nil {
		return nil, fmt.Errorf("handing over the API server's port: %w", err)
	}
	name := "control-plane-" + c.Name
	inVPC := namespace.Set{Net: r.layout.namespace("vpc", "net")}
	return proc.Start(proc.Spec{
		Name:     name,
		Path:     "/proc/self/exe",
		Args:     []string{"tarn", "control-plane", "--config", c.ConfigFile()},
		Files:    []*os.File{local},
		LockFile: r.layout.childLock(name),
		LogFile:  r.layout.log(name),
		Start:    inVPC.Start,
		Grace:    controlPlaneGrace,
		Logger:   r.logger,
	})
}

// linkKubeconfig puts the cluster's kubeconfig where people look for it.
func (r *Region) linkKubeconfig(c cluster.Config) error {
	if err := os.Remove(r.layout.kubeconfig()); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("replacing the kubeconfig: %w", err)
	}
	if err := os.Symlink(c.Kubeconfig(), r.layout.kubeconfig()); err != nil {
		return fmt.Errorf("placing the kubeconfig: %w", err)
	}
	return nil
}
