package registry

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"

	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/opencontainers/go-digest"

	"github.com/tarn-eks/tarn/internal/image"
)

// Preload stores an image that comes with Tarn in the region's own registry as
// name:tag. It does nothing when the image was stored before, even if its tag
// was moved or deleted since, and leaves a tag alone that a user pushed: only
// an older image that came with Tarn is replaced. To who keeps the records the
// image is not there: see Govern.
func (r *Registry) Preload(ctx context.Context, name, tag string, img v1.Image) error {
	if err := r.preload(ctx, name, tag, img); err != nil {
		return fmt.Errorf("storing image %s:%s: %w", name, tag, err)
	}
	return nil
}

func (r *Registry) preload(ctx context.Context, name, tag string, img v1.Image) error {
	r.mu.Lock()
	r.brought[name] = true
	r.mu.Unlock()
	defer r.traffic.push(name)()
	end, err := r.traffic.step(ctx)
	if err != nil {
		return err
	}
	defer end()
	dgst, err := img.Digest()
	if err != nil {
		return err
	}
	if _, raw, err := r.own.manifest(ctx, name, dgst.String()); err != nil || raw != nil {
		return err
	}
	_, tagged, err := r.own.manifest(ctx, name, tag)
	if err != nil {
		return err
	}
	if tagged != nil && !preloaded(tagged) {
		r.logger.Info("an image that was pushed keeps its tag", "image", name+":"+tag)
		tag = ""
	}

	layers, err := img.Layers()
	if err != nil {
		return err
	}
	for _, l := range layers {
		h, err := l.Digest()
		if err != nil {
			return err
		}
		if err := r.preloadBlob(ctx, name, h, l.Compressed); err != nil {
			return err
		}
	}
	h, err := img.ConfigName()
	if err != nil {
		return err
	}
	err = r.preloadBlob(ctx, name, h, func() (io.ReadCloser, error) {
		raw, err := img.RawConfigFile()
		return io.NopCloser(bytes.NewReader(raw)), err
	})
	if err != nil {
		return err
	}
	// The manifest comes last: it is what says that the image is stored.
	raw, err := img.RawManifest()
	if err != nil {
		return err
	}
	mediaType, err := img.MediaType()
	if err != nil {
		return err
	}
	_, err = r.own.putManifest(ctx, name, tag, string(mediaType), raw, true)
	return err
}

func (r *Registry) preloadBlob(ctx context.Context, name string, h v1.Hash, open func() (io.ReadCloser, error)) error {
	dgst := digest.Digest(h.String())
	if have, err := r.own.hasBlob(ctx, name, dgst); have || err != nil {
		return err
	}
	rc, err := open()
	if err != nil {
		return err
	}
	defer rc.Close()
	return r.own.putBlob(ctx, name, dgst, rc, io.Discard)
}

// preloaded says whether a manifest is of an image that came with Tarn.
func preloaded(raw []byte) bool {
	var m struct {
		Annotations map[string]string `json:"annotations"`
	}
	return json.Unmarshal(raw, &m) == nil && m.Annotations[image.AnnotationPreloaded] != ""
}
