package http1

// Header is the fields of a message: those received, and those added here. Get,
// Del, Set, Add and Join compare names without regard to case, and allocate
// nothing in the steady state.
type Header struct {
	// Fields are as received, in order. Those that concern one connection only
	// (Connection and what it names, Keep-Alive, Transfer-Encoding …), Host and
	// Content-Length, which are written by this package, and the deleted ones are
	// still here, but are not forwarded.
	Fields []Field

	extra   []byte // field lines that were added
	deleted bool   // some field was
}

// Get returns the value of the first field received of that name, or nil. It
// finds those that are not forwarded, too.
func (h *Header) Get(name string) []byte {
	for i := range h.Fields {
		if f := &h.Fields[i]; same(f.Name, name) {
			return f.Value
		}
	}
	return nil
}

// Del has no field received of that name forwarded.
func (h *Header) Del(name string) {
	for i := range h.Fields {
		if f := &h.Fields[i]; same(f.Name, name) {
			f.deleted = true
			h.deleted = true
		}
	}
}

// Add adds a field to what is forwarded. Bytes that may not stand in a value
// become spaces. The fields that frame a message or concern a connection are not
// its business.
func (h *Header) Add(name string, value []byte) {
	h.extra = append(append(h.extra, name...), ": "...)
	h.value(value)
	h.extra = append(h.extra, "\r\n"...)
}

// Set replaces all fields received of that name by one.
func (h *Header) Set(name string, value []byte) {
	h.Del(name)
	h.Add(name, value)
}

// Join appends an element to the list that the fields received of that name are
// together: they become one, "first, second, value".
func (h *Header) Join(name string, value []byte) {
	h.extra = append(append(h.extra, name...), ": "...)
	for i := range h.Fields {
		f := &h.Fields[i]
		if f.drop || f.deleted || !same(f.Name, name) {
			continue
		}
		f.deleted = true
		h.deleted = true
		if len(f.Value) > 0 {
			h.extra = append(append(h.extra, f.Value...), ", "...)
		}
	}
	h.value(value)
	h.extra = append(h.extra, "\r\n"...)
}

func (h *Header) value(v []byte) {
	for _, c := range v {
		if table[c]&inValue == 0 {
			c = ' '
		}
		h.extra = append(h.extra, c)
	}
}

// undo forgets what was added and deleted.
func (h *Header) undo() {
	h.extra = h.extra[:0]
	if !h.deleted {
		return
	}
	h.deleted = false
	for i := range h.Fields {
		h.Fields[i].deleted = false
	}
}

// append writes the field lines that are forwarded.
func (h *Header) append(b []byte) []byte {
	for i := range h.Fields {
		f := &h.Fields[i]
		if f.drop || f.deleted {
			continue
		}
		b = append(b, f.Name...)
		b = append(b, ": "...)
		b = append(b, f.Value...)
		b = append(b, "\r\n"...)
	}
	return append(b, h.extra...)
}
