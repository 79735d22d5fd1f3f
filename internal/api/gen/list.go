package main

import (
	"fmt"
	"slices"
	"strings"
)

// listed is a service in the list of operations.
type listed struct {
	pkg, model string
	operations []string // sorted
}

// parseList reads operations.txt.
func parseList(text string) ([]*listed, error) {
	var services []*listed
	byName := map[string]*listed{}
	n := 0
	for line := range strings.Lines(text) {
		n++
		line, _, _ = strings.Cut(line, "#")
		f := strings.Fields(line)
		switch {
		case len(f) == 0:
		case len(f) == 3 && f[1] == "=":
			if byName[f[0]] != nil {
				return nil, fmt.Errorf("operations.txt:%d: %s has a model already", n, f[0])
			}
			s := &listed{pkg: f[0], model: f[2]}
			byName[s.pkg] = s
			services = append(services, s)
		case len(f) == 2:
			s := byName[f[0]]
			if s == nil {
				return nil, fmt.Errorf("operations.txt:%d: no line %q says which model", n, f[0]+" = ...")
			}
			if slices.Contains(s.operations, f[1]) {
				return nil, fmt.Errorf("operations.txt:%d: %s %s is here twice", n, f[0], f[1])
			}
			s.operations = append(s.operations, f[1])
		default:
			return nil, fmt.Errorf("operations.txt:%d: want \"package operation\" or \"package = model\"", n)
		}
	}
	for _, s := range services {
		slices.Sort(s.operations)
	}
	return services, nil
}
