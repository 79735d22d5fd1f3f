package registry

import (
	"context"
	"fmt"
	"os"

	"github.com/google/go-containerregistry/pkg/name"
	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/remote"

	"github.com/tarn-eks/tarn/internal/image"
)

// Loaded is an image that Push stored.
type Loaded struct {
	// Image is what a manifest calls it: docker.io/library/nginx:1.27.
	Image string
	// Repository is where the region's own registry has it.
	Repository string
	Digest     string
}

// Progress reports, for one image, the bytes sent of those to send; total
// grows while layers are still being measured.
type Progress func(image string, sent, total int64)

// Push sends every named image in the tar file (of `docker save`, or an OCI
// layout) to the region's registry at endpoint (host:port, plain HTTP). An
// image with an ECR name becomes the repository of that name; any other keeps
// its registry's name as a prefix, where nodes that ask for that registry find
// it. Layers are streamed from the file. progress may be nil. The error tells
// what is wrong with the file; images before the one it names are loaded.
func Push(ctx context.Context, endpoint, tarPath string, progress Progress) ([]Loaded, error) {
	if progress == nil {
		progress = func(string, int64, int64) {}
	}
	f, err := os.Open(tarPath)
	if err != nil {
		return nil, err // names the file
	}
	defer f.Close()
	info, err := f.Stat()
	if err != nil {
		return nil, err
	}
	if !info.Mode().IsRegular() {
		return nil, fmt.Errorf("%s is not a file: give a tar file, such as `docker save -o FILE.tar NAME:TAG` writes", tarPath)
	}
	images, err := image.OpenArchive(f, info.Size())
	if err != nil {
		return nil, fmt.Errorf("%s: %w", tarPath, err)
	}
	var loaded []Loaded
	for _, n := range images {
		l, err := push(ctx, endpoint, n, progress)
		if err != nil {
			return loaded, fmt.Errorf("%s: loading %s: %w", tarPath, n.Name, err)
		}
		loaded = append(loaded, l)
	}
	return loaded, nil
}

func push(ctx context.Context, endpoint string, n image.Named, progress Progress) (Loaded, error) {
	host := n.Name.RegistryStr()
	o, err := originOf("", host)
	if err != nil {
		return Loaded{}, err
	}
	l := Loaded{Repository: ownName(o.host, n.Name.RepositoryStr())}
	if o.host != "" {
		host = o.host // docker.io, not index.docker.io
	}
	l.Image = host + "/" + n.Name.RepositoryStr() + ":" + n.Name.TagStr()
	tag, err := name.NewTag(endpoint+"/"+l.Repository+":"+n.Name.TagStr(), name.Insecure)
	if err != nil {
		return l, err
	}

	updates := make(chan v1.Update, 16)
	done := make(chan error, 1)
	go func() {
		done <- remote.Push(tag, n.Content, remote.WithContext(ctx), remote.WithUserAgent("tarn"), remote.WithProgress(updates))
	}()
	var total int64
	for u := range updates { // Push closes it
		if u.Error == nil {
			total = u.Total
			progress(l.Image, u.Complete, u.Total)
		}
	}
	if err := <-done; err != nil {
		return l, err
	}
	progress(l.Image, total, total) // the last piece of a layer is not reported
	digest, err := n.Content.Digest()
	l.Digest = digest.String()
	return l, err
}
