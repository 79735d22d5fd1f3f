package main

import (
	"fmt"
	"io"
	"runtime"
	"slices"
	"text/tabwriter"
)

// row is a line of the table. Its value is the median of what was measured.
type row struct {
	what   string
	unit   string
	target float64 // at most; 0: none, the value is for information
	// atLeast turns the target round: values are better when larger.
	atLeast bool
	// worst makes the target one for every measurement, not for their median.
	worst  bool
	values []float64
}

// judged is the row's median, smallest and largest value, and whether the target
// was met.
func (r row) judged() (median, least, most float64, verdict string) {
	values := slices.Sorted(slices.Values(r.values))
	median, least, most = values[len(values)/2], values[0], values[len(values)-1]
	if r.target == 0 {
		return median, least, most, ""
	}
	value, sign := median, 1.0
	if r.worst {
		value = most
	}
	if r.atLeast {
		sign = -1
		if r.worst {
			value = least
		}
	}
	if sign*value > sign*r.target {
		return median, least, most, "MISSED"
	}
	return median, least, most, "met"
}

// goal is the target as the table shows it.
func (r row) goal() string {
	switch {
	case r.target == 0:
		return ""
	case r.atLeast:
		return fmt.Sprintf("≥ %.0f", r.target)
	}
	return fmt.Sprintf("≤ %.0f", r.target)
}

func printTable(out io.Writer, rows []row) error {
	if len(rows) == 0 {
		return nil
	}
	fmt.Fprintf(out, "%d CPUs, %s/%s\n\n", runtime.NumCPU(), runtime.GOOS, runtime.GOARCH)
	w := tabwriter.NewWriter(out, 0, 0, 2, ' ', tabwriter.AlignRight)
	fmt.Fprintln(w, "\tmedian\tmin\tmax\ttarget\tunit\t\t")
	for _, r := range rows {
		median, least, most, verdict := r.judged()
		fmt.Fprintf(w, "%s\t%.1f\t%.1f\t%.1f\t%s\t%s\t%s\t\n", r.what, median, least, most, r.goal(), r.unit, verdict)
	}
	if err := w.Flush(); err != nil {
		return err
	}
	fmt.Fprint(out, `
Resident set sizes count the pages of the one binary, some 140 MB of its file in
the page cache, in every process anew: where they miss their target and the line
below does not, that is why. docs/benchmarks.md says how each is measured.
`)
	return nil
}
