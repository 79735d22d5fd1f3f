package main

import (
	"bytes"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/tarn-eks/tarn/internal/eksctl"
	"github.com/tarn-eks/tarn/internal/region"
)

func TestCheckAccount(t *testing.T) {
	for account, ok := range map[string]bool{
		"000000000000": true, "123456789012": true,
		"": false, "12345678901": false, "1234567890123": false, "12345678901a": false, "1234-5678-901": false, "１２３４": false,
	} {
		if err := checkAccount(account); (err == nil) != ok {
			t.Errorf("%q: %v", account, err)
		}
	}
	says(t, "an account", checkAccount("1"), "--account", "twelve")
}

const oneGroup = `apiVersion: eksctl.io/v1alpha5
kind: ClusterConfig
metadata: {name: mine, region: us-east-1}
managedNodeGroups:
- {name: g, instanceType: t3.small, desiredCapacity: 1}
`

func TestClusterFile(t *testing.T) {
	half := known
	half.Cluster = ""
	file := filepath.Join(stateDir(t, map[string]string{"mine.yaml": oneGroup}), "mine.yaml")
	for _, test := range []struct {
		name, dataDir, file string
		wantName            string
		wantFile            []byte
		wantCluster         string // empty: as it was
	}{
		{"new", filepath.Join(t.TempDir(), "new"), "", "eks-work.yaml (built in)", eksctl.BuiltIn, "eks-work"},
		{"one that exists", stateDir(t, identity(t, known)), "", "", nil, ""},
		{"one that got no cluster", stateDir(t, identity(t, half)), "", "eks-work.yaml (built in)", eksctl.BuiltIn, "eks-work"},
		{"new, from a file", filepath.Join(t.TempDir(), "new"), file, file, []byte(oneGroup), "mine"},
		{"one that exists, from a file", stateDir(t, identity(t, known)), file, file, []byte(oneGroup), "mine"},
	} {
		var warnings bytes.Buffer
		name, data, cc, err := clusterFile(test.dataDir, test.file, &warnings)
		if err != nil {
			t.Errorf("%s: %v", test.name, err)
			continue
		}
		if name != test.wantName || !bytes.Equal(data, test.wantFile) || (cc == nil) != (test.wantCluster == "") || cc != nil && cc.Name != test.wantCluster {
			t.Errorf("%s: %q, %d bytes, %+v", test.name, name, len(data), cc)
		}
		if warnings.Len() > 0 {
			t.Errorf("%s: %s", test.name, &warnings)
		}
	}
}

func TestClusterFileErrors(t *testing.T) {
	files := stateDir(t, map[string]string{
		"typo.yaml":    strings.Replace(oneGroup, "instanceType", "instanceTyp", 1),
		"no.yaml":      "\t",
		"warning.yaml": oneGroup + "secretsEncryption: {keyARN: \"arn:aws:kms:us-east-1:000000000000:key/x\"}\n",
	})
	at := func(name string) string { return filepath.Join(files, name) }
	fresh := filepath.Join(t.TempDir(), "new")

	_, _, _, err := clusterFile(fresh, at("missing.yaml"), &bytes.Buffer{})
	says(t, "no file", err, "missing.yaml")
	if !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("%v", err)
	}
	_, _, _, err = clusterFile(fresh, at("typo.yaml"), &bytes.Buffer{})
	says(t, "a typo", err, at("typo.yaml")+":5", "instanceTyp")
	_, _, _, err = clusterFile(fresh, at("no.yaml"), &bytes.Buffer{})
	says(t, "no YAML", err, at("no.yaml"))
	_, _, _, err = clusterFile(stateDir(t, map[string]string{"region.json": "{"}), "", &bytes.Buffer{})
	says(t, "a damaged region", err, "damaged", "tarn delete")

	var warnings bytes.Buffer
	if _, _, _, err := clusterFile(fresh, at("warning.yaml"), &warnings); err != nil {
		t.Fatal(err)
	}
	if w := warnings.String(); !strings.HasPrefix(w, "warning: ") || !strings.Contains(w, "secretsEncryption") || strings.Count(w, "\n") != 1 {
		t.Errorf("%q", w)
	}
}

func TestClusterFileFromStandardInput(t *testing.T) {
	r, w, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	defer func(before *os.File) { os.Stdin = before }(os.Stdin)
	os.Stdin = r
	if _, err := w.WriteString(oneGroup); err != nil {
		t.Fatal(err)
	}
	w.Close()
	name, data, cc, err := clusterFile(t.TempDir(), "-", &bytes.Buffer{})
	if err != nil || name != "-" || string(data) != oneGroup || cc.Name != "mine" {
		t.Errorf("%q, %q, %+v, %v", name, data, cc, err)
	}
}

func TestLastError(t *testing.T) {
	const before = "tarn: an error of the day before\n"
	const said = "the region ended while it was starting"
	for _, test := range []struct{ name, log, want string }{
		{"one line", "level=INFO msg=x\ntarn: port 5000 is taken\n", "port 5000 is taken"},
		{"several lines", "x\ntarn: no runc\non Debian: apt-get install runc\n", "no runc\non Debian: apt-get install runc"},
		{"the first line", "tarn: no root", "no root"},
		{"the last of two", "tarn: a\ntarn: b\n", "b"},
		{"not at the start of a line", "msg=\"tarn: x\"\n", said + "; it said:\nmsg=\"tarn: x\""},
		{"a panic", "1\n2\n3\n4\n5\n6\n7\n8\n9\n", said + "; it said:\n2\n3\n4\n5\n6\n7\n8\n9"},
	} {
		log := filepath.Join(t.TempDir(), "region.log")
		if err := os.WriteFile(log, []byte(before+test.log), 0o600); err != nil {
			t.Fatal(err)
		}
		if got := lastError(log, int64(len(before))); got != test.want {
			t.Errorf("%s: %q, want %q", test.name, got, test.want)
		}
		// A log that was rotated meanwhile is shorter.
		if got := lastError(log, 1<<20); got != said {
			t.Errorf("%s: %q", test.name, got)
		}
	}
	if got := lastError(filepath.Join(t.TempDir(), "missing"), 0); got != said {
		t.Errorf("no log: %q", got)
	}
}

// The region process understands what this command starts it with.
func TestRegionArgs(t *testing.T) {
	id := region.Identity{Account: "123456789012", Region: "us-east-1", Ports: region.Ports{Endpoint: 7566, API: 7443, Registry: 7000}}
	for _, allowReset := range []bool{false, true} {
		args := regionArgs("/x", id, allowReset)
		var dataDir string
		cmd := regionRole(&dataDir)
		cmd.Flags().StringVar(&dataDir, "data-dir", "", "")
		if err := cmd.ParseFlags(args[2:]); err != nil || dataDir != "/x" || len(cmd.Flags().Args()) != 0 {
			t.Fatalf("%v: data directory %q, %v", args, dataDir, err)
		}
		for flag, want := range map[string]string{
			"account": "123456789012", "region": "us-east-1", "endpoint-port": "7566", "api-port": "7443", "registry-port": "7000",
			"allow-reset": fmt.Sprint(allowReset),
		} {
			if got := cmd.Flag(flag).Value.String(); got != want {
				t.Errorf("--%s is %q, want %q", flag, got, want)
			}
		}
		if !slices.Equal(args[:2], []string{"tarn", "region"}) {
			t.Errorf("%v", args)
		}
	}
}
