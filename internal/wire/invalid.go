package wire

import (
	"fmt"
	"net/http"
	"strings"

	"github.com/tarn-eks/tarn/internal/api"
)

// problem is what a protocol finds wrong with a request.
type problem uint8

const (
	malformed problem = iota
	missing
)

// codes are the errors with which AWS's services answer, by protocol.
var codes = map[api.Protocol][2]string{
	api.AWSQuery:  {malformed: "MalformedInput", missing: "ValidationError"},
	api.EC2Query:  {malformed: "InvalidParameterValue", missing: "MissingParameter"},
	api.RestXML:   {malformed: "InvalidInput", missing: "InvalidInput"},
	api.RestJSON1: {malformed: "SerializationException", missing: "ValidationException"},
	api.AWSJSON10: {malformed: "SerializationException", missing: "ValidationException"},
	api.AWSJSON11: {malformed: "SerializationException", missing: "ValidationException"},
	api.RPCv2CBOR: {malformed: "SerializationException", missing: "ValidationException"},
}

func (p Protocol) fail(what problem, format string, args ...any) *api.Error {
	code := codes[p.name][what]
	if what == missing && p.service.Invalid != "" {
		code = p.service.Invalid
	}
	return p.service.declared(http.StatusBadRequest, code, fmt.Sprintf(format, args...))
}

// declared is an error with a code, of the type that the model has for the
// code, if it has one.
func (s *Service) declared(status int, code, text string) *api.Error {
	for _, t := range s.Errors {
		if t.Code == code || t.Shape == code {
			return t.New("%s", text)
		}
	}
	return api.Errorf(status, code, "%s", text)
}

// missing says which required members a request lacks.
func (p Protocol) missing(paths []string) *api.Error {
	if p.name == api.EC2Query {
		return p.fail(missing, "The request must contain the parameter %s", paths[0])
	}
	errors := "errors"
	if len(paths) == 1 {
		errors = "error"
	}
	var each []string
	for _, path := range paths {
		each = append(each, fmt.Sprintf("Value null at '%s' failed to satisfy constraint: Member must not be null",
			strings.ToLower(path[:1])+path[1:]))
	}
	return p.fail(missing, "%d validation %s detected: %s", len(paths), errors, strings.Join(each, "; "))
}

func (p Protocol) unknownOperation(r *http.Request, name string) *api.Error {
	switch p.name {
	case api.AWSQuery, api.EC2Query:
		switch {
		case name == "":
			return api.Errorf(http.StatusBadRequest, "MissingAction", "The request must contain the parameter Action.")
		case p.name == api.EC2Query:
			return api.Errorf(http.StatusBadRequest, "InvalidAction", "The action %s is not valid for this web service.", shorten(name))
		}
		return api.Errorf(http.StatusBadRequest, "InvalidAction", "Could not find operation %s for version %s",
			shorten(name), p.service.Version)
	case api.RestJSON1, api.RestXML:
		return api.Errorf(http.StatusNotFound, "UnknownOperationException", "%s has no operation for %s %s.",
			p.service.ID, r.Method, shorten(r.URL.Path))
	}
	return api.Errorf(http.StatusBadRequest, "UnknownOperationException", "%s has no operation %q.", p.service.ID, shorten(name))
}
