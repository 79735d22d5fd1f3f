package proxy

import (
	"testing"
	"time"
)

func TestHistogram(t *testing.T) {
	var h histogram
	for i := range 1000 {
		h.add(time.Duration(i+1) * time.Millisecond)
	}
	before := h.load()
	if before.Count != 1000 || before.Sum != 500500*time.Millisecond {
		t.Errorf("count %d, sum %s", before.Count, before.Sum)
	}
	near := func(what string, got, want time.Duration) {
		t.Helper()
		if off := float64(got-want) / float64(want); off > 0.07 || off < -0.07 {
			t.Errorf("%s is %s, want about %s", what, got, want)
		}
	}
	near("the least", before.Quantile(0), time.Millisecond)
	near("the middle", before.Quantile(0.5), 500*time.Millisecond)
	near("p99", before.Quantile(0.99), 990*time.Millisecond)
	near("the greatest", before.Quantile(1), time.Second)
	h.add(-time.Second)
	h.add(1000 * time.Hour)
	if s := h.load().Sub(before); s.Count != 2 || s.Quantile(0) > time.Microsecond || s.Quantile(1) < time.Hour {
		t.Errorf("then %d, from %s to %s", s.Count, s.Quantile(0), s.Quantile(1))
	}
	if q := (Histogram{}).Quantile(0.5); q != 0 {
		t.Errorf("the middle of nothing is %s", q)
	}
}

func TestBucketsMeet(t *testing.T) {
	for i := range buckets {
		if got := bucket(bound(i)); got != i {
			t.Errorf("bucket %d begins at %s, which is in %d", i, bound(i), got)
		}
		if i > 0 && bucket(bound(i)-time.Microsecond) != i-1 {
			t.Errorf("%s is in bucket %d", bound(i)-time.Microsecond, bucket(bound(i)-time.Microsecond))
		}
	}
}
