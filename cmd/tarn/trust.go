package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"

	"github.com/spf13/cobra"

	"github.com/tarn-eks/tarn/internal/hostdns"
	"github.com/tarn-eks/tarn/internal/region"
	"github.com/tarn-eks/tarn/internal/truststore"
)

func trustCommand(dataDir *string) *cobra.Command {
	cmd := &cobra.Command{
		Use:   "trust",
		Short: "Have this machine trust the certificates that the region issues",
	}
	var list string
	install := &cobra.Command{
		Use:   "install",
		Short: "Trust the region's certificate authority",
		Long: `Put the certificate of the region's authority into the system's store, which
curl and most programs read, and into the databases of Chromium, its relatives
and Firefox of the user who calls this (by sudo). Java's store is changed too
where JAVA_HOME names one. Browsers that run see it when they start again.

Whoever can read the region's state directory can then make certificates that
this machine trusts. ` + "`tarn trust uninstall` and `tarn delete` undo it.",
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			stores, err := truststore.ParseStores(list)
			if err != nil {
				return fmt.Errorf("--store %s: %w", list, err)
			}
			if _, err := existing(*dataDir); err != nil {
				return err
			}
			if os.Geteuid() != 0 {
				return errors.New("changing what the system trusts needs root: run it with sudo")
			}
			var u truststore.User
			if slices.Contains(stores, truststore.Browsers) {
				if u, err = truststore.Caller(); err != nil {
					return err
				}
			}
			return installTrust(cmd.Context(), newTrust(*dataDir, u, cmd.OutOrStdout()), stores)
		},
	}
	install.Flags().StringVar(&list, "store", "system,browsers", "where to put it: system, browsers or both")
	cmd.AddCommand(install, &cobra.Command{
		Use:   "uninstall",
		Short: "Trust the region's certificate authority no longer",
		Long: `Remove the certificate of the region's authority, and no other, from the system's
store and from the browsers of the user who calls this and of all for whom it
was installed. The region may be down.`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if os.Geteuid() != 0 {
				return errors.New("changing what the system trusts needs root: run it with sudo")
			}
			// Without a user those remain for whom it was installed.
			u, _ := truststore.Caller()
			trust := newTrust(*dataDir, u, cmd.OutOrStdout())
			stores, err := trust.Recorded()
			if err != nil {
				return err
			}
			if _, err := os.Stat(trust.CAFile); err != nil && len(stores) == 0 {
				fmt.Fprintf(cmd.OutOrStdout(), "nothing was installed for a region in %s\n", *dataDir)
				return nil
			}
			return trust.Uninstall(cmd.Context(), truststore.All)
		},
	})
	return cmd
}

// newTrust is about the authority of the region in a state directory.
func newTrust(dataDir string, u truststore.User, w io.Writer) *truststore.Trust {
	return truststore.New(truststore.Config{
		CAFile: region.CAFile(dataDir),
		Record: filepath.Join(dataDir, "trust.json"),
		User:   u,
		Show:   func(line string) { fmt.Fprintln(w, line) },
	})
}

func installTrust(ctx context.Context, trust *truststore.Trust, stores []truststore.Store) error {
	if _, err := os.Stat(trust.CAFile); errors.Is(err, os.ErrNotExist) {
		return fmt.Errorf("the region has no certificate authority yet (%s): `tarn up` makes it", trust.CAFile)
	}
	return trust.Install(ctx, stores)
}

// uninstallAll removes from the machine what `tarn trust install` and `tarn dns
// install` have put there for a region. Its state directory is still there.
func uninstallAll(ctx context.Context, dataDir string, w io.Writer) error {
	return uninstallFrom(ctx, hostdns.New(hostdns.Config{DataDir: dataDir}), newTrust(dataDir, truststore.User{}, w), w)
}

func uninstallFrom(ctx context.Context, host *hostdns.Host, trust *truststore.Trust, w io.Writer) error {
	_, err := uninstallDNS(ctx, host, w)
	stores, failed := trust.Recorded()
	if failed == nil && len(stores) > 0 {
		failed = trust.Uninstall(ctx, stores)
	}
	return errors.Join(err, failed)
}
