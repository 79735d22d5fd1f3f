package eksctl

import (
	_ "embed"
	"fmt"
	"slices"
	"strings"
	"sync"
)

//go:embed schema.txt
var schemaText string

// kind is the shape of a value in the schema.
type kind int

const (
	kindString kind = iota
	kindInt
	kindNumber
	kindBool
	kindOpen   // a mapping of anything
	kindEnum   // one of words
	kindList   // of elem
	kindMap    // of elem, under any key
	kindObject // with fields
	kindTaints // a list of Taint, or key: "value:Effect", as eksctl takes both
)

type valueType struct {
	kind   kind
	words  []string   // kindEnum
	elem   *valueType // kindList, kindMap, kindTaints
	object *object    // kindObject
}

type object struct {
	name   string
	fields []field
}

type field struct {
	name     string
	required bool
	acted    bool // Tarn does what it says
	typ      *valueType
}

func (o *object) field(name string) (field, bool) {
	if i := slices.IndexFunc(o.fields, func(f field) bool { return f.name == name }); i >= 0 {
		return o.fields[i], true
	}
	return field{}, false
}

func (o *object) fieldNames() []string {
	names := make([]string, len(o.fields))
	for i, f := range o.fields {
		names[i] = f.name
	}
	return names
}

// schema is the whole of schema.txt.
type schema struct {
	objects map[string]*object
	places  map[string][]string // field name -> the paths of the objects that have it
}

func (s *schema) root() *object { return s.objects["ClusterConfig"] }

// loadSchema parses schema.txt on first use; a fault in it is a fault of the
// build and panics, which every test of this package would see.
var loadSchema = sync.OnceValue(func() *schema {
	s, err := parseSchema(schemaText)
	if err != nil {
		panic("eksctl: schema.txt: " + err.Error())
	}
	return s
})

func parseSchema(text string) (*schema, error) {
	s := &schema{objects: map[string]*object{}, places: map[string][]string{}}
	body := map[*object][]string{}
	var order []*object
	for i, line := range strings.Split(text, "\n") {
		switch {
		case line == "" || line[0] == '#':
		case line[0] != ' ':
			if s.objects[line] != nil {
				return nil, fmt.Errorf("line %d: object %s is there twice", i+1, line)
			}
			o := &object{name: line}
			s.objects[line] = o
			order = append(order, o)
		case len(order) == 0:
			return nil, fmt.Errorf("line %d: a field before any object", i+1)
		default:
			last := order[len(order)-1]
			body[last] = append(body[last], strings.TrimSpace(line))
		}
	}
	for _, o := range order {
		fields, err := s.fields(o, body)
		if err != nil {
			return nil, fmt.Errorf("object %s: %w", o.name, err)
		}
		o.fields = fields
	}
	if s.root() == nil {
		return nil, fmt.Errorf("there is no ClusterConfig")
	}
	s.index(s.root(), "")
	return s, nil
}

func (s *schema) fields(o *object, body map[*object][]string) ([]field, error) {
	var fields []field
	for _, line := range body[o] {
		if base, ok := strings.CutPrefix(line, "+"); ok {
			if s.objects[base] == nil {
				return nil, fmt.Errorf("no object %s", base)
			}
			included, err := s.fields(s.objects[base], body)
			if err != nil {
				return nil, err
			}
			fields = append(fields, included...)
			continue
		}
		name, typ, ok := strings.Cut(line, " ")
		if !ok {
			return nil, fmt.Errorf("field %q has no type", line)
		}
		f := field{name: strings.TrimRight(name, "*!"), required: strings.Contains(name, "!"), acted: strings.Contains(name, "*")}
		var err error
		if f.typ, err = s.parseType(typ); err != nil {
			return nil, fmt.Errorf("field %s: %w", f.name, err)
		}
		fields = append(fields, f)
	}
	return fields, nil
}

func (s *schema) parseType(text string) (*valueType, error) {
	simple := map[string]kind{"string": kindString, "int": kindInt, "number": kindNumber, "bool": kindBool, "object": kindOpen}
	if k, ok := simple[text]; ok {
		return &valueType{kind: k}, nil
	}
	if o := s.objects[text]; o != nil {
		return &valueType{kind: kindObject, object: o}, nil
	}
	if text == "taints" {
		elem, err := s.parseType("Taint")
		return &valueType{kind: kindTaints, elem: elem}, err
	}
	for _, wrap := range []struct {
		open, close string
		kind        kind
	}{{"[", "]", kindList}, {"{", "}", kindMap}} {
		if strings.HasPrefix(text, wrap.open) && strings.HasSuffix(text, wrap.close) {
			elem, err := s.parseType(text[1 : len(text)-1])
			return &valueType{kind: wrap.kind, elem: elem}, err
		}
	}
	if strings.Contains(text, "|") {
		return &valueType{kind: kindEnum, words: strings.Split(strings.TrimSuffix(text, "|"), "|")}, nil
	}
	return nil, fmt.Errorf("no type %q", text)
}

// index remembers where each field may stand, for the advice to a field that
// is in the wrong place. The objects form no cycle (a test would not end).
func (s *schema) index(o *object, path string) {
	for _, f := range o.fields {
		where := path
		if where == "" {
			where = "the top level"
		}
		if !slices.Contains(s.places[f.name], where) {
			s.places[f.name] = append(s.places[f.name], where)
		}
		t, at := f.typ, join(path, f.name)
		for t.elem != nil {
			if t.kind != kindMap {
				at += "[]"
			}
			t = t.elem
		}
		if t.kind == kindObject {
			s.index(t.object, at)
		}
	}
}

// join appends a field's name to a path.
func join(path, name string) string {
	if path == "" {
		return name
	}
	return path + "." + name
}
