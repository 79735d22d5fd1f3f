package wire

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math"
	"reflect"
	"strconv"
	"strings"
)

// jsonReader reads JSON bodies by their tokens, so that what the shapes do not
// know costs nothing.
type jsonReader struct {
	reader
	d *json.Decoder
}

// readJSON reads an object into the structure v.
func readJSON(body []byte, v reflect.Value, s *shape, budget int64) error {
	r := &jsonReader{reader{budget: budget}, json.NewDecoder(bytes.NewReader(body))}
	r.d.UseNumber()
	t, err := r.d.Token()
	if err != nil {
		return unexpected(err)
	}
	if t != json.Delim('{') {
		return errors.New("the body is not an object")
	}
	if err := r.structure(v, s); err != nil {
		return unexpected(err)
	}
	if _, err := r.d.Token(); err != io.EOF {
		return errors.New("the body has more than an object")
	}
	return nil
}

// unexpected says what an end of the body means in the middle of a document.
func unexpected(err error) error {
	if errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) {
		return errors.New("the body ends too early")
	}
	return err
}

// object reads the object that is open, to its end. Do must read the value.
func (r *jsonReader) object(do func(name string) error) error {
	if err := r.down(); err != nil {
		return err
	}
	defer r.up()
	for r.d.More() {
		t, err := r.d.Token()
		if err != nil {
			return err
		}
		name, ok := t.(string)
		if !ok {
			return errors.New("a name was expected")
		}
		if err := do(name); err != nil {
			return err
		}
	}
	_, err := r.d.Token()
	return err
}

func (r *jsonReader) structure(v reflect.Value, s *shape) error {
	return r.object(func(name string) error {
		f := s.byName[name]
		if f == nil || f.in != inBody {
			return r.skip()
		}
		t, err := r.d.Token()
		if err != nil || t == nil {
			return err
		}
		if err := r.value(v.Field(f.index), f.shape, f, t); err != nil {
			return fmt.Errorf("%s: %w", name, err)
		}
		return nil
	})
}

// skip reads over a value.
func (r *jsonReader) skip() error {
	depth := 0
	for {
		t, err := r.d.Token()
		if err != nil {
			return err
		}
		switch t {
		case json.Delim('{'), json.Delim('['):
			depth++
		case json.Delim('}'), json.Delim(']'):
			depth--
		}
		if depth == 0 {
			return nil
		}
	}
}

// value reads the value that begins with the token t, which is not null.
func (r *jsonReader) value(v reflect.Value, s *shape, f *field, t json.Token) error {
	v, err := r.target(v)
	if err != nil {
		return err
	}
	switch s.kind {
	case kindStruct:
		if t != json.Delim('{') {
			return errors.New("an object was expected")
		}
		return r.structure(v, s)
	case kindList:
		if t != json.Delim('[') {
			return errors.New("an array was expected")
		}
		return r.list(v, s, f)
	case kindMap:
		if t != json.Delim('{') {
			return errors.New("an object was expected")
		}
		makeMap(v)
		return r.object(func(name string) error {
			t, err := r.d.Token()
			if err != nil || t == nil {
				return err
			}
			e, err := r.entry(v)
			if err != nil {
				return err
			}
			if err := r.value(e, s.elem, f, t); err != nil {
				return err
			}
			v.SetMapIndex(reflect.ValueOf(name).Convert(v.Type().Key()), e)
			return nil
		})
	}
	return jsonScalar(v, s.kind, f, t)
}

func (r *jsonReader) list(v reflect.Value, s *shape, f *field) error {
	if err := r.down(); err != nil {
		return err
	}
	defer r.up()
	makeList(v)
	for r.d.More() {
		t, err := r.d.Token()
		if err != nil {
			return err
		}
		if t == nil {
			continue
		}
		e, err := r.extend(v)
		if err != nil {
			return err
		}
		if err := r.value(e, s.elem, f, t); err != nil {
			return err
		}
	}
	_, err := r.d.Token()
	return err
}

func jsonScalar(v reflect.Value, k kind, f *field, t json.Token) error {
	switch t := t.(type) {
	case string:
		switch k {
		case kindString, kindBlob:
			return parseScalar(v, k, t, f.time)
		case kindTime:
			return parseScalar(v, k, t, f.time)
		case kindFloat:
			if t == "NaN" || t == "Infinity" || t == "-Infinity" {
				return parseScalar(v, k, t, 0)
			}
		}
		return fmt.Errorf("%s was expected, not a string", kindNames[k])
	case bool:
		if k != kindBool {
			return fmt.Errorf("%s was expected, not a boolean", kindNames[k])
		}
		v.SetBool(t)
		return nil
	case json.Number:
		switch k {
		case kindInt:
			return setInteger(v, t.String())
		case kindFloat, kindTime:
			return parseScalar(v, k, t.String(), f.time)
		}
		return fmt.Errorf("%s was expected, not a number", kindNames[k])
	}
	return fmt.Errorf("%s was expected", kindNames[k])
}

var kindNames = map[kind]string{
	kindString: "a string", kindBool: "a boolean", kindInt: "an integer", kindFloat: "a number",
	kindTime: "a timestamp", kindBlob: "a string in base64",
}

// setInteger also takes 1.0 and 1e3, which some clients write for integers.
func setInteger(v reflect.Value, s string) error {
	n, err := strconv.ParseInt(s, 10, v.Type().Bits())
	if err == nil {
		v.SetInt(n)
		return nil
	}
	const exact = 1 << 53
	if x, ferr := strconv.ParseFloat(s, 64); strings.ContainsAny(s, ".eE") && ferr == nil &&
		x == math.Trunc(x) && math.Abs(x) <= exact && !v.OverflowInt(int64(x)) {
		v.SetInt(int64(x))
		return nil
	}
	return fmt.Errorf("%q is not an integer of %d bits", shorten(s), v.Type().Bits())
}
