// Kubectl is the scripts' kubectl: upstream's, with the kubeconfig that `tarn env`
// names, in the script's namespace. `tarn kubectl` is the same and more to start,
// which adds up where a script looks once a second.
package main

import (
	"os"
	"path/filepath"

	"k8s.io/component-base/cli"
	kubectl "k8s.io/kubectl/pkg/cmd"
)

func main() {
	if err := os.Setenv("KUBECONFIG", filepath.Join(os.Getenv("TARN_DATA_DIR"), "kubeconfig")); err != nil {
		panic(err)
	}
	// It looks for its arguments, and its plugins, in os.Args.
	os.Args = append([]string{"kubectl", "--namespace", os.Getenv("NAMESPACE")}, os.Args[1:]...)
	os.Exit(cli.Run(kubectl.NewDefaultKubectlCommand()))
}
