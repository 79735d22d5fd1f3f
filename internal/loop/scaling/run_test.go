package scaling

import (
	"context"
	"errors"
	"math"
	"testing"
	"time"

	"github.com/tarn-eks/tarn/internal/metrics"
	"github.com/tarn-eks/tarn/internal/service/autoscaling"
	"github.com/tarn-eks/tarn/internal/service/cloudwatch"
)

// An alarm on seconds, with the real clock: the group's size follows within a
// fraction of a second of the time when the data are taken to be in.
func TestRun(t *testing.T) {
	f := newFixture(t, time.Now())
	f.loop.cfg.Now = time.Now
	f.group(autoscaling.Group{Name: "g", Max: 5, Desired: 2})
	action := f.policy(more)
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	ended := make(chan error, 1)
	go func() { ended <- f.loop.Run(ctx) }()
	follower := f.groups.Groups.Follow(ctx, "g")
	<-follower.C
	f.alarm(cloudwatch.Alarm{Name: "busy", Alarm: []string{action}, Period: time.Second})

	at := time.Now().Truncate(time.Second)
	f.clock.set(at.Add(time.Second))
	if err := f.data.Put(t.Context(), []metrics.Datum{{ID: metrics.ID{Namespace: "Test", Name: "Load"}, At: at, Unit: "None", Values: []float64{90}}}); err != nil {
		t.Fatal(err)
	}
	select {
	case s := <-follower.C:
		late := time.Since(at.Add(time.Second + defaultSettle))
		if it, ok := s.Get("g"); !ok || it.Value.Desired != 3 {
			t.Errorf("%+v", it)
		}
		t.Logf("%v after its data were in", late)
		if late < 0 || late > 3*time.Second { // milliseconds, on an idle machine
			t.Errorf("it took %v", late)
		}
	case <-time.After(20 * time.Second):
		t.Fatalf("nothing happens: %s", f.log)
	}
	cancel()
	if err := <-ended; !errors.Is(err, context.Canceled) {
		t.Errorf("the loop ended with %v", err)
	}
	for range follower.C {
	}
}

func FuzzReadings(f *testing.F) {
	for _, seed := range []string{
		`{"version":"1.0","recentDatapoints":[10.5,90.0],"threshold":50.0}`, `{"recentDatapoints":[null,1]}`,
		`{"recentDatapoints":["1"]}`, `{"recentDatapoints":1e999}`, `[]`, ``, `{`,
	} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, text string) {
		for _, v := range readings(text) {
			if math.IsNaN(v) || math.IsInf(v, 0) {
				t.Errorf("%q: %v", text, v)
			}
		}
	})
}

func TestReadings(t *testing.T) {
	got := readings(`{"version":"1.0","recentDatapoints":[10.5,null,90.0],"threshold":50.0}`)
	if len(got) != 2 || got[0] != 10.5 || got[1] != 90 {
		t.Error(got)
	}
}
