package http1

import "sync"

const (
	inSize0   = 8 << 10  // a client's buffer at first; it grows for larger heads
	backSize  = 17 << 10 // a backend's: a TLS record and its head
	bigSize   = 64 << 10 // for bodies that do not fit into those
	frontRoom = 32       // before what is read from a backend: a chunk's first line
	backRoom  = 64       // behind it: what ends a chunk and a body
)

// work is all that one exchange needs. A connection has it from the first byte
// of a request to the end of the response, and none while it is idle: that is
// what makes an idle connection small.
type work struct {
	x    Exchange
	req  Request
	resp Response

	in      []byte // of the client
	r, w    int    // in[r:w] is unread
	scanned int    // how much of that has no end of a head
	blank   bool   // an empty line came before it

	out []byte // heads, and what of a body fits behind them

	back   []byte // of the backend
	br, bw int    // back[br:bw] is unread

	reqBody, respBody chunked
	body              []byte // what of the request's came with its head, decoded
	bodyLeft          int64  // of Body Length: what has not come
	pump              pump

	unsent  bool // nothing of the request went out
	interim bool // there was a response 1xx
	closing bool // the response says so
}

var works = sync.Pool{New: func() any {
	return &work{
		in:   make([]byte, inSize0),
		out:  make([]byte, 0, 8<<10),
		back: make([]byte, backSize),
	}
}}

// release gives the work back, without what a rare large message has left.
func (w *work) release() {
	if cap(w.in) > inSize0 {
		w.in = make([]byte, inSize0)
	}
	if cap(w.out) > 4*backSize {
		w.out = make([]byte, 0, 8<<10)
	}
	if cap(w.back) > backSize {
		w.back = make([]byte, backSize)
	}
	if cap(w.req.Fields) > 128 {
		w.req.Fields = nil
	}
	if cap(w.resp.Fields) > 128 {
		w.resp.Fields = nil
	}
	w.r, w.w, w.br, w.bw = 0, 0, 0, 0
	w.scanned, w.blank = 0, false
	w.req.clear()
	w.x = Exchange{Tried: w.x.Tried[:0]}
	works.Put(w)
}

// makeRoom has space behind the client's unread bytes. It is called between
// exchanges and while a head is read: nothing points into the buffer.
func (w *work) makeRoom(most int) bool {
	if w.w < len(w.in) {
		return true
	}
	if w.r > 0 {
		w.w = copy(w.in, w.in[w.r:w.w])
		w.r = 0
		return true
	}
	if len(w.in) >= most {
		return false
	}
	in := make([]byte, min(2*len(w.in), most))
	copy(in, w.in)
	w.in = in
	return true
}

var bigs = sync.Pool{New: func() any { return new([bigSize]byte) }}
