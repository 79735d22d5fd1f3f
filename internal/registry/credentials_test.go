package registry

import (
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/google/go-containerregistry/pkg/authn"
	"github.com/google/go-containerregistry/pkg/name"
	"github.com/google/go-containerregistry/pkg/v1/random"
	"github.com/google/go-containerregistry/pkg/v1/remote"
)

func TestCredentials(t *testing.T) {
	r, other := open(t, Config{}), open(t, Config{})
	now := time.Now()
	good := r.Password(now.Add(time.Hour))
	for _, tc := range []struct {
		name, user, password, url string
		status                    int
	}{
		{name: "none", status: 200},
		{name: "good", user: "AWS", password: good, status: 200},
		{name: "another good one", user: "AWS", password: r.Password(now.Add(time.Hour)), status: 200},
		{name: "good, an unknown image", user: "AWS", password: good, url: "/v2/x/manifests/1", status: 404},
		{name: "expired", user: "AWS", password: r.Password(now.Add(-time.Second)), status: 401},
		{name: "expired, an image", user: "AWS", password: r.Password(now.Add(-time.Second)), url: "/v2/x/manifests/1", status: 401},
		{name: "another registry's", user: "AWS", password: other.Password(now.Add(time.Hour)), status: 401},
		{name: "another user", user: "aws", password: good, status: 401},
		{name: "no user", password: good, status: 401},
		{name: "no password", user: "AWS", status: 401},
		{name: "made up", user: "AWS", password: "hunter2", status: 401},
		{name: "a longer life", user: "AWS", password: "B" + good[1:], status: 401},
		{name: "cut", user: "AWS", password: good[:len(good)-4], status: 401},
		{name: "no basic credentials", user: "-", status: 401},
		{name: "for ECR, by its name", user: "AWS", password: "made-up", url: "/v2/x/manifests/1?ns=641022061021.dkr.ecr.ap-northeast-2.amazonaws.com", status: 401},
		{name: "for another registry", user: "someone", password: "secret", url: "/v2/x/manifests/1?ns=localhost:5000", status: 404},
	} {
		t.Run(tc.name, func(t *testing.T) {
			url := tc.url
			if url == "" {
				url = "/v2/"
			}
			req := httptest.NewRequest("GET", url, nil)
			switch {
			case tc.user == "-":
				req.Header.Set("Authorization", "Bearer "+good)
			case tc.user+tc.password != "":
				req.SetBasicAuth(tc.user, tc.password)
			}
			w := httptest.NewRecorder()
			r.ServeHTTP(w, req)
			if w.Code != tc.status {
				t.Fatalf("%d %s, want %d", w.Code, w.Body, tc.status)
			}
			if w.Code != 401 {
				return
			}
			const words = `{"errors":[{"code":"DENIED","message":"Your authorization token has expired. Reauthenticate and try again."}]}`
			if w.Body.String() != words {
				t.Errorf("%s", w.Body)
			}
			if got := w.Header().Get("WWW-Authenticate"); got != `Basic realm="http://example.com/",service="ecr.amazonaws.com"` {
				t.Errorf("WWW-Authenticate: %s", got)
			}
		})
	}
}

func TestPasswordOutlivesTheProcess(t *testing.T) {
	dir := t.TempDir()
	password := open(t, Config{Dir: dir}).Password(time.Now().Add(time.Hour))
	if !open(t, Config{Dir: dir}).passwordIsGood(password, time.Now()) {
		t.Error("the password is not good after a restart")
	}
}

// TestClientsPassword is what crane does after `crane auth login`.
func TestClientsPassword(t *testing.T) {
	r := open(t, Config{})
	tag := must(name.NewTag(listen(t, r) + "/app:1"))
	img := must(random.Image(1<<10, 1))
	with := func(life time.Duration) remote.Option {
		return remote.WithAuth(&authn.Basic{Username: "AWS", Password: r.Password(time.Now().Add(life))})
	}
	if err := remote.Write(tag, img, with(-time.Minute)); err == nil {
		t.Error("pushed with an expired password")
	}
	if err := remote.Write(tag, img, with(time.Minute)); err != nil {
		t.Error(err)
	}
	if _, err := remote.Image(tag, with(time.Minute)); err != nil {
		t.Error(err)
	}
	_, err := remote.Image(tag, with(-time.Minute))
	if err == nil || !strings.Contains(err.Error(), "Your authorization token has expired. Reauthenticate and try again.") {
		t.Errorf("pull with an expired password: %v", err)
	}
}

func TestLayerPath(t *testing.T) {
	r := open(t, Config{})
	for _, blob := range []string{"a layer", "another"} {
		resp, _ := do(t, r, "POST", "/v2/team/app/blobs/uploads/", "")
		if resp, body := do(t, r, "PUT", resp.Header.Get("Location")+"&digest="+digestOf(blob), blob); resp.StatusCode != 201 {
			t.Fatal(body)
		}
	}
	hour := time.Now().Add(time.Hour)
	good := r.LayerPath("team/app", digestOf("a layer"), hour)
	for _, tc := range []struct {
		name, method, path string
		status             int
		want               string
	}{
		{"good", "GET", good, 200, "a layer"},
		{"HEAD", "HEAD", good, 200, ""},
		{"expired", "GET", r.LayerPath("team/app", digestOf("a layer"), time.Now().Add(-time.Second)), 403, "Request has expired"},
		{"another layer", "GET", strings.Replace(good, digestOf("a layer"), digestOf("another"), 1), 403, "not signed"},
		{"another time", "GET", strings.Replace(good, "expires=", "expires=1", 1), 403, "not signed"},
		{"unsigned", "GET", "/layers/team/app/" + digestOf("a layer"), 403, "not signed"},
		{"another registry's", "GET", open(t, Config{}).LayerPath("team/app", digestOf("a layer"), hour), 403, "not signed"},
		{"not a path", "GET", r.LayerPath("team/../app", digestOf("a layer"), hour), 403, "not signed"},
		{"a layer that is not there", "GET", r.LayerPath("team/app", digestOf("none"), hour), 404, "BLOB_UNKNOWN"},
		{"write", "PUT", good, 405, "only read"},
	} {
		resp, body := do(t, r, tc.method, tc.path, "")
		if resp.StatusCode != tc.status || !strings.Contains(body, tc.want) {
			t.Errorf("%s: %s %s, want %d %s", tc.name, resp.Status, body, tc.status, tc.want)
		}
	}
}

func FuzzPassword(f *testing.F) {
	r := &Registry{secret: "secret"}
	f.Add(r.Password(time.Unix(1<<40, 0)))
	f.Fuzz(func(t *testing.T, password string) {
		// No input of a fuzzer has a signature made with another secret.
		if (&Registry{secret: "another"}).passwordIsGood(password, time.Unix(0, 0)) {
			t.Errorf("%q is good", password)
		}
	})
}
