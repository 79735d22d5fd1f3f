package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"

	"github.com/spf13/cobra"

	"github.com/tarn-eks/tarn/internal/hostdns"
	"github.com/tarn-eks/tarn/internal/region"
)

func dnsCommand(dataDir *string) *cobra.Command {
	cmd := &cobra.Command{
		Use:   "dns",
		Short: "Have this machine find the names that the region hosts",
		Long: `Have this machine find the names that the region hosts. Names under .localhost
need nothing: browsers find those anyway.`,
	}
	cmd.AddCommand(&cobra.Command{
		Use:   "install",
		Short: "Have the system's resolver ask the region for its zones",
		Long: `Have the system's resolver ask the region for the zones that it hosts: by a file
for systemd-resolved where that answers the system's queries, or else by a
marked block in /etc/hosts with the names that lead to load balancers. The
region keeps either up to date while it runs. Nothing else of the file changes.

` + "`tarn dns uninstall` and `tarn delete` undo it.",
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if _, err := existing(*dataDir); err != nil {
				return err
			}
			if os.Geteuid() != 0 {
				return errors.New("changing the system's resolver needs root: run it with sudo")
			}
			return installDNS(cmd.Context(), *dataDir, hostdns.New(hostdns.Config{DataDir: *dataDir}), cmd.OutOrStdout())
		},
	}, &cobra.Command{
		Use:   "uninstall",
		Short: "Undo `tarn dns install`",
		Long:  "Undo `tarn dns install`. The region may be down, or gone.",
		Args:  cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if os.Geteuid() != 0 {
				return errors.New("changing the system's resolver needs root: run it with sudo")
			}
			found, err := uninstallDNS(cmd.Context(), hostdns.New(hostdns.Config{DataDir: *dataDir}), cmd.OutOrStdout())
			if err == nil && !found {
				fmt.Fprintf(cmd.OutOrStdout(), "nothing was installed for a region in %s\n", *dataDir)
			}
			return err
		},
	})
	return cmd
}

func installDNS(ctx context.Context, dataDir string, host *hostdns.Host, w io.Writer) error {
	state, err := hosted(ctx, dataDir)
	if err != nil {
		return err
	}
	r, err := host.Install(ctx, state)
	if err != nil {
		return fmt.Errorf("%w\n`tarn dns uninstall` undoes what was done", err)
	}
	printDNS(r, w)
	return nil
}

func printDNS(r hostdns.Result, w io.Writer) {
	what, names := "systemd-resolved asks the region for", "its hosted zones"
	if r.Mechanism == hostdns.HostsFile {
		what, names = "/etc/hosts has the load balancers' names", "names that lead to load balancers"
		fmt.Fprintf(w, "%s: /etc/hosts takes its place\n", r.Why)
	}
	if len(r.Names) > 0 {
		fmt.Fprintf(w, "%s: %s\n", what, strings.Join(r.Names, ", "))
	} else {
		fmt.Fprintf(w, "the region has none of %s yet\n", names)
	}
	if len(r.LeftOut) > 0 {
		fmt.Fprintf(w, "left out, since there is no way to write them: %s\n", strings.Join(r.LeftOut, ", "))
	}
	fmt.Fprintf(w, "%s follows while the region runs; `tarn dns uninstall` undoes it\n", r.File)
}

// uninstallDNS says whether there was something to undo.
func uninstallDNS(ctx context.Context, host *hostdns.Host, w io.Writer) (found bool, err error) {
	found = host.Installed()
	changed, err := host.Uninstall(ctx)
	for _, file := range changed {
		fmt.Fprintf(w, "removed the region's names: %s\n", file)
	}
	return found || len(changed) > 0, err
}

// hosted asks a region that runs what it hosts.
func hosted(ctx context.Context, dataDir string) (hostdns.State, error) {
	client, err := region.Dial(dataDir)
	if errors.Is(err, region.ErrNotRunning) {
		return hostdns.State{}, fmt.Errorf("the region in %s is not running: `tarn up` starts it", dataDir)
	}
	if err != nil {
		return hostdns.State{}, err
	}
	state, err := client.Hosted(ctx)
	if err != nil {
		return state, fmt.Errorf("asking the region what it hosts (`tarn down` and `tarn up` bring an older one to this version): %w", err)
	}
	return state, nil
}
