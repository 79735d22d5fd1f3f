package sigv4

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strconv"
	"strings"
)

const (
	emptyHash       = "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"
	unsignedPayload = "UNSIGNED-PAYLOAD"

	streamSigned          = "STREAMING-AWS4-HMAC-SHA256-PAYLOAD"
	streamSignedTrailer   = "STREAMING-AWS4-HMAC-SHA256-PAYLOAD-TRAILER"
	streamUnsignedTrailer = "STREAMING-UNSIGNED-PAYLOAD-TRAILER"
)

// payload is a request's body as far as its signature is concerned.
type payload struct {
	hash     string // last line of the canonical request
	body     []byte // nil when streaming or when there is none
	mismatch bool   // the body's hash is not the one that was signed
	decoded  int64  // streaming: length of the body without its framing
}

func (p *payload) streaming() bool { return strings.HasPrefix(p.hash, "STREAMING-") }

// readPayload finds the payload hash that was signed and reads the body, except a
// streamed one.
func readPayload(r *http.Request, c *claim, limit int64) (*payload, error) {
	hash := r.Header.Get("X-Amz-Content-Sha256")
	if hash == "" && c.presigned {
		for _, p := range c.query {
			if p.key == "X-Amz-Content-Sha256" {
				hash = p.value
			}
		}
		if hash == "" && c.service == "s3" {
			hash = unsignedPayload
		}
	}
	switch {
	case hash == streamSigned, hash == streamSignedTrailer, hash == streamUnsignedTrailer:
		length := r.Header.Get("X-Amz-Decoded-Content-Length")
		n, err := strconv.ParseInt(length, 10, 64)
		if err != nil || n < 0 {
			return nil, refuse(BadBody, "The x-amz-decoded-content-length header must give the length of the decoded body, got '"+length+"'")
		}
		if n > limit {
			return nil, refuse(BodyTooLarge, "")
		}
		return &payload{hash: hash, decoded: n}, nil
	case strings.HasPrefix(hash, "STREAMING-"):
		return nil, refuse(Incomplete, "Unsupported x-amz-content-sha256 '"+hash+"'")
	case hash == "" && c.service == "s3":
		return nil, refuse(Incomplete, "Missing required header for this request: x-amz-content-sha256")
	}
	body, err := readBody(r, limit)
	if err != nil {
		return nil, err
	}
	p := &payload{hash: hash, body: body}
	if hash == unsignedPayload {
		return p, nil
	}
	sum := emptyHash
	if len(body) > 0 {
		raw := sha256.Sum256(body)
		sum = hex.EncodeToString(raw[:])
	}
	if hash == "" {
		p.hash = sum
	}
	p.mismatch = !strings.EqualFold(p.hash, sum)
	return p, nil
}

// readBody reads the whole body and puts it back, to be read again.
func readBody(r *http.Request, limit int64) ([]byte, error) {
	if r.Body == nil || r.Body == http.NoBody {
		return nil, nil
	}
	if r.ContentLength > limit {
		return nil, refuse(BodyTooLarge, "")
	}
	// Trust a declared length only as far as a normal API call goes.
	var buf bytes.Buffer
	if n := r.ContentLength; n > 0 {
		buf.Grow(int(min(n, 64<<10)) + bytes.MinRead)
	}
	n, err := buf.ReadFrom(io.LimitReader(r.Body, limit+1))
	if err != nil {
		var tooLarge *http.MaxBytesError
		if errors.As(err, &tooLarge) {
			return nil, refuse(BodyTooLarge, "")
		}
		return nil, refuse(BadBody, fmt.Sprintf("The request body terminated unexpectedly: %v", err))
	}
	if n > limit {
		return nil, refuse(BodyTooLarge, "")
	}
	old := r.Body
	r.Body = replayed{bytes.NewReader(buf.Bytes()), old}
	return buf.Bytes(), nil
}

// replayed is a body that was read and checked already.
type replayed struct {
	*bytes.Reader
	io.Closer
}

// install makes r.Body a stream's decoder; read bodies are in place already.
func (p *payload) install(r *http.Request, c *claim, key signingKey) {
	if !p.streaming() || r.Body == nil {
		return
	}
	r.Body = newChunkedReader(r, c, key, p)
	r.ContentLength = p.decoded
	var encodings []string
	for _, v := range r.Header.Values("Content-Encoding") {
		for e := range strings.SplitSeq(v, ",") {
			if e = strings.TrimSpace(e); e != "" && e != "aws-chunked" {
				encodings = append(encodings, e)
			}
		}
	}
	r.Header.Del("Content-Encoding")
	if len(encodings) > 0 {
		r.Header.Set("Content-Encoding", strings.Join(encodings, ","))
	}
}
