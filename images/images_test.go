package images

import (
	"bytes"
	"errors"
	"io"
	"os"
	"testing"
	"testing/fstest"

	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/empty"
	"github.com/google/go-containerregistry/pkg/v1/layout"
	"github.com/google/go-containerregistry/pkg/v1/random"
	"github.com/google/go-containerregistry/pkg/v1/validate"

	"github.com/tarn-eks/tarn/internal/image"
)

func TestLoad(t *testing.T) {
	img, err := random.Image(100, 2)
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	if _, err := load(os.DirFS(dir)); !errors.Is(err, ErrNotPacked) {
		t.Errorf("an empty directory: %v", err)
	}
	p, err := layout.Write(dir, empty.Index)
	if err != nil {
		t.Fatal(err)
	}
	for _, ref := range []string{"eks/pause:3.10", "backend-app:1.0.0"} {
		if err := p.AppendImage(img, layout.WithAnnotations(map[string]string{image.AnnotationName: ref})); err != nil {
			t.Fatal(err)
		}
	}
	got, err := load(os.DirFS(dir))
	if err != nil {
		t.Fatal(err)
	}
	if len(got) != 2 || got[0].Name != "eks/pause" || got[0].Tag != "3.10" || got[1].Name != "backend-app" || got[1].Tag != "1.0.0" {
		t.Fatalf("%+v", got)
	}
	want, err := img.Digest()
	if err != nil {
		t.Fatal(err)
	}
	if d, err := got[0].Digest(); err != nil || d != want {
		t.Errorf("digest %s, %v, want %s", d, err, want)
	}
	if err := validate.Image(got[0]); err != nil {
		t.Error(err)
	}

	var archive bytes.Buffer
	if err := got[1].WriteArchive(&archive, "registry.example/backend-app:1.0.0"); err != nil {
		t.Fatal(err)
	}
	named, err := image.OpenArchive(bytes.NewReader(archive.Bytes()), int64(archive.Len()))
	if err != nil || len(named) != 1 || named[0].Name.Name() != "registry.example/backend-app:1.0.0" {
		t.Errorf("%+v, %v", named, err)
	}

	if _, err := load(fstest.MapFS{"index.json": {Data: []byte(`{"manifests":[{"digest":"` + want.String() + `"}]}`)}}); err == nil || errors.Is(err, ErrNotPacked) {
		t.Errorf("an image without a name: %v", err)
	}
}

// TestPacked checks what this build embeds: all of it is there and unharmed.
func TestPacked(t *testing.T) {
	all, err := All()
	if errors.Is(err, ErrNotPacked) {
		t.Skip("the images are not packed: run `make images`")
	}
	if err != nil {
		t.Fatal(err)
	}
	have := map[string]bool{}
	for _, img := range all {
		have[img.Name+":"+img.Tag] = true
		layers, err := img.Layers()
		if err != nil {
			t.Fatal(err)
		}
		for _, l := range layers {
			want, err := l.Digest()
			if err != nil {
				t.Fatal(err)
			}
			rc, err := l.Compressed()
			if err != nil {
				t.Fatal(err)
			}
			got, _, err := v1.SHA256(rc)
			rc.Close()
			if err != nil || got != want {
				t.Errorf("%s:%s: layer %s is %s, %v", img.Name, img.Tag, want, got, err)
			}
		}
		if err := img.WriteArchive(io.Discard, "x:1"); err != nil {
			t.Error(err)
		}
	}
	for _, ref := range []string{"eks/pause:3.10", "eks/coredns:v1.15.0-eksbuild.1", "backend-app:1.0.0", "backend-app:4.0.0"} {
		if !have[ref] {
			t.Errorf("%s is not embedded", ref)
		}
	}
	if _, err := Find("eks/pause", "3.10"); err != nil {
		t.Error(err)
	}
	if _, err := Find("eks/pause", "0"); err == nil {
		t.Error("an image that is not embedded was found")
	}
}
