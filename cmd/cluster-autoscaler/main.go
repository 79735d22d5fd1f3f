// Command cluster-autoscaler fits the number of a cluster's nodes to its pods.
// It takes the flags of the Kubernetes Cluster Autoscaler, and runs in a cluster
// on EKS as well as in a region of Tarn.
package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/pprof"
	"os"
	"os/signal"
	"sync"
	"syscall"
	"time"

	"github.com/aws/aws-sdk-go-v2/config"
	"github.com/aws/aws-sdk-go-v2/service/autoscaling"
	"github.com/aws/aws-sdk-go-v2/service/ec2"
	"github.com/aws/aws-sdk-go-v2/service/eks"
	"github.com/spf13/pflag"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/kubernetes/scheme"
	typedcorev1 "k8s.io/client-go/kubernetes/typed/core/v1"
	"k8s.io/client-go/rest"
	"k8s.io/client-go/tools/clientcmd"
	"k8s.io/client-go/tools/leaderelection"
	"k8s.io/client-go/tools/leaderelection/resourcelock"
	"k8s.io/client-go/tools/record"
	"k8s.io/klog/v2"

	"github.com/tarn-eks/tarn/internal/autoscaler"
)

// version is that of the upstream program whose flags and words these are.
var version = "1.37.0"

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	err := run(ctx, os.Args[1:], os.Stderr)
	stop()
	klog.Flush()
	switch {
	case errors.Is(err, pflag.ErrHelp):
	case errors.Is(err, errUsage):
		os.Exit(2)
	case err != nil:
		klog.Error(err)
		klog.Flush()
		os.Exit(1)
	}
}

func run(ctx context.Context, args []string, stderr io.Writer) error {
	s, err := parse(args, stderr)
	if err != nil {
		return err
	}
	klog.V(1).Infof("Cluster Autoscaler %s", version)
	kube, err := kubeConfig(s)
	if err != nil {
		return fmt.Errorf("Failed to build kubeconfig: %w", err) //nolint:staticcheck // upstream's words
	}
	client, err := kubernetes.NewForConfig(kube)
	if err != nil {
		return fmt.Errorf("Failed to create autoscaler: %w", err) //nolint:staticcheck // upstream's words
	}
	aside, err := kubernetes.NewForConfig(rest.CopyConfig(kube)) // events and the lease wait for nothing else
	if err != nil {
		return fmt.Errorf("Failed to create autoscaler: %w", err) //nolint:staticcheck // upstream's words
	}
	metrics := autoscaler.NewMetrics(s.perGroupMetrics)
	health := &autoscaler.Health{MaxInactivity: s.maxInactivity, MaxFailing: s.maxFailing}
	cloud, err := newCloud(ctx, s, metrics)
	if err != nil {
		return fmt.Errorf("Failed to create AWS Manager: %w", err) //nolint:staticcheck // upstream's words
	}
	server := &http.Server{Addr: s.address, Handler: routes(s, metrics, health), ReadHeaderTimeout: 10 * time.Second}
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	served := make(chan struct{})
	go func() {
		defer close(served)
		if err := server.ListenAndServe(); !errors.Is(err, http.ErrServerClosed) {
			cancel(fmt.Errorf("Failed to start metrics: %w", err)) //nolint:staticcheck // upstream's words
		}
	}()
	defer func() {
		_ = server.Close() // nobody waits for metrics
		<-served
	}()
	recorder, end := newRecorder(ctx, aside, s.duplicateEvents)
	defer end()
	loop, err := autoscaler.NewLoop(autoscaler.LoopConfig{
		Client: client, Cloud: cloud, Options: s.options, Namespace: s.namespace, StatusName: s.statusName(), ScanInterval: s.scanInterval,
		Recorder: recorder, Metrics: metrics, Health: health,
	})
	if err != nil {
		return fmt.Errorf("Failed to create autoscaler: %w", err) //nolint:staticcheck // upstream's words
	}
	if err := lead(ctx, s, aside, recorder, loop.Run); err != nil {
		return err
	}
	if cause := context.Cause(ctx); cause != nil && !errors.Is(cause, context.Canceled) {
		return cause
	}
	klog.V(1).Info("Received signal, attempting cleanup")
	last, done := context.WithTimeout(context.WithoutCancel(ctx), 5*time.Second)
	defer done()
	if err := loop.CleanUp(last); err != nil {
		klog.Error(err)
	}
	klog.V(1).Info("Cleaned up, exiting...")
	return nil
}

// kubeConfig is that of the cluster that the program runs in, unless a flag
// says otherwise.
func kubeConfig(s *settings) (*rest.Config, error) {
	var c *rest.Config
	var err error
	if s.master == "" && s.kubeconfig == "" {
		c, err = rest.InClusterConfig()
	} else {
		c, err = clientcmd.BuildConfigFromFlags(s.master, s.kubeconfig)
	}
	if err != nil {
		return nil, err
	}
	c.ContentType, c.QPS, c.Burst = s.contentType, s.qps, s.burst
	c.AcceptContentTypes = c.ContentType + ",application/json"
	return rest.AddUserAgent(c, s.userAgent), nil
}

// newCloud reaches AWS with the credentials and in the region that the SDK
// finds: the environment's, a web identity's, the instance's.
func newCloud(ctx context.Context, s *settings, metrics *autoscaler.Metrics) (*autoscaler.Cloud, error) {
	overrides, err := readCloudConfig(s.cloudConfig)
	if err != nil {
		return nil, fmt.Errorf("Couldn't open cloud provider configuration %s: %w", s.cloudConfig, err) //nolint:staticcheck // upstream's words
	}
	options := []func(*config.LoadOptions) error{config.WithEC2IMDSRegion(), config.WithAppID(s.userAgent)}
	if overrides.region != "" {
		options = append(options, config.WithRegion(overrides.region))
	}
	c, err := config.LoadDefaultConfig(ctx, options...)
	if err != nil {
		return nil, err
	}
	klog.Infof("AWS region: %s", c.Region)
	return autoscaler.NewCloud(autoscaler.CloudConfig{
		AutoScaling: autoscaling.NewFromConfig(c, func(o *autoscaling.Options) { overrides.apply("autoscaling", &o.BaseEndpoint, &o.Region) }),
		EC2:         ec2.NewFromConfig(c, func(o *ec2.Options) { overrides.apply("ec2", &o.BaseEndpoint, &o.Region) }),
		EKS:         eks.NewFromConfig(c, func(o *eks.Options) { overrides.apply("eks", &o.BaseEndpoint, &o.Region) }),
		Groups:      s.groups, Discover: s.discover, StaticTypes: s.staticTypes, Metrics: metrics,
	}), nil
}

func routes(s *settings, metrics *autoscaler.Metrics, health *autoscaler.Health) http.Handler {
	mux := http.NewServeMux()
	mux.Handle("/metrics", metrics.Handler())
	mux.Handle("/health-check", health)
	if s.profiling {
		mux.HandleFunc("/debug/pprof/", pprof.Index)
		mux.HandleFunc("/debug/pprof/cmdline", pprof.Cmdline)
		mux.HandleFunc("/debug/pprof/profile", pprof.Profile)
		mux.HandleFunc("/debug/pprof/symbol", pprof.Symbol)
		mux.HandleFunc("/debug/pprof/trace", pprof.Trace)
	}
	return mux
}

// newRecorder returns where events go, and what ends it.
func newRecorder(ctx context.Context, client kubernetes.Interface, duplicates bool) (record.EventRecorder, func()) {
	options := []record.BroadcasterOption{record.WithContext(ctx)}
	if duplicates {
		options = append(options, record.WithCorrelatorOptions(record.CorrelatorOptions{MaxEvents: 100, MaxIntervalInSeconds: 1}))
	}
	b := record.NewBroadcaster(options...)
	b.StartRecordingToSink(&typedcorev1.EventSinkImpl{Interface: client.CoreV1().Events("")})
	b.StartStructuredLogging(4)
	return b.NewRecorder(scheme.Scheme, corev1.EventSource{Component: "cluster-autoscaler"}), b.Shutdown
}

// lead runs f while this is the leader, or at once if there is no election.
func lead(ctx context.Context, s *settings, client kubernetes.Interface, recorder record.EventRecorder, f func(context.Context) error) error {
	if !s.election.LeaderElect {
		return f(ctx)
	}
	id, err := os.Hostname()
	if err != nil {
		return fmt.Errorf("Unable to get hostname: %w", err) //nolint:staticcheck // upstream's words
	}
	lock, err := resourcelock.New(s.election.ResourceLock, s.namespace, s.election.ResourceName, client.CoreV1(), client.CoordinationV1(),
		resourcelock.ResourceLockConfig{Identity: id, EventRecorder: recorder})
	if err != nil {
		return fmt.Errorf("Unable to create leader election lock: %w", err) //nolint:staticcheck // upstream's words
	}
	electing, cancel := context.WithCancel(ctx)
	defer cancel()
	// A term that is over before f has begun is none.
	var mu sync.Mutex // guards began and ended
	began, ended := false, false
	over := make(chan error, 1)
	elector, err := leaderelection.NewLeaderElector(leaderelection.LeaderElectionConfig{
		Lock: lock, LeaseDuration: s.election.LeaseDuration.Duration, RenewDeadline: s.election.RenewDeadline.Duration,
		RetryPeriod: s.election.RetryPeriod.Duration, ReleaseOnCancel: true, Name: s.election.ResourceName,
		Callbacks: leaderelection.LeaderCallbacks{
			OnStartedLeading: func(leading context.Context) {
				mu.Lock()
				began = !ended
				mu.Unlock()
				if began {
					over <- f(leading)
					cancel() // whether it ended with the program or by an error
				}
			},
			OnStoppedLeading: func() {},
		},
	})
	if err != nil {
		return fmt.Errorf("Unable to create leader election lock: %w", err) //nolint:staticcheck // upstream's words
	}
	elector.Run(electing)
	lost := electing.Err() == nil
	cancel()
	mu.Lock()
	ended = true
	led := began
	mu.Unlock()
	if led {
		err = <-over
	}
	if err == nil && lost {
		err = errors.New("lost master")
	}
	return err
}
