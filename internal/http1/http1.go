// Package http1 reads HTTP/1.0 and HTTP/1.1 strictly and forwards the requests
// of a client's connection to kept connections of backends (RFC 9110, RFC 9112).
// It is the mechanism of a load balancer and nothing of its policy: who is a
// backend, which is chosen, what is counted and logged is for a Director to
// say. Listeners, TLS and AWS may not enter.
//
// Messages are read in place: names and values point into the connection's
// buffer. What two parties could read in two ways is refused, not repaired.
package http1

import "errors"

// Field is a field line of a message. It points into the buffer that was
// parsed.
type Field struct {
	Name, Value []byte
	kind        kind
	drop        bool // not forwarded
}

// Framing is how the end of a message's body is known.
type Framing uint8

const (
	NoBody     Framing = iota // there is none
	Length                    // Content-Length
	Chunked                   // Transfer-Encoding: chunked
	UntilClose                // of responses only: the end of the connection
)

// Class is how far a request is from what the RFCs allow, in the words of AWS's
// desync mitigation mode. ParseRequest accepts Compliant and Acceptable ones.
// The errors of all others say how bad they are.
type Class uint8

const (
	Compliant  Class = iota
	Acceptable       // against the letter of the RFCs, and no known risk
	Ambiguous        // parties may read it in different ways
	Severe           // looks like smuggling
)

func (c Class) String() string {
	return [...]string{"Compliant", "Acceptable", "Ambiguous", "Severe"}[c]
}

// Limits bound the head of a message, in bytes and in number of fields. What is
// zero has the value of a Classic Load Balancer.
type Limits struct {
	RequestLine int // 16 KiB; of a response, the status line
	Field       int // one field line: 16 KiB
	Head        int // all of it: 64 KiB
	Fields      int // 256
}

func (l *Limits) defaults() {
	for _, d := range []struct {
		v   *int
		def int
	}{{&l.RequestLine, 16 << 10}, {&l.Field, 16 << 10}, {&l.Head, 64 << 10}, {&l.Fields, 256}} {
		if *d.v <= 0 {
			*d.v = d.def
		}
	}
}

// Error is why a message was refused.
type Error struct {
	Status int    // the answer to the client, if the message is a request
	Class  Class  // Ambiguous or Severe
	Reason string // in plain words, without anything of the message
}

func (e *Error) Error() string { return e.Reason }

// What ends an exchange before its time: Exchange.Cause is one of these, wraps
// one of these, or is an *Error of the request.
var (
	ErrClientTimeout   = errors.New("the client did not send the request in time")
	ErrClientAborted   = errors.New("the client closed the connection before it had the whole response")
	ErrBackendConnect  = errors.New("connect to backend")
	ErrBackendClosed   = errors.New("the backend closed the connection before the response was complete")
	ErrBackendTimeout  = errors.New("the backend did not answer in time")
	ErrBackendResponse = errors.New("the backend's response is malformed")
	ErrRefused         = errors.New("no backend was chosen")
	ErrClosed          = errors.New("the server is closed")
)
