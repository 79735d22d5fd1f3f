package elbv2

import (
	"github.com/tarn-eks/tarn/internal/api"
	elbv2api "github.com/tarn-eks/tarn/internal/api/elbv2"
)

// readActions finds the target group that a listener's default actions forward to.
// They are one action, of type forward and with one target group.
func readActions(actions []elbv2api.Action) (targetGroup string, err error) {
	if len(actions) == 0 {
		return "", invalid("A default action must be specified")
	}
	for _, a := range actions {
		switch a.Type {
		case elbv2api.ActionTypeEnumForward:
		case elbv2api.ActionTypeEnumAuthenticateCognito, elbv2api.ActionTypeEnumAuthenticateOidc, elbv2api.ActionTypeEnumRedirect, elbv2api.ActionTypeEnumFixedResponse:
			return "", notImplemented("actions of type %s: use forward.", a.Type)
		default:
			return "", among("defaultActions.1.member.type", a.Type, elbv2api.ActionTypeEnumForward, elbv2api.ActionTypeEnumAuthenticateOidc,
				elbv2api.ActionTypeEnumAuthenticateCognito, elbv2api.ActionTypeEnumRedirect, elbv2api.ActionTypeEnumFixedResponse)
		}
	}
	if len(actions) > 1 {
		return "", elbv2api.InvalidLoadBalancerActionException.New("Exactly one action of type forward must be specified, and %d were", len(actions))
	}
	return readForward(actions[0])
}

func readForward(a elbv2api.Action) (string, error) {
	targetGroup := api.Val(a.TargetGroupArn)
	if c := a.ForwardConfig; c != nil {
		if sticky := c.TargetGroupStickinessConfig; sticky != nil && api.Val(sticky.Enabled) {
			return "", notImplemented("TargetGroupStickinessConfig of forward actions: use the target group's attribute stickiness.enabled.")
		}
		if len(c.TargetGroups) > 1 {
			return "", notImplemented("forward actions to %d target groups: use one.", len(c.TargetGroups))
		}
		for _, t := range c.TargetGroups {
			if t.Weight != nil && *t.Weight == 0 {
				return "", notImplemented("forward actions to a target group with weight 0, which gets nothing: use another weight, or delete the listener.")
			}
			if err := between("defaultActions.1.member.forwardConfig.targetGroups.1.member.weight", api.Val(t.Weight), 0, 999); err != nil {
				return "", err
			}
			if targetGroup != "" && targetGroup != api.Val(t.TargetGroupArn) {
				return "", elbv2api.InvalidLoadBalancerActionException.New("TargetGroupArn and ForwardConfig must have the same target group if both are specified")
			}
			targetGroup = api.Val(t.TargetGroupArn)
		}
	}
	if targetGroup == "" {
		return "", invalid("A target group ARN must be specified for actions of type forward")
	}
	return targetGroup, nil
}

// actionsOut are a listener's default actions as AWS describes them.
func (l Listener) actionsOut() []elbv2api.Action {
	return []elbv2api.Action{{
		Type: elbv2api.ActionTypeEnumForward, TargetGroupArn: &l.TargetGroup,
		ForwardConfig: &elbv2api.ForwardActionConfig{
			TargetGroups:                []elbv2api.TargetGroupTuple{{TargetGroupArn: &l.TargetGroup, Weight: new(int32(1))}},
			TargetGroupStickinessConfig: &elbv2api.TargetGroupStickinessConfig{Enabled: new(false)},
		},
	}}
}
