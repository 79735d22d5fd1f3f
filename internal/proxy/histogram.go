package proxy

import (
	"math"
	"math/bits"
	"sync/atomic"
	"time"
)

// buckets of a histogram: eight per doubling, from a microsecond to about an hour, so that what is read
// out of them is right within 6 %.
const (
	bucketBits = 3
	buckets    = 33 << bucketBits
)

// Histogram counts durations. Two of one source subtract: what is between them is what a period had.
type Histogram struct {
	Count   uint64
	Sum     time.Duration
	Buckets [buckets]uint64
}

// histogram is one that is being written to.
type histogram struct {
	count, sum atomic.Uint64
	buckets    [buckets]atomic.Uint64
}

func (h *histogram) add(d time.Duration) {
	d = max(d, 0)
	h.count.Add(1)
	h.sum.Add(uint64(d))
	h.buckets[bucket(d)].Add(1)
}

func (h *histogram) load() Histogram {
	out := Histogram{Count: h.count.Load(), Sum: time.Duration(h.sum.Load())}
	for i := range h.buckets {
		out.Buckets[i] = h.buckets[i].Load()
	}
	return out
}

// bucket is the index for a duration: the exponent, then the next bits below the first.
func bucket(d time.Duration) int {
	us := uint64(d / time.Microsecond)
	if us < 1<<bucketBits {
		return int(us)
	}
	exp := bits.Len64(us) - 1 - bucketBits
	return min((exp+1)<<bucketBits|int(us>>exp)&(1<<bucketBits-1), buckets-1)
}

// bound is the least duration of a bucket.
func bound(i int) time.Duration {
	if i < 1<<bucketBits {
		return time.Duration(i) * time.Microsecond
	}
	exp := i>>bucketBits - 1
	return time.Duration(uint64(1<<bucketBits|i&(1<<bucketBits-1))<<exp) * time.Microsecond
}

// Sub is what was counted since before.
func (h Histogram) Sub(before Histogram) Histogram {
	h.Count -= before.Count
	h.Sum -= before.Sum
	for i := range h.Buckets {
		h.Buckets[i] -= before.Buckets[i]
	}
	return h
}

// Quantile is the duration that a share q of all do not exceed, the middle of its bucket; 0 when there
// are none. 0 is the least, 1 the greatest.
func (h Histogram) Quantile(q float64) time.Duration {
	var total uint64 // Count may be ahead of the buckets
	for _, n := range h.Buckets {
		total += n
	}
	want := max(uint64(math.Ceil(q*float64(total))), 1)
	var seen uint64
	for i, n := range h.Buckets {
		if seen += n; n > 0 && seen >= want {
			return (bound(i) + bound(min(i+1, buckets-1))) / 2
		}
	}
	return 0
}
