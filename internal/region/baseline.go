package region

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"slices"
	"strings"

	"github.com/tarn-eks/tarn/internal/eksctl"
	"github.com/tarn-eks/tarn/internal/loop/nodegroups"
	"github.com/tarn-eks/tarn/internal/service/ec2"
	"github.com/tarn-eks/tarn/internal/service/eks"
	"github.com/tarn-eks/tarn/internal/service/iam"
	"github.com/tarn-eks/tarn/internal/store"
)

// baseline is what `tarn up` has made, as it was then: what a reset goes back
// to. Whose a thing is follows from the thing (the region's cluster, its VPC, the
// node groups of the file and what these have) and not from when it was made:
// clients may work while `tarn up` does, and an Up that was cut short is
// finished by the next one.
type baseline struct {
	// Groups are the node groups of the file that was last applied. Nil: of a
	// region from before this was kept.
	Groups map[string]eks.Scaling
	// Addons are that file's add-ons.
	Addons map[string]addonSettings
	// Items are empty until an Up has succeeded.
	Items store.Contents
}

// addonSettings are what a file says of an add-on.
type addonSettings struct{ RoleARN, Configuration string }

// settings are the collections that a reset restores as they were, in an order
// in which nothing comes before what it refers to.
var settings = []string{
	"iam-account", "iam-policies", "iam-policy-versions", "iam-groups", "iam-users", "iam-access-keys",
	"iam-roles", "iam-instance-profiles", "iam-oidc-providers", "iam-last-used",
	"vpcs", "internet-gateways", "subnets", "route-tables", "security-groups",
	"launch-templates", "launch-template-versions", "key-pairs", "ec2-client-tokens",
	"launch-configurations", "scaling-policies", "scheduled-actions", "instance-refreshes", "scaling-activities",
	"access-entries", "eks-updates",
	"alarms", "alarm-history", "dashboards", "scaling-forecasts",
	"certificates", "certificate-settings", "target-groups",
	"delegation-sets", "health-checks", "hosted-zones", "record-sets", "route53-changes", "route53-references",
}

// living are the collections that say how something runs, too: a reset changes
// their items one by one, and waits.
var living = []string{
	"clusters", "nodegroups", "addons", "instances", "network-interfaces", "repositories", "load-balancers", "application-load-balancers",
	"auto-scaling-groups", "auto-scaling-instances",
}

// noteFile remembers what a file asks for, before it is applied.
func (r *Region) noteFile(cc *eksctl.ClusterConfig) error {
	b, err := loadBaseline(r.layout)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	b.Groups = map[string]eks.Scaling{}
	for _, g := range cc.NodeGroups {
		b.Groups[g.Name] = eks.Scaling{Min: g.Min, Max: g.Max, Desired: g.Desired}
	}
	b.Addons = map[string]addonSettings{}
	for _, a := range cc.Addons {
		b.Addons[a.Name] = addonSettings{a.RoleARN, a.Configuration}
	}
	return b.save(r.layout)
}

// keepBaseline remembers what an Up that has succeeded leaves.
func (r *Region) keepBaseline(ctx context.Context) error {
	b, err := loadBaseline(r.layout)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	now, err := store.Read(ctx, r.store.Client(), slices.Concat(settings, living)...)
	if err != nil {
		return err
	}
	if b.Items, err = b.next(now, r.cluster(), r.eks.Issuer); err != nil {
		return fmt.Errorf("remembering what a reset goes back to: %w", err)
	}
	return b.save(r.layout)
}

// next is what of the region's present is Up's. What Up had made earlier is taken
// as it was then.
func (b baseline) next(now store.Contents, cluster string, issuer func(eks.Cluster) string) (store.Contents, error) {
	was, err := belongingsOf(b.Items)
	if err != nil {
		return nil, err
	}
	is, err := belongingsOf(now)
	if err != nil {
		return nil, err
	}
	c, ok := is.clusters[cluster]
	if !ok {
		return nil, fmt.Errorf("cluster %s: %w", cluster, store.ErrNotFound)
	}
	to := store.Contents{}
	errs := []error{addAccount(to, now)}
	if _, known := b.Items["vpcs"][c.VPC]; known {
		errs = append(errs, addVPC(to, b.Items, c.VPC))
	} else {
		errs = append(errs, addVPC(to, now, c.VPC))
	}
	if had, known := was.clusters[cluster]; known && had.ID == c.ID {
		errs = append(errs, addCluster(to, b.Items, had, issuer(had)))
	} else {
		errs = append(errs, addCluster(to, now, c, issuer(c)))
	}
	for key, g := range is.groups {
		had, known := was.groups[key]
		_, named := b.Groups[g.Name]
		switch {
		case g.Cluster != cluster:
		case known && had.ID == g.ID:
			errs = append(errs, addGroup(to, b.Items, had))
			if len(was.instancesOf(had)) == 0 { // it had none yet
				errs = append(errs, addInstances(to, now, g))
			}
		case named || b.Groups == nil:
			errs = append(errs, addGroup(to, now, g))
		}
	}
	for key, had := range was.groups {
		_, exists := is.groups[key]
		if _, named := b.Groups[had.Name]; named && !exists { // a client has deleted it
			errs = append(errs, addGroup(to, b.Items, had))
		}
	}
	for key, a := range is.addons {
		had, known := was.addons[key]
		_, named := b.Addons[a.Name]
		switch {
		case a.Cluster != cluster:
		case known && had.ID == a.ID:
			take(to, b.Items, "addons", key)
		case named || b.Addons == nil:
			take(to, now, "addons", key)
		}
	}
	for key, had := range was.addons {
		_, exists := is.addons[key]
		if _, named := b.Addons[had.Name]; named && !exists {
			take(to, b.Items, "addons", key)
		}
	}
	return to, errors.Join(append(errs, b.adjust(to, cluster))...)
}

// adjust gives what was taken as it once was what the file says of it now.
func (b baseline) adjust(c store.Contents, cluster string) error {
	own, err := belongingsOf(c)
	if err != nil {
		return err
	}
	var errs []error
	for key, g := range own.groups {
		if to, named := b.Groups[g.Name]; named {
			g.Min, g.Max, g.Desired = to.Min, to.Max, to.Desired
			errs = append(errs, encode(c, "nodegroups", key, g))
		}
	}
	for key, a := range own.addons {
		if to, named := b.Addons[a.Name]; named {
			a.RoleARN, a.Configuration = to.RoleARN, to.Configuration
			errs = append(errs, encode(c, "addons", key, a))
		}
	}
	// An add-on of EKS's is not among those that the cluster began with any more.
	of := own.clusters[cluster]
	of.SelfManaged = slices.DeleteFunc(of.SelfManaged, func(name string) bool {
		_, ok := own.addons[eks.Addon{Cluster: cluster, Name: name}.Key()]
		return ok
	})
	return errors.Join(append(errs, encode(c, "clusters", cluster, of))...)
}

// take copies what there is under a key.
func take(to, from store.Contents, collection, key string) {
	if v, ok := from[collection][key]; ok {
		to.Set(collection, key, v)
	}
}

// addAccount adds root with its first key, which is Tarn's.
func addAccount(to, from store.Contents) error {
	accounts, err := decodeAll[iam.Account](from, "iam-account")
	if err != nil {
		return err
	}
	for key, a := range accounts {
		a.Alias, a.Keys = "", a.Keys[:min(1, len(a.Keys))]
		if err := encode(to, "iam-account", key, a); err != nil {
			return err
		}
		for _, id := range a.Keys {
			take(to, from, "iam-access-keys", id)
		}
	}
	return nil
}

// addVPC adds a VPC with what every VPC has, and with its subnets.
func addVPC(to, from store.Contents, id string) error {
	take(to, from, "vpcs", id)
	for _, collection := range []string{"subnets", "route-tables", "internet-gateways", "security-groups"} {
		parts, err := decodeAll[struct{ VPC, Name string }](from, collection)
		if err != nil {
			return err
		}
		for key, part := range parts {
			if part.VPC == id && (collection != "security-groups" || part.Name == "default") {
				take(to, from, collection, key)
			}
		}
	}
	return nil
}

// addCluster adds a cluster with what was made for it.
func addCluster(to, from store.Contents, c eks.Cluster, issuer string) error {
	take(to, from, "clusters", c.Name)
	take(to, from, "security-groups", c.Network.SecurityGroup)
	take(to, from, "network-interfaces", c.Network.Interface)
	take(to, from, "iam-roles", nameInIAM(c.RoleARN))
	take(to, from, "iam-oidc-providers", strings.ToLower(strings.TrimPrefix(issuer, "https://")))
	entries, err := decodeAll[eks.AccessEntry](from, "access-entries")
	for key, e := range entries {
		if e.Cluster == c.Name && e.Creator {
			take(to, from, "access-entries", key)
		}
	}
	return err
}

// addGroup adds a node group with what was made for it.
func addGroup(to, from store.Contents, g eks.Nodegroup) error {
	take(to, from, "nodegroups", g.Key())
	take(to, from, "iam-roles", nameInIAM(g.RoleARN))
	take(to, from, "iam-instance-profiles", strings.ToLower(g.InstanceProfile()))
	entries, err := decodeAll[eks.AccessEntry](from, "access-entries")
	for key, e := range entries {
		if e.Cluster == g.Cluster && e.Principal == g.RoleARN && e.ForNodes {
			take(to, from, "access-entries", key)
		}
	}
	if err != nil {
		return err
	}
	return errors.Join(addTemplate(to, from, g), addInstances(to, from, g))
}

// addTemplate adds the launch template that EKS makes for a node group.
func addTemplate(to, from store.Contents, g eks.Nodegroup) error {
	templates, err := decodeAll[ec2.LaunchTemplate](from, "launch-templates")
	for id, t := range templates {
		if t.Name != nodegroups.TemplateName(g) {
			continue
		}
		take(to, from, "launch-templates", id)
		for key := range from["launch-template-versions"] {
			if strings.HasPrefix(key, id+"/") {
				take(to, from, "launch-template-versions", key)
			}
		}
	}
	return err
}

// addInstances adds a node group's instances, from which a reset knows what its
// instances are like.
func addInstances(to, from store.Contents, g eks.Nodegroup) error {
	instances, err := decodeAll[ec2.Instance](from, "instances")
	for key, i := range instances {
		if i.Tags[autoScalingGroup] == g.GroupName {
			take(to, from, "instances", key)
			take(to, from, "network-interfaces", i.ENI)
		}
	}
	return err
}

// autoScalingGroup is the tag of a node group's instances, which nobody can change.
const autoScalingGroup = "aws:autoscaling:groupName"

// nameInIAM is the key in IAM's collections of what has the ARN.
func nameInIAM(arn string) string {
	return strings.ToLower(arn[strings.LastIndexByte(arn, '/')+1:])
}

// belongings are a baseline's items that live.
type belongings struct {
	clusters  map[string]eks.Cluster
	groups    map[string]eks.Nodegroup
	addons    map[string]eks.Addon
	security  map[string]ec2.SecurityGroup
	instances map[string]ec2.Instance
	enis      map[string]ec2.NetworkInterface
}

func belongingsOf(c store.Contents) (b belongings, err error) {
	errs := make([]error, 6)
	b.clusters, errs[0] = decodeAll[eks.Cluster](c, "clusters")
	b.groups, errs[1] = decodeAll[eks.Nodegroup](c, "nodegroups")
	b.security, errs[2] = decodeAll[ec2.SecurityGroup](c, "security-groups")
	b.instances, errs[3] = decodeAll[ec2.Instance](c, "instances")
	b.enis, errs[4] = decodeAll[ec2.NetworkInterface](c, "network-interfaces")
	b.addons, errs[5] = decodeAll[eks.Addon](c, "addons")
	return b, errors.Join(errs...)
}

// instancesOf are a node group's instances, by id.
func (b belongings) instancesOf(g eks.Nodegroup) []ec2.Instance {
	var list []ec2.Instance
	for _, i := range b.instances {
		if i.Tags[autoScalingGroup] == g.GroupName {
			list = append(list, i)
		}
	}
	slices.SortFunc(list, func(a, b ec2.Instance) int { return strings.Compare(a.ID, b.ID) })
	return list
}

func decodeAll[T any](c store.Contents, collection string) (map[string]T, error) {
	all := map[string]T{}
	for key, value := range c[collection] {
		var v T
		if err := json.Unmarshal(value, &v); err != nil {
			return nil, fmt.Errorf("decoding %s in %s: %w", key, collection, err)
		}
		all[key] = v
	}
	return all, nil
}

func encode(c store.Contents, collection, key string, v any) error {
	value, err := json.Marshal(v)
	if err != nil {
		return fmt.Errorf("encoding %s in %s: %w", key, collection, err)
	}
	c.Set(collection, key, value)
	return nil
}

// loadBaseline returns fs.ErrNotExist (wrapped) when there is none yet.
func loadBaseline(l layout) (baseline, error) {
	var b baseline
	data, err := os.ReadFile(l.baseline())
	if err != nil {
		return b, fmt.Errorf("reading what a reset goes back to: %w", err)
	}
	if err := json.Unmarshal(data, &b); err != nil {
		return b, fmt.Errorf("%s is damaged: %w; remove it, and `tarn up` makes it anew", l.baseline(), err)
	}
	return b, nil
}

// save writes the baseline, which holds root's secret key, unless it is so already.
func (b baseline) save(l layout) error {
	data, err := json.Marshal(b)
	if err != nil {
		return fmt.Errorf("encoding what a reset goes back to: %w", err)
	}
	if have, err := os.ReadFile(l.baseline()); err == nil && bytes.Equal(have, data) {
		return nil
	}
	if err := writePrivate(l.baseline(), data); err != nil {
		return fmt.Errorf("writing what a reset goes back to: %w", err)
	}
	return nil
}
