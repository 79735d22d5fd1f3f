package main

import (
	"archive/tar"
	"bytes"
	"debug/elf"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/validate"
	"github.com/klauspost/compress/zstd"

	"github.com/tarn-eks/tarn/internal/image"
)

func TestPack(t *testing.T) {
	packed, err := pack([]file{
		{path: "usr/bin/app", mode: 0o755, content: []byte("x"), xattrs: map[string]string{"security.capability": "\x00\x01"}},
		{path: "tmp/", mode: 0o1777},
		{path: "bin/sh", link: "/bin/busybox"},
	})
	if err != nil {
		t.Fatal(err)
	}
	var got []string
	tr := tar.NewReader(bytes.NewReader(packed))
	for {
		h, err := tr.Next()
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			t.Fatal(err)
		}
		if !h.ModTime.Equal(epoch) || h.Uid != 0 || h.Gid != 0 {
			t.Errorf("%s: time %v, owner %d:%d", h.Name, h.ModTime, h.Uid, h.Gid)
		}
		got = append(got, fmt.Sprintf("%s %s %q%q", h.FileInfo().Mode(), h.Name, h.Linkname, h.PAXRecords["SCHILY.xattr.security.capability"]))
	}
	want := []string{
		`drwxr-xr-x bin/ """"`,
		`Lrwxrwxrwx bin/sh "/bin/busybox"""`,
		`dtrwxrwxrwx tmp/ """"`,
		`drwxr-xr-x usr/ """"`,
		`drwxr-xr-x usr/bin/ """"`,
		`-rwxr-xr-x usr/bin/app """\x00\x01"`,
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
}

func TestPackRefuses(t *testing.T) {
	for _, paths := range [][]string{{"/etc/passwd"}, {"../x"}, {"a//b"}, {""}, {"a", "a"}} {
		var files []file
		for _, p := range paths {
			files = append(files, file{path: p})
		}
		if _, err := pack(files); err == nil {
			t.Errorf("%q: packed", paths)
		}
	}
}

func testSpecs(content string) []spec {
	files := func() ([]file, error) { return []file{{path: "app", mode: 0o755, content: []byte(content)}}, nil }
	config := v1.Config{Entrypoint: []string{"/app"}}
	return []spec{
		{name: "b/app:2", layers: []func() ([]file, error){files}, config: config},
		{name: "a:1", layers: []func() ([]file, error){files, withBindCapability(files)}, config: config},
	}
}

func build(t *testing.T, dir, content string) *image.Layout {
	t.Helper()
	var images []named
	for _, s := range testSpecs(content) {
		img, err := assemble(s, "amd64")
		if err != nil {
			t.Fatal(err)
		}
		images = append(images, named{s.name, img})
	}
	if err := write(dir, images); err != nil {
		t.Fatal(err)
	}
	l, err := image.OpenLayout(os.DirFS(dir))
	if err != nil {
		t.Fatal(err)
	}
	return l
}

func TestLayoutIsWholeAndReproducible(t *testing.T) {
	content := strings.Repeat("some program ", 1<<16)
	dir := t.TempDir()
	if err := os.WriteFile(filepath.Join(dir, "README.md"), []byte("stays"), 0o644); err != nil {
		t.Fatal(err)
	}
	first := build(t, dir, content)
	second := build(t, t.TempDir(), content)
	if diff := cmp.Diff(first.Manifests(), second.Manifests()); diff != "" {
		t.Errorf("the same input gave other images: %s", diff)
	}
	for i, desc := range first.Manifests() {
		if got, want := desc.Annotations[image.AnnotationName], testSpecs("")[i].name; got != want {
			t.Errorf("image %d is called %s, want %s", i, got, want)
		}
		img, err := first.Image(desc)
		if err != nil {
			t.Fatal(err)
		}
		checkLayers(t, img)
		m, err := img.Manifest()
		if err != nil {
			t.Fatal(err)
		}
		if m.Annotations[image.AnnotationPreloaded] == "" {
			t.Errorf("%s is not marked as preloaded", desc.Digest)
		}
	}

	// A second run replaces the first and leaves nothing of it.
	build(t, dir, "other")
	var blobs, others []string
	err := fs.WalkDir(os.DirFS(dir), ".", func(path string, d fs.DirEntry, err error) error {
		switch {
		case err != nil || d.IsDir():
		case strings.HasPrefix(path, "blobs/"):
			blobs = append(blobs, path)
		default:
			others = append(others, path)
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff([]string{"README.md", "index.json", "oci-layout"}, others); diff != "" {
		t.Error(diff)
	}
	if len(blobs) != 6 { // two manifests, two configurations, two layers
		t.Errorf("blobs: %q", blobs)
	}
}

// checkLayers verifies the layers against the manifest and the configuration
// (package validate knows gzip only).
func checkLayers(t *testing.T, img v1.Image) {
	t.Helper()
	if err := validate.Image(img, validate.Fast); err != nil {
		t.Error(err)
	}
	cf, err := img.ConfigFile()
	if err != nil {
		t.Fatal(err)
	}
	layers, err := img.Layers()
	if err != nil {
		t.Fatal(err)
	}
	if len(layers) == 0 || len(layers) != len(cf.RootFS.DiffIDs) {
		t.Fatalf("%d layers, %d diff ids", len(layers), len(cf.RootFS.DiffIDs))
	}
	for i, l := range layers {
		rc, err := l.Compressed()
		if err != nil {
			t.Fatal(err)
		}
		var compressed bytes.Buffer
		zr, err := zstd.NewReader(io.TeeReader(rc, &compressed))
		if err != nil {
			t.Fatal(err)
		}
		diffID, _, err := v1.SHA256(zr)
		zr.Close()
		rc.Close()
		if err != nil || diffID != cf.RootFS.DiffIDs[i] {
			t.Errorf("layer %d: diff id %v, %v, want %v", i, diffID, err, cf.RootFS.DiffIDs[i])
		}
		got, _, err := v1.SHA256(&compressed)
		if want, _ := l.Digest(); err != nil || got != want {
			t.Errorf("layer %d: digest %v, %v, want %v", i, got, err, want)
		}
	}
}

func TestUserland(t *testing.T) {
	bin, err := exec.LookPath("busybox")
	if err != nil {
		t.Skip("busybox (Debian package busybox-static) is not installed")
	}
	content, err := os.ReadFile(bin)
	if err != nil {
		t.Fatal(err)
	}
	f, err := elf.NewFile(bytes.NewReader(content))
	if err != nil {
		t.Fatal(err)
	}
	arch := map[elf.Machine]string{elf.EM_X86_64: "amd64", elf.EM_AARCH64: "arm64"}[f.Machine]
	files, err := userland(t.Context(), arch)
	if err != nil {
		t.Fatal(err)
	}
	have := map[string]bool{}
	for _, f := range files {
		have[filepath.Base(f.path)] = true
	}
	for _, name := range []string{"sh", "sleep", "tar", "wget", "nslookup", "ps", "cat", "passwd", "tmp"} {
		if !have[name] {
			t.Errorf("no %s", name)
		}
	}
	if _, err := pack(files); err != nil {
		t.Error(err)
	}

	t.Setenv("PATH", t.TempDir())
	if _, err := userland(t.Context(), arch); err == nil || !strings.Contains(err.Error(), "busybox-static") {
		t.Errorf("without busybox: %v", err)
	}
}

func TestCheckStatic(t *testing.T) {
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	good, err := os.ReadFile(self)
	if err != nil {
		t.Fatal(err)
	}
	f, err := elf.NewFile(bytes.NewReader(good))
	if err != nil {
		t.Fatal(err)
	}
	arch, other := "amd64", "arm64"
	if f.Machine == elf.EM_AARCH64 {
		arch, other = other, arch
	}
	// The same file with its first program header turned into PT_INTERP.
	dynamic := bytes.Clone(good)
	phoff := binary.LittleEndian.Uint64(dynamic[0x20:])
	binary.LittleEndian.PutUint32(dynamic[phoff:], uint32(elf.PT_INTERP))

	for name, tc := range map[string]struct {
		content []byte
		arch    string
		want    string
	}{
		"a script":             {[]byte("#!/bin/sh\n"), arch, "is not an ELF executable"},
		"another architecture": {good, other, "not for GOARCH=" + other},
		"unknown architecture": {good, "mips", "cannot be checked"},
		"dynamic":              {dynamic, arch, "needs shared libraries"},
	} {
		if err := checkStatic(tc.content, tc.arch); err == nil || !strings.Contains(err.Error(), tc.want) {
			t.Errorf("%s: %v, want %s", name, err, tc.want)
		}
	}
}
