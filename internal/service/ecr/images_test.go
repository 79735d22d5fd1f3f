package ecr_test

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	sdk "github.com/aws/aws-sdk-go-v2/service/ecr"
	"github.com/aws/aws-sdk-go-v2/service/ecr/types"
	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/mutate"
	"github.com/google/go-containerregistry/pkg/v1/random"
	"github.com/google/go-containerregistry/pkg/v1/remote"

	"github.com/tarn-eks/tarn/internal/image"
)

func id(digest, tag string) types.ImageIdentifier {
	var i types.ImageIdentifier
	if digest != "" {
		i.ImageDigest = &digest
	}
	if tag != "" {
		i.ImageTag = &tag
	}
	return i
}

// text is identifiers in few words, digests by the names given.
func text(ids []types.ImageIdentifier, names map[string]string) string {
	var all []string
	for _, i := range ids {
		s := ""
		if i.ImageDigest != nil {
			s = names[*i.ImageDigest]
		}
		if i.ImageTag != nil {
			s += ":" + *i.ImageTag
		}
		all = append(all, s)
	}
	slices.Sort(all)
	return strings.Join(all, " ")
}

func (f *fixture) list(repository string, names map[string]string) string {
	f.t.Helper()
	out, err := f.ListImages(f.t.Context(), &sdk.ListImagesInput{RepositoryName: &repository})
	if err != nil {
		f.t.Fatal(err)
	}
	return text(out.ImageIds, names)
}

func TestListImages(t *testing.T) {
	f := newFixture(t)
	ctx := t.Context()
	a, b := f.push("app:1", "app:2"), f.push("app:3")
	f.push("app:3")
	names := map[string]string{digest(a): "a", digest(b): "b"}
	list := func(filter types.TagStatus, size int32) string {
		t.Helper()
		var all []types.ImageIdentifier
		p := sdk.NewListImagesPaginator(f, &sdk.ListImagesInput{RepositoryName: new("app"), MaxResults: &size, Filter: &types.ListImagesFilter{TagStatus: filter}})
		for p.HasMorePages() {
			out, err := p.NextPage(ctx)
			if err != nil {
				t.Fatal(err)
			}
			if len(out.ImageIds) > int(size) {
				t.Errorf("%d on a page of %d", len(out.ImageIds), size)
			}
			all = append(all, out.ImageIds...)
		}
		return text(all, names)
	}
	for _, size := range []int32{1, 2, 1000} {
		for filter, want := range map[types.TagStatus]string{"ANY": ":3 a:1 a:2 b", "TAGGED": ":3 a:1 a:2", "UNTAGGED": "b"} {
			if got := list(filter, size); got != want {
				t.Errorf("%s, %d a page: %s, want %s", filter, size, got, want)
			}
		}
	}
	_, err := f.ListImages(ctx, &sdk.ListImagesInput{RepositoryName: new("none")})
	fails(t, "no repository", err, "RepositoryNotFoundException", "'none'")
	_, err = f.ListImages(ctx, &sdk.ListImagesInput{RepositoryName: new("app"), Filter: &types.ListImagesFilter{TagStatus: "X"}})
	fails(t, "no filter", err, "InvalidParameterException", "tagStatus")
}

func TestDescribeImages(t *testing.T) {
	f := newFixture(t)
	ctx := t.Context()
	before := time.Now().Add(-time.Second)
	img := f.push("app:v2", "app:v1")
	index := must(random.Index(1<<10, 2, 2))
	if err := remote.WriteIndex(f.tag("app:index"), index); err != nil {
		t.Fatal(err)
	}
	size := func(img v1.Image) (n int64) {
		for _, l := range must(img.Layers()) {
			n += must(l.Size())
		}
		return n
	}
	describe := func(in sdk.DescribeImagesInput) []types.ImageDetail {
		t.Helper()
		in.RepositoryName = new("app")
		out, err := f.DescribeImages(ctx, &in)
		if err != nil {
			t.Fatal(err)
		}
		return out.ImageDetails
	}
	all := describe(sdk.DescribeImagesInput{})
	if len(all) != 4 {
		t.Fatalf("%d images", len(all))
	}
	one := describe(sdk.DescribeImagesInput{ImageIds: []types.ImageIdentifier{id("", "v1"), id(digest(img), "v2")}})
	if len(one) != 1 {
		t.Fatalf("%+v", one)
	}
	d := one[0]
	if *d.ImageDigest != digest(img) || fmt.Sprint(d.ImageTags) != "[v1 v2]" || *d.ImageSizeInBytes != size(img) ||
		*d.ImageManifestMediaType != "application/vnd.docker.distribution.manifest.v2+json" ||
		*d.ArtifactMediaType != "application/vnd.docker.container.image.v1+json" || *d.RegistryId != account || *d.RepositoryName != "app" ||
		d.ImagePushedAt.Before(before) || d.ImagePushedAt.After(time.Now()) {
		t.Errorf("%+v", d)
	}
	list := describe(sdk.DescribeImagesInput{ImageIds: []types.ImageIdentifier{id("", "index")}})[0]
	var largest int64
	for _, m := range must(index.IndexManifest()).Manifests {
		largest = max(largest, size(must(index.Image(m.Digest))))
	}
	if *list.ImageSizeInBytes != largest || list.ArtifactMediaType != nil || *list.ImageManifestMediaType != "application/vnd.oci.image.index.v1+json" {
		t.Errorf("%+v, want %d bytes", list, largest)
	}
	if got := describe(sdk.DescribeImagesInput{Filter: &types.DescribeImagesFilter{TagStatus: "UNTAGGED"}}); len(got) != 2 || got[0].ImageTags != nil {
		t.Errorf("%+v", got)
	}
	var pages int
	for p := sdk.NewDescribeImagesPaginator(f, &sdk.DescribeImagesInput{RepositoryName: new("app"), MaxResults: new(int32(3))}); p.HasMorePages(); pages++ {
		if _, err := p.NextPage(ctx); err != nil {
			t.Fatal(err)
		}
	}
	if pages != 2 {
		t.Errorf("%d pages", pages)
	}
	for _, tc := range []struct {
		name          string
		ids           []types.ImageIdentifier
		code, message string
	}{
		{"tag", []types.ImageIdentifier{id("", "none")}, "ImageNotFoundException", "The image with imageId {imageDigest:'null', imageTag:'none'} does not exist within the repository with name 'app' in the registry with id '111122223333'"},
		{"neither", []types.ImageIdentifier{id("", "")}, "InvalidParameterException", "both tag and digest cannot be null"},
		{"digest", []types.ImageIdentifier{id("x", "")}, "InvalidParameterException", "should satisfy the regex"},
	} {
		_, err := f.DescribeImages(ctx, &sdk.DescribeImagesInput{RepositoryName: new("app"), ImageIds: tc.ids})
		fails(t, tc.name, err, tc.code, tc.message)
	}
}

func TestBatchGetImage(t *testing.T) {
	f := newFixture(t)
	img := f.push("app:1")
	const docker = "application/vnd.docker.distribution.manifest.v2+json"
	for _, tc := range []struct {
		name    string
		id      types.ImageIdentifier
		accepts []string
		failure types.ImageFailureCode
		reason  string
	}{
		{name: "tag", id: id("", "1")},
		{name: "digest", id: id(digest(img), ""), accepts: []string{"application/json", docker}},
		{name: "both", id: id(digest(img), "1")},
		{name: "another type", id: id("", "1"), accepts: []string{"application/vnd.oci.image.manifest.v1+json"}, failure: "ImageNotFound"},
		{name: "unknown", id: id("", "2"), failure: "ImageNotFound", reason: "Requested image not found"},
		{name: "neither", failure: "MissingDigestAndTag", reason: "Invalid request parameters: both tag and digest cannot be null"},
		{name: "no digest", id: id("sha256", ""), failure: "InvalidImageDigest", reason: "image digest should satisfy"},
		{name: "no tag", id: id("", "-"), failure: "InvalidImageTag"},
		{name: "mismatch", id: id("sha256:"+strings.Repeat("0", 64), "1"), failure: "ImageTagDoesNotMatchDigest"},
	} {
		out, err := f.BatchGetImage(t.Context(), &sdk.BatchGetImageInput{RepositoryName: new("app"), ImageIds: []types.ImageIdentifier{tc.id}, AcceptedMediaTypes: tc.accepts})
		switch {
		case err != nil:
			t.Errorf("%s: %v", tc.name, err)
		case tc.failure != "":
			if len(out.Images) != 0 || len(out.Failures) != 1 || out.Failures[0].FailureCode != tc.failure || !strings.Contains(*out.Failures[0].FailureReason, tc.reason) {
				t.Errorf("%s: %+v", tc.name, out)
			}
		case len(out.Failures) != 0 || len(out.Images) != 1 || *out.Images[0].ImageManifest != string(must(img.RawManifest())) ||
			*out.Images[0].ImageManifestMediaType != docker || *out.Images[0].ImageId.ImageDigest != digest(img):
			t.Errorf("%s: %+v", tc.name, out)
		}
	}
}

func TestBatchDeleteImage(t *testing.T) {
	f := newFixture(t)
	a, b := f.push("app:1", "app:2"), f.push("app:3", "app:4")
	index := must(random.Index(1<<10, 1, 1))
	if err := remote.WriteIndex(f.tag("app:index"), index); err != nil {
		t.Fatal(err)
	}
	child := must(index.IndexManifest()).Manifests[0].Digest.String()
	names := map[string]string{digest(a): "a", digest(b): "b", digest(index): "i", child: "c"}
	for _, step := range []struct {
		name              string
		ids               []types.ImageIdentifier
		deleted, failures string
		left              string
	}{
		{"a tag", []types.ImageIdentifier{id("", "1")}, "a:1", "", "a:2 b:3 b:4 c i:index"},
		{"unknown, and nothing", []types.ImageIdentifier{id("", "1"), id("", "")}, "", "ImageNotFound MissingDigestAndTag", "a:2 b:3 b:4 c i:index"},
		{"the last tag", []types.ImageIdentifier{id("", "2"), id(digest(a), "")}, "a:2", "ImageNotFound", "b:3 b:4 c i:index"},
		{"in a list", []types.ImageIdentifier{id(child, "")}, "", "ImageReferencedByManifestList", "b:3 b:4 c i:index"},
		{"a digest", []types.ImageIdentifier{id(digest(b), "")}, "b:3 b:4", "", "c i:index"},
		{"with its list", []types.ImageIdentifier{id(child, ""), id("", "index")}, "c i:index", "", ""},
	} {
		out, err := f.BatchDeleteImage(t.Context(), &sdk.BatchDeleteImageInput{RepositoryName: new("app"), ImageIds: step.ids})
		if err != nil {
			t.Fatalf("%s: %v", step.name, err)
		}
		var failures []string
		for _, x := range out.Failures {
			failures = append(failures, string(x.FailureCode))
		}
		if got := text(out.ImageIds, names); got != step.deleted || strings.Join(failures, " ") != step.failures {
			t.Errorf("%s: deleted %s, failures %s", step.name, got, failures)
		}
		if got := f.list("app", names); got != step.left {
			t.Errorf("%s: left %s, want %s", step.name, got, step.left)
		}
	}
}

// TestImagesThatCameWithTarn are not the account's, whatever their names.
func TestImagesThatCameWithTarn(t *testing.T) {
	f := newFixture(t)
	ctx := t.Context()
	brought := mutate.Annotations(must(random.Image(100, 1)), map[string]string{image.AnnotationPreloaded: "true"}).(v1.Image)
	for _, name := range []string{"eks/pause", "backend-app"} {
		if err := f.registry.Preload(ctx, name, "1", brought); err != nil {
			t.Fatal(err)
		}
	}
	if err := f.service.Adopt(ctx); err != nil {
		t.Fatal(err)
	}
	if out, err := f.DescribeRepositories(ctx, &sdk.DescribeRepositoriesInput{}); err != nil || len(out.Repositories) != 0 {
		t.Errorf("%+v, %v", out, err)
	}
	f.create("backend-app")
	if got := f.list("backend-app", nil); got != "" {
		t.Error(got)
	}
	if _, err := f.DeleteRepository(ctx, &sdk.DeleteRepositoryInput{RepositoryName: new("backend-app")}); err != nil {
		t.Error(err)
	}
	if _, err := remote.Image(f.tag("backend-app:1")); err != nil {
		t.Errorf("nodes cannot pull what came with Tarn: %v", err)
	}
}
