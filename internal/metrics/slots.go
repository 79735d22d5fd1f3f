package metrics

// slots knows which milliseconds of a second are free, without a look into the
// store for what is newer than anything that is there: tsdb has room for one sample
// at a time, CloudWatch for any number.
type slots struct {
	// floor is the newest second that a series that is not in the map may have.
	floor  int64
	series map[string]slot
}

// slot is the next one of a series.
type slot struct {
	second int64 // the newest that has data
	free   int   // its first free slot; -1: ask the store
}

// maxSeries is how many are known at once; with more, those are forgotten that have
// no new data.
const maxSeries = 10_000

func newSlots(newest int64) slots { return slots{floor: newest, series: map[string]slot{}} }

// next is the first free slot of a series' second, if that is known.
func (s *slots) next(key string, second int64) (free int, known bool) {
	at, ok := s.series[key]
	switch {
	case !ok:
		return 0, second > s.floor
	case second > at.second:
		return 0, true
	case second == at.second && at.free >= 0:
		return at.free, true
	}
	return 0, false
}

// take marks a slot, and those before it, as used.
func (s *slots) take(key string, second int64, used int) {
	at, ok := s.series[key]
	if !ok {
		if len(s.series) >= maxSeries {
			s.shrink()
		}
		at = slot{second: s.floor, free: -1}
	}
	if second >= at.second {
		at = slot{second: second, free: used + 1}
	}
	s.series[key] = at
}

// shrink forgets about half of the series, the oldest.
func (s *slots) shrink() {
	var mean int64
	for _, at := range s.series {
		mean += at.second / int64(len(s.series))
	}
	for key, at := range s.series {
		if at.second <= mean+1 { // the division cuts off
			s.floor = max(s.floor, at.second)
			delete(s.series, key)
		}
	}
}

// forget makes the store be asked: what was taken may not have been written.
func (s *slots) forget() {
	for key, at := range s.series {
		at.free = -1
		s.series[key] = at
	}
}
