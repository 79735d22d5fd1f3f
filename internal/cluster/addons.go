package cluster

import (
	"bytes"
	"context"
	"embed"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"strings"
	"text/template"

	appsv1 "k8s.io/api/apps/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/util/yaml"
	"k8s.io/client-go/discovery"
	"k8s.io/client-go/discovery/cached/memory"
	"k8s.io/client-go/dynamic"
	restclient "k8s.io/client-go/rest"
	"k8s.io/client-go/restmapper"
	"k8s.io/client-go/tools/clientcmd"
)

// addons holds a manifest for each add-on, named as EKS names it; system holds
// what every cluster has.
//
//go:embed addons system
var manifests embed.FS

// manager is the field manager of what EKS installs by itself.
const manager = "eks"

// Addon is an EKS add-on and its settings.
type Addon struct {
	Name  string // coredns
	Image string
	// Values are its configuration values, by the names of its manifest.
	Values map[string]any
	// Overwrite takes fields over that somebody else has changed.
	Overwrite bool
}

// HasManifest says whether an add-on is a set of objects. Others are part of
// each node here.
func HasManifest(addon string) bool {
	_, err := fs.Stat(manifests, addonFile(addon))
	return err == nil
}

func addonFile(addon string) string { return "addons/" + addon + ".yaml" }

// ApplySystem applies what every cluster has from its start, and more objects of
// this kind. Running it again is harmless.
func (c Config) ApplySystem(ctx context.Context, more ...runtime.Object) error {
	files, err := fs.Glob(manifests, "system/*.yaml")
	if err != nil {
		return err
	}
	var objects []*unstructured.Unstructured
	for _, file := range files {
		some, err := c.render(file, Addon{})
		if err != nil {
			return err
		}
		objects = append(objects, some...)
	}
	for _, o := range more {
		fields, err := runtime.DefaultUnstructuredConverter.ToUnstructured(o)
		if err != nil {
			return fmt.Errorf("converting %T: %w", o, err)
		}
		objects = append(objects, &unstructured.Unstructured{Object: fields})
	}
	a, err := c.applier()
	if err != nil {
		return err
	}
	_, err = a.apply(ctx, objects, true)
	return err
}

// ApplyAddon applies an add-on, by server-side apply: running it again is
// harmless. Objects in which somebody has changed what the add-on sets stay as
// they are, unless it overwrites, and are named in the result.
func (c Config) ApplyAddon(ctx context.Context, addon Addon) (changed []string, err error) {
	objects, err := c.render(addonFile(addon.Name), addon)
	if err != nil {
		return nil, err
	}
	a, err := c.applier()
	if err != nil {
		return nil, err
	}
	return a.apply(ctx, objects, addon.Overwrite)
}

// RemoveAddon deletes what an add-on has installed.
func (c Config) RemoveAddon(ctx context.Context, addon Addon) error {
	objects, err := c.render(addonFile(addon.Name), addon)
	if err != nil {
		return err
	}
	a, err := c.applier()
	if err != nil {
		return err
	}
	return a.delete(ctx, objects)
}

// MissingReplicas names the Deployments of an add-on that have fewer pods ready
// than they want.
func (c Config) MissingReplicas(ctx context.Context, addon Addon) ([]string, error) {
	objects, err := c.render(addonFile(addon.Name), addon)
	if err != nil {
		return nil, err
	}
	client, err := c.Client()
	if err != nil {
		return nil, err
	}
	var missing []string
	for _, o := range objects {
		if o.GetKind() != "Deployment" {
			continue
		}
		d, err := client.AppsV1().Deployments(o.GetNamespace()).Get(ctx, o.GetName(), metav1.GetOptions{})
		if err != nil {
			return nil, fmt.Errorf("reading the Deployment %s: %w", o.GetName(), err)
		}
		if !available(d) {
			missing = append(missing, o.GetName())
		}
	}
	return missing, nil
}

func available(d *appsv1.Deployment) bool {
	want := int32(1)
	if d.Spec.Replicas != nil {
		want = *d.Spec.Replicas
	}
	return d.Status.ObservedGeneration >= d.Generation && d.Status.AvailableReplicas >= want
}

// render reads the objects of a manifest.
func (c Config) render(file string, addon Addon) ([]*unstructured.Unstructured, error) {
	t, err := template.ParseFS(manifests, file)
	if err != nil {
		return nil, fmt.Errorf("parsing %s: %w", file, err)
	}
	var rendered bytes.Buffer
	values := struct {
		Addon
		DNSAddress string
	}{addon, c.DNSAddress().String()}
	if err := t.Execute(&rendered, values); err != nil {
		return nil, fmt.Errorf("rendering %s: %w", file, err)
	}
	var objects []*unstructured.Unstructured
	decoder := yaml.NewYAMLOrJSONDecoder(&rendered, 4096)
	for {
		var object unstructured.Unstructured
		if err := decoder.Decode(&object.Object); errors.Is(err, io.EOF) {
			return objects, nil
		} else if err != nil {
			return nil, fmt.Errorf("decoding %s: %w", file, err)
		}
		if len(object.Object) > 0 {
			objects = append(objects, &object)
		}
	}
}

// applier makes objects of any kind so, as EKS.
type applier struct {
	client dynamic.Interface
	mapper *restmapper.DeferredDiscoveryRESTMapper
}

func (c Config) applier() (*applier, error) {
	rest, err := clientcmd.BuildConfigFromFlags("", c.Kubeconfig())
	if err != nil {
		return nil, fmt.Errorf("loading the kubeconfig of cluster %s: %w", c.Name, err)
	}
	rest.QPS = -1
	return newApplier(rest)
}

func newApplier(rest *restclient.Config) (*applier, error) {
	client, err := dynamic.NewForConfig(rest)
	if err != nil {
		return nil, fmt.Errorf("making a client: %w", err)
	}
	disco, err := discovery.NewDiscoveryClientForConfig(rest)
	if err != nil {
		return nil, fmt.Errorf("making a discovery client: %w", err)
	}
	return &applier{client, restmapper.NewDeferredDiscoveryRESTMapper(memory.NewMemCacheClient(disco))}, nil
}

func (a *applier) resource(object *unstructured.Unstructured) (dynamic.ResourceInterface, error) {
	gvk := object.GroupVersionKind()
	mapping, err := a.mapper.RESTMapping(gvk.GroupKind(), gvk.Version)
	if err != nil {
		return nil, fmt.Errorf("finding the resource of %s: %w", gvk, err)
	}
	resource := a.client.Resource(mapping.Resource)
	if namespace := object.GetNamespace(); namespace != "" {
		return resource.Namespace(namespace), nil
	}
	return resource, nil
}

func (a *applier) apply(ctx context.Context, objects []*unstructured.Unstructured, overwrite bool) (changed []string, err error) {
	for _, object := range objects {
		target, err := a.resource(object)
		if err != nil {
			return nil, err
		}
		_, err = target.Apply(ctx, object.GetName(), object, metav1.ApplyOptions{FieldManager: manager, Force: overwrite})
		switch {
		case apierrors.IsConflict(err):
			changed = append(changed, nameOf(object))
		case err != nil:
			return nil, fmt.Errorf("applying %s: %w", nameOf(object), err)
		}
	}
	return changed, nil
}

func (a *applier) delete(ctx context.Context, objects []*unstructured.Unstructured) error {
	for _, object := range objects {
		target, err := a.resource(object)
		if err != nil {
			return err
		}
		// What belongs to the object, a Deployment's pods, goes too.
		err = target.Delete(ctx, object.GetName(), metav1.DeleteOptions{PropagationPolicy: new(metav1.DeletePropagationBackground)})
		if err != nil && !apierrors.IsNotFound(err) {
			return fmt.Errorf("deleting %s: %w", nameOf(object), err)
		}
	}
	return nil
}

// nameOf is an object's name as kubectl writes it: deployment/coredns.
func nameOf(o *unstructured.Unstructured) string {
	return strings.ToLower(o.GetKind()) + "/" + o.GetName()
}
