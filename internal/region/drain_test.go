package region

import (
	"slices"
	"testing"

	v1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

func TestLeaving(t *testing.T) {
	owned := func(kind string) []metav1.OwnerReference {
		return []metav1.OwnerReference{{Kind: kind, Name: "x", Controller: new(true)}}
	}
	pod := func(name string, change func(*v1.Pod)) v1.Pod {
		p := v1.Pod{ObjectMeta: metav1.ObjectMeta{Name: name}, Status: v1.PodStatus{Phase: v1.PodRunning}}
		change(&p)
		return p
	}
	left, toEvict := leaving([]v1.Pod{
		pod("bare", func(*v1.Pod) {}),
		pod("replicated", func(p *v1.Pod) { p.OwnerReferences = owned("ReplicaSet") }),
		pod("pending", func(p *v1.Pod) { p.Status.Phase = v1.PodPending }),
		pod("ending", func(p *v1.Pod) { p.DeletionTimestamp = new(metav1.Now()) }),
		pod("daemon", func(p *v1.Pod) { p.OwnerReferences = owned("DaemonSet") }),
		pod("daemon's, ending", func(p *v1.Pod) { p.OwnerReferences = owned("DaemonSet"); p.DeletionTimestamp = new(metav1.Now()) }),
		pod("static", func(p *v1.Pod) { p.Annotations = map[string]string{v1.MirrorPodAnnotationKey: "x"} }),
		pod("done", func(p *v1.Pod) { p.Status.Phase = v1.PodSucceeded }),
		pod("failed", func(p *v1.Pod) { p.Status.Phase = v1.PodFailed }),
	})
	names := func(pods []v1.Pod) []string {
		var names []string
		for _, p := range pods {
			names = append(names, p.Name)
		}
		return names
	}
	if got := names(left); !slices.Equal(got, []string{"bare", "replicated", "pending", "ending"}) {
		t.Errorf("left: %v", got)
	}
	if got := names(toEvict); !slices.Equal(got, []string{"bare", "replicated", "pending"}) {
		t.Errorf("to evict: %v", got)
	}
}
