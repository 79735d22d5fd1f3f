package region

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"net"
	"net/netip"
	"os"
	"sync"
	"time"

	"github.com/tarn-eks/tarn/internal/cluster"
	"github.com/tarn-eks/tarn/internal/instance"
	"github.com/tarn-eks/tarn/internal/instance/programs"
	"github.com/tarn-eks/tarn/internal/instancetype"
	"github.com/tarn-eks/tarn/internal/namespace"
	"github.com/tarn-eks/tarn/internal/proc"
	"github.com/tarn-eks/tarn/internal/service/ec2"
	"github.com/tarn-eks/tarn/internal/store"
	"github.com/tarn-eks/tarn/internal/subnet"
	"github.com/tarn-eks/tarn/internal/vpc"
)

const (
	// nodeGrace is what kubelet and containerd have to stop.
	nodeGrace = 5 * time.Second
	// podGrace is what pods' processes have when their instance stops.
	podGrace = 3 * time.Second
)

// host runs instances on this machine: it is the booting loop's Host.
type host struct {
	layout  layout
	account string
	region  string
	logger  *slog.Logger
	// network finds an instance's VPC, and subnet its subnet.
	network func(id string) (*network, error)
	subnet  func(ctx context.Context, id string) (subnet.Subnet, error)
	// covered waits until the VPC's firewall knows a network interface.
	covered func(ctx context.Context, eni string) error
	// cluster finds the cluster that an instance's bootstrap names.
	cluster func(ctx context.Context, name string) (cluster.Config, error)
	// deleteNode removes the Node of an instance that has ended, as the cloud's
	// node controller does.
	deleteNode func(ctx context.Context, cluster, node string) error
	// programs are those that every instance runs.
	programs func() (instance.Programs, error)

	mu        sync.Mutex // guards the fields below
	processes map[string]*proc.Process
	failures  map[string]failure // of the last attempts to boot, by instance
}

// failure is why an instance does not boot.
type failure struct {
	attempts int
	err      error
}

// carriedPrograms are those that this binary carries.
func carriedPrograms() (instance.Programs, error) {
	shim, err := programs.Shim()
	if err != nil {
		return instance.Programs{}, err
	}
	plugin, err := programs.CNI()
	return instance.Programs{Shim: shim, CNI: plugin}, err
}

// machine is what runs an instance; c is nil for one that joins no cluster.
func (h *host) machine(i ec2.Instance, n *network, c *cluster.Config) (instance.Machine, error) {
	t, err := instancetype.Lookup(i.Type)
	if err != nil {
		return instance.Machine{}, err
	}
	carried, err := h.programs()
	if err != nil {
		return instance.Machine{}, err
	}
	reserved := t.KubeReserved()
	labels := maps.Clone(i.Bootstrap.Labels)
	if labels == nil {
		labels = map[string]string{}
	}
	maps.Copy(labels, map[string]string{
		"beta.kubernetes.io/instance-type":         i.Type,
		"failure-domain.beta.kubernetes.io/region": h.region,
		"failure-domain.beta.kubernetes.io/zone":   i.Zone,
		"node.kubernetes.io/instance-type":         i.Type,
		"topology.kubernetes.io/region":            h.region,
		"topology.kubernetes.io/zone":              i.Zone,
	})
	var taints []instance.Taint
	for _, t := range i.Bootstrap.Taints {
		taints = append(taints, instance.Taint(t))
	}
	m := instance.Machine{
		Dir:      h.layout.instance(i.ID),
		Programs: carried,
		Namespaces: namespace.Set{
			Net:   h.layout.namespace(i.ID, "net"),
			Mount: h.layout.namespace(i.ID, "mnt"),
			UTS:   h.layout.namespace(i.ID, "uts"),
		},
		Config: instance.Config{
			ID: i.ID, NodeName: i.PrivateDNSName, Region: h.region, Zone: i.Zone,
			Capacity: instance.Capacity{
				VCPU: t.VCPUs, MemoryMiB: t.MemoryMiB, MaxPods: i.Bootstrap.MaxPods,
				ReservedCPUMilli: reserved.CPUMilli, ReservedMemoryMiB: reserved.MemoryMiB,
				VolumeGiB: i.VolumeGiB,
			},
			Address: i.Address, PodAddresses: i.PodAddresses, MTU: vpc.DefaultMTU,
			Resolver: subnet.Resolver(n.record.CIDR),
			Labels:   labels, Taints: taints,
			Registry:   "http://" + servicesAddress(n.record.CIDR).String(),
			PauseImage: pauseImage(h.region),
			Cgroup:     h.layout.cgroup() + "/" + i.ID,
		},
	}
	if c != nil {
		m.Config.Node, m.Config.ClusterDNS = true, i.Bootstrap.ClusterDNS
		if !i.Bootstrap.ClusterDNS.IsValid() {
			m.Config.ClusterDNS = c.DNSAddress()
		}
	}
	return m, nil
}

// Boot implements booting.Host.
func (h *host) Boot(ctx context.Context, i ec2.Instance) error {
	err := h.boot(ctx, i)
	h.mu.Lock()
	defer h.mu.Unlock()
	if err == nil {
		delete(h.failures, i.ID)
		return nil
	}
	h.failures[i.ID] = failure{h.failures[i.ID].attempts + 1, err}
	return err
}

// failure is what Boot has met, if its last attempt failed.
func (h *host) failure(id string) failure {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.failures[id]
}

func (h *host) boot(ctx context.Context, i ec2.Instance) error {
	h.mu.Lock()
	running := h.processes[i.ID] != nil
	h.mu.Unlock()
	if running {
		return nil
	}
	p, err := h.spawn(ctx, i)
	if err != nil {
		return fmt.Errorf("booting %s: %w", i.ID, err)
	}
	h.mu.Lock()
	defer h.mu.Unlock()
	h.processes[i.ID] = p
	return nil
}

func (h *host) spawn(ctx context.Context, i ec2.Instance) (*proc.Process, error) {
	n, err := h.network(i.VPC)
	if err != nil {
		return nil, err
	}
	joins, err := h.joins(ctx, i)
	if err != nil {
		return nil, err
	}
	m, err := h.machine(i, n, joins)
	if err != nil {
		return nil, err
	}
	if err := m.Prepare(); err != nil {
		return nil, err
	}
	if err := h.attach(ctx, i, n, m.Namespaces.Net); err != nil {
		return nil, err
	}
	if joins != nil {
		if err := joins.IssueNode(m.KubernetesDir(), cluster.Node{Name: i.PrivateDNSName, Address: i.Address}); err != nil {
			return nil, err
		}
	}
	return proc.Start(proc.Spec{
		Name: i.ID,
		// The path is resolved in the instance's root, where this program's own
		// place on the machine does not exist.
		Path:     "/proc/self/exe",
		Args:     []string{"tarn", "instance", "--config", instance.ConfigFile},
		Env:      []string{"PATH=" + instance.SearchPath, "HOME=/root"},
		LockFile: h.layout.childLock(i.ID),
		LogFile:  h.layout.log(i.ID),
		Start:    m.Start,
		Grace:    nodeGrace,
		Logger:   h.logger,
	})
}

// joins is the cluster that an instance becomes a node of, or nil. One whose user
// data names a cluster that does not exist runs without: as on EC2, it is told so
// on its console.
func (h *host) joins(ctx context.Context, i ec2.Instance) (*cluster.Config, error) {
	name := i.Bootstrap.Cluster
	if name == "" {
		return nil, nil
	}
	c, err := h.cluster(ctx, name)
	if errors.Is(err, store.ErrNotFound) {
		h.logger.Warn("an instance joins no cluster: that of its user data does not exist", "instance", i.ID, "cluster", name)
		return nil, consoles{h.layout}.say(i.ID, fmt.Sprintf("No cluster found for name: %s. This instance is no node; once the cluster exists, reboot it.", name))
	}
	if err != nil {
		return nil, err
	}
	return &c, nil
}

func (h *host) attach(ctx context.Context, i ec2.Instance, n *network, netns string) error {
	mac, err := net.ParseMAC(i.MAC)
	if err != nil {
		return fmt.Errorf("the MAC address of %s: %w", i.ENI, err)
	}
	subnet, err := h.subnet(ctx, i.Subnet)
	if err != nil {
		return err
	}
	err = n.vpc.Attach(vpc.ENI{
		ID:        i.ENI,
		Addresses: append([]netip.Addr{i.Address}, i.PodAddresses...),
		MAC:       mac,
		Subnet:    subnet,
		Namespace: netns,
	})
	if err != nil {
		return err
	}
	return h.covered(ctx, i.ENI)
}

// Halt implements booting.Host.
func (h *host) Halt(ctx context.Context, i ec2.Instance) error {
	if err := h.halt(ctx, i.ID); err != nil {
		return err
	}
	n, err := h.network(i.VPC)
	if err != nil {
		return nil //nolint:nilerr // the wire went with the VPC
	}
	if err := n.vpc.Detach(i.ENI); err != nil {
		return fmt.Errorf("stopping %s: %w", i.ID, err)
	}
	return nil
}

// End implements booting.Host.
func (h *host) End(ctx context.Context, i ec2.Instance) error {
	if err := h.Halt(ctx, i); err != nil {
		return err
	}
	if i.Bootstrap.Cluster != "" {
		if err := h.deleteNode(ctx, i.Bootstrap.Cluster, i.PrivateDNSName); err != nil {
			return fmt.Errorf("ending %s: %w", i.ID, err)
		}
	}
	if err := os.RemoveAll(h.layout.instance(i.ID)); err != nil {
		return fmt.Errorf("removing the volume of %s: %w", i.ID, err)
	}
	return os.RemoveAll(h.layout.childLock(i.ID))
}

// halt stops what runs in an instance and gives its namespaces and cgroup back.
// Its disk stays.
func (h *host) halt(ctx context.Context, id string) error {
	h.mu.Lock()
	p := h.processes[id]
	delete(h.processes, id)
	h.mu.Unlock()
	if p != nil {
		p.Stop()
	}
	m := h.remains(id)
	if err := m.Stop(ctx, podGrace); err != nil {
		return fmt.Errorf("stopping %s: %w", id, err)
	}
	if err := m.Release(ctx); err != nil {
		return fmt.Errorf("stopping %s: %w", id, err)
	}
	return nil
}

// remains is the machine of an instance of which only the id is known.
func (h *host) remains(id string) instance.Machine {
	return instance.Machine{
		Namespaces: namespace.Set{
			Net:   h.layout.namespace(id, "net"),
			Mount: h.layout.namespace(id, "mnt"),
			UTS:   h.layout.namespace(id, "uts"),
		},
		Config: instance.Config{ID: id, Cgroup: h.layout.cgroup() + "/" + id},
	}
}

// stop halts every instance that runs, all at once.
func (h *host) stop(ctx context.Context) error {
	h.mu.Lock()
	ids := make([]string, 0, len(h.processes))
	for id := range h.processes {
		ids = append(ids, id)
	}
	h.mu.Unlock()
	errs := make([]error, len(ids))
	var wait sync.WaitGroup
	for n, id := range ids {
		wait.Go(func() { errs[n] = h.halt(ctx, id) })
	}
	wait.Wait()
	return errors.Join(errs...)
}

// process is the child that runs an instance, or nil.
func (h *host) process(id string) *proc.Process {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.processes[id]
}
