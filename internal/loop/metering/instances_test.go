package metering

import (
	"cmp"
	"fmt"
	"maps"
	"math"
	"slices"
	"strings"
	"testing"
	"time"

	gocmp "github.com/google/go-cmp/cmp"

	"github.com/tarn-eks/tarn/internal/instance"
	"github.com/tarn-eks/tarn/internal/metrics"
	"github.com/tarn-eks/tarn/internal/vpc"
)

var noon = time.Date(2026, 11, 22, 12, 0, 0, 0, time.UTC)

// text is a datum as one line: "CPUUtilization{InstanceId=i-1} Percent 50 ×0.0167".
func text(d metrics.Datum) string {
	var pairs []string
	for _, n := range slices.Sorted(maps.Keys(d.Dimensions)) {
		pairs = append(pairs, n+"="+d.Dimensions[n])
	}
	line := fmt.Sprintf("%s{%s} %s", d.Name, strings.Join(pairs, ","), d.Unit)
	for i, v := range d.Values {
		line += fmt.Sprintf(" %.6g×%.3g", v, d.Counts[i])
	}
	if s := d.Statistics; s != nil {
		line += fmt.Sprintf(" count %.3g sum %.6g min %.6g max %.6g", s.Count, s.Sum, s.Min, s.Max)
	}
	return line
}

// lines are data as text, sorted; only those whose line has the part.
func lines(data []metrics.Datum, part string) []string {
	var all []string
	for _, d := range data {
		if l := text(d); strings.Contains(l, part) {
			all = append(all, l)
		}
	}
	slices.SortFunc(all, cmp.Compare[string])
	return all
}

// reading is one whose counters all have a value derived from n.
func reading(at time.Time, cpu time.Duration, n uint64) Reading {
	return Reading{
		At:      at,
		Usage:   instance.Usage{CPU: cpu, ReadBytes: n, WriteBytes: 2 * n, Reads: 3 * n, Writes: 4 * n},
		Network: &vpc.Counters{InBytes: 5 * n, OutBytes: 6 * n, InPackets: 7 * n, OutPackets: 8 * n},
	}
}

var (
	one = Instance{ID: "i-1", Type: "t3.medium", Image: "ami-1", Group: "workers", VCPUs: 2}
	two = Instance{ID: "i-2", Type: "t3.medium", Image: "ami-1", Group: "workers", VCPUs: 2}
)

func TestInstances(t *testing.T) {
	second := noon.Add(time.Second)
	for _, tt := range []struct {
		name        string
		before, now map[string]Reading
		all         []Instance
		part        string // of the lines that are compared
		want        []string
	}{
		{
			"half of two vCPUs for a second",
			map[string]Reading{"i-1": reading(noon, time.Hour, 0)},
			map[string]Reading{"i-1": reading(second, time.Hour+time.Second, 0)},
			[]Instance{one}, "CPU", []string{
				"CPUUtilization{AutoScalingGroupName=workers} Percent count 0.0167 sum 0.833333 min 50 max 50",
				"CPUUtilization{ImageId=ami-1} Percent count 0.0167 sum 0.833333 min 50 max 50",
				"CPUUtilization{InstanceId=i-1} Percent 50×0.0167",
				"CPUUtilization{InstanceType=t3.medium} Percent count 0.0167 sum 0.833333 min 50 max 50",
				"CPUUtilization{} Percent count 0.0167 sum 0.833333 min 50 max 50",
			},
		},
		{
			"a group of two",
			map[string]Reading{"i-1": reading(noon, 0, 0), "i-2": reading(noon, 0, 0)},
			map[string]Reading{"i-1": reading(second, 2*time.Second, 0), "i-2": reading(second, time.Second/2, 0)},
			[]Instance{one, two}, "CPUUtilization{AutoScalingGroupName", []string{
				"CPUUtilization{AutoScalingGroupName=workers} Percent count 0.0333 sum 2.08333 min 25 max 100",
			},
		},
		{
			"what is counted has its sum, and per minute its average",
			map[string]Reading{"i-1": reading(noon, 0, 1000)},
			map[string]Reading{"i-1": reading(noon.Add(2*time.Second), 0, 1002)},
			[]Instance{one}, "{InstanceId", []string{
				"CPUUtilization{InstanceId=i-1} Percent 0×0.0333",
				"EBSReadBytes{InstanceId=i-1} Bytes 60×0.0333",
				"EBSReadOps{InstanceId=i-1} Count 180×0.0333",
				"EBSWriteBytes{InstanceId=i-1} Bytes 120×0.0333",
				"EBSWriteOps{InstanceId=i-1} Count 240×0.0333",
				"NetworkIn{InstanceId=i-1} Bytes 300×0.0333",
				"NetworkOut{InstanceId=i-1} Bytes 360×0.0333",
				"NetworkPacketsIn{InstanceId=i-1} Count 420×0.0333",
				"NetworkPacketsOut{InstanceId=i-1} Count 480×0.0333",
			},
		},
		{
			"more than there is",
			map[string]Reading{"i-1": reading(noon, 0, 0)},
			map[string]Reading{"i-1": reading(second, 2100*time.Millisecond, 0)},
			[]Instance{one}, "CPUUtilization{Inst", []string{
				"CPUUtilization{InstanceId=i-1} Percent 100×0.0167",
				"CPUUtilization{InstanceType=t3.medium} Percent count 0.0167 sum 1.66667 min 100 max 100",
			},
		},
		{
			"a reboot: the counters began anew",
			map[string]Reading{"i-1": reading(noon, time.Hour, 1000)},
			map[string]Reading{"i-1": reading(second, time.Second, 1)},
			[]Instance{one}, "{InstanceId=i-1} ", []string{
				"CPUUtilization{InstanceId=i-1} Percent 50×0.0167",
				"EBSReadBytes{InstanceId=i-1} Bytes 60×0.0167",
				"EBSReadOps{InstanceId=i-1} Count 180×0.0167",
				"EBSWriteBytes{InstanceId=i-1} Bytes 120×0.0167",
				"EBSWriteOps{InstanceId=i-1} Count 240×0.0167",
				"NetworkIn{InstanceId=i-1} Bytes 300×0.0167",
				"NetworkOut{InstanceId=i-1} Bytes 360×0.0167",
				"NetworkPacketsIn{InstanceId=i-1} Count 420×0.0167",
				"NetworkPacketsOut{InstanceId=i-1} Count 480×0.0167",
			},
		},
		{
			"its network was not read",
			map[string]Reading{"i-1": reading(noon, 0, 0)},
			map[string]Reading{"i-1": {At: second}},
			[]Instance{{ID: "i-1"}}, "Network", nil,
		},
		{
			"new",
			map[string]Reading{"i-2": reading(noon, 0, 0)},
			map[string]Reading{"i-1": reading(second, 0, 0)}, []Instance{one, two}, "", nil,
		},
		{
			"after a sleep of the machine",
			map[string]Reading{"i-1": reading(noon, 0, 0)},
			map[string]Reading{"i-1": reading(noon.Add(time.Hour), 0, 0)}, []Instance{one}, "", nil,
		},
		{
			"the clock was put back",
			map[string]Reading{"i-1": reading(noon, 0, 0)},
			map[string]Reading{"i-1": reading(noon.Add(-time.Second), 0, 0)}, []Instance{one}, "", nil,
		},
		{"nothing", nil, nil, nil, "", nil},
	} {
		got := Instances(tt.before, tt.now, tt.all)
		if diff := gocmp.Diff(tt.want, lines(got, tt.part)); diff != "" {
			t.Errorf("%s: %s", tt.name, diff)
		}
		for _, d := range got {
			if !d.At.Equal(noon) || d.Namespace != "AWS/EC2" {
				t.Errorf("%s: %s of %s at %s", tt.name, d.Name, d.Namespace, d.At)
			}
		}
	}
}

// Sixty samples of a second are, over their minute, what AWS's one sample is.
func TestMinuteIsThatOfAWS(t *testing.T) {
	var count, sum float64
	before := map[string]Reading{"i-1": reading(noon, 0, 0)}
	for n := range 60 {
		// A second of the clock is not always one.
		at := noon.Add(time.Duration(n+1)*time.Second + time.Duration(n%3)*time.Millisecond)
		now := map[string]Reading{"i-1": reading(at, 0, uint64(10*(n+1)))}
		for _, d := range Instances(before, now, []Instance{one}) {
			if d.Name == "NetworkIn" && d.Dimensions["InstanceId"] != "" {
				count += d.Counts[0]
				sum += d.Values[0] * d.Counts[0]
				if d.At != noon.Add(time.Duration(n)*time.Second) {
					t.Errorf("sample %d is at %s", n, d.At)
				}
			}
		}
		before = now
	}
	if math.Abs(count-1) > 1e-9 || math.Abs(sum-3000) > 1e-6 {
		t.Errorf("%g samples, the sum is %g; want one, and 3000", count, sum)
	}
}

func TestStatus(t *testing.T) {
	checks := map[string]Checks{"i-1": {}, "i-2": {Instance: true}, "i-gone": {System: true}}
	want := []string{
		"StatusCheckFailed_Instance{AutoScalingGroupName=workers} Count count 2 sum 1 min 0 max 1",
		"StatusCheckFailed_Instance{InstanceId=i-1} Count 0×1",
		"StatusCheckFailed_Instance{InstanceId=i-2} Count 1×1",
		"StatusCheckFailed_System{AutoScalingGroupName=workers} Count count 2 sum 0 min 0 max 0",
		"StatusCheckFailed_System{InstanceId=i-1} Count 0×1",
		"StatusCheckFailed_System{InstanceId=i-2} Count 0×1",
		"StatusCheckFailed{AutoScalingGroupName=workers} Count count 2 sum 1 min 0 max 1",
		"StatusCheckFailed{InstanceId=i-1} Count 0×1",
		"StatusCheckFailed{InstanceId=i-2} Count 1×1",
	}
	got := lines(Status(noon, checks, []Instance{one, two}), "")
	got = slices.DeleteFunc(got, func(l string) bool {
		return strings.Contains(l, "{}") || strings.Contains(l, "ImageId") || strings.Contains(l, "InstanceType")
	})
	if diff := gocmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
}
