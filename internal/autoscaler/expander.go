package autoscaler

import (
	"errors"
	"fmt"
	"regexp"
	"slices"

	corev1 "k8s.io/api/core/v1"
	"sigs.k8s.io/yaml"
)

// Expanders are the ways to choose among groups.
var Expanders = []string{"random", "most-pods", "least-waste", "least-nodes", "priority"}

// choose asks the expanders one after another, and chance at the end.
func (h *helper) choose(options []*option) *option {
	for _, name := range h.o.Expanders {
		if len(options) < 2 {
			break
		}
		switch name {
		case "most-pods":
			options = best(options, func(o *option) float64 { return float64(len(o.pods)) })
		case "least-nodes":
			options = best(options, func(o *option) float64 { return -float64(o.count) })
		case "least-waste":
			options = best(options, func(o *option) float64 { return -waste(o) })
		case "priority":
			options = h.prior(options)
		}
	}
	if len(options) == 0 {
		return nil
	}
	return options[h.dice.IntN(len(options))]
}

// best are the options of the highest score.
func best(options []*option, score func(*option) float64) []*option {
	var list []*option
	top := 0.0
	for _, o := range options {
		switch s := score(o); {
		case len(list) == 0 || s > top:
			list, top = []*option{o}, s
		case s == top:
			list = append(list, o)
		}
	}
	return list
}

// waste is the part of the new nodes' CPU and memory that stays unused.
func waste(o *option) float64 {
	sum := 0.0
	for _, name := range []corev1.ResourceName{corev1.ResourceCPU, corev1.ResourceMemory} {
		has := o.node.Status.Capacity[name]
		all, used := float64(has.MilliValue())*float64(o.count), 0.0
		for _, pod := range o.pods {
			asked := requests(pod)[name]
			used += float64(asked.MilliValue())
		}
		if all > 0 {
			sum += (all - used) / all
		}
	}
	return sum
}

// prior are the options whose groups' names match the patterns of the highest
// priority. Groups that match none are left out, unless all do.
func (h *helper) prior(options []*option) []*option {
	if h.s.Priorities == "" {
		h.d.warn("Priority expander config map cluster-autoscaler-priority-expander not found")
		return options
	}
	priorities, err := ParsePriorities(h.s.Priorities)
	if err != nil {
		h.d.warn("Wrong configuration for priority expander: %v. Ignoring update.", err)
		return options
	}
	chosen, top := []*option(nil), 0
	for _, o := range options {
		found := false
		for priority, patterns := range priorities {
			if !slices.ContainsFunc(patterns, func(p *regexp.Regexp) bool { return p.MatchString(o.group.Name) }) {
				continue
			}
			found = true
			if len(chosen) == 0 || priority > top {
				chosen, top = nil, priority
			}
			if priority == top && !slices.Contains(chosen, o) {
				chosen = append(chosen, o)
			}
		}
		if !found {
			h.d.warn("Priority expander: node group %s not found in priority expander configuration. The group won't be used.", o.group.Name)
		}
	}
	if len(chosen) == 0 {
		h.d.warn("Priority expander: no priorities info found for any of the expansion options. No options filtered.")
		return options
	}
	for _, o := range chosen {
		h.d.say(2, "priority expander: %s chosen as the highest available", o.group.Name)
	}
	return chosen
}

// ParsePriorities reads the ConfigMap's text: a map of priorities, the highest
// wins, to lists of regular expressions of groups' names.
func ParsePriorities(text string) (map[int][]*regexp.Regexp, error) {
	var said map[int][]string
	if err := yaml.Unmarshal([]byte(text), &said); err != nil {
		return nil, fmt.Errorf("Can't parse YAML with priorities in the configmap: %w", err) //nolint:staticcheck // upstream's words
	}
	if len(said) == 0 {
		return nil, errors.New("priority configuration in cluster-autoscaler-priority-expander configmap is empty; please provide valid configuration")
	}
	priorities := map[int][]*regexp.Regexp{}
	for priority, patterns := range said {
		for _, p := range patterns {
			r, err := regexp.Compile(p)
			if err != nil {
				return nil, fmt.Errorf("Can't compile regexp rule for priority %d and rule %s: %w", priority, p, err) //nolint:staticcheck // upstream's words
			}
			priorities[priority] = append(priorities[priority], r)
		}
	}
	return priorities, nil
}
