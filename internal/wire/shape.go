package wire

import (
	"fmt"
	"reflect"
	"strings"
	"sync"
	"time"
)

// kind is what a value is on the wire.
type kind uint8

const (
	kindString kind = iota
	kindBool
	kindInt
	kindFloat
	kindTime
	kindBlob
	kindList
	kindMap
	kindStruct
)

// shape is how values of a Go type of package api are carried: its field tags,
// read once.
type shape struct {
	kind    kind
	elem    *shape // of lists and maps
	fields  []field
	byName  map[string]*field // by the name in JSON and XML
	byQuery map[string]*field // by the name in ec2Query
	bound   bool              // some field travels outside of the body
	payload *field
}

// location is where a REST protocol puts a member.
type location uint8

const (
	inBody location = iota
	inURI
	inQuery
	inHeader
	inHeaders // a map: all headers with a prefix
	inStatus
)

// field is a member of a structure.
type field struct {
	*shape
	index            int
	name             string
	query            string
	item, key, value string
	flat             bool
	in               location
	time             timeFormat
	required         bool
}

var shapes struct {
	sync.Mutex // guards known; held until a shape is complete
	known      map[reflect.Type]*shape
}

// shapeOf is the shape of a struct type.
func shapeOf(t reflect.Type) *shape {
	shapes.Lock()
	defer shapes.Unlock()
	if shapes.known == nil {
		shapes.known = map[reflect.Type]*shape{}
	}
	return newShape(t)
}

var (
	timeType = reflect.TypeFor[time.Time]()
	blobType = reflect.TypeFor[[]byte]()
)

func newShape(t reflect.Type) *shape {
	if t.Kind() == reflect.Pointer {
		t = t.Elem()
	}
	if s := shapes.known[t]; s != nil {
		return s
	}
	s := new(shape)
	shapes.known[t] = s
	switch {
	case t == timeType:
		s.kind = kindTime
	case t == blobType:
		s.kind = kindBlob
	case t.Kind() == reflect.String:
		s.kind = kindString
	case t.Kind() == reflect.Bool:
		s.kind = kindBool
	case t.Kind() == reflect.Int32 || t.Kind() == reflect.Int64:
		s.kind = kindInt
	case t.Kind() == reflect.Float32 || t.Kind() == reflect.Float64:
		s.kind = kindFloat
	case t.Kind() == reflect.Slice:
		s.kind, s.elem = kindList, newShape(t.Elem())
	case t.Kind() == reflect.Map:
		s.kind, s.elem = kindMap, newShape(t.Elem())
	case t.Kind() == reflect.Struct:
		s.kind = kindStruct
		s.readFields(t)
	default:
		panic(fmt.Sprintf("wire: no protocol carries a %v", t))
	}
	return s
}

func (s *shape) readFields(t reflect.Type) {
	s.fields = make([]field, t.NumField())
	s.byName = make(map[string]*field, t.NumField())
	s.byQuery = make(map[string]*field, t.NumField())
	for i := range s.fields {
		f := &s.fields[i]
		sf := t.Field(i)
		*f = field{shape: newShape(sf.Type), index: i, item: "member", key: "key", value: "value"}
		name, opts, _ := strings.Cut(sf.Tag.Get("aws"), ",")
		if name == "" {
			name = sf.Name
		}
		f.name, f.query = name, strings.ToUpper(name[:1])+name[1:]
		for opt := range strings.SplitSeq(opts, ",") {
			opt, val, _ := strings.Cut(opt, "=")
			switch opt {
			case "":
			case "q":
				f.query = val
			case "item":
				f.item = val
			case "key":
				f.key = val
			case "value":
				f.value = val
			case "flat":
				f.flat = true
			case "uri":
				f.in = inURI
			case "query":
				f.in = inQuery
			case "header":
				f.in = inHeader
			case "headers":
				f.in = inHeaders
			case "status":
				f.in = inStatus
			case "payload":
				s.payload = f
			case "ts":
				f.time = timeFormats[val]
			case "req":
				f.required = true
			case "token":
			default:
				panic(fmt.Sprintf("wire: %v.%s has the unknown tag %q", t, sf.Name, opt))
			}
		}
		s.bound = s.bound || f.in != inBody
		s.byName[f.name] = f
		s.byQuery[f.query] = f
	}
}

// present tells whether a member's value is there, and gives it without its
// pointer.
func present(v reflect.Value) (reflect.Value, bool) {
	if v.IsZero() {
		return v, false
	}
	if v.Kind() == reflect.Pointer {
		return v.Elem(), true
	}
	return v, true
}
