// Package eksctl reads an eksctl ClusterConfig (eksctl.io/v1alpha5) strictly:
// what eksctl would refuse, or take and fail with later, is refused here, with
// file, line, column and field, before anything starts. Its result holds only
// what Tarn acts on, with eksctl's defaults filled in.
//
// It decides nothing about processes, networks or the store, and none of them
// may enter; it writes no file.
package eksctl

import (
	"bytes"
	_ "embed"
	"io"
	"net/netip"
)

// ClusterConfig is what a cluster file asks of Tarn.
type ClusterConfig struct {
	Name    string
	Region  string
	Version string // Kubernetes, "1.37"
	Tags    map[string]string

	VPCCIDR     netip.Prefix // /16 to /24, private
	ServiceCIDR netip.Prefix // of ClusterIPs; the cluster's DNS is its tenth address
	Zones       []string     // two or more, of Region

	NodeGroups []NodeGroup // managed ones first, each kind in the file's order
	Addons     []Addon

	CloudWatch CloudWatch
	IAM        IAM
}

// NodeGroup is one managed or self-managed node group.
type NodeGroup struct {
	Name         string
	Managed      bool
	InstanceType string // known to package instancetype
	Spot         bool   // capacity type SPOT; otherwise ON_DEMAND

	Min, Max, Desired int // Min <= Desired <= Max

	Labels map[string]string // eksctl's own two included
	Taints []Taint
	Tags   map[string]string // the cluster's and, on a managed group, eksctl's own two included

	VolumeSizeGiB int
	VolumeType    string   // EBS volume type, "gp3"
	Zones         []string // the group's own, or else the cluster's

	IAM NodeIAM
}

// NodeIAM is what a group's nodes may do on AWS.
type NodeIAM struct {
	PolicyARNs    []string // attached in place of eksctl's own, if there are any
	AddonPolicies []string // the switches of withAddonPolicies that are on: autoScaler, ebs, …
}

// Taint is a Kubernetes taint; Effect is NoSchedule, PreferNoSchedule or NoExecute.
type Taint struct{ Key, Value, Effect string }

// Addon is an EKS add-on that the file names.
type Addon struct {
	Name             string
	Version          string // "": the one that EKS has by default
	RoleARN          string // of its service account
	Configuration    string // JSON or YAML, unchecked
	ResolveConflicts string // none, overwrite or preserve; "" is EKS's default
	Tags             map[string]string
}

// CloudWatch holds the control plane's log settings as the file has them.
type CloudWatch struct {
	LogTypes         []string // api, audit, …; "*" and "all" are spelt out
	LogRetentionDays int      // 0: kept for ever
}

// IAM holds the cluster's IAM settings as the file has them.
type IAM struct {
	WithOIDC bool
}

// eksctl's defaults.
const (
	DefaultInstanceType  = "m5.large"
	DefaultVolumeSizeGiB = 80
	DefaultVolumeType    = "gp3"

	defaultNodeCount = 2
	defaultZoneCount = 3
)

var defaultVPCCIDR = netip.MustParsePrefix("192.168.0.0/16")

// Load reads the ClusterConfig in r. name is the file's, for messages;
// version is the Kubernetes version this region runs ("1.37"): the file may
// give it, or nothing, or eksctl's words latest, default and auto.
//
// A file with faults yields all of them as Errors. The Unsupported of a good
// file names what it asks that Tarn does not do; show it once.
func Load(name string, r io.Reader, version string) (*ClusterConfig, Unsupported, error) {
	rep := &report{file: name}
	root, err := readTree(r, rep)
	if err != nil {
		return nil, Unsupported{}, err
	}
	var cfg *ClusterConfig
	if root != nil && isClusterConfig(root, rep) {
		s := loadSchema()
		check := checker{schema: s, report: rep}
		check.object(root, s.root(), "", true)
		cfg = (&reader{report: rep, version: version}).config(root)
	}
	if err := rep.err(); err != nil {
		return nil, Unsupported{}, err
	}
	return cfg, rep.ignored(), nil
}

// BuiltIn is the cluster file that is used when none is given; examples/eks-work.yaml is the same.
//
//go:embed eks-work.yaml
var BuiltIn []byte

// Default is the configuration of BuiltIn.
func Default(version string) *ClusterConfig {
	cfg, _, err := Load("eks-work.yaml", bytes.NewReader(BuiltIn), version)
	if err != nil {
		panic("eksctl: the built-in cluster file: " + err.Error()) // a fault of the build; the tests see it
	}
	return cfg
}
