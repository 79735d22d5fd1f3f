package metrics

import (
	"cmp"
	"fmt"
	"log/slog"
	"sync"
	"time"

	"github.com/prometheus/prometheus/model/labels"
	"github.com/prometheus/prometheus/tsdb"
	"github.com/prometheus/prometheus/tsdb/chunks"
)

var _ Store = (*DB)(nil)

// How old and how far ahead data may be when they are put: CloudWatch's bounds.
const (
	MaxAge   = 14 * 24 * time.Hour
	MaxAhead = 2 * time.Hour
)

// Options of Open; the zero value is a region's.
type Options struct {
	Retention time.Duration // 0 is 15 days, the least that MaxAge leaves room for
	Logger    *slog.Logger  // gets tsdb's log, with its levels; nil is silence
	Now       func() time.Time
}

// The head is what is in memory: a series' open chunk, and references to its full
// ones. tsdb's own defaults are for a hundred thousand series that are scraped.
const (
	headSpan    = 30 * time.Minute // then it becomes a block on disk
	blockSpan   = 24 * time.Hour   // which are merged up to this
	walSegment  = 8 << 20          // bytes
	stripes     = 256              // of the series' hash table
	chunkBuffer = chunks.MinWriteBufferSize
)

// DB is a Store on disk. What Put has returned from survives the process's end.
type DB struct {
	tsdb *tsdb.DB
	now  func() time.Time

	mu    sync.Mutex // guards slots, and is held while data are put
	slots slots

	closeOnce sync.Once
	closeErr  error
}

// Open opens the time series in dir, which is made if it is missing; nobody else may
// have it open. A write-ahead log that was damaged is cut off where the damage is,
// and a damaged block is set aside.
func Open(dir string, o Options) (*DB, error) {
	if o.Now == nil {
		o.Now = time.Now
	}
	if o.Logger == nil {
		o.Logger = slog.New(slog.DiscardHandler)
	}
	if err := setAside(dir, o.Logger); err != nil {
		return nil, fmt.Errorf("open the metrics in %s: %w", dir, err)
	}
	opts := tsdb.DefaultOptions()
	opts.RetentionDuration = cmp.Or(o.Retention, MaxAge+24*time.Hour).Milliseconds()
	opts.MinBlockDuration = headSpan.Milliseconds()
	opts.MaxBlockDuration = blockSpan.Milliseconds()
	// tsdb counts from the newest datum, which may be ahead.
	opts.OutOfOrderTimeWindow = (MaxAge + MaxAhead + headSpan).Milliseconds()
	opts.WALSegmentSize = walSegment
	opts.StripeSize = stripes
	opts.HeadChunksWriteBufferSize = chunkBuffer
	opts.HeadChunksWriteQueueSize = 0
	opts.WALReplayConcurrency = 1
	db, err := tsdb.Open(dir, o.Logger, nil, opts, nil)
	if err != nil {
		return nil, fmt.Errorf("open the metrics in %s: %w", dir, err)
	}
	return &DB{tsdb: db, now: o.Now, slots: newSlots(newest(db))}, nil
}

// newest is the second of the newest datum that is kept, or before all.
func newest(db *tsdb.DB) int64 {
	at := db.Head().MaxTime()
	if oo := db.Head().MaxOOOTime(); oo > at {
		at = oo
	}
	for _, b := range db.Blocks() {
		at = max(at, b.MaxTime())
	}
	return floor(at, 1000)
}

// Close ends the background work and closes the files. It may be called twice.
func (db *DB) Close() error {
	db.closeOnce.Do(func() {
		if err := db.tsdb.Close(); err != nil {
			db.closeErr = fmt.Errorf("close the metrics: %w", err)
		}
	})
	return db.closeErr
}

// floor is n divided by d, towards the past.
func floor(n, d int64) int64 {
	q := n / d
	if n%d < 0 {
		q--
	}
	return q
}

// The labels of a series in tsdb. Dimensions have the prefix, so that they are no
// other label.
const (
	nameLabel      = "__name__" // tsdb's own
	namespaceLabel = "namespace"
	unitLabel      = "unit"
	sizeLabel      = "dimensions" // how many: a query is for exactly its dimensions
	partLabel      = "part"
	pageLabel      = "page" // absent for the first
	dimension      = "d:"
)

// Parts of a datum: it takes one sample of a value, with its weight's where that is
// not 1, or one of each statistic, all at the same millisecond.
const (
	valuePart  = "value"
	weightPart = "weight"
	countPart  = "count"
	sumPart    = "sum"
	minPart    = "min"
	maxPart    = "max"
)

// idOf reads the labels.
func idOf(l labels.Labels) ID {
	id := ID{Namespace: l.Get(namespaceLabel), Name: l.Get(nameLabel)}
	l.Range(func(l labels.Label) {
		if len(l.Name) > len(dimension) && l.Name[:len(dimension)] == dimension {
			if id.Dimensions == nil {
				id.Dimensions = map[string]string{}
			}
			id.Dimensions[l.Name[len(dimension):]] = l.Value
		}
	})
	return id
}
