package ecr_test

import (
	"bytes"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strings"
	"testing"
	"time"

	sdk "github.com/aws/aws-sdk-go-v2/service/ecr"
	"github.com/aws/aws-sdk-go-v2/service/ecr/types"
	"github.com/google/go-containerregistry/pkg/v1/empty"
	"github.com/google/go-containerregistry/pkg/v1/mutate"
	"github.com/google/go-containerregistry/pkg/v1/random"
	"github.com/google/go-containerregistry/pkg/v1/remote"
	mediatypes "github.com/google/go-containerregistry/pkg/v1/types"
	"github.com/google/go-containerregistry/pkg/v1/validate"
)

func sum(b []byte) string { return fmt.Sprintf("sha256:%x", sha256.Sum256(b)) }

// upload sends a layer in parts through the API.
func (f *fixture) upload(repository string, content []byte, part int) error {
	f.t.Helper()
	ctx := f.t.Context()
	begun, err := f.InitiateLayerUpload(ctx, &sdk.InitiateLayerUploadInput{RepositoryName: &repository})
	if err != nil {
		f.t.Fatal(err)
	}
	for first := 0; first < len(content); first += part {
		last := min(first+part, len(content)) - 1
		out, err := f.UploadLayerPart(ctx, &sdk.UploadLayerPartInput{
			RepositoryName: &repository, UploadId: begun.UploadId, LayerPartBlob: content[first : last+1],
			PartFirstByte: new(int64(first)), PartLastByte: new(int64(last)),
		})
		if err != nil {
			return err
		}
		if *out.LastByteReceived != int64(last) {
			f.t.Errorf("last byte %d, want %d", *out.LastByteReceived, last)
		}
	}
	_, err = f.CompleteLayerUpload(ctx, &sdk.CompleteLayerUploadInput{RepositoryName: &repository, UploadId: begun.UploadId, LayerDigests: []string{sum(content)}})
	return err
}

// TestPushThroughTheAPI makes an image with API calls alone, and pulls it.
func TestPushThroughTheAPI(t *testing.T) {
	f := newFixture(t)
	ctx := t.Context()
	f.create("app")
	big := must(random.Layer(12<<20, mediatypes.DockerLayer))
	img := must(mutate.AppendLayers(empty.Image, big))
	raw := must(img.RawManifest())
	put := func(tag string) error {
		_, err := f.PutImage(ctx, &sdk.PutImageInput{RepositoryName: new("app"), ImageManifest: new(string(raw)), ImageTag: &tag})
		return err
	}
	fails(t, "before its layers", put("1"), "LayersNotFoundException", must(big.Digest()).String())
	for _, l := range []struct {
		content []byte
		part    int
	}{{must(io.ReadAll(must(big.Compressed()))), 10 << 20}, {must(img.RawConfigFile()), 10 << 20}} {
		if err := f.upload("app", l.content, l.part); err != nil {
			t.Fatal(err)
		}
		fails(t, "again", f.upload("app", l.content, l.part), "LayerAlreadyExistsException", sum(l.content))
	}
	if err := put("1"); err != nil {
		t.Fatal(err)
	}
	if err := validate.Image(must(remote.Image(f.tag("app:1")))); err != nil {
		t.Error(err)
	}
	fails(t, "again", put("1"), "ImageAlreadyExistsException", "Image with digest '"+digest(img)+"' and tag '1' already exists in the repository with name 'app' in registry with id '111122223333'")
	if err := put("2"); err != nil {
		t.Error(err)
	}
	if got := f.list("app", map[string]string{digest(img): "img"}); got != "img:1 img:2" {
		t.Error(got)
	}
}

func TestPutImageSaysWhatIsWrong(t *testing.T) {
	f := newFixture(t)
	ctx := t.Context()
	img, other := f.push("app:1"), f.push("app:2")
	manifest := string(must(img.RawManifest()))
	if _, err := f.PutImageTagMutability(ctx, &sdk.PutImageTagMutabilityInput{RepositoryName: new("app"), ImageTagMutability: "IMMUTABLE"}); err != nil {
		t.Fatal(err)
	}
	list := fmt.Sprintf(`{"schemaVersion":2,"mediaType":"application/vnd.oci.image.index.v1+json","manifests":[{"mediaType":"application/vnd.oci.image.manifest.v1+json","digest":%q,"size":1}]}`, sum(nil))
	for _, tc := range []struct {
		name          string
		in            sdk.PutImageInput
		code, message string
	}{
		{"no repository", sdk.PutImageInput{RepositoryName: new("none"), ImageManifest: &manifest}, "RepositoryNotFoundException", "'none'"},
		{"immutable", sdk.PutImageInput{RepositoryName: new("app"), ImageManifest: &manifest, ImageTag: new("2")}, "ImageTagAlreadyExistsException", "The image tag '2' already exists in the 'app' repository and cannot be overwritten because the repository is immutable."},
		{"no tag", sdk.PutImageInput{RepositoryName: new("app"), ImageManifest: &manifest}, "ImageAlreadyExistsException", "Image with digest '" + digest(img) + "' already exists"},
		{"digest", sdk.PutImageInput{RepositoryName: new("app"), ImageManifest: &manifest, ImageTag: new("3"), ImageDigest: new(digest(other))}, "ImageDigestDoesNotMatchException", digest(img)},
		{"not JSON", sdk.PutImageInput{RepositoryName: new("app"), ImageManifest: new("{")}, "InvalidParameterException", "imageManifest"},
		{"old", sdk.PutImageInput{RepositoryName: new("app"), ImageManifest: new(`{"schemaVersion":1}`)}, "InvalidParameterException", "imageManifest"},
		{"type", sdk.PutImageInput{RepositoryName: new("app"), ImageManifest: &manifest, ImageManifestMediaType: new("text/plain")}, "InvalidParameterException", "imageManifestMediaType"},
		{"a list's type", sdk.PutImageInput{RepositoryName: new("app"), ImageManifest: &manifest, ImageManifestMediaType: new("application/vnd.oci.image.index.v1+json")}, "InvalidParameterException", "imageManifestMediaType"},
		{"tag", sdk.PutImageInput{RepositoryName: new("app"), ImageManifest: &manifest, ImageTag: new("../x")}, "InvalidParameterException", "imageTag"},
		{"list without its images", sdk.PutImageInput{RepositoryName: new("app"), ImageManifest: &list, ImageTag: new("list")}, "ReferencedImagesNotFoundException", sum(nil)},
	} {
		_, err := f.PutImage(ctx, &tc.in)
		fails(t, tc.name, err, tc.code, tc.message)
	}
}

func TestLayerUploadSaysWhatIsWrong(t *testing.T) {
	f := newFixture(t)
	ctx := t.Context()
	f.create("app", "other")
	begin := func() *string {
		out, err := f.InitiateLayerUpload(ctx, &sdk.InitiateLayerUploadInput{RepositoryName: new("app")})
		if err != nil || *out.PartSize != 10<<20 {
			t.Fatalf("%+v, %v", out, err)
		}
		return out.UploadId
	}
	part := func(repository string, id *string, first, last int64, blob []byte) error {
		_, err := f.UploadLayerPart(ctx, &sdk.UploadLayerPartInput{RepositoryName: &repository, UploadId: id, PartFirstByte: &first, PartLastByte: &last, LayerPartBlob: blob})
		return err
	}
	complete := func(id *string, digests ...string) error {
		_, err := f.CompleteLayerUpload(ctx, &sdk.CompleteLayerUploadInput{RepositoryName: new("app"), UploadId: id, LayerDigests: digests})
		return err
	}
	up := begin()
	fails(t, "empty", complete(up, sum(nil)), "EmptyUploadException", *up)
	if err := part("app", up, 0, 2, []byte("abc")); err != nil {
		t.Fatal(err)
	}
	err := part("app", up, 4, 4, []byte("x"))
	fails(t, "a gap", err, "InvalidLayerPartException", "last byte received, '2'")
	var gap *types.InvalidLayerPartException
	if !errors.As(err, &gap) || *gap.LastValidByteReceived != 2 || *gap.UploadId != *up {
		t.Errorf("%+v", gap)
	}
	fails(t, "bytes and blob", part("app", up, 3, 3, []byte("xy")), "InvalidParameterException", "has 2")
	fails(t, "no id", part("app", new("../../x"), 3, 3, []byte("x")), "InvalidParameterException", "uploadId")
	fails(t, "unknown id", part("app", new("00000000-0000-0000-0000-000000000000"), 0, 0, []byte("x")), "UploadNotFoundException", "could not be found")
	fails(t, "another repository", part("other", up, 3, 3, []byte("x")), "UploadNotFoundException", "could not be found")
	fails(t, "no repository", part("none", up, 3, 3, []byte("x")), "RepositoryNotFoundException", "'none'")
	fails(t, "another digest", complete(up, sum([]byte("abd"))), "InvalidLayerException", "does not match")
	fails(t, "discarded", complete(up, sum([]byte("abc"))), "UploadNotFoundException", *up)

	up = begin()
	if err := errors.Join(part("app", up, 0, 2, []byte("abc")), part("app", up, 3, 3, []byte("d"))); err != nil {
		t.Fatal(err)
	}
	fails(t, "small parts", complete(up, sum([]byte("abcd"))), "LayerPartTooSmallException", "5242880")
	fails(t, "no sha256", complete(up, "md5:00"), "InvalidParameterException", "sha256")
}

func TestBatchCheckLayerAvailability(t *testing.T) {
	f := newFixture(t)
	layer := must(f.push("app:1").Layers())[0]
	there, absent := must(layer.Digest()).String(), sum([]byte("absent"))
	out, err := f.BatchCheckLayerAvailability(t.Context(), &sdk.BatchCheckLayerAvailabilityInput{RepositoryName: new("app"), LayerDigests: []string{there, absent, "x", ""}})
	if err != nil || len(out.Layers) != 2 || len(out.Failures) != 2 {
		t.Fatalf("%+v, %v", out, err)
	}
	if l := out.Layers[0]; *l.LayerDigest != there || l.LayerAvailability != "AVAILABLE" || *l.LayerSize != must(layer.Size()) {
		t.Errorf("%+v", l)
	}
	if l := out.Layers[1]; *l.LayerDigest != absent || l.LayerAvailability != "UNAVAILABLE" {
		t.Errorf("%+v", l)
	}
	if out.Failures[0].FailureCode != "InvalidLayerDigest" || out.Failures[1].FailureCode != "MissingLayerDigest" {
		t.Errorf("%+v", out.Failures)
	}
}

func TestGetDownloadURLForLayer(t *testing.T) {
	f := newFixture(t)
	ctx := t.Context()
	layer := must(f.push("team/app:1").Layers())[0]
	get := func() (int, []byte) {
		t.Helper()
		out, err := f.GetDownloadUrlForLayer(ctx, &sdk.GetDownloadUrlForLayerInput{RepositoryName: new("team/app"), LayerDigest: new(must(layer.Digest()).String())})
		if err != nil {
			t.Fatal(err)
		}
		resp, err := http.Get(*out.DownloadUrl)
		if err != nil {
			t.Fatal(err)
		}
		defer resp.Body.Close()
		return resp.StatusCode, must(io.ReadAll(resp.Body))
	}
	if status, body := get(); status != 200 || !bytes.Equal(body, must(io.ReadAll(must(layer.Compressed())))) {
		t.Errorf("%d, %d bytes", status, len(body))
	}
	f.now = time.Now().Add(-time.Hour - time.Minute)
	if status, body := get(); status != 403 || !strings.Contains(string(body), "expired") {
		t.Errorf("after an hour: %d %s", status, body)
	}
	_, err := f.GetDownloadUrlForLayer(ctx, &sdk.GetDownloadUrlForLayerInput{RepositoryName: new("team/app"), LayerDigest: new(sum(nil))})
	fails(t, "unknown", err, "LayersNotFoundException", "does not exist")
}
