package eksctl

import (
	"bytes"
	"encoding/json"
	"errors"
	"flag"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"testing/iotest"

	"github.com/google/go-cmp/cmp"
	"github.com/rogpeppe/go-internal/txtar"
)

var update = flag.Bool("update", false, "write what Load says into testdata/*.txtar")

const runs = "1.37" // the Kubernetes version of these tests' region

// TestLoad holds Load against testdata/*.txtar: pairs of NAME.yaml and
// NAME.want, the errors one a line, or the warning and the configuration.
func TestLoad(t *testing.T) {
	archives, err := filepath.Glob("testdata/*.txtar")
	if err != nil || len(archives) == 0 {
		t.Fatalf("no testdata: %v", err)
	}
	for _, path := range archives {
		t.Run(strings.TrimSuffix(filepath.Base(path), ".txtar"), func(t *testing.T) {
			archive, err := txtar.ParseFile(path)
			if err != nil {
				t.Fatal(err)
			}
			wants := map[string]string{}
			for _, f := range archive.Files {
				if name, ok := strings.CutSuffix(f.Name, ".want"); ok {
					wants[name] = string(f.Data)
				}
			}
			out := &txtar.Archive{Comment: archive.Comment}
			for _, f := range archive.Files {
				name, ok := strings.CutSuffix(f.Name, ".yaml")
				if !ok {
					continue
				}
				got := outcome(t, f.Name, f.Data)
				out.Files = append(out.Files, f, txtar.File{Name: name + ".want", Data: []byte(got)})
				if !*update {
					t.Run(name, func(t *testing.T) {
						if diff := cmp.Diff(wants[name], got); diff != "" {
							t.Errorf("-want +got:\n%s", diff)
						}
					})
				}
			}
			if *update {
				if err := os.WriteFile(path, txtar.Format(out), 0o644); err != nil {
					t.Fatal(err)
				}
			}
		})
	}
}

func outcome(t *testing.T, name string, data []byte) string {
	t.Helper()
	cfg, unsupported, err := Load(name, bytes.NewReader(data), runs)
	if err != nil {
		if cfg != nil {
			t.Error("a faulty file gave a configuration")
		}
		return err.Error() + "\n"
	}
	text, err := json.MarshalIndent(cfg, "", " ")
	if err != nil {
		t.Fatal(err)
	}
	if warning := unsupported.String(); warning != "" {
		return warning + "\n" + string(text) + "\n"
	}
	return string(text) + "\n"
}

func TestDefault(t *testing.T) {
	cfg := Default(runs)
	if len(cfg.NodeGroups) != 1 {
		t.Fatalf("%d node groups", len(cfg.NodeGroups))
	}
	g := cfg.NodeGroups[0]
	type essentials struct {
		name, region, version, group, instanceType, zones string
		managed                                           bool
		least, most, desired                              int
	}
	got := essentials{cfg.Name, cfg.Region, cfg.Version, g.Name, g.InstanceType, strings.Join(cfg.Zones, " "), g.Managed, g.Min, g.Max, g.Desired}
	want := essentials{"eks-work", "ap-northeast-2", runs, "eks-work-nodegroup", "t3.medium", "ap-northeast-2a ap-northeast-2b ap-northeast-2c", true, 3, 5, 3}
	if got != want {
		t.Errorf("Default =\n%+v, want\n%+v", got, want)
	}
}

func TestExampleIsTheBuiltInFile(t *testing.T) {
	example, err := os.ReadFile("../../examples/eks-work.yaml")
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(string(BuiltIn), string(example)); diff != "" {
		t.Errorf("examples/eks-work.yaml differs from internal/eksctl/eks-work.yaml (copy the latter over the former):\n%s", diff)
	}
}

func TestErrorsCarryTheirPlace(t *testing.T) {
	_, _, err := Load("c.yaml", strings.NewReader("apiVersion: eksctl.io/v1alpha5\nkind: ClusterConfig\nmetadata:\n  name: a\n  region: ap-northeast-9\n"), runs)
	var faults Errors
	if !errors.As(err, &faults) || len(faults) != 1 {
		t.Fatalf("err = %v", err)
	}
	if f := faults[0]; f.File != "c.yaml" || f.Line != 5 || f.Column != 11 || f.Path != "metadata.region" {
		t.Errorf("fault = %+v", f)
	}
}

func TestReadFailureIsNotAFault(t *testing.T) {
	_, _, err := Load("c.yaml", iotest.ErrReader(io.ErrClosedPipe), runs)
	var faults Errors
	if !errors.Is(err, io.ErrClosedPipe) || errors.As(err, &faults) {
		t.Errorf("err = %v", err)
	}
}

func TestTooLarge(t *testing.T) {
	for _, tc := range []struct{ name, text, want string }{
		{"bytes", strings.Repeat("#", maxBytes+1), "c.yaml:1:1: the file is larger than 256 KiB: is it a ClusterConfig?"},
		{"values", "[" + strings.Repeat("a,", maxValues+10) + "]", "more than 20000 values"},
		{"depth", strings.Repeat("[", 200) + strings.Repeat("]", 200), "nested more than 100 deep"},
		{"aliases", bomb(9), "more than 20000 values with all aliases expanded"},
		{"merges", mergeBomb(40), "more than 20000 values with all aliases expanded"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			_, _, err := Load("c.yaml", strings.NewReader(tc.text), runs)
			if err == nil || !strings.Contains(err.Error(), tc.want) || strings.Contains(err.Error(), "\n") {
				t.Errorf("err = %v", err)
			}
		})
	}
	many := head + "nodeGroups: [" + strings.Repeat("1,", 10*maxErrors) + "]\n"
	_, _, err := Load("c.yaml", strings.NewReader(many), runs)
	var faults Errors
	if !errors.As(err, &faults) || len(faults) != maxErrors+1 || !strings.Contains(faults[maxErrors].Problem, "too many errors") {
		t.Errorf("%d faults", len(faults))
	}
}

const head = "apiVersion: eksctl.io/v1alpha5\nkind: ClusterConfig\nmetadata: {name: a, region: ap-northeast-2}\n"

// bomb is the "billion laughs": each level holds the one before ten times.
func bomb(levels int) string {
	text := "a0: &a0 [x, x, x, x, x, x, x, x, x, x]\n"
	for i := 1; i <= levels; i++ {
		before := "*a" + string(rune('0'+i-1))
		text += "a" + string(rune('0'+i)) + ": &a" + string(rune('0'+i)) + " [" + strings.Repeat(before+", ", 9) + before + "]\n"
	}
	return text
}

// mergeBomb doubles by merge keys.
func mergeBomb(levels int) string {
	text := "m: &m0 {k: v}\n"
	for i := 1; i <= levels; i++ {
		before, this := "m"+strings.Repeat("i", i-1)+"0", "m"+strings.Repeat("i", i)+"0"
		text += this + ": &" + this + " {<<: [*" + before + ", *" + before + "]}\n"
	}
	return text
}

// TestSchema guards the embedded list of fields: it parses, and what Tarn acts
// on lies below fields that Tarn acts on.
func TestSchema(t *testing.T) {
	s, err := parseSchema(schemaText)
	if err != nil {
		t.Fatal(err)
	}
	for _, o := range s.objects {
		seen := map[string]bool{}
		for _, f := range o.fields {
			if seen[f.name] {
				t.Errorf("%s.%s is there twice", o.name, f.name)
			}
			seen[f.name] = true
		}
	}
	for _, path := range []string{"metadata", "managedNodeGroups[]", "nodeGroups[]", "iam.serviceAccounts[]", "vpc"} {
		found := false
		for _, places := range s.places {
			for _, p := range places {
				found = found || p == path
			}
		}
		if !found {
			t.Errorf("no field stands in %s", path)
		}
	}
	for _, bad := range []string{"", " a string\n", "A\nA\n", "ClusterConfig\n  a strnig\n", "ClusterConfig\n  a\n", "ClusterConfig\n  +None\n"} {
		if _, err := parseSchema(bad); err == nil {
			t.Errorf("parseSchema(%q) succeeds", bad)
		}
	}
}

func TestNearest(t *testing.T) {
	words := []string{"minSize", "maxSize", "instanceType", "name"}
	for word, want := range map[string]string{"minsize": "minSize", "minSzie": "minSize", "instancetypes": "instanceType", "labels": "", "nmae": "name", strings.Repeat("n", 1000): ""} {
		if got := nearest(word, words); got != want {
			t.Errorf("nearest(%.20q) = %q, want %q", word, got, want)
		}
	}
}

func TestRegionTable(t *testing.T) {
	for region, letters := range zoneLetters {
		if len(letters) < 2 {
			t.Errorf("%s has %d zones: EKS needs two", region, len(letters))
		}
		for i := 1; i < len(letters); i++ {
			if letters[i] <= letters[i-1] {
				t.Errorf("%s: letters %q are not in order", region, letters)
			}
		}
		for _, zone := range defaultZones(region, nil) {
			if fault := checkZone(zone, region); fault != "" {
				t.Error(fault)
			}
		}
	}
}
