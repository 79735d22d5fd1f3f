package ec2_test

import "reflect"

// filled is a pointer to an input in which all members are something: strings
// are "x", lists have an element.
func filled(input reflect.Type) any {
	v := reflect.New(input)
	fill(v.Elem(), 0)
	return v.Interface()
}

func fill(v reflect.Value, depth int) {
	switch {
	case depth > 6:
	case v.Kind() == reflect.Pointer:
		v.Set(reflect.New(v.Type().Elem()))
		fill(v.Elem(), depth+1)
	case v.Kind() == reflect.Struct:
		for i := range v.NumField() {
			if v.Field(i).CanSet() {
				fill(v.Field(i), depth+1)
			}
		}
	case v.Kind() == reflect.Slice && v.Type().Elem().Kind() != reflect.Uint8:
		v.Set(reflect.MakeSlice(v.Type(), 1, 1))
		fill(v.Index(0), depth+1)
	case v.Kind() == reflect.String:
		v.SetString("x")
	}
}
