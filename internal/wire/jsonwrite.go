package wire

import (
	"math"
	"reflect"
	"slices"
	"strings"
	"time"
	"unicode/utf8"
)

// appendJSON appends a structure as an object of the members that travel in
// the body.
func appendJSON(b []byte, v reflect.Value, s *shape) []byte {
	b = append(b, '{')
	b = appendJSONMembers(b, v, s)
	return append(b, '}')
}

func appendJSONMembers(b []byte, v reflect.Value, s *shape) []byte {
	for i := range s.fields {
		f := &s.fields[i]
		if f.in != inBody {
			continue
		}
		if v, ok := present(v.Field(f.index)); ok {
			b = appendJSONName(b, f.name)
			b = appendJSONValue(b, v, f.shape, f)
		}
	}
	return b
}

// appendJSONName appends the name of an object's next member.
func appendJSONName(b []byte, name string) []byte {
	if b[len(b)-1] != '{' {
		b = append(b, ',')
	}
	return append(appendJSONString(b, name), ':')
}

func appendJSONValue(b []byte, v reflect.Value, s *shape, f *field) []byte {
	switch s.kind {
	case kindStruct:
		return appendJSON(b, v, s)
	case kindList:
		b = append(b, '[')
		for i := range v.Len() {
			if i > 0 {
				b = append(b, ',')
			}
			b = appendJSONValue(b, v.Index(i), s.elem, f)
		}
		return append(b, ']')
	case kindMap:
		b = append(b, '{')
		for _, k := range sortedKeys(v) {
			b = appendJSONName(b, k.String())
			b = appendJSONValue(b, v.MapIndex(k), s.elem, f)
		}
		return append(b, '}')
	case kindString:
		return appendJSONString(b, v.String())
	case kindBool, kindInt:
		return appendScalar(b, v, s.kind, 0)
	case kindFloat:
		if n := v.Float(); !math.IsNaN(n) && !math.IsInf(n, 0) {
			return appendFloat(b, n, v.Type().Bits())
		}
	case kindTime:
		if format := f.time.or(timeUnix); format == timeUnix {
			return appendTime(b, v.Interface().(time.Time), format)
		}
	}
	b = append(b, '"')
	b = appendScalar(b, v, s.kind, f.time)
	return append(b, '"')
}

// appendJSONString appends s quoted. Bytes that are not UTF-8 become U+FFFD.
func appendJSONString(b []byte, s string) []byte {
	const hex = "0123456789abcdef"
	b = append(b, '"')
	last := 0
	for i := 0; i < len(s); {
		c := s[i]
		if c >= utf8.RuneSelf {
			r, size := utf8.DecodeRuneInString(s[i:])
			if r == utf8.RuneError && size == 1 {
				b = append(append(b, s[last:i]...), "\uFFFD"...)
				last = i + 1
			}
			i += size
			continue
		}
		if c >= 0x20 && c != '"' && c != '\\' {
			i++
			continue
		}
		b = append(b, s[last:i]...)
		switch c {
		case '"', '\\':
			b = append(b, '\\', c)
		case '\n':
			b = append(b, `\n`...)
		case '\r':
			b = append(b, `\r`...)
		case '\t':
			b = append(b, `\t`...)
		default:
			b = append(b, `\u00`...)
			b = append(b, hex[c>>4], hex[c&15])
		}
		i++
		last = i
	}
	b = append(b, s[last:]...)
	return append(b, '"')
}

// sortedKeys makes documents the same each time.
func sortedKeys(m reflect.Value) []reflect.Value {
	keys := m.MapKeys()
	slices.SortFunc(keys, func(a, b reflect.Value) int { return strings.Compare(a.String(), b.String()) })
	return keys
}
