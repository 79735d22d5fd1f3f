package main

import (
	"cmp"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"slices"
	"strings"
	"syscall"

	"github.com/spf13/cobra"

	"github.com/tarn-eks/tarn/internal/region"
)

// foreign tells the variables that would send a client to another account or
// endpoint, or would not go together with the region's keys.
func foreign(name string) bool {
	switch name {
	case "AWS_SESSION_TOKEN", "AWS_SECURITY_TOKEN", "AWS_PROFILE", "AWS_DEFAULT_PROFILE", "AWS_IGNORE_CONFIGURED_ENDPOINT_URLS":
		return true
	}
	return strings.HasPrefix(name, "AWS_ENDPOINT_URL_") // of one service: it would win
}

// environment is what AWS's clients and kubectl need, as names and values.
func environment(dataDir string) ([][2]string, error) {
	id, err := existing(dataDir)
	if err != nil {
		return nil, err
	}
	keys, err := region.LoadCredentials(dataDir)
	if err != nil {
		return nil, err
	}
	env := [][2]string{
		{"TARN_DATA_DIR", dataDir},
		{"KUBECONFIG", region.Kubeconfig(dataDir)},
		{"AWS_ENDPOINT_URL", id.Endpoint()},
		{"AWS_REGION", id.Region},
		{"AWS_DEFAULT_REGION", id.Region},
		{"AWS_ACCESS_KEY_ID", keys.AccessKeyID},
		{"AWS_SECRET_ACCESS_KEY", keys.SecretAccessKey},
	}
	// A proxy does not reach this machine's loopback. Clients differ in which of
	// the two names they look at, and one that is set hides the other.
	if os.Getenv("HTTP_PROXY") != "" || os.Getenv("http_proxy") != "" {
		for _, names := range [][2]string{{"NO_PROXY", "no_proxy"}, {"no_proxy", "NO_PROXY"}} {
			list := cmp.Or(os.Getenv(names[0]), os.Getenv(names[1]))
			env = append(env, [2]string{names[0], addHosts(list, "127.0.0.1", "localhost")})
		}
	}
	return env, nil
}

// addHosts adds what is missing to a list separated by commas.
func addHosts(list string, hosts ...string) string {
	have := strings.FieldsFunc(list, func(r rune) bool { return r == ',' || r == ' ' })
	for _, h := range hosts {
		if !slices.Contains(have, h) {
			have = append(have, h)
		}
	}
	return strings.Join(have, ",")
}

func envCommand(dataDir *string) *cobra.Command {
	return &cobra.Command{
		Use:   "env",
		Short: "Print what a shell needs: eval \"$(tarn env)\"",
		Args:  cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			env, err := environment(*dataDir)
			if err != nil {
				return err
			}
			// Each line ends in a semicolon, for a shell that was told eval $(tarn env)
			// without quotes, and joins the lines.
			for _, v := range env {
				fmt.Fprintf(cmd.OutOrStdout(), "export %s=%s;\n", v[0], shellQuote(v[1]))
			}
			// sudo hides most of its caller's variables, so some are unset unseen.
			unset := []string{"AWS_PROFILE", "AWS_DEFAULT_PROFILE", "AWS_SECURITY_TOKEN", "AWS_SESSION_TOKEN"}
			for _, v := range os.Environ() {
				if name, value, _ := strings.Cut(v, "="); value != "" && foreign(name) && !slices.Contains(unset, name) {
					unset = append(unset, shellQuote(name))
				}
			}
			fmt.Fprintf(cmd.OutOrStdout(), "unset %s;\n", strings.Join(unset, " "))
			return nil
		},
	}
}

func awsCommand(dataDir *string) *cobra.Command {
	return &cobra.Command{
		Use:                "aws",
		Short:              "The installed aws CLI, for the region",
		DisableFlagParsing: true, // everything is the CLI's, but a --data-dir before the rest
		RunE: func(_ *cobra.Command, args []string) error {
			dir, args := ownDataDir(*dataDir, args)
			env, err := environment(dir)
			if err != nil {
				return err
			}
			path, err := exec.LookPath("aws")
			if err != nil {
				return errors.New("the aws CLI is not installed: `apt-get install awscli` does it on Debian, https://docs.aws.amazon.com/cli/ tells of other systems")
			}
			id, err := existing(dir)
			if err != nil {
				return err
			}
			return syscall.Exec(path, awsArgs(id.Endpoint(), args), awsEnvironment(os.Environ(), env))
		},
	}
}

// awsArgs adds the endpoint, which CLIs before 2.13 do not take from the
// environment.
func awsArgs(endpoint string, args []string) []string {
	given := slices.ContainsFunc(args, func(a string) bool {
		return a == "--endpoint-url" || strings.HasPrefix(a, "--endpoint-url=")
	})
	if given || len(args) == 0 {
		return append([]string{"aws"}, args...)
	}
	return append([]string{"aws", "--endpoint-url", endpoint}, args...)
}

// awsEnvironment is the caller's environment with the region's in its place.
func awsEnvironment(have []string, set [][2]string) []string {
	replaced := func(v string) bool {
		name, _, _ := strings.Cut(v, "=")
		return foreign(name) || slices.ContainsFunc(set, func(s [2]string) bool { return s[0] == name })
	}
	env := slices.DeleteFunc(slices.Clone(have), replaced)
	for _, v := range set {
		env = append(env, v[0]+"="+v[1])
	}
	return env
}

// ownDataDir takes a --data-dir off the front of another program's arguments.
func ownDataDir(dataDir string, args []string) (string, []string) {
	if len(args) >= 2 && args[0] == "--data-dir" {
		return args[1], args[2:]
	}
	if len(args) >= 1 && strings.HasPrefix(args[0], "--data-dir=") {
		return strings.TrimPrefix(args[0], "--data-dir="), args[1:]
	}
	return dataDir, args
}
