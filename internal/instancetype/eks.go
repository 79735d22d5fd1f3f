package instancetype

// Hard eviction thresholds of the EKS-optimised AMIs.
const (
	EvictionMemoryAvailable  = "100Mi"
	EvictionNodefsAvailable  = "10%"
	EvictionNodefsInodesFree = "5%"

	evictionMemoryMiB = 100
)

// Resources is an amount of CPU and memory of a node.
type Resources struct {
	CPUMilli  int // millicores
	MemoryMiB int // MiB
}

// MaxPods is the number of pods that a node of this type holds: every address
// of every interface except the interfaces' own, and two for the host-network
// pods aws-node and kube-proxy that need none. This is what the AMI computes
// (awslabs/amazon-eks-ami, nodeadm, getMaxPodsFromENIInfo).
func (t Type) MaxPods() int { return t.ENIs*(t.IPv4PerENI-1) + 2 }

// ManagedMaxPods is MaxPods with the ceiling that managed node groups put on
// it: 110 below 30 vCPUs, 250 from there on. The EKS user guide says that this
// ceiling holds whether prefix delegation is on or not; self-managed groups
// have none. No type below 4xlarge reaches it.
func (t Type) ManagedMaxPods() int {
	ceiling := 250
	if t.VCPUs < 30 {
		ceiling = 110
	}
	return min(t.MaxPods(), ceiling)
}

// Capacity is what the node reports as its capacity.
func (t Type) Capacity() Resources {
	return Resources{CPUMilli: t.VCPUs * 1000, MemoryMiB: t.MemoryMiB}
}

// KubeReserved is what EKS sets aside for the kubelet and the container
// runtime of this type. It follows MaxPods, not ManagedMaxPods, as in the AMI.
func (t Type) KubeReserved() Resources {
	return Resources{CPUMilli: ReservedCPUMilli(t.VCPUs), MemoryMiB: ReservedMemoryMiB(t.MaxPods())}
}

// Allocatable is what pods may request on a node of this type: the capacity
// less KubeReserved and, for memory, less the hard eviction threshold.
func (t Type) Allocatable() Resources {
	capacity, reserved := t.Capacity(), t.KubeReserved()
	return Resources{
		CPUMilli:  capacity.CPUMilli - reserved.CPUMilli,
		MemoryMiB: capacity.MemoryMiB - reserved.MemoryMiB - evictionMemoryMiB,
	}
}

// ReservedMemoryMiB is EKS's kube-reserved memory for a node with this many pods, in MiB.
func ReservedMemoryMiB(maxPods int) int { return 255 + 11*maxPods }

// ReservedCPUMilli is EKS's kube-reserved CPU for a node with this many vCPUs,
// in millicores: 6 % of the first core, 1 % of the second, 0.5 % of the next
// two and 0.25 % of the rest; each band is rounded down, as in the AMI.
func ReservedCPUMilli(vcpus int) int {
	reserved, from := 0, 0
	for _, band := range []struct{ to, perTenThousand int }{{1, 600}, {2, 100}, {4, 50}, {vcpus, 25}} {
		if to := min(band.to, vcpus); to > from {
			reserved += (to - from) * 1000 * band.perTenThousand / 10000
			from = to
		}
	}
	return reserved
}
