package registry

import (
	"errors"
	"io/fs"
	"strings"
	"testing"
)

func TestUploads(t *testing.T) {
	ctx := t.Context()
	r := open(t, Config{})
	id, err := r.StartUpload(ctx, "team/app")
	if err != nil {
		t.Fatal(err)
	}
	appendPart := func(id string, offset int64, part string, wantSize int64, want error) {
		t.Helper()
		size, err := r.AppendUpload(ctx, "team/app", id, offset, []byte(part))
		if size != wantSize || !errors.Is(err, want) {
			t.Errorf("append %q at %d: %d, %v", part, offset, size, err)
		}
	}
	appendPart(id, 0, "one ", 4, nil)
	appendPart(id, 3, "x", 4, fs.ErrInvalid)
	appendPart(id, 5, "x", 4, fs.ErrInvalid)
	appendPart(id, 4, "two", 7, nil)
	appendPart("00000000-0000-0000-0000-000000000000", 0, "x", 0, fs.ErrNotExist)
	appendPart("../../../team/app/_uploads/"+id, 7, "x", 0, fs.ErrNotExist)
	if size, err := r.UploadSize(ctx, "team/app", id); size != 7 || err != nil {
		t.Errorf("%d, %v", size, err)
	}
	if _, err := r.UploadSize(ctx, "team/other", id); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("of another repository: %v", err)
	}
	if err := r.FinishUpload(ctx, "team/app", id, digestOf("one two")); err != nil {
		t.Fatal(err)
	}
	if size, found, err := r.Layer(ctx, "team/app", digestOf("one two")); size != 7 || !found || err != nil {
		t.Errorf("%d, %t, %v", size, found, err)
	}
	if _, found, err := r.Layer(ctx, "team/other", digestOf("one two")); found || err != nil {
		t.Errorf("in another repository: %t, %v", found, err)
	}
	if err := r.FinishUpload(ctx, "team/app", id, digestOf("one two")); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("again: %v", err)
	}

	if id, err = r.StartUpload(ctx, "team/app"); err != nil {
		t.Fatal(err)
	}
	appendPart(id, 0, "three", 5, nil)
	if err := r.FinishUpload(ctx, "team/app", id, digestOf("four")); !errors.Is(err, fs.ErrInvalid) {
		t.Errorf("with another digest: %v", err)
	}
	if _, err := r.UploadSize(ctx, "team/app", id); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("it was not discarded: %v", err)
	}
}

func TestPutManifest(t *testing.T) {
	const oci = "application/vnd.oci.image.manifest.v1+json"
	ctx := t.Context()
	r := open(t, Config{})
	raw := manifestOf("layer")
	_, missing, err := r.PutManifest(ctx, "x", "1", oci, []byte(raw))
	if err != nil || len(missing) != 2 {
		t.Errorf("without its layers: %v, %v", missing, err)
	}
	for _, tc := range []struct{ tag, raw string }{{"1", "{"}, {"../x", raw}, {"1", strings.Replace(raw, "2", "3", 1)}} {
		if _, _, err := r.PutManifest(ctx, "x", tc.tag, oci, []byte(tc.raw)); err == nil {
			t.Errorf("stored %+v", tc)
		}
	}
	if images, err := r.Manifests(ctx, "x"); len(images) != 0 || err != nil {
		t.Errorf("%v, %v", images, err)
	}
	for _, blob := range []string{"layer", emptyConfig} {
		resp, _ := do(t, r, "POST", "/v2/x/blobs/uploads/", "")
		do(t, r, "PUT", resp.Header.Get("Location")+"&digest="+digestOf(blob), blob)
	}
	dgst, missing, err := r.PutManifest(ctx, "x", "1", oci, []byte(raw))
	if dgst != digestOf(raw) || missing != nil || err != nil {
		t.Errorf("%s, %v, %v", dgst, missing, err)
	}
	if tags, err := r.Tags(ctx, "x"); tags["1"] != dgst || err != nil {
		t.Errorf("%v, %v", tags, err)
	}
	// What would lead out of the repository does nothing.
	for _, tag := range []string{"..", "../tags", ""} {
		if err := r.Untag(ctx, "x", tag); err != nil {
			t.Error(err)
		}
	}
	if err := errors.Join(r.DeleteManifest(ctx, "x", "../.."), r.DeleteManifest(ctx, "x", digestOf("other"))); err != nil {
		t.Error(err)
	}
	if got, err := r.Manifest(ctx, "x", dgst); string(got) != raw || err != nil {
		t.Errorf("%s, %v", got, err)
	}
	if err := r.DeleteManifest(ctx, "x", dgst); err != nil {
		t.Error(err)
	}
	if tags, err := r.Tags(ctx, "x"); len(tags) != 0 || err != nil {
		t.Errorf("%v, %v", tags, err)
	}
}
