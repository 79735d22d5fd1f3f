package eksctl

import (
	"fmt"
	"maps"
	"net/netip"
	"regexp"
	"slices"
	"strings"

	"go.yaml.in/yaml/v3"
)

const apiVersion = "eksctl.io/v1alpha5"

// isClusterConfig looks at apiVersion and kind first: in a file of another
// kind, a fault for every other line would hide the one that matters.
func isClusterConfig(root *node, r *report) bool {
	if root.kind != yaml.MappingNode {
		r.add(root.pos, "", "this is not a ClusterConfig: it must be a mapping with apiVersion, kind and metadata")
		return false
	}
	kind, version := root.get("kind"), root.get("apiVersion")
	if name, ok := kind.string(); ok && name != "ClusterConfig" {
		way := ""
		if name == "List" {
			way = "; give the ClusterConfig itself, not a List"
		} else if s, ok := version.string(); ok && !strings.HasPrefix(s, "eksctl.io/") {
			way = "; this looks like a Kubernetes manifest: apply it with kubectl when the cluster is up"
		}
		r.add(kind.pos, "kind", "want ClusterConfig, have %s%s", shown(name), way)
		return false
	}
	if s, ok := version.string(); ok && s != apiVersion {
		r.add(version.pos, "apiVersion", "want %s, have %s: newer versions of eksctl take only this one", apiVersion, shown(s))
	}
	return true
}

// reader turns a checked tree into a ClusterConfig and refuses values that
// cannot be. What the checker has refused already it passes over in silence.
type reader struct {
	*report
	version string // the Kubernetes version that this region runs
}

func (r *reader) config(root *node) *ClusterConfig {
	meta := root.get("metadata")
	cfg := &ClusterConfig{
		Name:    r.clusterName(meta.get("name")),
		Region:  r.region(meta.get("region")),
		Version: r.kubernetesVersion(meta.get("version")),
		Tags:    r.tags(meta.get("tags"), "metadata.tags"),
		VPCCIDR: r.vpcCIDR(root.get("vpc").get("cidr")),
	}
	cfg.ServiceCIDR = r.serviceCIDR(root.get("kubernetesNetworkConfig"), cfg.VPCCIDR)
	cfg.Zones = r.zones(root, cfg.Region)
	r.nodeGroups(root, cfg)
	cfg.Addons = r.addons(root.get("addons"))
	if off, _ := root.get("addonsConfig").get("disableDefaultAddons").bool(); !off {
		cfg.Addons = withDefaults(cfg.Addons)
	}
	cfg.CloudWatch = r.cloudWatch(root.get("cloudWatch").get("clusterLogging"))
	cfg.IAM.WithOIDC, _ = root.get("iam").get("withOIDC").bool()
	return cfg
}

// Names must do for EKS (an alphanumeric character first) and for the
// CloudFormation stacks that eksctl makes of them (no underscore).
var namePattern = regexp.MustCompile(`^[0-9A-Za-z][-0-9A-Za-z]*$`)

func (r *reader) name(n *node, path string, longest int) string {
	name, ok := n.string()
	switch {
	case !ok:
	case name == "":
		r.add(n.pos, path, "is empty, and must be given")
	case !namePattern.MatchString(name):
		r.add(n.pos, path, "%s is not a name that eksctl and EKS take: letters, digits and hyphens, the first one a letter or a digit", shown(name))
	case len(name) > longest:
		r.add(n.pos, path, "the name has %d characters, and EKS takes %d", len(name), longest)
	}
	return name
}

func (r *reader) clusterName(n *node) string { return r.name(n, "metadata.name", 100) }

func (r *reader) region(n *node) string {
	region, ok := n.string()
	if _, known := zoneLetters[region]; ok && !known {
		r.add(n.pos, "metadata.region", "%s", unknownRegion(region))
		return ""
	}
	return region
}

func (r *reader) kubernetesVersion(n *node) string {
	given, ok := n.string()
	if !ok || slices.Contains([]string{"", "auto", "default", "latest", r.version}, given) {
		return r.version
	}
	what := fmt.Sprintf("Kubernetes %s is not to be had: this region runs %s", shown(given), r.version)
	if strings.HasPrefix(given, r.version+".") || given == "v"+r.version {
		what = fmt.Sprintf("%s is not how eksctl writes a version", shown(given))
	}
	r.add(n.pos, "metadata.version", "%s; write %q, or leave it out", what, r.version)
	return r.version
}

var vpcRanges = []netip.Prefix{
	netip.MustParsePrefix("10.0.0.0/8"),
	netip.MustParsePrefix("172.16.0.0/12"),
	netip.MustParsePrefix("192.168.0.0/16"),
	netip.MustParsePrefix("100.64.0.0/10"),
	netip.MustParsePrefix("198.19.0.0/16"),
}

func within(p netip.Prefix, ranges []netip.Prefix) bool {
	return slices.ContainsFunc(ranges, func(in netip.Prefix) bool { return in.Bits() <= p.Bits() && in.Contains(p.Addr()) })
}

// prefix reads an IPv4 network, host bits cleared as eksctl does.
func (r *reader) prefix(n *node, path, example string) (netip.Prefix, bool) {
	text, ok := n.string()
	if !ok {
		return netip.Prefix{}, false
	}
	p, err := netip.ParsePrefix(text)
	if err != nil || !p.Addr().Is4() {
		r.add(n.pos, path, "%s is not an IPv4 network: write it as %s", shown(text), example)
		return netip.Prefix{}, false
	}
	return p.Masked(), true
}

func (r *reader) vpcCIDR(n *node) netip.Prefix {
	const path = "vpc.cidr"
	p, ok := r.prefix(n, path, defaultVPCCIDR.String())
	switch {
	case !ok:
		return defaultVPCCIDR
	case p.Bits() < 16 || p.Bits() > 24:
		r.add(n.pos, path, "the VPC's network must be between /16 and /24, and this is /%d", p.Bits())
	case !within(p, vpcRanges):
		r.add(n.pos, path, "%s is not private: take a network in 10.0.0.0/8, 172.16.0.0/12, 192.168.0.0/16 or 100.64.0.0/10", p)
	}
	return p
}

// serviceCIDR defaults as EKS does: 10.100.0.0/16, or 172.20.0.0/16 beside a VPC in 10.0.0.0/8.
func (r *reader) serviceCIDR(n *node, vpc netip.Prefix) netip.Prefix {
	const path = "kubernetesNetworkConfig.serviceIPv4CIDR"
	if family := n.get("ipFamily"); family != nil && family.text == "IPv6" {
		r.ignore(family.pos, "kubernetesNetworkConfig.ipFamily")
	}
	standard := netip.MustParsePrefix("10.100.0.0/16")
	if within(vpc, vpcRanges[:1]) {
		standard = netip.MustParsePrefix("172.20.0.0/16")
	}
	given := n.get("serviceIPv4CIDR")
	p, ok := r.prefix(given, path, standard.String())
	switch {
	case !ok:
		return standard
	case p.Bits() < 12 || p.Bits() > 24:
		r.add(given.pos, path, "the Services' network must be between /12 and /24, and this is /%d", p.Bits())
	case !within(p, vpcRanges[:3]):
		r.add(given.pos, path, "%s is not private: take a network in 10.0.0.0/8, 172.16.0.0/12 or 192.168.0.0/16", p)
	case p.Overlaps(vpc):
		r.add(given.pos, path, "%s overlaps the VPC's %s: take another network, such as %s", p, vpc, standard)
	}
	return p
}

// zones returns the cluster's zones: those of the file, or the region's.
func (r *reader) zones(root *node, region string) []string {
	const path = "availabilityZones"
	given := root.get(path)
	zones := r.zoneList(given, path, region)
	if says(given) {
		if len(given.items) == 1 {
			r.add(given.pos, path, "EKS needs two availability zones or more: add another, or leave the field out to have three")
		}
		return zones
	}
	if region == "" {
		return nil
	}
	var named []string
	for _, list := range []string{"managedNodeGroups", "nodeGroups"} {
		for _, group := range items(root.get(list)) {
			for _, zone := range stringsOf(group.get(path)) {
				if regionOf(zone) == region {
					named = append(named, zone)
				}
			}
		}
	}
	return defaultZones(region, named)
}

// zoneList reads a list of zones of the region. An unknown region ("") has been refused already.
func (r *reader) zoneList(n *node, path, region string) []string {
	var zones []string
	for i, item := range items(n) {
		zone, ok := item.string()
		if !ok {
			continue
		}
		at := fmt.Sprintf("%s[%d]", path, i)
		if slices.Contains(zones, zone) {
			r.add(item.pos, at, "zone %s is named twice: remove one", zone)
			continue
		}
		if region != "" {
			if fault := checkZone(zone, region); fault != "" {
				r.add(item.pos, at, "%s", fault)
			}
		}
		zones = append(zones, zone)
	}
	return zones
}

// withDefaults adds the add-on that eksctl gives a cluster without being asked.
// Its other default ones are those that EKS creates a cluster with.
func withDefaults(addons []Addon) []Addon {
	const metrics = "metrics-server"
	if slices.ContainsFunc(addons, func(a Addon) bool { return a.Name == metrics }) {
		return addons
	}
	return append(addons, Addon{Name: metrics})
}

// resolutions are what eksctl takes for resolveConflicts, whatever the case.
var resolutions = []string{"none", "overwrite", "preserve"}

func (r *reader) addons(n *node) []Addon {
	var addons []Addon
	for i, item := range items(n) {
		name, ok := item.get("name").string()
		if !ok {
			continue
		}
		if slices.ContainsFunc(addons, func(a Addon) bool { return a.Name == name }) {
			r.add(item.get("name").pos, fmt.Sprintf("addons[%d].name", i), "add-on %s is named twice: remove one", shown(name))
			continue
		}
		addon := Addon{Name: name}
		addon.Version, _ = item.get("version").string()
		if slices.Contains([]string{"latest", "default"}, addon.Version) {
			addon.Version = "" // there is one
		}
		addon.RoleARN, _ = item.get("serviceAccountRoleARN").string()
		addon.Configuration, _ = item.get("configurationValues").string()
		if resolve, ok := item.get("resolveConflicts").string(); ok {
			addon.ResolveConflicts = strings.ToLower(resolve)
			if !slices.Contains(resolutions, addon.ResolveConflicts) {
				r.add(item.get("resolveConflicts").pos, fmt.Sprintf("addons[%d].resolveConflicts", i), "want one of %s, have %s", strings.Join(resolutions, ", "), shown(resolve))
			}
		}
		if tags := item.get("tags"); tags != nil {
			addon.Tags = r.tags(tags, fmt.Sprintf("addons[%d].tags", i))
		}
		addons = append(addons, addon)
	}
	return addons
}

var (
	allLogTypes   = []string{"api", "audit", "authenticator", "controllerManager", "scheduler"}
	logRetentions = []int{0, 1, 3, 5, 7, 14, 30, 60, 90, 120, 150, 180, 365, 400, 545, 731, 1827, 3653}
)

func (r *reader) cloudWatch(n *node) CloudWatch {
	const path = "cloudWatch.clusterLogging.logRetentionInDays"
	cw := CloudWatch{LogTypes: stringsOf(n.get("enableTypes"))}
	if slices.Contains(cw.LogTypes, "*") || slices.Contains(cw.LogTypes, "all") {
		cw.LogTypes = slices.Clone(allLogTypes)
	}
	days, ok := n.get("logRetentionInDays").int()
	switch {
	case !ok:
	case !slices.Contains(logRetentions, days):
		r.add(n.get("logRetentionInDays").pos, path, "CloudWatch Logs does not keep logs for %d days: take one of %s", days, strings.Trim(fmt.Sprint(logRetentions[1:]), "[]"))
	case days > 0 && len(cw.LogTypes) == 0:
		r.add(n.get("logRetentionInDays").pos, path, "there are no logs to keep: name them in enableTypes")
	}
	cw.LogRetentionDays = days
	return cw
}

// Limits of AWS tags.
const (
	maxTags     = 50
	maxTagKey   = 128
	maxTagValue = 256
)

var tagPattern = regexp.MustCompile(`^[\p{L}\p{Z}\p{N}_.:/=+\-@]*$`)

func (r *reader) tags(n *node, path string) map[string]string {
	tags := map[string]string{}
	if n == nil {
		return tags
	}
	if len(n.entries) > maxTags {
		r.add(n.pos, path, "%d tags, and AWS takes %d on a resource", len(n.entries), maxTags)
	}
	for _, e := range n.entries {
		at := keyPath(path, e.key)
		value, ok := e.value.string()
		if !ok && !e.value.null() {
			continue
		}
		switch {
		case e.key == "" || len([]rune(e.key)) > maxTagKey:
			r.add(e.at, at, "a tag's key has 1 to %d characters", maxTagKey)
		case strings.HasPrefix(strings.ToLower(e.key), "aws:"):
			r.add(e.at, at, "the prefix aws: is AWS's own: choose another key")
		case !tagPattern.MatchString(e.key):
			r.add(e.at, at, "a tag's key takes letters, digits, spaces and _ . : / = + - @")
		case len([]rune(value)) > maxTagValue:
			r.add(e.value.pos, at, "a tag's value has at most %d characters", maxTagValue)
		case !tagPattern.MatchString(value):
			r.add(e.value.pos, at, "a tag's value takes letters, digits, spaces and _ . : / = + - @")
		}
		tags[e.key] = value
	}
	return tags
}

// withTags returns the cluster's tags overlaid with a group's.
func withTags(cluster, group map[string]string) map[string]string {
	all := maps.Clone(cluster)
	maps.Copy(all, group)
	return all
}

// items returns a list's items, or nothing.
func items(n *node) []*node {
	if n == nil {
		return nil
	}
	return n.items
}

// stringsOf returns the strings of a list.
func stringsOf(n *node) []string {
	var all []string
	for _, item := range items(n) {
		if s, ok := item.string(); ok {
			all = append(all, s)
		}
	}
	return all
}
