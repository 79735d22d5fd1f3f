package metrics_test

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/tarn-eks/tarn/internal/metrics"
)

// noon is now in the tests.
var noon = time.Date(2026, 11, 29, 12, 0, 0, 0, time.UTC)

var cpu = metrics.ID{Namespace: "AWS/EC2", Name: "CPUUtilization", Dimensions: map[string]string{"InstanceId": "i-1"}}

type fixture struct {
	*testing.T
	*metrics.DB
}

func open(t *testing.T, dir string) *fixture {
	t.Helper()
	db, err := metrics.Open(dir, metrics.Options{Now: func() time.Time { return noon }})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := db.Close(); err != nil {
			t.Error(err)
		}
	})
	return &fixture{t, db}
}

// at is a datum so long after noon.
func at(id metrics.ID, after time.Duration, values ...float64) metrics.Datum {
	return metrics.Datum{ID: id, At: noon.Add(after), Unit: "Percent", Values: values}
}

func (f *fixture) put(data ...metrics.Datum) {
	f.Helper()
	if err := f.Put(f.Context(), data); err != nil {
		f.Fatal(err)
	}
}

// points are those from so long after noon to another time.
func (f *fixture) points(id metrics.ID, from, to, period time.Duration) []metrics.Point {
	f.Helper()
	points, err := f.Points(f.Context(), metrics.Query{ID: id, Start: noon.Add(from), End: noon.Add(to), Period: period})
	if err != nil {
		f.Fatal(err)
	}
	return points
}

func point(after time.Duration, unit string, s metrics.Statistics, values ...metrics.Weighted) metrics.Point {
	return metrics.Point{Start: noon.Add(after), Unit: unit, Statistics: s, Values: values, Known: values != nil}
}

func (f *fixture) same(what string, got, want any) {
	f.Helper()
	if d := cmp.Diff(want, got); d != "" {
		f.Errorf("%s: (-want +got)\n%s", what, d)
	}
}

func TestWhatIsOfOneSecondAddsUp(t *testing.T) {
	f := open(t, t.TempDir())
	f.put(at(cpu, -time.Minute, 1), at(cpu, -time.Minute, 3))
	f.put(at(cpu, -time.Minute+300*time.Millisecond, 3)) // kept to the second
	f.put(at(cpu, -59*time.Second, 10))
	f.put(metrics.Datum{ID: cpu, At: noon.Add(-30 * time.Second), Unit: "Percent", Values: []float64{2, 5, 7}, Counts: []float64{4, 0.5, 0}})
	f.same("a second", f.points(cpu, -time.Minute, -59*time.Second, time.Second), []metrics.Point{
		point(-time.Minute, "Percent", metrics.Statistics{Count: 3, Sum: 7, Min: 1, Max: 3}, metrics.Weighted{Value: 1, Count: 1}, metrics.Weighted{Value: 3, Count: 2}),
	})
	f.same("a minute", f.points(cpu, -time.Hour, 0, time.Minute), []metrics.Point{
		point(-time.Minute, "Percent", metrics.Statistics{Count: 8.5, Sum: 27.5, Min: 1, Max: 10}, metrics.Weighted{Value: 1, Count: 1},
			metrics.Weighted{Value: 2, Count: 4}, metrics.Weighted{Value: 3, Count: 2}, metrics.Weighted{Value: 5, Count: 0.5}, metrics.Weighted{Value: 10, Count: 1}),
	})
	f.same("before it", len(f.points(cpu, -time.Hour, -time.Minute, time.Minute)), 0)
}

// What is sampled each second weighs a sixtieth of a minute's sample, and the sum of
// what was counted is a whole number all the same.
func TestSharesOfAMinute(t *testing.T) {
	f := open(t, t.TempDir())
	share := 1.0 / 60
	total := 0
	for s := range 54 {
		n := []int{1, 1, 2, 7}[s%4]
		total += n
		f.put(metrics.Datum{ID: cpu, At: noon.Add(time.Duration(s-60) * time.Second), Values: []float64{float64(n) / share}, Counts: []float64{share}})
	}
	p := f.points(cpu, -time.Minute, 0, time.Minute)
	if len(p) != 1 || p[0].Sum != float64(total) || p[0].Count != 0.9 {
		t.Errorf("%+v, want a sum of %d", p, total)
	}
}

// More in a second than it has milliseconds, some in one call, at a time for which
// there are data already and newer ones.
func TestManyInASecond(t *testing.T) {
	dir := t.TempDir()
	f := open(t, dir)
	f.put(at(cpu, 0, 1))
	values := make([]float64, 800)
	for i := range values {
		values[i] = float64(i % 10)
	}
	for range 3 {
		f.put(at(cpu, -time.Hour, values...), at(cpu, -time.Hour, 4))
	}
	check := func(f *fixture, count, sum float64) {
		t.Helper()
		p := f.points(cpu, -time.Hour, 0, time.Second)
		if len(p) != 1 || p[0].Count != count || p[0].Sum != sum || len(p[0].Values) != 10 {
			t.Errorf("%+v", p)
		}
	}
	check(f, 2403, 3*3600+12)
	if err := f.Close(); err != nil {
		t.Fatal(err)
	}
	f = open(t, dir)
	f.put(at(cpu, -time.Hour, 5))
	check(f, 2404, 3*3600+17)
}

func TestStatisticSets(t *testing.T) {
	f := open(t, t.TempDir())
	set := func(after time.Duration, count, sum, low, high float64) metrics.Datum {
		return metrics.Datum{ID: cpu, At: noon.Add(after), Statistics: &metrics.Statistics{Count: count, Sum: sum, Min: low, Max: high}}
	}
	f.put(set(-time.Minute, 10, 50, 1, 9), set(-time.Minute, 2, 2, 0, 2), set(0, 3, 12, 4, 4), set(0, 0, 0, 0, 0))
	f.put(metrics.Datum{ID: cpu, At: noon.Add(-time.Minute), Values: []float64{100}})
	f.same("points", f.points(cpu, -time.Hour, time.Hour, time.Minute), []metrics.Point{
		{Start: noon.Add(-time.Minute), Unit: "None", Statistics: metrics.Statistics{Count: 13, Sum: 152, Min: 0, Max: 100}, Values: []metrics.Weighted{{Value: 100, Count: 1}}},
		point(0, "None", metrics.Statistics{Count: 3, Sum: 12, Min: 4, Max: 4}, metrics.Weighted{Value: 4, Count: 3}), // one value: it is known
	})
}

func TestUnitsDimensionsAndPhase(t *testing.T) {
	f := open(t, t.TempDir())
	seconds := metrics.Datum{ID: cpu, At: noon, Unit: "Seconds", Values: []float64{7}}
	more := metrics.ID{Namespace: cpu.Namespace, Name: cpu.Name, Dimensions: map[string]string{"InstanceId": "i-1", "Disk": "a"}}
	none := metrics.ID{Namespace: cpu.Namespace, Name: cpu.Name}
	f.put(at(cpu, 0, 1), seconds, at(more, 0, 2), at(none, 0, 3), at(cpu, 50*time.Second, 5))
	var got []string
	for _, p := range f.points(cpu, 0, time.Minute, time.Minute) {
		got = append(got, fmt.Sprint(p.Unit, p.Sum))
	}
	f.same("by unit", got, []string{"Percent6", "Seconds7"})
	f.same("more dimensions", f.points(more, 0, time.Minute, time.Minute)[0].Sum, 2.0)
	f.same("no dimension", f.points(none, 0, time.Minute, time.Minute)[0].Sum, 3.0)
	points, err := f.Points(t.Context(), metrics.Query{ID: cpu, Unit: "Percent", Start: noon.Add(-time.Minute), End: noon.Add(time.Hour), Period: time.Minute, Phase: 40 * time.Second})
	if err != nil || len(points) != 2 || !points[0].Start.Equal(noon.Add(-20*time.Second)) || points[1].Sum != 5 {
		t.Errorf("%+v, %v", points, err)
	}
	if _, err := f.Points(t.Context(), metrics.Query{ID: cpu, Start: noon, End: noon, Period: time.Millisecond}); err == nil {
		t.Error("a period of a millisecond is answered")
	}
}

func TestOldAndAhead(t *testing.T) {
	f := open(t, t.TempDir())
	f.put(at(cpu, metrics.MaxAhead, 1), at(cpu, -metrics.MaxAge, 2), at(cpu, 0, 3), at(cpu, -7*24*time.Hour, 4))
	f.put(at(cpu, -metrics.MaxAge, 5), at(cpu, -7*24*time.Hour, 6))
	var sums []float64
	for _, p := range f.points(cpu, -metrics.MaxAge, 3*time.Hour, time.Hour) {
		sums = append(sums, p.Sum)
	}
	f.same("sums", sums, []float64{7, 10, 3, 1})
	for _, after := range []time.Duration{-metrics.MaxAge - time.Hour, metrics.MaxAhead + time.Hour} {
		if err := f.Put(t.Context(), []metrics.Datum{at(cpu, 0, 100), at(cpu, after, 1)}); !errors.Is(err, metrics.ErrTooOld) {
			t.Errorf("%s: %v", after, err)
		}
	}
	f.same("nothing of a refused call", f.points(cpu, 0, time.Second, time.Second)[0].Sum, 3.0)
}

func TestList(t *testing.T) {
	f := open(t, t.TempDir())
	id := func(namespace, name string, dimensions ...string) metrics.ID {
		out := metrics.ID{Namespace: namespace, Name: name}
		for i := 0; i < len(dimensions); i += 2 {
			if out.Dimensions == nil {
				out.Dimensions = map[string]string{}
			}
			out.Dimensions[dimensions[i]] = dimensions[i+1]
		}
		return out
	}
	a, b, c, old := id("A", "x", "k", "1"), id("A", "x", "k", "2", "l", "3"), id("B", "y"), id("A", "old", "k", "1")
	f.put(at(c, 0, 1), at(b, -time.Minute, 1), at(a, -time.Minute, 1), at(a, 0, 1), at(old, -5*time.Hour, 1))
	f.put(metrics.Datum{ID: a, At: noon, Unit: "Count", Statistics: &metrics.Statistics{Count: 2, Sum: 3, Min: 1, Max: 2}})
	for _, tt := range []struct {
		like  metrics.ID
		since time.Duration
		want  []metrics.ID
	}{
		{metrics.ID{}, 24 * time.Hour, []metrics.ID{old, a, b, c}},
		{metrics.ID{}, 3 * time.Hour, []metrics.ID{a, b, c}},
		{metrics.ID{Namespace: "A"}, 3 * time.Hour, []metrics.ID{a, b}},
		{metrics.ID{Name: "y"}, 3 * time.Hour, []metrics.ID{c}},
		{id("", "", "k", "1"), 24 * time.Hour, []metrics.ID{old, a}},
		{id("", "", "l", ""), 24 * time.Hour, []metrics.ID{b}},
		{id("A", "x", "k", "", "l", "4"), 24 * time.Hour, []metrics.ID{}},
	} {
		got, err := f.List(t.Context(), tt.like, noon.Add(-tt.since))
		if err != nil {
			t.Error(err)
		}
		f.same(fmt.Sprint(tt.like, tt.since), got, tt.want)
	}
}

// What a call has returned from is there after kill -9.
func TestKilled(t *testing.T) {
	if dir := os.Getenv("METRICS_TEST_DIR"); dir != "" {
		f := open(t, dir)
		f.put(at(cpu, -time.Hour, 1, 2, 3))
		f.put(at(cpu, 0, 4), at(cpu, -48*time.Hour, 5)) // the second is out of order
		self, err := os.FindProcess(os.Getpid())
		if err == nil {
			err = self.Kill()
		}
		t.Fatal(err)
	}
	dir := t.TempDir()
	cmd := exec.CommandContext(t.Context(), os.Args[0], "-test.run=^TestKilled$")
	cmd.Env = append(os.Environ(), "METRICS_TEST_DIR="+dir)
	if out, err := cmd.CombinedOutput(); cmd.ProcessState.ExitCode() != -1 {
		t.Fatalf("%v: %s", err, out)
	}
	f := open(t, dir)
	f.put(at(cpu, -time.Hour, 4), at(cpu, 0, 1), at(cpu, -48*time.Hour, 1))
	var sums []float64
	for _, p := range f.points(cpu, -72*time.Hour, time.Hour, time.Minute) {
		sums = append(sums, p.Sum)
	}
	f.same("sums", sums, []float64{6, 10, 5})
}

func TestDamagedLogHeals(t *testing.T) {
	for _, log := range []string{"wal", "wbl"} {
		dir := t.TempDir()
		f := open(t, dir)
		for i := range 100 {
			f.put(at(cpu, time.Duration(i-100)*time.Second, 1), at(cpu, time.Duration(-i-200)*time.Second, 1))
		}
		if err := f.Close(); err != nil {
			t.Fatal(err)
		}
		segments, err := filepath.Glob(filepath.Join(dir, log, "0*"))
		if err != nil || len(segments) == 0 {
			t.Fatal(segments, err)
		}
		slices.Sort(segments)
		data, err := os.ReadFile(segments[0])
		if err != nil {
			t.Fatal(err)
		}
		half := len(data) / 2
		for i := range 64 {
			data[half+i] ^= 0xff
		}
		if err := os.WriteFile(segments[0], data, 0o600); err != nil {
			t.Fatal(err)
		}
		f = open(t, dir)
		sum := 0.0
		for _, p := range f.points(cpu, -time.Hour, time.Hour, time.Hour) {
			sum += p.Sum
		}
		if sum < 20 || log == "wal" && sum > 199 { // what was out of order may be in chunks too
			t.Errorf("%s: %v of 200 are left", log, sum)
		}
		f.put(at(cpu, time.Second, 1))
		f.same(log, len(f.points(cpu, time.Second, 2*time.Second, time.Second)), 1)
	}
}

// Hours of data, some late, some several a second, become blocks, and are the same.
func TestBlocks(t *testing.T) {
	dir := t.TempDir()
	f := open(t, dir)
	var data []metrics.Datum
	for s := -3 * 3600; s < 0; s += 10 {
		data = append(data, at(cpu, time.Duration(s)*time.Second, 1, 2))
	}
	f.put(data...)
	f.put(at(cpu, -4*time.Hour, 5), at(cpu, -2*time.Hour, 3))
	check := func(want float64) {
		t.Helper()
		sum, count := 0.0, 0.0
		for _, p := range f.points(cpu, -5*time.Hour, time.Hour, time.Minute) {
			sum, count = sum+p.Sum, count+p.Count
		}
		f.same("sum", sum, want)
	}
	check(3*1080 + 8)
	if err := f.Compact(t.Context()); err != nil {
		t.Fatal(err)
	}
	if f.Blocks() == 0 {
		t.Error("there is no block")
	}
	check(3*1080 + 8)
	f.put(at(cpu, -2*time.Hour, 10), at(cpu, -4*time.Hour, 20))
	check(3*1080 + 38)
	if err := f.Close(); err != nil {
		t.Fatal(err)
	}
	f = open(t, dir)
	f.put(at(cpu, -2*time.Hour, 100))
	check(3*1080 + 138)
	if err := f.Close(); err != nil {
		t.Fatal(err)
	}

	blocks, err := filepath.Glob(filepath.Join(dir, "*", "index"))
	if err != nil || len(blocks) < 2 {
		t.Fatal(blocks, err)
	}
	if err := os.Truncate(blocks[0], 10); err != nil {
		t.Fatal(err)
	}
	f = open(t, dir)
	if n := len(f.points(cpu, -5*time.Hour, time.Hour, time.Minute)); n == 0 || n > 180 {
		t.Errorf("%d minutes are left", n)
	}
	if set, err := filepath.Glob(filepath.Join(dir, "damaged", "*")); err != nil || len(set) != 1 {
		t.Error(set, err)
	}
}

func TestConcurrently(t *testing.T) {
	f := open(t, t.TempDir())
	var all sync.WaitGroup
	for g := range 4 {
		all.Go(func() {
			for i := range 50 {
				id := metrics.ID{Namespace: "N", Name: "shared"}
				if err := f.Put(t.Context(), []metrics.Datum{at(id, time.Duration(rand.IntN(3)-g)*time.Second, 1)}); err != nil {
					t.Error(i, err)
				}
				if _, err := f.Points(t.Context(), metrics.Query{ID: id, Start: noon.Add(-time.Hour), End: noon.Add(time.Hour), Period: time.Second}); err != nil {
					t.Error(err)
				}
				if _, err := f.List(t.Context(), metrics.ID{}, noon.Add(-time.Hour)); err != nil {
					t.Error(err)
				}
			}
		})
	}
	all.Wait()
	points := f.points(metrics.ID{Namespace: "N", Name: "shared"}, -time.Hour, time.Hour, 2*time.Hour)
	f.same("count", points[0].Count+points[len(points)-1].Count*float64(len(points)-1), 200.0)
}

func TestCancelled(t *testing.T) {
	f := open(t, t.TempDir())
	f.put(at(cpu, 0, 1))
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := f.Points(ctx, metrics.Query{ID: cpu, Start: noon, End: noon.Add(time.Hour), Period: time.Second}); !errors.Is(err, context.Canceled) {
		t.Error(err)
	}
}
