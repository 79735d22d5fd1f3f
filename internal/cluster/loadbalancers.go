package cluster

import (
	"context"
	"errors"
	"fmt"

	v1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/kubernetes"
)

// remake is the annotation by whose change the cloud controller manager looks at
// a Service again. It does not stay.
const remake = "tarn/remake-load-balancer"

// RemakeLoadBalancers has the cloud controller manager make load balancers anew for
// the Services whose own is gone: it believes that what it once made is there, and
// looks only when the Service changes. exists is asked for the host name of each
// load balancer that a Service has.
func (c Config) RemakeLoadBalancers(ctx context.Context, exists func(hostname string) bool) error {
	client, err := c.Client()
	if err != nil {
		return err
	}
	if err := remakeLoadBalancers(ctx, client, exists); err != nil {
		return fmt.Errorf("asking for the load balancers of cluster %s again: %w", c.Name, err)
	}
	return nil
}

func remakeLoadBalancers(ctx context.Context, client kubernetes.Interface, exists func(string) bool) error {
	services, err := client.CoreV1().Services(metav1.NamespaceAll).List(ctx, metav1.ListOptions{})
	if err != nil {
		return err
	}
	var errs []error
	for _, s := range services.Items {
		if !lost(s, exists) {
			continue
		}
		for _, patch := range []string{`{"metadata":{"annotations":{"` + remake + `":"now"}}}`, `{"metadata":{"annotations":{"` + remake + `":null}}}`} {
			_, err := client.CoreV1().Services(s.Namespace).Patch(ctx, s.Name, types.MergePatchType, []byte(patch), metav1.PatchOptions{FieldManager: "tarn"})
			if err != nil && !apierrors.IsNotFound(err) {
				errs = append(errs, fmt.Errorf("service %s/%s: %w", s.Namespace, s.Name, err))
				break
			}
		}
	}
	return errors.Join(errs...)
}

// lost says of a Service that a load balancer of its status does not exist.
func lost(s v1.Service, exists func(string) bool) bool {
	if s.Spec.Type != v1.ServiceTypeLoadBalancer {
		return false
	}
	for _, ingress := range s.Status.LoadBalancer.Ingress {
		if ingress.Hostname != "" && !exists(ingress.Hostname) {
			return true
		}
	}
	return false
}
