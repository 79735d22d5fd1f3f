package eksctl

import (
	"errors"
	"fmt"
	"slices"
	"strings"

	"k8s.io/apimachinery/pkg/util/validation"
	kubeletapis "k8s.io/kubelet/pkg/apis"

	"github.com/tarn-eks/tarn/internal/arn"
	"github.com/tarn-eks/tarn/internal/instancetype"

	"go.yaml.in/yaml/v3"
)

// EKS's quotas and limits for managed node groups.
const (
	maxManagedGroups = 30  // per cluster
	maxManagedNodes  = 450 // per group
	maxGroupLabels   = 50
	maxGroupTaints   = 50
	maxStackName     = 128 // of CloudFormation: eksctl makes one stack a group
)

func (r *reader) nodeGroups(root *node, cfg *ClusterConfig) {
	named := map[string]int{} // group name -> its line
	for _, list := range []string{"managedNodeGroups", "nodeGroups"} {
		managed := list == "managedNodeGroups"
		groups := items(root.get(list))
		if managed && len(groups) > maxManagedGroups {
			r.add(root.get(list).pos, list, "%d managed node groups, and EKS takes %d in a cluster", len(groups), maxManagedGroups)
		}
		for i, n := range groups {
			if n.kind != yaml.MappingNode {
				continue
			}
			g := groupReader{reader: r, n: n, path: fmt.Sprintf("%s[%d]", list, i), managed: managed}
			group := g.group(cfg, says(root.get("availabilityZones")))
			if line, twice := named[group.Name]; twice && group.Name != "" {
				g.fault("name", "another node group of this name is at line %d: node groups, managed or not, need names of their own", line)
			} else if group.Name != "" {
				named[group.Name] = n.get("name").pos.line
			}
			cfg.NodeGroups = append(cfg.NodeGroups, group)
		}
	}
}

// groupReader reads one node group.
type groupReader struct {
	*reader
	n       *node
	path    string
	managed bool
}

// fault refuses the value of a field of the group.
func (g *groupReader) fault(field, format string, args ...any) {
	at := g.n.pos
	if n := g.n.get(field); n != nil {
		at = n.pos
	}
	g.add(at, join(g.path, field), format, args...)
}

func (g *groupReader) group(cfg *ClusterConfig, zonesGiven bool) NodeGroup {
	group := NodeGroup{
		Name:         g.name(g.n.get("name"), join(g.path, "name"), 63),
		Managed:      g.managed,
		InstanceType: g.instanceType(),
		Labels:       g.labels(),
		Taints:       g.taints(),
		Tags:         withTags(cfg.Tags, g.tags(g.n.get("tags"), join(g.path, "tags"))),
		Zones:        g.zoneList(g.n.get("availabilityZones"), join(g.path, "availabilityZones"), cfg.Region),
	}
	if stack := "eksctl-" + cfg.Name + "-nodegroup-" + group.Name; len(stack) > maxStackName {
		g.fault("name", "eksctl's stack %s would have %d characters, and CloudFormation takes %d: shorten this name or metadata.name", shown(stack), len(stack), maxStackName)
	}
	group.Spot, _ = g.n.get("spot").bool()
	group.IAM = g.iam()
	g.scaling(&group)
	g.volume(&group)
	for i, zone := range group.Zones {
		if zonesGiven && regionOf(zone) == cfg.Region && !slices.Contains(cfg.Zones, zone) {
			g.add(g.n.get("availabilityZones").pos, fmt.Sprintf("%s.availabilityZones[%d]", g.path, i), "the cluster has no subnet in zone %s: add it to the availabilityZones of the cluster", zone)
		}
	}
	if len(group.Zones) == 0 {
		group.Zones = slices.Clone(cfg.Zones)
	}
	// What eksctl puts on every group.
	group.Labels["alpha.eksctl.io/cluster-name"] = cfg.Name
	group.Labels["alpha.eksctl.io/nodegroup-name"] = group.Name
	if g.managed {
		group.Tags["alpha.eksctl.io/nodegroup-name"] = group.Name
		group.Tags["alpha.eksctl.io/nodegroup-type"] = "managed"
	}
	return group
}

func (g *groupReader) iam() NodeIAM {
	iam := g.n.get("iam")
	nodes := NodeIAM{PolicyARNs: stringsOf(iam.get("attachPolicyARNs"))}
	for i, item := range items(iam.get("attachPolicyARNs")) {
		text, ok := item.string()
		if parsed, err := arn.Parse(text); ok && (err != nil || parsed.Service != "iam" || !strings.HasPrefix(parsed.Resource, "policy/")) {
			g.add(item.pos, fmt.Sprintf("%s.iam.attachPolicyARNs[%d]", g.path, i), "%s is not a policy's ARN: write it as arn:aws:iam::aws:policy/NAME", shown(text))
		}
	}
	if switches := iam.get("withAddonPolicies"); switches != nil {
		for _, e := range switches.entries {
			if on, _ := e.value.bool(); on {
				nodes.AddonPolicies = append(nodes.AddonPolicies, e.key)
			}
		}
	}
	return nodes
}

// count reads a number of nodes; nil when the file gives none.
func (g *groupReader) count(field string) *int {
	n, ok := g.n.get(field).int()
	if !ok {
		return nil
	}
	if n < 0 {
		g.fault(field, "%d is below zero", n)
		return nil
	}
	return &n
}

func (g *groupReader) scaling(group *NodeGroup) {
	var bad *scalingError
	least, most, desired := g.count("minSize"), g.count("maxSize"), g.count("desiredCapacity")
	if err := group.scale(least, most, desired); errors.As(err, &bad) {
		g.fault(bad.field, "%s", bad.problem)
	}
	switch {
	case !g.managed || bad != nil:
	case group.Max < 1:
		g.fault("maxSize", "a managed node group has a maxSize of 1 or more")
	case group.Max > maxManagedNodes:
		g.fault("maxSize", "%d nodes, and EKS takes %d in a managed node group", group.Max, maxManagedNodes)
	}
}

type scalingError struct{ field, problem string }

func (e *scalingError) Error() string { return e.field + ": " + e.problem }

// scale fills in what is not given as eksctl does: min from desired or else 2,
// max from desired or else min, desired from min.
func (group *NodeGroup) scale(least, most, desired *int) error {
	minOrigin := ""
	switch {
	case least != nil:
		group.Min = *least
	case desired != nil:
		group.Min = *desired
	default:
		group.Min, minOrigin = defaultNodeCount, " (eksctl's default)"
	}
	switch {
	case most != nil:
		group.Max = *most
	case desired != nil:
		group.Max = *desired
	default:
		group.Max = group.Min
	}
	group.Desired = group.Min
	if desired != nil {
		group.Desired = *desired
	}
	switch {
	case desired != nil && *desired < group.Min:
		return &scalingError{"desiredCapacity", fmt.Sprintf("%d is below minSize, %d: raise it or lower minSize", *desired, group.Min)}
	case desired != nil && *desired > group.Max:
		return &scalingError{"desiredCapacity", fmt.Sprintf("%d is above maxSize, %d: lower it or raise maxSize", *desired, group.Max)}
	case group.Min > group.Max:
		return &scalingError{"maxSize", fmt.Sprintf("%d is below minSize, %d%s: raise it or set a lower minSize", group.Max, group.Min, minOrigin)}
	}
	return nil
}

// instanceType is the group's one type, or the first of its list that Tarn has.
func (g *groupReader) instanceType() string {
	given, _ := g.n.get("instanceType").string()
	list, listPath := g.n.get("instanceTypes"), "instanceTypes"
	if !g.managed {
		list, listPath = g.n.get("instancesDistribution").get("instanceTypes"), "instancesDistribution.instanceTypes"
	}
	several := len(items(list)) > 0
	switch {
	case several && given != "" && (g.managed || given != "mixed"):
		g.fault("instanceType", "%s is given too: keep one of the two", listPath)
		return ""
	case several:
		return g.firstKnown(list, join(g.path, listPath))
	case given == "":
		return DefaultInstanceType
	}
	if _, err := instancetype.Lookup(given); err != nil {
		g.fault("instanceType", "%v", err)
	}
	return given
}

// firstKnown passes over the types that Tarn lacks, as EC2 does over those it
// has no capacity of, and names them in the warning.
func (g *groupReader) firstKnown(list *node, path string) string {
	var lacking []*node
	var lastErr error
	for _, item := range list.items {
		name, ok := item.string()
		if !ok {
			continue
		}
		if _, err := instancetype.Lookup(name); err != nil {
			lacking, lastErr = append(lacking, item), err
			continue
		}
		for _, l := range lacking {
			g.ignore(l.pos, path+"["+l.text+"]")
		}
		return name
	}
	if lastErr != nil {
		g.add(list.pos, path, "Tarn has none of these: %v", lastErr)
	}
	return ""
}

// volumeSizes are the sizes of EBS volumes in GiB.
var volumeSizes = map[string][2]int{
	"gp2": {1, 16384}, "gp3": {1, 65536}, "io1": {4, 16384}, "io2": {4, 65536}, "sc1": {125, 16384}, "st1": {125, 16384},
}

func (g *groupReader) volume(group *NodeGroup) {
	group.VolumeSizeGiB, group.VolumeType = DefaultVolumeSizeGiB, DefaultVolumeType
	if t, ok := g.n.get("volumeType").string(); ok {
		group.VolumeType = t
	}
	size, ok := g.n.get("volumeSize").int()
	if !ok {
		return
	}
	group.VolumeSizeGiB = size
	if limits, known := volumeSizes[group.VolumeType]; known && (size < limits[0] || size > limits[1]) {
		g.fault("volumeSize", "%d GiB, and a %s volume of EBS has %d to %d GiB", size, group.VolumeType, limits[0], limits[1])
	}
}

func (g *groupReader) labels() map[string]string {
	labels := map[string]string{}
	n := g.n.get("labels")
	if n == nil {
		return labels
	}
	if g.managed && len(n.entries) > maxGroupLabels {
		g.fault("labels", "%d labels, and EKS takes %d on a managed node group", len(n.entries), maxGroupLabels)
	}
	for _, e := range n.entries {
		at := keyPath(join(g.path, "labels"), e.key)
		value, ok := e.value.string()
		if !ok && !e.value.null() {
			continue
		}
		if faults := validation.IsQualifiedName(e.key); len(faults) > 0 {
			g.add(e.at, at, "not a label's key: %s", faults[0])
		} else if why := reservedLabel(e.key, g.managed); why != "" {
			g.add(e.at, at, "%s", why)
		} else if faults := validation.IsValidLabelValue(value); len(faults) > 0 {
			g.add(e.value.pos, at, "not a label's value: %s", faults[0])
		}
		labels[e.key] = value
	}
	return labels
}

// reservedLabel tells why a node may not give itself this label: the kubelet
// refuses to start with labels of Kubernetes that are not for it (as the often
// tried node-role.kubernetes.io/…), and EKS keeps three prefixes to itself.
func reservedLabel(key string, managed bool) string {
	prefix, _, qualified := strings.Cut(key, "/")
	if !qualified {
		return ""
	}
	if managed && slices.Contains([]string{"kubernetes.io", "k8s.io", "eks.amazonaws.com"}, prefix) {
		return fmt.Sprintf("the prefix %s/ is reserved by EKS: choose another", prefix)
	}
	ofKubernetes := slices.ContainsFunc([]string{"kubernetes.io", "k8s.io"}, func(domain string) bool {
		return prefix == domain || strings.HasSuffix(prefix, "."+domain)
	})
	if ofKubernetes && !kubeletapis.IsKubeletLabel(key) {
		return fmt.Sprintf("a node may not give itself labels of %s/: choose another prefix, or set it with kubectl label node", prefix)
	}
	return ""
}

// taints reads both of eksctl's forms: a list of key, value, effect; and, for
// self-managed groups, key: "value:Effect".
func (g *groupReader) taints() []Taint {
	n := g.n.get("taints")
	if n == nil {
		return nil
	}
	var taints []Taint
	one := func(key, value, effect string, at pos, path string) {
		t := Taint{key, value, effect}
		switch keyFaults, valueFaults := validation.IsQualifiedName(key), validation.IsValidLabelValue(value); {
		case len(keyFaults) > 0:
			g.add(at, path, "not a taint's key: %s", keyFaults[0])
		case len(valueFaults) > 0:
			g.add(at, path, "not a taint's value: %s", valueFaults[0])
		case !slices.Contains(taintEffects, effect):
			g.add(at, path, "%s is not a taint's effect: want %s%s", shown(effect), strings.Join(taintEffects, ", "), didYouMean(effect, taintEffects))
		case slices.ContainsFunc(taints, func(o Taint) bool { return o.Key == key && o.Effect == effect }):
			g.add(at, path, "the taint %s:%s is given twice: remove one", key, effect)
		}
		taints = append(taints, t)
	}
	for _, e := range n.entries {
		text, ok := e.value.string()
		if !ok || g.managed {
			continue
		}
		value, effect, both := strings.Cut(text, ":")
		if !both {
			value, effect = "", text
		}
		one(e.key, value, effect, e.value.pos, keyPath(join(g.path, "taints"), e.key))
	}
	for i, item := range n.items {
		key, okKey := item.get("key").string()
		effect, okEffect := item.get("effect").string()
		value, okValue := item.get("value").string()
		if okKey && okEffect && (okValue || item.get("value").null()) {
			one(key, value, effect, item.pos, fmt.Sprintf("%s.taints[%d]", g.path, i))
		}
	}
	if g.managed && len(taints) > maxGroupTaints {
		g.fault("taints", "%d taints, and EKS takes %d on a managed node group", len(taints), maxGroupTaints)
	}
	return taints
}

var taintEffects = []string{"NoSchedule", "PreferNoSchedule", "NoExecute"}
