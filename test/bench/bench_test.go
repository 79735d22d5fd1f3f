package main

import (
	"context"
	"errors"
	"slices"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"
)

func TestJudged(t *testing.T) {
	for _, tt := range []struct {
		row  row
		want string
	}{
		{row{target: 3, values: []float64{9, 2, 3}}, "met"},
		{row{target: 3, values: []float64{9, 2, 3.1}}, "MISSED"},
		{row{target: 3, worst: true, values: []float64{2, 2, 3.1}}, "MISSED"},
		{row{target: 3, worst: true, values: []float64{2, 2, 3}}, "met"},
		{row{target: 1000, atLeast: true, values: []float64{900, 1000, 2000}}, "met"},
		{row{target: 1000, atLeast: true, values: []float64{900, 999, 2000}}, "MISSED"},
		{row{target: 1000, atLeast: true, worst: true, values: []float64{999, 1000, 2000}}, "MISSED"},
		{row{values: []float64{9}}, ""},
	} {
		if _, _, _, verdict := tt.row.judged(); verdict != tt.want {
			t.Errorf("%+v is %q, want %q", tt.row, verdict, tt.want)
		}
	}
}

// A server that stalls once keeps all those waiting whose time comes meanwhile;
// a load that waits for it would see one slow request.
func TestPacedCountsWhatAStallDelays(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		began := time.Now()
		took, err := paced(t.Context(), 1000, time.Second, func(context.Context) error {
			if since := time.Since(began); since >= 500*time.Millisecond && since < 600*time.Millisecond {
				time.Sleep(600*time.Millisecond - since)
			}
			return nil
		})
		if err != nil || len(took) != 1000 {
			t.Fatalf("%d calls: %v", len(took), err)
		}
		slow := len(took) - slices.IndexFunc(slices.Sorted(slices.Values(took)), func(ms float64) bool { return ms > 0.5 })
		if worst := slices.Max(took); worst != 100 || slow != 100 {
			t.Errorf("%d calls were late, the slowest by %v ms", slow, worst)
		}
	})
}

func TestLoadEndsWithAnError(t *testing.T) {
	refused := errors.New("refused")
	var calls atomic.Int64
	call := func(context.Context) error {
		if calls.Add(1) > 100 {
			return refused
		}
		return nil
	}
	if _, err := unpaced(t.Context(), 4, time.Hour, call); !errors.Is(err, refused) {
		t.Error(err)
	}
	calls.Store(0)
	if _, err := paced(t.Context(), 1_000_000, time.Second, call); !errors.Is(err, refused) {
		t.Error(err)
	}
}

func TestUnpacedCounts(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		perSecond, err := unpaced(t.Context(), 4, time.Second, func(context.Context) error {
			time.Sleep(10 * time.Millisecond)
			return nil
		})
		if err != nil || perSecond != 400 {
			t.Errorf("%v calls per second: %v", perSecond, err)
		}
	})
}
