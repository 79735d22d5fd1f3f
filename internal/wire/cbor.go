package wire

import (
	"errors"
	"fmt"
	"reflect"
	"time"

	"github.com/fxamacker/cbor/v2"
)

var (
	cborDecoding = must(cbor.DecOptions{
		DupMapKey:        cbor.DupMapKeyQuiet,
		MaxNestedLevels:  maxDepth,
		MaxArrayElements: 1 << 14,
		MaxMapPairs:      1 << 12,
		IndefLength:      cbor.IndefLengthAllowed,
		UTF8:             cbor.UTF8RejectInvalid,
	}.DecMode())
	cborEncoding = must(cbor.EncOptions{Sort: cbor.SortBytewiseLexical}.EncMode())
)

func must[T any](v T, err error) T {
	if err != nil {
		panic(err)
	}
	return v
}

// cborReader reads the bodies of rpcv2Cbor requests, one level of nesting at a
// time, so that memory is asked for only where the shapes know the value.
type cborReader struct{ reader }

func readCBOR(body []byte, v reflect.Value, s *shape, budget int64) error {
	r := cborReader{reader{budget: budget}}
	return r.value(v, s, body)
}

// null is CBOR's null or undefined.
func null(raw cbor.RawMessage) bool { return len(raw) == 1 && (raw[0] == 0xf6 || raw[0] == 0xf7) }

func (r *cborReader) value(v reflect.Value, s *shape, raw cbor.RawMessage) error {
	v, err := r.target(v)
	if err != nil {
		return err
	}
	switch s.kind {
	case kindStruct, kindMap:
		var entries map[string]cbor.RawMessage
		if err := cborDecoding.Unmarshal(raw, &entries); err != nil {
			return err
		}
		if err := r.down(); err != nil {
			return err
		}
		defer r.up()
		if s.kind == kindMap {
			return r.entries(v, s, entries)
		}
		for name, raw := range entries {
			f := s.byName[name]
			if f == nil || null(raw) {
				continue
			}
			if err := r.value(v.Field(f.index), f.shape, raw); err != nil {
				return fmt.Errorf("%s: %w", name, err)
			}
		}
		return nil
	case kindList:
		var elements []cbor.RawMessage
		if err := cborDecoding.Unmarshal(raw, &elements); err != nil {
			return err
		}
		if err := r.down(); err != nil {
			return err
		}
		defer r.up()
		makeList(v)
		for _, raw := range elements {
			if null(raw) {
				continue
			}
			e, err := r.extend(v)
			if err != nil {
				return err
			}
			if err := r.value(e, s.elem, raw); err != nil {
				return err
			}
		}
		return nil
	case kindTime:
		return cborTime(v, raw)
	case kindFloat:
		var n float64
		if err := cborDecoding.Unmarshal(raw, &n); err != nil {
			return err
		}
		v.SetFloat(n)
		return nil
	}
	// Strings, booleans, integers and blobs; the last must not come as arrays.
	if s.kind == kindBlob && len(raw) > 0 && raw[0]>>5 != 2 {
		return errors.New("a byte string was expected")
	}
	return cborDecoding.Unmarshal(raw, v.Addr().Interface())
}

func (r *cborReader) entries(v reflect.Value, s *shape, entries map[string]cbor.RawMessage) error {
	makeMap(v)
	for name, raw := range entries {
		if null(raw) {
			continue
		}
		e, err := r.entry(v)
		if err != nil {
			return err
		}
		if err := r.value(e, s.elem, raw); err != nil {
			return fmt.Errorf("%s: %w", shorten(name), err)
		}
		v.SetMapIndex(reflect.ValueOf(name).Convert(v.Type().Key()), e)
	}
	return nil
}

// cborTime reads seconds since 1970 with the tag 1.
func cborTime(v reflect.Value, raw cbor.RawMessage) error {
	var tag cbor.RawTag
	if err := cborDecoding.Unmarshal(raw, &tag); err != nil || tag.Number != 1 {
		return errors.New("a timestamp was expected")
	}
	var n float64
	if err := cborDecoding.Unmarshal(tag.Content, &n); err != nil {
		return err
	}
	t, err := unixTime(n)
	if err != nil {
		return err
	}
	v.Set(reflect.ValueOf(t))
	return nil
}

func appendCBOR(v reflect.Value, s *shape) ([]byte, error) {
	return cborEncoding.Marshal(cborTree(v, s))
}

func appendCBORError(id, messageName, message string, detail reflect.Value) []byte {
	members := map[string]any{}
	if detail.IsValid() {
		members = cborTree(detail, shapeOf(detail.Type())).(map[string]any)
	}
	members["__type"], members[messageName] = id, message
	return must(cborEncoding.Marshal(members)) // maps, strings and numbers always have a form
}

// cborTree is v in the types that the encoder has forms for.
func cborTree(v reflect.Value, s *shape) any {
	switch s.kind {
	case kindStruct:
		m := make(map[string]any, len(s.fields))
		for i := range s.fields {
			if v, ok := present(v.Field(i)); ok {
				m[s.fields[i].name] = cborTree(v, s.fields[i].shape)
			}
		}
		return m
	case kindList:
		list := make([]any, v.Len())
		for i := range list {
			list[i] = cborTree(v.Index(i), s.elem)
		}
		return list
	case kindMap:
		m := make(map[string]any, v.Len())
		for _, k := range v.MapKeys() {
			m[k.String()] = cborTree(v.MapIndex(k), s.elem)
		}
		return m
	case kindTime:
		ms := v.Interface().(time.Time).UnixMilli()
		if ms%1000 == 0 {
			return cbor.Tag{Number: 1, Content: ms / 1000}
		}
		return cbor.Tag{Number: 1, Content: float64(ms) / 1000}
	case kindString:
		return v.String()
	}
	return v.Interface()
}
