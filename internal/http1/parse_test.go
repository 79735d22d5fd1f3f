package http1

import (
	"bytes"
	"fmt"
	"strings"
	"testing"
)

func (s script) args() map[string]string {
	m := map[string]string{}
	for _, st := range s.steps {
		m[st.op] = st.arg
	}
	return m
}

func TestParseRequest(t *testing.T) {
	for _, s := range scripts(t, "testdata/requests.txt") {
		t.Run(s.name, func(t *testing.T) {
			in, want := s.args()["in"], s.args()["want"]
			if got := requestVerdict([]byte(in)); got != want {
				t.Errorf("line %d: %q\ngot  %s\nwant %s", s.steps[0].line, in, got, want)
			}
			// What is accepted is not so with less, and what is refused is so with more.
			for n := 0; n < len(in); n += 1 + len(in)/300 {
				v := requestVerdict([]byte(in[:n]))
				if v != "more" && v != want {
					t.Errorf("with %d bytes: %s", n, v)
				}
			}
		})
	}
}

func requestVerdict(b []byte) string {
	var r Request
	n, err := ParseRequest(b, &r, Limits{})
	switch {
	case err != nil:
		e := err.(*Error)
		return fmt.Sprintf("%d %v: %s", e.Status, e.Class, e.Reason)
	case n == 0:
		return "more"
	}
	host := "-"
	if r.Host != nil {
		host = string(r.Host)
	}
	v := fmt.Sprintf("%s %s HTTP/1.%d %s %s %s", r.Method, r.Path, r.Minor, host, framing(r.Body, r.Length), r.Class)
	if r.Close {
		v += " close"
	}
	if r.Expect {
		v += " expect"
	}
	if r.Upgrade != nil {
		v += " upgrade=" + string(r.Upgrade)
	}
	return v
}

func framing(f Framing, n int64) string {
	switch f {
	case Length:
		return fmt.Sprintf("length %d", n)
	case Chunked:
		return "chunked"
	case UntilClose:
		return "until close"
	}
	return "none"
}

func TestParseResponse(t *testing.T) {
	for _, s := range scripts(t, "testdata/responses.txt") {
		t.Run(s.name, func(t *testing.T) {
			in, want := s.args()["in"], s.args()["want"]
			if got := responseVerdict([]byte(in), s.args()["to"]); got != want {
				t.Errorf("line %d: %q\ngot  %s\nwant %s", s.steps[0].line, in, got, want)
			}
			for n := range len(in) {
				if v := responseVerdict([]byte(in[:n]), s.args()["to"]); v != "more" && v != want {
					t.Errorf("with %d bytes: %s", n, v)
				}
			}
		})
	}
}

func responseVerdict(b []byte, method string) string {
	var r Response
	n, err := ParseResponse(b, &r, []byte(method), Limits{})
	switch {
	case err != nil:
		return err.Error()
	case n == 0:
		return "more"
	}
	v := fmt.Sprintf("HTTP/1.%d %d %q %s", r.Minor, r.Status, r.Reason, framing(r.Body, r.Length))
	if r.Body == NoBody && r.Length >= 0 {
		v += fmt.Sprintf(" %d", r.Length)
	}
	if r.Close {
		v += ", close"
	}
	if r.Upgrade != nil {
		v += ", upgrade=" + string(r.Upgrade)
	}
	return v
}

func TestChunked(t *testing.T) {
	for _, s := range scripts(t, "testdata/chunks.txt") {
		t.Run(s.name, func(t *testing.T) {
			in, want := s.args()["in"], s.args()["want"]
			for _, size := range []int{1, 2, 3, 7, 1 << 20} {
				if got := chunkedVerdict([]byte(in), size); got != want {
					t.Errorf("line %d, %d bytes at a time: %q\ngot  %q\nwant %q", s.steps[0].line, size, in, got, want)
				}
			}
		})
	}
}

// chunkedVerdict decodes in pieces of that size, in place.
func chunkedVerdict(b []byte, size int) string {
	var c chunked
	var data []byte
	b = bytes.Clone(b)
	for len(b) > 0 && !c.done() {
		piece := b[:min(size, len(b))]
		nd, ns, err := c.decode(piece, piece)
		if err != nil {
			return err.Reason
		}
		data = append(data, piece[:nd]...)
		b = b[ns:]
	}
	if !c.done() {
		return "more"
	}
	return fmt.Sprintf("%s|%s|%s", data, c.trailer, b)
}

func TestChunkHead(t *testing.T) {
	for _, n := range []int{1, 15, 16, 255, 4096, 65535, 1 << 30} {
		if got, want := string(appendChunk(nil, bytes.Repeat([]byte("x"), min(n, 70000)))), fmt.Sprintf("%x\r\n", min(n, 70000)); !strings.HasPrefix(got, want) {
			t.Errorf("%d: %.20q", n, got)
		}
	}
	if got := appendChunk(nil, nil); len(got) != 0 {
		t.Errorf("nothing makes the chunk %q", got)
	}
}

func TestHeader(t *testing.T) {
	parse := func() *Request {
		var r Request
		in := "GET / HTTP/1.1\r\nHost: a\r\nX: 1\r\nY: 2\r\nx: 3\r\n\r\n"
		if n, err := ParseRequest([]byte(in), &r, Limits{}); n != len(in) || err != nil {
			t.Fatal(n, err)
		}
		return &r
	}
	for _, c := range []struct {
		name string
		do   func(h *Header)
		want string
	}{
		{"as it came", func(*Header) {}, "X: 1\r\nY: 2\r\nx: 3\r\n"},
		{"add", func(h *Header) { h.Add("X", []byte("4")) }, "X: 1\r\nY: 2\r\nx: 3\r\nX: 4\r\n"},
		{"set", func(h *Header) { h.Set("x", []byte("4")) }, "Y: 2\r\nx: 4\r\n"},
		{"join", func(h *Header) { h.Join("X", []byte("4")) }, "Y: 2\r\nX: 1, 3, 4\r\n"},
		{"join nothing", func(h *Header) { h.Join("Z", []byte("4")) }, "X: 1\r\nY: 2\r\nx: 3\r\nZ: 4\r\n"},
		{"del", func(h *Header) { h.Del("X"); h.Del("Z") }, "Y: 2\r\n"},
		{"no line can be smuggled in", func(h *Header) { h.Set("X", []byte("4\r\nEvil: 5\x00")) }, "Y: 2\r\nX: 4  Evil: 5 \r\n"},
		{"undone", func(h *Header) { h.Join("X", []byte("4")); h.undo() }, "X: 1\r\nY: 2\r\nx: 3\r\n"},
	} {
		t.Run(c.name, func(t *testing.T) {
			r := parse()
			c.do(&r.Header)
			if got := string(r.Header.append(nil)); got != c.want {
				t.Errorf("got %q, want %q", got, c.want)
			}
		})
	}
	r := parse()
	if got := string(r.Get("HOST")); got != "a" || r.Get("Z") != nil {
		t.Errorf("Host is %q, Z %q", got, r.Get("Z"))
	}
}
