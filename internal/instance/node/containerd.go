package node

import (
	"bytes"
	"context"
	"fmt"
	"os"
	"path/filepath"
	"text/template"

	"github.com/containerd/containerd/v2/cmd/containerd/command"
	"golang.org/x/sys/unix"

	_ "github.com/containerd/containerd/v2/cmd/containerd/builtins" // its plugins

	"github.com/tarn-eks/tarn/internal/cni"
	"github.com/tarn-eks/tarn/internal/instance"
)

const (
	containerdSocket = "/run/containerd/containerd.sock"
	containerdConfig = "/etc/containerd/config.toml"
	cniConfDir       = "/etc/cni/net.d"
	cniStateDir      = "/run/aws-node" // gone when the instance stops, as its pods are
)

// containerdTOML leaves out what a node has no use for: other snapshotters,
// tracing, NRI.
var containerdTOML = template.Must(template.New("config.toml").Parse(`version = 3
root = "/var/lib/containerd"
state = "/run/containerd"
oom_score = 0
disabled_plugins = [
  "io.containerd.snapshotter.v1.blockfile",
  "io.containerd.snapshotter.v1.btrfs",
  "io.containerd.snapshotter.v1.devmapper",
  "io.containerd.snapshotter.v1.erofs",
  "io.containerd.snapshotter.v1.zfs",
  "io.containerd.tracing.processor.v1.otlp",
  "io.containerd.internal.v1.tracing",
  "io.containerd.nri.v1.nri",
]

[grpc]
  address = "{{ .Socket }}"

[plugins."io.containerd.cri.v1.runtime"]
  restrict_oom_score_adj = {{ .RestrictOOM }}
  enable_unprivileged_ports = true
  enable_unprivileged_icmp = true
  # Its samples are for kubelets that take a pod's use from CRI; this one's cAdvisor
  # looks every 10 s too.
  stats_collect_period = "10s"

  [plugins."io.containerd.cri.v1.runtime".containerd]
    default_runtime_name = "runc"

    [plugins."io.containerd.cri.v1.runtime".containerd.runtimes.runc]
      runtime_type = "io.containerd.runc.v2"
      runtime_path = "{{ .Shim }}"

      [plugins."io.containerd.cri.v1.runtime".containerd.runtimes.runc.options]
        SystemdCgroup = false

  [plugins."io.containerd.cri.v1.runtime".cni]
    bin_dirs = ["{{ .CNIBinDir }}"]
    conf_dir = "{{ .CNIConfDir }}"
    use_internal_loopback = true

[plugins."io.containerd.cri.v1.images"]
  snapshotter = "overlayfs"

  [plugins."io.containerd.cri.v1.images".pinned_images]
    sandbox = "{{ .Pause }}"

  [plugins."io.containerd.cri.v1.images".registry]
    config_path = "/etc/containerd/certs.d"
`))

// containerdFiles are containerd's configuration and its network's, by path.
func containerdFiles(c instance.Config) (map[string][]byte, error) {
	conflist, err := cni.Config(cni.Network{Addresses: c.PodAddresses, MTU: c.MTU, StateDir: cniStateDir})
	if err != nil {
		return nil, err
	}
	var config bytes.Buffer
	err = containerdTOML.Execute(&config, map[string]any{
		"Socket":      containerdSocket,
		"RestrictOOM": !mayLowerOOMScore(),
		"Shim":        instance.ShimPath,
		"CNIBinDir":   instance.CNIBinDir,
		"CNIConfDir":  cniConfDir,
		"Pause":       c.PauseImage,
	})
	if err != nil {
		return nil, fmt.Errorf("rendering %s: %w", containerdConfig, err)
	}
	return map[string][]byte{
		containerdConfig:                        config.Bytes(),
		filepath.Join(cniConfDir, cni.FileName): conflist,
	}, nil
}

func runContainerd(ctx context.Context, c instance.Config) error {
	files, err := containerdFiles(c)
	if err != nil {
		return err
	}
	for file, data := range files {
		if err := os.MkdirAll(filepath.Dir(file), 0o755); err != nil {
			return fmt.Errorf("making the directory of %s: %w", file, err)
		}
		if err := os.WriteFile(file, data, 0o644); err != nil {
			return fmt.Errorf("writing %s: %w", file, err)
		}
	}
	return command.App().Run(ctx, []string{"containerd", "--config", containerdConfig})
}

// mayLowerOOMScore says whether this process may set an oom_score_adj below its
// own, as containerd does for pods unless told otherwise: CAP_SYS_RESOURCE.
func mayLowerOOMScore() bool {
	header := unix.CapUserHeader{Version: unix.LINUX_CAPABILITY_VERSION_3}
	var data [2]unix.CapUserData
	if err := unix.Capget(&header, &data[0]); err != nil {
		return false
	}
	return data[0].Effective&(1<<unix.CAP_SYS_RESOURCE) != 0
}
