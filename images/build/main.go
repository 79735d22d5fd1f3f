// Command build packs the region's container images: it compiles their
// programs, puts each into layers, and writes all of them as one OCI image
// layout that package images embeds.
//
//	go run ./images/build -o images/dist
//
// The same sources, Go toolchain and busybox give the same digests: nothing in
// an image tells when or where it was built. Layers are compressed with
// zstandard, which containerd unpacks several times faster than gzip, and
// nodes unpack them at every start; Docker (23 and later), Podman and crane
// read it too.
//
// GOARCH chooses the architecture.
package main

import (
	"context"
	"flag"
	"fmt"
	"io"
	"os"
	"os/signal"
	"path/filepath"
	"runtime"
	"time"

	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/empty"
	"github.com/google/go-containerregistry/pkg/v1/layout"
	"github.com/google/go-containerregistry/pkg/v1/mutate"
	"github.com/google/go-containerregistry/pkg/v1/types"

	"github.com/tarn-eks/tarn/internal/image"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	defer stop()
	if err := run(ctx, os.Args[1:], os.Stdout); err != nil {
		fmt.Fprintln(os.Stderr, "images/build:", err)
		os.Exit(1)
	}
}

func run(ctx context.Context, args []string, stdout io.Writer) error {
	flags := flag.NewFlagSet("build", flag.ContinueOnError)
	out := flags.String("o", "images/dist", "`directory` to write the OCI image layout into")
	if err := flags.Parse(args); err != nil {
		return err
	}
	arch := os.Getenv("GOARCH")
	if arch == "" {
		arch = runtime.GOARCH
	}
	tmp, err := os.MkdirTemp("", "tarn-images-")
	if err != nil {
		return err
	}
	defer os.RemoveAll(tmp)

	specs := catalogue(ctx, compiler{dir: tmp, arch: arch})
	var images []named
	for _, s := range specs {
		begin := time.Now()
		img, err := assemble(s, arch)
		if err != nil {
			return fmt.Errorf("%s: %w", s.name, err)
		}
		size, err := contentSize(img)
		if err != nil {
			return fmt.Errorf("%s: %w", s.name, err)
		}
		fmt.Fprintf(stdout, "%-36s %6.1f MB  %s\n", s.name, float64(size)/1e6, time.Since(begin).Round(time.Millisecond))
		images = append(images, named{s.name, img})
	}
	return write(*out, images)
}

// spec says what an image consists of.
type spec struct {
	name   string // repository:tag
	layers []func() ([]file, error)
	config v1.Config
}

type named struct {
	name string
	v1.Image
}

// assemble builds the image s.
func assemble(s spec, arch string) (v1.Image, error) {
	img := mutate.MediaType(empty.Image, types.OCIManifestSchema1)
	img = mutate.ConfigMediaType(img, types.OCIConfigJSON)
	var adds []mutate.Addendum
	for _, files := range s.layers {
		fs, err := files()
		if err != nil {
			return nil, err
		}
		l, err := newLayer(fs)
		if err != nil {
			return nil, err
		}
		adds = append(adds, mutate.Addendum{Layer: l, MediaType: types.OCILayerZStd})
	}
	img, err := mutate.Append(img, adds...)
	if err != nil {
		return nil, err
	}
	cf, err := img.ConfigFile()
	if err != nil {
		return nil, err
	}
	cf = cf.DeepCopy()
	cf.OS, cf.Architecture, cf.Config = "linux", arch, s.config
	cf.Created = v1.Time{Time: epoch}
	cf.History = nil
	if img, err = mutate.ConfigFile(img, cf); err != nil {
		return nil, err
	}
	return mutate.Annotations(img, map[string]string{image.AnnotationPreloaded: "true"}).(v1.Image), nil
}

// write replaces the layout in dir. Its index goes first and comes last, so
// that an interrupted run leaves a directory without images, not a broken one.
func write(dir string, images []named) error {
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return err
	}
	for _, old := range []string{"index.json", "oci-layout", "blobs"} {
		if err := os.RemoveAll(filepath.Join(dir, old)); err != nil {
			return err
		}
	}
	tmp, err := os.MkdirTemp(dir, ".new-") // go:embed leaves dot files out
	if err != nil {
		return err
	}
	defer os.RemoveAll(tmp)
	l, err := layout.Write(tmp, empty.Index)
	if err != nil {
		return err
	}
	for _, img := range images {
		err := l.AppendImage(img, layout.WithAnnotations(map[string]string{image.AnnotationName: img.name}))
		if err != nil {
			return fmt.Errorf("writing %s: %w", img.name, err)
		}
	}
	for _, part := range []string{"blobs", "oci-layout", "index.json"} {
		if err := os.Rename(filepath.Join(tmp, part), filepath.Join(dir, part)); err != nil {
			return err
		}
	}
	return nil
}

func contentSize(img v1.Image) (int64, error) {
	m, err := img.Manifest()
	if err != nil {
		return 0, err
	}
	size := m.Config.Size
	for _, l := range m.Layers {
		size += l.Size
	}
	return size, nil
}
