package eks

import (
	"cmp"
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"strings"

	"sigs.k8s.io/yaml"
)

// addonKind is an add-on that there is.
type addonKind struct {
	name    string
	version string // the only one: what this Tarn runs
	// What it is for (networking, observability) and who answers for it (aws,
	// community), by which the add-ons that there are can be asked for.
	category, owner string
	// bootstrap says that a cluster is created with it.
	bootstrap bool
	values    map[string]valueKind
}

// valueKind is what a configuration value must be.
type valueKind struct {
	Type        string `json:"type"` // integer, string
	Description string `json:"description"`
	Minimum     int    `json:"minimum,omitempty"`
}

// CoreDNSVersion is the version of the add-on coredns, and the tag of its image.
const CoreDNSVersion = "v1.15.0-eksbuild.1"

// MetricsServerVersion is the version of the add-on metrics-server, and the tag of
// its image.
const MetricsServerVersion = "v0.9.0-eksbuild.1"

// Observability is the add-on that Container Insights is on with.
const Observability = "amazon-cloudwatch-observability"

// addonKinds are the add-ons of a region that runs the Kubernetes version.
// kube-proxy and vpc-cni are part of each node here: they are there as soon as
// a node is, and nothing of them can be configured. What Observability's agents
// measure on AWS, loop/metering measures without any.
func addonKinds(kubernetes string) []addonKind {
	return []addonKind{
		{name: Observability, version: "v5.0.0-eksbuild.1", category: "observability", owner: "aws"},
		{
			name: "coredns", version: CoreDNSVersion, category: "networking", owner: "aws", bootstrap: true,
			values: map[string]valueKind{
				"replicaCount": {Type: "integer", Description: "The number of CoreDNS pods", Minimum: 1},
				"corefile":     {Type: "string", Description: "The whole of CoreDNS's configuration file"},
			},
		},
		{name: "kube-proxy", version: "v" + kubernetes + "-eksbuild.1", category: "networking", owner: "aws", bootstrap: true},
		{
			name: "metrics-server", version: MetricsServerVersion, category: "observability", owner: "community",
			values: map[string]valueKind{
				"replicas": {Type: "integer", Description: "The number of metrics-server pods", Minimum: 1},
			},
		},
		{name: "vpc-cni", version: "v1.21.1-eksbuild.1", category: "networking", owner: "aws", bootstrap: true},
	}
}

// kind finds an add-on.
func (s *Service) kind(addon string) (addonKind, bool) {
	i := slices.IndexFunc(s.addons, func(k addonKind) bool { return k.name == addon })
	if i < 0 {
		return addonKind{}, false
	}
	return s.addons[i], true
}

// schema is the JSON schema of the configuration values.
func (k addonKind) schema() string {
	properties := k.values
	if properties == nil {
		properties = map[string]valueKind{}
	}
	data, err := json.Marshal(map[string]any{
		"$schema": "http://json-schema.org/draft-06/schema#", "type": "object",
		"properties": properties, "additionalProperties": false,
	})
	if err != nil {
		panic("eks: the schema of " + k.name + ": " + err.Error()) // it is text and numbers
	}
	return string(data)
}

// parseValues reads configuration values, which are JSON or YAML.
func parseValues(text string) (map[string]any, error) {
	var v map[string]any
	if err := yaml.UnmarshalStrict([]byte(text), &v); err != nil {
		return nil, fmt.Errorf("configuration values are neither JSON nor YAML of an object: %w", err)
	}
	return v, nil
}

// check says what of the values the schema does not allow, "" if it allows all.
func (k addonKind) check(text string) string {
	values, err := parseValues(text)
	if err != nil {
		return "ConfigurationValue provided in request is not supported: " + err.Error()
	}
	var faults []string
	for _, key := range slices.SortedFunc(maps.Keys(values), cmp.Compare[string]) {
		want, ok := k.values[key]
		got, number := typeOf(values[key])
		switch {
		case !ok:
			faults = append(faults, fmt.Sprintf("$.%s: is not defined in the schema and the schema does not allow additional properties", key))
		case got != want.Type:
			faults = append(faults, fmt.Sprintf("$.%s: %s found, %s expected", key, got, want.Type))
		case got == "integer" && number < float64(want.Minimum):
			faults = append(faults, fmt.Sprintf("$.%s: must have a minimum value of %d", key, want.Minimum))
		}
	}
	if len(faults) == 0 {
		return ""
	}
	return "ConfigurationValue provided in request is not supported: Json schema validation failed with error: [" + strings.Join(faults, ", ") + "]"
}

// typeOf is a decoded value's type, as JSON schema names it.
func typeOf(v any) (name string, number float64) {
	switch v := v.(type) {
	case nil:
		return "null", 0
	case bool:
		return "boolean", 0
	case string:
		return "string", 0
	case float64:
		if v == float64(int64(v)) {
			return "integer", v
		}
		return "number", v
	case []any:
		return "array", 0
	default:
		return "object", 0
	}
}
