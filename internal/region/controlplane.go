package region

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io/fs"
	"net"
	"net/netip"
	"net/url"
	"os"
	"strconv"
	"sync"
	"sync/atomic"
	"time"

	"github.com/tarn-eks/tarn/internal/cluster"
	"github.com/tarn-eks/tarn/internal/namespace"
	"github.com/tarn-eks/tarn/internal/proc"
	"github.com/tarn-eks/tarn/internal/service/eks"
)

// controlPlaneGrace is what the API server has to end its connections.
const controlPlaneGrace = 5 * time.Second

// controlPlane is one that runs.
type controlPlane struct {
	config  cluster.Config
	process *proc.Process
	local   net.Listener // on the host
	handed  *os.File     // local, as the process inherits it at each start
	ready   atomic.Bool  // it has served, and has what every cluster has

	end   context.CancelFunc // of what runs beside it
	tasks sync.WaitGroup
}

// stop ends the control plane. It may be called on one that has half started.
func (p *controlPlane) stop() error {
	p.end()
	p.tasks.Wait()
	if p.process != nil {
		p.process.Stop()
	}
	if p.handed != nil { // it keeps the port open too
		_ = p.handed.Close()
	}
	if err := p.local.Close(); !errors.Is(err, net.ErrClosed) {
		return err
	}
	return nil
}

// controlPlanes runs clusters' control planes on this machine: it is the
// provisioning loop's Host.
type controlPlanes struct{ *Region }

// Start implements provisioning.Host.
func (r controlPlanes) Start(ctx context.Context, c eks.Cluster) (eks.Endpoint, error) {
	p, err := r.ensureControlPlane(ctx, c)
	if err != nil {
		return eks.Endpoint{}, err
	}
	if err := p.process.AwaitReady(ctx, p.config.Ready); err != nil {
		return eks.Endpoint{}, err
	}
	if err := r.applySystem(ctx, p.config); err != nil {
		return eks.Endpoint{}, err
	}
	if c.Name == r.cluster() {
		if err := r.linkKubeconfig(p.config); err != nil {
			return eks.Endpoint{}, err
		}
	}
	ca, err := os.ReadFile(p.config.CAFile())
	if err != nil {
		return eks.Endpoint{}, fmt.Errorf("reading the CA of cluster %s: %w", c.Name, err)
	}
	p.ready.Store(true)
	return eks.Endpoint{URL: "https://" + p.config.LocalAddress, CA: ca}, nil
}

// ensureControlPlane starts a control plane's process, or finds it started.
func (r *Region) ensureControlPlane(ctx context.Context, c eks.Cluster) (*controlPlane, error) {
	if p := r.controlPlane(c.Name); p != nil {
		return p, nil
	}
	if err := r.openNetworks(ctx); err != nil {
		return nil, err
	}
	n, err := r.networkOf(c.VPC)
	if err != nil {
		return nil, err
	}
	if err := n.vpc.AddAddress(c.Network.Address); err != nil {
		return nil, err
	}
	local, err := r.listenAPI(c)
	if err != nil {
		return nil, err
	}
	config := r.describe(c)
	config.LocalAddress = local.Addr().String()
	p := &controlPlane{config: config, local: local}
	background, end := context.WithCancel(r.background)
	p.end = end
	if err := r.launch(ctx, background, n, p); err != nil {
		return nil, errors.Join(err, p.stop())
	}
	r.mu.Lock()
	r.controlPlanes[c.Name] = p
	r.mu.Unlock()
	return p, nil
}

// launch writes what the control plane needs and starts it with its webhooks.
func (r *Region) launch(ctx, background context.Context, n *network, p *controlPlane) error {
	if err := p.config.Prepare(); err != nil {
		return err
	}
	if err := r.writeWebhooks(p.config); err != nil {
		return err
	}
	if err := p.config.WriteConfig(); err != nil {
		return err
	}
	hooks, err := n.vpc.Listen(ctx, "tcp4", netip.AddrPortFrom(p.config.Address, webhookPort).String())
	if err != nil {
		return fmt.Errorf("listening for the webhooks of cluster %s: %w", p.config.Name, err)
	}
	pair, err := tls.LoadX509KeyPair(p.config.PKI("apiserver.crt"), p.config.PKI("apiserver.key"))
	if err != nil {
		return errors.Join(fmt.Errorf("loading the certificate of cluster %s: %w", p.config.Name, err), hooks.Close())
	}
	hooks = tls.NewListener(hooks, &tls.Config{Certificates: []tls.Certificate{pair}, MinVersion: tls.VersionTLS12})
	r.runUntil(background, &p.tasks, "webhooks of cluster "+p.config.Name, serve(hooks, plainServer(r.webhooks(n, p.config))))
	credentials, err := r.serveCloudCredentials(ctx, background, n, p)
	if err != nil {
		return err
	}
	p.process, err = r.spawnControlPlane(n, p, credentials.environment(r.identity.Region, endpointInVPC(n.record.CIDR)))
	return err
}

// spawnControlPlane starts the control-plane role in the VPC's namespace, and
// hands it the loopback listener: the port stays open while the role restarts.
func (r *Region) spawnControlPlane(n *network, p *controlPlane, environment []string) (*proc.Process, error) {
	var err error
	if p.handed, err = p.local.(*net.TCPListener).File(); err != nil {
		return nil, fmt.Errorf("handing over the API server's port: %w", err)
	}
	name := "control-plane-" + p.config.Name
	inVPC := namespace.Set{Net: r.layout.namespace(n.record.ID, "net")}
	return proc.Start(proc.Spec{
		Name:     name,
		Path:     "/proc/self/exe",
		Args:     []string{"tarn", "control-plane", "--config", p.config.ConfigFile()},
		Env:      environment,
		Files:    []*os.File{p.handed},
		LockFile: r.layout.childLock(name),
		LogFile:  r.layout.log(name),
		Start:    inVPC.Start,
		Grace:    controlPlaneGrace,
		Logger:   r.logger,
	})
}

// listenAPI opens the loopback port of a cluster's API server: the region's own
// cluster has a known one, any other keeps the one that it got first.
func (r *Region) listenAPI(c eks.Cluster) (net.Listener, error) {
	if c.Name == r.cluster() {
		r.mu.Lock()
		defer r.mu.Unlock()
		l := r.listen.api
		r.listen.api = nil
		if l != nil {
			return l, nil
		}
		return listenLocal("Kubernetes API server", r.identity.Ports.API, false, "api-port")
	}
	port := 0
	if u, err := url.Parse(c.Endpoint.URL); err == nil && u.Port() != "" {
		port, _ = strconv.Atoi(u.Port()) // of a URL that this program wrote
	}
	return listenLocal("API server of cluster "+c.Name, port, false, "")
}

// Stop implements provisioning.Host.
func (r controlPlanes) Stop(ctx context.Context, c eks.Cluster) error {
	p := r.controlPlane(c.Name)
	if p != nil {
		if err := p.stop(); err != nil {
			return fmt.Errorf("stopping the control plane of %s: %w", c.Name, err)
		}
		r.mu.Lock()
		delete(r.controlPlanes, c.Name)
		r.mu.Unlock()
	}
	config := r.describe(c)
	if n, err := r.networkOf(c.VPC); err == nil && c.Network.Address.IsValid() {
		if err := n.vpc.RemoveAddress(c.Network.Address); err != nil {
			return err
		}
	}
	if err := r.store.DeletePrefix(ctx, config.EtcdPrefix()+"/"); err != nil {
		return fmt.Errorf("deleting the objects of cluster %s: %w", c.Name, err)
	}
	if c.Name == r.cluster() {
		if err := os.Remove(r.layout.kubeconfig()); err != nil && !errors.Is(err, fs.ErrNotExist) {
			return fmt.Errorf("removing the kubeconfig: %w", err)
		}
	}
	if err := os.RemoveAll(config.Dir); err != nil {
		return fmt.Errorf("removing the files of cluster %s: %w", c.Name, err)
	}
	return os.RemoveAll(r.layout.childLock("control-plane-" + c.Name))
}

// controlPlane finds the running control plane of a cluster, or returns nil.
func (r *Region) controlPlane(name string) *controlPlane {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.controlPlanes[name]
}

// cluster is the name of the region's own cluster, or "".
func (r *Region) cluster() string {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.identity.Cluster
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
