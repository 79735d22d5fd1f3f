package conformance

import (
	"fmt"
	"math"
	"reflect"
	"strings"
	"time"
)

// The SDK's structs have the names of ours, with some differences that these
// functions bridge: enumerations are other string types, and numbers that have
// a default are no pointers.

// adapt copies ours, a struct of package api, to theirs, one of the SDK. What
// theirs cannot hold is taken out of ours.
func adapt(ours, theirs reflect.Value) {
	for i := range ours.NumField() {
		name := ours.Type().Field(i).Name
		from := ours.Field(i)
		to := theirs.FieldByName(name)
		if !to.IsValid() || to.Kind() == reflect.Interface || !adaptValue(from, to) {
			from.SetZero()
		}
	}
}

func adaptValue(from, to reflect.Value) bool {
	if from.IsZero() && (from.Kind() == reflect.Pointer || from.Kind() == reflect.Slice || from.Kind() == reflect.Map) {
		return true
	}
	if from.Kind() == reflect.Pointer {
		from = from.Elem()
		if to.Kind() != reflect.Pointer && from.IsZero() {
			return false // theirs would not send it
		}
	}
	if t := to.Type(); from.Kind() == reflect.String && t.Kind() != reflect.String && !(t.Kind() == reflect.Pointer && t.Elem().Kind() == reflect.String) {
		if t != reflect.TypeFor[*int32]() {
			return false
		}
		// A number that the models call a string.
		from.SetString("7")
		to.Set(reflect.ValueOf(new(int32(7))))
		return true
	}
	if to.Kind() == reflect.Pointer {
		to.Set(reflect.New(to.Type().Elem()))
		to = to.Elem()
	}
	switch from.Kind() {
	case reflect.Struct:
		if from.Type() == timeType {
			to.Set(from)
			return true
		}
		if to.Kind() != reflect.Struct {
			return false
		}
		adapt(from, to)
	case reflect.Slice:
		if from.Type().Elem().Kind() == reflect.Uint8 {
			to.SetBytes(from.Bytes())
			return true
		}
		to.Set(reflect.MakeSlice(to.Type(), from.Len(), from.Len()))
		for i := range from.Len() {
			if !adaptValue(from.Index(i), to.Index(i)) {
				return false
			}
		}
	case reflect.Map:
		to.Set(reflect.MakeMap(to.Type()))
		for _, k := range from.MapKeys() {
			e := reflect.New(to.Type().Elem()).Elem()
			ours := reflect.New(from.Type().Elem()).Elem()
			ours.Set(from.MapIndex(k))
			if !adaptValue(ours, e) {
				return false
			}
			from.SetMapIndex(k, ours)
			to.SetMapIndex(k.Convert(to.Type().Key()), e)
		}
	default:
		if !from.Type().ConvertibleTo(to.Type()) {
			return false
		}
		to.Set(from.Convert(to.Type()))
	}
	return true
}

// compare appends what differs between ours and theirs, both structs.
func compare(ours, theirs reflect.Value, path string, diffs *[]string) {
	for i := range ours.NumField() {
		name := ours.Type().Field(i).Name
		to := theirs.FieldByName(name)
		if !to.IsValid() || to.Kind() == reflect.Interface {
			continue // adapt has told
		}
		compareValue(ours.Field(i), to, path+"."+name, diffs)
	}
}

func compareValue(a, b reflect.Value, path string, diffs *[]string) {
	differ := func() {
		*diffs = append(*diffs, fmt.Sprintf("%s: handler's side %s, client's side %s", path, show(a), show(b)))
	}
	if absent(a) || absent(b) {
		// Numbers that are no pointers in the SDK have a default for absence.
		if absent(a) != absent(b) && !(a.IsZero() && b.IsZero()) {
			differ()
		}
		return
	}
	a, b = reflect.Indirect(a), reflect.Indirect(b)
	switch {
	case a.Type() == timeType:
		if !a.Interface().(time.Time).Equal(b.Interface().(time.Time).Round(time.Millisecond)) {
			differ()
		}
	case a.Kind() == reflect.Struct:
		compare(a, b, path, diffs)
	case a.Kind() == reflect.Slice:
		if a.Len() != b.Len() {
			differ()
			return
		}
		for i := range a.Len() {
			compareValue(a.Index(i), b.Index(i), fmt.Sprintf("%s[%d]", path, i), diffs)
		}
	case a.Kind() == reflect.Map:
		if a.Len() != b.Len() {
			differ()
			return
		}
		for _, k := range a.MapKeys() {
			e := b.MapIndex(k.Convert(b.Type().Key()))
			if !e.IsValid() {
				differ()
				return
			}
			compareValue(a.MapIndex(k), e, fmt.Sprintf("%s[%q]", path, k), diffs)
		}
	case a.Kind() == reflect.Float32 || a.Kind() == reflect.Float64:
		if x, y := a.Float(), b.Float(); x != y && !(math.IsNaN(x) && math.IsNaN(y)) {
			differ()
		}
	case a.Kind() == reflect.String && b.Kind() != reflect.String:
		if a.String() != fmt.Sprint(b) {
			differ()
		}
	default:
		if !a.Equal(b.Convert(a.Type())) {
			differ()
		}
	}
}

// absent tells whether v is what stands for a member that is not there.
func absent(v reflect.Value) bool {
	switch v.Kind() {
	case reflect.Pointer, reflect.Slice, reflect.Map:
		return v.IsNil()
	case reflect.String:
		return v.Len() == 0 && v.Type().Name() != "string"
	}
	return false
}

func show(v reflect.Value) string {
	v = reflect.Indirect(v)
	if !v.IsValid() {
		return "absent"
	}
	return fmt.Sprintf("%.300q", strings.TrimSpace(fmt.Sprintf("%+v", v)))
}

// lacks appends the members of ours, and of what it contains, that theirs
// cannot hold.
func lacks(ours, theirs reflect.Type, path string, seen map[reflect.Type]bool, out *[]string) {
	for ours.Kind() == reflect.Pointer || ours.Kind() == reflect.Slice || ours.Kind() == reflect.Map {
		ours = ours.Elem()
	}
	for theirs.Kind() == reflect.Pointer || theirs.Kind() == reflect.Slice || theirs.Kind() == reflect.Map {
		theirs = theirs.Elem()
	}
	if ours.Kind() != reflect.Struct || ours == timeType || seen[ours] {
		return
	}
	seen[ours] = true
	if theirs.Kind() != reflect.Struct {
		*out = append(*out, path)
		return
	}
	for i := range ours.NumField() {
		name := ours.Field(i).Name
		f, ok := theirs.FieldByName(name)
		if !ok || f.Type.Kind() == reflect.Interface {
			*out = append(*out, path+"."+name)
			continue
		}
		lacks(ours.Field(i).Type, f.Type, path+"."+name, seen, out)
	}
}
