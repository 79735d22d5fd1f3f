package metrics

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/prometheus/prometheus/model/labels"
	"github.com/prometheus/prometheus/storage"
)

// Put implements Store. All of the data are kept, or none.
func (db *DB) Put(ctx context.Context, data []Datum) error {
	now := db.now()
	for _, d := range data {
		if age := now.Sub(d.At); age > MaxAge+time.Minute || -age > MaxAhead+time.Minute { // what took a while on its way
			return fmt.Errorf("%w: %s/%s at %s", ErrTooOld, d.Namespace, d.Name, d.At.UTC().Format(time.RFC3339))
		}
	}
	db.mu.Lock()
	defer db.mu.Unlock()
	w := writer{db: db, ctx: ctx, app: db.tsdb.Appender(ctx), old: map[place]int{}}
	for _, d := range data {
		if err := w.put(d); err != nil {
			db.slots.forget() // what was taken for this call
			return errors.Join(putError(err), w.app.Rollback())
		}
	}
	if err := w.app.Commit(); err != nil {
		db.slots.forget()
		return putError(err)
	}
	return nil
}

func putError(err error) error {
	if errors.Is(err, storage.ErrTooOldSample) || errors.Is(err, storage.ErrOutOfBounds) {
		return fmt.Errorf("%w (%w)", ErrTooOld, err)
	}
	return fmt.Errorf("put metrics: %w", err)
}

// writer puts the data of one call.
type writer struct {
	db  *DB
	ctx context.Context
	app storage.Appender
	// old are the free slots of seconds that the store was asked for.
	old map[place]int
}

// place is a second of a series.
type place struct {
	key    string
	second int64
}

func (w *writer) put(d Datum) error {
	values := d.Values
	if s := d.Statistics; len(values) == 0 && s != nil {
		if s.Count <= 0 {
			return nil
		}
		// Statistics of one value say which.
		if s.Min != s.Max {
			return w.samples(d, part{countPart, s.Count}, part{sumPart, s.Sum}, part{minPart, s.Min}, part{maxPart, s.Max})
		}
		values, d.Counts = []float64{s.Min}, []float64{s.Count}
	}
	for i, v := range values {
		weight := 1.0
		if i < len(d.Counts) {
			weight = d.Counts[i]
		}
		var err error
		switch {
		case weight <= 0:
		case weight == 1:
			err = w.samples(d, part{valuePart, v})
		default:
			err = w.samples(d, part{valuePart, v}, part{weightPart, weight})
		}
		if err != nil {
			return err
		}
	}
	return nil
}

type part struct {
	name  string
	value float64
}

// slotsPerPage is how many samples of a series one second has room for. What comes
// after that is in another series, its next page.
const slotsPerPage = 1000

// samples appends the parts at the next free millisecond of the second.
func (w *writer) samples(d Datum, parts ...part) error {
	unit := cmp.Or(d.Unit, "None")
	at := place{keyOf(d.ID, unit), d.At.Unix()}
	free, known := w.db.slots.next(at.key, at.second)
	if !known {
		if free, known = w.old[at]; !known {
			var err error
			if free, err = w.used(d.ID, unit, at.second); err != nil {
				return err
			}
		}
		w.old[at] = free + 1 // what is not committed yet, the store does not tell
	}
	w.db.slots.take(at.key, at.second, free)
	for _, p := range parts {
		l := labelsOf(d.ID, unit, p.name, free/slotsPerPage)
		if _, err := w.app.Append(0, l, at.second*1000+int64(free%slotsPerPage), p.value); err != nil {
			return err
		}
	}
	return nil
}

// used counts the slots of a second that the store has of a series.
func (w *writer) used(id ID, unit string, second int64) (int, error) {
	q, err := w.db.tsdb.Querier(second*1000, second*1000+slotsPerPage-1)
	if err != nil {
		return 0, err
	}
	defer q.Close()
	used := 0
	err = eachSeries(w.ctx, q, matchers(id, unit), func(s storage.Series) error {
		page, _ := strconv.Atoi(s.Labels().Get(pageLabel)) // absent: 0
		return eachSample(s, func(ms int64, _ float64) {
			used = max(used, page*slotsPerPage+int(ms-second*1000)+1)
		})
	})
	return used, err
}

func labelsOf(id ID, unit, part string, page int) labels.Labels {
	b := labels.NewScratchBuilder(len(id.Dimensions) + 6)
	b.Add(nameLabel, id.Name)
	b.Add(namespaceLabel, id.Namespace)
	b.Add(unitLabel, unit)
	b.Add(sizeLabel, strconv.Itoa(len(id.Dimensions)))
	b.Add(partLabel, part)
	if page > 0 {
		b.Add(pageLabel, strconv.Itoa(page))
	}
	for n, v := range id.Dimensions {
		b.Add(dimension+n, v)
	}
	b.Sort()
	return b.Labels()
}

// keyOf is a series and its unit as one string.
func keyOf(id ID, unit string) string {
	var b strings.Builder
	for _, s := range []string{id.Namespace, id.Name, unit} {
		b.WriteString(s)
		b.WriteByte(0)
	}
	for _, n := range slices.Sorted(maps.Keys(id.Dimensions)) {
		b.WriteString(n)
		b.WriteByte(0)
		b.WriteString(id.Dimensions[n])
		b.WriteByte(0)
	}
	return b.String()
}
