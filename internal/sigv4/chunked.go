package sigv4

import (
	"bufio"
	"bytes"
	"crypto/sha256"
	"crypto/subtle"
	"encoding/hex"
	"errors"
	"io"
	"net/http"
	"strings"
)

const (
	// maxChunk is the largest chunk held in memory to be checked, in bytes. SDKs send
	// 64 to 128 KiB.
	maxChunk = 8 << 20
	// maxLine limits a chunk's header and each trailer, in bytes.
	maxLine = 4096
	// maxTrailers limits the number of trailers.
	maxTrailers = 16

	trailerSignature = "x-amz-trailer-signature"
)

// chunkedReader decodes an aws-chunked body. With a signed stream no byte of a chunk is
// given out before the chunk's signature was found to be right.
//
// https://docs.aws.amazon.com/AmazonS3/latest/API/sigv4-streaming.html
// https://docs.aws.amazon.com/AmazonS3/latest/API/sigv4-streaming-trailers.html
type chunkedReader struct {
	in       *bufio.Reader
	closer   io.Closer
	req      *http.Request // gets the trailers
	claim    *claim
	key      signingKey
	signed   bool
	trailers bool

	previous string // the signature before, hexadecimal
	chunk    bytes.Buffer
	left     int64 // decoded bytes still to come
	err      error // sticky; io.EOF at the end
}

func newChunkedReader(r *http.Request, c *claim, key signingKey, p *payload) *chunkedReader {
	return &chunkedReader{
		in: bufio.NewReaderSize(r.Body, maxLine), closer: r.Body, req: r, claim: c, key: key,
		signed:   p.hash != streamUnsignedTrailer,
		trailers: p.hash != streamSigned,
		previous: c.signature,
		left:     p.decoded,
	}
}

func (r *chunkedReader) Read(p []byte) (int, error) {
	if len(p) == 0 {
		return 0, nil
	}
	for r.chunk.Len() == 0 {
		if r.err != nil {
			return 0, r.err
		}
		if err := r.next(); err != nil {
			r.chunk.Reset()
			r.err = err
		}
	}
	return r.chunk.Read(p)
}

func (r *chunkedReader) Close() error { return r.closer.Close() }

// next reads and checks one chunk into r.chunk; io.EOF after the last one.
func (r *chunkedReader) next() error {
	line, err := r.line()
	if err != nil {
		return err
	}
	size, signature, err := parseChunkHeader(line, r.signed)
	if err != nil {
		return err
	}
	switch {
	case size > maxChunk:
		return refuse(BodyTooLarge, "A chunk of the body is too large")
	case size > r.left:
		return refuse(BadBody, "The body is longer than its x-amz-decoded-content-length")
	}
	r.chunk.Reset()
	if _, err := io.CopyN(&r.chunk, r.in, size); err != nil {
		return r.broken(err)
	}
	if r.signed {
		if err := r.verifyChunk(signature); err != nil {
			return err
		}
	}
	r.left -= size
	if size > 0 {
		return r.crlf()
	}
	if r.left > 0 {
		return refuse(BadBody, "You did not provide the number of bytes specified by the x-amz-decoded-content-length HTTP header")
	}
	if !r.trailers {
		if err := r.crlf(); err != nil {
			return err
		}
	} else if err := r.readTrailers(); err != nil {
		return err
	}
	if _, err := r.in.ReadByte(); !errors.Is(err, io.EOF) {
		return refuse(BadBody, "The body goes on after its last chunk")
	}
	return io.EOF
}

func (r *chunkedReader) verifyChunk(signature string) error {
	sum := sha256.Sum256(r.chunk.Bytes())
	return r.verify("AWS4-HMAC-SHA256-PAYLOAD", emptyHash+"\n"+hex.EncodeToString(sum[:]), signature)
}

// verify checks one link of the chain of signatures.
func (r *chunkedReader) verify(kind, hashes, signature string) error {
	b := buffers.Get().(*buffer)
	defer buffers.Put(b)
	b.reset()
	b.add(kind, "\n", r.claim.stamp, "\n")
	b.scope(r.claim)
	b.add("\n", r.previous, "\n", hashes)
	var want [64]byte
	r.key.signHex(&want, b.bytes)
	if subtle.ConstantTimeCompare(want[:], []byte(signature)) != 1 {
		e := refuse(BadSignature, "")
		e.StringToSign = string(b.bytes)
		return e
	}
	r.previous = signature
	return nil
}

// readTrailers reads the headers after the last chunk and puts them into the request's
// Trailer. Those of a signed stream end with their own signature.
func (r *chunkedReader) readTrailers() error {
	var canonical strings.Builder
	trailer := http.Header{}
	signature := ""
	for n := 0; ; n++ {
		line, err := r.line()
		if err != nil {
			return err
		}
		if line == "" {
			if signature != "" || !r.signed {
				break
			}
			// Some clients separate the signature from the trailers by an empty line.
			if line, err = r.line(); err != nil {
				return err
			}
		}
		if n == maxTrailers {
			return refuse(BadBody, "The body has too many trailers")
		}
		name, value, ok := strings.Cut(line, ":")
		name = strings.ToLower(strings.TrimSpace(name))
		value = strings.TrimSpace(value)
		if !ok || name == "" {
			return refuse(BadBody, "The request contained trailing data that was not well-formed")
		}
		if name == trailerSignature {
			signature = value
			continue
		}
		if signature != "" {
			return refuse(BadBody, "A trailer follows the trailers' signature")
		}
		canonical.WriteString(name + ":" + value + "\n")
		trailer.Add(name, value)
	}
	if r.signed {
		sum := sha256.Sum256([]byte(canonical.String()))
		if err := r.verify("AWS4-HMAC-SHA256-TRAILER", hex.EncodeToString(sum[:]), signature); err != nil {
			return err
		}
	}
	r.req.Trailer = trailer
	return nil
}

// line reads up to CRLF and returns what is before it. At the very end of the body the
// CRLF of an empty line may be missing.
func (r *chunkedReader) line() (string, error) {
	b, err := r.in.ReadSlice('\n')
	switch {
	case errors.Is(err, bufio.ErrBufferFull):
		return "", refuse(BadBody, "A line of the body's framing is too long")
	case errors.Is(err, io.EOF) && len(b) == 0 && r.trailers && r.left == 0:
		return "", nil
	case err != nil:
		return "", r.broken(err)
	}
	s, ok := strings.CutSuffix(string(b), "\r\n")
	if !ok {
		// Trailers end in a bare line feed with some clients.
		if s = strings.TrimSuffix(string(b), "\n"); !r.trailers {
			return "", refuse(BadBody, "A line of the body's framing does not end in CRLF")
		}
	}
	return s, nil
}

func (r *chunkedReader) crlf() error {
	var b [2]byte
	if _, err := io.ReadFull(r.in, b[:]); err != nil {
		return r.broken(err)
	}
	if b != [2]byte{'\r', '\n'} {
		return refuse(BadBody, "A chunk of the body does not end in CRLF")
	}
	return nil
}

func (r *chunkedReader) broken(err error) error {
	if errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) {
		return refuse(BadBody, "The request body terminated unexpectedly")
	}
	return err
}

// parseChunkHeader reads "hex-size;chunk-signature=hex". The signature is required, and
// allowed, only in a signed stream.
func parseChunkHeader(line string, signed bool) (size int64, signature string, err error) {
	digits, ext, hasExt := strings.Cut(line, ";")
	digits = strings.TrimSpace(digits)
	if digits == "" || len(digits) > 15 {
		return 0, "", refuse(BadBody, "A chunk's size is not a hexadecimal number")
	}
	for i := range len(digits) {
		d := unhex(digits[i])
		if d < 0 {
			return 0, "", refuse(BadBody, "A chunk's size is not a hexadecimal number")
		}
		size = size<<4 | int64(d)
	}
	if !signed {
		if hasExt {
			return 0, "", refuse(BadBody, "A chunk of an unsigned stream has an extension")
		}
		return size, "", nil
	}
	signature, ok := strings.CutPrefix(strings.TrimSpace(ext), "chunk-signature=")
	if !ok || len(signature) != 64 {
		return 0, "", refuse(BadBody, "A chunk has no chunk-signature")
	}
	return size, signature, nil
}
