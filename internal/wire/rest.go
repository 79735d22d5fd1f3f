package wire

import (
	"errors"
	"fmt"
	"net/http"
	"net/textproto"
	"net/url"
	"reflect"
	"strings"

	"github.com/tarn-eks/tarn/internal/api"
)

// route is where an operation of a REST protocol lives.
type route struct {
	operation, method string
	parts             []string // of the path; {name} is a label, {name+} takes all that is left
	query             string   // a parameter that must be there, name or name=value
	fixed             int      // parts that are no labels
}

func newRoute(operation, method, uri string) route {
	path, query, _ := strings.Cut(uri, "?")
	r := route{operation: operation, method: method, parts: splitPath(path), query: query}
	for _, p := range r.parts {
		if !isLabel(p) {
			r.fixed++
		}
	}
	return r
}

func isLabel(part string) bool { return strings.HasPrefix(part, "{") }

// splitPath ignores a slash at the end, which the models have in places where
// the clients have none.
func splitPath(path string) []string {
	return strings.Split(strings.TrimSuffix(strings.TrimPrefix(path, "/"), "/"), "/")
}

// match finds the operation for a method and path: of several, the one with
// the fewest labels. No operation gives "".
func (s *Service) match(m *message) (string, error) {
	parts := splitPath(m.URL.EscapedPath())
	for i, p := range parts {
		var err error
		if parts[i], err = url.PathUnescape(p); err != nil {
			return "", fmt.Errorf("the path is malformed: %w", err)
		}
	}
	for i := range s.routes {
		r := &s.routes[i]
		if r.method != m.Method || m.route != nil && m.route.fixed >= r.fixed {
			continue
		}
		if r.query != "" {
			name, value, _ := strings.Cut(r.query, "=")
			if q := m.URL.Query(); !q.Has(name) || value != "" && q.Get(name) != value {
				continue
			}
		}
		if labels, ok := r.labels(parts); ok {
			m.route, m.labels = r, labels
		}
	}
	if m.route == nil {
		return "", nil
	}
	return m.route.operation, nil
}

// labels are the values of the route's labels in a path, in their order.
func (r *route) labels(parts []string) (labels []string, ok bool) {
	for i, p := range r.parts {
		switch {
		case i >= len(parts):
			return nil, false
		case strings.HasSuffix(p, "+}"):
			return append(labels, strings.Join(parts[i:], "/")), true
		case isLabel(p) && parts[i] != "":
			labels = append(labels, parts[i])
		case p != parts[i] || isLabel(p):
			return nil, false
		}
	}
	return labels, len(parts) == len(r.parts)
}

// readREST reads what the path, the query, the headers and the body bind.
func (p Protocol) readREST(m *message, op *operation, v reflect.Value, budget int64) error {
	r := reader{budget: budget}
	n := 0
	for _, part := range m.route.parts {
		if !isLabel(part) {
			continue
		}
		f := op.in.byName[strings.Trim(part, "{+}")]
		if f == nil {
			return fmt.Errorf("wire: %s has no member for %s", op.Name, part)
		}
		if err := r.text(v.Field(f.index), f, m.labels[n], timeISO); err != nil {
			return err
		}
		n++
	}
	query := m.URL.Query()
	for i := range op.in.fields {
		f := &op.in.fields[i]
		var err error
		switch f.in {
		case inQuery:
			err = r.texts(v.Field(f.index), f, query[f.name], timeISO)
		case inHeader:
			err = r.texts(v.Field(f.index), f, m.Header.Values(f.name), timeHTTP)
		case inHeaders:
			err = r.prefixed(v.Field(f.index), f, m.Header)
		}
		if err != nil {
			return err
		}
	}
	if len(m.body) == 0 {
		return nil
	}
	s := op.in
	if f := s.payload; f != nil {
		var err error
		if v, err = r.target(v.Field(f.index)); err != nil {
			return err
		}
		switch f.kind {
		case kindBlob:
			v.SetBytes(m.body)
			return nil
		case kindString:
			v.SetString(string(m.body))
			return nil
		case kindStruct:
			s = f.shape
		default:
			return errors.New("wire: a payload is a structure, a string or a blob")
		}
	} else if !s.hasBody() {
		return nil
	}
	if p.name == api.RestXML {
		return readXML(m.body, v, s, r.budget)
	}
	return readJSON(m.body, v, s, r.budget)
}

// hasBody tells whether some member travels in the body.
func (s *shape) hasBody() bool {
	for i := range s.fields {
		if s.fields[i].in == inBody {
			return true
		}
	}
	return false
}

// text sets v from the text of a label or a parameter.
func (r *reader) text(v reflect.Value, f *field, text string, usual timeFormat) error {
	v, err := r.target(v)
	if err != nil {
		return err
	}
	if err := parseScalar(v, f.kind, text, f.time.or(usual)); err != nil {
		return fmt.Errorf("%s: %w", f.name, err)
	}
	return nil
}

// texts sets v, which may be a list, from all texts of a parameter.
func (r *reader) texts(v reflect.Value, f *field, texts []string, usual timeFormat) error {
	if len(texts) == 0 {
		return nil
	}
	if f.kind != kindList {
		return r.text(v, f, texts[0], usual)
	}
	makeList(v)
	for _, t := range texts {
		e, err := r.extend(v)
		if err != nil {
			return err
		}
		if err := parseScalar(e, f.elem.kind, t, f.time.or(usual)); err != nil {
			return fmt.Errorf("%s: %w", f.name, err)
		}
	}
	return nil
}

// prefixed reads the headers whose names begin with the field's into a map.
func (r *reader) prefixed(v reflect.Value, f *field, h http.Header) error {
	prefix := textproto.CanonicalMIMEHeaderKey(f.name)
	for name := range h {
		key, ok := strings.CutPrefix(name, prefix)
		if !ok {
			continue
		}
		makeMap(v)
		e, err := r.entry(v)
		if err != nil {
			return err
		}
		e.SetString(h.Get(name))
		v.SetMapIndex(reflect.ValueOf(strings.ToLower(key)), e)
	}
	return nil
}

// appendREST sets a response's headers and returns its body and status.
func (p Protocol) appendREST(h http.Header, op *api.Operation, v reflect.Value, s *shape) (body []byte, status int) {
	status = op.Status
	if status == 0 {
		status = http.StatusOK
	}
	for i := range s.fields {
		f := &s.fields[i]
		v, ok := present(v.Field(f.index))
		if !ok {
			continue
		}
		switch f.in {
		case inHeader:
			h.Set(f.name, string(appendScalar(nil, v, f.kind, f.time.or(timeHTTP))))
		case inHeaders:
			for _, k := range sortedKeys(v) {
				h.Set(f.name+k.String(), v.MapIndex(k).String())
			}
		case inStatus:
			status = int(v.Int())
		}
	}
	name := op.Reply
	if f := s.payload; f != nil {
		v, ok := present(v.Field(f.index))
		switch {
		case !ok:
			return nil, status
		case f.kind == kindBlob:
			return v.Bytes(), status
		case f.kind == kindString:
			return []byte(v.String()), status
		}
		s, name = f.shape, f.name
	}
	if p.name == api.RestJSON1 {
		return appendJSON(nil, v, s), status
	}
	if op.NoOutput {
		return nil, status
	}
	x := xmlWriter{b: []byte(xmlHeader), time: timeISO}
	x.root(name, p.service.Namespace)
	x.members(v, s)
	x.close(name)
	return x.b, status
}
