package registry

import (
	"context"
	"fmt"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-containerregistry/pkg/name"
	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/empty"
	"github.com/google/go-containerregistry/pkg/v1/mutate"
	"github.com/google/go-containerregistry/pkg/v1/random"
	"github.com/google/go-containerregistry/pkg/v1/remote"
	"github.com/google/go-containerregistry/pkg/v1/types"
	"github.com/google/go-containerregistry/pkg/v1/validate"
)

// opened is a registry in which no push began before, and that collects when
// the test says so.
func opened(t *testing.T, quiet time.Duration) *Registry {
	t.Helper()
	r := open(t, Config{CollectAfter: time.Hour})
	r.traffic = newTraffic(quiet)
	r.traffic.since = time.Time{}
	return r
}

func (r *Registry) hasFile(digest v1.Hash) bool {
	_, err := os.Stat(filepath.Join(r.dir, "docker/registry/v2/blobs/sha256", digest.Hex[:2], digest.Hex, "data"))
	return err == nil
}

// imageOf has the layers, and one of its own.
func imageOf(t *testing.T, shared ...v1.Layer) (img v1.Image, own v1.Layer) {
	t.Helper()
	own = must(random.Layer(1<<10, types.DockerLayer))
	return must(mutate.AppendLayers(empty.Image, append(shared, own)...)), own
}

func write(t *testing.T, host, repository string, img v1.Image) {
	t.Helper()
	if err := remote.Write(must(name.NewTag(host+"/"+repository)), img); err != nil {
		t.Fatal(err)
	}
}

func (r *Registry) deleteImage(ctx context.Context, repository string, img v1.Image) error {
	return r.Change(ctx, func(ctx context.Context) error {
		return r.DeleteManifest(ctx, repository, must(img.Digest()).String())
	})
}

func TestCollect(t *testing.T) {
	ctx := t.Context()
	r := opened(t, time.Nanosecond)
	host := listen(t, r)
	shared := must(random.Layer(1<<10, types.DockerLayer))
	first, firstOwn := imageOf(t, shared)
	second, secondOwn := imageOf(t, shared)
	write(t, host, "a:1", first)
	write(t, host, "a:untagged", second)
	write(t, host, "deep/b:1", first)
	if err := remote.Delete(must(name.NewTag(host + "/a:untagged"))); err != nil {
		t.Fatal(err)
	}

	collect := func() {
		t.Helper()
		if whole, err := r.collect(ctx); err != nil || !whole {
			t.Fatalf("%t, %v", whole, err)
		}
	}
	present := func(what string, want bool, layers ...v1.Layer) {
		t.Helper()
		for i, l := range layers {
			if r.hasFile(must(l.Digest())) != want {
				t.Errorf("%s: layer %d is there: %t", what, i, !want)
			}
		}
	}
	collect()
	present("nothing was deleted", true, shared, firstOwn, secondOwn)
	if err := r.deleteImage(ctx, "a", first); err != nil {
		t.Fatal(err)
	}
	collect()
	present("another repository has it", true, shared, firstOwn, secondOwn)
	if _, found, err := r.Layer(ctx, "a", must(firstOwn.Digest()).String()); found || err != nil {
		t.Errorf("the repository has the layer of an image that was deleted: %v", err)
	}
	if err := validate.Image(must(remote.Image(must(name.NewTag(host + "/deep/b:1"))))); err != nil {
		t.Error(err)
	}
	if err := r.deleteImage(ctx, "deep/b", first); err != nil {
		t.Fatal(err)
	}
	collect()
	present("nobody has it", false, firstOwn)
	present("an image without a tag has it", true, shared, secondOwn)
	if err := validate.Image(must(remote.Image(must(name.NewDigest(host + "/a@" + must(second.Digest()).String()))))); err != nil {
		t.Error(err)
	}
	if err := r.deleteImage(ctx, "a", second); err != nil {
		t.Fatal(err)
	}
	collect()
	present("nothing is left", false, shared, firstOwn, secondOwn)
	write(t, host, "a:1", first)
	if err := validate.Image(must(remote.Image(must(name.NewTag(host + "/a:1"))))); err != nil {
		t.Errorf("pushed again: %v", err)
	}
}

func TestCollectNothing(t *testing.T) {
	r := opened(t, time.Nanosecond)
	if whole, err := r.collect(t.Context()); err != nil || !whole {
		t.Errorf("%t, %v", whole, err)
	}
}

// TestCollectSparesPushes: what was sent to a repository stays, though no image
// has it yet, until nothing was heard of the push for a while.
func TestCollectSparesPushes(t *testing.T) {
	r := opened(t, time.Hour)
	r.traffic.since = time.Now()
	resp, _ := do(t, r, "POST", "/v2/new/blobs/uploads/", "")
	resp, body := do(t, r, "PUT", resp.Header.Get("Location")+"&digest="+digestOf("layer"), "layer")
	if resp.StatusCode != 201 {
		t.Fatalf("%s %s", resp.Status, body)
	}
	layer := must(v1.NewHash(digestOf("layer")))
	collect := func(what string, wantWhole, wantLayer bool) {
		t.Helper()
		whole, err := r.collect(t.Context())
		if err != nil || whole != wantWhole || r.hasFile(layer) != wantLayer {
			t.Errorf("%s: whole %t, layer there %t, %v", what, whole, r.hasFile(layer), err)
		}
	}
	collect("just started", false, true)
	r.traffic.since = time.Time{}
	collect("in a push", false, true)
	age := func(by time.Duration) { r.traffic.repos["new"].last = time.Now().Add(-by) }
	age(59 * time.Minute)
	collect("still in it", false, true)
	age(2 * time.Hour)
	if resp, _ := do(t, r, "HEAD", "/v2/new/blobs/"+layer.String(), ""); resp.StatusCode != 200 {
		t.Error(resp.Status)
	}
	collect("a client was told that it is there", false, true)
	age(2 * time.Hour)
	collect("given up", true, false)
}

// TestPushRacesWithCollection pushes and deletes images that share layers, with
// collections in between, and wants every push to end whole.
func TestPushRacesWithCollection(t *testing.T) {
	ctx := t.Context()
	r := opened(t, time.Minute)
	host := listen(t, r)
	shared := []v1.Layer{must(random.Layer(1<<12, types.DockerLayer)), must(random.Layer(1<<12, types.DockerLayer))}
	// A repository that is quiet has the same layers as garbage, again and again.
	litter, own := imageOf(t, shared...)
	stop := make(chan struct{})
	var collecting, pushing sync.WaitGroup
	collected := 0
	collecting.Go(func() {
		for {
			select {
			case <-stop:
				return
			default:
			}
			write(t, host, "litter:1", litter)
			if err := r.deleteImage(ctx, "litter", litter); err != nil {
				t.Error(err)
			}
			r.traffic.mu.Lock()
			r.traffic.repos["litter"].last = time.Time{}
			r.traffic.mu.Unlock()
			if _, err := r.collect(ctx); err != nil {
				t.Error(err)
			}
			if !r.hasFile(must(own.Digest())) {
				collected++
			}
		}
	})
	for p := range 4 {
		pushing.Go(func() {
			repository := fmt.Sprintf("%s/app%d", host, p)
			for i := range 6 {
				img, _ := imageOf(t, shared...)
				tag := must(name.NewTag(fmt.Sprintf("%s:%d", repository, i)))
				if err := remote.Write(tag, img); err != nil {
					t.Errorf("push: %v", err)
					return
				}
				if err := validate.Image(must(remote.Image(tag))); err != nil {
					t.Errorf("an image that was pushed: %v", err)
				}
				if i%2 == 0 {
					if err := r.deleteImage(ctx, fmt.Sprintf("app%d", p), img); err != nil {
						t.Error(err)
					}
				}
			}
		})
	}
	pushing.Wait()
	close(stop)
	collecting.Wait()
	if collected == 0 {
		t.Error("nothing was collected meanwhile")
	}
}

// TestTrafficExcludes: steps of pushes and a collection exclude each other.
func TestTrafficExcludes(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ctx := t.Context()
		tr := newTraffic(time.Minute)
		var log []string
		say := func(s string) { log = append(log, s) }
		step, err := tr.step(ctx)
		if err != nil {
			t.Fatal(err)
		}
		go func() {
			end, err := tr.exclude(ctx)
			if err != nil {
				t.Error(err)
				return
			}
			say("alone")
			time.Sleep(time.Second)
			end()
		}()
		synctest.Wait()
		// Who waits to be alone holds up none.
		other, err := tr.step(ctx)
		if err != nil {
			t.Fatal(err)
		}
		say("another")
		other()
		synctest.Wait()
		say("last")
		step()
		synctest.Wait()
		gone, cancel := context.WithCancel(ctx)
		cancel()
		if _, err := tr.step(gone); err == nil {
			t.Error("a step began beside a collection")
		}
		end, err := tr.step(ctx)
		if err != nil {
			t.Fatal(err)
		}
		say("after")
		if _, err := tr.exclude(gone); err == nil {
			t.Error("a collection began beside a step")
		}
		end()
		if got := strings.Join(log, " "); got != "another last alone after" {
			t.Error(got)
		}
	})
}

func TestOfPush(t *testing.T) {
	for _, tc := range []struct {
		method, path string
		push, step   bool
	}{
		{"GET", "/v2/", false, false},
		{"GET", "/v2/x/tags/list", false, false},
		{"GET", "/v2/x/manifests/1", false, false},
		{"HEAD", "/v2/x/manifests/1", false, false},
		{"PUT", "/v2/x/manifests/1", true, true},
		{"DELETE", "/v2/x/manifests/1", false, true},
		{"GET", "/v2/x/blobs/" + digestOf("a"), false, false},
		{"HEAD", "/v2/x/blobs/" + digestOf("a"), true, true},
		{"POST", "/v2/x/blobs/uploads/", true, false},
		{"POST", "/v2/x/blobs/uploads/?mount=" + digestOf("a") + "&from=y", true, true},
		{"PATCH", "/v2/x/blobs/uploads/1", true, false},
		{"PUT", "/v2/x/blobs/uploads/1", true, true},
	} {
		req := httptest.NewRequest(tc.method, tc.path, nil)
		target, _ := parsePath(req.URL.Path)
		if push, step := target.ofPush(req); push != tc.push || step != tc.step {
			t.Errorf("%s %s: %t, %t", tc.method, tc.path, push, step)
		}
	}
}
