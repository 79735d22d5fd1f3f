package autoscaling

import (
	"context"
	"time"

	autoscalingapi "github.com/tarn-eks/tarn/internal/api/autoscaling"
)

// Subnet is what a group must know of a subnet.
type Subnet struct{ ID, VPC, Zone string }

// Network is what the service asks EC2 about networks.
type Network interface {
	// Subnets returns those of the subnets that exist, in any order.
	Subnets(ctx context.Context, ids []string) ([]Subnet, error)
	// DefaultSubnets returns the default VPC's subnet in each zone; none if there
	// is no default VPC.
	DefaultSubnets(ctx context.Context) ([]Subnet, error)
	// Zones are the names of the region's availability zones.
	Zones(ctx context.Context) ([]string, error)
}

// Template is what a group must know of a version of a launch template.
type Template struct {
	ID, Name string
	Version  int64  // the number
	Image    string // "" if it has none
	Type     string // of instance, "" if it has none
	// Requirements says that the template chooses types by what they have.
	Requirements bool
	Profile      string // IAM instance profile, name or ARN
}

// Templates is what the service asks EC2 about launch templates.
type Templates interface {
	// Template resolves the id or name and the version ("" and $Default, $Latest
	// or a number). The error of one that does not exist is EC2's, an *api.Error.
	Template(ctx context.Context, id, name, version string) (Template, error)
}

// Instance is what a group must know of an instance.
type Instance struct {
	ID, Type, VPC, Subnet, Zone string
	State                       string // EC2's: pending, running, stopping …
	Image, Key                  string
	SecurityGroups              []string
	UserData                    string // base64
	Profile                     string // name or ARN
	Monitoring, EBSOptimized    bool
}

// Instances is what the service asks EC2 about instances.
type Instances interface {
	// Instances returns those of the instances that exist, in any order; one that
	// is terminated does not.
	Instances(ctx context.Context, ids []string) ([]Instance, error)
	// Types returns those of the instance types that exist.
	Types(ctx context.Context, names []string) ([]string, error)
	// Image says whether there is an image with the id.
	Image(ctx context.Context, id string) (bool, error)
}

// Balancers is what the service asks Elastic Load Balancing.
type Balancers interface {
	// LoadBalancers returns the names of those Classic Load Balancers that exist.
	LoadBalancers(ctx context.Context, names []string) ([]string, error)
	// InService returns those of the instances that the Classic Load Balancer with
	// the name, or the target group with the ARN, has in service; ok is false if
	// there is none.
	InService(ctx context.Context, balancer string, instances []string) (in []string, ok bool, err error)
	// TargetGroups returns the ARNs of those target groups that exist.
	TargetGroups(ctx context.Context, arns []string) ([]string, error)
}

// Identity is what the service asks IAM.
type Identity interface {
	// ProfileRole is the ARN of the role in the instance profile with the name or
	// ARN, "" if it has none; ok is false if there is no such profile.
	ProfileRole(ctx context.Context, profile string) (role string, ok bool, err error)
	// Role says whether there is a role with the ARN.
	Role(ctx context.Context, arn string) (bool, error)
	// ServiceLinkedRole makes the role AWSServiceRoleForAutoScaling if it is not
	// there, and returns its ARN.
	ServiceLinkedRole(ctx context.Context) (string, error)
}

// Alarms is CloudWatch for the policies that own alarms.
type Alarms interface {
	// Put makes or replaces the alarms.
	Put(ctx context.Context, alarms []AlarmSpec) error
	// Delete takes alarms away by their names; those that are not there do not
	// matter.
	Delete(ctx context.Context, names []string) error
	// Acting returns the names of the alarms that have one of the policies for an
	// action, by the policy's ARN.
	Acting(ctx context.Context, policies []string) (map[string][]string, error)
}

// Forecast is what a predictive policy expects.
type Forecast struct {
	Load     []autoscalingapi.LoadForecast // one for each of the policy's metrics
	Capacity autoscalingapi.CapacityForecast
	Updated  time.Time
}

// Forecasts is who computes forecasts of predictive policies.
type Forecasts interface {
	// Forecast returns the hours from start to end; ok is false if there is no
	// forecast yet.
	Forecast(ctx context.Context, p Policy, g Group, start, end time.Time) (f Forecast, ok bool, err error)
}
