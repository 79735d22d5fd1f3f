package autoscaler

import (
	"context"
	"fmt"
	"maps"
	"strconv"
	"strings"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	autoscalingtypes "github.com/aws/aws-sdk-go-v2/service/autoscaling/types"
	"github.com/aws/aws-sdk-go-v2/service/eks"
	ekstypes "github.com/aws/aws-sdk-go-v2/service/eks/types"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/klog/v2"
)

// What a group's tags say of its nodes.
const (
	labelTag    = "k8s.io/cluster-autoscaler/node-template/label/"
	taintTag    = "k8s.io/cluster-autoscaler/node-template/taint/"
	resourceTag = "k8s.io/cluster-autoscaler/node-template/resources/"
	optionTag   = "k8s.io/cluster-autoscaler/node-template/autoscaling-options/"
)

// nodegroup is what EKS says of the nodes of a managed node group.
type nodegroup struct {
	labels    map[string]string
	taints    []corev1.Taint
	resources corev1.ResourceList
}

// node is the group's next one: sized by its instance type as EKS does it,
// labelled and tainted by tags, and by EKS if the group is a node group's.
func (l *launches) node(ctx context.Context, g autoscalingtypes.AutoScalingGroup, k kind, m machine) *corev1.Node {
	name := aws.ToString(g.AutoScalingGroupName)
	tags := map[string]string{}
	for _, t := range g.Tags {
		tags[aws.ToString(t.Key)] = aws.ToString(t.Value)
	}
	cluster, group := tags["eks:cluster-name"], tags["eks:nodegroup-name"]
	node := &corev1.Node{
		ObjectMeta: metav1.ObjectMeta{Name: name + "-asg-template", Labels: l.labels(g, m)},
		Status:     corev1.NodeStatus{Conditions: []corev1.NodeCondition{{Type: corev1.NodeReady, Status: corev1.ConditionTrue}}},
	}
	pods := m.ManagedMaxPods()
	if m.ENIs == 0 { // not known
		pods = 110
	}
	disk := k.diskGiB
	if disk == 0 {
		disk = 20
	}
	all, usable := m.Capacity(), m.Allocatable()
	node.Status.Capacity = sizes(all.CPUMilli, all.MemoryMiB, pods, int64(disk)<<30, m.gpus)
	node.Status.Allocatable = sizes(usable.CPUMilli, usable.MemoryMiB, pods, int64(disk)<<30*9/10, m.gpus)
	if cluster != "" && group != "" {
		klog.V(5).Infof("Nodegroup %s in cluster %s is an EKS managed nodegroup.", group, cluster)
		known, err := recall(l, &l.nodegroups, cluster+"/"+group, func() (nodegroup, error) { return l.nodegroup(ctx, cluster, group) })
		if err != nil {
			klog.Errorf("Failed to get labels from EKS DescribeNodegroup API for nodegroup %s in cluster %s because %s.", group, cluster, err)
		}
		maps.Copy(node.Labels, known.labels)
		node.Spec.Taints = append(node.Spec.Taints, known.taints...)
		maps.Copy(node.Status.Capacity, known.resources)
		maps.Copy(node.Status.Allocatable, known.resources)
	}
	for key, value := range tags {
		if label, ok := strings.CutPrefix(key, labelTag); ok && label != "" {
			node.Labels[label] = value
		}
		if taint, ok := strings.CutPrefix(key, taintTag); ok {
			if text, effect, ok := strings.Cut(value, ":"); ok && isEffect(effect) {
				node.Spec.Taints = append(node.Spec.Taints, corev1.Taint{Key: taint, Value: text, Effect: corev1.TaintEffect(effect)})
			}
		}
	}
	return node
}

// labels are those that each node has.
func (l *launches) labels(g autoscalingtypes.AutoScalingGroup, m machine) map[string]string {
	arch := "amd64"
	if m.Architecture == "arm64" {
		arch = "arm64"
	}
	labels := map[string]string{
		corev1.LabelArchStable: arch, corev1.LabelOSStable: "linux", corev1.LabelInstanceTypeStable: m.Name,
	}
	if len(g.AvailabilityZones) > 0 {
		zone := g.AvailabilityZones[0]
		labels[corev1.LabelTopologyZone] = zone
		labels[corev1.LabelTopologyRegion] = strings.TrimRight(zone, "abcdefghijklmnopqrstuvwxyz")
		labels["topology.ebs.csi.aws.com/zone"] = zone
	}
	return labels
}

func sizes(cpuMilli, memoryMiB, pods int, disk, gpus int64) corev1.ResourceList {
	list := corev1.ResourceList{
		corev1.ResourceCPU:              *resource.NewMilliQuantity(int64(cpuMilli), resource.DecimalSI),
		corev1.ResourceMemory:           *resource.NewQuantity(int64(memoryMiB)<<20, resource.BinarySI),
		corev1.ResourcePods:             *resource.NewQuantity(int64(pods), resource.DecimalSI),
		corev1.ResourceEphemeralStorage: *resource.NewQuantity(disk, resource.BinarySI),
	}
	if gpus > 0 {
		list[gpu] = *resource.NewQuantity(gpus, resource.DecimalSI)
	}
	return list
}

func isEffect(text string) bool {
	switch corev1.TaintEffect(text) {
	case corev1.TaintEffectNoSchedule, corev1.TaintEffectPreferNoSchedule, corev1.TaintEffectNoExecute:
		return true
	}
	return false
}

func (l *launches) nodegroup(ctx context.Context, cluster, name string) (nodegroup, error) {
	out, err := observed(l.cfg.Metrics, "DescribeNodegroup", func() (*eks.DescribeNodegroupOutput, error) {
		return l.cfg.EKS.DescribeNodegroup(ctx, &eks.DescribeNodegroupInput{ClusterName: &cluster, NodegroupName: &name})
	})
	if err != nil {
		return nodegroup{}, err
	}
	if out.Nodegroup == nil {
		return nodegroup{}, fmt.Errorf("no node group %s in the reply", name)
	}
	n := nodegroup{labels: maps.Clone(out.Nodegroup.Labels), resources: resources(out.Nodegroup.Tags)}
	if n.labels == nil {
		n.labels = map[string]string{}
	}
	n.labels["eks.amazonaws.com/nodegroup"] = name
	n.labels["eks.amazonaws.com/capacityType"] = string(out.Nodegroup.CapacityType)
	effects := map[ekstypes.TaintEffect]corev1.TaintEffect{
		ekstypes.TaintEffectNoSchedule: corev1.TaintEffectNoSchedule, ekstypes.TaintEffectNoExecute: corev1.TaintEffectNoExecute,
		ekstypes.TaintEffectPreferNoSchedule: corev1.TaintEffectPreferNoSchedule,
	}
	for _, t := range out.Nodegroup.Taints {
		n.taints = append(n.taints, corev1.Taint{Key: aws.ToString(t.Key), Value: aws.ToString(t.Value), Effect: effects[t.Effect]})
	}
	return n, nil
}

func tagResources(tags []autoscalingtypes.TagDescription) corev1.ResourceList {
	all := map[string]string{}
	for _, t := range tags {
		all[aws.ToString(t.Key)] = aws.ToString(t.Value)
	}
	return resources(all)
}

// resources are those that tags say a node has.
func resources(tags map[string]string) corev1.ResourceList {
	list := corev1.ResourceList{}
	for key, value := range tags {
		name, ok := strings.CutPrefix(key, resourceTag)
		if !ok || name == "" {
			continue
		}
		amount, err := resource.ParseQuantity(value)
		if err != nil {
			klog.Warningf("Failed to parse resource quanitity '%s' for resource '%s'", value, name)
			continue
		}
		list[corev1.ResourceName(name)] = amount
	}
	return list
}

// groupOptions are the flags that a group's tags override.
func groupOptions(group string, tags []autoscalingtypes.TagDescription) GroupOptions {
	var o GroupOptions
	for _, t := range tags {
		name, ok := strings.CutPrefix(aws.ToString(t.Key), optionTag)
		if !ok {
			continue
		}
		var err error
		switch value := aws.ToString(t.Value); name {
		case "scaledownutilizationthreshold":
			err = said(&o.UtilizationThreshold, value, parseFloat)
		case "scaledowngpuutilizationthreshold":
			err = said(&o.GPUUtilizationThreshold, value, parseFloat)
		case "scaledownunneededtime":
			err = said(&o.UnneededTime, value, time.ParseDuration)
		case "scaledownunreadytime":
			err = said(&o.UnreadyTime, value, time.ParseDuration)
		case "maxnodeprovisiontime":
			err = said(&o.ProvisionTime, value, time.ParseDuration)
		case "ignoredaemonsetsutilization":
			err = said(&o.IgnoreDaemonSets, value, strconv.ParseBool)
		}
		if err != nil {
			klog.Warningf("failed to convert asg %s %s tag: %v", group, name, err)
		}
	}
	return o
}

func said[T any](to **T, text string, parse func(string) (T, error)) error {
	value, err := parse(text)
	if err == nil {
		*to = &value
	}
	return err
}

func parseFloat(text string) (float64, error) { return strconv.ParseFloat(text, 64) }
