// Package controlplane runs an EKS cluster's control plane: upstream
// kube-apiserver, kube-controller-manager, kube-scheduler and AWS's cloud
// controller manager in one process.
// With instance/node it is the only importer of k8s.io/kubernetes.
package controlplane

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/netip"
	"time"

	"github.com/spf13/pflag"
	restclient "k8s.io/client-go/rest"
	"k8s.io/client-go/tools/cache"
	"k8s.io/client-go/tools/clientcmd"
	cliflag "k8s.io/component-base/cli/flag"
	logsapi "k8s.io/component-base/logs/api/v1"
	"k8s.io/klog/v2"
	apiserver "k8s.io/kubernetes/cmd/kube-apiserver/app"
	apiserveroptions "k8s.io/kubernetes/cmd/kube-apiserver/app/options"
	controllermanager "k8s.io/kubernetes/cmd/kube-controller-manager/app"
	controllermanageroptions "k8s.io/kubernetes/cmd/kube-controller-manager/app/options"
	scheduler "k8s.io/kubernetes/cmd/kube-scheduler/app"
	scheduleroptions "k8s.io/kubernetes/cmd/kube-scheduler/app/options"

	"github.com/tarn-eks/tarn/internal/cluster"
)

// How many requests a second a component may send. Upstream's 20 protect a
// shared API server; here they would make the controllers start in 5 s.
const apiQPS, apiBurst = "1000", "2000"

// Run is the control-plane role: it runs the components until ctx ends or one of
// them does. The process must be in the VPC's network namespace; local is the
// loopback listener that the region opened on the host. The environment says
// where the AWS endpoint is and where credentials for it are to be had.
func Run(ctx context.Context, c cluster.Config, local net.Listener) error {
	// Each component applies the logging configuration; the first one counts.
	logsapi.ReapplyHandling = logsapi.ReapplyHandlingIgnoreUnchanged
	restclient.SetDefaultWarningHandler(restclient.NoWarnings{})

	inVPC, err := net.Listen("tcp", netip.AddrPortFrom(c.Address, 443).String())
	if err != nil {
		return fmt.Errorf("listening for the API server: %w", err)
	}
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	ended := make(chan error, 4)
	run := func(name string, component func(context.Context, cluster.Config) error) {
		err := component(ctx, c)
		if err == nil {
			err = errors.New("ended by itself")
		}
		ended <- fmt.Errorf("%s: %w", name, err)
	}
	go run("kube-apiserver", func(ctx context.Context, c cluster.Config) error {
		return runAPIServer(ctx, c, join(inVPC, local))
	})
	running := 1
	if err := waitReady(ctx, c, ended); err != nil {
		cancel()
		return err
	}
	klog.InfoS("API server is ready", "vpc", inVPC.Addr(), "local", local.Addr())
	go run("kube-controller-manager", runControllerManager)
	go run("kube-scheduler", runScheduler)
	go run("cloud-controller-manager", runCloudControllerManager)
	running += 3

	first := <-ended
	stopping := ctx.Err() != nil
	cancel()
	for range running - 1 {
		<-ended
	}
	if stopping {
		return nil
	}
	return first
}

func runAPIServer(ctx context.Context, c cluster.Config, listener net.Listener) error {
	s := apiserveroptions.NewServerRunOptions()
	err := parse(s.Flags(), map[string]string{
		"advertise-address":                        c.Address.String(),
		"allow-privileged":                         "true",
		"authentication-token-webhook-cache-ttl":   "10s", // EKS promises seconds, upstream has two minutes
		"authentication-token-webhook-config-file": c.TokenWebhookFile(),
		"authentication-token-webhook-version":     "v1",
		"authorization-config":                     c.AuthorizationFile(),
		"client-ca-file":                           c.PKI("ca.crt"),
		"enable-admission-plugins":                 "NodeRestriction",
		"enable-aggregator-routing":                "true", // the API server is not a node: ClusterIPs are not routed to it
		"etcd-prefix":                              c.EtcdPrefix(),
		"etcd-servers":                             c.Etcd,
		"kubelet-certificate-authority":            c.PKI("ca.crt"),
		"kubelet-client-certificate":               c.PKI("apiserver-kubelet-client.crt"),
		"kubelet-client-key":                       c.PKI("apiserver-kubelet-client.key"),
		"kubelet-preferred-address-types":          "InternalIP,InternalDNS,Hostname",
		"profiling":                                "false",
		"proxy-client-cert-file":                   c.PKI("front-proxy-client.crt"),
		"proxy-client-key-file":                    c.PKI("front-proxy-client.key"),
		"requestheader-allowed-names":              "front-proxy-client",
		"requestheader-client-ca-file":             c.PKI("front-proxy-ca.crt"),
		"requestheader-extra-headers-prefix":       "X-Remote-Extra-",
		"requestheader-group-headers":              "X-Remote-Group",
		"requestheader-username-headers":           "X-Remote-User",
		"secure-port":                              "443",
		"service-account-issuer":                   c.Issuer(),
		"service-account-key-file":                 c.PKI("sa.pub"),
		"service-account-signing-key-file":         c.PKI("sa.key"),
		"service-cluster-ip-range":                 c.ServiceCIDR.String(),
		"tls-cert-file":                            c.PKI("apiserver.crt"),
		"tls-private-key-file":                     c.PKI("apiserver.key"),
	})
	if err != nil {
		return err
	}
	registerAdvice(s.Admission.GenericAdmission)
	s.SecureServing.Listener = listener
	if err := s.GenericServerRunOptions.ComponentGlobalsRegistry.Set(); err != nil {
		return fmt.Errorf("setting feature gates: %w", err)
	}
	completed, err := s.Complete(ctx)
	if err != nil {
		return fmt.Errorf("completing options: %w", err)
	}
	if errs := completed.Validate(); len(errs) > 0 {
		return fmt.Errorf("validating options: %w", errors.Join(errs...))
	}
	return apiserver.Run(ctx, completed)
}

func runControllerManager(ctx context.Context, c cluster.Config) error {
	s, err := controllermanageroptions.NewKubeControllerManagerOptions()
	if err != nil {
		return fmt.Errorf("making options: %w", err)
	}
	all, disabled, aliases := controllermanager.KnownControllers(), controllermanager.ControllersDisabledByDefault(), controllermanager.ControllerAliases()
	flags := s.Flags(all, disabled, aliases)
	s.ParsedFlags = &flags
	err = parse(flags, map[string]string{
		"allocate-node-cidrs":              "false", // pods have addresses of the VPC
		"cluster-name":                     c.Name,
		"cluster-signing-cert-file":        c.PKI("ca.crt"),
		"cluster-signing-key-file":         c.PKI("ca.key"),
		"kube-api-burst":                   apiBurst,
		"kube-api-qps":                     apiQPS,
		"kubeconfig":                       c.ComponentKubeconfig("controller-manager"),
		"leader-elect":                     "false", // there is one
		"root-ca-file":                     c.PKI("ca.crt"),
		"secure-port":                      "0",
		"service-account-private-key-file": c.PKI("sa.key"),
		"service-cluster-ip-range":         c.ServiceCIDR.String(),
		"use-service-account-credentials":  "true",
	})
	if err != nil {
		return err
	}
	if err := s.ComponentGlobalsRegistry.Set(); err != nil {
		return fmt.Errorf("setting feature gates: %w", err)
	}
	config, err := s.Config(ctx, all, disabled, aliases)
	if err != nil {
		return fmt.Errorf("making the configuration: %w", err)
	}
	return controllermanager.Run(ctx, config.Complete())
}

func runScheduler(ctx context.Context, c cluster.Config) error {
	s := scheduleroptions.NewOptions()
	err := parse(*s.Flags, map[string]string{
		"kube-api-burst": apiBurst,
		"kube-api-qps":   apiQPS,
		"kubeconfig":     c.ComponentKubeconfig("scheduler"),
		"leader-elect":   "false",
		"secure-port":    "0",
	})
	if err != nil {
		return err
	}
	if s.InformerName, err = cache.NewInformerName("kube-scheduler"); err != nil {
		return fmt.Errorf("naming informers: %w", err)
	}
	if err := s.ComponentGlobalsRegistry.Set(); err != nil {
		return fmt.Errorf("setting feature gates: %w", err)
	}
	config, sched, err := scheduler.Setup(ctx, s)
	if err != nil {
		return fmt.Errorf("setting up: %w", err)
	}
	return scheduler.Run(ctx, config, sched)
}

// parse sets a component's flags as its command line would.
func parse(sets cliflag.NamedFlagSets, values map[string]string) error {
	all := pflag.NewFlagSet("", pflag.ContinueOnError)
	for _, set := range sets.FlagSets {
		all.AddFlagSet(set)
	}
	args := make([]string, 0, len(values))
	for name, value := range values {
		args = append(args, "--"+name+"="+value)
	}
	if err := all.Parse(args); err != nil {
		return fmt.Errorf("setting flags: %w", err)
	}
	return nil
}

// waitReady returns when the API server says that it is ready, or when it ended.
func waitReady(ctx context.Context, c cluster.Config, ended <-chan error) error {
	config, err := clientcmd.BuildConfigFromFlags("", c.ComponentKubeconfig("control-plane"))
	if err != nil {
		return fmt.Errorf("loading the control plane's kubeconfig: %w", err)
	}
	config.Timeout = 2 * time.Second
	client, err := restclient.HTTPClientFor(config)
	if err != nil {
		return fmt.Errorf("making a client of the API server: %w", err)
	}
	tick := time.NewTicker(50 * time.Millisecond)
	defer tick.Stop()
	for {
		response, err := client.Get(config.Host + "/readyz")
		if err == nil {
			_ = response.Body.Close()
			if response.StatusCode == http.StatusOK {
				return nil
			}
		}
		select {
		case <-ctx.Done():
			return ctx.Err()
		case err := <-ended:
			return err
		case <-tick.C:
		}
	}
}
