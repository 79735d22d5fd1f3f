package main

import (
	"context"
	"fmt"
	"regexp"
	"strings"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/iam"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// groupName is the name of the Auto Scaling group that the lesson tells people to
// replace.
var groupName = regexp.MustCompile(`eks-eks-work-nodegroup-[-0-9a-f]+`)

// autoscale starts the Cluster Autoscaler as the lesson does, and lets pods take
// the room of all nodes.
func (g *nodegroup) autoscale(ctx context.Context) error {
	_, err := g.roles.AttachRolePolicy(ctx, &iam.AttachRolePolicyInput{
		RoleName: &g.role, PolicyArn: aws.String("arn:aws:iam::aws:policy/AutoScalingFullAccess"),
	})
	if err != nil {
		return err
	}
	if err := g.apply(ctx, "examples/cluster-autoscaler/cluster_autoscaler.yaml", groupName, g.name); err != nil {
		return err
	}
	err = await(ctx, "an autoscaler that runs", func(ctx context.Context) (bool, error) {
		status, err := g.kube.CoreV1().ConfigMaps(metav1.NamespaceSystem).Get(ctx, "cluster-autoscaler-status", metav1.GetOptions{})
		if apierrors.IsNotFound(err) {
			return false, nil
		}
		return err == nil && strings.Contains(status.Data["status"], "autoscalerStatus: Running"), err
	})
	if err != nil {
		return err
	}
	nodes, err := g.nodes(ctx)
	if err != nil {
		return err
	}
	for range nodes {
		pod, err := g.create(ctx)
		if err != nil {
			return err
		}
		if _, err := g.started(ctx, pod); err != nil {
			return err
		}
	}
	return g.calm(ctx, scalingCPU)
}

// overflow makes a pod for which no node has room, and returns how long it took,
// from then on, until the group was to be larger and until the pod was Running. The
// group is as before then.
func (g *nodegroup) overflow(ctx context.Context) (asked, running time.Duration, err error) {
	before, err := g.nodes(ctx)
	if err != nil {
		return 0, 0, err
	}
	began := time.Now()
	pod, err := g.create(ctx)
	if err != nil {
		return 0, 0, err
	}
	err = await(ctx, "a larger desired capacity", func(ctx context.Context) (bool, error) {
		found, err := g.group(ctx)
		return err == nil && int(*found.DesiredCapacity) > len(before), err
	})
	if err != nil {
		return 0, 0, err
	}
	asked = time.Since(began)
	if pod, err = g.started(ctx, pod); err != nil {
		return 0, 0, err
	}
	running = time.Since(began)
	if _, ok := before[pod.Spec.NodeName]; ok {
		return 0, 0, fmt.Errorf("the pod was to find no room, and runs on %s", pod.Spec.NodeName)
	}
	node, err := g.newcomer(ctx, before)
	if err != nil {
		return 0, 0, err
	}
	if err := g.remove(ctx, pod); err != nil {
		return 0, 0, err
	}
	return asked, running, g.shrink(ctx, node)
}

// create makes a pod of the demo application that asks for so much of a t3.medium
// that no node has room for two.
func (g *nodegroup) create(ctx context.Context) (*corev1.Pod, error) {
	return g.kube.CoreV1().Pods(metav1.NamespaceDefault).Create(ctx, &corev1.Pod{
		ObjectMeta: metav1.ObjectMeta{GenerateName: "bench-"},
		Spec: corev1.PodSpec{
			TerminationGracePeriodSeconds: aws.Int64(1),
			Containers: []corev1.Container{{
				Name: "app", Image: "641022061021.dkr.ecr.ap-northeast-2.amazonaws.com/backend-app:4.0.0",
				Resources: corev1.ResourceRequirements{Requests: corev1.ResourceList{corev1.ResourceCPU: resource.MustParse("1")}},
			}},
		},
	}, metav1.CreateOptions{})
}

// started waits until a pod is Running.
func (g *nodegroup) started(ctx context.Context, pod *corev1.Pod) (*corev1.Pod, error) {
	err := await(ctx, "pod "+pod.Name+" to be Running", func(ctx context.Context) (bool, error) {
		found, err := g.kube.CoreV1().Pods(pod.Namespace).Get(ctx, pod.Name, metav1.GetOptions{})
		if err != nil {
			return false, err
		}
		pod = found
		return pod.Status.Phase == corev1.PodRunning, nil
	})
	return pod, err
}

// remove ends a pod and waits until it is gone.
func (g *nodegroup) remove(ctx context.Context, pod *corev1.Pod) error {
	pods := g.kube.CoreV1().Pods(pod.Namespace)
	if err := pods.Delete(ctx, pod.Name, metav1.DeleteOptions{}); err != nil {
		return err
	}
	return await(ctx, "the end of pod "+pod.Name, func(ctx context.Context) (bool, error) {
		_, err := pods.Get(ctx, pod.Name, metav1.GetOptions{})
		if apierrors.IsNotFound(err) {
			return true, nil
		}
		return false, err
	})
}
