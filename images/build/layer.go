package main

import (
	"archive/tar"
	"bytes"
	"fmt"
	"io"
	"io/fs"
	"path"
	"slices"
	"strings"
	"time"

	"github.com/google/go-containerregistry/pkg/compression"
	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/tarball"
	"github.com/google/go-containerregistry/pkg/v1/types"
)

// epoch is the date of everything in an image.
var epoch = time.Unix(0, 0).UTC()

// file is an entry of a layer: a directory, a symbolic link or a file.
type file struct {
	path    string // without a leading slash; a directory ends in one
	mode    int64
	link    string // target of a symbolic link
	content []byte
	xattrs  map[string]string
}

// newLayer packs files, sorted, with the directories that lead to them.
func newLayer(files []file) (v1.Layer, error) {
	packed, err := pack(files)
	if err != nil {
		return nil, err
	}
	return tarball.LayerFromOpener(
		func() (io.ReadCloser, error) { return io.NopCloser(bytes.NewReader(packed)), nil },
		tarball.WithCompression(compression.ZStd),
		tarball.WithCompressionLevel(7), // costs build time only: unpacking is as fast
		tarball.WithMediaType(types.OCILayerZStd),
		tarball.WithCompressedCaching,
	)
}

func pack(files []file) ([]byte, error) {
	entries := map[string]file{}
	for _, f := range files {
		if !fs.ValidPath(strings.TrimSuffix(f.path, "/")) {
			return nil, fmt.Errorf("layer entry %q is not a clean relative path", f.path)
		}
		if _, ok := entries[f.path]; ok {
			return nil, fmt.Errorf("layer entry %s appears twice", f.path)
		}
		entries[f.path] = f
	}
	for _, f := range files {
		for dir := path.Dir(strings.TrimSuffix(f.path, "/")); dir != "."; dir = path.Dir(dir) {
			if _, ok := entries[dir+"/"]; !ok {
				entries[dir+"/"] = file{path: dir + "/", mode: 0o755}
			}
		}
	}
	var names []string
	for name := range entries {
		names = append(names, name)
	}
	slices.Sort(names) // a directory sorts before what is in it

	var buf bytes.Buffer
	tw := tar.NewWriter(&buf)
	for _, name := range names {
		f := entries[name]
		hdr := &tar.Header{Name: f.path, Mode: f.mode, ModTime: epoch, Size: int64(len(f.content)), Typeflag: tar.TypeReg}
		switch {
		case f.link != "":
			hdr.Typeflag, hdr.Linkname, hdr.Mode = tar.TypeSymlink, f.link, 0o777
		case strings.HasSuffix(f.path, "/"):
			hdr.Typeflag = tar.TypeDir
		}
		for k, v := range f.xattrs {
			if hdr.PAXRecords == nil {
				hdr.PAXRecords = map[string]string{}
			}
			hdr.PAXRecords["SCHILY.xattr."+k] = v
		}
		if err := tw.WriteHeader(hdr); err != nil {
			return nil, fmt.Errorf("layer entry %s: %w", f.path, err)
		}
		if _, err := tw.Write(f.content); err != nil {
			return nil, fmt.Errorf("layer entry %s: %w", f.path, err)
		}
	}
	if err := tw.Close(); err != nil {
		return nil, err
	}
	return buf.Bytes(), nil
}
