// Command tarn runs a working AWS region for EKS on this machine.
package main

import (
	"context"
	"fmt"
	"io"
	"os"
	"os/signal"
	"path/filepath"
	"syscall"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"github.com/tarn-eks/tarn/internal/region"
)

// version is set at link time.
var version = "dev"

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	if err := run(ctx, os.Args[1:], os.Stdout, os.Stderr); err != nil {
		fmt.Fprintf(os.Stderr, "tarn: %v\n", err)
		stop()
		os.Exit(1)
	}
}

func run(ctx context.Context, args []string, stdout, stderr io.Writer) error {
	hideLinkedFlags(args)
	root := &cobra.Command{
		Use:           "tarn",
		Short:         "A working AWS region for EKS on this machine",
		SilenceErrors: true,
		SilenceUsage:  true,
		Version:       version,
	}
	dataDir := os.Getenv("TARN_DATA_DIR")
	if dataDir == "" {
		dataDir = region.DefaultDataDir
	}
	root.PersistentFlags().StringVar(&dataDir, "data-dir", dataDir, "where the region keeps its state (TARN_DATA_DIR)")
	cobra.OnInitialize(func() {
		if absolute, err := filepath.Abs(dataDir); err == nil {
			dataDir = absolute
		}
	})
	root.AddCommand(
		upCommand(&dataDir), downCommand(&dataDir), deleteCommand(&dataDir),
		statusCommand(&dataDir), envCommand(&dataDir), kubectlCommand(&dataDir), awsCommand(&dataDir),
		trailCommand(&dataDir), imageCommand(&dataDir), trustCommand(&dataDir), dnsCommand(&dataDir), versionCommand(),
		regionRole(&dataDir), controlPlaneRole(), instanceRole(),
	)
	root.SetArgs(args)
	root.SetOut(stdout)
	root.SetErr(stderr)
	return root.ExecuteContext(ctx)
}

// hideLinkedFlags forgets the process-wide flags of the linked-in Kubernetes,
// which cobra would take for Tarn's own. The roles run components that look
// theirs up.
func hideLinkedFlags(args []string) {
	if len(args) > 0 && (args[0] == "control-plane" || args[0] == "instance") {
		return
	}
	pflag.CommandLine = pflag.NewFlagSet("tarn", pflag.ContinueOnError)
}
