package eksctl

import (
	"fmt"
	"math"
	"slices"
	"strings"

	"go.yaml.in/yaml/v3"
)

// checker holds a tree against the schema: unknown and missing fields, wrong
// types, words that are not among those allowed; and it notes which fields
// Tarn does not act on.
type checker struct {
	schema *schema
	report *report
}

func (c *checker) object(n *node, o *object, path string, acted bool) {
	if n.kind != yaml.MappingNode {
		c.wrongType(n, path, "a mapping (fields below it, indented)")
		return
	}
	for _, e := range n.entries {
		at := keyPath(path, e.key)
		f, known := o.field(e.key)
		if !known {
			if c.report.full {
				continue // advice is costly, and would not be shown
			}
			c.report.add(e.at, at, "%s", c.unknown(e.key, o, path))
			continue
		}
		if acted && !f.acted && says(e.value) {
			c.report.ignore(e.at, at)
		}
		c.value(e.value, f.typ, at, acted && f.acted)
	}
	for _, f := range o.fields {
		if f.required && n.get(f.name).null() {
			c.report.add(n.pos, join(path, f.name), "is missing, and must be given")
		}
	}
}

func (c *checker) value(n *node, t *valueType, path string, acted bool) {
	if n.null() {
		return // a field without a value is one that is not given
	}
	switch t.kind {
	case kindOpen:
		if n.kind != yaml.MappingNode {
			c.wrongType(n, path, "a mapping")
		}
	case kindObject:
		c.object(n, t.object, path, acted)
	case kindTaints:
		if n.kind == yaml.MappingNode {
			c.value(n, &valueType{kind: kindMap, elem: &valueType{kind: kindString}}, path, acted)
			return
		}
		c.list(n, t, path, acted)
	case kindList:
		c.list(n, t, path, acted)
	case kindMap:
		if n.kind != yaml.MappingNode {
			c.wrongType(n, path, "a mapping of key: value")
			return
		}
		for _, e := range n.entries {
			c.value(e.value, t.elem, keyPath(path, e.key), acted)
		}
	default:
		c.scalar(n, t, path)
	}
}

func (c *checker) list(n *node, t *valueType, path string, acted bool) {
	if n.kind != yaml.SequenceNode {
		c.wrongType(n, path, `a list (lines that begin with "- ", or [a, b])`)
		return
	}
	for i, item := range n.items {
		at := fmt.Sprintf("%s[%d]", path, i)
		if item.null() {
			c.report.add(item.pos, at, "the entry is empty: fill it in or remove it")
			continue
		}
		c.value(item, t.elem, at, acted)
	}
}

func (c *checker) scalar(n *node, t *valueType, path string) {
	switch t.kind {
	case kindString:
		if _, ok := n.string(); !ok {
			c.wrongType(n, path, "a string")
		}
	case kindEnum:
		word, ok := n.string()
		if !ok {
			c.wrongType(n, path, "one of "+strings.Join(t.words, ", "))
		} else if !slices.Contains(t.words, word) {
			c.report.add(n.pos, path, "%s is not one of %s%s", shown(word), strings.Join(t.words, ", "), didYouMean(word, t.words))
		}
	case kindInt:
		if _, ok := n.int(); !ok {
			c.wrongType(n, path, fmt.Sprintf("a whole number of at most %d, without quotes", math.MaxInt32))
		}
	case kindNumber:
		if n.tag != "!!int" && n.tag != "!!float" {
			c.wrongType(n, path, "a number, without quotes")
		}
	case kindBool:
		if _, ok := n.bool(); !ok {
			c.wrongType(n, path, "true or false")
		}
	}
}

// wrongType says what was wanted and what is there, and how to quote a value
// that YAML reads as something else than the string it was meant to be.
func (c *checker) wrongType(n *node, path, want string) {
	have := map[string]string{"!!int": "the number ", "!!float": "the number ", "!!bool": "the boolean ", "!!str": "the string "}[n.tag]
	switch {
	case n.kind == yaml.MappingNode:
		have = "a mapping"
	case n.kind == yaml.SequenceNode:
		have = "a list"
	case have == "":
		have = fmt.Sprintf("a value tagged %s", shown(n.tag))
	case n.tag == "!!str" && yaml11Bool(n):
		have = fmt.Sprintf("the boolean %s", n.text)
	case n.tag == "!!str":
		have += shown(n.text)
	default:
		have += strings.Trim(shown(n.text), `"`)
	}
	way := ""
	if want == "a string" && n.kind == yaml.ScalarNode && n.plain {
		way = fmt.Sprintf(": put it in quotes, %s", shown(n.text))
	}
	c.report.add(n.pos, path, "want %s, have %s%s", want, have, way)
}

// unknown words the advice for a field that is not in o.
func (c *checker) unknown(name string, o *object, path string) string {
	if meant := nearest(name, o.fieldNames()); meant != "" {
		return fmt.Sprintf("unknown field%s", meanIt(meant))
	}
	if places := c.schema.places[name]; len(places) > 0 {
		return fmt.Sprintf("this field does not belong here, but in %s", strings.Join(places[:min(3, len(places))], " or "))
	}
	if names := o.fieldNames(); len(names) <= 12 {
		return fmt.Sprintf("unknown field; here may stand %s", strings.Join(names, ", "))
	}
	return "unknown field: eksctl.io/v1alpha5 has none of this name here; remove it or mend the indentation"
}

func didYouMean(word string, words []string) string {
	if meant := nearest(word, words); meant != "" {
		return meanIt(meant)
	}
	return ""
}

func meanIt(word string) string { return fmt.Sprintf("; did you mean %s?", word) }

// says tells whether a value holds anything: `ssh:` and `tags: {}` do not.
func says(n *node) bool {
	if n.null() {
		return false
	}
	return n.kind == yaml.ScalarNode || len(n.entries)+len(n.items) > 0
}

// The readings below are eksctl's: it reads YAML 1.1, where a plain yes, no,
// on or off is a boolean, and a number or boolean is never a string.

func yaml11Bool(n *node) bool {
	if !n.plain || n.tag != "!!str" {
		return false
	}
	switch strings.ToLower(n.text) {
	case "yes", "no", "on", "off":
		return true
	}
	return false
}

func (n *node) string() (string, bool) {
	if n == nil || n.kind != yaml.ScalarNode || yaml11Bool(n) {
		return "", false
	}
	return n.text, n.tag == "!!str" || n.tag == "!!timestamp"
}

func (n *node) bool() (value, ok bool) {
	if n == nil || n.kind != yaml.ScalarNode || n.tag != "!!bool" && !yaml11Bool(n) {
		return false, false
	}
	switch strings.ToLower(n.text) {
	case "true", "yes", "on":
		return true, true
	case "false", "no", "off":
		return false, true
	}
	return false, false
}

func (n *node) int() (int, bool) {
	if n == nil || n.kind != yaml.ScalarNode || n.tag != "!!int" {
		return 0, false
	}
	var value int32 // no count in a cluster file needs more
	scalar := yaml.Node{Kind: yaml.ScalarNode, Tag: n.tag, Value: n.text}
	if err := scalar.Decode(&value); err != nil {
		return 0, false
	}
	return int(value), true
}
