package ecr_test

import (
	"encoding/base64"
	"strings"
	"testing"
	"time"

	sdk "github.com/aws/aws-sdk-go-v2/service/ecr"
	"github.com/google/go-containerregistry/pkg/authn"
	"github.com/google/go-containerregistry/pkg/crane"
	"github.com/google/go-containerregistry/pkg/v1/random"
	"github.com/google/go-containerregistry/pkg/v1/validate"
)

// TestGetAuthorizationToken does what `aws ecr get-login-password` and crane do.
func TestGetAuthorizationToken(t *testing.T) {
	f := newFixture(t)
	login := func() (crane.Option, time.Time) {
		t.Helper()
		out, err := f.Client.GetAuthorizationToken(t.Context(), &sdk.GetAuthorizationTokenInput{})
		if err != nil || len(out.AuthorizationData) != 1 {
			t.Fatalf("%+v, %v", out, err)
		}
		data := out.AuthorizationData[0]
		if *data.ProxyEndpoint != "http://"+f.host {
			t.Errorf("endpoint %s", *data.ProxyEndpoint)
		}
		token := string(must(base64.StdEncoding.DecodeString(*data.AuthorizationToken)))
		user, password, _ := strings.Cut(token, ":")
		return crane.WithAuth(&authn.Basic{Username: user, Password: password}), *data.ExpiresAt
	}
	auth, expires := login()
	if d := expires.Sub(f.now); d > 12*time.Hour || d < 12*time.Hour-time.Second {
		t.Errorf("good for %s", d)
	}
	img := must(random.Image(1<<10, 2))
	ref := f.host + "/team/app:1"
	if err := crane.Push(img, ref, auth); err != nil {
		t.Fatal(err)
	}
	got, err := crane.Pull(ref, auth)
	if err != nil {
		t.Fatal(err)
	}
	if err := validate.Image(got); err != nil {
		t.Error(err)
	}
	f.now = f.now.Add(-12*time.Hour - 2*time.Second)
	auth, _ = login()
	if _, err := crane.Pull(ref, auth); err == nil || !strings.Contains(err.Error(), "Your authorization token has expired. Reauthenticate and try again.") {
		t.Errorf("with an expired password: %v", err)
	}
	wrong := crane.WithAuth(&authn.Basic{Username: "AWS", Password: "wrong"})
	if _, err := crane.Pull(ref, wrong); err == nil || !strings.Contains(err.Error(), "Reauthenticate") {
		t.Errorf("with a wrong password: %v", err)
	}
	if _, err := crane.Pull(ref); err != nil {
		t.Errorf("without one: %v", err)
	}
	//nolint:staticcheck // deprecated, and still sent
	out, err := f.Client.GetAuthorizationToken(t.Context(), &sdk.GetAuthorizationTokenInput{RegistryIds: []string{account, "602401143452"}})
	if err != nil || len(out.AuthorizationData) != 2 {
		t.Errorf("%+v, %v", out, err)
	}
}
