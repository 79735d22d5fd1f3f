package main

import (
	"errors"
	"fmt"
	"io/fs"
	"time"

	"github.com/spf13/cobra"

	"github.com/tarn-eks/tarn/internal/region"
	"github.com/tarn-eks/tarn/internal/trail"
)

func trailCommand(dataDir *string) *cobra.Command {
	var follow bool
	var output string
	cmd := &cobra.Command{
		Use:   "trail",
		Short: "Show the AWS calls that the region has answered",
		Long: `Show every AWS call: when, who, what, how it ended and how long it took. With
-o json each line is a record in CloudTrail's format.`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if output != "" && output != "json" {
				return fmt.Errorf("-o %s: the output formats are json and, without -o, a line for each call", output)
			}
			if _, err := existing(*dataDir); err != nil {
				return err
			}
			show := func(line []byte) error {
				if output == "" {
					record, err := trail.Parse(line)
					if err != nil {
						return err
					}
					line = []byte(trail.Format(record, time.Local))
				}
				_, err := fmt.Fprintf(cmd.OutOrStdout(), "%s\n", line)
				return err
			}
			err := trail.Read(cmd.Context(), region.TrailFile(*dataDir), follow, show)
			switch {
			case errors.Is(err, fs.ErrPermission):
				return fmt.Errorf("only root may read the trail in %s: run it with sudo", region.TrailFile(*dataDir))
			case errors.Is(err, fs.ErrNotExist):
				return fmt.Errorf("the region in %s has no calls on record yet: `tarn up` starts it", *dataDir)
			case follow && cmd.Context().Err() != nil:
				return nil // Ctrl-C is how it ends
			}
			return err
		},
	}
	cmd.Flags().BoolVarP(&follow, "follow", "f", false, "go on with calls as they are made")
	cmd.Flags().StringVarP(&output, "output", "o", "", "json, or a line for each call when empty")
	return cmd
}
