package gateway

import (
	"context"
	"encoding/json"
	"errors"
	"net/http/httptest"
	"strings"
	"testing"
	"time"
)

func TestDoor(t *testing.T) {
	var wiped int
	f := newFake(t, nil)
	waiting := newFake(t, func(c *Config) { c.Ready = func() error { return errors.New("waiting for etcd") } })
	open := newFake(t, func(c *Config) {
		c.Reset = func(context.Context) error { wiped++; return nil }
		c.Hosts = []string{"tarn.test"}
	})
	broken := newFake(t, func(c *Config) { c.Reset = func(context.Context) error { return errors.New("stuck") } })
	for _, c := range []struct {
		name         string
		f            *fake
		method, url  string
		header       string // name: value
		status       int
		text, absent string // in the body
	}{
		{"welcome", f, "GET", "http://127.0.0.1:4566/", "", 200, "aws sts get-caller-identity", "<"},
		{"welcome in a browser", f, "GET", "http://localhost:4566/", "Sec-Fetch-Site: none", 200, `eval "$(tarn env)"`, ""},
		{"health", f, "GET", "http://127.0.0.1:4566/_tarn/health", "", 200, `"status":"running"`, "message"},
		{"health at the start", waiting, "GET", "http://127.0.0.1:4566/_tarn/health", "", 503, "waiting for etcd", "running"},
		{"operations", f, "GET", "http://127.0.0.1:4566/_tarn/operations", "", 200, `"DescribeInstances"`, "absent"},
		{"all operations", f, "GET", "http://127.0.0.1:4566/_tarn/operations?all", "", 200, `"absent": [`, ""},
		{"reset, not allowed", f, "POST", "http://127.0.0.1:4566/_tarn/reset", "", 403, "--allow-reset", ""},
		{"reset by GET", open, "GET", "http://127.0.0.1:4566/_tarn/reset", "", 404, "POST /_tarn/reset", ""},
		{"reset by a page", open, "POST", "http://127.0.0.1:4566/_tarn/reset", "Origin: https://evil.example", 403, "other origins", ""},
		{"reset by a page on this machine", open, "POST", "http://127.0.0.1:4566/_tarn/reset", "Origin: http://127.0.0.1:3000", 403, "other origins", ""},
		{"reset by a page, newer browser", open, "POST", "http://127.0.0.1:4566/_tarn/reset", "Sec-Fetch-Site: cross-site", 403, "other origins", ""},
		{"reset by rebinding", open, "POST", "http://evil.example:4566/_tarn/reset", "Origin: http://evil.example:4566", 403, "evil.example", ""},
		{"reset", open, "POST", "http://127.0.0.1:4566/_tarn/reset", "", 200, "reset", ""},
		{"reset by a name of ours", open, "POST", "http://tarn.test:4566/_tarn/reset", "", 200, "reset", ""},
		{"reset that fails", broken, "POST", "http://127.0.0.1:4566/_tarn/reset", "", 500, "stuck", ""},
		{"nothing there", f, "GET", "http://127.0.0.1:4566/_tarn/secrets", "", 404, "/_tarn/health", ""},
		{"nothing there, either", f, "GET", "http://127.0.0.1:4566/_tarn", "", 404, "/_tarn/health", ""},
		{"a call by rebinding", f, "POST", "http://evil.example/", "", 403, "evil.example", ""},
		{"a preflight", f, "OPTIONS", "http://127.0.0.1:4566/", "Origin: https://evil.example", 204, "", ""},
		{"a name of AWS", f, "GET", "http://iam.amazonaws.com/", "", 200, "Tarn", ""},
		{"a name within the VPC", f, "GET", "http://ip-192-168-1-1.ap-northeast-2.compute.internal/", "", 200, "Tarn", ""},
		{"IPv6", f, "GET", "http://[::1]:4566/", "", 200, "Tarn", ""},
		{"a name that ends like AWS's", f, "GET", "http://evilamazonaws.com/", "", 403, "evil", ""},
	} {
		r := httptest.NewRequest(c.method, c.url, nil)
		if name, value, ok := strings.Cut(c.header, ": "); ok {
			r.Header.Set(name, value)
		}
		w := httptest.NewRecorder()
		c.f.ServeHTTP(w, r)
		body := w.Body.String()
		if w.Code != c.status || !strings.Contains(body, c.text) || c.absent != "" && strings.Contains(body, c.absent) {
			t.Errorf("%s: %d %s", c.name, w.Code, body)
		}
		for h := range w.Header() {
			if strings.HasPrefix(h, "Access-Control") {
				t.Errorf("%s: header %s lets web pages in", c.name, h)
			}
		}
	}
	if wiped != 2 {
		t.Errorf("reset %d times instead of twice", wiped)
	}
}

func TestOneResetAtATime(t *testing.T) {
	began, end := make(chan bool), make(chan bool)
	f := newFake(t, func(c *Config) {
		c.Reset = func(context.Context) error { began <- true; <-end; return nil }
	})
	done := make(chan int)
	for range 2 {
		go func() {
			status, _ := f.do(httptest.NewRequest("POST", "http://127.0.0.1/_tarn/reset", nil))
			done <- status
		}()
	}
	<-began
	select {
	case <-began:
		t.Error("two at once")
	case status := <-done:
		t.Errorf("one did not wait: %d", status)
	case <-time.After(50 * time.Millisecond): // an absence can only be waited for
	}
	for n := range 2 {
		if n > 0 {
			<-began
		}
		end <- true
		if status := <-done; status != 200 {
			t.Errorf("status %d", status)
		}
	}
}

func TestOperationsDocument(t *testing.T) {
	_, body := newFake(t, nil).do(httptest.NewRequest("GET", "http://127.0.0.1/_tarn/operations?all", nil))
	var got struct {
		Services []struct {
			Name, SigningName, Version    string
			Protocols, Operations, Absent []string
		}
	}
	if err := json.Unmarshal([]byte(body), &got); err != nil {
		t.Fatal(err)
	}
	s := got.Services[len(got.Services)-1]
	if s.Name != "sts" || s.Version != "2011-06-15" || s.Protocols[0] != "awsQuery" ||
		!strings.Contains(strings.Join(s.Operations, " "), "GetCallerIdentity") || !strings.Contains(strings.Join(s.Absent, " "), "GetFederationToken") {
		t.Errorf("sts: %+v", s)
	}
}
