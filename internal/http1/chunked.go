package http1

import "bytes"

// How much of a chunked body may be other than data.
const (
	maxChunkExt   = 256     // extensions of one chunk
	maxChunkExts  = 4 << 10 // extensions of all chunks
	maxTrailer    = 8 << 10
	maxChunkSize  = 15 // digits
	chunkHeadRoom = maxChunkSize + len("\r\n")
)

type chunkState uint8

const (
	atSize    chunkState = iota // before the first digit
	inSize                      // after one
	inExt                       // after ";"
	atSizeLF                    // after the CR of the size's line
	inData                      //
	atDataCR                    // after the data
	atDataLF                    //
	inTrailer                   // after the last chunk
	atEnd                       // after the empty line
)

// chunked decodes a chunked body (RFC 9112, 7.1), in pieces. Extensions are
// dropped, they concern one connection only. Its zero value is ready.
type chunked struct {
	state     chunkState
	left      uint64 // of the chunk
	digits    int
	ext, exts int
	line      int // where the last line of trailer begins
	seen      int // bytes of trailers that came
	// trailer has the lines of the trailers that may be forwarded.
	trailer []byte
}

func (c *chunked) reset() { *c = chunked{trailer: c.trailer[:0]} }

func (c *chunked) done() bool { return c.state == atEnd }

// decode writes the data that is in src to dst, which must be as large as src
// and may begin where src does. It returns how much it wrote and read: all, but
// for what comes after the body.
func (c *chunked) decode(dst, src []byte) (nd, ns int, err *Error) {
	for ns < len(src) && c.state != atEnd {
		b := src[ns]
		switch c.state {
		case inData:
			n := len(src) - ns
			if uint64(n) > c.left {
				n = int(c.left)
			}
			copy(dst[nd:], src[ns:ns+n])
			nd += n
			ns += n
			if c.left -= uint64(n); c.left == 0 {
				c.state = atDataCR
			}
			continue
		case inTrailer:
			n, err := c.trailers(src[ns:])
			if err != nil {
				return nd, ns, err
			}
			ns += n
			continue
		case atSize, inSize:
			switch {
			case table[b]&inHex != 0:
				if c.digits++; c.digits > maxChunkSize {
					return nd, ns, errChunkSize
				}
				c.left = c.left<<4 | uint64(digit(b))
				c.state = inSize
			case c.state == inSize && b == ';':
				c.state = inExt
			case c.state == inSize && b == '\r':
				c.state = atSizeLF
			default:
				return nd, ns, errChunkSize
			}
		case inExt:
			c.ext++
			c.exts++
			switch {
			case c.ext > maxChunkExt || c.exts > maxChunkExts:
				return nd, ns, errChunkExt
			case b == '\r':
				c.state = atSizeLF
			case table[b]&inValue == 0:
				return nd, ns, errChunkSize
			}
		case atSizeLF:
			switch {
			case b != '\n':
				return nd, ns, errChunkSize
			case c.left == 0:
				c.state = inTrailer
			default:
				c.state = inData
			}
			c.digits, c.ext = 0, 0
		case atDataCR:
			if b != '\r' {
				return nd, ns, errChunkEnd
			}
			c.state = atDataLF
		case atDataLF:
			if b != '\n' {
				return nd, ns, errChunkEnd
			}
			c.state = atSize
		}
		ns++
	}
	return nd, ns, nil
}

func digit(b byte) byte {
	if b <= '9' {
		return b - '0'
	}
	return (b | 0x20 - 'a') + 10
}

// trailers takes the bytes up to the end of a line.
func (c *chunked) trailers(src []byte) (int, *Error) {
	n := bytes.IndexByte(src, '\n') + 1
	whole := n > 0
	if !whole {
		n = len(src)
	}
	if c.seen += n; c.seen > maxTrailer {
		return 0, errTrailer
	}
	c.trailer = append(c.trailer, src[:n]...)
	if !whole {
		return n, nil
	}
	line := c.trailer[c.line:]
	if len(line) == 2 && line[0] == '\r' {
		c.trailer = c.trailer[:c.line]
		c.state = atEnd
		return n, nil
	}
	f, err := parseField(line[:len(line)-1])
	if err != nil {
		return 0, err
	}
	if !trailing(&f) {
		c.trailer = c.trailer[:c.line]
	}
	c.line = len(c.trailer)
	return n, nil
}

// notTrailing are fields that must not come as trailers, since they frame,
// route, authenticate or say how to read the message (RFC 9110, 6.5.1), or are
// this proxy's to set.
var notTrailing = [...]string{
	"age", "authorization", "cache-control", "content-encoding", "content-range", "content-type", "cookie", "date",
	"expires", "forwarded", "if-match", "if-modified-since", "if-none-match", "if-range", "if-unmodified-since",
	"location", "max-forwards", "pragma", "proxy-authenticate", "proxy-authorization", "range", "retry-after",
	"set-cookie", "vary", "via", "warning", "www-authenticate",
}

func trailing(f *Field) bool {
	if f.kind != kindOther {
		return false
	}
	for _, name := range notTrailing {
		if is(f.Name, name) {
			return false
		}
	}
	const forwarded = "x-forwarded-"
	return len(f.Name) < len(forwarded) || !is(f.Name[:len(forwarded)], forwarded)
}

// chunkHead writes the line before a chunk of n bytes so that it ends at the end
// of room, and returns its length.
func chunkHead(room []byte, n int) int {
	const hex = "0123456789abcdef"
	i := len(room) - 2
	copy(room[i:], "\r\n")
	for {
		i--
		room[i] = hex[n&15]
		if n >>= 4; n == 0 {
			return len(room) - i
		}
	}
}

// appendChunk writes a chunk, if there is data. (Another that is empty would be
// the last.)
func appendChunk(b, data []byte) []byte {
	if len(data) == 0 {
		return b
	}
	var room [chunkHeadRoom]byte
	n := chunkHead(room[:], len(data))
	b = append(b, room[len(room)-n:]...)
	b = append(b, data...)
	return append(b, "\r\n"...)
}

// appendEnd writes the last chunk with the trailers.
func (c *chunked) appendEnd(b []byte) []byte {
	b = append(b, "0\r\n"...)
	b = append(b, c.trailer...)
	return append(b, "\r\n"...)
}
