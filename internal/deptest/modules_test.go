package deptest

import (
	"encoding/json"
	"os"
	"os/exec"
	"regexp"
	"strings"
	"testing"

	"github.com/tarn-eks/tarn/internal/cluster"
)

// modFile is the part of go.mod that the tests look at.
type modFile struct {
	Require []struct {
		Path, Version string
		Indirect      bool
	}
	Replace []struct {
		Old, New struct{ Path, Version string }
	}
}

func loadModFile(t *testing.T) modFile {
	t.Helper()
	out, err := exec.Command("go", "mod", "edit", "-json").Output()
	if err != nil {
		t.Fatalf("go mod edit -json: %v", err)
	}
	var m modFile
	if err := json.Unmarshal(out, &m); err != nil {
		t.Fatal(err)
	}
	return m
}

// TestKubernetesVersion: Kubernetes v1.X.Y wants its staging modules at v0.X.Y,
// and the cluster says which version it is.
func TestKubernetesVersion(t *testing.T) {
	m := loadModFile(t)
	staging := "v0" + strings.TrimPrefix(cluster.Version, "1")
	for _, r := range m.Require {
		if r.Path == "k8s.io/kubernetes" && r.Version != "v"+cluster.Version {
			t.Errorf("go.mod has Kubernetes %s, and cluster.Version is %s", r.Version, cluster.Version)
		}
	}
	if len(m.Replace) == 0 {
		t.Error("go.mod replaces no staging module of Kubernetes")
	}
	for _, r := range m.Replace {
		if r.New.Path != r.Old.Path || r.New.Version != staging {
			t.Errorf("go.mod replaces %s by %s %s, want %s", r.Old.Path, r.New.Path, r.New.Version, staging)
		}
	}
}

// TestDependenciesAreExplained: each direct dependency has its line, or is in a
// tree that has one.
func TestDependenciesAreExplained(t *testing.T) {
	doc, err := os.ReadFile("../../docs/dependencies.md")
	if err != nil {
		t.Fatal(err)
	}
	var explained []string
	for _, match := range regexp.MustCompile("`([^`]+)`").FindAllStringSubmatch(string(doc), -1) {
		explained = append(explained, match[1])
	}
	for _, r := range loadModFile(t).Require {
		if !r.Indirect && !in(r.Path, explained) {
			t.Errorf("docs/dependencies.md does not say what %s is for", r.Path)
		}
	}
}
