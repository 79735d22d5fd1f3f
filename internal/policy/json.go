package policy

import (
	"bytes"
	"encoding/json"
	"errors"
	"io"
	"strings"
	"unicode/utf8"
)

// node is a JSON value that remembers where it was and in which order its members
// stood, which encoding/json's maps do not.
type node struct {
	value      any // string, json.Number, bool, nil; or one of the next two
	members    []member
	items      []*node
	isObject   bool
	isList     bool
	start, end int // offsets behind the opening and the closing brace or bracket
}

type member struct {
	name  string
	value *node
}

var (
	errDepth     = errors.New("nested too deeply")
	errDuplicate = errors.New("duplicate member")
	errTrailing  = errors.New("text after the document")
	errEncoding  = errors.New("not UTF-8")
)

// maxDepth is more than any valid policy nests.
const maxDepth = 16

// parseJSON reads a document strictly: one value, no member twice, valid UTF-8.
func parseJSON(document string) (*node, error) {
	if !utf8.ValidString(document) {
		return nil, errEncoding
	}
	dec := json.NewDecoder(strings.NewReader(document))
	dec.UseNumber()
	n, err := parseValue(dec, 0)
	if err != nil {
		return nil, err
	}
	if _, err := dec.Token(); !errors.Is(err, io.EOF) {
		return nil, errTrailing
	}
	return n, nil
}

func parseValue(dec *json.Decoder, depth int) (*node, error) {
	tok, err := dec.Token()
	if err != nil {
		return nil, err
	}
	delim, ok := tok.(json.Delim)
	if !ok {
		return &node{value: tok}, nil
	}
	if depth == maxDepth {
		return nil, errDepth
	}
	n := &node{start: int(dec.InputOffset()), isObject: delim == '{', isList: delim == '['}
	for dec.More() {
		if n.isList {
			item, err := parseValue(dec, depth+1)
			if err != nil {
				return nil, err
			}
			n.items = append(n.items, item)
			continue
		}
		key, err := dec.Token()
		if err != nil {
			return nil, err
		}
		name, _ := key.(string)
		if n.get(name) != nil {
			return nil, errDuplicate
		}
		value, err := parseValue(dec, depth+1)
		if err != nil {
			return nil, err
		}
		n.members = append(n.members, member{name, value})
	}
	if _, err := dec.Token(); err != nil {
		return nil, err
	}
	n.end = int(dec.InputOffset())
	return n, nil
}

func (n *node) get(name string) *node {
	for _, m := range n.members {
		if m.name == name {
			return m.value
		}
	}
	return nil
}

func (n *node) str() (string, bool) {
	s, ok := n.value.(string)
	return s, ok
}

// list is the node's strings, be it one or a list of them.
func (n *node) list() ([]string, bool) {
	if s, ok := n.str(); ok {
		return []string{s}, true
	}
	if !n.isList {
		return nil, false
	}
	out := make([]string, 0, len(n.items))
	for _, item := range n.items {
		s, ok := item.str()
		if !ok {
			return nil, false
		}
		out = append(out, s)
	}
	return out, true
}

// scalars is like list and takes numbers and booleans too, as conditions do.
func (n *node) scalars() ([]string, bool) {
	items := []*node{n}
	if n.isList {
		items = n.items
	}
	out := make([]string, 0, len(items))
	for _, item := range items {
		switch v := item.value.(type) {
		case string:
			out = append(out, v)
		case json.Number:
			out = append(out, v.String())
		case bool:
			out = append(out, map[bool]string{true: "true", false: "false"}[v])
		default:
			return nil, false
		}
	}
	return out, true
}

// positionAt turns an offset into line and column.
func positionAt(document string, offset int) Position {
	before := []byte(document[:offset])
	line := bytes.Count(before, []byte{'\n'}) + 1
	last := before[bytes.LastIndexByte(before, '\n')+1:]
	return Position{Line: line, Column: utf8.RuneCount(last) + 1}
}
