package metering

import (
	"time"

	"github.com/tarn-eks/tarn/internal/instance"
	"github.com/tarn-eks/tarn/internal/instancetype"
	"github.com/tarn-eks/tarn/internal/metrics"
	"github.com/tarn-eks/tarn/internal/service/ec2"
	"github.com/tarn-eks/tarn/internal/vpc"
)

const ec2Namespace = "AWS/EC2"

// Reading is what an instance had used at a time.
type Reading struct {
	At    time.Time
	Usage instance.Usage
	// Network is nil if it could not be read.
	Network *vpc.Counters
}

// Instance is an instance whose use is measured.
type Instance struct {
	ID, Type, Image string
	Group           string // its Auto Scaling group, "" if it is in none
	VCPUs           int
}

// measured is what of an instance its metrics are named by.
func measured(i ec2.Instance, group string) (Instance, error) {
	t, err := instancetype.Lookup(i.Type)
	return Instance{ID: i.ID, Type: i.Type, Image: i.ImageID, Group: group, VCPUs: t.VCPUs}, err
}

// dimensions are the sets that an instance's metrics have: its own, its group's,
// its type's and image's, and that of all.
//
// https://docs.aws.amazon.com/AWSEC2/latest/UserGuide/viewing_metrics_with_cloudwatch.html
func (i Instance) dimensions() []dimensions {
	sets := []dimensions{dims("InstanceId", i.ID), shared("InstanceType", i.Type), shared("ImageId", i.Image), shared()}
	if i.Group != "" {
		sets = append(sets, shared("AutoScalingGroupName", i.Group))
	}
	return sets
}

// Instances is what instances did between two readings, in the second that the
// first was taken in. One of which there are not both is left out, as is one whose
// first is so old that nobody asks for its time any more.
func Instances(before, now map[string]Reading, all []Instance) []metrics.Datum {
	batches := map[int64]*batch{} // by second: an instance's reading may have failed before
	var order []*batch
	for _, i := range all {
		was, ok := before[i.ID]
		is, here := now[i.ID]
		elapsed := is.At.Sub(was.At)
		if !ok || !here || elapsed <= 0 || elapsed > minute {
			continue
		}
		at := was.At.Round(time.Second)
		b := batches[at.Unix()]
		if b == nil {
			b = newBatch(ec2Namespace, at)
			batches[at.Unix()] = b
			order = append(order, b)
		}
		b.addInstance(i, was, is, elapsed)
	}
	var data []metrics.Datum
	for _, b := range order {
		data = append(data, b.data...)
	}
	return data
}

func (b *batch) addInstance(i Instance, was, is Reading, elapsed time.Duration) {
	sets := i.dimensions()
	cpu := time.Duration(grown(uint64(was.Usage.CPU), uint64(is.Usage.CPU)))
	// The kernel gives a cgroup its quota per tenth of a second: a second of the
	// clock may have more than a second's worth.
	used := 100 * float64(cpu) / (float64(elapsed) * float64(max(1, i.VCPUs)))
	b.add("CPUUtilization", percent, min(used, 100), weight(elapsed), sets...)
	for _, m := range []struct {
		name, unit string
		was, is    uint64
	}{
		{"EBSReadBytes", bytes, was.Usage.ReadBytes, is.Usage.ReadBytes},
		{"EBSWriteBytes", bytes, was.Usage.WriteBytes, is.Usage.WriteBytes},
		{"EBSReadOps", count, was.Usage.Reads, is.Usage.Reads},
		{"EBSWriteOps", count, was.Usage.Writes, is.Usage.Writes},
	} {
		b.addTotal(m.name, m.unit, grown(m.was, m.is), elapsed, sets...)
	}
	if was.Network == nil || is.Network == nil {
		return
	}
	for _, m := range []struct {
		name, unit string
		was, is    uint64
	}{
		{"NetworkIn", bytes, was.Network.InBytes, is.Network.InBytes},
		{"NetworkOut", bytes, was.Network.OutBytes, is.Network.OutBytes},
		{"NetworkPacketsIn", count, was.Network.InPackets, is.Network.InPackets},
		{"NetworkPacketsOut", count, was.Network.OutPackets, is.Network.OutPackets},
	} {
		b.addTotal(m.name, m.unit, grown(m.was, m.is), elapsed, sets...)
	}
}

// Checks are an instance's status checks that fail.
type Checks struct {
	System   bool // what it runs on: its cgroup or its wire is not there
	Instance bool // what runs in it: its own processes have ended
}

// Status is what the checks of running instances say, as EC2 reports it each minute.
func Status(at time.Time, checks map[string]Checks, all []Instance) []metrics.Datum {
	b := newBatch(ec2Namespace, at.Round(time.Second))
	for _, i := range all {
		c, ok := checks[i.ID]
		if !ok {
			continue
		}
		sets := i.dimensions()
		b.add("StatusCheckFailed", count, bit(c.System || c.Instance), 1, sets...)
		b.add("StatusCheckFailed_Instance", count, bit(c.Instance), 1, sets...)
		b.add("StatusCheckFailed_System", count, bit(c.System), 1, sets...)
	}
	return b.data
}

func bit(on bool) float64 {
	if on {
		return 1
	}
	return 0
}
