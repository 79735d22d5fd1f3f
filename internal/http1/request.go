package http1

// Request is the head of a request. All slices point into the buffer that was
// parsed.
type Request struct {
	Method []byte
	// Target is as received: origin-form, absolute-form or "*".
	Target []byte
	// Path is the target as it is forwarded: in origin-form, or "*".
	Path []byte
	// Host is the Host field's value or, of a target in absolute-form, its
	// authority. HTTP/1.0 requests may have none.
	Host  []byte
	Minor int // of the version: 0 or 1
	Header
	Body    Framing
	Length  int64 // of Body Length
	Close   bool  // the client wants no other request on this connection
	Expect  bool  // Expect: 100-continue
	Upgrade []byte
	Class   Class // Compliant or Acceptable
}

// ParseRequest reads the head of a request at the start of buf. It returns the
// number of its bytes, or 0 if more bytes are needed, or an *Error. The slices
// of r.Fields are reused.
func ParseRequest(buf []byte, r *Request, l Limits) (int, error) { panic("todo") }
