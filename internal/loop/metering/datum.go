package metering

import (
	"math"
	"time"

	"github.com/tarn-eks/tarn/internal/metrics"
)

// Units of CloudWatch.
const (
	bytes          = "Bytes"
	bytesPerSecond = "Bytes/Second"
	count          = "Count"
	countPerSecond = "Count/Second"
	none           = "None"
	percent        = "Percent"
	seconds        = "Seconds"
)

// minute is the interval of AWS's own metrics. What is sampled more often has a
// weight of its share of the minute: over a minute and more, every statistic is
// that of AWS, the number of samples too.
const minute = time.Minute

// dimensions are one set of dimensions.
type dimensions struct {
	key string
	set map[string]string
	// many says that many things share the set: what there is of them at one time
	// is summed up, so that a hundred instances cost no more than two.
	many bool
}

// shared is a set of many.
func shared(pairs ...string) dimensions {
	d := dims(pairs...)
	d.many = true
	return d
}

// dims makes a set of names and values, in turn.
func dims(pairs ...string) dimensions {
	d := dimensions{set: make(map[string]string, len(pairs)/2)}
	for i := 0; i < len(pairs); i += 2 {
		d.set[pairs[i]] = pairs[i+1]
		d.key += pairs[i] + "\x00" + pairs[i+1] + "\x00"
	}
	return d
}

// batch gathers the samples of one time in a namespace: those of one series are
// one datum.
type batch struct {
	namespace string
	at        time.Time
	data      []metrics.Datum
	index     map[[2]string]int // by name and dimensions
}

func newBatch(namespace string, at time.Time) *batch {
	return &batch{namespace: namespace, at: at, index: map[[2]string]int{}}
}

// add adds a sample to the series of each set of dimensions.
func (b *batch) add(name, unit string, value, weight float64, of ...dimensions) {
	b.addAll(name, unit, []float64{value}, []float64{weight}, of...)
}

// addAll adds many at once.
func (b *batch) addAll(name, unit string, values, weights []float64, of ...dimensions) {
	for _, d := range of {
		key := [2]string{name, d.key}
		i, ok := b.index[key]
		if !ok {
			i = len(b.data)
			b.index[key] = i
			b.data = append(b.data, metrics.Datum{
				ID: metrics.ID{Namespace: b.namespace, Name: name, Dimensions: d.set}, At: b.at, Unit: unit,
			})
		}
		if d.many {
			b.data[i].Statistics = sum(b.data[i].Statistics, values, weights)
			continue
		}
		b.data[i].Values = append(b.data[i].Values, values...)
		b.data[i].Counts = append(b.data[i].Counts, weights...)
	}
}

// sum adds samples to statistics, or begins them.
func sum(s *metrics.Statistics, values, weights []float64) *metrics.Statistics {
	if s == nil {
		s = &metrics.Statistics{Min: math.Inf(1), Max: math.Inf(-1)}
	}
	for i, v := range values {
		s.Count += weights[i]
		s.Sum += v * weights[i]
		s.Min, s.Max = min(s.Min, v), max(s.Max, v)
	}
	return s
}

// addTotal adds what was counted in an elapsed time, of a metric that AWS sums up
// over a minute: the sum is what was counted, the average is per minute.
func (b *batch) addTotal(name, unit string, total uint64, elapsed time.Duration, of ...dimensions) {
	share := weight(elapsed)
	b.add(name, unit, float64(total)/share, share, of...)
}

// addEvents adds events of which AWS has a sample of 1 for each. Without any there
// is no sample.
func (b *batch) addEvents(name string, n uint64, of ...dimensions) {
	if n > 0 {
		b.add(name, count, 1, float64(n), of...)
	}
}

// counted is a counter between two readings.
type counted struct {
	name, unit string
	was, is    uint64
}

// addCounts adds what has grown.
func (b *batch) addCounts(elapsed time.Duration, all []counted, of ...dimensions) {
	for _, c := range all {
		if n := grown(c.was, c.is); n > 0 {
			b.addTotal(c.name, c.unit, n, elapsed, of...)
		}
	}
}

// weight is an elapsed time's share of a minute, in whole seconds: those are what
// CloudWatch tells apart, and the same number again and again takes no room.
func weight(elapsed time.Duration) float64 {
	return float64(max(elapsed.Round(time.Second), time.Second)) / float64(minute)
}

// grown is by how much a counter has grown. One that has gone back began anew.
func grown(before, now uint64) uint64 {
	if now < before {
		return now
	}
	return now - before
}
