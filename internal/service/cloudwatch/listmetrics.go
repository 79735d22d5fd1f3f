package cloudwatch

import (
	"context"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/tarn-eks/tarn/internal/api"
	cloudwatchapi "github.com/tarn-eks/tarn/internal/api/cloudwatch"
	"github.com/tarn-eks/tarn/internal/metrics"
)

const (
	maxListed   = 500 // in a page
	maxFilters  = 10
	recently    = 3 * time.Hour
	stillListed = 14 * 24 * time.Hour
)

// ListMetrics implements cloudwatchapi.Handler: metrics that had data in the past
// two weeks, or three hours.
func (s *Service) ListMetrics(ctx context.Context, in *cloudwatchapi.ListMetricsInput) (*cloudwatchapi.ListMetricsOutput, error) {
	if len(in.Dimensions) > maxFilters {
		return nil, wrong("The collection Dimensions must not have a size greater than %d.", maxFilters)
	}
	if in.RecentlyActive != "" && in.RecentlyActive != cloudwatchapi.RecentlyActivePt3h {
		return nil, wrong("The value %s for parameter RecentlyActive is invalid. Valid value is PT3H.", in.RecentlyActive)
	}
	like := metrics.ID{Namespace: api.Val(in.Namespace), Name: api.Val(in.MetricName)}
	for i, d := range in.Dimensions {
		if api.Val(d.Name) == "" {
			return nil, wrong("The parameter Dimensions.member.%d.Name must not be blank.", i+1)
		}
		if like.Dimensions == nil {
			like.Dimensions = map[string]string{}
		}
		like.Dimensions[*d.Name] = api.Val(d.Value)
	}
	out := &cloudwatchapi.ListMetricsOutput{Metrics: []cloudwatchapi.Metric{}}
	if owner := api.Val(in.OwningAccount); owner != "" && owner != s.scope.Account {
		return out, nil // no other account has linked its metrics
	}
	age := stillListed
	if in.RecentlyActive != "" {
		age = recently
	}
	ids, err := s.Metrics.List(ctx, like, s.now().Add(-age))
	if err != nil {
		return nil, err
	}
	slices.SortFunc(ids, func(a, b metrics.ID) int { return strings.Compare(listKey(a), listKey(b)) })
	ids, next, err := page(ids, listKey, maxListed, in.NextToken)
	if err != nil {
		return nil, wrong("The specified NextToken is invalid.")
	}
	out.NextToken = next
	for _, id := range ids {
		m := cloudwatchapi.Metric{Namespace: &id.Namespace, MetricName: &id.Name, Dimensions: []cloudwatchapi.Dimension{}}
		for _, n := range slices.Sorted(maps.Keys(id.Dimensions)) {
			m.Dimensions = append(m.Dimensions, cloudwatchapi.Dimension{Name: &n, Value: new(id.Dimensions[n])})
		}
		out.Metrics = append(out.Metrics, m)
		if api.Val(in.IncludeLinkedAccounts) {
			out.OwningAccounts = append(out.OwningAccounts, s.scope.Account)
		}
	}
	return out, nil
}

// listKey is a metric's place in the list.
func listKey(id metrics.ID) string {
	parts := []string{id.Namespace, id.Name}
	for _, n := range slices.Sorted(maps.Keys(id.Dimensions)) {
		parts = append(parts, n, id.Dimensions[n])
	}
	return strings.Join(parts, "\x00")
}
