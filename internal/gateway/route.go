package gateway

import (
	"bytes"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"strings"

	"github.com/tarn-eks/tarn/internal/api"
	"github.com/tarn-eks/tarn/internal/sigv4"
	"github.com/tarn-eks/tarn/internal/wire"
)

// nowhere is a service that does not exist: it only lends its protocols to the
// error that says so.
func nowhere(rest api.Protocol) *service {
	return &service{Service: wire.New(wire.Config{API: &api.Service{
		Protocols: []api.Protocol{rest, api.RPCv2CBOR, api.AWSJSON11, api.AWSQuery},
	}}), maxBody: wire.DefaultMaxBody}
}

// route finds the service for a request: by the name in the credential scope, or
// for want of a signature by what else there is. Services that share a signing
// name also share their protocols; among is then all of them, and choose tells
// them apart once the body may be read.
func (g *Gateway) route(r *http.Request, claimed sigv4.Identity) (s *service, among []*service) {
	if claimed.Service == "" {
		s = g.guess(r)
		return s, nil
	}
	if among = g.signing[claimed.Service]; len(among) > 0 {
		return among[0], among
	}
	switch claimed.Service {
	case "s3", "s3-outposts", "s3express", "cloudfront", "route53":
		return g.elsewise.xml, nil
	}
	return g.elsewise.json, nil
}

// choose tells the services under one signing name apart by the version in the
// body.
func choose(among []*service, r *http.Request) (*service, error) {
	if len(among) == 1 {
		return among[0], nil
	}
	body, err := io.ReadAll(r.Body)
	if err != nil {
		return nil, err
	}
	r.Body = io.NopCloser(bytes.NewReader(body))
	wires := make([]*wire.Service, len(among))
	for i, s := range among {
		wires[i] = s.Service
	}
	chosen := wire.Choose(wires, r, body)
	for _, s := range among {
		if s.Service == chosen {
			return s, nil
		}
	}
	return among[0], nil
}

// guess finds the service of an unsigned request: by X-Amz-Target, the path of
// rpcv2Cbor, the host's name, the Version and Action of a form, the path of a
// REST protocol.
func (g *Gateway) guess(r *http.Request) *service {
	target, _, _ := strings.Cut(r.Header.Get("X-Amz-Target"), ".")
	for _, s := range g.services {
		if s.Target != "" && (s.Target == target || strings.HasPrefix(r.URL.Path, "/service/"+s.Target+"/operation/")) {
			return s
		}
	}
	if label, rest, ok := strings.Cut(hostname(r.Host), "."); ok && strings.Contains(rest, "amazonaws.com") {
		if label == "api" { // api.ecr.ap-northeast-2.amazonaws.com
			label, _, _ = strings.Cut(rest, ".")
		}
		if among := g.signing[label]; len(among) > 0 {
			return among[0]
		}
	}
	if form := peekForm(r); form.Has("Action") {
		for _, s := range g.services {
			if v := form.Get("Version"); v == s.Version && isQuery(s) || v == "" && isQuery(s) && s.Lookup(form.Get("Action")) != nil {
				return s
			}
		}
	}
	first, _, _ := strings.Cut(strings.TrimPrefix(r.URL.Path, "/"), "/")
	for _, s := range g.services {
		for i := range s.Operations {
			if op, _, _ := strings.Cut(strings.TrimPrefix(s.Operations[i].URI, "/"), "/"); op != "" && op == first {
				return s
			}
		}
	}
	return g.elsewise.json
}

func isQuery(s *service) bool {
	p := s.Protocols[len(s.Protocols)-1] // where there are several it is the oldest
	return p == api.AWSQuery || p == api.EC2Query
}

// maxPeek bounds the form that an unsigned request is known by, in bytes. A web
// identity token has some kilobytes.
const maxPeek = 128 << 10

// peekForm reads the parameters of the URL and of a form, and leaves the body to
// be read again.
func peekForm(r *http.Request) url.Values {
	form, err := url.ParseQuery(r.URL.RawQuery)
	if err != nil || form == nil {
		form = url.Values{}
	}
	if r.Method != http.MethodPost || !strings.HasPrefix(r.Header.Get("Content-Type"), "application/x-www-form-urlencoded") {
		return form
	}
	body, err := io.ReadAll(io.LimitReader(r.Body, maxPeek))
	r.Body = struct {
		io.Reader
		io.Closer
	}{io.MultiReader(bytes.NewReader(body), r.Body), r.Body}
	if err != nil {
		return form
	}
	more, _ := url.ParseQuery(string(body)) // what can be read of it
	for k, v := range more {
		form[k] = append(form[k], v...)
	}
	return form
}

// operationName tells what a request asks for, for the error and the trail, where
// the request itself is not to be read.
func operationName(s *service, r *http.Request) string {
	if _, name, ok := strings.Cut(r.Header.Get("X-Amz-Target"), "."); ok {
		return name
	}
	if _, name, ok := strings.Cut(r.URL.Path, "/operation/"); ok {
		return name
	}
	if p := s.Protocols[0]; s.handler != nil && (p == api.RestJSON1 || p == api.RestXML) {
		bare := *r
		bare.Body, bare.ContentLength = http.NoBody, 0
		if req, _ := s.Parse(&bare); req.Operation != "" {
			return req.Operation
		}
	} else if name := peekForm(r).Get("Action"); name != "" {
		return name
	}
	return r.Method + " " + r.URL.Path
}

// unknownService says which services there are.
func (g *Gateway) unknownService(signingName string) *api.Error {
	var names []string
	for _, s := range g.services {
		names = append(names, s.Name)
	}
	what := "Tarn cannot tell which AWS service this request is for"
	if signingName != "" {
		what = fmt.Sprintf("Tarn has no AWS service with the signing name %.64q", signingName)
	}
	return api.Errorf(http.StatusNotImplemented, "NotImplemented",
		"%s. It has %s. GET /_tarn/operations lists their operations.", what, strings.Join(names, ", "))
}

// hostname is a Host header without its port.
func hostname(host string) string {
	if name, _, err := net.SplitHostPort(host); err == nil {
		host = name
	}
	return strings.ToLower(strings.Trim(strings.TrimSuffix(host, "."), "[]"))
}
