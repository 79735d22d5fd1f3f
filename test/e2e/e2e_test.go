// Package e2e shows a real region at work: each script in testdata reads like a
// session of a person at a terminal. The scripts need root and the binary that
// `make build` makes (or TARN_BIN); without root they are skipped.
//
// A region has a state directory and ports of its own. Whatever happens to the
// test, also kill -9, its region is deleted; when the test failed, the region's
// logs are kept and their place is printed.
package e2e

import (
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/rogpeppe/go-internal/testscript"
)

func TestMain(m *testing.M) {
	testscript.Main(main{m}, map[string]func(){
		"tarn":        tarnProgram,
		"aws":         awsProgram,
		"account":     accountProgram,
		"awsclient":   awsClientProgram,
		"eks":         eksProgram,
		"autoscaling": autoscalingProgram,
		"fetch":       fetchProgram,
		"image":       imageProgram,
		"machine":     machineProgram,
		"presign":     presignProgram,
		"processes":   processesProgram,
		"waitfor":     waitforProgram,
		"settles":     settlesProgram,
		"still":       stillProgram,
		"listen":      listenProgram,
		"reach":       reachProgram,
		"isolated":    isolatedProgram,
		"resolve":     resolveProgram,
		"browse":      browseProgram,
		"load":        loadProgram,
	})
}

type main struct{ *testing.M }

// Run runs the tests. Scripts wait for Kubernetes most of their time, so more
// of them run at once than there are CPUs.
func (m main) Run() int {
	flag.Parse()
	parallel := true
	flag.Visit(func(f *flag.Flag) { parallel = parallel && f.Name != "test.parallel" })
	if parallel {
		if err := flag.Set("test.parallel", "6"); err != nil {
			panic(err)
		}
	}
	code := m.M.Run()
	if os.Geteuid() != 0 {
		fmt.Println("end-to-end tests: skipped,", needsRoot)
	}
	return code
}

// TestAlone runs scripts that look at the whole machine: what is on it before a
// region and after.
func TestAlone(t *testing.T) {
	run(t, "testdata/alone", ownRegion(t))
}

// TestShared runs scripts inside one region, each in a namespace of its own.
func TestShared(t *testing.T) {
	requirements(t)
	r := newRegion(t)
	r.tarn(t, append([]string{"up", "-f", "testdata/shared/cluster.yaml"}, r.ports()...)...)
	run(t, "testdata/shared", func(env *testscript.Env) error {
		name, t := namespaceOf(env), env.T().(testing.TB)
		r.tarn(t, "kubectl", "create", "namespace", name)
		r.tarn(t, "kubectl", "wait", "--namespace", name, "--for=create", "serviceaccount/default")
		t.Cleanup(func() { r.explain(t, name) })
		r.environment(env)
		env.Setenv("NAMESPACE", name)
		return nil
	})
}

// TestOwn runs scripts that start, stop and break a region each: as many at once as
// the machine bears, and those that take longest first.
func TestOwn(t *testing.T) {
	setup := ownRegion(t)
	files, err := filepath.Glob("testdata/own/*.txtar")
	if err != nil {
		t.Fatal(err)
	}
	slices.SortStableFunc(files, func(a, b string) int { return costOf(b).seconds - costOf(a).seconds })
	m := newMachine()
	var running sync.WaitGroup
	for _, file := range files {
		c := costOf(file)
		m.take(c)
		running.Go(func() {
			defer m.give(c)
			testscript.RunT(inTurn{t}, params(setup, testscript.Params{Files: []string{file}}))
		})
	}
	running.Wait()
}

// inTurn is a test whose scripts start when they are told to.
type inTurn struct{ *testing.T }

func (t inTurn) Parallel()     {}
func (t inTurn) Verbose() bool { return testing.Verbose() }

func (t inTurn) Run(name string, f func(testscript.T)) {
	t.T.Run(name, func(t *testing.T) { f(inTurn{t}) })
}

// ownRegion gives a script the places for two regions, which it brings up itself.
func ownRegion(t *testing.T) func(*testscript.Env) error {
	requirements(t)
	return func(env *testscript.Env) error {
		t := env.T().(testing.TB)
		newRegion(t).environment(env)
		env.Setenv("SECOND_DATA_DIR", newRegion(t).dir)
		env.Setenv("NAMESPACE", "default")
		return nil
	}
}

// namespaceOf is the last part of the script's name.
func namespaceOf(env *testscript.Env) string {
	name := env.T().(testing.TB).Name()
	return name[strings.LastIndex(name, "/")+1:]
}

func run(t *testing.T, dir string, setup func(*testscript.Env) error) {
	testscript.Run(t, params(setup, testscript.Params{Dir: dir}))
}

// params are p with what all scripts have.
func params(setup func(*testscript.Env) error, p testscript.Params) testscript.Params {
	p.Setup = setup
	p.Cmds = map[string]func(*testscript.TestScript, bool, []string){
		"as":      as,
		"kubectl": kubectl,
		"let":     let,
		"within":  within,
	}
	p.RequireUniqueNames = true
	return p
}
