package main

import (
	"fmt"
	"io"
	"runtime"
	"slices"
	"text/tabwriter"
)

// comparison is a line of the table that puts several programs side by side. Its
// values are the medians of what was measured.
type comparison struct {
	what, unit string
	who        []string
	values     [][]float64 // by program and run
	// sum makes the values the sums of what was counted.
	sum bool
}

func (c *comparison) add(who int, value float64) { c.values[who] = append(c.values[who], value) }

// value is what a program is compared by.
func (c *comparison) value(who int) float64 {
	values := slices.Sorted(slices.Values(c.values[who]))
	if !c.sum {
		return values[len(values)/2]
	}
	sum := 0.0
	for _, v := range values {
		sum += v
	}
	return sum
}

// cell is the value as the table shows it, with the smallest and the largest.
func (c *comparison) cell(who int) string {
	if c.sum {
		return fmt.Sprintf("%.0f", c.value(who))
	}
	least, most := slices.Min(c.values[who]), slices.Max(c.values[who])
	digits := 2
	if c.value(who) >= 1000 {
		digits = 0
	} else if c.value(who) >= 10 {
		digits = 1
	}
	return fmt.Sprintf("%.*f (%.*f–%.*f)", digits, c.value(who), digits, least, digits, most)
}

// ratio is the first program's value in another one's.
func (c *comparison) ratio(to int) string {
	if c.sum || c.value(to) == 0 {
		return ""
	}
	return fmt.Sprintf("%.2f", c.value(0)/c.value(to))
}

func printComparisons(out io.Writer, all []comparison) error {
	if len(all) == 0 {
		return nil
	}
	fmt.Fprintf(out, "\nLoad balancers side by side, %d CPUs, %s/%s: medians (smallest–largest)\n\n", runtime.NumCPU(), runtime.GOOS, runtime.GOARCH)
	w := tabwriter.NewWriter(out, 0, 0, 2, ' ', tabwriter.AlignRight)
	fmt.Fprint(w, "\t")
	first := all[0].who[0]
	for _, name := range all[0].who {
		fmt.Fprintf(w, "%s\t", name)
	}
	fmt.Fprint(w, "unit\t")
	for _, name := range all[0].who[1:] {
		fmt.Fprintf(w, "%s ÷ %s\t", first, name)
	}
	fmt.Fprintln(w)
	for _, c := range all {
		fmt.Fprintf(w, "%s\t", c.what)
		for n := range c.who {
			fmt.Fprintf(w, "%s\t", c.cell(n))
		}
		fmt.Fprintf(w, "%s\t", c.unit)
		for n := range c.who[1:] {
			fmt.Fprintf(w, "%s\t", c.ratio(n+1))
		}
		fmt.Fprintln(w)
	}
	return w.Flush()
}
