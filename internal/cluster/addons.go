package cluster

import (
	"bytes"
	"context"
	"embed"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"text/template"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/util/yaml"
	"k8s.io/client-go/discovery"
	"k8s.io/client-go/discovery/cached/memory"
	"k8s.io/client-go/dynamic"
	restclient "k8s.io/client-go/rest"
	"k8s.io/client-go/restmapper"
	"k8s.io/client-go/tools/clientcmd"
)

//go:embed addons
var addonFiles embed.FS

// addonManager is the field manager of what EKS installs by itself.
const addonManager = "eks"

// Addons are the values of the add-ons' manifests.
type Addons struct {
	CoreDNSImage string
}

// ApplyAddons applies what every EKS cluster starts with, by server-side apply:
// running it again is harmless. Where a person has changed a field, their value
// stays (EKS: resolveConflicts PRESERVE) and the object is named in the result.
func (c Config) ApplyAddons(ctx context.Context, addons Addons) (preserved []string, err error) {
	rest, err := clientcmd.BuildConfigFromFlags("", c.Kubeconfig())
	if err != nil {
		return nil, fmt.Errorf("loading the kubeconfig of cluster %s: %w", c.Name, err)
	}
	rest.QPS = -1
	objects, err := c.addonObjects(addons)
	if err != nil {
		return nil, err
	}
	return apply(ctx, rest, objects)
}

// addonObjects renders the embedded manifests.
func (c Config) addonObjects(addons Addons) ([]*unstructured.Unstructured, error) {
	var objects []*unstructured.Unstructured
	err := fs.WalkDir(addonFiles, "addons", func(name string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		t, err := template.ParseFS(addonFiles, name)
		if err != nil {
			return fmt.Errorf("parsing %s: %w", name, err)
		}
		var rendered bytes.Buffer
		values := struct {
			Addons
			DNSAddress string
		}{addons, c.DNSAddress().String()}
		if err := t.Option("missingkey=error").Execute(&rendered, values); err != nil {
			return fmt.Errorf("rendering %s: %w", name, err)
		}
		decoder := yaml.NewYAMLOrJSONDecoder(&rendered, 4096)
		for {
			var object unstructured.Unstructured
			if err := decoder.Decode(&object.Object); errors.Is(err, io.EOF) {
				return nil
			} else if err != nil {
				return fmt.Errorf("decoding %s: %w", name, err)
			}
			if len(object.Object) > 0 {
				objects = append(objects, &object)
			}
		}
	})
	return objects, err
}

func apply(ctx context.Context, rest *restclient.Config, objects []*unstructured.Unstructured) (preserved []string, err error) {
	client, err := dynamic.NewForConfig(rest)
	if err != nil {
		return nil, fmt.Errorf("making a client: %w", err)
	}
	disco, err := discovery.NewDiscoveryClientForConfig(rest)
	if err != nil {
		return nil, fmt.Errorf("making a discovery client: %w", err)
	}
	mapper := restmapper.NewDeferredDiscoveryRESTMapper(memory.NewMemCacheClient(disco))
	for _, object := range objects {
		gvk := object.GroupVersionKind()
		mapping, err := mapper.RESTMapping(gvk.GroupKind(), gvk.Version)
		if err != nil {
			return nil, fmt.Errorf("finding the resource of %s: %w", gvk, err)
		}
		resource := client.Resource(mapping.Resource)
		var target dynamic.ResourceInterface = resource
		if namespace := object.GetNamespace(); namespace != "" {
			target = resource.Namespace(namespace)
		}
		_, err = target.Apply(ctx, object.GetName(), object, metav1.ApplyOptions{FieldManager: addonManager})
		switch {
		case apierrors.IsConflict(err):
			preserved = append(preserved, object.GetKind()+"/"+object.GetName())
		case err != nil:
			return nil, fmt.Errorf("applying %s %s: %w", object.GetKind(), object.GetName(), err)
		}
	}
	return preserved, nil
}
