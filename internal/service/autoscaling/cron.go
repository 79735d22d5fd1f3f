package autoscaling

import (
	"errors"
	"slices"
	"strconv"
	"strings"
	"time"
	_ "time/tzdata" // not every machine has the time zones

	"github.com/robfig/cron/v3"
)

// fiveFields are the fields of a recurrence: minute, hour, day of the month, month,
// day of the week.
var fiveFields = cron.NewParser(cron.Minute | cron.Hour | cron.Dom | cron.Month | cron.Dow)

// ParseRecurrence reads a recurrence, in five fields as cron has them, of a time
// zone ("" is UTC). The library takes more (descriptors, time zones, question
// marks), and of the days of the week 0 to 6 only, where 7 is Sunday, too.
func ParseRecurrence(text, zone string) (cron.Schedule, error) {
	list := strings.Fields(text)
	if len(list) != 5 || strings.ContainsAny(text, "?=@") {
		return nil, errors.New("a recurrence has five fields, as cron has them")
	}
	list[4] = sundays(list[4])
	schedule, err := fiveFields.Parse(strings.Join(list, " "))
	if err != nil {
		return nil, err
	}
	location, err := loadZone(zone)
	if err != nil {
		return nil, err
	}
	if spec, ok := schedule.(*cron.SpecSchedule); ok {
		spec.Location = location
	}
	return schedule, nil
}

// sundays writes the days of a week with a 7 in them with a 0: 5-7 is 5-6,0.
func sundays(field string) string {
	var out []string
	for part := range strings.SplitSeq(field, ",") {
		days, step, stepped := strings.Cut(part, "/")
		from, to, ranged := strings.Cut(days, "-")
		switch {
		case days == "7" && !stepped:
			out = append(out, "0")
		case ranged && to == "7":
			first, err := strconv.Atoi(from)
			every := 1
			if stepped {
				if n, e := strconv.Atoi(step); e == nil && n > 0 {
					every = n
				} else {
					err = errors.Join(err, errors.New("no step"))
				}
			}
			if err != nil || first < 0 || first > 7 {
				out = append(out, part) // the parser says what is wrong
				continue
			}
			for d := first; d <= 7; d += every {
				out = append(out, strconv.Itoa(d%7))
			}
		default:
			out = append(out, part)
		}
	}
	return strings.Join(slices.Compact(out), ",")
}

// loadZone finds a time zone by its name in IANA's data base; "" is UTC.
func loadZone(name string) (*time.Location, error) {
	switch name {
	case "":
		return time.UTC, nil
	case "Local": // Go's name for the machine's own
		return nil, errors.New("the name Local is no time zone's")
	}
	return time.LoadLocation(name)
}

// Next is when the action is to be carried out for the first time after a time; ok
// is false if it never is.
func (a ScheduledAction) Next(after time.Time) (next time.Time, ok bool) {
	switch {
	case after.Before(a.Start):
		next = a.Start
	case a.Recurrence == "":
		return time.Time{}, false
	default:
		schedule, err := ParseRecurrence(a.Recurrence, a.TimeZone)
		if err != nil {
			return time.Time{}, false // PutScheduledUpdateGroupAction takes none such
		}
		next = schedule.Next(after)
	}
	if next.IsZero() || !a.End.IsZero() && next.After(a.End) {
		return time.Time{}, false
	}
	return next.UTC(), true
}
