// Package region is the whole: it knows every part, builds them, starts them in
// order and stops them in reverse. Nothing imports it but the command.
package region

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"sync"
	"time"

	"golang.org/x/sys/unix"

	"github.com/tarn-eks/tarn/internal/caller"
	"github.com/tarn-eks/tarn/internal/dns"
	"github.com/tarn-eks/tarn/internal/gateway"
	"github.com/tarn-eks/tarn/internal/healthcheck"
	"github.com/tarn-eks/tarn/internal/hostdns"
	"github.com/tarn-eks/tarn/internal/instance"
	"github.com/tarn-eks/tarn/internal/loop/balancing"
	"github.com/tarn-eks/tarn/internal/loop/filtering"
	"github.com/tarn-eks/tarn/internal/loop/naming"
	"github.com/tarn-eks/tarn/internal/loop/scaling"
	"github.com/tarn-eks/tarn/internal/metrics"
	"github.com/tarn-eks/tarn/internal/namespace"
	"github.com/tarn-eks/tarn/internal/pki"
	"github.com/tarn-eks/tarn/internal/proc"
	"github.com/tarn-eks/tarn/internal/proxy"
	"github.com/tarn-eks/tarn/internal/registry"
	"github.com/tarn-eks/tarn/internal/service/acm"
	"github.com/tarn-eks/tarn/internal/service/autoscaling"
	"github.com/tarn-eks/tarn/internal/service/cloudwatch"
	"github.com/tarn-eks/tarn/internal/service/ec2"
	"github.com/tarn-eks/tarn/internal/service/ecr"
	"github.com/tarn-eks/tarn/internal/service/eks"
	"github.com/tarn-eks/tarn/internal/service/elb"
	"github.com/tarn-eks/tarn/internal/service/elbv2"
	"github.com/tarn-eks/tarn/internal/service/iam"
	"github.com/tarn-eks/tarn/internal/service/route53"
	"github.com/tarn-eks/tarn/internal/service/sts"
	"github.com/tarn-eks/tarn/internal/store"
	"github.com/tarn-eks/tarn/internal/trail"
	"github.com/tarn-eks/tarn/internal/vpc"
)

// Config says what region to run.
type Config struct {
	DataDir string
	// Identity is what a new region becomes. One that exists keeps its own.
	Identity Identity
	Version  string // of Tarn
	// AllowReset lets clients wipe what they made.
	AllowReset bool
	Logger     *slog.Logger
}

// Region is a running region.
type Region struct {
	layout   layout
	identity Identity
	logger   *slog.Logger
	progress *progress
	started  time.Time
	version  string
	// allowReset lets clients wipe what they made.
	allowReset bool

	lock *os.File
	// inherited says that a region which was killed has left instances behind.
	inherited bool
	store     *store.Server
	iam       *iam.Service
	sts       *sts.Service
	ec2       *ec2.Service
	eks       *eks.Service
	ecr       *ecr.Service
	acm       *acm.Service
	route53   *route53.Service
	elb       *elb.Service
	elbv2     *elbv2.Service
	metrics   *metrics.DB
	meter     *instance.Meter
	outlooks  *scaling.Outlooks
	authority *pki.Authority // of certificates
	dns       *dns.Server    // the host's view
	hostdns   *hostdns.Host
	naming    *naming.Loop
	checker   *healthcheck.Checker
	balancing *balancing.Loop
	door      *proxy.Door
	registry  *registry.Registry
	trail     *trail.Trail
	gateway   *gateway.Gateway
	root      caller.Caller // the account's root user
	messages  *gateway.Messages
	rotating  *sts.Rotating // credentials of instances
	filtering *filtering.Loop
	host      *host
	listen    listeners

	autoscaling *autoscaling.Service
	cloudwatch  *cloudwatch.Service

	// failed gets the first error of what runs in the background.
	failed     chan error
	background context.Context
	stop       func()
	tasks      sync.WaitGroup

	mu            sync.Mutex               // guards the fields below, and identity.Cluster
	networks      map[string]*network      // the open ones, by the VPC's id
	controlPlanes map[string]*controlPlane // those that run, by the cluster's name
	hosted        hostdns.State            // what the host's resolver may be told

	applying sync.Mutex // one Up at a time
	opening  sync.Mutex // one change of the networks at a time
	loops    sync.Once
}

// Lock takes the state directory, so that one process at a time has it.
func Lock(dataDir string) (*os.File, error) {
	l := layout(dataDir)
	if err := os.MkdirAll(l.run(), 0o700); err != nil {
		return nil, fmt.Errorf("making the state directory: %w", err)
	}
	f, err := os.OpenFile(l.lock(), os.O_CREATE|os.O_RDWR, 0o600)
	if err != nil {
		return nil, fmt.Errorf("opening the state directory's lock: %w", err)
	}
	if err := unix.Flock(int(f.Fd()), unix.LOCK_EX|unix.LOCK_NB); err != nil {
		_ = f.Close()
		if errors.Is(err, unix.EWOULDBLOCK) {
			return nil, fmt.Errorf("%w on %s: `tarn down` stops it", ErrRunning, dataDir)
		}
		return nil, fmt.Errorf("locking the state directory: %w", err)
	}
	return f, nil
}

// errStopping is why work under way ends when the region does.
var errStopping = errors.New("the region is stopping")

// ErrRunning says that another region process has the state directory.
var ErrRunning = errors.New("a region is running")

// Open starts a region's own parts: its ports, its store, its registry. Up
// starts the rest.
func Open(ctx context.Context, cfg Config) (_ *Region, err error) {
	l := layout(cfg.DataDir)
	background, cancel := context.WithCancelCause(context.Background())
	stop := func() { cancel(errStopping) }
	r := &Region{
		layout:        l,
		identity:      cfg.Identity,
		logger:        cfg.Logger,
		progress:      newProgress(),
		started:       time.Now(),
		version:       cfg.Version,
		allowReset:    cfg.AllowReset,
		failed:        make(chan error, 1),
		background:    background,
		stop:          stop,
		networks:      map[string]*network{},
		controlPlanes: map[string]*controlPlane{},
	}
	defer func() {
		if err != nil {
			err = errors.Join(err, r.Close(context.WithoutCancel(ctx)))
		}
	}()
	if r.lock, err = Lock(cfg.DataDir); err != nil {
		return nil, err
	}
	if err := r.awaitOrphans(ctx); err != nil {
		return nil, err
	}
	if err := r.listenLocal(); err != nil {
		return nil, err
	}
	pins, err := os.ReadDir(l.namespaces())
	r.inherited = err == nil && len(pins) > 0
	if err := namespace.Prepare(ensureDir(l.namespaces())); err != nil {
		return nil, fmt.Errorf("preparing a place for namespaces: %w", err)
	}
	if err := instance.BorrowControllers(l.controllers()); err != nil {
		return nil, err
	}
	err = r.progress.step("store", func(func(string)) (string, error) {
		r.store, err = store.Start(ctx, store.Config{Dir: l.etcd(), Socket: l.etcdSocket(), Logger: atLeast(slog.LevelWarn, cfg.Logger), Version: cfg.Version})
		if err != nil {
			return "", err
		}
		return "", r.openMetrics()
	})
	if err != nil {
		return nil, err
	}
	err = r.progress.step("registry", func(func(string)) (string, error) {
		return r.openRegistry(ctx)
	})
	if err != nil {
		return nil, err
	}
	err = r.progress.step("AWS endpoint", func(func(string)) (string, error) {
		if err := r.openServices(ctx); err != nil {
			return "", err
		}
		return r.identity.Endpoint(), r.openGateway()
	})
	if err != nil {
		return nil, err
	}
	r.serveWeb()
	r.run("store", func(ctx context.Context) error {
		select {
		case err := <-r.store.Err():
			return err
		case <-ctx.Done():
			return nil
		}
	})
	return r, nil
}

// awaitOrphans waits for the children of a region that was killed: they end by
// themselves, and one of them has the API server's port.
func (r *Region) awaitOrphans(ctx context.Context) error {
	locks, err := filepath.Glob(r.layout.childLock("*"))
	if err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(ctx, 10*time.Second)
	defer cancel()
	for _, lock := range locks {
		if err := proc.AwaitEnd(ctx, lock); err != nil {
			return err
		}
	}
	return nil
}

// ensureDir makes a directory; a failure shows in the next use of it.
func ensureDir(dir string) string {
	_ = os.MkdirAll(dir, 0o700)
	return dir
}

// run runs work in the background until the region stops. Its failure is the
// region's.
func (r *Region) run(name string, work func(context.Context) error) {
	r.runUntil(r.background, &r.tasks, name, work)
}

// runUntil does so until ctx ends, for a part that comes and goes.
func (r *Region) runUntil(ctx context.Context, tasks *sync.WaitGroup, name string, work func(context.Context) error) {
	tasks.Go(func() {
		err := work(ctx)
		if ctx.Err() != nil {
			return
		}
		if err == nil {
			err = errors.New("ended by itself")
		}
		r.logger.Error("a part of the region failed", "part", name, "error", err)
		select {
		case r.failed <- fmt.Errorf("%s: %w", name, err):
		default:
		}
	})
}

// Failed delivers the error of a part that the region cannot do without.
func (r *Region) Failed() <-chan error { return r.failed }

// Close stops everything, in reverse order, and keeps the state. It may be
// called on a region that has only half started.
func (r *Region) Close(ctx context.Context) error {
	r.stop()
	r.applying.Lock() // an Up that is under way sees its context end
	defer r.applying.Unlock()
	r.mu.Lock() // a cluster that starts takes the API server's
	open := r.listen.all()
	r.mu.Unlock()
	// Loops first: after them nothing starts an instance any more.
	for _, l := range open {
		_ = l.Close() // its server may have closed it
	}
	if r.listen.dnsPackets != nil {
		_ = r.listen.dnsPackets.Close()
	}
	r.tasks.Wait()
	var errs []error
	if r.host != nil {
		errs = append(errs, r.host.stop(ctx))
	}
	for _, p := range r.controlPlanes {
		errs = append(errs, p.stop())
	}
	networks := r.openedNetworks()
	for _, n := range networks {
		errs = append(errs, n.close())
	}
	if r.checker != nil {
		r.checker.Close()
	}
	if r.trail != nil {
		errs = append(errs, r.trail.Close())
	}
	if r.registry != nil {
		errs = append(errs, r.registry.Close())
	}
	if r.metrics != nil {
		errs = append(errs, r.metrics.Close())
	}
	if r.store != nil {
		errs = append(errs, r.store.Close())
	}
	if r.lock != nil {
		// Pods that outlived a region that was killed go on until one has
		// really started in its place.
		if len(networks) > 0 || !r.inherited {
			errs = append(errs, release(ctx, r.layout))
		}
		errs = append(errs, r.lock.Close())
	}
	return errors.Join(errs...)
}

// release gives back what a region holds of the machine: processes, cgroups,
// namespaces, mounts. It works also after a region that was killed. The caller
// has the lock.
func release(ctx context.Context, l layout) error {
	var errs []error
	errs = append(errs, instance.RemoveCgroups(ctx, l.cgroup()), instance.ReturnControllers(l.controllers()))
	if _, err := os.Stat(l.namespaces()); err == nil {
		routers, err := filepath.Glob(l.namespace("vpc-*", "net"))
		errs = append(errs, err)
		for _, router := range routers {
			errs = append(errs, vpc.Delete(router))
		}
		errs = append(errs, namespace.Teardown(l.namespaces()))
	}
	entries, err := os.ReadDir(l.run())
	if err != nil && !errors.Is(err, os.ErrNotExist) {
		errs = append(errs, err)
	}
	for _, e := range entries {
		if path := filepath.Join(l.run(), e.Name()); path != l.lock() && path != l.controlSocket() {
			errs = append(errs, os.RemoveAll(path))
		}
	}
	return errors.Join(errs...)
}

// Delete removes a region that is not running, and all that is left of it.
func Delete(ctx context.Context, dataDir string) error {
	l := layout(dataDir)
	lock, err := Lock(dataDir)
	if err != nil {
		return err
	}
	defer lock.Close()
	if err := release(ctx, l); err != nil {
		return fmt.Errorf("giving back what the region held: %w", err)
	}
	if err := os.RemoveAll(dataDir); err != nil {
		return fmt.Errorf("removing the state directory: %w", err)
	}
	return nil
}

// Down gives back what a region that was killed still holds; its state stays.
func Down(ctx context.Context, dataDir string) error {
	lock, err := Lock(dataDir)
	if err != nil {
		return err
	}
	defer lock.Close()
	return release(ctx, layout(dataDir))
}
