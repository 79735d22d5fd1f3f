package eksctl

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"regexp"
	"strconv"
	"strings"

	"go.yaml.in/yaml/v3"
)

// Bounds on a cluster file. The largest real ones, with user data and inline
// IAM policies, stay far below them.
const (
	maxBytes  = 256 << 10
	maxValues = 20_000 // after aliases are expanded: ends "billion laughs"
	maxDepth  = 100
)

type pos struct{ line, column int }

// node is a YAML value with its aliases and merge keys resolved and its
// position kept. The rest of the package sees only these.
type node struct {
	kind  yaml.Kind // ScalarNode, MappingNode or SequenceNode
	pos   pos
	tag   string // of a scalar: "!!str", "!!int", …
	text  string // of a scalar
	plain bool   // of a scalar: written without quotes

	entries []entry // of a mapping, in the file's order
	items   []*node // of a sequence
}

type entry struct {
	key   string
	at    pos
	value *node
}

func (n *node) null() bool {
	return n == nil || n.kind == yaml.ScalarNode && n.tag == "!!null"
}

// get returns a mapping's value under key, or nil.
func (n *node) get(key string) *node {
	if n == nil {
		return nil
	}
	for _, e := range n.entries {
		if e.key == key {
			return e.value
		}
	}
	return nil
}

// readTree reads the one document of a cluster file. It returns nil when there
// is nothing to look at further; why is in r.
func readTree(in io.Reader, r *report) (*node, error) {
	data, err := io.ReadAll(io.LimitReader(in, maxBytes+1))
	if err != nil {
		return nil, fmt.Errorf("read cluster file %s: %w", r.file, err)
	}
	if len(data) > maxBytes {
		r.add(pos{1, 1}, "", "the file is larger than %d KiB: is it a ClusterConfig?", maxBytes>>10)
		return nil, nil
	}
	doc := onlyDocument(data, r)
	if doc == nil {
		return nil, nil
	}
	c := converter{report: r, open: map[*yaml.Node]bool{}}
	tree := c.convert(doc, "", 0)
	if c.stopped {
		return nil, nil
	}
	return tree, nil
}

// onlyDocument parses the stream; empty documents ("---" at either end) do not count.
func onlyDocument(data []byte, r *report) *yaml.Node {
	var only *yaml.Node
	for dec := yaml.NewDecoder(bytes.NewReader(data)); ; {
		var doc yaml.Node
		err := dec.Decode(&doc)
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			addSyntaxError(data, err, r)
			return nil
		}
		root := &doc
		if root.Kind == yaml.DocumentNode {
			if len(root.Content) == 0 {
				continue
			}
			root = root.Content[0]
		}
		if root.Kind == 0 || root.Kind == yaml.ScalarNode && root.ShortTag() == "!!null" {
			continue
		}
		if only != nil {
			r.add(pos{root.Line, root.Column}, "", "a second YAML document: Tarn reads one ClusterConfig a file; put the others in files of their own")
			return nil
		}
		only = root
	}
	if only == nil && len(r.errors) == 0 {
		r.add(pos{1, 1}, "", "the file is empty: it must hold a ClusterConfig (apiVersion, kind, metadata)")
	}
	return only
}

var (
	yamlLine      = regexp.MustCompile(`^yaml: (?:line (\d+): )?`)
	unknownAnchor = regexp.MustCompile(`^unknown anchor '(.*)' referenced$`)
)

// addSyntaxError turns the parser's text into an Error; the parser tells the
// line, at best, and no column.
func addSyntaxError(data []byte, err error, r *report) {
	at, problem := pos{1, 1}, err.Error()
	if m := yamlLine.FindStringSubmatch(problem); m != nil {
		problem = problem[len(m[0]):]
		if line, err := strconv.Atoi(m[1]); err == nil && line > 0 {
			at.line = line
		}
	}
	if strings.HasPrefix(problem, "did not find expected") {
		at.line++ // the parser counts from 0 in these
	}
	if m := unknownAnchor.FindStringSubmatch(problem); m != nil {
		if i := bytes.Index(data, []byte("*"+m[1])); i >= 0 {
			at.line = 1 + bytes.Count(data[:i], []byte("\n"))
			at.column = i - bytes.LastIndexByte(data[:i], '\n')
		}
	}
	lines := bytes.Split(data, []byte("\n"))
	at.line = min(at.line, len(lines))
	// The usual cause, and one that cannot be seen in an editor.
	for i := max(0, at.line-2); i < min(len(lines), at.line+1); i++ {
		if bytes.HasPrefix(bytes.TrimLeft(lines[i], " "), []byte("\t")) {
			r.add(pos{i + 1, bytes.IndexByte(lines[i], '\t') + 1}, "", "not valid YAML: a tab in the indentation; use spaces")
			return
		}
	}
	r.add(at, "", "not valid YAML: %s", problem)
}

// converter turns YAML nodes into nodes.
type converter struct {
	report  *report
	open    map[*yaml.Node]bool // anchors being expanded, to see one that contains itself
	values  int
	stopped bool
}

func (c *converter) stop(n *yaml.Node, path, format string, args ...any) *node {
	if !c.stopped {
		c.stopped = true
		c.report.add(pos{n.Line, n.Column}, path, format, args...)
	}
	return &node{kind: yaml.ScalarNode, pos: pos{n.Line, n.Column}, tag: "!!null"}
}

func (c *converter) convert(n *yaml.Node, path string, depth int) *node {
	if c.values++; c.stopped || c.values > maxValues {
		return c.stop(n, path, "more than %d values with all aliases expanded: write them out, or use fewer anchors", maxValues)
	}
	if depth > maxDepth {
		return c.stop(n, path, "nested more than %d deep", maxDepth)
	}
	if n.Kind == yaml.AliasNode {
		target := n.Alias
		if c.open[target] {
			return c.stop(n, path, "the anchor %q contains itself: remove the alias", n.Value)
		}
		return c.convert(target, path, depth+1)
	}
	c.open[n] = true
	defer delete(c.open, n)

	out := &node{kind: n.Kind, pos: pos{n.Line, n.Column}}
	switch n.Kind {
	case yaml.MappingNode:
		c.mapping(n, out, path, depth)
	case yaml.SequenceNode:
		for i, item := range n.Content {
			out.items = append(out.items, c.convert(item, fmt.Sprintf("%s[%d]", path, i), depth+1))
		}
	default:
		out.kind, out.tag, out.text = yaml.ScalarNode, n.ShortTag(), n.Value
		out.plain = n.Style&(yaml.SingleQuotedStyle|yaml.DoubleQuotedStyle|yaml.LiteralStyle|yaml.FoldedStyle|yaml.TaggedStyle) == 0
	}
	return out
}

// mapping fills out with n's entries; keys of its own win over merged ones ("<<").
func (c *converter) mapping(n *yaml.Node, out *node, path string, depth int) {
	first := map[string]pos{}
	var merges []*yaml.Node
	for i := 0; i+1 < len(n.Content) && !c.stopped; i += 2 {
		key, value := n.Content[i], n.Content[i+1]
		if key.Kind == yaml.AliasNode {
			key = key.Alias
		}
		at := pos{n.Content[i].Line, n.Content[i].Column}
		if key.Kind != yaml.ScalarNode {
			c.report.add(at, path, "a key must be a plain word, not a mapping or a list")
			continue
		}
		if key.ShortTag() == "!!merge" {
			merges = append(merges, value)
			continue
		}
		if before, twice := first[key.Value]; twice {
			c.report.add(at, keyPath(path, key.Value), "already given at line %d: remove one of the two", before.line)
			continue
		}
		first[key.Value] = at
		out.entries = append(out.entries, entry{key.Value, at, c.convert(value, keyPath(path, key.Value), depth+1)})
	}
	for _, m := range merges {
		merged := c.convert(m, path, depth+1)
		sources := []*node{merged}
		if merged.kind == yaml.SequenceNode {
			sources = merged.items
		}
		for _, source := range sources {
			if source.kind != yaml.MappingNode && !c.stopped {
				c.report.add(pos{m.Line, m.Column}, keyPath(path, "<<"), "a merge takes a mapping or a list of mappings, such as *anchor")
				continue
			}
			for _, e := range source.entries {
				if _, own := first[e.key]; !own {
					first[e.key] = e.at
					out.entries = append(out.entries, e)
				}
			}
		}
	}
}

// keyPath appends a key to a path; a key that would read as several names goes
// in brackets: labels[k8s.io/role].
func keyPath(path, key string) string {
	if runes := []rune(key); len(runes) > 60 {
		key = string(runes[:60]) + "…"
	}
	if key == "" || strings.ContainsAny(key, ".[]/ \t\n\r:") {
		return path + "[" + strings.Map(printable, key) + "]"
	}
	return join(path, strings.Map(printable, key))
}

// printable keeps an error on its line.
func printable(r rune) rune {
	if r < ' ' || r == 0x7f {
		return '·'
	}
	return r
}
