package autoscaling

import (
	"time"

	autoscalingapi "github.com/tarn-eks/tarn/internal/api/autoscaling"
)

// LaunchConfiguration is what instances are launched from that have no launch
// template. It is never changed.
type LaunchConfiguration struct {
	Name    string
	ID      string // of its ARN, a UUID
	Created time.Time

	Image           string
	Type            string // of instance
	Key             string // key pair
	SecurityGroups  []string
	UserData        string // base64
	Profile         string // IAM instance profile, name or ARN
	Kernel, Ramdisk string
	Devices         []autoscalingapi.BlockDeviceMapping
	Monitoring      bool // detailed
	EBSOptimized    bool
	SpotPrice       string
	PublicAddress   *bool  // nil: as the subnet says
	Tenancy         string // "" is default
	Metadata        *autoscalingapi.InstanceMetadataOptions
}
