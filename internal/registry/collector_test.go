package registry

import (
	"context"
	"testing"
	"testing/synctest"
	"time"

	"github.com/opencontainers/go-digest"
)

// TestCollector lets time pass: what a deletion freed is removed after a pause,
// once no push to its repository is under way.
func TestCollector(t *testing.T) {
	r := open(t, Config{CollectAfter: 10 * time.Second})
	r.cancel()
	r.background.Wait()
	synctest.Test(t, func(t *testing.T) { // the library leaves a goroutine, so only the collector is in it
		ctx := t.Context()
		var cancel context.CancelFunc
		r.ctx, cancel = context.WithCancel(context.Background())
		defer r.background.Wait()
		defer cancel()
		r.freed, r.traffic = make(chan struct{}, 1), newTraffic(time.Minute)
		r.background.Go(func() { r.collector(time.Minute) })
		put := func(repository string) (dgst string) {
			t.Helper()
			for _, blob := range []string{"layer of " + repository, emptyConfig} {
				id, err := r.StartUpload(ctx, repository)
				if err != nil {
					t.Fatal(err)
				}
				if _, err := r.AppendUpload(ctx, repository, id, 0, []byte(blob)); err != nil {
					t.Fatal(err)
				}
				if err := r.FinishUpload(ctx, repository, id, digestOf(blob)); err != nil {
					t.Fatal(err)
				}
			}
			err := r.Change(ctx, func(ctx context.Context) (err error) {
				dgst, _, err = r.PutManifest(ctx, repository, "1", "application/vnd.oci.image.manifest.v1+json", []byte(manifestOf("layer of "+repository)))
				return err
			})
			if err != nil {
				t.Fatal(err)
			}
			return dgst
		}
		stored := func(repository string) bool {
			t.Helper()
			_, err := r.own.repos.BlobStatter().Stat(ctx, digest.Digest(digestOf("layer of "+repository)))
			return err == nil
		}
		quiet, busy := put("quiet"), put("busy")
		time.Sleep(time.Hour)
		for repository, dgst := range map[string]string{"quiet": quiet, "busy": busy} {
			err := r.Change(ctx, func(ctx context.Context) error { return r.DeleteManifest(ctx, repository, dgst) })
			if err != nil {
				t.Fatal(err)
			}
		}
		if _, err := r.StartUpload(ctx, "busy"); err != nil {
			t.Fatal(err)
		}
		time.Sleep(9 * time.Second)
		synctest.Wait()
		if !stored("quiet") {
			t.Error("a layer went at once")
		}
		time.Sleep(2 * time.Second)
		synctest.Wait()
		if stored("quiet") || !stored("busy") {
			t.Errorf("after the pause: %t, %t", stored("quiet"), stored("busy"))
		}
		time.Sleep(2 * time.Minute)
		synctest.Wait()
		if stored("busy") {
			t.Error("a layer was forgotten, because of a push that ended")
		}
	})
}
