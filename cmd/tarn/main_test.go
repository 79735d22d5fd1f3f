package main

import (
	"bytes"
	"encoding/json"
	"errors"
	"io"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/tarn-eks/tarn/internal/eksctl"
	"github.com/tarn-eks/tarn/internal/region"
)

// The test binary is tarn where TARN_TEST_MAIN is set.
func TestMain(m *testing.M) {
	if os.Getenv("TARN_TEST_MAIN") != "" {
		main()
		return
	}
	os.Exit(m.Run())
}

// tarn runs a command in this process.
func tarn(t *testing.T, args ...string) (stdout string, err error) {
	t.Helper()
	t.Setenv("TARN_DATA_DIR", "")
	var out, errors bytes.Buffer
	err = run(t.Context(), args, &out, &errors)
	return out.String(), err
}

// stateDir is a state directory with files in it.
func stateDir(t *testing.T, files map[string]string) string {
	t.Helper()
	dir := t.TempDir()
	for name, content := range files {
		path := filepath.Join(dir, name)
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			t.Fatal(err)
		}
		if strings.HasSuffix(name, "/") {
			if err := os.MkdirAll(path, 0o755); err != nil {
				t.Fatal(err)
			}
		} else if err := os.WriteFile(path, []byte(content), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	return dir
}

func identity(t *testing.T, id region.Identity) map[string]string {
	t.Helper()
	data, err := json.Marshal(id)
	if err != nil {
		t.Fatal(err)
	}
	return map[string]string{"region.json": string(data)}
}

var known = region.Identity{
	Account: "000000000000", Region: "ap-northeast-2", Cluster: "eks-work",
	Ports: region.Ports{Endpoint: 4566, API: 6443, Registry: 5000},
}

// withKeys adds root's keys to a state directory's files.
func withKeys(files map[string]string) map[string]string {
	files["credentials"] = "[default]\naws_access_key_id = AKIAEXAMPLE\naws_secret_access_key = a/b+c\n"
	return files
}

// says checks that an error says all that it should.
func says(t *testing.T, what string, err error, words ...string) {
	t.Helper()
	if err == nil {
		t.Errorf("%s: no error", what)
		return
	}
	for _, w := range words {
		if !strings.Contains(err.Error(), w) {
			t.Errorf("%s: %q does not say %q", what, err, w)
		}
	}
}

// What needs root says so in one line, whatever else is wrong.
func TestAsksForRoot(t *testing.T) {
	dir := stateDir(t, identity(t, known))
	for _, d := range []string{dir, filepath.Dir(dir)} { // for nobody to read
		if err := os.Chmod(d, 0o755); err != nil {
			t.Fatal(err)
		}
	}
	for _, command := range []string{"up", "down", "delete"} {
		cmd := exec.Command("/proc/self/exe", command, "--data-dir", dir)
		cmd.Env = append(os.Environ(), "TARN_TEST_MAIN=1")
		if os.Geteuid() == 0 {
			cmd.SysProcAttr = &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: 65534, Gid: 65534}}
		}
		var stdout, stderr bytes.Buffer
		cmd.Stdout, cmd.Stderr = &stdout, &stderr
		var exit *exec.ExitError
		if err := cmd.Run(); !errors.As(err, &exit) || exit.ExitCode() != 1 {
			t.Errorf("%s: %v", command, err)
		}
		text := stderr.String()
		if !strings.HasPrefix(text, "tarn: ") || !strings.Contains(text, "root: run it with sudo") || strings.Count(text, "\n") != 1 || stdout.Len() > 0 {
			t.Errorf("%s says %q and %q", command, text, &stdout)
		}
	}
}

func TestCommandsWithoutARegion(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "none")
	for _, args := range [][]string{{"env"}, {"status"}, {"down"}, {"delete"}, {"trail"}, {"image", "load", "x.tar"}} {
		_, err := tarn(t, append(args, "--data-dir", dir)...)
		says(t, args[0], err, "there is no region in "+dir)
	}
	for _, args := range [][]string{{"kubectl", "--data-dir", dir, "get", "pods"}, {"aws", "--data-dir", dir, "eks", "list-clusters"}} {
		_, err := tarn(t, args...)
		says(t, args[0], err, "there is no region in "+dir)
	}
	if _, err := os.Stat(dir); err == nil {
		t.Error("a command that found nothing made the directory")
	}

	dir = stateDir(t, identity(t, known))
	_, err := tarn(t, "status", "--data-dir", dir)
	says(t, "status", err, "not running", "tarn up")
	_, err = tarn(t, "status", "--data-dir", dir, "-o", "yaml")
	says(t, "status -o yaml", err, "yaml", "json")
	_, err = tarn(t, "kubectl", "--data-dir="+dir, "get", "pods")
	says(t, "kubectl before the cluster is up", err, "not up yet")
	for _, args := range [][]string{{"env", "--data-dir", dir}, {"aws", "--data-dir=" + dir, "s3", "ls"}} {
		_, err = tarn(t, args...)
		says(t, args[0]+" before there are keys", err, dir, "no keys yet", "tarn up")
	}
}

func TestDataDirFromTheEnvironment(t *testing.T) {
	dir := stateDir(t, withKeys(identity(t, known)))
	t.Setenv("TARN_DATA_DIR", dir)
	var out bytes.Buffer
	if err := run(t.Context(), []string{"env"}, &out, io.Discard); err != nil || !strings.Contains(out.String(), dir) {
		t.Errorf("%s, %v", &out, err)
	}
}

func TestRefuseForeign(t *testing.T) {
	for _, test := range []struct {
		name  string
		files map[string]string
		holds string // empty: it may be deleted
	}{
		{"a region", map[string]string{"region.json": "{}", "anything": ""}, ""},
		{"a damaged region", map[string]string{"region.json": "{"}, ""},
		{"a region that did not get far", map[string]string{"run/lock": "", "log/region.log": "", "etcd/": "", "credentials": "", "session.key": ""}, ""},
		{"an empty directory", nil, ""},
		{"somebody's home", map[string]string{"run/lock": "", "thesis.tex": ""}, "thesis.tex"},
		{"a hidden file", map[string]string{".ssh/id": ""}, ".ssh"},
	} {
		err := refuseForeign(stateDir(t, test.files))
		if test.holds == "" {
			if err != nil {
				t.Errorf("%s: %v", test.name, err)
			}
			continue
		}
		says(t, test.name, err, test.holds, "nothing was deleted")
	}
	if err := refuseForeign(filepath.Join(t.TempDir(), "missing")); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("no directory: %v", err)
	}
	dir := stateDir(t, map[string]string{"thesis.tex": "x"})
	_, err := tarn(t, "delete", "--data-dir", dir)
	says(t, "delete", err, "thesis.tex")
	if _, err := os.Stat(filepath.Join(dir, "thesis.tex")); err != nil {
		t.Error(err)
	}
}

func TestDeleteOfARegionThatDidNotGetFar(t *testing.T) {
	if os.Geteuid() != 0 {
		t.Skip("giving back cgroups and namespaces needs root")
	}
	dir := stateDir(t, map[string]string{"run/": "", "log/region.log": "x", "etcd/": ""})
	if out, err := tarn(t, "delete", "--data-dir", dir); err != nil || !strings.Contains(out, dir) {
		t.Errorf("%q, %v", out, err)
	}
	if _, err := os.Stat(dir); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("the directory is left: %v", err)
	}
}

func TestPrintStatus(t *testing.T) {
	started := time.Now().Add(-90*time.Second - 100*time.Millisecond)
	s := region.Status{
		Region: "ap-northeast-2", Account: "000000000000", Endpoint: "http://127.0.0.1:4566", Registry: "127.0.0.1:5000", Kubeconfig: "/var/lib/tarn/kubeconfig",
		CA: "/var/lib/tarn/ca/root.crt", DNS: "127.0.0.1:5053", HTTPS: "127.0.0.1:443", HTTP: "127.0.0.1:80",
		LoadBalancers: []region.LoadBalancerStatus{{
			Name: "a15ae9210c5304ef3b1503801b186d10", Address: "127.98.235.118", Ports: []int{443, 80}, InService: 2, Instances: 3,
			Names: []string{"api.example.com", "www.example.com"},
		}},
		Cluster: &region.ClusterStatus{Name: "eks-work", Version: "1.37.2", Endpoint: "https://127.0.0.1:6443"},
		Nodegroups: []region.NodegroupStatus{{
			Name: "eks-work-nodegroup", InstanceType: "t3.medium", Min: 3, Max: 5, Desired: 3,
			AutoScalingGroup: "eks-eks-work-nodegroup-c4c9c78f-c14e-3f1b-74e6-629a0886691d",
		}},
		Instances: []region.InstanceStatus{
			{ID: "i-0123456789abcdef0", Type: "t3.medium", State: "running", Zone: "ap-northeast-2a", Address: "192.168.12.34", Nodegroup: "eks-work-nodegroup", Launched: started},
			{ID: "i-0123456789abcdef1", Type: "t3.medium", State: "shutting-down", Zone: "ap-northeast-2b", Address: "192.168.45.6", Nodegroup: "eks-work-nodegroup", Launched: started},
		},
		Processes: []region.ProcessStatus{
			{Name: "region", PID: 100, Started: started, Log: "/var/lib/tarn/log/region.log"},
			{Name: "i-0123456789abcdef0", PID: 12345, Restarts: 2, Started: started, Log: "/var/lib/tarn/log/i-0123456789abcdef0.log"},
		},
	}
	for file, s := range map[string]region.Status{
		"testdata/status.txt":     s,
		"testdata/no-cluster.txt": {Region: s.Region, Account: s.Account, Endpoint: s.Endpoint, Registry: s.Registry, Kubeconfig: s.Kubeconfig, CA: s.CA, DNS: s.DNS, HTTPS: s.HTTPS, HTTP: s.HTTP, Processes: s.Processes[:1]},
	} {
		var got bytes.Buffer
		if err := printStatus(s, &got); err != nil {
			t.Fatal(err)
		}
		want, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(string(want), got.String()); diff != "" {
			t.Errorf("%s: %s", file, diff)
		}
	}
}

// roundTrip is what a shell makes of a word.
func roundTrip(t *testing.T, s string) string {
	t.Helper()
	out, err := exec.Command("/bin/sh", "-c", "printf %s "+shellQuote(s)).Output()
	if err != nil {
		t.Fatalf("%q: %v", shellQuote(s), err)
	}
	return string(out)
}

func TestShellQuote(t *testing.T) {
	for s, want := range map[string]string{
		"/var/lib/tarn-2_x.y:z": "/var/lib/tarn-2_x.y:z", // stays readable
		"":                      "''",
		"a b":                   "'a b'",
		"it's":                  `'it'\''s'`,
		"$HOME":                 "'$HOME'",
	} {
		if got := shellQuote(s); got != want {
			t.Errorf("%q: %s, want %s", s, got, want)
		}
		if got := roundTrip(t, s); got != s {
			t.Errorf("a shell makes %q of %q", got, s)
		}
	}
}

// FuzzShellQuote: a shell reads back every word that a process can be given.
func FuzzShellQuote(f *testing.F) {
	for _, s := range []string{"", "a", "'", "''", `\`, "\n", "$(id)", "`id`", "*", "~", "-n", "!", "가", "\xff", "a;b", "%s"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		if strings.ContainsRune(s, 0) || len(s) > 10_000 {
			t.Skip("no argument of a program")
		}
		if got := roundTrip(t, s); got != s {
			t.Errorf("a shell makes %q of %q", got, s)
		}
	})
}

func TestVersion(t *testing.T) {
	if out, err := tarn(t, "version"); err != nil || !strings.Contains(out, "tarn dev\nKubernetes v1.") {
		t.Errorf("%q, %v", out, err)
	}
}

func TestBuiltInIsWhatIsSaid(t *testing.T) {
	help, err := tarn(t, "up", "--help")
	if err != nil {
		t.Fatal(err)
	}
	cc := eksctl.Default("1.37.2")
	for _, want := range []string{cc.Name, cc.Region, cc.NodeGroups[0].InstanceType} {
		if !strings.Contains(help, want) {
			t.Errorf("the help does not say %s", want)
		}
	}
}
