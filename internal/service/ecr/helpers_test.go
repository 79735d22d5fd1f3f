package ecr_test

import (
	"errors"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	sdk "github.com/aws/aws-sdk-go-v2/service/ecr"
	"github.com/aws/smithy-go"
	"github.com/google/go-containerregistry/pkg/name"
	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/random"
	"github.com/google/go-containerregistry/pkg/v1/remote"

	ecrapi "github.com/tarn-eks/tarn/internal/api/ecr"
	"github.com/tarn-eks/tarn/internal/registry"
	"github.com/tarn-eks/tarn/internal/service/ecr"
	"github.com/tarn-eks/tarn/internal/store/storetest"
	"github.com/tarn-eks/tarn/internal/wire"
	"github.com/tarn-eks/tarn/internal/wire/wiretest"
)

const (
	account = "111122223333"
	region  = "ap-northeast-2"
)

// fixture is a registry, the service over it, and AWS's own client.
type fixture struct {
	*sdk.Client
	t        *testing.T
	service  *ecr.Service
	registry *registry.Registry
	host     string    // of the registry
	now      time.Time // the service's
}

func newFixture(t *testing.T) *fixture {
	t.Helper()
	f := &fixture{t: t, now: time.Now()}
	var err error
	f.registry, err = registry.New(registry.Config{Dir: t.TempDir(), Account: account})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := f.registry.Close(); err != nil {
			t.Error(err)
		}
	})
	images := httptest.NewServer(f.registry)
	t.Cleanup(images.Close)
	f.host = strings.TrimPrefix(images.URL, "http://")
	f.service = ecr.New(ecr.Config{
		Client: storetest.Open(t).Client(), Account: account, Region: region,
		Images: f.registry, Endpoint: images.URL, Now: func() time.Time { return f.now },
	})
	f.registry.Govern(f.service)

	cfg := wiretest.Serve(t, wire.Config{API: ecrapi.Service, MaxBody: 32 << 20}, f.service, region)
	f.Client = sdk.NewFromConfig(cfg)
	return f
}

func (f *fixture) create(names ...string) {
	f.t.Helper()
	for _, n := range names {
		if _, err := f.CreateRepository(f.t.Context(), &sdk.CreateRepositoryInput{RepositoryName: &n}); err != nil {
			f.t.Fatal(err)
		}
	}
}

func (f *fixture) tag(ref string) name.Tag { return must(name.NewTag(f.host + "/" + ref)) }

// push pushes a new image and returns it.
func (f *fixture) push(refs ...string) v1.Image {
	f.t.Helper()
	img := must(random.Image(1<<10, 2))
	for _, ref := range refs {
		if err := remote.Write(f.tag(ref), img); err != nil {
			f.t.Fatal(err)
		}
	}
	return img
}

func digest(img interface{ Digest() (v1.Hash, error) }) string { return must(img.Digest()).String() }

func must[T any](v T, err error) T {
	if err != nil {
		panic(err)
	}
	return v
}

// fails checks an error's code and words.
func fails(t *testing.T, what string, err error, code, message string) {
	t.Helper()
	var e smithy.APIError
	if !errors.As(err, &e) || e.ErrorCode() != code || !strings.Contains(e.ErrorMessage(), message) {
		t.Errorf("%s: %v\nwant %s: %s", what, err, code, message)
	}
}
