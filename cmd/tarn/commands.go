package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/spf13/cobra"
	kubectl "k8s.io/kubectl/pkg/cmd"

	"github.com/tarn-eks/tarn/internal/cluster"
	"github.com/tarn-eks/tarn/internal/region"
)

func downCommand(dataDir *string) *cobra.Command {
	return &cobra.Command{
		Use:   "down",
		Short: "Stop the region; `tarn up` brings it back as it was",
		Args:  cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if _, err := existing(*dataDir); err != nil {
				return err
			}
			return stopRegion(cmd.Context(), *dataDir, cmd.OutOrStdout())
		},
	}
}

func deleteCommand(dataDir *string) *cobra.Command {
	return &cobra.Command{
		Use:   "delete",
		Short: "Stop the region and remove everything that it made",
		Args:  cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			// A region that never got as far as an identity is deleted too.
			if _, err := os.Stat(*dataDir); errors.Is(err, fs.ErrNotExist) {
				return fmt.Errorf("there is no region in %s", *dataDir)
			}
			if err := refuseForeign(*dataDir); err != nil {
				return err
			}
			if err := stopRegion(cmd.Context(), *dataDir, cmd.OutOrStdout()); err != nil {
				return err
			}
			if err := uninstallAll(cmd.Context(), *dataDir, cmd.OutOrStdout()); err != nil {
				return err
			}
			if err := region.Delete(cmd.Context(), *dataDir); err != nil {
				return err
			}
			fmt.Fprintf(cmd.OutOrStdout(), "deleted the region in %s\n", *dataDir)
			return nil
		},
	}
}

// refuseForeign keeps `tarn delete` from removing a directory that is not ours.
func refuseForeign(dataDir string) error {
	if region.Exists(dataDir) {
		return nil
	}
	entries, err := os.ReadDir(dataDir)
	if err != nil {
		return err
	}
	for _, e := range entries {
		switch e.Name() {
		case "baseline.json", "ca", "clusters", "credentials", "etcd", "instances", "log", "mail", "registry", "run", "s3", "session.key":
		default:
			return fmt.Errorf("%s is no state directory of a region (it holds %s): nothing was deleted", dataDir, e.Name())
		}
	}
	return nil
}

// stopRegion stops a region however it is: running, or killed and left behind.
func stopRegion(ctx context.Context, dataDir string, w io.Writer) error {
	if os.Geteuid() != 0 {
		return errors.New("stopping a region needs root: run it with sudo")
	}
	client, err := region.Dial(dataDir)
	if errors.Is(err, region.ErrNotRunning) {
		return region.Down(ctx, dataDir)
	}
	if err != nil {
		return err
	}
	began := time.Now()
	asked := client.Down(ctx)
	tick := time.NewTicker(50 * time.Millisecond)
	defer tick.Stop()
	for {
		// The lock comes free when the process is gone. What one that died has
		// left is given back; of one that stopped nothing is left.
		err := region.Down(ctx, dataDir)
		if err == nil {
			fmt.Fprintf(w, "stopped the region in %.1f s\n", time.Since(began).Seconds())
			return nil
		}
		if !errors.Is(err, region.ErrRunning) {
			return err
		}
		if asked != nil {
			// A process that was killed may have taken the call.
			if _, err := region.Dial(dataDir); err == nil {
				return asked
			}
		}
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-tick.C:
		}
	}
}

func statusCommand(dataDir *string) *cobra.Command {
	var output string
	cmd := &cobra.Command{
		Use:   "status",
		Short: "Show the region, its cluster, instances and processes",
		Args:  cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if output != "" && output != "json" {
				return fmt.Errorf("-o %s: the output formats are json and, without -o, a table", output)
			}
			if _, err := existing(*dataDir); err != nil {
				return err
			}
			client, err := region.Dial(*dataDir)
			if errors.Is(err, region.ErrNotRunning) {
				return fmt.Errorf("the region in %s is not running: `tarn up` starts it", *dataDir)
			}
			if err != nil {
				return err
			}
			s, err := client.Status(cmd.Context())
			if err != nil {
				return err
			}
			if output == "json" {
				encoder := json.NewEncoder(cmd.OutOrStdout())
				encoder.SetIndent("", "  ")
				return encoder.Encode(s)
			}
			return printStatus(s, cmd.OutOrStdout())
		},
	}
	cmd.Flags().StringVarP(&output, "output", "o", "", "json, or a table when empty")
	return cmd
}

func printStatus(s region.Status, out io.Writer) error {
	w := tabwriter.NewWriter(out, 0, 0, 3, ' ', 0)
	fmt.Fprintf(w, "region\t%s\naccount\t%s\nAWS endpoint\t%s\nregistry\t%s\nDNS\t%s\nweb\t%s, %s\nCA\t%s\nkubeconfig\t%s\n",
		s.Region, s.Account, s.Endpoint, s.Registry, s.DNS, s.HTTPS, s.HTTP, s.CA, s.Kubeconfig)
	if s.Cluster != nil {
		fmt.Fprintf(w, "cluster\t%s (Kubernetes v%s, %s)\n", s.Cluster.Name, s.Cluster.Version, s.Cluster.Endpoint)
	}
	fmt.Fprintf(w, "\nNODE GROUP\tTYPE\tMIN\tMAX\tDESIRED\tAUTO SCALING GROUP\n")
	for _, g := range s.Nodegroups {
		fmt.Fprintf(w, "%s\t%s\t%d\t%d\t%d\t%s\n", g.Name, g.InstanceType, g.Min, g.Max, g.Desired, g.AutoScalingGroup)
	}
	fmt.Fprintf(w, "\nINSTANCE\tTYPE\tSTATE\tZONE\tADDRESS\tNODE GROUP\tAGE\n")
	for _, i := range s.Instances {
		fmt.Fprintf(w, "%s\t%s\t%s\t%s\t%s\t%s\t%s\n", i.ID, i.Type, i.State, i.Zone, i.Address, i.Nodegroup, age(i.Launched))
	}
	if len(s.LoadBalancers) > 0 {
		fmt.Fprintf(w, "\nLOAD BALANCER\tADDRESS\tPORTS\tIN SERVICE\tNAMES\n")
		for _, b := range s.LoadBalancers {
			fmt.Fprintf(w, "%s\t%s\t%s\t%d of %d\t%s\n", b.Name, b.Address, strings.Trim(fmt.Sprint(b.Ports), "[]"), b.InService, b.Instances, strings.Join(b.Names, ", "))
		}
	}
	fmt.Fprintf(w, "\nPROCESS\tPID\tRESTARTS\tAGE\tLOG\n")
	for _, p := range s.Processes {
		fmt.Fprintf(w, "%s\t%d\t%d\t%s\t%s\n", p.Name, p.PID, p.Restarts, age(p.Started), p.Log)
	}
	return w.Flush()
}

func age(since time.Time) string { return time.Since(since).Truncate(time.Second).String() }

func shellQuote(s string) string {
	safe := func(r rune) bool {
		return strings.ContainsRune("/._-:", r) || r >= '0' && r <= '9' || r >= 'A' && r <= 'Z' || r >= 'a' && r <= 'z'
	}
	if s != "" && strings.IndexFunc(s, func(r rune) bool { return !safe(r) }) < 0 {
		return s
	}
	return "'" + strings.ReplaceAll(s, "'", `'\''`) + "'"
}

// existing is the identity of the region in a state directory.
func existing(dataDir string) (region.Identity, error) {
	id, err := region.LoadIdentity(dataDir)
	if errors.Is(err, fs.ErrNotExist) {
		return id, fmt.Errorf("there is no region in %s: `tarn up` makes one", dataDir)
	}
	return id, err
}

func kubectlCommand(dataDir *string) *cobra.Command {
	return &cobra.Command{
		Use:                "kubectl",
		Short:              "Upstream kubectl, for the region's cluster",
		DisableFlagParsing: true, // everything is kubectl's, but a --data-dir before `kubectl`
		RunE: func(cmd *cobra.Command, args []string) error {
			dir, args := ownDataDir(*dataDir, args)
			if _, err := existing(dir); err != nil {
				return err
			}
			kubeconfig := region.Kubeconfig(dir)
			if _, err := os.Stat(kubeconfig); err != nil {
				return fmt.Errorf("the cluster of the region in %s is not up yet: `tarn up` starts it", dir)
			}
			if err := os.Setenv("KUBECONFIG", kubeconfig); err != nil {
				return err
			}
			// kubectl looks for its arguments, and its plugins, in os.Args.
			os.Args = append([]string{"kubectl"}, args...)
			k := kubectl.NewDefaultKubectlCommand()
			k.SetArgs(args)
			return k.ExecuteContext(cmd.Context())
		},
	}
}

func versionCommand() *cobra.Command {
	return &cobra.Command{
		Use:   "version",
		Short: "Print the versions of Tarn and of the Kubernetes in it",
		Args:  cobra.NoArgs,
		Run: func(cmd *cobra.Command, _ []string) {
			fmt.Fprintf(cmd.OutOrStdout(), "tarn %s\nKubernetes v%s\n", version, cluster.Version)
		},
	}
}
