package wire

import (
	"errors"
	"reflect"
)

// maxDepth bounds the nesting of what is read; AWS's own requests stay far below.
const maxDepth = 64

var (
	errTooLarge = errors.New("the request has too many elements")
	errTooDeep  = errors.New("the request is nested too deeply")
)

// reader is what the readers of all formats share: it hands out memory up to a
// budget, so that a small body cannot ask for large values.
type reader struct {
	budget int64 // bytes that may still be allocated
	depth  int
}

func (r *reader) spend(n uintptr) error {
	r.budget -= int64(n)
	if r.budget < 0 {
		return errTooLarge
	}
	return nil
}

// down enters a nested value; the caller must go up again.
func (r *reader) down() error {
	if r.depth++; r.depth > maxDepth {
		return errTooDeep
	}
	return nil
}

func (r *reader) up() { r.depth-- }

// target is the value that v holds or, if v is a pointer, a new one that it
// points to.
func (r *reader) target(v reflect.Value) (reflect.Value, error) {
	if v.Kind() != reflect.Pointer {
		return v, nil
	}
	if v.IsNil() {
		if err := r.spend(v.Type().Elem().Size()); err != nil {
			return v, err
		}
		v.Set(reflect.New(v.Type().Elem()))
	}
	return v.Elem(), nil
}

// extend makes the slice v longer by one zero element and returns that.
func (r *reader) extend(v reflect.Value) (reflect.Value, error) {
	if err := r.spend(v.Type().Elem().Size()); err != nil {
		return v, err
	}
	n := v.Len()
	v.Grow(1)
	v.SetLen(n + 1)
	return v.Index(n), nil
}

// makeList makes v an empty list if it is nil.
func makeList(v reflect.Value) {
	if v.IsNil() {
		v.Set(reflect.MakeSlice(v.Type(), 0, 0))
	}
}

// makeMap makes v an empty map if it is nil.
func makeMap(v reflect.Value) {
	if v.IsNil() {
		v.Set(reflect.MakeMap(v.Type()))
	}
}

// entry is a new zero element for the map v.
func (r *reader) entry(v reflect.Value) (reflect.Value, error) {
	const header = 64 // of an entry, about
	if err := r.spend(v.Type().Elem().Size() + header); err != nil {
		return v, err
	}
	return reflect.New(v.Type().Elem()).Elem(), nil
}
