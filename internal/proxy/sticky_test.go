package proxy

import (
	"bytes"
	"fmt"
	"net/http"
	"net/http/cookiejar"
	"net/url"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/tarn-eks/tarn/internal/http1"
)

// asker has a client with cookies ask a balancer, and returns the response and its body.
func asker(t *testing.T, r *rig) (ask func(path string) (*http.Response, string), jar *cookiejar.Jar, at *url.URL) {
	t.Helper()
	jar, err := cookiejar.New(nil)
	if err != nil {
		t.Fatal(err)
	}
	at = &url.URL{Scheme: "http", Host: r.at("lb", "", 80), Path: "/"}
	transport := &http.Transport{}
	t.Cleanup(transport.CloseIdleConnections)
	client := &http.Client{Jar: jar, Transport: transport, Timeout: 10 * time.Second}
	return func(path string) (*http.Response, string) {
		t.Helper()
		res, err := client.Get(at.JoinPath(path).String())
		if err != nil {
			t.Fatal(err)
		}
		defer res.Body.Close()
		return res, res.Header.Get("Backend")
	}, jar, at
}

// naming starts backends that say who they are, and set an application's cookie at /login.
func naming(r *rig, n int) (all []string) {
	for i := range n {
		a := fmt.Sprintf("10.0.0.%d", i+1)
		r.backend(a+":8080", http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			w.Header().Set("Backend", a)
			switch r.URL.Path {
			case "/login":
				w.Header().Add("Set-Cookie", "theme=dark; path=/")
				w.Header().Add("Set-Cookie", "SESSION=1; Path=/; HttpOnly; SameSite=Lax")
			case "/logout":
				w.Header().Add("Set-Cookie", "SESSION=; path=/; max-age=0")
			}
		}))
		all = append(all, a)
	}
	return all
}

func TestBalancerCookie(t *testing.T) {
	for _, tc := range []struct {
		duration time.Duration
		want     string
	}{
		{0, `^AWSELB=[0-9a-f]{64};PATH=/$`},
		{time.Hour, `^AWSELB=[0-9a-f]{72,};PATH=/;MAX-AGE=3600$`},
	} {
		t.Run(tc.duration.String(), func(t *testing.T) {
			r := newRig(t)
			b := web(naming(r, 3)...)
			b.Listeners[0].Sticky = &Sticky{Duration: tc.duration}
			r.apply(b)
			r.healthy("lb", 3)
			ask, _, _ := asker(t, r)
			res, first := ask("/")
			set := res.Header["Set-Cookie"]
			if len(set) != 2 || !regexp.MustCompile(tc.want).MatchString(set[0]) {
				t.Fatalf("cookies %q", set)
			}
			if want := "AWSELBCORS" + strings.TrimPrefix(set[0], "AWSELB") + ";SECURE;SAMESITE=None"; set[1] != want {
				t.Errorf("got %s, want %s", set[1], want)
			}
			for range 6 {
				res, got := ask("/")
				if got != first || len(res.Header["Set-Cookie"]) > 0 {
					t.Errorf("went to %s with %q, want %s and nothing", got, res.Header["Set-Cookie"], first)
				}
			}
			// When it is out of service, another is chosen, and stays.
			r.serve(first+":8080", "")
			r.healthy("lb", 2)
			res, second := ask("/")
			if second == first || len(res.Header["Set-Cookie"]) != 2 {
				t.Errorf("went to %s with %q", second, res.Header["Set-Cookie"])
			}
			for range 4 {
				if _, got := ask("/"); got != second {
					t.Errorf("went to %s, want %s", got, second)
				}
			}
		})
	}
}

func TestApplicationCookie(t *testing.T) {
	r := newRig(t)
	b := web(naming(r, 3)...)
	b.Listeners[0].Sticky = &Sticky{AppCookie: "SESSION"}
	r.apply(b)
	r.healthy("lb", 3)
	ask, _, _ := asker(t, r)
	seen := map[string]bool{}
	for range 3 {
		res, got := ask("/")
		seen[got] = true
		if len(res.Header["Set-Cookie"]) > 0 {
			t.Errorf("cookies %q before the application has one", res.Header["Set-Cookie"])
		}
	}
	if len(seen) != 3 {
		t.Errorf("three requests without a cookie went to %v", seen)
	}
	res, first := ask("/login")
	set := res.Header["Set-Cookie"]
	if len(set) != 4 || !regexp.MustCompile(`^AWSELB=[0-9a-f]{64}; Path=/; HttpOnly; SameSite=Lax$`).MatchString(set[2]) ||
		!regexp.MustCompile(`^AWSELBCORS=[0-9a-f]{64}; Path=/; HttpOnly;SECURE;SAMESITE=None$`).MatchString(set[3]) {
		t.Errorf("cookies %q", set)
	}
	for range 6 {
		if _, got := ask("/"); got != first {
			t.Errorf("went to %s, want %s", got, first)
		}
	}
	ask("/logout")
	clear(seen)
	for range 6 {
		_, got := ask("/")
		seen[got] = true
	}
	if len(seen) != 3 {
		t.Errorf("after the session's end all went to %v", seen)
	}
}

func TestCookieEnds(t *testing.T) {
	k := &backend{cookie: cookieOf("lb", "i-1")}
	tg := &target{backend: k}
	ts := &targets{byCookie: map[string]*target{k.cookie: tg}}
	now := func() time.Time { return time.Unix(1000, 0) }
	lasting, session := &Sticky{Duration: time.Minute}, &Sticky{}
	for _, tc := range []struct {
		s     *Sticky
		value string
		want  *target
	}{
		{session, k.cookie, tg},
		{session, k.cookie + "3e9", tg},
		{session, cookieOf("lb", "i-2"), nil},
		{session, k.cookie[:63], nil},
		{session, "", nil},
		{lasting, k.cookie + "3e9", tg}, // 1001
		{lasting, k.cookie + "3e8", nil},
		{lasting, k.cookie, nil},
		{lasting, k.cookie + "zz", nil},
	} {
		if got := tc.s.decode([]byte(tc.value), ts, now); got != tc.want {
			t.Errorf("%v %s: %v", tc.s, tc.value, got)
		}
	}
}

// FuzzCookies holds stickiness to finding a backend only where the client sent its cookie, and to cookies
// that cannot hold anything else than what the application's had.
func FuzzCookies(f *testing.F) {
	k := &backend{cookie: cookieOf("lb", "i-1")}
	tg := &target{backend: k}
	tg.fresh = choice{tg, false}
	ts := &targets{byCookie: map[string]*target{k.cookie: tg}}
	f.Fuzz(func(t *testing.T, cookie, set []byte) {
		s := &Sticky{AppCookie: "SESSION"}
		req := &http1.Request{Header: http1.Header{Fields: []http1.Field{{Name: []byte("cookie"), Value: cookie}}}}
		found := s.find(req, ts)
		if found != nil && (!bytes.Contains(cookie, []byte("SESSION")) || !bytes.Contains(cookie, []byte("="+k.cookie))) {
			t.Errorf("%q led to a backend", cookie)
		}
		for _, plain := range []string{"SESSION=x; AWSELB=" + k.cookie, "AWSELBCORS=" + k.cookie + ";SESSION=", "a=b;SESSION=x;AWSELB=" + k.cookie + " "} {
			if string(cookie) == plain && found == nil {
				t.Errorf("%q led nowhere", cookie)
			}
		}
		res := &http1.Response{Header: http1.Header{Fields: []http1.Field{{Name: []byte("set-cookie"), Value: set}}}}
		attributes, ok := s.learn(res)
		if ok != (bytes.HasPrefix(bytes.TrimSpace(set), []byte("SESSION=")) || ok && bytes.Contains(set, []byte("SESSION"))) {
			t.Errorf("%q was understood: %v", set, ok)
		}
		if len(attributes) > 0 && (attributes[0] != ';' || !bytes.HasSuffix(set, attributes)) {
			t.Errorf("%q has the attributes %q", set, attributes)
		}
		if cross := crossSite(attributes); !bytes.HasSuffix(cross, []byte(";SECURE;SAMESITE=None")) || bytes.Count(bytes.ToLower(cross), []byte(";samesite=")) != 1 {
			t.Errorf("%q becomes %q", attributes, cross)
		}
	})
}
