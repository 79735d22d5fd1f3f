// Package http1 reads HTTP/1.0 and HTTP/1.1 strictly and forwards the requests
// of a client's connection to kept connections of backends (RFC 9110, RFC 9112).
// It is the mechanism of a load balancer and nothing of its policy: who is a
// backend, which is chosen, what is counted and logged is for a Director to
// say. Listeners, TLS and AWS may not enter.
//
// Messages are read in place: names and values point into the connection's
// buffer. What two parties could read in two ways is refused, not repaired.
package http1

// Field is a field line of a message. It points into the buffer that was
// parsed.
type Field struct {
	Name, Value []byte
	kind        kind
	// drop: this package does not forward it. deleted: the Director does not.
	drop, deleted bool
}

// Framing is how the end of a message's body is known.
type Framing uint8

// How a body ends.
const (
	NoBody     Framing = iota // there is none
	Length                    // Content-Length
	Chunked                   // Transfer-Encoding: chunked
	UntilClose                // of responses only: the end of the connection
)

// Class is how far a request is from what the RFCs allow, in the words of AWS's
// desync mitigation mode (github.com/aws/http-desync-guardian). A request that
// ParseRequest accepts is Compliant or Acceptable, or Ambiguous if it is a GET or
// HEAD with a body: after that one both connections are closed. All else that is
// Ambiguous or Severe is an Error.
type Class uint8

// From the best to the worst.
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
