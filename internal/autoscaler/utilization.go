package autoscaler

import (
	"time"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/resource"
	"k8s.io/kubernetes/pkg/scheduler/framework"
)

// acceleratorLabel is on nodes with GPUs.
const acceleratorLabel = "k8s.amazonaws.com/accelerator"

// Utilization is how much of a node pods have requested, from 0 to 1. Its
// fields stand in the order in which upstream prints them.
type Utilization struct {
	CPU, Memory, GPU float64
	Resource         corev1.ResourceName // the one that counts
	Value            float64             // of that
}

func utilization(info *framework.NodeInfo, o *Options, ignoreDaemonSets bool, now time.Time) Utilization {
	var cpu, memory, gpus resource.Quantity
	for _, p := range info.Pods {
		pod := p.GetPod()
		if longTerminating(pod, now) || o.IgnoreMirrorPods && isMirror(pod) || ignoreDaemonSets && isDaemon(pod) {
			continue
		}
		asked := requests(pod)
		cpu.Add(asked[corev1.ResourceCPU])
		memory.Add(asked[corev1.ResourceMemory])
		gpus.Add(asked[gpu])
	}
	has := info.Node().Status.Allocatable
	u := Utilization{CPU: ratio(cpu, has[corev1.ResourceCPU]), Memory: ratio(memory, has[corev1.ResourceMemory]), GPU: ratio(gpus, has[gpu])}
	switch {
	case hasGPU(info.Node()): // the rest of such a node costs little
		u.Resource, u.Value = gpu, u.GPU
	case u.CPU > u.Memory:
		u.Resource, u.Value = corev1.ResourceCPU, u.CPU
	default:
		u.Resource, u.Value = corev1.ResourceMemory, u.Memory
	}
	return u
}

func hasGPU(node *corev1.Node) bool {
	_, ok := node.Labels[acceleratorLabel]
	amount := node.Status.Allocatable[gpu]
	return ok || !amount.IsZero()
}
