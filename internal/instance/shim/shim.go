// Package shim carries containerd's runc shim, the small program that stays
// with each pod. It is a program of its own because it runs once per pod and
// must stay small; `make shim` builds it from the containerd module.
package shim

import (
	"embed"
	"fmt"
)

//go:generate go build -ldflags "-s -w" -o bin/containerd-shim-runc-v2 github.com/containerd/containerd/v2/cmd/containerd-shim-runc-v2

//go:embed all:bin
var files embed.FS

// Binary is the shim's executable.
func Binary() ([]byte, error) {
	data, err := files.ReadFile("bin/containerd-shim-runc-v2")
	if err != nil {
		return nil, fmt.Errorf("this binary was built without containerd's shim; build it with `make build`: %w", err)
	}
	return data, nil
}
