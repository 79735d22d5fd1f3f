package http1

import (
	"bufio"
	"bytes"
	"io"
	"net/http"
	"net/http/httputil"
	"net/textproto"
	"slices"
	"strings"
	"testing"
)

// What is accepted here, net/http accepts with the same meaning: a second opinion
// on where a message ends is what smuggling is made of.
func FuzzRequest(f *testing.F) {
	for _, s := range scripts(f, "testdata/requests.txt") {
		f.Add([]byte(s.args()["in"]))
	}
	f.Fuzz(func(t *testing.T, in []byte) {
		var w work
		r := &w.req
		n, err := ParseRequest(in, r, Limits{})
		if n == 0 || err != nil {
			return
		}
		br := bufio.NewReaderSize(bytes.NewReader(in), 1<<20)
		theirs, err := http.ReadRequest(br)
		if err != nil {
			t.Fatalf("net/http: %v", err)
		}
		if string(r.Method) != theirs.Method || string(r.Target) != theirs.RequestURI || !strings.EqualFold(string(r.Host), theirs.Host) {
			t.Errorf("%s %s %s, net/http: %s %s %s", r.Method, r.Target, r.Host, theirs.Method, theirs.RequestURI, theirs.Host)
		}
		if r.Minor != min(theirs.ProtoMinor, 1) || theirs.ProtoMajor != 1 {
			t.Errorf("HTTP/1.%d, net/http: %s", r.Minor, theirs.Proto)
		}
		if r.Class != Ambiguous && r.Close != theirs.Close {
			t.Errorf("close %v, net/http: %v", r.Close, theirs.Close)
		}
		compareFields(t, r.Fields, theirs.Header, theirs.Trailer)
		w.in, w.r, w.w = bytes.Clone(in), n, len(in)
		body, data, rest, ok := &w.reqBody, []byte(nil), []byte(nil), false
		if w.takeBody() == nil {
			data, rest, ok = w.body, w.in[w.r:w.w], w.bodyRead()
		}
		if !ok {
			return
		}
		compareBody(t, theirs.Body, br, data, rest)
		for _, line := range bytes.SplitAfter(body.trailer, []byte("\n")) {
			if len(line) == 0 {
				continue
			}
			tr, err := parseField(line[:len(line)-1])
			if err != nil || !slices.Contains(theirs.Trailer.Values(string(tr.Name)), string(tr.Value)) {
				t.Errorf("trailer %q, net/http: %q", line, theirs.Trailer)
			}
		}
		checkBuilt(t, &w)
	})
}

// checkBuilt reads what the backend would get: the same request, with nothing of
// the client's connection in it.
func checkBuilt(t *testing.T, w *work) {
	c := &conn{s: &Server{Director: nobody{}}, w: w}
	c.init(&memConn{})
	w.x.Pool = NewPool(PoolConfig{})
	c.build()
	var r Request
	n, err := ParseRequest(w.out, &r, Limits{Head: 1 << 20, RequestLine: 1 << 20, Field: 1 << 20})
	if n == 0 || err != nil {
		t.Fatalf("forwarded as %q: %v", w.out, err)
	}
	q := &w.req
	if !bytes.Equal(r.Method, q.Method) || !bytes.Equal(r.Target, q.Path) || q.Host != nil && !bytes.Equal(r.Host, q.Host) || r.Body != q.Body || r.Length != q.Length || r.Minor != 1 {
		t.Fatalf("forwarded as %q", w.out)
	}
	for _, f := range r.Fields {
		switch f.kind {
		case kindHop, kindSuspicious:
			t.Fatalf("forwarded as %q", w.out)
		}
	}
	w2 := work{in: w.out, r: n, w: len(w.out), req: r}
	want := bytes.Clone(w.body)
	if err := w2.takeBody(); err != nil || !w2.bodyRead() || w2.r != w2.w || !bytes.Equal(w2.body, want) {
		t.Fatalf("forwarded as %q: %v", w.out, err)
	}
}

type nobody struct{}

func (nobody) Choose(*Exchange) (*Pool, int)  { return nil, 503 }
func (nobody) ForRequest(*Exchange, *Header)  {}
func (nobody) ForResponse(*Exchange, *Header) {}
func (nobody) Done(*Exchange)                 {}

func compareFields(t *testing.T, ours []Field, theirs, trailer http.Header) {
	t.Helper()
	got := http.Header{}
	for _, f := range ours {
		switch f.kind {
		case kindHost, kindTransferEncoding:
			continue // net/http has them elsewhere
		case kindTrailer:
			if trailer != nil {
				continue
			}
		}
		got.Add(textproto.CanonicalMIMEHeaderKey(string(f.Name)), string(f.Value))
	}
	theirs = theirs.Clone()
	theirs.Del("Host")
	theirs.Del("Transfer-Encoding")
	if trailer != nil {
		theirs.Del("Trailer")
	}
	if got.Get("Pragma") == "no-cache" && !slices.Contains(got["Cache-Control"], "no-cache") && len(got["Cache-Control"]) == 0 {
		theirs.Del("Cache-Control") // which it has added
	}
	for name := range theirs {
		if !slices.Equal(theirs[name], got[name]) {
			t.Errorf("%s: %q, net/http: %q", name, got[name], theirs[name])
		}
	}
	for name := range got {
		if _, ok := theirs[name]; !ok {
			t.Errorf("%s: %q, net/http does not have it", name, got[name])
		}
	}
}

// compareBody compares a body that is complete, and what comes after it.
func compareBody(t *testing.T, theirs io.Reader, br *bufio.Reader, data, rest []byte) {
	t.Helper()
	got, err := io.ReadAll(theirs)
	if err != nil {
		t.Fatalf("net/http: %v", err)
	}
	if !bytes.Equal(got, data) {
		t.Errorf("body %q, net/http: %q", data, got)
	}
	if left, _ := io.ReadAll(br); !bytes.Equal(left, rest) {
		t.Errorf("after the body comes %q, net/http: %q", rest, left)
	}
}

func FuzzResponse(f *testing.F) {
	for _, s := range scripts(f, "testdata/responses.txt") {
		f.Add([]byte(s.args()["in"]), s.args()["to"] == "HEAD")
	}
	f.Fuzz(func(t *testing.T, in []byte, head bool) {
		method := "GET"
		if head {
			method = "HEAD"
		}
		var r Response
		n, err := ParseResponse(in, &r, []byte(method), Limits{})
		if n == 0 || err != nil {
			return
		}
		br := bufio.NewReaderSize(bytes.NewReader(in), 1<<20)
		theirs, err := http.ReadResponse(br, &http.Request{Method: method})
		if err != nil {
			t.Fatalf("net/http: %v", err)
		}
		if r.Status != theirs.StatusCode || r.Minor != theirs.ProtoMinor {
			t.Errorf("HTTP/1.%d %d, net/http: %s %s", r.Minor, r.Status, theirs.Proto, theirs.Status)
		}
		if theirs.Header["Connection"] == nil { // it may have deleted the field
			for i := range r.Fields {
				if r.Fields[i].kind == kindConnection {
					theirs.Header.Add("Connection", string(r.Fields[i].Value))
				}
			}
		}
		compareFields(t, r.Fields, theirs.Header, theirs.Trailer)
		var data, rest []byte
		ok := true
		switch body := in[n:]; r.Body {
		case NoBody:
			rest = body
		case Length:
			if ok = int64(len(body)) >= r.Length; ok {
				data, rest = body[:r.Length], body[r.Length:]
			}
		case UntilClose:
			data = body
		case Chunked:
			var c chunked
			data = make([]byte, len(body))
			nd, ns, err := c.decode(data, body)
			ok = err == nil && c.done()
			data, rest = data[:nd], body[ns:]
		}
		if ok && r.Status != 101 { // what follows that is not HTTP
			compareBody(t, theirs.Body, br, data, rest)
		}
	})
}

func FuzzChunked(f *testing.F) {
	for _, s := range scripts(f, "testdata/chunks.txt") {
		f.Add([]byte(s.args()["in"]), 3)
	}
	f.Fuzz(func(t *testing.T, in []byte, size int) {
		var c chunked
		data := make([]byte, len(in))
		nd, ns, err := c.decode(data, in)
		data = data[:nd]
		if size > 0 {
			whole, pieces := chunkedVerdict(in, len(in)+1), chunkedVerdict(in, size)
			if whole != pieces {
				t.Fatalf("%q, in pieces: %q", whole, pieces)
			}
		}
		if err != nil || !c.done() {
			return
		}
		theirs, err2 := io.ReadAll(httputil.NewChunkedReader(bytes.NewReader(in[:ns])))
		if err2 != nil || !bytes.Equal(theirs, data) {
			t.Fatalf("%q, net/http: %q, %v", data, theirs, err2)
		}
		// What is forwarded means the same.
		again := c.appendEnd(appendChunk(nil, data))
		var c2 chunked
		nd, ns, err = c2.decode(data[:0:len(data)], nil)
		if nd+ns != 0 || err != nil {
			t.Fatal(nd, ns, err)
		}
		data2 := make([]byte, len(again))
		nd, ns, err = c2.decode(data2, again)
		if err != nil || !c2.done() || ns != len(again) || !bytes.Equal(data2[:nd], data) || !bytes.Equal(c2.trailer, c.trailer) {
			t.Fatalf("forwarded as %q: %v", again, err)
		}
	})
}
