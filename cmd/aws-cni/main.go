// Command aws-cni is the network plugin of an instance, which containerd runs.
package main

import "github.com/tarn-eks/tarn/internal/cni"

func main() { cni.Main() }
