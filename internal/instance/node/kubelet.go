package node

import (
	"context"
	"fmt"
	"path/filepath"
	"strconv"

	v1 "k8s.io/api/core/v1"
	utilfeature "k8s.io/apiserver/pkg/util/feature"
	logsapi "k8s.io/component-base/logs/api/v1"
	"k8s.io/klog/v2"
	kubelet "k8s.io/kubernetes/cmd/kubelet/app"
	"k8s.io/kubernetes/cmd/kubelet/app/options"
	kubeletconfig "k8s.io/kubernetes/pkg/kubelet/apis/config"
	"k8s.io/kubernetes/pkg/kubelet/cadvisor"

	"github.com/tarn-eks/tarn/internal/cluster"
	"github.com/tarn-eks/tarn/internal/instance"
)

const kubeletDir = "/var/lib/kubelet"

func runKubelet(ctx context.Context, c instance.Config) error {
	server, err := kubeletServer(c)
	if err != nil {
		return err
	}
	if err := logsapi.ValidateAndApply(&server.Logging, utilfeature.DefaultFeatureGate); err != nil {
		return fmt.Errorf("setting up logs: %w", err)
	}
	deps, err := kubelet.UnsecuredDependencies(ctx, server, utilfeature.DefaultFeatureGate)
	if err != nil {
		return fmt.Errorf("making its dependencies: %w", err)
	}
	advisor, err := cadvisor.New(klog.FromContext(ctx), cadvisor.NewImageFsInfoProvider(server.ContainerRuntimeEndpoint),
		server.RootDirectory, []string{"/" + c.Cgroup}, cadvisor.UsingLegacyCadvisorStats(server.ContainerRuntimeEndpoint),
		server.LocalStorageCapacityIsolation, false)
	if err != nil {
		return fmt.Errorf("starting cAdvisor: %w", err)
	}
	boot, _, err := bootID(bootIDFile)
	if err != nil {
		return err
	}
	deps.CAdvisorInterface = capacity{Interface: advisor, config: c, bootID: boot}
	return kubelet.Run(ctx, server, deps, utilfeature.DefaultFeatureGate)
}

// kubeletServer is the kubelet's configuration as EKS's AMI sets it, and what
// an instance that is a sandbox needs besides.
func kubeletServer(c instance.Config) (*options.KubeletServer, error) {
	config, err := options.NewKubeletConfiguration()
	if err != nil {
		return nil, fmt.Errorf("making its configuration: %w", err)
	}
	file := func(name string) string { return filepath.Join(instance.KubernetesDir, name) }

	config.Address = "0.0.0.0"
	config.ReadOnlyPort = 0
	config.Authentication.Anonymous.Enabled = false
	config.Authentication.Webhook.Enabled = true
	config.Authentication.X509.ClientCAFile = file(cluster.NodeCAFile)
	config.Authorization.Mode = kubeletconfig.KubeletAuthorizationModeWebhook
	config.TLSCertFile = file(cluster.NodeServingCert)
	config.TLSPrivateKeyFile = file(cluster.NodeServingKey)
	config.ProviderID = c.ProviderID()
	config.ClusterDomain = "cluster.local"
	config.ClusterDNS = []string{c.ClusterDNS.String()}
	config.ResolverConfig = "/etc/resolv.conf"
	config.MaxPods = int32(c.Capacity.MaxPods)
	config.RegisterNode = true
	config.SerializeImagePulls = false
	config.HairpinMode = "hairpin-veth"
	config.ProtectKernelDefaults = false // EKS: true; here the kernel is the machine's, which Tarn leaves alone
	config.FeatureGates = map[string]bool{}

	config.CgroupDriver = "cgroupfs"
	config.CgroupRoot = "/" + c.Cgroup
	config.FailCgroupV1 = false
	config.FailSwapOn = false // the machine's swap; the instance's cgroup allows none
	config.KubeReserved = map[string]string{
		"cpu":               strconv.Itoa(c.Capacity.ReservedCPUMilli) + "m",
		"memory":            strconv.Itoa(c.Capacity.ReservedMemoryMiB) + "Mi",
		"ephemeral-storage": "1Gi",
	}
	config.EvictionHard = map[string]string{
		"memory.available":  "100Mi",
		"nodefs.available":  "10%",
		"nodefs.inodesFree": "5%",
	}
	config.ContainerRuntimeEndpoint = "unix://" + containerdSocket
	config.OOMScoreAdj = oomScore()
	for _, t := range c.Taints {
		config.RegisterWithTaints = append(config.RegisterWithTaints, v1.Taint{Key: t.Key, Value: t.Value, Effect: v1.TaintEffect(t.Effect)})
	}

	flags := options.NewKubeletFlags()
	flags.KubeConfig = file(cluster.NodeKubeletKubeconfig)
	flags.HostnameOverride = c.NodeName
	flags.NodeIP = c.Address.String()
	flags.CertDirectory = "/var/lib/kubelet/pki"
	flags.RootDirectory = kubeletDir
	flags.NodeLabels = c.Labels
	return &options.KubeletServer{KubeletFlags: *flags, KubeletConfiguration: *config}, nil
}

// oomScore is upstream's -999 where the kernel allows it.
func oomScore() int32 {
	if mayLowerOOMScore() {
		return -999
	}
	return 0
}
