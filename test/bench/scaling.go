package main

import (
	"context"
	"fmt"
	"path"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/autoscaling"
	"github.com/aws/aws-sdk-go-v2/service/autoscaling/types"
	"github.com/aws/aws-sdk-go-v2/service/cloudwatch"
	"github.com/aws/aws-sdk-go-v2/service/eks"
	"github.com/aws/aws-sdk-go-v2/service/iam"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/tools/clientcmd"

	"github.com/tarn-eks/tarn/internal/region"
)

// nodegroup is the node group of a region, which grows while it is watched.
type nodegroup struct {
	bench
	name string // of its Auto Scaling group
	role string // of its nodes

	groups *autoscaling.Client
	alarms *cloudwatch.Client
	roles  *iam.Client
	kube   kubernetes.Interface
}

// scaling measures how long a node group takes to grow: for pods that find no
// room, and for an alarm.
func (b bench) scaling(ctx context.Context, runs int) ([]row, error) {
	if err := b.none(ctx); err != nil {
		return nil, err
	}
	g, err := b.nodegroup(ctx)
	if err != nil {
		return nil, err
	}
	asked := row{what: "an unschedulable pod, to SetDesiredCapacity", unit: "s", target: 1}
	running := row{what: "an unschedulable pod, to Running on the new node", unit: "s", target: 6}
	ready := row{what: "an alarm's breach, from its period's end to the new node Ready", unit: "s", target: 5}
	for n := range runs { // before there is an autoscaler, so that nobody else is at work
		took, err := g.breach(ctx, n)
		if err != nil {
			return nil, err
		}
		ready.values = append(ready.values, took.Seconds())
	}
	if err := g.autoscale(ctx); err != nil {
		return nil, err
	}
	for range runs {
		toAsk, toRun, err := g.overflow(ctx)
		if err != nil {
			return nil, err
		}
		asked.values, running.values = append(asked.values, toAsk.Seconds()), append(running.values, toRun.Seconds())
	}
	return []row{asked, running, ready}, b.none(ctx)
}

// nodegroup starts a region and waits until it rests.
func (b bench) nodegroup(ctx context.Context) (*nodegroup, error) {
	cfg, id, err := b.upAside(ctx)
	if err != nil {
		return nil, err
	}
	found, err := eks.NewFromConfig(cfg).DescribeNodegroup(ctx, &eks.DescribeNodegroupInput{
		ClusterName: &id.Cluster, NodegroupName: aws.String("eks-work-nodegroup"),
	})
	if err != nil {
		return nil, err
	}
	access, err := clientcmd.BuildConfigFromFlags("", region.Kubeconfig(b.dir))
	if err != nil {
		return nil, err
	}
	access.QPS = -1 // no bound: what is waited for is looked at often
	kube, err := kubernetes.NewForConfig(access)
	if err != nil {
		return nil, err
	}
	return &nodegroup{
		bench: b, name: *found.Nodegroup.Resources.AutoScalingGroups[0].Name, role: path.Base(*found.Nodegroup.NodeRole),
		groups: autoscaling.NewFromConfig(cfg), alarms: cloudwatch.NewFromConfig(cfg), roles: iam.NewFromConfig(cfg), kube: kube,
	}, b.rested(ctx)
}

// group describes the Auto Scaling group.
func (g *nodegroup) group(ctx context.Context) (types.AutoScalingGroup, error) {
	found, err := g.groups.DescribeAutoScalingGroups(ctx, &autoscaling.DescribeAutoScalingGroupsInput{AutoScalingGroupNames: []string{g.name}})
	if err != nil {
		return types.AutoScalingGroup{}, err
	}
	if n := len(found.AutoScalingGroups); n != 1 {
		return types.AutoScalingGroup{}, fmt.Errorf("%d groups are called %s", n, g.name)
	}
	return found.AutoScalingGroups[0], nil
}

// nodes are the nodes that are Ready, by name.
func (g *nodegroup) nodes(ctx context.Context) (map[string]corev1.Node, error) {
	found, err := g.kube.CoreV1().Nodes().List(ctx, metav1.ListOptions{})
	if err != nil {
		return nil, err
	}
	ready := map[string]corev1.Node{}
	for _, n := range found.Items {
		for _, c := range n.Status.Conditions {
			if c.Type == corev1.NodeReady && c.Status == corev1.ConditionTrue {
				ready[n.Name] = n
			}
		}
	}
	return ready, nil
}

// newcomer waits for a Ready node that was not there before.
func (g *nodegroup) newcomer(ctx context.Context, before map[string]corev1.Node) (found corev1.Node, err error) {
	err = await(ctx, "a new node that is Ready", func(ctx context.Context) (bool, error) {
		nodes, err := g.nodes(ctx)
		for name, n := range nodes {
			if _, ok := before[name]; !ok {
				found = n
				return true, nil
			}
		}
		return false, err
	})
	return found, err
}

// shrink takes a node out of the group again, and waits until nothing is left of
// it and the region rests.
func (g *nodegroup) shrink(ctx context.Context, node corev1.Node) error {
	// Its launch shall be over, so that each run finds the group in the same state.
	err := await(ctx, "all instances in service", func(ctx context.Context) (bool, error) {
		found, err := g.group(ctx)
		for _, i := range found.Instances {
			if i.LifecycleState != types.LifecycleStateInService {
				return false, err
			}
		}
		return err == nil, err
	})
	if err != nil {
		return err
	}
	_, err = g.groups.TerminateInstanceInAutoScalingGroup(ctx, &autoscaling.TerminateInstanceInAutoScalingGroupInput{
		InstanceId: aws.String(path.Base(node.Spec.ProviderID)), ShouldDecrementDesiredCapacity: aws.Bool(true),
	})
	if err != nil {
		return err
	}
	err = await(ctx, "the end of "+node.Name, func(ctx context.Context) (bool, error) {
		found, err := g.group(ctx)
		if err != nil || len(found.Instances) > int(*found.DesiredCapacity) {
			return false, err
		}
		_, err = g.kube.CoreV1().Nodes().Get(ctx, node.Name, metav1.GetOptions{})
		if apierrors.IsNotFound(err) {
			return true, nil
		}
		return false, err
	})
	if err != nil {
		return err
	}
	return g.calm(ctx, scalingCPU)
}
