package main

import (
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// setEnv sets variables for the test; all others that commands look at are empty.
func setEnv(t *testing.T, set map[string]string) {
	t.Helper()
	for _, name := range []string{
		"HTTP_PROXY", "http_proxy", "NO_PROXY", "no_proxy", "AWS_PROFILE", "AWS_DEFAULT_PROFILE", "AWS_SESSION_TOKEN", "AWS_SECURITY_TOKEN",
	} {
		t.Setenv(name, set[name])
	}
	for name, value := range set {
		t.Setenv(name, value)
	}
}

func TestEnv(t *testing.T) {
	setEnv(t, nil)
	dir := stateDir(t, withKeys(identity(t, known)))
	got, err := tarn(t, "env", "--data-dir", dir)
	if err != nil {
		t.Fatal(err)
	}
	want := "export TARN_DATA_DIR=" + dir + ";\nexport KUBECONFIG=" + dir + "/kubeconfig;\n" +
		"export AWS_ENDPOINT_URL=http://127.0.0.1:4566;\nexport AWS_REGION=ap-northeast-2;\nexport AWS_DEFAULT_REGION=ap-northeast-2;\n" +
		"export AWS_ACCESS_KEY_ID=AKIAEXAMPLE;\nexport AWS_SECRET_ACCESS_KEY='a/b+c';\n" +
		"unset AWS_PROFILE AWS_DEFAULT_PROFILE AWS_SECURITY_TOKEN AWS_SESSION_TOKEN;\n"
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}

	// A shell takes it, also where the directory needs quotes.
	odd := filepath.Join(stateDir(t, nil), "it's a $HOME")
	if err := os.Rename(dir, odd); err != nil {
		t.Fatal(err)
	}
	if got, err = tarn(t, "env", "--data-dir", odd); err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command("/bin/sh", "-c", `eval $(cat); printf '%s|%s|%s|%s' "$TARN_DATA_DIR" "$KUBECONFIG" "$AWS_REGION" "$AWS_SECRET_ACCESS_KEY"`)
	cmd.Stdin = strings.NewReader(got)
	out, err := cmd.Output()
	if want := odd + "|" + odd + "/kubeconfig|ap-northeast-2|a/b+c"; err != nil || string(out) != want {
		t.Errorf("a shell has %q, %v, want %q", out, err, want)
	}
}

// What would lead clients elsewhere is taken out of the shell.
func TestEnvUnsetsWhatIsForeign(t *testing.T) {
	setEnv(t, map[string]string{"AWS_PROFILE": "work", "AWS_SESSION_TOKEN": "x", "AWS_ENDPOINT_URL_STS": "https://example.com", "AWS_PAGER": "less"})
	got, err := tarn(t, "env", "--data-dir", stateDir(t, withKeys(identity(t, known))))
	if err != nil {
		t.Fatal(err)
	}
	// As the README says, and without the quotes.
	cmd := exec.Command("/bin/sh", "-c", `eval $(cat); printf '%s|' "${AWS_PROFILE-unset}" "${AWS_SESSION_TOKEN-unset}" "${AWS_ENDPOINT_URL_STS-unset}" "${AWS_PAGER-unset}" "$AWS_ENDPOINT_URL"`)
	cmd.Stdin = strings.NewReader(got)
	out, err := cmd.Output()
	if want := "unset|unset|unset|less|http://127.0.0.1:4566|"; err != nil || string(out) != want {
		t.Errorf("a shell has %q, %v, want %q", out, err, want)
	}
	if strings.Contains(got, "AWS_PAGER") {
		t.Errorf("what leads nowhere is unset: %s", got)
	}
}

func TestEnvironmentBehindAProxy(t *testing.T) {
	const proxy, hosts = "http://proxy.example.com:3128", "127.0.0.1,localhost"
	dir := stateDir(t, withKeys(identity(t, known)))
	for _, test := range []struct {
		name         string
		env          map[string]string
		upper, lower string // empty: not set
	}{
		{"no proxy", map[string]string{"NO_PROXY": "example.com"}, "", ""},
		{"a proxy", map[string]string{"HTTP_PROXY": proxy}, hosts, hosts},
		{"in lower case", map[string]string{"http_proxy": proxy, "no_proxy": "example.com"}, "example.com," + hosts, "example.com," + hosts},
		// A client that prefers no_proxy must find the loopback in it.
		{"in both cases", map[string]string{"HTTP_PROXY": proxy, "no_proxy": "example.com"}, "example.com," + hosts, "example.com," + hosts},
		{"with a list of its own for each", map[string]string{"HTTP_PROXY": proxy, "NO_PROXY": "a", "no_proxy": "b,localhost"}, "a," + hosts, "b,localhost,127.0.0.1"},
		{"for HTTPS only", map[string]string{"HTTPS_PROXY": proxy}, "", ""},
	} {
		t.Run(test.name, func(t *testing.T) {
			setEnv(t, test.env)
			env, err := environment(dir)
			if err != nil {
				t.Fatal(err)
			}
			got := map[string]string{}
			for _, v := range env {
				got[v[0]] = v[1]
			}
			if got["NO_PROXY"] != test.upper || got["no_proxy"] != test.lower {
				t.Errorf("NO_PROXY=%q no_proxy=%q, want %q and %q", got["NO_PROXY"], got["no_proxy"], test.upper, test.lower)
			}
		})
	}
}

func TestEnvironmentOfADamagedRegion(t *testing.T) {
	files := identity(t, known)
	files["credentials"] = "[default]\naws_access_key_id = AKIAEXAMPLE\n"
	_, err := environment(stateDir(t, files))
	says(t, "no secret", err, "tarn up")
	_, err = environment(stateDir(t, map[string]string{"region.json": "{"}))
	says(t, "no identity", err, "damaged")
}

func TestAddHosts(t *testing.T) {
	for _, test := range []struct{ list, want string }{
		{"", "127.0.0.1,localhost"},
		{"localhost", "localhost,127.0.0.1"},
		{"a, b,,c ", "a,b,c,127.0.0.1,localhost"},
		{"localhost,127.0.0.1", "localhost,127.0.0.1"},
		{"10.127.0.0.1,localhost.example.com", "10.127.0.0.1,localhost.example.com,127.0.0.1,localhost"},
	} {
		if got := addHosts(test.list, "127.0.0.1", "localhost"); got != test.want {
			t.Errorf("%q: %q, want %q", test.list, got, test.want)
		}
	}
}

func TestAWSArgs(t *testing.T) {
	for _, test := range []struct{ args, want string }{
		{"eks list-clusters", "aws --endpoint-url http://e eks list-clusters"},
		{"--output json ec2 describe-vpcs", "aws --endpoint-url http://e --output json ec2 describe-vpcs"},
		{"sts get-caller-identity --endpoint-url http://mine", "aws sts get-caller-identity --endpoint-url http://mine"},
		{"--endpoint-url=http://mine sts get-caller-identity", "aws --endpoint-url=http://mine sts get-caller-identity"},
		{"--version", "aws --endpoint-url http://e --version"},
		{"", "aws"},
	} {
		if got := strings.Join(awsArgs("http://e", strings.Fields(test.args)), " "); got != test.want {
			t.Errorf("%q: %q, want %q", test.args, got, test.want)
		}
	}
}

func TestAWSEnvironment(t *testing.T) {
	have := []string{"PATH=/bin", "AWS_REGION=eu-west-1", "AWS_PROFILE=work", "AWS_SESSION_TOKEN=x", "AWS_ENDPOINT_URL_EKS=http://x", "AWS_PAGER=", "AWS_REGION_X=1", "odd"}
	before := slices.Clone(have)
	got := awsEnvironment(have, [][2]string{{"AWS_REGION", "ap-northeast-2"}, {"AWS_ACCESS_KEY_ID", "a=b"}})
	want := []string{"PATH=/bin", "AWS_PAGER=", "AWS_REGION_X=1", "odd", "AWS_REGION=ap-northeast-2", "AWS_ACCESS_KEY_ID=a=b"}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
	if !slices.Equal(have, before) {
		t.Errorf("what was there became %v", have)
	}
}

func TestOwnDataDir(t *testing.T) {
	for _, test := range []struct{ args, dir, rest string }{
		{"get pods", "/d", "get pods"},
		{"--data-dir /x get pods", "/x", "get pods"},
		{"--data-dir=/x get pods", "/x", "get pods"},
		{"get --data-dir /x", "/d", "get --data-dir /x"}, // the program's own
		{"--data-dir", "/d", "--data-dir"},
		{"--data-dir /x", "/x", ""},
		{"--data-dirs=/x y", "/d", "--data-dirs=/x y"},
		{"", "/d", ""},
	} {
		dir, rest := ownDataDir("/d", strings.Fields(test.args))
		if dir != test.dir || strings.Join(rest, " ") != test.rest {
			t.Errorf("%q: %q, %q", test.args, dir, rest)
		}
	}
}

// runAWS runs `tarn aws` in a process of its own, which the CLI replaces.
func runAWS(t *testing.T, path string, args ...string) (string, error) {
	t.Helper()
	cmd := exec.Command("/proc/self/exe", append([]string{"aws"}, args...)...)
	cmd.Env = []string{"TARN_TEST_MAIN=1", "PATH=" + path, "AWS_PROFILE=work", "AWS_REGION=eu-west-1", "MINE=kept"}
	out, err := cmd.CombinedOutput()
	return string(out), err
}

func TestAWS(t *testing.T) {
	dir := stateDir(t, withKeys(identity(t, known)))
	bin := t.TempDir()
	if out, err := runAWS(t, bin, "--data-dir", dir, "eks", "list-clusters"); err == nil || !strings.Contains(out, "not installed") || !strings.Contains(out, "awscli") {
		t.Errorf("without a CLI: %s, %v", out, err)
	}
	script := "#!/bin/sh\nprintf '%s|' \"$@\" \"$AWS_ENDPOINT_URL\" \"$AWS_REGION\" \"$AWS_ACCESS_KEY_ID\" \"${AWS_PROFILE-unset}\" \"$MINE\"\nexit 7\n"
	if err := os.WriteFile(filepath.Join(bin, "aws"), []byte(script), 0o755); err != nil {
		t.Fatal(err)
	}
	out, err := runAWS(t, bin, "--data-dir="+dir, "ec2", "describe-vpcs", "--filters", "Name=tag:a b,Values=*")
	want := "--endpoint-url|http://127.0.0.1:4566|ec2|describe-vpcs|--filters|Name=tag:a b,Values=*|http://127.0.0.1:4566|ap-northeast-2|AKIAEXAMPLE|unset|kept|"
	if exit, ok := err.(*exec.ExitError); !ok || exit.ExitCode() != 7 || out != want {
		t.Errorf("%q, %v, want %q and exit status 7", out, err, want)
	}
}
