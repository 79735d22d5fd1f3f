package wire

import (
	"bytes"
	"encoding/xml"
	"errors"
	"fmt"
	"io"
	"reflect"
	"strings"
)

// xmlReader reads the body of a restXml request. Namespaces are ignored.
type xmlReader struct {
	reader
	d *xml.Decoder
}

// readXML reads a document into the structure v.
func readXML(body []byte, v reflect.Value, s *shape, budget int64) error {
	r := &xmlReader{reader{budget: budget}, xml.NewDecoder(bytes.NewReader(body))}
	for {
		t, err := r.d.Token()
		if errors.Is(err, io.EOF) {
			return errors.New("the body has no element")
		}
		if err != nil {
			return err
		}
		if _, ok := t.(xml.StartElement); ok {
			break
		}
	}
	if err := r.structure(v, s); err != nil {
		return err
	}
	for {
		switch t, err := r.d.Token(); {
		case errors.Is(err, io.EOF):
			return nil
		case err != nil:
			return err
		default:
			if _, ok := t.(xml.StartElement); ok {
				return errors.New("the body has two documents")
			}
		}
	}
}

// children calls do for each element until the end of the one that is open. Do
// must read its element to the end.
func (r *xmlReader) children(do func(name string) error) error {
	if err := r.down(); err != nil {
		return err
	}
	defer r.up()
	for {
		t, err := r.d.Token()
		if err != nil {
			return err
		}
		switch t := t.(type) {
		case xml.StartElement:
			if err := do(t.Name.Local); err != nil {
				return err
			}
		case xml.EndElement:
			return nil
		}
	}
}

func (r *xmlReader) structure(v reflect.Value, s *shape) error {
	return r.children(func(name string) error {
		f := s.byName[name]
		if f == nil || f.in != inBody {
			return r.d.Skip()
		}
		if err := r.member(v.Field(f.index), f); err != nil {
			return fmt.Errorf("%s: %w", name, err)
		}
		return nil
	})
}

func (r *xmlReader) member(v reflect.Value, f *field) error {
	switch f.kind {
	case kindList:
		makeList(v)
		one := func(string) error {
			e, err := r.extend(v)
			if err != nil {
				return err
			}
			return r.value(e, f.elem, f)
		}
		if f.flat {
			return one("")
		}
		return r.children(one)
	case kindMap:
		makeMap(v)
		one := func(string) error { return r.mapEntry(v, f) }
		if f.flat {
			return one("")
		}
		return r.children(one)
	}
	return r.value(v, f.shape, f)
}

func (r *xmlReader) mapEntry(v reflect.Value, f *field) error {
	e, err := r.entry(v)
	if err != nil {
		return err
	}
	key := ""
	err = r.children(func(name string) error {
		switch name {
		case f.key:
			key, err = r.text()
			return err
		case f.value:
			return r.value(e, f.elem, f)
		}
		return r.d.Skip()
	})
	if err != nil {
		return err
	}
	v.SetMapIndex(reflect.ValueOf(key).Convert(v.Type().Key()), e)
	return nil
}

func (r *xmlReader) value(v reflect.Value, s *shape, f *field) error {
	v, err := r.target(v)
	if err != nil {
		return err
	}
	if s.kind == kindStruct {
		return r.structure(v, s)
	}
	text, err := r.text()
	if err != nil {
		return err
	}
	return parseScalar(v, s.kind, text, f.time)
}

// text is the text up to the end of the element that is open.
func (r *xmlReader) text() (string, error) {
	var b strings.Builder
	for {
		t, err := r.d.Token()
		if err != nil {
			return "", err
		}
		switch t := t.(type) {
		case xml.CharData:
			b.Write(t)
		case xml.StartElement:
			return "", fmt.Errorf("text was expected, not the element %q", shorten(t.Name.Local))
		case xml.EndElement:
			return b.String(), nil
		}
	}
}
