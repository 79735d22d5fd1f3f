package imds

import (
	"net/netip"
	"strings"
	"time"
)

// Values of [Options], spelled as in EC2's API.
const (
	Enabled  = "enabled"
	Disabled = "disabled"
	Required = "required"
	Optional = "optional"
)

// Instance is what the metadata service tells about an instance. An empty field has no entry in
// the tree.
type Instance struct {
	ID                 string // i-...
	Type               string // t3.medium
	ImageID            string // ami-...
	Architecture       string // x86_64 or arm64
	AccountID          string
	Region             string
	AvailabilityZone   string // ap-northeast-2a
	AvailabilityZoneID string // apne2-az1
	ReservationID      string // r-...
	LaunchIndex        int
	LifeCycle          string // on-demand (also when empty), spot, scheduled
	PendingTime        time.Time

	// Interfaces are the attached network interfaces; the primary one has device number 0.
	Interfaces []Interface

	UserData []byte            // nil when none was given; as it is, not in base64
	Tags     map[string]string // shown only when Options.InstanceMetadataTags is enabled
	Profile  *InstanceProfile  // nil when none is attached
	Options  Options
}

// Interface is a network interface (ENI) of an instance.
type Interface struct {
	ID             string // eni-...
	MAC            string // 0a:...
	DeviceNumber   int
	PrivateDNSName string       // of the primary address
	Addresses      []netip.Addr // primary first, then those of pods
	SecurityGroups []SecurityGroup
	SubnetID       string
	SubnetCIDR     netip.Prefix
	VPCID          string
	VPCCIDRs       []netip.Prefix // primary first
}

// SecurityGroup is a group that an interface belongs to.
type SecurityGroup struct{ ID, Name string }

// InstanceProfile is the profile attached to an instance, and the name of the role in it.
type InstanceProfile struct{ ARN, ID, Role string }

// Credentials are a role's temporary credentials, as iam/security-credentials/<role> shows them.
type Credentials struct {
	AccessKeyID, SecretAccessKey, Token string
	LastUpdated, Expiration             time.Time
}

// Options are an instance's MetadataOptions. The zero value is the safe one, and the default of
// instances launched today: endpoint on, tokens required, one hop, no tags.
type Options struct {
	HTTPEndpoint            string // Enabled or Disabled
	HTTPTokens              string // Required or Optional
	HTTPPutResponseHopLimit int    // 1 to 64; 0 means 1
	InstanceMetadataTags    string // Enabled or Disabled
}

func (o Options) hopLimit() int { return min(max(o.HTTPPutResponseHopLimit, 1), 64) }

// primary returns the interface with device number 0, or one without entries.
func (i Instance) primary() Interface {
	for _, eni := range i.Interfaces {
		if eni.DeviceNumber == 0 {
			return eni
		}
	}
	return Interface{}
}

func (e Interface) primaryAddress() string {
	if len(e.Addresses) == 0 {
		return ""
	}
	return e.Addresses[0].String()
}

// partition returns the partition of a region, and the domain of its services.
func partition(region string) (name, domain string) {
	switch {
	case strings.HasPrefix(region, "cn-"):
		return "aws-cn", "amazonaws.com.cn"
	case strings.HasPrefix(region, "us-gov-"):
		return "aws-us-gov", "amazonaws.com"
	default:
		return "aws", "amazonaws.com"
	}
}
