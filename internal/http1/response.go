package http1

// Response is the head of a response. All slices point into the buffer that was
// parsed.
type Response struct {
	Status int
	Reason []byte
	Minor  int // of the version: 0 or 1
	Header
	Body    Framing
	Length  int64 // of Body Length
	Close   bool  // the backend takes no other request on this connection
	Upgrade []byte
}

// ParseResponse reads the head of a response to a request with that method at
// the start of buf. It returns the number of its bytes, or 0 if more bytes are
// needed, or an *Error.
func ParseResponse(buf []byte, r *Response, method []byte, l Limits) (int, error) { panic("todo") }
