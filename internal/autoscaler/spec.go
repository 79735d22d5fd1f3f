package autoscaler

import (
	"errors"
	"fmt"
	"strconv"
	"strings"
)

// Spec is a group that was named by --nodes, with the sizes it may have.
type Spec struct {
	Name     string
	Min, Max int
}

// ParseSpec reads min:max:name. Its errors are upstream's.
func ParseSpec(text string) (Spec, error) {
	parts := strings.SplitN(text, ":", 3)
	if len(parts) != 3 {
		return Spec{}, fmt.Errorf("wrong nodes configuration: %s", text)
	}
	s := Spec{Name: parts[2]}
	var err error
	if s.Min, err = strconv.Atoi(parts[0]); err != nil {
		return Spec{}, fmt.Errorf("failed to set min size: %s, expected integer", parts[0])
	}
	if s.Max, err = strconv.Atoi(parts[1]); err != nil {
		return Spec{}, fmt.Errorf("failed to set max size: %s, expected integer", parts[1])
	}
	switch {
	case s.Min < 0:
		return Spec{}, errors.New("invalid node group spec: min size must be >= 0")
	case s.Max < s.Min:
		return Spec{}, errors.New("invalid node group spec: max size must be greater or equal to min size")
	case s.Name == "":
		return Spec{}, errors.New("invalid node group spec: name must not be blank")
	}
	return s, nil
}

// ParseDiscovery reads asg:tag=key,key=value: the tags of groups that are to be
// found, "" for a key whose value does not matter. Its errors are upstream's.
func ParseDiscovery(text string) (map[string]string, error) {
	discoverer, param, ok := strings.Cut(text, ":")
	if !ok {
		return nil, fmt.Errorf("invalid node group auto discovery spec specified via --node-group-auto-discovery: %s", text)
	}
	if discoverer != "asg" {
		return nil, fmt.Errorf("unsupported discoverer specified: %s", discoverer)
	}
	key, value, ok := strings.Cut(param, "=")
	switch {
	case !ok:
		return nil, fmt.Errorf("invalid key=value pair [%s]", param)
	case key != "tag":
		return nil, fmt.Errorf("unsupported parameter key %q is specified for discoverer %q. The only supported key is %q", key, discoverer, "tag")
	case value == "":
		return nil, errors.New("tag value not supplied")
	}
	tags := map[string]string{}
	for tag := range strings.SplitSeq(value, ",") {
		k, v, _ := strings.Cut(tag, "=")
		tags[k] = v
	}
	return tags, nil
}
