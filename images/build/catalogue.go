package main

import (
	"context"
	"fmt"

	v1 "github.com/google/go-containerregistry/pkg/v1"
)

// module is this module's path, so that the builder runs from any directory
// inside it.
const module = "github.com/tarn-eks/tarn/"

// catalogue lists the images. To add one, name its program and say how it
// starts.
func catalogue(ctx context.Context, c compiler) []spec {
	specs := []spec{
		{
			name:   "eks/pause:3.10",
			layers: []func() ([]file, error){c.program(ctx, "pause", module+"images/pause", "")},
			config: v1.Config{
				Entrypoint: []string{"/pause"},
				Env:        []string{"GOMAXPROCS=1"},
				User:       "65535:65535",
			},
		},
		{
			name:   "eks/coredns:v1.15.0-eksbuild.1",
			layers: []func() ([]file, error){withBindCapability(c.program(ctx, "coredns", module+"images/coredns", ""))},
			config: v1.Config{
				Entrypoint:   []string{"/coredns"},
				User:         "65532:65532",
				ExposedPorts: map[string]struct{}{"53/tcp": {}, "53/udp": {}},
			},
		},
		{
			name: "eks/metrics-server:v0.9.0-eksbuild.1",
			layers: []func() ([]file, error){
				c.program(ctx, "metrics-server", module+"images/metrics-server", "-X k8s.io/client-go/pkg/version.gitVersion=v0.9.0"),
			},
			config: v1.Config{
				Entrypoint:   []string{"/metrics-server"},
				User:         "65534:65534",
				ExposedPorts: map[string]struct{}{"10250/tcp": {}},
			},
		},
		{
			// Under the name that upstream's manifests have.
			name: "registry.k8s.io/autoscaling/cluster-autoscaler:v1.37.0",
			layers: []func() ([]file, error){
				authorities,
				c.program(ctx, "cluster-autoscaler", module+"cmd/cluster-autoscaler", ""),
			},
			config: v1.Config{
				Entrypoint:   []string{"/cluster-autoscaler"},
				WorkingDir:   "/", // manifests say ./cluster-autoscaler
				User:         "65534:65534",
				ExposedPorts: map[string]struct{}{"8085/tcp": {}},
			},
		},
	}
	for _, version := range []string{"1.0.0", "4.0.0"} {
		specs = append(specs, spec{
			name: "backend-app:" + version,
			layers: []func() ([]file, error){
				func() ([]file, error) { return userland(ctx, c.arch) },
				c.program(ctx, "backend-app", module+"examples/backend-app", "-X main.version="+version),
			},
			config: v1.Config{
				Entrypoint:   []string{"/backend-app"},
				Env:          []string{"PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"},
				WorkingDir:   "/",
				ExposedPorts: map[string]struct{}{"80/tcp": {}},
			},
		})
	}
	return specs
}

// withBindCapability gives a program CAP_NET_BIND_SERVICE by its file, as
// upstream's CoreDNS image does: it serves port 53 without being root.
func withBindCapability(files func() ([]file, error)) func() ([]file, error) {
	// struct vfs_cap_data, revision 2 with the effective bit, little endian;
	// CAP_NET_BIND_SERVICE is bit 10 of the permitted set.
	const capability = "\x01\x00\x00\x02" + "\x00\x04\x00\x00" + "\x00\x00\x00\x00" + "\x00\x00\x00\x00" + "\x00\x00\x00\x00"
	return func() ([]file, error) {
		fs, err := files()
		if err != nil {
			return nil, err
		}
		if len(fs) != 1 {
			return nil, fmt.Errorf("a capability for one program, but the layer has %d files", len(fs))
		}
		fs[0].xattrs = map[string]string{"security.capability": capability}
		return fs, nil
	}
}
