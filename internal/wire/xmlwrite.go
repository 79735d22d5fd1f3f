package wire

import (
	"reflect"
	"sync"
	"unicode/utf8"
)

// xmlWriter appends XML documents.
type xmlWriter struct {
	b    []byte
	time timeFormat // the protocol's own
}

// buffers are those of documents that have been sent: to grow one from nothing
// takes more time than to write a long list into it.
var buffers = sync.Pool{New: func() any { return new([]byte) }}

// maxKept is the size of buffers that are not worth keeping, in bytes.
const maxKept = 4 << 20

func borrow() []byte { return (*buffers.Get().(*[]byte))[:0] }

// giveBack is for when the document has been sent: nothing may hold it.
func (w *xmlWriter) giveBack() {
	if cap(w.b) <= maxKept {
		buffers.Put(&w.b)
	}
}

func (w *xmlWriter) open(name string) {
	w.b = append(w.b, '<')
	w.b = append(w.b, name...)
	w.b = append(w.b, '>')
}

func (w *xmlWriter) close(name string) {
	w.b = append(w.b, "</"...)
	w.b = append(w.b, name...)
	w.b = append(w.b, '>')
}

// root opens a document's element.
func (w *xmlWriter) root(name, namespace string) {
	w.b = append(w.b, '<')
	w.b = append(w.b, name...)
	if namespace != "" {
		w.b = append(w.b, ` xmlns="`...)
		w.b = appendText(w.b, namespace)
		w.b = append(w.b, '"')
	}
	w.b = append(w.b, '>')
}

// text is an element that holds only text.
func (w *xmlWriter) text(name, text string) {
	w.open(name)
	w.b = appendText(w.b, text)
	w.close(name)
}

// members appends the members of a structure that travel in the body.
func (w *xmlWriter) members(v reflect.Value, s *shape) {
	for i := range s.fields {
		f := &s.fields[i]
		if f.in != inBody {
			continue
		}
		if v, ok := present(v.Field(f.index)); ok {
			w.member(v, f)
		}
	}
}

func (w *xmlWriter) member(v reflect.Value, f *field) {
	switch f.kind {
	case kindList:
		item := f.item
		if f.flat {
			item = f.name
		} else {
			w.open(f.name)
		}
		for i := range v.Len() {
			w.element(item, v.Index(i), f.elem, f)
		}
	case kindMap:
		entry := "entry"
		if f.flat {
			entry = f.name
		} else {
			w.open(f.name)
		}
		for _, k := range sortedKeys(v) {
			w.open(entry)
			w.text(f.key, k.String())
			w.element(f.value, v.MapIndex(k), f.elem, f)
			w.close(entry)
		}
	default:
		w.element(f.name, v, f.shape, f)
		return
	}
	if !f.flat {
		w.close(f.name)
	}
}

// element appends a structure or a scalar.
func (w *xmlWriter) element(name string, v reflect.Value, s *shape, f *field) {
	w.open(name)
	switch s.kind {
	case kindStruct:
		w.members(v, s)
	case kindString:
		w.b = appendText(w.b, v.String())
	default:
		w.b = appendScalar(w.b, v, s.kind, f.time.or(w.time))
	}
	w.close(name)
}

// appendText appends s escaped. What XML cannot carry at all becomes U+FFFD.
func appendText(b []byte, s string) []byte {
	last := 0
	for i := 0; i < len(s); {
		if c := s[i]; '0' <= c && c <= '9' || '?' <= c && c < utf8.RuneSelf {
			i++ // the most by far
			continue
		}
		c, size := utf8.DecodeRuneInString(s[i:])
		esc := ""
		switch {
		case c == '&':
			esc = "&amp;"
		case c == '<':
			esc = "&lt;"
		case c == '>':
			esc = "&gt;"
		case c == '"':
			esc = "&quot;"
		case c == '\r':
			esc = "&#xD;"
		case c == '\n' || c == '\t' || c >= 0x20 && c != 0xFFFE && c != 0xFFFF && (c != utf8.RuneError || size > 1):
			i += size
			continue
		default:
			esc = "\uFFFD"
		}
		b = append(append(b, s[last:i]...), esc...)
		i += size
		last = i
	}
	return append(b, s[last:]...)
}
