package registry

import (
	"encoding/json"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"github.com/google/go-containerregistry/pkg/name"
	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/random"
	"github.com/google/go-containerregistry/pkg/v1/tarball"
)

func TestPush(t *testing.T) {
	r := open(t, Config{})
	endpoint := listen(t, r)
	const size = 200_000
	file := filepath.Join(t.TempDir(), "images.tar")
	images := map[name.Tag]v1.Image{}
	for ref := range map[string]bool{"641022061021.dkr.ecr.ap-northeast-2.amazonaws.com/team/app:7": true, "nginx:1.27": true, "registry.example:5000/x:1": true} {
		images[must(name.NewTag(ref))] = must(random.Image(size, 2))
	}
	if err := tarball.MultiWriteToFile(file, images); err != nil {
		t.Fatal(err)
	}
	sent, totals := map[string]int64{}, map[string]int64{}
	loaded, err := Push(t.Context(), endpoint, file, func(image string, done, total int64) {
		if done > total {
			t.Errorf("%s: %d of %d bytes", image, done, total)
		}
		sent[image], totals[image] = done, total
	})
	if err != nil {
		t.Fatal(err)
	}
	want := map[string]string{
		"641022061021.dkr.ecr.ap-northeast-2.amazonaws.com/team/app:7": "team/app",
		"docker.io/library/nginx:1.27":                                 "docker.io/library/nginx",
		"registry.example:5000/x:1":                                    "registry.example_5000/x",
	}
	if len(loaded) != len(want) {
		t.Fatalf("loaded %+v", loaded)
	}
	for _, l := range loaded {
		if want[l.Image] != l.Repository {
			t.Errorf("%s is in %s, want %s", l.Image, l.Repository, want[l.Image])
		}
		if sent[l.Image] < size || sent[l.Image] != totals[l.Image] {
			t.Errorf("%s: progress ended at %d of %d bytes", l.Image, sent[l.Image], totals[l.Image])
		}
		// What a node asks for is what was loaded.
		if got, err := pull(t.Context(), endpoint, l.Image); err != nil || got != l.Digest {
			t.Errorf("%s: pulled %s, %v, loaded %s", l.Image, got, err, l.Digest)
		}
	}
}

func TestPushSaysWhatIsWrong(t *testing.T) {
	endpoint := listen(t, open(t, Config{}))
	dir := t.TempDir()
	text := filepath.Join(dir, "text")
	if err := os.WriteFile(text, []byte(strings.Repeat("text ", 1000)), 0o600); err != nil {
		t.Fatal(err)
	}
	image := filepath.Join(dir, "image.tar")
	if err := tarball.WriteToFile(image, must(name.NewTag("a:1")), must(random.Image(10, 1))); err != nil {
		t.Fatal(err)
	}
	for _, tc := range []struct{ endpoint, file, want string }{
		{endpoint, filepath.Join(dir, "none.tar"), "no such file"},
		{endpoint, dir, "is not a file"},
		{endpoint, text, text + ": not a tar file"},
		{"127.0.0.1:1", image, image + ": loading a:1"},
	} {
		loaded, err := Push(t.Context(), tc.endpoint, tc.file, nil)
		if err == nil || !strings.Contains(err.Error(), tc.want) || len(loaded) != 0 {
			t.Errorf("%s: %v, %v, want %s", tc.file, loaded, err, tc.want)
		}
	}
}

func TestDiskFull(t *testing.T) {
	pathError := func(errno syscall.Errno) error { return &fs.PathError{Op: "write", Path: "/data/28", Err: errno} }
	for _, tc := range []struct {
		detail any
		want   bool
	}{
		{pathError(syscall.ENOSPC), true},
		{pathError(syscall.ENOSPC).Error(), true},
		{pathError(syscall.EDQUOT), true},
		{pathError(syscall.EIO), false},
		{pathError(syscall.EIO).Error(), false},
		{nil, false},
	} {
		detail := must(json.Marshal(tc.detail))
		if got := diskFull(detail); got != tc.want {
			t.Errorf("diskFull(%s) = %t", detail, got)
		}
	}
}
