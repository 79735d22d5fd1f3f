package image

import (
	"archive/tar"
	"bytes"
	"compress/gzip"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-containerregistry/pkg/name"
	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/empty"
	"github.com/google/go-containerregistry/pkg/v1/layout"
	"github.com/google/go-containerregistry/pkg/v1/random"
	"github.com/google/go-containerregistry/pkg/v1/tarball"
	"github.com/google/go-containerregistry/pkg/v1/validate"
)

func must[T any](v T, err error) T {
	if err != nil {
		panic(err)
	}
	return v
}

// tarOf packs files, given as name, content, name, content …
func tarOf(files ...string) []byte {
	var buf bytes.Buffer
	tw := tar.NewWriter(&buf)
	for i := 0; i < len(files); i += 2 {
		hdr := &tar.Header{Name: files[i], Mode: 0o644, Size: int64(len(files[i+1]))}
		if target, ok := strings.CutPrefix(files[i+1], "-> "); ok {
			hdr.Typeflag, hdr.Linkname, hdr.Size = tar.TypeSymlink, target, 0
			files[i+1] = ""
		}
		if err := tw.WriteHeader(hdr); err != nil {
			panic(err)
		}
		must(tw.Write([]byte(files[i+1])))
	}
	if err := tw.Close(); err != nil {
		panic(err)
	}
	return buf.Bytes()
}

// ociTar is an archive of the OCI layout that fill writes, without the blobs
// that drop names.
func ociTar(t testing.TB, fill func(layout.Path), drop ...v1.Hash) []byte {
	t.Helper()
	dir := t.TempDir()
	fill(must(layout.Write(dir, empty.Index)))
	var files []string
	err := fs.WalkDir(os.DirFS(dir), ".", func(path string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() || slices.ContainsFunc(drop, func(h v1.Hash) bool { return strings.HasSuffix(path, h.Hex) }) {
			return err
		}
		files = append(files, path, string(must(os.ReadFile(filepath.Join(dir, path)))))
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return tarOf(files...)
}

func annotated(key, value string) layout.Option {
	return layout.WithAnnotations(map[string]string{key: value})
}

func dockerTar(t testing.TB, images map[string]v1.Image) []byte {
	t.Helper()
	tags := map[name.Tag]v1.Image{}
	for ref, img := range images {
		tags[must(name.NewTag(ref))] = img
	}
	var buf bytes.Buffer
	if err := tarball.MultiWrite(tags, &buf); err != nil {
		t.Fatal(err)
	}
	return buf.Bytes()
}

func openBytes(b []byte) ([]Named, error) { return OpenArchive(bytes.NewReader(b), int64(len(b))) }

func TestOpenArchive(t *testing.T) {
	img := must(random.Image(1000, 2))
	idx := must(random.Index(1000, 2, 3))
	children := must(idx.IndexManifest()).Manifests
	missingLayer := must(must(must(idx.Image(children[1].Digest)).Layers())[0].Digest())
	appendTo := func(opt layout.Option) func(layout.Path) {
		return func(p layout.Path) {
			if err := p.AppendImage(img, opt); err != nil {
				t.Fatal(err)
			}
		}
	}
	appendIndex := func(p layout.Path) {
		if err := p.AppendIndex(idx, annotated(AnnotationName, "multi:1")); err != nil {
			t.Fatal(err)
		}
	}
	const ecr = "641022061021.dkr.ecr.ap-northeast-2.amazonaws.com/app:1"
	for tname, tc := range map[string]struct {
		archive []byte
		want    []string // names
		images  int      // manifests below an index
	}{
		"docker save":                    {archive: dockerTar(t, map[string]v1.Image{"app:1": img}), want: []string{"index.docker.io/library/app:1"}},
		"docker save of an ECR name":     {archive: dockerTar(t, map[string]v1.Image{ecr: img}), want: []string{ecr}},
		"docker save of two":             {archive: dockerTar(t, map[string]v1.Image{"a:1": img, "quay.io/b/c:2": img}), want: []string{"index.docker.io/library/a:1", "quay.io/b/c:2"}},
		"OCI, as containerd names":       {archive: ociTar(t, appendTo(annotated(AnnotationName, "docker.io/library/app:1"))), want: []string{"index.docker.io/library/app:1"}},
		"OCI, as Podman names":           {archive: ociTar(t, appendTo(annotated(AnnotationRef, "localhost/app:1"))), want: []string{"localhost/app:1"}},
		"OCI index":                      {archive: ociTar(t, appendIndex), want: []string{"index.docker.io/library/multi:1"}, images: 3},
		"OCI index, one image in part":   {archive: ociTar(t, appendIndex, missingLayer), want: []string{"index.docker.io/library/multi:1"}, images: 2},
		"OCI index, one image not there": {archive: ociTar(t, appendIndex, children[0].Digest), want: []string{"index.docker.io/library/multi:1"}, images: 2},
	} {
		t.Run(tname, func(t *testing.T) {
			got, err := openBytes(tc.archive)
			if err != nil {
				t.Fatal(err)
			}
			var names []string
			for _, n := range got {
				names = append(names, n.Name.Name())
				switch c := n.Content.(type) {
				case v1.Image:
					if err := validate.Image(c); err != nil {
						t.Error(err)
					}
					if a, b := must(c.ConfigName()), must(img.ConfigName()); a != b {
						t.Errorf("configuration %s, want %s", a, b)
					}
				case v1.ImageIndex:
					if err := validate.Index(c); err != nil {
						t.Error(err)
					}
					if got := len(must(c.IndexManifest()).Manifests); got != tc.images {
						t.Errorf("%d images, want %d", got, tc.images)
					}
				}
			}
			slices.Sort(names)
			if !slices.Equal(names, tc.want) {
				t.Errorf("%q, want %q", names, tc.want)
			}
		})
	}
}

func TestOpenArchiveSaysWhatIsWrong(t *testing.T) {
	img := must(random.Image(1000, 2))
	docker := dockerTar(t, map[string]v1.Image{"app:1": img})
	var zipped bytes.Buffer
	zw := gzip.NewWriter(&zipped)
	must(zw.Write(docker))
	zw.Close()
	idx := must(random.Index(10, 1, 1))
	config := must(must(idx.Image(must(idx.IndexManifest()).Manifests[0].Digest)).ConfigName())
	for tname, tc := range map[string]struct {
		archive []byte
		want    string
	}{
		"nothing":              {nil, "the tar file is empty"},
		"a text":               {bytes.Repeat([]byte("no tar\n"), 200), "not a tar file"},
		"gzip":                 {zipped.Bytes(), "compressed with gzip: unpack it with gunzip first"},
		"zstd":                 {[]byte("\x28\xb5\x2f\xfdrest"), "compressed with zstd: unpack it with unzstd first"},
		"another tar":          {tarOf("README", "hello"), "not an image archive"},
		"cut short":            {docker[:len(docker)/2], "cut short"},
		"docker save by id":    {tarOf("manifest.json", `[{"Config":"c","RepoTags":null,"Layers":[]}]`), "has no name: save it by name"},
		"OCI without names":    {tarOf("index.json", `{"schemaVersion":2,"manifests":[{"mediaType":"application/vnd.oci.image.manifest.v1+json","digest":"`+config.String()+`","size":1}]}`), "has no name"},
		"no JSON":              {tarOf("manifest.json", `[{`), "manifest.json"},
		"bad index":            {tarOf("index.json", `{`), "index.json"},
		"bad name":             {tarOf("manifest.json", `[{"Config":"c","RepoTags":["A B:1"],"Layers":[]}]`), `names an image "A B:1"`},
		"configuration absent": {tarOf("manifest.json", `[{"Config":"c","RepoTags":["a:1"],"Layers":[]}]`), "image a:1"},
		"no image complete": {ociTar(t, func(p layout.Path) {
			if err := p.AppendIndex(idx, annotated(AnnotationName, "a:1")); err != nil {
				t.Fatal(err)
			}
		}, config), "none of its 1 images is complete"},
	} {
		t.Run(tname, func(t *testing.T) {
			got, err := openBytes(tc.archive)
			if err == nil || !strings.Contains(err.Error(), tc.want) {
				t.Errorf("%v, %v, want %s", got, err, tc.want)
			}
		})
	}
}

// TestLinks: Docker before 25 stores equal layers as links.
func TestLinks(t *testing.T) {
	b := tarOf("a/layer.tar", "content", "b/layer.tar", "-> ../a/layer.tar", "c", "-> nowhere")
	files, err := indexTar(bytes.NewReader(b), int64(len(b)))
	if err != nil {
		t.Fatal(err)
	}
	if got := must(fs.ReadFile(files, "b/layer.tar")); string(got) != "content" {
		t.Errorf("%q", got)
	}
	if _, err := fs.ReadFile(files, "c"); err == nil {
		t.Error("a dangling link was read")
	}
}

func TestWriteArchive(t *testing.T) {
	img := must(random.Image(1000, 2))
	dir := t.TempDir()
	p := must(layout.Write(dir, empty.Index))
	for _, ref := range []string{"other:1", "app:1"} {
		if err := p.AppendImage(img, annotated(AnnotationName, ref)); err != nil {
			t.Fatal(err)
		}
	}
	l := must(OpenLayout(os.DirFS(dir)))
	const ref = "602401143452.dkr.ecr.us-west-2.amazonaws.com/eks/pause:3.10"
	var first, second bytes.Buffer
	for _, b := range []*bytes.Buffer{&first, &second} {
		if err := l.WriteArchive(b, l.Manifests()[1], ref); err != nil {
			t.Fatal(err)
		}
	}
	if !bytes.Equal(first.Bytes(), second.Bytes()) {
		t.Error("two archives of one image differ")
	}
	got, err := openBytes(first.Bytes())
	if err != nil {
		t.Fatal(err)
	}
	if len(got) != 1 || got[0].Name.Name() != ref || must(got[0].Content.Digest()) != must(img.Digest()) {
		t.Errorf("%+v", got)
	}
	if err := validate.Image(got[0].Content.(v1.Image)); err != nil {
		t.Error(err)
	}
}

func TestDamagedManifest(t *testing.T) {
	img := must(random.Image(10, 1))
	dir := t.TempDir()
	p := must(layout.Write(dir, empty.Index))
	if err := p.AppendImage(img); err != nil {
		t.Fatal(err)
	}
	h := must(img.Digest())
	if err := os.WriteFile(filepath.Join(dir, blobPath(h)), []byte("{}"), 0o644); err != nil {
		t.Fatal(err)
	}
	l := must(OpenLayout(os.DirFS(dir)))
	if _, err := l.Image(l.Manifests()[0]); err == nil || !strings.Contains(err.Error(), "damaged") {
		t.Error(err)
	}
}

func FuzzOpenArchive(f *testing.F) {
	img := must(random.Image(10, 1))
	f.Add(dockerTar(f, map[string]v1.Image{"app:1": img}))
	f.Add(tarOf("index.json", `{"manifests":[{"annotations":{"io.containerd.image.name":"a"}}]}`))
	f.Add(tarOf("a", "-> a", "manifest.json", "-> index.json"))
	f.Fuzz(func(t *testing.T, b []byte) {
		images, err := openBytes(b)
		if err != nil {
			return
		}
		if len(images) == 0 {
			t.Error("no image and no error")
		}
		for _, n := range images {
			if n.Content == nil || n.Name.Name() == "" {
				t.Errorf("%+v", n)
				continue
			}
			_, _ = n.Content.RawManifest()
		}
	})
}
