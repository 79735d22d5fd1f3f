package eksctl

import (
	"bytes"
	"errors"
	"path/filepath"
	"strings"
	"testing"

	"github.com/rogpeppe/go-internal/txtar"
)

// FuzzLoad holds Load to its promises for any input: it ends without a panic,
// gives either a configuration that keeps the rules or errors that carry a
// place in the file, and says the same thing twice.
func FuzzLoad(f *testing.F) {
	f.Add(BuiltIn)
	archives, err := filepath.Glob("testdata/*.txtar")
	if err != nil {
		f.Fatal(err)
	}
	for _, path := range archives {
		archive, err := txtar.ParseFile(path)
		if err != nil {
			f.Fatal(err)
		}
		for _, file := range archive.Files {
			if strings.HasSuffix(file.Name, ".yaml") {
				f.Add(file.Data)
			}
		}
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		cfg, unsupported, err := Load("f", bytes.NewReader(data), runs)
		if again, _, err2 := Load("f", bytes.NewReader(data), runs); (err == nil) != (err2 == nil) || err != nil && err.Error() != err2.Error() || (cfg == nil) != (again == nil) {
			t.Fatalf("two readings differ:\n%v\n%v", err, err2)
		}
		lines := bytes.Count(data, []byte("\n")) + bytes.Count(data, []byte("\r")) +
			bytes.Count(data, []byte("\u0085")) + bytes.Count(data, []byte("\u2028")) + bytes.Count(data, []byte("\u2029")) + 1
		if err != nil {
			var faults Errors
			if !errors.As(err, &faults) || len(faults) == 0 {
				t.Fatalf("err = %#v", err)
			}
			for _, e := range faults {
				if e.Line < 1 || e.Column < 1 || e.Line > lines+1 || e.Problem == "" {
					t.Fatalf("no place in %d lines: %+v", lines, e)
				}
				if strings.ContainsAny(e.Error(), "\n\r") {
					t.Fatalf("more than one line: %q", e.Error())
				}
			}
			return
		}
		if unsupported.String() != "" && strings.ContainsAny(unsupported.String(), "\n\r") {
			t.Fatalf("the warning has several lines: %q", unsupported.String())
		}
		if cfg.Name == "" || cfg.Region == "" || cfg.Version != runs || len(cfg.Zones) < 2 || cfg.VPCCIDR.Overlaps(cfg.ServiceCIDR) {
			t.Fatalf("a bad configuration passed: %+v", cfg)
		}
		for _, g := range cfg.NodeGroups {
			if g.Name == "" || g.InstanceType == "" || g.Min < 0 || g.Min > g.Desired || g.Desired > g.Max || len(g.Zones) == 0 || g.VolumeSizeGiB < 1 {
				t.Fatalf("a bad node group passed: %+v", g)
			}
		}
	})
}
