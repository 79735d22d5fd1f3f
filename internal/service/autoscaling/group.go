package autoscaling

import (
	"slices"
	"time"

	autoscalingapi "github.com/tarn-eks/tarn/internal/api/autoscaling"
)

// Group is an Auto Scaling group: what was asked for. What there is of it are
// its Members.
type Group struct {
	Name    string
	ID      string // of its ARN, a UUID
	Created time.Time
	// Owner is the service that made the group on its own behalf ("eks"), empty
	// for a caller of the API.
	Owner string

	// Exactly one of the three says what instances are launched from. An EC2
	// launch template is kept with its id; its version may be a number, $Latest
	// or $Default.
	LaunchConfiguration string
	LaunchTemplate      *autoscalingapi.LaunchTemplateSpecification
	Mixed               *autoscalingapi.MixedInstancesPolicy

	Min, Max, Desired int
	DesiredType       string        // units, vcpu or memory-mib; "" is units
	Cooldown          time.Duration // after a simple policy's or a person's scaling; 300 s by default
	Warmup            time.Duration // default instance warm-up; negative: none is set
	Subnets           []string
	Zones             []string // those of Subnets
	// Implied says that the caller named zones, and Subnets are the default VPC's.
	Implied bool

	LoadBalancers []string // Classic, by name
	TargetGroups  []string // ARNs
	// Leaving are Classic load balancers and target groups that were detached and may
	// still have the group's instances. Loop fleet takes them out, and the names away.
	Leaving []string

	HealthCheck         string // "EC2", "ELB", or "EC2,ELB"
	GracePeriod         time.Duration
	ProtectNew          bool
	MaxInstanceLifetime time.Duration // 0: none
	Rebalance           bool          // capacity rebalance
	TerminationPolicies []string      // "Default" …
	Suspended           []Suspended
	Metrics             []string // enabled group metrics, "GroupDesiredCapacity" …
	Placement           string
	Context             string
	ServiceRole         string // ARN of the service-linked role
	Maintenance         *autoscalingapi.InstanceMaintenancePolicy
	Tags                []Tag
	Hooks               []Hook
	WarmPool            *WarmPool

	// Deleting: no instance is to be left, then the group goes. Forced ends them
	// without their hooks.
	Deleting, Forced bool
	// Scaled is when the last scaling activity ended that a cooldown follows.
	Scaled time.Time
	// Reasons say why the desired capacity is what it is, in AWS's sentences ("At
	// 2026-…Z a user request explicitly set group desired capacity changing the
	// desired capacity from 1 to 2."). Loop fleet takes them for the cause of the
	// next activity and clears them.
	Reasons []string
	// Failures counts launches that failed one after the other, FailedIn are their
	// subnets, and RetryAt is when the next is tried.
	Failures int
	FailedIn []string
	RetryAt  time.Time
}

// Tag is a tag of a group; Propagate: its instances get it at launch.
type Tag struct {
	Key, Value string
	Propagate  bool
}

// Suspended is a process that was suspended, and why.
type Suspended struct{ Process, Reason string }

// Processes that can be suspended.
const (
	Launch            = "Launch"
	Terminate         = "Terminate"
	AddToLoadBalancer = "AddToLoadBalancer"
	AlarmNotification = "AlarmNotification"
	AZRebalance       = "AZRebalance"
	HealthCheck       = "HealthCheck"
	InstanceRefresh   = "InstanceRefresh"
	ReplaceUnhealthy  = "ReplaceUnhealthy"
	ScheduledActions  = "ScheduledActions"
)

// Suspends says whether the process is suspended.
func (g Group) Suspends(process string) bool {
	return slices.ContainsFunc(g.Suspended, func(s Suspended) bool { return s.Process == process })
}

// Traffic are the group's Classic load balancers and target groups.
func (g Group) Traffic() []string { return slices.Concat(g.LoadBalancers, g.TargetGroups) }

// HooksOf are the group's hooks of a transition.
func (g Group) HooksOf(transition string) []Hook {
	return slices.DeleteFunc(slices.Clone(g.Hooks), func(h Hook) bool { return h.Transition != transition })
}

// WarmPool are instances that wait beside the group.
type WarmPool struct {
	Min         int
	MaxPrepared int    // -1: the group's maximum
	State       string // of the instances: Stopped, Running or Hibernated
	Reuse       bool   // on scale-in
	Deleting    bool
}

// HealthEC2 and HealthELB are the health check types.
const (
	HealthEC2 = "EC2"
	HealthELB = "ELB"
)

// DefaultTermination is the termination policy of groups that say none.
const DefaultTermination = "Default"

const defaultCooldown = 300 * time.Second

// defaultRole is the ARN of the role that Auto Scaling acts with.
func (s *Service) defaultRole() string {
	return s.scope.Global("iam", "role/aws-service-role/autoscaling.amazonaws.com/AWSServiceRoleForAutoScaling")
}
