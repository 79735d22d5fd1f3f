// Package api describes the AWS APIs that the region speaks: for each service
// a package below this one, generated from AWS's machine-readable models, with
// the requests and responses as plain structs, the table of operations and the
// interface that a service implements. This package holds what those tables
// are made of. Nothing here knows how a request travels (that is package wire)
// or what it does (that is the service).
//
// To add an operation, add its line to operations.txt, run go generate, and
// write the method that the compiler then asks for. Names that the frozen
// models lack are in overlay/<service>.json, in the models' own format.
//
// # How values are represented
//
// A member that is absent is the zero value, and only then: scalars and
// structures are pointers, lists, maps and blobs are nil (an empty one is
// present and empty), enumerations are strings whose "" is absent. Elements of
// lists and maps are plain values. Timestamps are time.Time, which the
// protocols carry in milliseconds.
//
// Field tags `aws:"name,option,..."` carry what the protocols need:
//
//	name                 the member's name in JSON and XML (default: the field's)
//	q=NAME               its name in ec2Query (default: the name with a capital)
//	item=N key=N value=N names of XML elements (default: member, key, value)
//	flat                 list or map without an element of its own
//	uri query header headers status payload   where restJson1 and restXml put it
//	ts=iso8601|unix|http a timestamp's format, where it is not the protocol's own
//	req                  must be present in a request
//	token                idempotency token, which clients fill in by themselves
package api

//go:generate go run ./gen

import (
	"context"
	"errors"
	"fmt"
	"reflect"
	"strings"
)

// Protocol names one of AWS's wire protocols.
type Protocol string

// The protocols, by the names that Smithy gives them.
const (
	AWSQuery  Protocol = "awsQuery"
	EC2Query  Protocol = "ec2Query"
	RestXML   Protocol = "restXml"
	RestJSON1 Protocol = "restJson1"
	AWSJSON10 Protocol = "awsJson1.0"
	AWSJSON11 Protocol = "awsJson1.1"
	RPCv2CBOR Protocol = "rpcv2Cbor"
)

// Service is what the model says about one service.
type Service struct {
	Name        string     // the package's name, "elb"
	ID          string     // AWS's serviceId, "Elastic Load Balancing"
	SigningName string     // in the credential scope of signatures
	Version     string     // the API's version, a date
	Namespace   string     // of XML documents
	Target      string     // prefix of X-Amz-Target, and the service in rpcv2Cbor paths
	Protocols   []Protocol // the first is the one of requests that do not tell
	Invalid     string     // code of the error for malformed or missing parameters; "" is the protocol's
	Operations  []Operation
	Errors      []ErrorType
	// Others lists the operations that AWS has and these tables lack, one per
	// line; those of REST protocols are followed by method and path.
	Others string
}

// Operation is one line of a service's table.
type Operation struct {
	Name   string
	Method string // HTTP method and path, for the REST protocols
	URI    string
	Status int    // HTTP status of success; 0 is 200
	Reply  string // element that holds the response in restXml and awsQuery ("" is none)
	Errors string // shapes of the errors that the model declares, separated by spaces
	// NoOutput says that the model has no output at all, which some protocols
	// write differently from an empty one.
	NoOutput bool

	Input, Output reflect.Type // of structs

	// Call calls the operation's method of h, which must implement the
	// service's Handler, with a pointer to Input. It returns a pointer to
	// Output, or an error.
	Call func(ctx context.Context, h, in any) (any, error)
}

// Bind completes op with the method of the handler interface H that serves it.
func Bind[H, I, O any](op Operation, method func(H, context.Context, *I) (*O, error)) Operation {
	op.Input, op.Output = reflect.TypeFor[I](), reflect.TypeFor[O]()
	op.Call = func(ctx context.Context, h, in any) (any, error) {
		out, err := method(h.(H), ctx, in.(*I))
		if err != nil {
			return nil, err
		}
		if out == nil {
			out = new(O)
		}
		return out, nil
	}
	return op
}

// Fault says whose fault an error is.
type Fault string

// The two sides of a call, as error documents name them.
const (
	Sender   Fault = "Sender"
	Receiver Fault = "Receiver"
)

// ErrorType is an error that a service's model declares.
type ErrorType struct {
	Shape   string // its name in the model, which JSON and CBOR carry
	Code    string // the code that the XML protocols carry
	Status  int    // HTTP
	Fault   Fault
	Message string // the name of the member that holds the text; "" is "message"
	// Detail is the struct with the further members, or nil if there are none.
	Detail reflect.Type
}

// New returns an error of the type with a text for the client.
func (t ErrorType) New(format string, args ...any) *Error {
	return &Error{
		Shape: t.Shape, Code: t.Code, Status: t.Status, Fault: t.Fault,
		Message: fmt.Sprintf(format, args...), MessageName: t.Message,
	}
}

// Is tells whether err is, or wraps, an error of the type.
func (t ErrorType) Is(err error) bool {
	return Code(err) == t.Code
}

// Error is a failed call as the client is told of it.
type Error struct {
	Code        string
	Message     string
	Status      int // HTTP; 0 is 400, or 500 when Fault is Receiver
	Fault       Fault
	Shape       string // "" is Code: EC2 and the common errors have no shapes
	MessageName string // "" is "message"
	// Detail points to a struct of the ErrorType's Detail, or is nil.
	Detail any
	// Cause is for the log. The client does not see it.
	Cause error
}

// Errorf returns an error that the models do not declare, as all of EC2's are.
func Errorf(status int, code, format string, args ...any) *Error {
	fault := Sender
	if status >= 500 {
		fault = Receiver
	}
	return &Error{Code: code, Status: status, Fault: fault, Message: fmt.Sprintf(format, args...)}
}

// With sets the error's further members, and returns it.
func (e *Error) With(detail any) *Error {
	e.Detail = detail
	return e
}

// Because sets what the log should say, and returns the error.
func (e *Error) Because(cause error) *Error {
	e.Cause = cause
	return e
}

func (e *Error) Error() string {
	if e.Cause != nil {
		return fmt.Sprintf("%s: %s: %v", e.Code, e.Message, e.Cause)
	}
	return e.Code + ": " + e.Message
}

func (e *Error) Unwrap() error { return e.Cause }

// Code is the error code that err gives to a client, or "" if it has none.
func Code(err error) string {
	if e, ok := errors.AsType[*Error](err); ok {
		return e.Code
	}
	return ""
}

// Val is what p points to, or the zero value.
func Val[T any](p *T) T {
	if p == nil {
		var zero T
		return zero
	}
	return *p
}

// Lookup finds an operation by its name, or returns nil.
func (s *Service) Lookup(name string) *Operation {
	for i := range s.Operations {
		if s.Operations[i].Name == name {
			return &s.Operations[i]
		}
	}
	return nil
}

// Absent are the operations that AWS has and the table lacks: names and, of the
// REST protocols, methods and paths.
func (s *Service) Absent() []Operation {
	var ops []Operation
	for line := range strings.Lines(s.Others) {
		switch f := strings.Fields(line); len(f) {
		case 1:
			ops = append(ops, Operation{Name: f[0]})
		case 3:
			ops = append(ops, Operation{Name: f[0], Method: f[1], URI: f[2]})
		}
	}
	return ops
}
