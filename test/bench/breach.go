package main

import (
	"context"
	"fmt"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/autoscaling"
	scaling "github.com/aws/aws-sdk-go-v2/service/autoscaling/types"
	"github.com/aws/aws-sdk-go-v2/service/cloudwatch"
	"github.com/aws/aws-sdk-go-v2/service/cloudwatch/types"
)

const (
	// alarmed is the alarm's name, and its policy's.
	alarmed = "bench"
	// period is the alarm's.
	period = 10 * time.Second
	// most is the value of the metric that the alarm lets pass.
	most = 50
)

// breach puts a value that an alarm does not let pass into the first moment of a
// period, and returns how long after the period's end another node is Ready. The
// group is as before then.
func (g *nodegroup) breach(ctx context.Context, run int) (time.Duration, error) {
	before, err := g.nodes(ctx)
	if err != nil {
		return 0, err
	}
	// What an earlier run has put into the metric would still be looked at.
	metric := aws.String(fmt.Sprintf("load-%d", run))
	if err := g.watch(ctx, metric, len(before)+1); err != nil {
		return 0, err
	}
	begins := time.Now().Truncate(period).Add(period)
	select {
	case <-time.After(time.Until(begins)):
	case <-ctx.Done():
		return 0, ctx.Err()
	}
	_, err = g.alarms.PutMetricData(ctx, &cloudwatch.PutMetricDataInput{
		Namespace: aws.String(alarmed),
		MetricData: []types.MetricDatum{{
			MetricName: metric, Value: aws.Float64(2 * most), Timestamp: aws.Time(begins), StorageResolution: aws.Int32(1),
		}},
	})
	if err != nil {
		return 0, err
	}
	node, err := g.newcomer(ctx, before)
	if err != nil {
		return 0, err
	}
	took := time.Since(begins.Add(period))
	// It would go on to breach, and the policy to act.
	if _, err := g.alarms.DeleteAlarms(ctx, &cloudwatch.DeleteAlarmsInput{AlarmNames: []string{alarmed}}); err != nil {
		return 0, err
	}
	return took, g.shrink(ctx, node)
}

// watch makes an alarm on a metric with a step policy for a size, and waits until
// the alarm is OK.
func (g *nodegroup) watch(ctx context.Context, metric *string, size int) error {
	policy, err := g.groups.PutScalingPolicy(ctx, &autoscaling.PutScalingPolicyInput{
		AutoScalingGroupName: &g.name, PolicyName: aws.String(alarmed), PolicyType: aws.String("StepScaling"),
		AdjustmentType: aws.String("ExactCapacity"), EstimatedInstanceWarmup: aws.Int32(0),
		StepAdjustments: []scaling.StepAdjustment{{MetricIntervalLowerBound: aws.Float64(0), ScalingAdjustment: aws.Int32(int32(size))}},
	})
	if err != nil {
		return err
	}
	_, err = g.alarms.PutMetricAlarm(ctx, &cloudwatch.PutMetricAlarmInput{
		AlarmName: aws.String(alarmed), AlarmActions: []string{*policy.PolicyARN},
		Namespace: aws.String(alarmed), MetricName: metric, Statistic: types.StatisticAverage,
		Period: aws.Int32(int32(period.Seconds())), EvaluationPeriods: aws.Int32(1),
		ComparisonOperator: types.ComparisonOperatorGreaterThanThreshold, Threshold: aws.Float64(most),
		TreatMissingData: aws.String("notBreaching"),
	})
	if err != nil {
		return err
	}
	return await(ctx, "an alarm that is OK", func(ctx context.Context) (bool, error) {
		found, err := g.alarms.DescribeAlarms(ctx, &cloudwatch.DescribeAlarmsInput{AlarmNames: []string{alarmed}})
		return err == nil && len(found.MetricAlarms) == 1 && found.MetricAlarms[0].StateValue == types.StateValueOk, err
	})
}
