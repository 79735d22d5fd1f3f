package imds

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"
	"time"
)

// versions are the dated paths that AWS serves besides "latest". All of them show the same tree.
var versions = []string{
	"1.0", "2007-01-19", "2007-03-01", "2007-08-29", "2007-10-10", "2007-12-15", "2008-02-01",
	"2008-09-01", "2009-04-04", "2011-01-01", "2011-05-01", "2012-01-12", "2014-02-25", "2014-11-05",
	"2015-10-20", "2016-04-19", "2016-06-30", "2016-09-02", "2018-03-28", "2018-08-17", "2018-09-24",
	"2019-10-01", "2020-10-27", "2021-01-03", "2021-03-23", "2021-07-15", "2022-09-24", "2024-04-11",
}

var errNotFound = errors.New("no such metadata")

func known(version string) bool { return version == "latest" || slices.Contains(versions, version) }

// document is a body with its headers. No content type means text/plain, no time of modification
// the instance's own beginning.
type document struct {
	body        []byte
	contentType string
	modified    time.Time
}

// tree holds what one instance sees, by path below the version. It holds leaves only: a directory
// is there when something is below it.
type tree map[string]func(context.Context) (document, error)

// get returns the leaf at path, or else the listing of the directory there.
func (t tree) get(ctx context.Context, path string) (document, error) {
	if leaf, ok := t[path]; ok {
		return leaf(ctx)
	}
	prefix := path + "/"
	if path == "" {
		prefix = ""
	}
	names := map[string]bool{}
	for leaf := range t {
		if below, ok := strings.CutPrefix(leaf, prefix); ok {
			name, _, isDir := strings.Cut(below, "/")
			if isDir && path != "" { // AWS lists the topmost level without slashes
				name += "/"
			}
			names[name] = true
		}
	}
	if len(names) == 0 {
		return document{}, errNotFound
	}
	return list(slices.Sorted(maps.Keys(names))), nil
}

func list(names []string) document { return document{body: []byte(strings.Join(names, "\n"))} }

// tree builds what the instance sees.
func (h *Handler) tree(inst Instance) tree {
	t := tree{}
	leaf := func(path string, doc document) {
		t[path] = func(context.Context) (document, error) { return doc, nil }
	}
	text := func(path string, values ...string) {
		if value := strings.Join(values, "\n"); value != "" {
			leaf(path, document{body: []byte(value)})
		}
	}

	eni := inst.primary()
	text("meta-data/ami-id", inst.ImageID)
	text("meta-data/ami-launch-index", strconv.Itoa(inst.LaunchIndex))
	text("meta-data/hostname", eni.PrivateDNSName)
	text("meta-data/instance-id", inst.ID)
	text("meta-data/instance-life-cycle", inst.lifeCycle())
	text("meta-data/instance-type", inst.Type)
	text("meta-data/local-hostname", eni.PrivateDNSName)
	text("meta-data/local-ipv4", eni.primaryAddress())
	text("meta-data/mac", eni.MAC)
	text("meta-data/placement/availability-zone", inst.AvailabilityZone)
	text("meta-data/placement/availability-zone-id", inst.AvailabilityZoneID)
	text("meta-data/placement/region", inst.Region)
	text("meta-data/profile", "default-hvm") // the name of EC2's own configuration, not of an IAM profile
	text("meta-data/reservation-id", inst.ReservationID)
	text("meta-data/security-groups", eni.groupNames()...)
	name, domain := partition(inst.Region)
	text("meta-data/services/domain", domain)
	text("meta-data/services/partition", name)
	for _, eni := range inst.Interfaces {
		eni.describe(inst.AccountID, func(name string, values ...string) {
			text("meta-data/network/interfaces/macs/"+eni.MAC+"/"+name, values...)
		})
	}
	if inst.Options.InstanceMetadataTags == Enabled {
		for key, value := range inst.Tags { // a tag may have an empty value and still exists
			leaf("meta-data/tags/instance/"+key, document{body: []byte(value)})
		}
	}
	leaf("dynamic/instance-identity/document", document{body: inst.identity()})
	if inst.UserData != nil {
		leaf("user-data", document{body: inst.UserData, contentType: "application/octet-stream"})
	}
	if p := inst.Profile; p != nil && h.cfg.Credentials != nil {
		t["meta-data/iam/info"] = h.withCredentials(inst, p.info)
		t["meta-data/iam/security-credentials/"+p.Role] = h.withCredentials(inst, Credentials.document)
	}
	return t
}

func (i Instance) lifeCycle() string {
	if i.LifeCycle == "" {
		return "on-demand"
	}
	return i.LifeCycle
}

func (e Interface) groupNames() []string {
	var names []string
	for _, g := range e.SecurityGroups {
		names = append(names, g.Name)
	}
	return names
}

// describe names what is below network/interfaces/macs/<mac>/.
func (e Interface) describe(owner string, text func(name string, values ...string)) {
	var addresses, groupIDs, cidrs []string
	for _, a := range e.Addresses {
		addresses = append(addresses, a.String())
	}
	for _, g := range e.SecurityGroups {
		groupIDs = append(groupIDs, g.ID)
	}
	for _, c := range e.VPCCIDRs {
		cidrs = append(cidrs, c.String())
	}
	text("device-number", strconv.Itoa(e.DeviceNumber))
	text("interface-id", e.ID)
	text("local-hostname", e.PrivateDNSName)
	text("local-ipv4s", addresses...)
	text("mac", e.MAC)
	text("owner-id", owner)
	text("security-group-ids", groupIDs...)
	text("security-groups", e.groupNames()...)
	text("subnet-id", e.SubnetID)
	if e.SubnetCIDR.IsValid() {
		text("subnet-ipv4-cidr-block", e.SubnetCIDR.String())
	}
	text("vpc-id", e.VPCID)
	if len(cidrs) > 0 {
		text("vpc-ipv4-cidr-block", cidrs[0])
	}
	text("vpc-ipv4-cidr-blocks", cidrs...)
}

// identity is the instance identity document. It is not signed here: pkcs7, rsa2048 and signature
// do not exist.
func (i Instance) identity() []byte {
	return object(
		"accountId", i.AccountID,
		"architecture", i.Architecture,
		"availabilityZone", i.AvailabilityZone,
		"billingProducts", nil,
		"devpayProductCodes", nil,
		"marketplaceProductCodes", nil,
		"imageId", i.ImageID,
		"instanceId", i.ID,
		"instanceType", i.Type,
		"kernelId", nil,
		"pendingTime", timestamp(i.PendingTime),
		"privateIp", i.primary().primaryAddress(),
		"ramdiskId", nil,
		"region", i.Region,
		"version", "2017-09-30",
	)
}

// withCredentials is a leaf that asks for the role's credentials when it is read.
func (h *Handler) withCredentials(inst Instance, show func(Credentials) []byte) func(context.Context) (document, error) {
	return func(ctx context.Context) (document, error) {
		c, err := h.cfg.Credentials(ctx, inst)
		if err != nil {
			return document{}, fmt.Errorf("credentials of role %s: %w", inst.Profile.Role, err)
		}
		return document{body: show(c), modified: c.LastUpdated}, nil
	}
}

func (p *InstanceProfile) info(c Credentials) []byte {
	return object(
		"Code", "Success",
		"LastUpdated", timestamp(c.LastUpdated),
		"InstanceProfileArn", p.ARN,
		"InstanceProfileId", p.ID,
	)
}

func (c Credentials) document() []byte {
	return object(
		"Code", "Success",
		"LastUpdated", timestamp(c.LastUpdated),
		"Type", "AWS-HMAC",
		"AccessKeyId", c.AccessKeyID,
		"SecretAccessKey", c.SecretAccessKey,
		"Token", c.Token,
		"Expiration", timestamp(c.Expiration),
	)
}

func timestamp(t time.Time) string { return t.UTC().Format(time.RFC3339) }

// object writes names and values as AWS does: in the order given, with a space before the colon,
// which scripts that cut fields out with sed rely on. Values are strings or nil.
func object(pairs ...any) []byte {
	var b bytes.Buffer
	enc := json.NewEncoder(&b)
	enc.SetEscapeHTML(false)
	sep := "{\n"
	for i := 0; i < len(pairs); i += 2 {
		fmt.Fprintf(&b, "%s  %q : ", sep, pairs[i])
		if err := enc.Encode(pairs[i+1]); err != nil {
			panic(err) // a value that is neither string nor nil: a mistake in this file
		}
		b.Truncate(b.Len() - 1) // the encoder's newline
		sep = ",\n"
	}
	b.WriteString("\n}")
	return b.Bytes()
}
