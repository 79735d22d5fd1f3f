package wire

import (
	"cmp"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"reflect"
	"slices"
	"strconv"
	"strings"
)

// param is one parameter of a form. Dots in its name are NUL, so that sorting
// keeps a name's parts together.
type param struct{ name, value string }

// maxParams bounds the parameters of a form. EC2's largest requests have some
// hundreds.
const maxParams = 1 << 14

// parseForm reads the parameters of an URL's query and of a form's body, in
// the order of their names.
func parseForm(texts ...string) ([]param, error) {
	var form []param
	for _, text := range texts {
		for text != "" {
			var pair string
			pair, text, _ = strings.Cut(text, "&")
			if pair == "" {
				continue
			}
			name, value, _ := strings.Cut(pair, "=")
			name, err := url.QueryUnescape(name)
			if err == nil {
				value, err = url.QueryUnescape(value)
			}
			if err != nil {
				return nil, fmt.Errorf("the form is malformed: %w", err)
			}
			if len(form) == maxParams {
				return nil, errTooLarge
			}
			form = append(form, param{strings.ReplaceAll(name, ".", "\x00"), value})
		}
	}
	slices.SortStableFunc(form, func(a, b param) int { return strings.Compare(a.name, b.name) })
	return form, nil
}

// formValue is the value of a parameter without dots.
func formValue(form []param, name string) string {
	i, ok := slices.BinarySearchFunc(form, name, func(p param, name string) int { return strings.Compare(p.name, name) })
	if !ok {
		return ""
	}
	return form[i].value
}

// queryReader reads the parameters of awsQuery and ec2Query requests.
type queryReader struct {
	reader
	ec2 bool // names of ec2Query, where all lists are flat
}

// structure reads the parameters of form into v. The first at bytes of their
// names are the way to v.
func (r *queryReader) structure(v reflect.Value, s *shape, form []param, at int) error {
	if err := r.down(); err != nil {
		return err
	}
	defer r.up()
	byName := s.byName
	if r.ec2 {
		byName = s.byQuery
	}
	for len(form) > 0 {
		part, group := head(form, at)
		form = form[len(group):]
		f := byName[part]
		if f == nil {
			continue
		}
		if err := r.member(v.Field(f.index), f, group, at+len(part)); err != nil {
			return err
		}
	}
	return nil
}

// head is the next part of the first name, after at bytes, and the parameters
// that have it too.
func head(form []param, at int) (part string, group []param) {
	rest := form[0].name[at:]
	part, _, _ = strings.Cut(rest, "\x00")
	end := at + len(part)
	n := 1
	for n < len(form) {
		name := form[n].name
		if len(name) < end || name[at:end] != part || len(name) > end && name[end] != 0 {
			break
		}
		n++
	}
	return part, form[:n]
}

// below are the parameters whose names go on after at bytes, and the offset of
// the next part. Form is sorted, so they are the last.
func below(form []param, at int) ([]param, int) {
	for len(form) > 0 && len(form[0].name) <= at {
		form = form[1:]
	}
	return form, at + 1
}

// within are the parameters below at whose next part is name.
func within(form []param, at int, name string) ([]param, int) {
	form, at = below(form, at)
	for len(form) > 0 {
		part, group := head(form, at)
		if part == name {
			return below(group, at+len(part))
		}
		form = form[len(group):]
	}
	return nil, at
}

func (r *queryReader) member(v reflect.Value, f *field, form []param, at int) error {
	flat := f.flat || r.ec2
	switch f.kind {
	case kindList:
		makeList(v)
		var list []param
		next := 0
		if flat {
			list, next = below(form, at)
		} else {
			list, next = within(form, at, f.item)
		}
		return r.numbered(list, next, func(group []param, at int) error {
			e, err := r.extend(v)
			if err != nil {
				return err
			}
			return r.value(e, f.elem, f, group, at)
		})
	case kindMap:
		makeMap(v)
		var entries []param
		next := 0
		if flat {
			entries, next = below(form, at)
		} else {
			entries, next = within(form, at, "entry")
		}
		return r.numbered(entries, next, func(group []param, at int) error {
			e, err := r.entry(v)
			if err != nil {
				return err
			}
			rest, next := below(group, at)
			key := ""
			for len(rest) > 0 {
				part, group := head(rest, next)
				rest = rest[len(group):]
				switch part {
				case f.key:
					key = group[0].value
				case f.value:
					if err := r.value(e, f.elem, f, group, next+len(part)); err != nil {
						return err
					}
				}
			}
			v.SetMapIndex(reflect.ValueOf(key).Convert(v.Type().Key()), e)
			return nil
		})
	}
	return r.value(v, f.shape, f, form, at)
}

// numbered calls do for the elements .1, .2 and so on, in the order of their
// numbers; numbers may be left out.
func (r *queryReader) numbered(form []param, at int, do func(group []param, at int) error) error {
	type element struct {
		number int
		group  []param
		at     int
	}
	var elements []element
	for len(form) > 0 {
		part, group := head(form, at)
		form = form[len(group):]
		n, err := strconv.Atoi(part)
		if err != nil || n < 0 {
			return fmt.Errorf("%s: %q is not the number of an element", dotted(group[0].name), shorten(part))
		}
		elements = append(elements, element{n, group, at + len(part)})
	}
	slices.SortStableFunc(elements, func(a, b element) int { return cmp.Compare(a.number, b.number) })
	for _, e := range elements {
		if err := do(e.group, e.at); err != nil {
			return err
		}
	}
	return nil
}

// value reads a structure or a scalar.
func (r *queryReader) value(v reflect.Value, s *shape, f *field, form []param, at int) error {
	v, err := r.target(v)
	if err != nil {
		return err
	}
	switch s.kind {
	case kindStruct:
		form, at = below(form, at)
		return r.structure(v, s, form, at)
	case kindList, kindMap:
		return errors.New("wire: a list of lists has no form in a query")
	}
	if len(form[0].name) > at {
		return fmt.Errorf("%s: the parameter has no parts", dotted(form[0].name))
	}
	if err := parseScalar(v, s.kind, form[0].value, f.time); err != nil {
		return fmt.Errorf("%s: %w", dotted(form[0].name), err)
	}
	return nil
}

func dotted(name string) string { return shorten(strings.ReplaceAll(name, "\x00", ".")) }

// Choose finds the service that a request is for, among several that share a
// name in signatures and differ by the Version that their clients send, in the
// URL's query or in a form: Elastic Load Balancing has two. A request without a
// version that is known here is for the first.
func Choose(services []*Service, r *http.Request, body []byte) *Service {
	if len(services) == 1 {
		return services[0]
	}
	for _, text := range []string{r.URL.RawQuery, string(body)} {
		for pair := range strings.SplitSeq(text, "&") {
			version, ok := strings.CutPrefix(pair, "Version=")
			if !ok {
				continue
			}
			for _, s := range services {
				if s.Version == version {
					return s
				}
			}
		}
	}
	return services[0]
}
