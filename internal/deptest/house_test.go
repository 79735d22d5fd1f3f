package deptest

import (
	"bytes"
	"encoding/json"
	"errors"
	"io"
	"os/exec"
	"slices"
	"strings"
	"testing"
)

// graph is what each package imports, tests aside.
type graph map[string][]string

// load asks the go command for all packages of the module and all they need.
func load(t *testing.T) graph {
	t.Helper()
	cmd := exec.Command("go", "list", "-deps", "-json=ImportPath,Imports", module+"/...")
	var stderr bytes.Buffer
	cmd.Stderr = &stderr
	out, err := cmd.Output()
	if err != nil {
		t.Fatalf("%v: %v\n%s", cmd.Args, err, stderr.Bytes())
	}
	g := graph{}
	for d := json.NewDecoder(bytes.NewReader(out)); ; {
		var p struct {
			ImportPath string
			Imports    []string
		}
		if err := d.Decode(&p); errors.Is(err, io.EOF) {
			return g
		} else if err != nil {
			t.Fatal(err)
		}
		g[p.ImportPath] = p.Imports
	}
}

// own are the module's packages, relative to it.
func (g graph) own() []string {
	var rooms []string
	for path := range g {
		if room, ok := strings.CutPrefix(path, module+"/"); ok {
			rooms = append(rooms, room)
		}
	}
	slices.Sort(rooms)
	return rooms
}

// chain is the shortest way from a package to one that is in to, or nil.
func (g graph) chain(from string, to func(string) bool) []string {
	came := map[string]string{from: ""}
	for queue := []string{from}; len(queue) > 0; queue = queue[1:] {
		for _, next := range g[queue[0]] {
			if _, seen := came[next]; seen {
				continue
			}
			came[next] = queue[0]
			if to(next) {
				var chain []string
				for p := next; p != ""; p = came[p] {
					chain = append(chain, strings.TrimPrefix(p, module+"/"))
				}
				slices.Reverse(chain)
				return chain
			}
			queue = append(queue, next)
		}
	}
	return nil
}

// in says whether a path matches one of the patterns.
func in(path string, patterns []string) bool {
	return slices.ContainsFunc(patterns, func(pattern string) bool {
		tree, ok := strings.CutSuffix(pattern, "...")
		if !ok {
			return path == pattern
		}
		tree = strings.TrimSuffix(tree, "/")
		return tree == "" || path == tree || strings.HasPrefix(path, tree+"/")
	})
}

// level is the floor of a room: the one that names it, or else a tree it is in.
func level(room string) (n int, ok bool) {
	for i, f := range floors {
		if slices.Contains(f.rooms, room) {
			return i, true
		}
		if in(room, f.rooms) {
			n, ok = i, true
		}
	}
	return n, ok
}

func TestFloors(t *testing.T) {
	g := load(t)
	for _, room := range g.own() {
		n, ok := level(room)
		if in(room, apart) == ok {
			t.Errorf("%s has no floor of its own: give it one in internal/deptest/house.go", room)
			continue
		}
		for _, path := range g[module+"/"+room] {
			to, own := strings.CutPrefix(path, module+"/")
			if !own {
				continue
			}
			if below, ok := level(to); in(room, apart) || in(to, apart) || ok && below >= n {
				t.Errorf("%s imports %s: imports point down, to lower floors only (internal/deptest/house.go)", room, to)
			}
		}
	}
}

func TestRules(t *testing.T) {
	g := load(t)
	rooms := g.own()
	for _, r := range rules {
		// A rule about a package that was renamed would forbid nothing.
		for _, pattern := range slices.Concat(r.from, r.except) {
			if !slices.ContainsFunc(rooms, func(room string) bool { return in(room, []string{pattern}) }) {
				t.Errorf("there is no package %s, which a rule speaks of", pattern)
			}
		}
		forbidden := func(path string) bool { return in(strings.TrimPrefix(path, module+"/"), r.to) }
		for _, room := range rooms {
			if !in(room, r.from) || in(room, r.except) {
				continue
			}
			path := module + "/" + room
			var chain []string
			if !r.direct {
				chain = g.chain(path, forbidden)
			} else if i := slices.IndexFunc(g[path], forbidden); i >= 0 {
				chain = []string{room, g[path][i]}
			}
			if chain != nil {
				t.Errorf("%s\nmay not be: %s", strings.Join(chain, "\n  → "), r.why)
			}
		}
	}
}

// TestCheck breaks rules on purpose: a check that finds nothing must be able to.
func TestCheck(t *testing.T) {
	g := graph{
		module + "/a": {"fmt", module + "/b"},
		module + "/b": {"x.io/y"},
		"x.io/y":      {"x.io/kubernetes/cmd"},
	}
	for _, tt := range []struct {
		from, to, want string
	}{
		{"a", "x.io/kubernetes/...", "a b x.io/y x.io/kubernetes/cmd"},
		{"a", "x.io/y", "a b x.io/y"},
		{"b", "x.io/kube/...", ""},
		{"b", "x.io", ""},
		{"b", "fmt", ""},
	} {
		got := g.chain(module+"/"+tt.from, func(path string) bool { return in(path, []string{tt.to}) })
		if strings.Join(got, " ") != tt.want {
			t.Errorf("from %s to %s: %v, want %s", tt.from, tt.to, got, tt.want)
		}
	}
	if n, ok := level("internal/loop/fleet"); !ok || floors[n].name != "loops" {
		t.Errorf("internal/loop/fleet is on floor %d (%v)", n, ok)
	}
	for room, want := range map[string]string{"internal/instance": "parts", "internal/instance/programs": "ground"} {
		if n, ok := level(room); !ok || !strings.HasPrefix(floors[n].name, want) {
			t.Errorf("%s is on floor %d (%v), not among the %s", room, n, ok, want)
		}
	}
	if _, ok := level("internal/util"); ok {
		t.Error("a package that no floor names has one")
	}
}
