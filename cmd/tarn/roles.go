package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"os"
	"runtime/debug"
	"syscall"
	"time"

	"github.com/spf13/cobra"

	"github.com/tarn-eks/tarn/internal/cluster"
	"github.com/tarn-eks/tarn/internal/cluster/controlplane"
	"github.com/tarn-eks/tarn/internal/instance"
	"github.com/tarn-eks/tarn/internal/instance/node"
	"github.com/tarn-eks/tarn/internal/proc"
	"github.com/tarn-eks/tarn/internal/region"
	"github.com/tarn-eks/tarn/internal/store"
)

// gcPercent is the garbage collector's target in the roles: they are mostly idle,
// and memory is what limits how many of them a machine carries.
const gcPercent = 50

// The roles are what the binary runs itself as: not for people to call.

func regionRole(dataDir *string) *cobra.Command {
	var id region.Identity
	var allowReset bool
	cmd := &cobra.Command{
		Use: "region", Hidden: true, Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			err := serve(cmd.Context(), *dataDir, id, allowReset, nil)
			if errors.Is(err, store.ErrStartAgain) && os.Getenv(startedAgain) == "" {
				fmt.Fprintf(os.Stderr, "starting again: %v\n", err)
				return syscall.Exec("/proc/self/exe", os.Args, append(os.Environ(), startedAgain+"=1"))
			}
			return err
		},
	}
	f := cmd.Flags()
	f.StringVar(&id.Account, "account", "", "")
	f.StringVar(&id.Region, "region", "", "")
	f.BoolVar(&allowReset, "allow-reset", false, "")
	id.Ports.Flags(func(port *int, name, _ string, _ int) { f.IntVar(port, name, 0, "") })
	return cmd
}

// startedAgain is set in a region process that has replaced itself.
const startedAgain = "TARN_STARTED_AGAIN"

// stopTimeout is what a region has to stop everything.
const stopTimeout = 60 * time.Second

// serve runs a region until ctx ends, a client asks it to stop, or it fails.
// ready, if given, is called when the control socket answers.
func serve(ctx context.Context, dataDir string, id region.Identity, allowReset bool, ready func(context.Context) error) (err error) {
	debug.SetGCPercent(gcPercent)
	// A Classic Load Balancer takes clients that know SHA-1 signatures only, as
	// busybox's wget in many an image.
	if err := os.Setenv("GODEBUG", "tlssha1=1"); err != nil {
		return err
	}
	logger := slog.New(slog.NewTextHandler(os.Stderr, nil))
	r, err := region.Open(ctx, region.Config{DataDir: dataDir, Identity: id, Version: version, AllowReset: allowReset, Logger: logger})
	if err != nil {
		return err
	}
	ctx, stop := context.WithCancel(ctx)
	defer stop()
	l, err := region.ListenControl(dataDir)
	if err != nil {
		return errors.Join(err, r.Close(context.WithoutCancel(ctx)))
	}
	if ready == nil { // in the background, where the output is a file
		go func() {
			if err := proc.KeepRotated(ctx, region.LogFile(dataDir)); err != nil {
				logger.Warn("the region's log grows", "error", err)
			}
		}()
	}
	control := region.NewControl(r, stop)
	served := make(chan error, 1)
	go func() { served <- control.Serve(l) }()
	if ready != nil {
		go func() {
			if err := ready(ctx); err != nil {
				fmt.Fprintf(os.Stderr, "tarn: %v\n", err)
				stop()
			}
		}()
	}
	select {
	case <-ctx.Done():
	case err = <-r.Failed():
	case err = <-served:
	}
	closing, cancel := context.WithTimeout(context.WithoutCancel(ctx), stopTimeout)
	defer cancel()
	return errors.Join(err, r.Close(closing), control.Close())
}

// foreground is `tarn up --foreground`: the region in this process.
func foreground(ctx context.Context, dataDir string, id region.Identity, o upOptions, name string, file []byte, stdout io.Writer) error {
	return serve(ctx, dataDir, id, o.allowReset, func(ctx context.Context) error {
		client, err := region.Dial(dataDir)
		if err != nil {
			return err
		}
		began := time.Now()
		progress := newPrinter(stdout)
		err = client.Up(ctx, name, file, o.timeout, progress.show)
		progress.end()
		if err != nil {
			return err
		}
		return printNext(ctx, client, dataDir, time.Since(began), stdout)
	})
}

func controlPlaneRole() *cobra.Command {
	var file string
	cmd := &cobra.Command{
		Use: "control-plane", Hidden: true, Args: cobra.NoArgs,
		RunE: func(*cobra.Command, []string) error {
			debug.SetGCPercent(gcPercent)
			ctx, err := proc.Child()
			if err != nil {
				return err
			}
			c, err := cluster.LoadConfig(file)
			if err != nil {
				return err
			}
			inherited := os.NewFile(proc.FirstFile, "API server port")
			local, err := net.FileListener(inherited)
			if err != nil {
				return fmt.Errorf("taking over the API server's port: %w", err)
			}
			_ = inherited.Close()
			return controlplane.Run(ctx, c, local)
		},
	}
	cmd.Flags().StringVar(&file, "config", "", "")
	return cmd
}

func instanceRole() *cobra.Command {
	var file string
	cmd := &cobra.Command{
		Use: "instance", Hidden: true, Args: cobra.NoArgs,
		RunE: func(*cobra.Command, []string) error {
			debug.SetGCPercent(gcPercent)
			ctx, err := proc.Child()
			if err != nil {
				return err
			}
			c, err := instance.LoadConfig(file)
			if err != nil {
				return err
			}
			return node.Run(ctx, c)
		},
	}
	cmd.Flags().StringVar(&file, "config", instance.ConfigFile, "")
	return cmd
}
