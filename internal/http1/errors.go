package http1

import "errors"

// Error is why a message was refused.
type Error struct {
	Status int    // the answer to the client, if the message is a request
	Class  Class  // Ambiguous or Severe
	Reason string // in plain words, without anything of the message
}

func (e *Error) Error() string { return e.Reason }

// The reasons. Their classes are those of AWS's http-desync-guardian, where it
// knows the case.
var (
	errBareLF          = &Error{400, Severe, "a line ends in LF without CR"}
	errBareCR          = &Error{400, Severe, "CR without LF"}
	errControl         = &Error{400, Severe, "control character in a field"}
	errFolded          = &Error{400, Severe, "a field is folded over lines, or begins with space"}
	errSpaceInName     = &Error{400, Ambiguous, "space before the colon of a field"}
	errName            = &Error{400, Ambiguous, "the name of a field is not a token"}
	errNoColon         = &Error{400, Ambiguous, "a field line has no colon"}
	errSuspicious      = &Error{400, Ambiguous, "a field looks like Content-Length or Transfer-Encoding"}
	errLength          = &Error{400, Severe, "Content-Length is not a number"}
	errLengthTwice     = &Error{400, Ambiguous, "Content-Length is repeated"}
	errLengths         = &Error{400, Severe, "Content-Length has two values"}
	errCoding          = &Error{400, Severe, "Transfer-Encoding is not chunked"}
	errCodingIn10      = &Error{400, Ambiguous, "Transfer-Encoding in HTTP/1.0"}
	errLengthAndCoding = &Error{400, Ambiguous, "both Content-Length and Transfer-Encoding"}
	errFieldTooLong    = &Error{400, Severe, "a field is too long"}
	errTooManyFields   = &Error{400, Severe, "too many fields"}
	errHeadTooLong     = &Error{400, Severe, "the head is too long"}
	errTrailers        = &Error{400, Ambiguous, "Trailer names a field that frames a message"}
	errExpect          = &Error{417, Ambiguous, "Expect is not 100-continue"}

	errLineTooLong   = &Error{400, Severe, "the first line is too long"}
	errRequestLine   = &Error{400, Severe, "the request line is malformed"}
	errMethod        = &Error{400, Severe, "the method is not a token"}
	errMethodTooLong = &Error{405, Severe, "the method is longer than 127 characters"}
	errConnect       = &Error{400, Severe, "CONNECT is for forward proxies"}
	errVersion       = &Error{400, Severe, "the version is malformed"}
	errOtherVersion  = &Error{505, Severe, "the version is not HTTP/1.0 or HTTP/1.1"}
	errTarget        = &Error{400, Severe, "the target has characters that no URI has"}
	errTargetForm    = &Error{400, Severe, "the target is not a path"}
	errEscape        = &Error{400, Severe, "the target has a malformed escape"}
	errNoHost        = &Error{400, Severe, "no Host"}
	errHosts         = &Error{400, Severe, "Host is repeated"}
	errHost          = &Error{400, Severe, "Host is malformed"}
	errOtherHost     = &Error{400, Ambiguous, "Host is not that of the target"}

	errStatusLine = &Error{502, Severe, "the status line is malformed"}
	errSwitch     = &Error{502, Severe, "the response switches protocols unasked"}
	errInterim    = &Error{502, Severe, "too many interim responses"}

	errChunkSize = &Error{400, Severe, "the size of a chunk is malformed"}
	errChunkExt  = &Error{400, Severe, "extensions of chunks are too long"}
	errChunkEnd  = &Error{400, Severe, "a chunk is longer than its size"}
	errTrailer   = &Error{400, Severe, "the trailers are too long"}
)

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
