// Package wiretest lets tests call a service with AWS's own clients.
package wiretest

import (
	"bytes"
	"io"
	"net/http"
	"net/http/httptest"
	"testing"

	"github.com/aws/aws-sdk-go-v2/aws"

	"github.com/tarn-eks/tarn/internal/wire"
)

// Serve serves a service over HTTP until the test ends. The configuration is for
// clients of it, which send no signatures and try nothing again.
func Serve(t testing.TB, cfg wire.Config, service any, region string) aws.Config {
	t.Helper()
	protocol := wire.New(cfg)
	return Endpoint(t, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		req, err := protocol.Parse(r)
		if err == nil {
			var out any
			if out, err = req.Op.Call(r.Context(), service, req.Input); err == nil {
				err = req.Protocol.WriteOutput(w, req.Op, out, "request")
			}
		}
		if err != nil {
			_ = req.Protocol.WriteError(w, err, "request")
		}
	}), region)
}

// Endpoint serves a handler until the test ends, for clients as Serve has them.
func Endpoint(t testing.TB, handler http.Handler, region string) aws.Config {
	t.Helper()
	server := httptest.NewServer(handler)
	t.Cleanup(server.Close)
	return aws.Config{
		Region: region, BaseEndpoint: &server.URL, Credentials: aws.AnonymousCredentials{}, HTTPClient: whole{server.Client()},
		Retryer: func() aws.Retryer { return aws.NopRetryer{} },
	}
}

// whole is a client that has read a response before it returns it. The SDK closes
// the request's body then, and if net/http is about to see whether that has ended,
// it closes the connection, with the rest of a long response.
type whole struct{ *http.Client }

func (c whole) Do(r *http.Request) (*http.Response, error) {
	resp, err := c.Client.Do(r)
	if err != nil {
		return nil, err
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	resp.Body = io.NopCloser(bytes.NewReader(body))
	return resp, err
}
