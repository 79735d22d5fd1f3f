// Package node is what runs inside an instance: containerd, kubelet and
// kube-proxy, upstream and in one process. With cluster/controlplane it is the
// only importer of k8s.io/kubernetes.
package node

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"path/filepath"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/insecure"
	"k8s.io/client-go/rest"
	"k8s.io/client-go/tools/clientcmd"
	logsapi "k8s.io/component-base/logs/api/v1"
	runtimeapi "k8s.io/cri-api/pkg/apis/runtime/v1"
	"k8s.io/klog/v2"

	"github.com/tarn-eks/tarn/internal/cluster"
	"github.com/tarn-eks/tarn/internal/instance"
)

// Run is the instance role. It returns when ctx ends or a component does; pods
// go on running either way.
func Run(ctx context.Context, c instance.Config) error {
	if err := c.Join(); err != nil {
		return err
	}
	// What is written here is the instance's console.
	boot, fresh, err := bootID(bootIDFile)
	if err != nil {
		return err
	}
	if fresh {
		klog.InfoS("The instance has booted", "instance", c.ID, "bootID", boot, "hostname", c.NodeName, "address", c.Address, "node", c.Node)
	}
	if !c.Node {
		<-ctx.Done()
		return nil
	}
	// Each component applies the logging configuration; the first one counts.
	logsapi.ReapplyHandling = logsapi.ReapplyHandlingIgnoreUnchanged
	rest.SetDefaultWarningHandler(rest.NoWarnings{})

	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	ended := make(chan error, 3)
	run := func(name string, component func(context.Context, instance.Config) error) {
		err := component(ctx, c)
		if err == nil {
			err = errors.New("ended by itself")
		}
		ended <- fmt.Errorf("%s: %w", name, err)
	}
	go run("containerd", runContainerd)
	if err := waitForRuntime(ctx, containerdSocket, ended); err != nil {
		return err
	}
	klog.InfoS("containerd answers", "socket", containerdSocket)
	// A kubelet that meets no API server waits ever longer between attempts.
	if err := waitForAPIServer(ctx, ended); err != nil {
		return err
	}
	if err := shieldKernel(); err != nil {
		return err
	}
	go run("kubelet", runKubelet)
	go run("kube-proxy", runKubeProxy)
	if err := liftShield(ctx, ended); err != nil {
		return err
	}

	select {
	case <-ctx.Done():
		return nil
	case err := <-ended:
		return err
	}
}

// waitForAPIServer returns when the cluster's API server says that it is ready.
func waitForAPIServer(ctx context.Context, ended <-chan error) error {
	config, err := clientcmd.BuildConfigFromFlags("", filepath.Join(instance.KubernetesDir, cluster.NodeKubeletKubeconfig))
	if err != nil {
		return fmt.Errorf("loading the kubelet's kubeconfig: %w", err)
	}
	config.Timeout = 2 * time.Second
	client, err := rest.HTTPClientFor(config)
	if err != nil {
		return fmt.Errorf("making a client of the API server: %w", err)
	}
	defer client.CloseIdleConnections()
	return poll(ctx, ended, func() bool {
		response, err := client.Get(config.Host + "/readyz")
		if err != nil {
			return false
		}
		return response.Body.Close() == nil && response.StatusCode == http.StatusOK
	})
}

// waitForRuntime returns when the container runtime at a socket serves. It accepts
// connections before that, while it recovers what ran before, and a kubelet that is
// refused then gives up.
func waitForRuntime(ctx context.Context, path string, ended <-chan error) error {
	conn, err := grpc.NewClient("unix://"+path, grpc.WithTransportCredentials(insecure.NewCredentials()))
	if err != nil {
		return fmt.Errorf("making a client of the container runtime: %w", err)
	}
	defer conn.Close()
	runtime := runtimeapi.NewRuntimeServiceClient(conn)
	return poll(ctx, ended, func() bool {
		ctx, cancel := context.WithTimeout(ctx, 2*time.Second)
		defer cancel()
		conn.ResetConnectBackoff() // poll has a pace of its own
		_, err := runtime.Version(ctx, &runtimeapi.VersionRequest{})
		return err == nil
	})
}

// waitForSocket returns when somebody accepts connections on the socket.
func waitForSocket(ctx context.Context, path string, ended <-chan error) error {
	return poll(ctx, ended, func() bool {
		conn, err := net.Dial("unix", path)
		return err == nil && conn.Close() == nil
	})
}

// poll asks until the answer is yes, ctx ends or a component does.
func poll(ctx context.Context, ended <-chan error, ready func() bool) error {
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	for !ready() {
		select {
		case <-ctx.Done():
			return ctx.Err()
		case err := <-ended:
			return err
		case <-tick.C:
		}
	}
	return nil
}
