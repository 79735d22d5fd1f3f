package autoscaling

import (
	"strings"

	"github.com/tarn-eks/tarn/internal/arn"
)

// Prefix is what the keys of all that belongs to a group begin with. Names may have
// slashes, and keys of one group must not be taken for another's.
func Prefix(group string) string { return escaped.Replace(group) + "/" }

var escaped = strings.NewReplacer("%", "%25", "/", "%2F")

// ARN names a group.
func (s *Service) ARN(g Group) string {
	return s.scope.Of("autoscaling", "autoScalingGroup:%s:autoScalingGroupName/%s", g.ID, g.Name)
}

// PolicyARN names a scaling policy: what an alarm has for its action.
func (s *Service) PolicyARN(p Policy) string {
	return s.scope.Of("autoscaling", "scalingPolicy:%s:autoScalingGroupName/%s:policyName/%s", p.ID, p.Group, p.Name)
}

// scheduleARN names a scheduled action.
func (s *Service) scheduleARN(a ScheduledAction) string {
	return s.scope.Of("autoscaling", "scheduledUpdateGroupAction:%s:autoScalingGroupName/%s:scheduledActionName/%s", a.ID, a.Group, a.Name)
}

// configurationARN names a launch configuration.
func (s *Service) configurationARN(c LaunchConfiguration) string {
	return s.scope.Of("autoscaling", "launchConfiguration:%s:launchConfigurationName/%s", c.ID, c.Name)
}

// ParsePolicyARN takes the ARN of a scaling policy apart; ok is false for any
// other text. The names of groups and policies have no colons.
func ParsePolicyARN(text string) (group, name string, ok bool) {
	a, err := arn.Parse(text)
	if err != nil || a.Service != "autoscaling" {
		return "", "", false
	}
	f := strings.Split(a.Resource, ":")
	if len(f) != 4 || f[0] != "scalingPolicy" || f[1] == "" {
		return "", "", false
	}
	group, inGroup := strings.CutPrefix(f[2], "autoScalingGroupName/")
	name, named := strings.CutPrefix(f[3], "policyName/")
	if !inGroup || !named || group == "" || name == "" {
		return "", "", false
	}
	return group, name, true
}
