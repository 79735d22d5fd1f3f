package main

import (
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"
	"unicode"
)

// manyValues is the size from which an enumeration has no constants: EC2's
// instance types alone would be a thousand lines.
const manyValues = 100

// gen collects what a service's packages are made of.
type gen struct {
	*model
	list      *listed
	protocols []string
	xml       bool // some protocol of the service writes XML

	structs map[string]*goStruct // by Go name
	enums   map[string][]string  // values by Go name
}

// goStruct is a structure to be written.
type goStruct struct {
	shape *shape
	omit  []string // members that are not fields
}

func export(s string) string {
	if s == "" {
		return s
	}
	return strings.ToUpper(s[:1]) + s[1:]
}

// reach records the shapes that a reference leads to.
func (g *gen) reach(r *ref) error {
	s, ok := g.Shapes[r.Shape]
	if !ok {
		return fmt.Errorf("shape %s is not in the model", r.Shape)
	}
	name := export(r.Shape)
	switch s.Type {
	case "structure":
		return g.addStruct(name, s)
	case "list":
		if t := g.Shapes[s.Member.Shape].Type; g.xml && (t == "list" || t == "map") {
			return fmt.Errorf("%s: lists of lists or maps have no tags for XML yet", name)
		}
		return g.reach(s.Member)
	case "map":
		if t := g.Shapes[s.Value.Shape].Type; g.xml && (t == "list" || t == "map") {
			return fmt.Errorf("%s: maps of lists or maps have no tags for XML yet", name)
		}
		return g.reach(s.Value)
	case "string":
		if len(s.Enum) > 0 {
			g.enums[name] = s.Enum
		}
	}
	return nil
}

func (g *gen) addStruct(name string, s *shape, omit ...string) error {
	if old, ok := g.structs[name]; ok {
		if old.shape != s {
			return fmt.Errorf("two structures are named %s", name)
		}
		return nil
	}
	if s.Document || s.Streaming {
		return fmt.Errorf("%s: documents and streams are not known here", name)
	}
	g.structs[name] = &goStruct{s, omit}
	for _, m := range s.Members.names {
		r := s.Members.refs[m]
		if slices.Contains(omit, m) {
			continue
		}
		if r.XMLAttribute || r.Streaming || r.Eventstream || r.HostLabel {
			return fmt.Errorf("%s.%s: attributes, streams and host labels are not known here", name, m)
		}
		if err := g.reach(r); err != nil {
			return fmt.Errorf("%s.%s: %w", name, m, err)
		}
	}
	return nil
}

// goType is the Go type of elements; those of scalar members are pointers to it.
func (g *gen) goType(name string) (typ string, pointer bool) {
	s := g.Shapes[name]
	switch s.Type {
	case "structure":
		return export(name), true
	case "list":
		t, _ := g.goType(s.Member.Shape)
		return "[]" + t, false
	case "map":
		t, _ := g.goType(s.Value.Shape)
		return "map[string]" + t, false
	case "string", "character":
		if len(s.Enum) > 0 {
			return export(name), false
		}
		return "string", true
	case "integer":
		return "int32", true
	case "long":
		return "int64", true
	case "float":
		return "float32", true
	case "double":
		return "float64", true
	case "boolean":
		return "bool", true
	case "timestamp":
		return "time.Time", true
	case "blob":
		return "[]byte", false
	}
	panic("shape " + name + " has the unknown type " + s.Type)
}

// tag is the field tag of member m of s.
func (g *gen) tag(s *shape, m string) string {
	r := s.Members.refs[m]
	target := g.Shapes[r.Shape]
	name := m
	// The JSON protocols without bindings ignore location names.
	if r.LocationName != "" && !strings.HasPrefix(g.protocols[0], "AWSJSON") {
		name = r.LocationName
	}
	var opts []string
	add := func(format string, args ...any) { opts = append(opts, fmt.Sprintf(format, args...)) }
	if r.QueryName != "" && r.QueryName != export(name) {
		add("q=%s", r.QueryName)
	}
	flat := r.Flattened || target.Flattened
	elem := func(opt string, e *ref, usual string) {
		if e.LocationName != "" && e.LocationName != usual {
			add("%s=%s", opt, e.LocationName)
		}
	}
	switch {
	case !g.xml:
	case target.Type == "list":
		elem("item", target.Member, "member")
	case target.Type == "map":
		elem("key", target.Key, "key")
		elem("value", target.Value, "value")
	}
	if flat {
		add("flat")
	}
	switch r.Location {
	case "uri", "header", "headers":
		add("%s", r.Location)
	case "querystring":
		add("query")
	case "statusCode":
		add("status")
	}
	if s.Payload == m {
		add("payload")
	}
	if f := cmpOr(r.TimestampFormat, target.TimestampFormat); f != "" {
		add("ts=%s", map[string]string{"iso8601": "iso8601", "unixTimestamp": "unix", "rfc822": "http"}[f])
	}
	if slices.Contains(s.Required, m) {
		add("req")
	}
	if r.IdempotencyToken {
		add("token")
	}
	if name == export(m) {
		name = ""
	}
	if len(opts) > 0 {
		name += "," + strings.Join(opts, ",")
	}
	if name == "" {
		return ""
	}
	return "`aws:" + strconv.Quote(name) + "`"
}

func cmpOr(a, b string) string {
	if a != "" {
		return a
	}
	return b
}

// constants are the names of an enumeration's constants, by value.
func constants(typ string, values []string) (map[string]string, error) {
	names := map[string]string{}
	taken := map[string]string{}
	for _, v := range values {
		words := strings.FieldsFunc(v, func(r rune) bool { return !unicode.IsLetter(r) && !unicode.IsDigit(r) })
		var b strings.Builder
		for _, w := range words {
			if w == strings.ToUpper(w) {
				w = strings.ToLower(w)
			}
			b.WriteString(export(w))
		}
		name := typ + b.String()
		if b.Len() == 0 {
			return nil, fmt.Errorf("%s: no name for the value %q", typ, v)
		}
		if other, ok := taken[name]; ok {
			return nil, fmt.Errorf("%s: %q and %q have one name", typ, other, v)
		}
		taken[name], names[v] = v, name
	}
	return names, nil
}

func sorted[V any](m map[string]V) []string { return slices.Sorted(maps.Keys(m)) }
