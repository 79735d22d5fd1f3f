// Package image reads container images from files: OCI image layouts (from any
// fs.FS, so that embedded images and tar files are read by the same code) and
// `docker save` archives.
//
// It holds no registry and speaks no network; it hands out go-containerregistry
// values, which others push, serve or unpack.
package image

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"path"
	"slices"

	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/partial"
	"github.com/google/go-containerregistry/pkg/v1/types"
)

// Annotations on the descriptors of an OCI layout's index.json.
const (
	// AnnotationName is the whole reference, as containerd, BuildKit and
	// Docker write it: docker.io/library/nginx:1.27.
	AnnotationName = "io.containerd.image.name"
	// AnnotationRef is, by the OCI image layout specification, a tag; Podman
	// and Skopeo put the whole reference there.
	AnnotationRef = "org.opencontainers.image.ref.name"
)

// AnnotationPreloaded marks, on a manifest, the images that come with Tarn, so
// that an update replaces its own images and never one that a user pushed
// under the same name.
const AnnotationPreloaded = "io.github.tarn-eks.preloaded"

// Layout is an OCI image layout in a file system.
type Layout struct {
	fsys  fs.FS
	index v1.IndexManifest
}

// OpenLayout reads the layout's index.json. The error is fs.ErrNotExist when
// there is none.
func OpenLayout(fsys fs.FS) (*Layout, error) {
	raw, err := fs.ReadFile(fsys, "index.json")
	if err != nil {
		return nil, err
	}
	l := &Layout{fsys: fsys}
	if err := json.Unmarshal(raw, &l.index); err != nil {
		return nil, fmt.Errorf("index.json: %w", err)
	}
	return l, nil
}

// Manifests returns the descriptors of index.json.
func (l *Layout) Manifests() []v1.Descriptor { return l.index.Manifests }

// Image returns the image whose manifest is desc.
func (l *Layout) Image(desc v1.Descriptor) (v1.Image, error) {
	raw, err := l.readBlob(desc.Digest)
	if err != nil {
		return nil, err
	}
	return partial.CompressedToImage(&layoutImage{layout: l, desc: desc, raw: raw})
}

// Index returns the image index (the manifest list) whose content is desc.
// Its children that the layout does not contain, or contains in part, are left
// out: Docker saves a multi-platform image with the platforms it has.
func (l *Layout) Index(desc v1.Descriptor) (v1.ImageIndex, error) {
	raw, err := l.readBlob(desc.Digest)
	if err != nil {
		return nil, err
	}
	idx := &layoutIndex{layout: l, mediaType: desc.MediaType, raw: raw}
	m, err := v1.ParseIndexManifest(bytes.NewReader(raw))
	if err != nil {
		return nil, fmt.Errorf("index %s: %w", desc.Digest, err)
	}
	complete := m.Manifests[:0:0]
	for _, child := range m.Manifests {
		if l.complete(child) {
			complete = append(complete, child)
		}
	}
	if len(complete) == 0 {
		return nil, fmt.Errorf("index %s: none of its %d images is complete in this file", desc.Digest, len(m.Manifests))
	}
	if len(complete) < len(m.Manifests) {
		m.Manifests = complete
		if idx.raw, err = json.Marshal(m); err != nil {
			return nil, err
		}
	}
	return idx, nil
}

// complete says whether every blob that desc leads to is in the layout.
func (l *Layout) complete(desc v1.Descriptor) bool {
	raw, err := l.readBlob(desc.Digest)
	if err != nil {
		return false
	}
	if desc.MediaType.IsIndex() {
		m, err := v1.ParseIndexManifest(bytes.NewReader(raw))
		return err == nil && !slices.ContainsFunc(m.Manifests, func(d v1.Descriptor) bool { return !l.complete(d) })
	}
	m, err := v1.ParseManifest(bytes.NewReader(raw))
	if err != nil {
		return false
	}
	for _, d := range append(m.Layers, m.Config) {
		if _, err := fs.Stat(l.fsys, blobPath(d.Digest)); err != nil {
			return false
		}
	}
	return true
}

// Blobs returns what the image desc consists of: its manifest, its
// configuration and its layers.
func (l *Layout) Blobs(desc v1.Descriptor) ([]v1.Descriptor, error) {
	raw, err := l.readBlob(desc.Digest)
	if err != nil {
		return nil, err
	}
	m, err := v1.ParseManifest(bytes.NewReader(raw))
	if err != nil {
		return nil, fmt.Errorf("manifest %s: %w", desc.Digest, err)
	}
	return append([]v1.Descriptor{desc, m.Config}, m.Layers...), nil
}

// OpenBlob opens a blob. Its digest is not verified: the reader's consumer,
// a registry or containerd, does that.
func (l *Layout) OpenBlob(h v1.Hash) (io.ReadCloser, error) {
	f, err := l.fsys.Open(blobPath(h))
	if errors.Is(err, fs.ErrNotExist) {
		return nil, fmt.Errorf("blob %s is missing: %w", h, fs.ErrNotExist)
	}
	return f, err
}

// readBlob reads a manifest or a configuration, verified.
func (l *Layout) readBlob(h v1.Hash) ([]byte, error) {
	rc, err := l.OpenBlob(h)
	if err != nil {
		return nil, err
	}
	defer rc.Close()
	const limit = 4 << 20 // registries refuse larger manifests
	raw, err := io.ReadAll(io.LimitReader(rc, limit+1))
	if err != nil {
		return nil, fmt.Errorf("reading blob %s: %w", h, err)
	}
	if len(raw) > limit {
		return nil, fmt.Errorf("blob %s is larger than %d bytes: not a manifest or configuration", h, limit)
	}
	got, _, err := v1.SHA256(bytes.NewReader(raw))
	if err != nil {
		return nil, err
	}
	if got != h {
		return nil, fmt.Errorf("blob %s is damaged: its content has digest %s", h, got)
	}
	return raw, nil
}

func blobPath(h v1.Hash) string { return path.Join("blobs", h.Algorithm, h.Hex) }

// layoutImage implements partial.CompressedImageCore.
type layoutImage struct {
	layout *Layout
	desc   v1.Descriptor
	raw    []byte
}

func (i *layoutImage) MediaType() (types.MediaType, error) { return i.desc.MediaType, nil }
func (i *layoutImage) RawManifest() ([]byte, error)        { return i.raw, nil }

func (i *layoutImage) RawConfigFile() ([]byte, error) {
	m, err := partial.Manifest(i)
	if err != nil {
		return nil, err
	}
	return i.layout.readBlob(m.Config.Digest)
}

func (i *layoutImage) LayerByDigest(h v1.Hash) (partial.CompressedLayer, error) {
	m, err := partial.Manifest(i)
	if err != nil {
		return nil, err
	}
	for _, d := range append(m.Layers, m.Config) {
		if d.Digest == h {
			return &layoutLayer{layout: i.layout, desc: d}, nil
		}
	}
	return nil, fmt.Errorf("image %s has no layer %s", i.desc.Digest, h)
}

// layoutLayer implements partial.CompressedLayer.
type layoutLayer struct {
	layout *Layout
	desc   v1.Descriptor
}

func (l *layoutLayer) Digest() (v1.Hash, error)            { return l.desc.Digest, nil }
func (l *layoutLayer) Size() (int64, error)                { return l.desc.Size, nil }
func (l *layoutLayer) MediaType() (types.MediaType, error) { return l.desc.MediaType, nil }
func (l *layoutLayer) Compressed() (io.ReadCloser, error)  { return l.layout.OpenBlob(l.desc.Digest) }
func (l *layoutLayer) Descriptor() (*v1.Descriptor, error) { return &l.desc, nil }

// layoutIndex implements v1.ImageIndex.
type layoutIndex struct {
	layout    *Layout
	mediaType types.MediaType
	raw       []byte
}

func (i *layoutIndex) MediaType() (types.MediaType, error) { return i.mediaType, nil }
func (i *layoutIndex) RawManifest() ([]byte, error)        { return i.raw, nil }
func (i *layoutIndex) Digest() (v1.Hash, error)            { return partial.Digest(i) }
func (i *layoutIndex) Size() (int64, error)                { return partial.Size(i) }

func (i *layoutIndex) IndexManifest() (*v1.IndexManifest, error) {
	return v1.ParseIndexManifest(bytes.NewReader(i.raw))
}

func (i *layoutIndex) Image(h v1.Hash) (v1.Image, error) {
	desc, err := i.child(h)
	if err != nil {
		return nil, err
	}
	return i.layout.Image(desc)
}

func (i *layoutIndex) ImageIndex(h v1.Hash) (v1.ImageIndex, error) {
	desc, err := i.child(h)
	if err != nil {
		return nil, err
	}
	return i.layout.Index(desc)
}

func (i *layoutIndex) child(h v1.Hash) (v1.Descriptor, error) {
	m, err := i.IndexManifest()
	if err != nil {
		return v1.Descriptor{}, err
	}
	for _, d := range m.Manifests {
		if d.Digest == h {
			return d, nil
		}
	}
	return v1.Descriptor{}, fmt.Errorf("index has no manifest %s", h)
}
