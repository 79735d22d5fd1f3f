package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"time"

	"github.com/spf13/cobra"

	"github.com/tarn-eks/tarn/internal/cluster"
	"github.com/tarn-eks/tarn/internal/eksctl"
	"github.com/tarn-eks/tarn/internal/region"
)

type upOptions struct {
	file       string
	account    string
	ports      region.Ports
	allowReset bool
	foreground bool
	timeout    time.Duration
}

func upCommand(dataDir *string) *cobra.Command {
	var o upOptions
	cmd := &cobra.Command{
		Use:   "up",
		Short: "Start the region, or bring it to what a cluster file says",
		Long: `Start the region and its EKS cluster, and return when all nodes are Ready. The
region goes on in the background. Running it again is harmless; with -f it
brings the cluster to what the file says.

FILE is an eksctl ClusterConfig. Without one, a region that exists comes back as
it was, and a new one gets the cluster eks-work in ap-northeast-2 with a node
group of three to five t3.medium.`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			return up(cmd.Context(), *dataDir, o, cmd.OutOrStdout(), cmd.ErrOrStderr())
		},
	}
	f := cmd.Flags()
	f.StringVarP(&o.file, "file", "f", "", "eksctl ClusterConfig")
	f.StringVar(&o.account, "account", "000000000000", "AWS account id of a new region")
	o.ports.Flags(func(port *int, name, what string, first int) {
		f.IntVar(port, name, 0, fmt.Sprintf("loopback port of the %s (default %d)", what, first))
	})
	f.BoolVar(&o.allowReset, "allow-reset", false, "let POST /_tarn/reset wipe what clients made, for test suites")
	f.BoolVar(&o.foreground, "foreground", false, "stay in the foreground; Ctrl-C stops the region")
	f.DurationVar(&o.timeout, "timeout", 5*time.Minute, "how long to wait for the nodes")
	return cmd
}

func up(ctx context.Context, dataDir string, o upOptions, stdout, stderr io.Writer) error {
	if err := region.Preflight(dataDir); err != nil {
		return err
	}
	if err := checkAccount(o.account); err != nil {
		return err
	}
	name, file, cc, err := clusterFile(dataDir, o.file, stderr)
	if err != nil {
		return err
	}
	identity := region.Identity{Account: o.account, Ports: o.ports}
	if cc != nil {
		identity.Region = cc.Region
	}
	began := time.Now()
	client, err := region.Dial(dataDir)
	if errors.Is(err, region.ErrNotRunning) {
		if problem := region.InotifyProblem(wantedNodes(cc)); problem != "" {
			fmt.Fprintln(stderr, "warning:", problem)
		}
	}
	var started *daemon
	switch {
	case errors.Is(err, region.ErrNotRunning) && o.foreground:
		return foreground(ctx, dataDir, identity, o, name, file, stdout)
	case errors.Is(err, region.ErrNotRunning):
		if started, client, err = startRegion(ctx, dataDir, identity, o.allowReset); err != nil {
			return err
		}
	case err != nil:
		return err
	case o.foreground:
		return fmt.Errorf("%w on %s: `tarn down` stops it", region.ErrRunning, dataDir)
	}
	progress := newPrinter(stdout)
	err = client.Up(ctx, name, file, o.timeout, progress.show)
	progress.end()
	if ctx.Err() != nil {
		err = errors.New("interrupted")
	}
	if err != nil {
		if started != nil {
			fmt.Fprintln(stderr, "stopping what was started …")
			err = errors.Join(err, started.stop(context.WithoutCancel(ctx), client))
		}
		return fmt.Errorf("%w\nThe region's log: %s", err, region.LogFile(dataDir))
	}
	return printNext(ctx, client, dataDir, time.Since(began), stdout)
}

// wantedNodes is how many nodes a file asks for; one at least, as of a region that
// comes back.
func wantedNodes(cc *eksctl.ClusterConfig) int {
	n := 0
	if cc != nil {
		for _, g := range cc.NodeGroups {
			n += g.Desired
		}
	}
	return max(1, n)
}

func checkAccount(account string) error {
	if len(account) != 12 || strings.Trim(account, "0123456789") != "" {
		return fmt.Errorf("--account %q: an AWS account id has twelve digits", account)
	}
	return nil
}

// clusterFile reads the file that was named, or the built-in one for a new
// region. It returns nothing for a region that comes back as it was.
func clusterFile(dataDir, name string, stderr io.Writer) (string, []byte, *eksctl.ClusterConfig, error) {
	if name == "" {
		id, err := region.LoadIdentity(dataDir)
		if err == nil && id.Cluster != "" {
			return "", nil, nil, nil
		}
		if err != nil && !errors.Is(err, fs.ErrNotExist) {
			return "", nil, nil, err
		}
		// New, or its first start did not get as far as a cluster.
		return "eks-work.yaml (built in)", eksctl.BuiltIn, eksctl.Default(cluster.Version), nil
	}
	data, err := readFile(name)
	if err != nil {
		return "", nil, nil, fmt.Errorf("reading the cluster file: %w", err)
	}
	cc, unsupported, err := eksctl.Load(name, strings.NewReader(string(data)), cluster.Version)
	if err != nil {
		return "", nil, nil, err
	}
	if text := unsupported.String(); text != "" {
		fmt.Fprintln(stderr, "warning:", text)
	}
	return name, data, cc, nil
}

func readFile(name string) ([]byte, error) {
	if name == "-" {
		return io.ReadAll(os.Stdin)
	}
	return os.ReadFile(name)
}

// daemon is a region process that this command has started.
type daemon struct {
	cmd    *exec.Cmd
	exited chan struct{}
	log    string
}

// startRegion starts the region process in a session of its own, and returns
// when it answers.
func startRegion(ctx context.Context, dataDir string, id region.Identity, allowReset bool) (*daemon, *region.Client, error) {
	d := &daemon{exited: make(chan struct{}), log: region.LogFile(dataDir)}
	if err := os.MkdirAll(filepath.Dir(d.log), 0o755); err != nil {
		return nil, nil, fmt.Errorf("making the log directory: %w", err)
	}
	log, err := os.OpenFile(d.log, os.O_CREATE|os.O_APPEND|os.O_RDWR, 0o640)
	if err != nil {
		return nil, nil, fmt.Errorf("opening the region's log: %w", err)
	}
	defer log.Close()
	before, err := log.Seek(0, io.SeekEnd)
	if err != nil {
		return nil, nil, err
	}
	d.cmd = &exec.Cmd{Path: "/proc/self/exe", Args: regionArgs(dataDir, id, allowReset)}
	d.cmd.Stdout, d.cmd.Stderr = log, log
	d.cmd.SysProcAttr = &syscall.SysProcAttr{Setsid: true}
	if err := d.cmd.Start(); err != nil {
		return nil, nil, fmt.Errorf("starting the region: %w", err)
	}
	go func() {
		_ = d.cmd.Wait()
		close(d.exited)
	}()
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	for {
		if client, err := region.Dial(dataDir); err == nil {
			return d, client, nil
		}
		select {
		case <-d.exited:
			return nil, nil, fmt.Errorf("%s\nThe region's log: %s", lastError(d.log, before), d.log)
		case <-ctx.Done():
			_ = d.cmd.Process.Signal(syscall.SIGTERM)
			<-d.exited
			return nil, nil, ctx.Err()
		case <-tick.C:
		}
	}
}

func regionArgs(dataDir string, id region.Identity, allowReset bool) []string {
	args := []string{"tarn", "region", "--data-dir", dataDir, "--account", id.Account, "--region", id.Region, fmt.Sprintf("--allow-reset=%t", allowReset)}
	id.Ports.Flags(func(port *int, name, _ string, _ int) { args = append(args, fmt.Sprintf("--%s=%d", name, *port)) })
	return args
}

// stop stops the region and waits until it is gone.
func (d *daemon) stop(ctx context.Context, client *region.Client) error {
	err := client.Down(ctx)
	<-d.exited
	return err
}

// lastError is what a region that ended said from an offset of its log on: the
// role writes its error as the last thing, after `tarn: `.
func lastError(log string, from int64) string {
	data, err := os.ReadFile(log)
	if err != nil || int64(len(data)) < from {
		return "the region ended while it was starting"
	}
	text := strings.TrimSpace(string(data[from:]))
	if i := strings.LastIndex("\n"+text, "\ntarn: "); i >= 0 {
		return strings.TrimPrefix(text[i:], "tarn: ")
	}
	lines := strings.Split(text, "\n")
	return "the region ended while it was starting; it said:\n" + strings.Join(lines[max(0, len(lines)-8):], "\n")
}

func printNext(ctx context.Context, client *region.Client, dataDir string, took time.Duration, w io.Writer) error {
	s, err := client.Status(ctx)
	if err != nil {
		return err
	}
	flag := ""
	if dataDir != region.DefaultDataDir && os.Getenv("TARN_DATA_DIR") == "" {
		flag = " --data-dir " + dataDir
	}
	with := ""
	if s.Cluster != nil {
		with = ", with cluster " + s.Cluster.Name
	}
	fmt.Fprintf(w, `
Region %s is up%s, after %.1f s.

  eval "$(tarn env%s)"             # AWS_ENDPOINT_URL, keys and KUBECONFIG for this shell
  aws eks list-clusters            # or: tarn aws%s eks list-clusters
  tarn kubectl%s get nodes -o wide
  docker push %s/NAME:TAG   # then image: ACCOUNT.dkr.ecr.%s.amazonaws.com/NAME:TAG

`, s.Region, with, took.Seconds(), flag, flag, flag, s.Registry, s.Region)
	return nil
}
