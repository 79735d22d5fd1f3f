package cloudwatch

import (
	"encoding/json"
	"fmt"
	"math"
	"slices"
	"strconv"
	"strings"
	"time"
)

// Times as AWS writes them: in sentences, and in JSON.
const (
	sentenceTime = "02/01/06 15:04:05"
	dataTime     = "2006-01-02T15:04:05.000-0700"
)

// words of the comparisons.
var comparisons = map[string]string{
	"GreaterThanOrEqualToThreshold": "greater than or equal to",
	"GreaterThanThreshold":          "greater than",
	"LessThanThreshold":             "less than",
	"LessThanOrEqualToThreshold":    "less than or equal to",
}

// inline is how many datapoints AWS lists within its sentence; of more the newest
// five follow it.
const (
	inline   = 3
	atTheEnd = 5
)

// reason is the sentence for a verdict, as AWS has it. Alarms that say how many
// datapoints they need have the longer one.
func (a Alarm) reason(v verdict) string {
	var crossing []evaluated // on the side that the new state is about
	came := 0
	for _, p := range v.considered {
		if p.Sample != nil {
			came++
			if p.breaching == (v.state == InAlarm) {
				crossing = append(crossing, p)
			}
		}
	}
	if v.state == InsufficientData {
		return fmt.Sprintf("Insufficient Data: %s unknown.", were(a.Periods, ""))
	}
	missing := ""
	if v.filled > 0 {
		as := "NonBreaching"
		if a.Missing == "breaching" {
			as = "Breaching"
		}
		missing = fmt.Sprintf(" and %s treated as [%s]", were(v.filled, "missing "), as)
		if len(crossing) == 0 {
			received := "no datapoints were"
			if came > 0 {
				received = were(came, "")
			}
			return fmt.Sprintf("Threshold Crossed: %s received for %s%s.", received, plural(a.Periods, "period"), missing)
		}
	}
	count, minimum := plural(len(crossing), "datapoint"), ""
	if a.Datapoints > 0 {
		count = fmt.Sprintf("%d out of the last %d datapoints", len(crossing), came)
		least, transition := a.Datapoints, "OK -> ALARM"
		if v.state == OK {
			least, transition = a.Periods-a.Datapoints+1, "ALARM -> OK"
		}
		minimum = fmt.Sprintf(" (minimum %s for %s transition)", plural(least, "datapoint"), transition)
	}
	is := "was"
	if len(crossing) != 1 {
		is = "were"
	}
	if v.state == OK {
		is += " not"
	}
	threshold := fmt.Sprintf("%s %s the threshold (%s)", is, comparisons[a.Comparison], number(a.Threshold))
	if len(crossing) > inline {
		return fmt.Sprintf("Threshold Crossed: %s %s%s. The most recent datapoints which crossed the threshold: %s%s.",
			count, threshold, missing, datapoints(crossing[:min(atTheEnd, len(crossing))]), minimum)
	}
	return fmt.Sprintf("Threshold Crossed: %s %s %s%s%s.", count, datapoints(crossing), threshold, missing, minimum)
}

func plural(n int, noun string) string {
	if n == 1 {
		return "1 " + noun
	}
	return fmt.Sprintf("%d %ss", n, noun)
}

func were(n int, kind string) string {
	if n == 1 {
		return "1 " + kind + "datapoint was"
	}
	return fmt.Sprintf("%d %sdatapoints were", n, kind)
}

func datapoints(list []evaluated) string {
	var text []string
	for _, p := range list {
		text = append(text, fmt.Sprintf("%s (%s)", number(p.Value), p.at.Format(sentenceTime)))
	}
	return "[" + strings.Join(text, ", ") + "]"
}

// number writes a number as Java does: 50.0, 1.0E7.
func number(v float64) string {
	if abs := math.Abs(v); v == 0 || abs >= 1e-3 && abs < 1e7 {
		s := strconv.FormatFloat(v, 'f', -1, 64)
		if !strings.Contains(s, ".") {
			s += ".0"
		}
		return s
	}
	mantissa, exponent, ok := strings.Cut(strconv.FormatFloat(v, 'E', -1, 64), "E")
	if !ok {
		return mantissa // NaN, Inf
	}
	if !strings.Contains(mantissa, ".") {
		mantissa += ".0"
	}
	e, _ := strconv.Atoi(exponent) // FormatFloat wrote it
	return fmt.Sprintf("%sE%d", mantissa, e)
}

// reasonData is the JSON that goes with the sentence.
type reasonData struct {
	Version   string          `json:"version"`
	Query     string          `json:"queryDate"`
	Start     string          `json:"startDate,omitempty"`
	Unit      string          `json:"unit,omitempty"`
	Statistic string          `json:"statistic,omitempty"`
	Period    int             `json:"period"`
	Recent    []json.Number   `json:"recentDatapoints"`
	Threshold json.Number     `json:"threshold"`
	Evaluated []evaluatedData `json:"evaluatedDatapoints"`
}

type evaluatedData struct {
	At    string      `json:"timestamp"`
	Count json.Number `json:"sampleCount,omitempty"`
	Value json.Number `json:"value,omitempty"`
}

func (a Alarm) reasonData(v verdict, at time.Time) string {
	d := reasonData{
		Version: "1.0", Query: at.UTC().Format(dataTime), Unit: a.Unit, Statistic: a.Statistic + a.Extended,
		Period: int(a.period() / time.Second), Recent: []json.Number{}, Threshold: json.Number(number(a.Threshold)), Evaluated: []evaluatedData{},
	}
	for _, p := range v.considered {
		e := evaluatedData{At: p.at.Format(dataTime)}
		if p.Sample != nil {
			e.Value = json.Number(number(p.Value))
			if p.Count > 0 {
				e.Count = json.Number(number(p.Count))
			}
			d.Recent = append(d.Recent, e.Value)
			d.Start = e.At // the oldest's stays
		}
		d.Evaluated = append(d.Evaluated, e)
	}
	slices.Reverse(d.Recent)
	text, err := json.Marshal(d)
	if err != nil { // a number that JSON has no word for, which no metric can hold
		return ""
	}
	return string(text)
}
