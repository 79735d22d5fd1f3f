// Package wire speaks AWS's wire protocols on the server's side: it reads
// requests into the structs of package api and writes responses and errors, as
// AWS does, driven by the tables there. It knows no service by name (but for
// one document of Route 53), checks no signature and no permission, and calls
// no handler: the gateway does, between Parse and WriteOutput.
package wire

import (
	"compress/gzip"
	"errors"
	"fmt"
	"io"
	"net/http"
	"reflect"
	"strings"

	"github.com/tarn-eks/tarn/internal/api"
)

// DefaultMaxBody bounds the bodies of requests, in bytes, where Config does not
// say it. ECR's UploadLayerPart needs more: 20 MiB in base64.
const DefaultMaxBody = 1 << 20

// Config says what a Service speaks for.
type Config struct {
	API *api.Service
	// MaxBody bounds a request's body, before and after decompression, and
	// also what its values may take in memory; in bytes. 0 is DefaultMaxBody.
	MaxBody int64
}

// Service reads the requests for one AWS service. It is safe for concurrent use.
type Service struct {
	*api.Service
	maxBody    int64
	operations map[string]*operation
	absent     map[string]bool // operations that AWS has and the table lacks
	routes     []route         // of the REST protocols
}

// operation is a table's line with the shapes it needs.
type operation struct {
	*api.Operation
	in, out *shape
}

// Request is a request that Parse has read.
type Request struct {
	Protocol Protocol
	// Operation is the name of the operation, as far as Parse could tell it.
	Operation string
	// Op is the operation, or nil if the table lacks it.
	Op *api.Operation
	// Input points to the operation's input.
	Input any
}

// New returns a Service. It panics on a table that the protocols cannot carry,
// which the tests of package api exclude.
func New(c Config) *Service {
	s := &Service{
		Service: c.API, maxBody: c.MaxBody,
		operations: map[string]*operation{}, absent: map[string]bool{},
	}
	if s.maxBody == 0 {
		s.maxBody = DefaultMaxBody
	}
	for i := range c.API.Operations {
		op := &c.API.Operations[i]
		s.operations[op.Name] = &operation{op, shapeOf(op.Input), shapeOf(op.Output)}
		s.routes = append(s.routes, newRoute(op.Name, op.Method, op.URI))
	}
	for _, e := range c.API.Errors {
		if e.Detail != nil {
			shapeOf(e.Detail)
		}
	}
	for _, op := range c.API.Absent() {
		s.absent[op.Name] = true
		s.routes = append(s.routes, newRoute(op.Name, op.Method, op.URI))
	}
	return s
}

// Detect tells the protocol of a request from its headers alone: enough to
// write an error.
func (s *Service) Detect(r *http.Request) Protocol {
	p := Protocol{name: s.Protocols[0], service: s}
	contentType := r.Header.Get("Content-Type")
	for _, name := range s.Protocols {
		match := false
		switch name {
		case api.RPCv2CBOR:
			match = r.Header.Get("Smithy-Protocol") == "rpc-v2-cbor"
		case api.AWSJSON10, api.AWSJSON11:
			match = r.Header.Get("X-Amz-Target") != ""
		case api.AWSQuery, api.EC2Query:
			match = strings.HasPrefix(contentType, "application/x-www-form-urlencoded") || r.URL.Query().Has("Action")
		}
		if match {
			p.name = name
			break
		}
	}
	p.queryMode = r.Header.Get("X-Amzn-Query-Mode") == "true"
	return p
}

// Parse reads a request. Its error is an *api.Error, for Protocol.WriteError;
// the Request is then as complete as it could be read, never nil. An operation
// that AWS has and the table lacks gives status 501.
func (s *Service) Parse(r *http.Request) (*Request, error) {
	p := s.Detect(r)
	req := &Request{Protocol: p}
	body, err := s.readBody(r)
	if err != nil {
		return req, err
	}
	m := message{Request: r, body: body}
	if req.Operation, err = p.operation(&m); err != nil {
		return req, p.fail(malformed, "%v", err)
	}
	if v := formValue(m.form, "Version"); p.name == api.AWSQuery && v != "" && v != s.Version {
		// Another API under the same name: version 2015-12-01 of ELB has Network Load Balancers.
		return req, api.Errorf(http.StatusNotImplemented, "NotImplemented",
			"Tarn has %s in version %s only, and no operation %s of version %s. GET /_tarn/operations lists what it has.",
			s.ID, s.Version, shorten(req.Operation), shorten(v))
	}
	op := s.operations[req.Operation]
	if op == nil {
		if s.absent[req.Operation] {
			return req, api.Errorf(http.StatusNotImplemented, "NotImplemented",
				"The operation %s of %s exists in AWS but not in Tarn. GET /_tarn/operations lists those that Tarn has.",
				req.Operation, s.ID)
		}
		return req, p.unknownOperation(r, req.Operation)
	}
	req.Op = op.Operation
	in := reflect.New(op.Input)
	if err := p.read(&m, op, in.Elem()); err != nil {
		return req, p.fail(malformed, "%v", err)
	}
	if missing := missingMembers(in.Elem(), op.in, "", nil); len(missing) > 0 {
		return req, p.missing(missing)
	}
	req.Input = in.Interface()
	return req, nil
}

// message is a request on its way through a protocol.
type message struct {
	*http.Request
	body   []byte
	form   []param  // of the query protocols
	labels []string // of the REST protocols: values in the path
	route  *route
}

func (s *Service) readBody(r *http.Request) ([]byte, error) {
	if r.Body == nil {
		return nil, nil
	}
	tooLarge := api.Errorf(http.StatusRequestEntityTooLarge, "RequestEntityTooLargeException",
		"The request is larger than %d bytes.", s.maxBody)
	if r.ContentLength > s.maxBody {
		return nil, tooLarge
	}
	// The server has taken off transfer encodings; some clients compress the content.
	in := io.LimitReader(r.Body, s.maxBody+1)
	if strings.EqualFold(r.Header.Get("Content-Encoding"), "gzip") {
		z, err := gzip.NewReader(in)
		if err != nil {
			return nil, api.Errorf(http.StatusBadRequest, "SerializationException", "The body is not in gzip format.")
		}
		in = io.LimitReader(z, s.maxBody+1)
	}
	body, err := io.ReadAll(in)
	switch {
	case int64(len(body)) > s.maxBody:
		return nil, tooLarge
	case errors.Is(err, gzip.ErrHeader), errors.Is(err, gzip.ErrChecksum):
		return nil, api.Errorf(http.StatusBadRequest, "SerializationException", "The body is not in gzip format.")
	case err != nil:
		return nil, api.Errorf(http.StatusBadRequest, "IncompleteBody", "The request's body could not be read.").Because(err)
	}
	return body, nil
}

// missingMembers appends the paths of required members that are absent in v.
func missingMembers(v reflect.Value, s *shape, path string, missing []string) []string {
	const enough = 10
	if path != "" {
		path += "."
	}
	for i := range s.fields {
		f := &s.fields[i]
		if len(missing) == enough {
			break
		}
		v, ok := present(v.Field(f.index))
		if !ok {
			if f.required {
				missing = append(missing, path+f.query)
			}
			continue
		}
		switch {
		case f.kind == kindStruct:
			missing = missingMembers(v, f.shape, path+f.query, missing)
		case f.kind == kindList && f.elem.kind == kindStruct:
			for j := range v.Len() {
				missing = missingMembers(v.Index(j), f.elem, fmt.Sprintf("%s%s.%d", path, f.query, j+1), missing)
			}
		}
	}
	return missing
}
