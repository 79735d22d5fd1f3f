package registry

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/google/go-containerregistry/pkg/name"
	"github.com/google/go-containerregistry/pkg/v1/random"
	"github.com/google/go-containerregistry/pkg/v1/remote"
)

// records are repositories, and whether their tags stay.
type records struct {
	mu   sync.Mutex
	made map[string]bool
	err  error
}

func (r *records) Known(_ context.Context, name string) (bool, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	_, ok := r.made[name]
	return ok, r.err
}

func (r *records) Pushing(_ context.Context, name string) (bool, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	immutable := r.made[name]
	r.made[name] = immutable
	return immutable, r.err
}

func TestGovern(t *testing.T) {
	r := open(t, Config{Account: "111122223333"})
	rec := &records{made: map[string]bool{"fixed": true, "new": false}}
	r.Govern(rec)
	host := listen(t, r)
	push := func(ref string) error {
		return remote.Write(must(name.ParseReference(host+"/"+ref)), must(random.Image(100, 1)))
	}
	if err := push("made/by-push:1"); err != nil {
		t.Fatal(err)
	}
	if !maps.Equal(rec.made, map[string]bool{"fixed": true, "new": false, "made/by-push": false}) {
		t.Errorf("records: %v", rec.made)
	}
	if err := errors.Join(push("made/by-push:1"), push("fixed:1"), push("fixed:2")); err != nil {
		t.Error(err)
	}
	const words = "TAG_INVALID: The image tag '1' already exists in the 'fixed' repository and cannot be overwritten because the repository is immutable."
	if err := push("fixed:1"); err == nil || !strings.Contains(err.Error(), words) {
		t.Errorf("a tag was overwritten: %v", err)
	}
	img := must(random.Image(100, 1))
	if err := remote.Write(must(name.NewDigest(host+"/fixed@"+must(img.Digest()).String())), img); err != nil {
		t.Errorf("without a tag: %v", err)
	}

	// A repository exists before anything is pushed to it.
	if resp, body := do(t, r, "GET", "/v2/new/tags/list", ""); resp.StatusCode != 200 || body != `{"name":"new","tags":[]}` {
		t.Errorf("%s %s", resp.Status, body)
	}
	if resp, body := do(t, r, "GET", "/v2/new/manifests/1", ""); resp.StatusCode != 404 || !strings.Contains(body, "Requested image not found") {
		t.Errorf("%s %s", resp.Status, body)
	}
	if resp, body := do(t, r, "GET", "/v2/none/tags/list", ""); resp.StatusCode != 404 || !strings.Contains(body, "The repository with name 'none' does not exist in the registry with id '111122223333'") {
		t.Errorf("%s %s", resp.Status, body)
	}

	// One that is gone is gone, though its images' directories are still there.
	for _, dgst := range slices.Sorted(maps.Keys(must(r.Manifests(t.Context(), "fixed")))) {
		if resp, body := do(t, r, "GET", "/v2/fixed/tags/list", ""); resp.StatusCode != 200 {
			t.Errorf("%s %s", resp.Status, body)
		}
		if err := r.Change(t.Context(), func(ctx context.Context) error { return r.DeleteManifest(ctx, "fixed", dgst) }); err != nil {
			t.Fatal(err)
		}
	}
	delete(rec.made, "fixed")
	for _, path := range []string{"/v2/fixed/tags/list", "/v2/fixed/manifests/1"} {
		if resp, body := do(t, r, "GET", path, ""); resp.StatusCode != 404 || !strings.Contains(body, "The repository with name 'fixed' does not exist") {
			t.Errorf("%s %s", resp.Status, body)
		}
	}

	rec.err = errors.New("the store is closed")
	if resp, body := do(t, r, "PUT", "/v2/new/manifests/1", manifestOf("layer")); resp.StatusCode != 500 || !strings.Contains(body, "recording the repository new: the store is closed") {
		t.Errorf("%s %s", resp.Status, body)
	}
}

// TestOneOfManyTakesATag: of pushes that race for a tag that stays, one wins.
func TestOneOfManyTakesATag(t *testing.T) {
	r := open(t, Config{})
	r.Govern(&records{made: map[string]bool{"fixed": true}})
	tag := must(name.NewTag(listen(t, r) + "/fixed:1"))
	var wg sync.WaitGroup
	errs := make([]error, 6)
	for i := range errs {
		img := must(random.Image(100, 1))
		wg.Go(func() { errs[i] = remote.Write(tag, img) })
	}
	wg.Wait()
	won := 0
	for _, err := range errs {
		if err == nil {
			won++
		} else if !strings.Contains(err.Error(), "TAG_INVALID") {
			t.Error(err)
		}
	}
	if won != 1 {
		t.Errorf("%d pushes took the tag", won)
	}
}

// TestImagesThatCameWithTarn are nobody's: who keeps the records does not see
// them, until they are pushed to a repository of one's own.
func TestImagesThatCameWithTarn(t *testing.T) {
	ctx := t.Context()
	r := open(t, Config{})
	r.Govern(&records{made: map[string]bool{"backend-app": true}})
	host := listen(t, r)
	brought := ours(t, 1)
	if err := r.Preload(ctx, "backend-app", "1", brought); err != nil {
		t.Fatal(err)
	}
	see := func(repository string, wantTags string, wantImages int) {
		t.Helper()
		tags, err := r.Tags(ctx, repository)
		if err != nil {
			t.Fatal(err)
		}
		images, err := r.Manifests(ctx, repository)
		if err != nil {
			t.Fatal(err)
		}
		names := ""
		for tag := range maps.Keys(tags) {
			names += tag
		}
		if names != wantTags || len(images) != wantImages {
			t.Errorf("%s: tags %s, images %v", repository, names, images)
		}
	}
	see("backend-app", "", 0)
	if raw, err := r.Manifest(ctx, "backend-app", must(brought.Digest()).String()); raw != nil || err != nil {
		t.Errorf("%s, %v", raw, err)
	}
	if all, err := r.Repositories(ctx); len(all) != 0 || err != nil {
		t.Errorf("%v, %v", all, err)
	}
	if _, err := remote.Image(must(name.NewTag(host + "/backend-app:1"))); err != nil {
		t.Errorf("nodes cannot pull it: %v", err)
	}
	write(t, host, "copy:1", brought)
	see("copy", "1", 1)

	// Its tag is free, also where tags stay.
	write(t, host, "backend-app:1", must(random.Image(100, 1)))
	see("backend-app", "1", 1)
	if all, err := r.Repositories(ctx); fmt.Sprint(all) != "[backend-app copy]" || err != nil {
		t.Errorf("%v, %v", all, err)
	}
}
