package autoscaler

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/autoscaling"
	autoscalingtypes "github.com/aws/aws-sdk-go-v2/service/autoscaling/types"
	"k8s.io/klog/v2"
)

// AutoScaling are the operations of EC2 Auto Scaling that are called.
type AutoScaling interface {
	DescribeAutoScalingGroups(context.Context, *autoscaling.DescribeAutoScalingGroupsInput, ...func(*autoscaling.Options)) (*autoscaling.DescribeAutoScalingGroupsOutput, error)
	DescribeLaunchConfigurations(context.Context, *autoscaling.DescribeLaunchConfigurationsInput, ...func(*autoscaling.Options)) (*autoscaling.DescribeLaunchConfigurationsOutput, error)
	DescribeScalingActivities(context.Context, *autoscaling.DescribeScalingActivitiesInput, ...func(*autoscaling.Options)) (*autoscaling.DescribeScalingActivitiesOutput, error)
	SetDesiredCapacity(context.Context, *autoscaling.SetDesiredCapacityInput, ...func(*autoscaling.Options)) (*autoscaling.SetDesiredCapacityOutput, error)
	TerminateInstanceInAutoScalingGroup(context.Context, *autoscaling.TerminateInstanceInAutoScalingGroupInput, ...func(*autoscaling.Options)) (*autoscaling.TerminateInstanceInAutoScalingGroupOutput, error)
}

// CloudConfig is what a Cloud needs.
type CloudConfig struct {
	AutoScaling AutoScaling
	EC2         EC2
	EKS         EKS
	Groups      []Spec              // by --nodes
	Discover    []map[string]string // by --node-group-auto-discovery: tags
	StaticTypes bool                // --aws-use-static-instance-list
	Metrics     *Metrics
}

// Cloud is the way to the groups at AWS.
type Cloud struct {
	cfg    CloudConfig
	launch launches

	mu    sync.Mutex // guards setAt
	setAt map[string]time.Time
}

// NewCloud returns the way to AWS. It calls nothing yet.
func NewCloud(cfg CloudConfig) *Cloud {
	c := &Cloud{cfg: cfg, setAt: map[string]time.Time{}}
	c.launch = launches{cfg: cfg, now: time.Now}
	return c
}

// Groups describes the groups as they are now.
func (c *Cloud) Groups(ctx context.Context) ([]Group, error) {
	var names []string
	bounds := map[string]Spec{}
	for _, s := range c.cfg.Groups {
		names = append(names, s.Name)
		bounds[s.Name] = s
	}
	klog.V(4).Infof("Regenerating instance to ASG map for ASG names: %v", names)
	var described []autoscalingtypes.AutoScalingGroup
	for batch := range slices.Chunk(names, 100) { // AWS takes no more at once
		list, err := c.describe(ctx, &autoscaling.DescribeAutoScalingGroupsInput{AutoScalingGroupNames: batch})
		if err != nil {
			return nil, err
		}
		described = append(described, list...)
	}
	klog.V(4).Infof("Regenerating instance to ASG map for ASG tags: %v", c.cfg.Discover)
	for _, tags := range c.cfg.Discover {
		var filters []autoscalingtypes.Filter
		for _, key := range slices.Sorted(maps.Keys(tags)) {
			filter := autoscalingtypes.Filter{Name: aws.String("tag-key"), Values: []string{key}}
			if value := tags[key]; value != "" {
				filter = autoscalingtypes.Filter{Name: aws.String("tag:" + key), Values: []string{value}}
			}
			filters = append(filters, filter)
		}
		list, err := c.describe(ctx, &autoscaling.DescribeAutoScalingGroupsInput{Filters: filters})
		if err != nil {
			return nil, err
		}
		described = append(described, list...)
	}
	var groups []Group
	seen := map[string]bool{}
	for _, g := range described {
		name := aws.ToString(g.AutoScalingGroupName)
		if seen[name] {
			continue // it has been named, and its tags match too
		}
		seen[name] = true
		group := Group{
			Name: name, Min: int(aws.ToInt32(g.MinSize)), Max: int(aws.ToInt32(g.MaxSize)), Desired: int(aws.ToInt32(g.DesiredCapacity)),
			Instances: members(g.Instances), Override: groupOptions(name, g.Tags), Overlay: tagResources(g.Tags),
		}
		if s, ok := bounds[name]; ok {
			group.Min, group.Max = s.Min, s.Max
		}
		group.LaunchError = c.launchError(ctx, group)
		group.Template = c.launch.template(ctx, g)
		groups = append(groups, group)
	}
	for _, name := range names {
		if !seen[name] {
			klog.Warningf("ASG %s does not exist", name)
		}
	}
	return groups, nil
}

func (c *Cloud) describe(ctx context.Context, in *autoscaling.DescribeAutoScalingGroupsInput) ([]autoscalingtypes.AutoScalingGroup, error) {
	in.MaxRecords = aws.Int32(100)
	var all []autoscalingtypes.AutoScalingGroup
	pages := autoscaling.NewDescribeAutoScalingGroupsPaginator(c.cfg.AutoScaling, in)
	for pages.HasMorePages() {
		page, err := observed(c.cfg.Metrics, "DescribeAutoScalingGroups", func() (*autoscaling.DescribeAutoScalingGroupsOutput, error) { return pages.NextPage(ctx) })
		if err != nil {
			return nil, err
		}
		all = append(all, page.AutoScalingGroups...)
	}
	return all, nil
}

// members are the instances that a group's desired size counts, and those that
// are ending.
func members(list []autoscalingtypes.Instance) []Instance {
	var all []Instance
	for _, i := range list {
		state := string(i.LifecycleState)
		switch {
		case strings.HasPrefix(state, "Warmed:"), strings.HasSuffix(state, "Standby"), strings.HasPrefix(state, "Detach"):
			continue
		}
		all = append(all, Instance{ID: aws.ToString(i.InstanceId), Terminating: strings.HasPrefix(state, "Terminat")})
	}
	return all
}

// launchError is why AWS did not start the instances that a group lacks, "" if
// it is still at it.
func (c *Cloud) launchError(ctx context.Context, g Group) string {
	alive := 0
	for _, i := range g.Instances {
		if !i.Terminating {
			alive++
		}
	}
	if g.Desired <= alive {
		return ""
	}
	klog.V(4).Infof("Instance group %s has only %d instances created while requested count is %d. Creating placeholder instances.", g.Name, alive, g.Desired)
	out, err := observed(c.cfg.Metrics, "DescribeScalingActivities", func() (*autoscaling.DescribeScalingActivitiesOutput, error) {
		return c.cfg.AutoScaling.DescribeScalingActivities(ctx, &autoscaling.DescribeScalingActivitiesInput{AutoScalingGroupName: &g.Name})
	})
	if err != nil {
		klog.V(4).Infof("Could not check instance availability, creating placeholder node anyways: %v", err)
		return ""
	}
	c.mu.Lock()
	since, known := c.setAt[g.Name]
	c.mu.Unlock()
	for _, a := range out.Activities { // the newest first
		if known && aws.ToTime(a.StartTime).Before(since) {
			break
		}
		if a.StatusCode == autoscalingtypes.ScalingActivityStatusCodeFailed {
			klog.Warningf("ASG %s scaling failed with %s", g.Name, aws.ToString(a.StatusMessage))
			return aws.ToString(a.StatusMessage)
		}
		if !known { // the size was set by somebody else: only the last attempt counts
			break
		}
	}
	return ""
}

// Resize sets the group's desired size.
func (c *Cloud) Resize(ctx context.Context, group string, size int) error {
	klog.V(0).Infof("Setting asg %s size to %d", group, size)
	at := time.Now().Truncate(time.Second) // activities have whole seconds
	_, err := observed(c.cfg.Metrics, "SetDesiredCapacity", func() (*autoscaling.SetDesiredCapacityOutput, error) {
		return c.cfg.AutoScaling.SetDesiredCapacity(ctx, &autoscaling.SetDesiredCapacityInput{
			AutoScalingGroupName: &group, DesiredCapacity: aws.Int32(int32(size)), HonorCooldown: aws.Bool(false),
		})
	})
	if err != nil {
		return err
	}
	c.mu.Lock()
	c.setAt[group] = at
	c.mu.Unlock()
	return nil
}

// Terminate ends an instance and makes its group smaller by one.
func (c *Cloud) Terminate(ctx context.Context, instance string) error {
	out, err := observed(c.cfg.Metrics, "TerminateInstanceInAutoScalingGroup", func() (*autoscaling.TerminateInstanceInAutoScalingGroupOutput, error) {
		return c.cfg.AutoScaling.TerminateInstanceInAutoScalingGroup(ctx, &autoscaling.TerminateInstanceInAutoScalingGroupInput{
			InstanceId: &instance, ShouldDecrementDesiredCapacity: aws.Bool(true),
		})
	})
	if err != nil {
		return err
	}
	if out.Activity != nil {
		klog.V(4).Info(aws.ToString(out.Activity.Description))
	}
	return nil
}

// observed measures a call of AWS.
func observed[T any](m *Metrics, operation string, call func() (T, error)) (T, error) {
	start := time.Now()
	out, err := call()
	m.request(operation, err, time.Since(start))
	if err != nil {
		return out, fmt.Errorf("%w", err)
	}
	return out, nil
}
