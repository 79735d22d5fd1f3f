package userdata

import (
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/pelletier/go-toml/v2"
)

func isBottlerocket(text string) bool {
	return strings.Contains(text, "settings.kubernetes") || strings.HasPrefix(text, "[settings")
}

// parseBottlerocket reads settings.kubernetes; other settings are errors.
//
// https://bottlerocket.dev/en/os/latest/#/api/settings/kubernetes/
func (c *Config) parseBottlerocket(text string) error {
	var document map[string]any
	if err := toml.Unmarshal([]byte(text), &document); err != nil {
		return fmt.Errorf("reading the Bottlerocket settings: %w", err)
	}
	settings, err := only(document, "", "settings")
	if err != nil {
		return err
	}
	kubernetes, err := only(settings, "settings.", "kubernetes")
	if err != nil {
		return err
	}
	for _, name := range slices.Sorted(maps.Keys(kubernetes)) {
		if err := c.addSetting(name, kubernetes[name]); err != nil {
			return fmt.Errorf("the Bottlerocket setting settings.kubernetes.%s: %w", name, err)
		}
	}
	return nil
}

// only is the table of that name, which must be all there is.
func only(table map[string]any, path, name string) (map[string]any, error) {
	for _, key := range slices.Sorted(maps.Keys(table)) {
		if key != name {
			return nil, fmt.Errorf("the Bottlerocket setting %s%s is not supported", path, key)
		}
	}
	inner, ok := table[name].(map[string]any)
	if !ok {
		return nil, fmt.Errorf("the Bottlerocket setting %s%s is no table", path, name)
	}
	return inner, nil
}

func (c *Config) addSetting(name string, value any) error {
	switch name {
	case "api-server", "cluster-certificate":
		return nil // the node has them with the cluster's name
	case "cluster-name":
		s, ok := value.(string)
		if !ok {
			return fmt.Errorf("it is %v: want a string", value)
		}
		return c.setCluster(s)
	case "cluster-dns-ip":
		if list, ok := value.([]any); ok && len(list) == 1 {
			value = list[0]
		}
		return c.setClusterDNS("it", fmt.Sprint(value))
	case "max-pods":
		n, ok := value.(int64)
		if !ok {
			return fmt.Errorf("it is %v: want a number", value)
		}
		return c.setMaxPods("it", int(max(min(n, 1e6), -1)))
	case "node-labels":
		return each(value, func(key, v string) error { return c.addLabel(key, v) })
	case "node-taints":
		return each(value, func(key, v string) error {
			value, effect, _ := strings.Cut(v, ":")
			return c.addTaint(Taint{key, value, effect})
		})
	default:
		return fmt.Errorf("it is not supported")
	}
}

// each calls add for the strings of a table, and for those in its lists.
func each(table any, add func(key, value string) error) error {
	t, ok := table.(map[string]any)
	if !ok {
		return fmt.Errorf("it is %v: want a table", table)
	}
	for _, key := range slices.Sorted(maps.Keys(t)) {
		list, ok := t[key].([]any)
		if !ok {
			list = []any{t[key]}
		}
		for _, v := range list {
			s, ok := v.(string)
			if !ok {
				return fmt.Errorf("%s is %v: want a string", key, v)
			}
			if err := add(key, s); err != nil {
				return err
			}
		}
	}
	return nil
}
