// Package programs carries the small programs of an instance: containerd's runc
// shim, which stays with each pod, and the CNI plugin, which runs at each pod's
// start and end. They are programs of their own because they run once per pod: a
// process of Tarn's own binary takes a quarter of a second of CPU to start.
// `make programs` builds them.
package programs

import (
	"embed"
	"fmt"
)

//go:generate go build -ldflags "-s -w" -o bin/containerd-shim-runc-v2 github.com/containerd/containerd/v2/cmd/containerd-shim-runc-v2
//go:generate go build -buildvcs=false -ldflags "-s -w" -o bin/aws-cni github.com/tarn-eks/tarn/cmd/aws-cni

//go:embed all:bin
var files embed.FS

// Shim is the executable of containerd's runc shim.
func Shim() ([]byte, error) { return load("containerd-shim-runc-v2") }

// CNI is the executable of the network plugin.
func CNI() ([]byte, error) { return load("aws-cni") }

func load(name string) ([]byte, error) {
	data, err := files.ReadFile("bin/" + name)
	if err != nil {
		return nil, fmt.Errorf("this binary was built without the program %s; build it with `make build`: %w", name, err)
	}
	return data, nil
}
