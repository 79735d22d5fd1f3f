package gateway

import (
	"bufio"
	"bytes"
	"context"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"reflect"
	"strings"
	"testing"

	"github.com/tarn-eks/tarn/internal/api"
	"github.com/tarn-eks/tarn/internal/policy"
)

// silent is a handler whose every operation answers with nothing, in place of
// those of a table.
func silent(s *api.Service) Service {
	out := *s
	out.Operations = append([]api.Operation(nil), s.Operations...)
	for i := range out.Operations {
		op := &out.Operations[i]
		op.Call = func(context.Context, any, any) (any, error) { return reflect.New(op.Output).Interface(), nil }
	}
	return Service{API: &out, Handler: lenient{}}
}

type lenient struct{}

func (lenient) Authorization(_ context.Context, operation string, _ any) ([]policy.Request, error) {
	return []policy.Request{{Action: "x:" + operation, Context: map[string][]string{"x:K": {"v"}}}}, nil
}

// FuzzServe sends any request, as it is and signed for a service: the gateway
// must answer, and no panic may be what it answers to.
func FuzzServe(f *testing.F) {
	var log bytes.Buffer
	var services []Service
	for _, s := range fakeServices() {
		services = append(services, silent(s.API))
	}
	fake := newFake(f, func(c *Config) {
		c.Services = services
		c.Logger = slog.New(slog.NewTextHandler(&log, nil))
	})
	for _, seed := range []struct{ raw, service string }{
		{"POST / HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/x-www-form-urlencoded\r\nContent-Length: 43\r\n\r\nAction=GetCallerIdentity&Version=2011-06-15", "sts"},
		{"POST / HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/x-www-form-urlencoded\r\nContent-Length: 61\r\n\r\nAction=RunInstances&MinCount=1&MaxCount=1&Version=2016-11-15", "ec2"},
		{"POST / HTTP/1.1\r\nHost: localhost\r\nX-Amz-Target: AmazonEC2ContainerRegistry_V20150921.DescribeRepositories\r\nContent-Length: 2\r\n\r\n{}", "ecr"},
		{"GET /clusters/c?x=%zz HTTP/1.1\r\nHost: localhost\r\n\r\n", "eks"},
		{"GET /_tarn/operations?all HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n", ""},
		{"GET /?X-Amz-Algorithm=AWS4-HMAC-SHA256&X-Amz-Credential=AKIAalice/20261123/ap-northeast-2/sts/aws4_request HTTP/1.1\r\nHost: h\r\n\r\n", ""},
		{"POST /service/x/operation/y HTTP/1.1\r\nHost: localhost\r\nSmithy-Protocol: rpc-v2-cbor\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\n\r\n", "s3"},
	} {
		f.Add([]byte(seed.raw), seed.service)
	}
	f.Fuzz(func(t *testing.T, raw []byte, service string) {
		r, err := http.ReadRequest(bufio.NewReader(bytes.NewReader(raw)))
		if err != nil || r.Method == http.MethodConnect {
			return
		}
		if service != "" && len(service) < 50 && !strings.ContainsAny(service, "/,= \t\r\n") {
			if r.URL.Host = r.Host; r.URL.Scheme == "" {
				r.URL.Scheme = "http"
			}
			body := new(bytes.Buffer)
			if _, err := body.ReadFrom(r.Body); err != nil {
				return
			}
			r.Body = struct {
				*bytes.Reader
				nopCloser
			}{Reader: bytes.NewReader(body.Bytes())}
			sign(t, r, "alice", service, region, noon)
		}
		log.Reset()
		w := httptest.NewRecorder()
		fake.ServeHTTP(w, r)
		if strings.Contains(log.String(), "panicked") {
			t.Fatalf("%s", log.String())
		}
		if w.Code == http.StatusInternalServerError {
			t.Errorf("%s\n%s", w.Body, log.String())
		}
		fake.trail.all = nil
	})
}

type nopCloser struct{}

func (nopCloser) Close() error { return nil }
