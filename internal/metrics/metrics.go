// Package metrics keeps time series as CloudWatch has them, in Prometheus' tsdb:
// numbers with a weight, by namespace, name and dimensions, down to a second.
package metrics

import (
	"context"
	"errors"
	"time"
)

// ID names a time series.
type ID struct {
	Namespace  string
	Name       string
	Dimensions map[string]string
}

// Datum is what was measured at a time: values, or the statistics of values that
// are not known one by one.
type Datum struct {
	ID
	At   time.Time // kept to the second
	Unit string    // CloudWatch's: "Percent", "Count" … or "None"
	// Values were seen Counts times each; Counts may be nil: once each. What was
	// seen 0 times is not kept.
	Values, Counts []float64
	// Statistics, where Values is empty.
	Statistics *Statistics
}

// Statistics sums values up.
type Statistics struct{ Count, Sum, Min, Max float64 }

// Point is what a series was in one period, in one unit.
type Point struct {
	Start time.Time
	Unit  string
	Statistics
	// Values are the values seen with their weights, sorted, for percentiles and
	// the like. Known is false where a statistic set hides some.
	Values []Weighted
	Known  bool
}

// Weighted is a value, seen Count times.
type Weighted struct{ Value, Count float64 }

// Query asks for one series' points.
type Query struct {
	ID
	Unit       string    // "": any
	Start, End time.Time // Start inclusive, End exclusive; to the second
	Period     time.Duration
	// Phase is by how much periods begin after the whole multiples of Period.
	Phase time.Duration
}

// ErrTooOld is of data that are older than what is kept, or too far ahead.
var ErrTooOld = errors.New("metrics: the time is outside of what is kept")

// Store is implemented by *DB.
type Store interface {
	// Put adds data; they are on disk when it returns.
	Put(ctx context.Context, data []Datum) error
	// Points returns the periods that have data, in order. Periods begin at whole
	// multiples of Period since the epoch, plus Phase. Of data in several units,
	// where the query is for any, each unit has points of its own: those of a period
	// follow each other, by unit.
	Points(ctx context.Context, q Query) ([]Point, error)
	// List returns the series with the namespace, name and at least the dimensions
	// (a value of "" is any) that had data since the time, in order; what is empty
	// is any.
	List(ctx context.Context, like ID, since time.Time) ([]ID, error)
}
