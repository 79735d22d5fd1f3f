package main

import (
	"fmt"
	"net"
	"strconv"

	"github.com/spf13/cobra"

	"github.com/tarn-eks/tarn/internal/region"
	"github.com/tarn-eks/tarn/internal/registry"
)

func imageCommand(dataDir *string) *cobra.Command {
	cmd := &cobra.Command{Use: "image", Short: "Images in the region's registry"}
	cmd.AddCommand(&cobra.Command{
		Use:   "load FILE.tar",
		Short: "Load images from a file of `docker save`, or an OCI layout in a tar file",
		Args:  cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			id, err := existing(*dataDir)
			if err != nil {
				return err
			}
			if _, err := region.Dial(*dataDir); err != nil {
				return fmt.Errorf("%w: `tarn up` starts it", err)
			}
			progress := newPrinter(cmd.OutOrStdout())
			endpoint := net.JoinHostPort("127.0.0.1", strconv.Itoa(id.Ports.Registry))
			loaded, err := registry.Push(cmd.Context(), endpoint, args[0], func(image string, sent, total int64) {
				progress.transient("  %s  %d of %d MiB", image, sent>>20, total>>20)
			})
			progress.end()
			for _, l := range loaded {
				progress.line("loaded %s  %s", l.Image, l.Digest)
			}
			return err
		},
	})
	return cmd
}
