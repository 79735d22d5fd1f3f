package metering

import (
	"time"

	stats "k8s.io/kubelet/pkg/apis/stats/v1alpha1"
)

// rate is by how much a counter grew per second between two times of a kubelet's
// readings. There is none without both, or where the counter began anew.
func rate(was, is *uint64, elapsed time.Duration) (float64, bool) {
	if was == nil || is == nil || *is < *was || elapsed <= 0 {
		return 0, false
	}
	return float64(*is-*was) / elapsed.Seconds(), true
}

// cpuUsed is the CPU used between two readings, in thousandths of a vCPU, or else
// what the kubelet has averaged over the last seconds.
func cpuUsed(was, is *stats.CPUStats) (float64, bool) {
	if is == nil {
		return 0, false
	}
	if was != nil {
		if r, ok := rate(was.UsageCoreNanoSeconds, is.UsageCoreNanoSeconds, is.Time.Sub(was.Time.Time)); ok {
			return r / 1e6, true
		}
	}
	if is.UsageNanoCores == nil {
		return 0, false
	}
	return float64(*is.UsageNanoCores) / 1e6, true
}

// traffic is what all interfaces took and gave per second between two readings.
func traffic(was, is *stats.NetworkStats) (in, out float64, ok bool) {
	if was == nil || is == nil {
		return 0, 0, false
	}
	elapsed := is.Time.Sub(was.Time.Time)
	for _, i := range interfaces(is) {
		for _, j := range interfaces(was) {
			if i.Name != j.Name {
				continue
			}
			received, took := rate(j.RxBytes, i.RxBytes, elapsed)
			sent, gave := rate(j.TxBytes, i.TxBytes, elapsed)
			if took && gave {
				in, out, ok = in+received, out+sent, true
			}
		}
	}
	return in, out, ok
}

// interfaces are all of them, or the default one of a kubelet that names no other.
func interfaces(n *stats.NetworkStats) []stats.InterfaceStats {
	if len(n.Interfaces) > 0 {
		return n.Interfaces
	}
	return []stats.InterfaceStats{n.InterfaceStats}
}

// faults are the page faults per second, major ones counted once more as the agent
// does.
func faults(was, is *stats.MemoryStats) (float64, bool) {
	if was == nil {
		return 0, false
	}
	elapsed := is.Time.Sub(was.Time.Time)
	all, ok := rate(was.PageFaults, is.PageFaults, elapsed)
	major, also := rate(was.MajorPageFaults, is.MajorPageFaults, elapsed)
	return all + major, ok && also
}

// addShare adds a part of a whole, in percent, if there is a whole.
func addShare(add func(name, unit string, v float64), name string, part, of float64) {
	if of > 0 {
		add(name, percent, 100*part/of)
	}
}

// addUsed adds how full a file system is.
func addUsed(add func(name, unit string, v float64), name string, fs *stats.FsStats) {
	if fs.UsedBytes != nil && fs.CapacityBytes != nil {
		addShare(add, name, float64(*fs.UsedBytes), float64(*fs.CapacityBytes))
	}
}

func addKnown(add func(name, unit string, v float64), name, unit string, v *uint64) {
	if v != nil {
		add(name, unit, float64(*v))
	}
}
