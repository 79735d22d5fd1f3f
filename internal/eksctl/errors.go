package eksctl

import (
	"cmp"
	"fmt"
	"slices"
	"strings"
)

// Error is one fault in a cluster file. Line and Column count from 1.
type Error struct {
	File         string
	Line, Column int
	Path         string // managedNodeGroups[0].minSize; "" for the file as a whole
	Problem      string // what is wrong, and the way out
}

func (e Error) Error() string {
	if e.Path == "" {
		return fmt.Sprintf("%s:%d:%d: %s", e.File, e.Line, e.Column, e.Problem)
	}
	return fmt.Sprintf("%s:%d:%d: %s: %s", e.File, e.Line, e.Column, e.Path, e.Problem)
}

// Errors are all the faults of one cluster file, in the file's order, one a line.
type Errors []Error

func (es Errors) Error() string {
	lines := make([]string, len(es))
	for i, e := range es {
		lines[i] = e.Error()
	}
	return strings.Join(lines, "\n")
}

// Field is a place in a cluster file.
type Field struct {
	Path         string
	Line, Column int
}

// Unsupported are the fields of a cluster file that EKS knows and Tarn does
// not act on. They are no error: the same file keeps its meaning on EKS.
type Unsupported struct {
	File   string
	Fields []Field // in the file's order
}

// String is the one warning to show, or "" when there is nothing to warn of.
// A field that stands in several node groups is named once.
func (u Unsupported) String() string {
	var paths []string
	for _, f := range u.Fields {
		if p := withoutIndexes(f.Path); !slices.Contains(paths, p) {
			paths = append(paths, p)
		}
	}
	if len(paths) == 0 {
		return ""
	}
	return fmt.Sprintf("%s: accepted, but Tarn does not act on: %s", u.File, strings.Join(paths, ", "))
}

func withoutIndexes(path string) string {
	var b strings.Builder
	for i := 0; i < len(path); i++ {
		b.WriteByte(path[i])
		if path[i] == '[' {
			end := i + 1
			for end < len(path) && path[end] >= '0' && path[end] <= '9' {
				end++
			}
			if end < len(path) && path[end] == ']' {
				i = end - 1
			}
		}
	}
	return b.String()
}

// maxErrors bounds what a hostile or mistaken file (a log, a binary) can make
// Tarn print; nobody mends more at one go.
const maxErrors = 500

// report collects the faults and the unsupported fields of one file.
type report struct {
	file        string
	errors      Errors
	unsupported []Field
	full        bool
}

func (r *report) add(at pos, path, format string, args ...any) {
	if len(r.errors) == maxErrors {
		r.full = true
		return
	}
	r.errors = append(r.errors, Error{File: r.file, Line: at.line, Column: at.column, Path: path, Problem: fmt.Sprintf(format, args...)})
}

func (r *report) ignore(at pos, path string) {
	r.unsupported = append(r.unsupported, Field{Path: path, Line: at.line, Column: at.column})
}

// err returns the faults in the file's order, or nil.
func (r *report) err() error {
	if len(r.errors) == 0 {
		return nil
	}
	slices.SortStableFunc(r.errors, func(a, b Error) int {
		return cmp.Or(cmp.Compare(a.Line, b.Line), cmp.Compare(a.Column, b.Column))
	})
	// An anchor's faults show up again at each alias of it.
	r.errors = slices.Compact(r.errors)
	if r.full {
		last := r.errors[len(r.errors)-1]
		r.errors = append(r.errors, Error{File: r.file, Line: last.Line, Column: last.Column, Problem: "and more: too many errors to show; mend these first"})
	}
	return r.errors
}

// ignored returns the fields noted, in the file's order.
func (r *report) ignored() Unsupported {
	slices.SortStableFunc(r.unsupported, func(a, b Field) int {
		return cmp.Or(cmp.Compare(a.Line, b.Line), cmp.Compare(a.Column, b.Column))
	})
	return Unsupported{File: r.file, Fields: r.unsupported}
}

// shown quotes a value of the file for a message, cut to a readable length.
func shown(s string) string {
	if runes := []rune(s); len(runes) > 60 {
		s = string(runes[:60]) + "…"
	}
	return fmt.Sprintf("%q", s)
}

// nearest returns the word that was probably meant, or "".
func nearest(word string, words []string) string {
	if len(word) > 64 {
		return ""
	}
	best, bestDistance := "", max(1, len(word)/3)+1
	for _, w := range words {
		if d := distance(strings.ToLower(word), strings.ToLower(w)); d < bestDistance {
			best, bestDistance = w, d
		}
	}
	return best
}

// distance counts the insertions, deletions, substitutions and swaps of
// neighbours that turn a into b (optimal string alignment).
func distance(a, b string) int {
	s, t := []rune(a), []rune(b)
	before, last, this := make([]int, len(t)+1), make([]int, len(t)+1), make([]int, len(t)+1)
	for j := range last {
		last[j] = j
	}
	for i := range s {
		this[0] = i + 1
		for j := range t {
			cost := 1
			if s[i] == t[j] {
				cost = 0
			}
			this[j+1] = min(last[j+1]+1, this[j]+1, last[j]+cost)
			if i > 0 && j > 0 && s[i] == t[j-1] && s[i-1] == t[j] {
				this[j+1] = min(this[j+1], before[j-1]+1)
			}
		}
		before, last, this = last, this, before
	}
	return last[len(t)]
}
