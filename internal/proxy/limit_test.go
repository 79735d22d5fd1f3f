package proxy

import (
	"context"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"
)

func TestRate(t *testing.T) {
	var r rate
	now := time.Unix(1000, 0)
	for range 100 {
		if !r.allow(now) {
			t.Fatal("refused without a limit")
		}
	}
	r.set(10)
	count := func(now time.Time) (n int) {
		for r.allow(now) {
			n++
		}
		return n
	}
	if n := count(now); n != 10 {
		t.Errorf("%d at once, want 10", n)
	}
	if n := count(now.Add(300 * time.Millisecond)); n != 3 {
		t.Errorf("%d after 0.3 s, want 3", n)
	}
	if n := count(now.Add(time.Hour)); n != 10 {
		t.Errorf("%d after an hour, want 10", n)
	}
	r.set(0.5)
	if n := count(now.Add(2 * time.Hour)); n != 1 {
		t.Errorf("%d at once of one in 2 s, want 1", n)
	}
}

func TestSurge(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var q surge
		var room atomic.Int64
		take := func() bool {
			if room.Add(-1) >= 0 {
				return true
			}
			room.Add(1)
			return false
		}
		done := make(chan int, 10)
		for i := range 3 {
			go func() {
				if q.wait(t.Context(), time.Minute, take) {
					done <- i
				}
			}()
			synctest.Wait()
		}
		if n := q.waiting.Load(); n != 3 {
			t.Fatalf("%d wait, want 3", n)
		}
		for i := range 2 { // first come, first served
			room.Add(1)
			q.wake()
			if got := <-done; got != i {
				t.Errorf("%d was served, want %d", got, i)
			}
		}
		began := time.Now()
		if q.wait(t.Context(), time.Second, take) || time.Since(began) != time.Second {
			t.Errorf("waited %s for nothing", time.Since(began))
		}
		ctx, cancel := context.WithCancel(t.Context())
		cancel()
		if q.wait(ctx, time.Minute, take) {
			t.Error("went on after the end")
		}
		room.Add(1)
		q.wakeAll()
		<-done
		if n := q.waiting.Load(); n != 0 {
			t.Errorf("%d still wait", n)
		}
	})
}
