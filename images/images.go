// Package images holds the container images that a region comes with: pause,
// CoreDNS and the demo application. They are packed at build time by
// images/build, embedded here as one OCI image layout, and given out as
// go-containerregistry values. Nothing here builds, pushes or runs an image.
package images

import (
	"embed"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"strings"

	v1 "github.com/google/go-containerregistry/pkg/v1"

	"github.com/tarn-eks/tarn/internal/image"
)

//go:embed dist
var dist embed.FS

// ErrNotPacked is returned while images/dist holds no images.
var ErrNotPacked = errors.New("this binary was built without its container images: run `make images`, then build again")

// Image is an embedded image.
type Image struct {
	v1.Image
	Name string // the repository: eks/pause
	Tag  string

	layout *image.Layout
	desc   v1.Descriptor
}

// All returns the embedded images. The error is ErrNotPacked when there are
// none.
func All() ([]Image, error) {
	sub, err := fs.Sub(dist, "dist")
	if err != nil {
		return nil, err
	}
	return load(sub)
}

// Find returns the embedded image name:tag. The error is ErrNotPacked, or says
// that there is no such image.
func Find(name, tag string) (Image, error) {
	all, err := All()
	if err != nil {
		return Image{}, err
	}
	for _, img := range all {
		if img.Name == name && img.Tag == tag {
			return img, nil
		}
	}
	return Image{}, fmt.Errorf("no embedded image %s:%s", name, tag)
}

// WriteArchive writes the image as an OCI archive in which it is called ref
// (a whole reference: registry, repository, tag). containerd imports it.
func (i Image) WriteArchive(w io.Writer, ref string) error {
	return i.layout.WriteArchive(w, i.desc, ref)
}

func load(fsys fs.FS) ([]Image, error) {
	l, err := image.OpenLayout(fsys)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, ErrNotPacked
	}
	if err != nil {
		return nil, fmt.Errorf("embedded images: %w", err)
	}
	var all []Image
	for _, desc := range l.Manifests() {
		ref := desc.Annotations[image.AnnotationName]
		name, tag, ok := strings.Cut(ref, ":")
		if !ok {
			return nil, fmt.Errorf("embedded images: %s is called %q, which is not name:tag", desc.Digest, ref)
		}
		img, err := l.Image(desc)
		if err != nil {
			return nil, fmt.Errorf("embedded image %s: %w", ref, err)
		}
		all = append(all, Image{Image: img, Name: name, Tag: tag, layout: l, desc: desc})
	}
	return all, nil
}
