package metrics_test

import (
	"fmt"
	"runtime"
	"testing"
	"time"

	"github.com/tarn-eks/tarn/internal/metrics"
)

func series(n int) []metrics.ID {
	var ids []metrics.ID
	for i := range n {
		ids = append(ids, metrics.ID{Namespace: "ContainerInsights", Name: fmt.Sprintf("metric_%d", i%20), Dimensions: map[string]string{
			"ClusterName": "eks-work", "Namespace": "default", "PodName": fmt.Sprintf("pod-%d", i/20),
		}})
	}
	return ids
}

func openBench(b *testing.B, now *time.Time) *metrics.DB {
	db, err := metrics.Open(b.TempDir(), metrics.Options{Now: func() time.Time { return *now }})
	if err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() {
		if err := db.Close(); err != nil {
			b.Error(err)
		}
	})
	return db
}

// One operation is a second of a busy region: 500 series.
func BenchmarkPut(b *testing.B) {
	now := noon
	db, ids := openBench(b, &now), series(500)
	var before, after runtime.MemStats
	runtime.GC()
	runtime.ReadMemStats(&before)
	b.ReportAllocs()
	for b.Loop() {
		now = now.Add(time.Second)
		var data []metrics.Datum
		for i, id := range ids {
			data = append(data, metrics.Datum{ID: id, At: now, Unit: "Percent", Values: []float64{float64(now.Second()*i%97) / 7}})
		}
		if err := db.Put(b.Context(), data); err != nil {
			b.Fatal(err)
		}
	}
	runtime.GC()
	runtime.ReadMemStats(&after)
	b.ReportMetric(float64(int64(after.HeapAlloc)-int64(before.HeapAlloc))/(1<<20), "MB-kept")
	b.ReportMetric(now.Sub(noon).Minutes(), "minutes-put")
}

// One operation is what an alarm of five minutes reads, each second having a datum.
func BenchmarkPoints(b *testing.B) {
	now := noon
	db, ids := openBench(b, &now), series(500)
	for range 600 {
		now = now.Add(time.Second)
		var data []metrics.Datum
		for i, id := range ids {
			data = append(data, metrics.Datum{ID: id, At: now, Values: []float64{float64(now.Second() + i)}})
		}
		if err := db.Put(b.Context(), data); err != nil {
			b.Fatal(err)
		}
	}
	b.ReportAllocs()
	for i := 0; b.Loop(); i++ {
		points, err := db.Points(b.Context(), metrics.Query{ID: ids[i%len(ids)], Start: now.Add(-7 * time.Minute), End: now, Period: time.Minute})
		if err != nil || len(points) < 7 {
			b.Fatal(points, err)
		}
	}
}
