package image

import (
	"archive/tar"
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"path"
	"strings"
	"time"

	"github.com/google/go-containerregistry/pkg/name"
	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/tarball"
	"github.com/google/go-containerregistry/pkg/v1/types"
)

// Named is an image and the name it has in the archive.
type Named struct {
	Name    name.Tag
	Content Content
}

// Content is a v1.Image or a v1.ImageIndex.
type Content interface {
	MediaType() (types.MediaType, error)
	Digest() (v1.Hash, error)
	Size() (int64, error)
	RawManifest() ([]byte, error)
}

// OpenArchive returns the images in a tar file of size bytes: what `docker
// save`, `podman save`, `ctr image export`, `crane pull` and `docker buildx
// build -o type=oci` write. Layers are read from r when they are used, so r
// must stay open until then. Errors say what is wrong with the file.
func OpenArchive(r io.ReaderAt, size int64) ([]Named, error) {
	if err := refuseCompressed(r); err != nil {
		return nil, err
	}
	files, err := indexTar(r, size)
	if err != nil {
		return nil, err
	}
	images, err := ociImages(files)
	if errors.Is(err, fs.ErrNotExist) || (err == nil && len(images) == 0) {
		images, err = dockerImages(files, r, size)
	}
	switch {
	case err != nil:
		return nil, err
	case len(images) == 0:
		return nil, errors.New("the image has no name: save it by name, for example `docker save -o FILE.tar NAME:TAG`")
	}
	return images, nil
}

// ociImages returns the named images of the OCI layout in files; the error is
// fs.ErrNotExist when there is no layout.
func ociImages(files tarFS) ([]Named, error) {
	l, err := OpenLayout(files)
	if err != nil {
		return nil, err
	}
	var images []Named
	for _, desc := range l.Manifests() {
		ref, ok := descriptorName(desc)
		if !ok {
			continue
		}
		n := Named{}
		if n.Name, err = name.NewTag(ref); err != nil {
			return nil, fmt.Errorf("index.json names an image %q: %w", ref, err)
		}
		switch {
		case desc.MediaType.IsIndex():
			n.Content, err = l.Index(desc)
		case desc.MediaType.IsImage():
			n.Content, err = l.Image(desc)
		default:
			continue
		}
		if err != nil {
			return nil, fmt.Errorf("image %s: %w", ref, err)
		}
		images = append(images, n)
	}
	return images, nil
}

// descriptorName finds an image's reference in the annotations of its
// descriptor. A bare tag, which is what the OCI specification puts there, does
// not name an image.
func descriptorName(desc v1.Descriptor) (string, bool) {
	if ref := desc.Annotations[AnnotationName]; ref != "" {
		return ref, true
	}
	ref := desc.Annotations[AnnotationRef]
	return ref, strings.ContainsAny(ref, "/:")
}

// dockerImages returns the images that manifest.json names.
func dockerImages(files tarFS, r io.ReaderAt, size int64) ([]Named, error) {
	open := func() (io.ReadCloser, error) {
		return io.NopCloser(io.NewSectionReader(r, 0, size)), nil
	}
	if _, err := fs.Stat(files, "manifest.json"); err != nil {
		if _, err := fs.Stat(files, "index.json"); err == nil {
			return nil, nil // a layout without names
		}
		return nil, errors.New("not an image archive: it has neither manifest.json (docker save) nor index.json (OCI layout)")
	}
	manifest, err := tarball.LoadManifest(open)
	if err != nil {
		return nil, fmt.Errorf("manifest.json: %w", err)
	}
	var images []Named
	for _, m := range manifest {
		for _, ref := range m.RepoTags {
			tag, err := name.NewTag(ref)
			if err != nil {
				return nil, fmt.Errorf("manifest.json names an image %q: %w", ref, err)
			}
			img, err := tarball.Image(open, &tag)
			if err != nil {
				return nil, fmt.Errorf("image %s: %w", ref, err)
			}
			images = append(images, Named{Name: tag, Content: img})
		}
	}
	return images, nil
}

func refuseCompressed(r io.ReaderAt) error {
	head := make([]byte, 6)
	n, err := r.ReadAt(head, 0)
	if err != nil && !errors.Is(err, io.EOF) {
		return err
	}
	head = head[:n]
	for _, c := range []struct{ magic, name, tool string }{
		{"\x1f\x8b", "gzip", "gunzip"},
		{"\x28\xb5\x2f\xfd", "zstd", "unzstd"},
		{"\xfd7zXZ\x00", "xz", "unxz"},
		{"BZh", "bzip2", "bunzip2"},
	} {
		if bytes.HasPrefix(head, []byte(c.magic)) {
			return fmt.Errorf("the file is compressed with %s: unpack it with %s first", c.name, c.tool)
		}
	}
	return nil
}

// tarFS gives random access to the regular files of an uncompressed tar.
type tarFS map[string]tarEntry

type tarEntry struct {
	hdr  *tar.Header
	open func() *io.SectionReader
}

// indexTar notes where each file lies, which takes one read per header.
func indexTar(r io.ReaderAt, size int64) (tarFS, error) {
	files := tarFS{}
	links := map[string]string{}
	sr := io.NewSectionReader(r, 0, size)
	tr := tar.NewReader(sr)
	for {
		hdr, err := tr.Next()
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			if len(files) == 0 {
				return nil, errors.New("not a tar file")
			}
			return nil, fmt.Errorf("the tar file is damaged or cut short: %w", err)
		}
		switch hdr.Typeflag {
		case tar.TypeReg:
			offset, err := sr.Seek(0, io.SeekCurrent)
			if err != nil {
				return nil, err
			}
			if hdr.Size > size-offset {
				return nil, fmt.Errorf("the tar file is cut short: %s should have %d bytes", hdr.Name, hdr.Size)
			}
			files[path.Clean(hdr.Name)] = tarEntry{hdr, func() *io.SectionReader {
				return io.NewSectionReader(r, offset, hdr.Size)
			}}
		case tar.TypeLink:
			links[path.Clean(hdr.Name)] = path.Clean(hdr.Linkname)
		case tar.TypeSymlink:
			links[path.Clean(hdr.Name)] = path.Join(path.Dir(hdr.Name), hdr.Linkname)
		}
	}
	if len(files) == 0 {
		return nil, errors.New("the tar file is empty")
	}
	for from, to := range links {
		if e, ok := files[to]; ok {
			files[from] = e
		}
	}
	return files, nil
}

// Open implements fs.FS.
func (t tarFS) Open(file string) (fs.File, error) {
	e, ok := t[file]
	if !ok {
		return nil, &fs.PathError{Op: "open", Path: file, Err: fs.ErrNotExist}
	}
	return &tarOpenFile{SectionReader: e.open(), hdr: e.hdr}, nil
}

type tarOpenFile struct {
	*io.SectionReader
	hdr *tar.Header
}

func (f *tarOpenFile) Stat() (fs.FileInfo, error) { return f.hdr.FileInfo(), nil }
func (f *tarOpenFile) Close() error               { return nil }

const layoutVersion = `{"imageLayoutVersion":"1.0.0"}`

// WriteArchive writes image desc of l as an OCI archive in which it is called
// ref: what `ctr image import` and containerd's client read. The same input
// gives the same bytes.
func (l *Layout) WriteArchive(w io.Writer, desc v1.Descriptor, ref string) error {
	blobs, err := l.Blobs(desc)
	if err != nil {
		return err
	}
	named := desc
	named.Annotations = map[string]string{AnnotationName: ref}
	index, err := json.Marshal(v1.IndexManifest{
		SchemaVersion: 2, MediaType: types.OCIImageIndex, Manifests: []v1.Descriptor{named},
	})
	if err != nil {
		return err
	}
	tw := tar.NewWriter(w)
	if err := writeFile(tw, "oci-layout", int64(len(layoutVersion)), strings.NewReader(layoutVersion)); err != nil {
		return err
	}
	if err := writeFile(tw, "index.json", int64(len(index)), bytes.NewReader(index)); err != nil {
		return err
	}
	written := map[v1.Hash]bool{}
	for _, b := range blobs {
		if written[b.Digest] {
			continue
		}
		written[b.Digest] = true
		rc, err := l.OpenBlob(b.Digest)
		if err != nil {
			return err
		}
		err = writeFile(tw, blobPath(b.Digest), b.Size, rc)
		rc.Close()
		if err != nil {
			return fmt.Errorf("blob %s: %w", b.Digest, err)
		}
	}
	return tw.Close()
}

func writeFile(tw *tar.Writer, file string, size int64, r io.Reader) error {
	err := tw.WriteHeader(&tar.Header{Name: file, Mode: 0o644, Size: size, ModTime: time.Unix(0, 0), Format: tar.FormatUSTAR})
	if err != nil {
		return err
	}
	_, err = io.Copy(tw, r)
	return err
}
