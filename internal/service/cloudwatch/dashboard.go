package cloudwatch

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"regexp"
	"slices"
	"strings"
	"time"

	"github.com/tarn-eks/tarn/internal/api"
	cloudwatchapi "github.com/tarn-eks/tarn/internal/api/cloudwatch"
	"github.com/tarn-eks/tarn/internal/store"
)

// Dashboard is a dashboard. Nothing draws it here; the same body works on AWS.
type Dashboard struct {
	Name    string
	Body    string // JSON
	Changed time.Time
}

const (
	maxDashboard = 512 << 10 // bytes, so that it fits into a commit, escaped
	maxWidgets   = 500
	dashboards   = 1000 // in a page
)

var dashboardName = regexp.MustCompile(`^[A-Za-z0-9_-]{1,255}$`)

func (s *Service) dashboardARN(name string) string {
	return s.scope.Global("cloudwatch", "dashboard/%s", name)
}

// PutDashboard implements cloudwatchapi.Handler.
func (s *Service) PutDashboard(ctx context.Context, in *cloudwatchapi.PutDashboardInput) (*cloudwatchapi.PutDashboardOutput, error) {
	name, body := api.Val(in.DashboardName), api.Val(in.DashboardBody)
	if !dashboardName.MatchString(name) {
		return nil, badDashboard(cloudwatchapi.DashboardValidationMessage{DataPath: new("/"), Message: new("The dashboard name must have 1 to 255 letters, digits, hyphens and underscores")})
	}
	if messages := checkDashboard(body); len(messages) > 0 {
		return nil, badDashboard(messages...)
	}
	d := Dashboard{Name: name, Body: body, Changed: s.time()}
	for {
		_, err := s.dashboards.Create(ctx, name, d)
		if errors.Is(err, store.ErrExists) {
			_, err = s.dashboards.Modify(ctx, name, func(old *Dashboard) error {
				*old = d
				return nil
			})
		}
		if errors.Is(err, store.ErrNotFound) {
			continue // deleted in between
		}
		return &cloudwatchapi.PutDashboardOutput{DashboardValidationMessages: []cloudwatchapi.DashboardValidationMessage{}}, err
	}
}

func badDashboard(messages ...cloudwatchapi.DashboardValidationMessage) error {
	return cloudwatchapi.DashboardInvalidInputError.New("The field DashboardBody must be a valid JSON object, there are %d validation errors: %s", len(messages), api.Val(messages[0].Message)).
		With(&cloudwatchapi.DashboardInvalidInputErrorDetail{DashboardValidationMessages: messages})
}

// checkDashboard is what is wrong with a body.
//
// https://docs.aws.amazon.com/AmazonCloudWatch/latest/APIReference/CloudWatch-Dashboard-Body-Structure.html
func checkDashboard(body string) (messages []cloudwatchapi.DashboardValidationMessage) {
	say := func(path, format string, args ...any) {
		messages = append(messages, cloudwatchapi.DashboardValidationMessage{DataPath: &path, Message: new(fmt.Sprintf(format, args...))})
	}
	var read map[string]any
	if err := json.Unmarshal([]byte(body), &read); err != nil || read == nil {
		say("/", "The dashboard body must be a valid JSON object")
		return messages
	}
	if len(body) > maxDashboard {
		say("/", "The dashboard body must have at most %d bytes", maxDashboard)
	}
	widgets, ok := read["widgets"].([]any)
	if !ok {
		say("/", "Should have required property 'widgets', an array")
		return messages
	}
	if len(widgets) > maxWidgets {
		say("/widgets", "Should NOT have more than %d items", maxWidgets)
	}
	for i, w := range widgets {
		path := fmt.Sprintf("/widgets/%d", i)
		widget, ok := w.(map[string]any)
		if !ok {
			say(path, "Should be object")
			continue
		}
		if kind, _ := widget["type"].(string); !slices.Contains([]string{"metric", "text", "log", "alarm", "explorer", "custom"}, kind) {
			say(path+"/type", "Should be equal to one of the allowed values")
		}
		if _, ok := widget["properties"].(map[string]any); !ok {
			say(path, "Should have required property 'properties'")
		}
		for member, bounds := range map[string][2]float64{"x": {0, 23}, "y": {0, 1 << 31}, "width": {1, 24}, "height": {1, 1000}} {
			v, there := widget[member]
			if n, ok := v.(float64); there && (!ok || n != float64(int64(n)) || n < bounds[0] || n > bounds[1]) {
				say(path+"/"+member, "Should be an integer from %.0f to %.0f", bounds[0], bounds[1])
			}
		}
	}
	slices.SortStableFunc(messages, func(a, b cloudwatchapi.DashboardValidationMessage) int {
		return strings.Compare(*a.DataPath, *b.DataPath)
	})
	return messages
}

func noDashboard(names ...string) error {
	return cloudwatchapi.DashboardNotFoundError.New("Dashboard %s does not exist", strings.Join(names, ", "))
}

// GetDashboard implements cloudwatchapi.Handler.
func (s *Service) GetDashboard(ctx context.Context, in *cloudwatchapi.GetDashboardInput) (*cloudwatchapi.GetDashboardOutput, error) {
	name := api.Val(in.DashboardName)
	if !dashboardName.MatchString(name) {
		return nil, wrong("The value %s for parameter DashboardName is invalid.", name)
	}
	it, err := s.dashboards.Get(ctx, name)
	if errors.Is(err, store.ErrNotFound) {
		return nil, noDashboard(name)
	}
	return &cloudwatchapi.GetDashboardOutput{DashboardArn: new(s.dashboardARN(name)), DashboardBody: &it.Value.Body, DashboardName: &name}, err
}

// ListDashboards implements cloudwatchapi.Handler.
func (s *Service) ListDashboards(ctx context.Context, in *cloudwatchapi.ListDashboardsInput) (*cloudwatchapi.ListDashboardsOutput, error) {
	items, _, err := s.dashboards.List(ctx, api.Val(in.DashboardNamePrefix))
	if err != nil {
		return nil, err
	}
	items, next, err := page(items, func(it store.Item[Dashboard]) string { return it.Key }, dashboards, in.NextToken)
	if err != nil {
		return nil, wrong("The specified NextToken is invalid.")
	}
	out := &cloudwatchapi.ListDashboardsOutput{DashboardEntries: []cloudwatchapi.DashboardEntry{}, NextToken: next}
	for _, it := range items {
		out.DashboardEntries = append(out.DashboardEntries, cloudwatchapi.DashboardEntry{
			DashboardName: &it.Key, DashboardArn: new(s.dashboardARN(it.Key)), LastModified: &it.Value.Changed, Size: new(int64(len(it.Value.Body))),
		})
	}
	return out, nil
}

// DeleteDashboards implements cloudwatchapi.Handler: all of them or none.
func (s *Service) DeleteDashboards(ctx context.Context, in *cloudwatchapi.DeleteDashboardsInput) (*cloudwatchapi.DeleteDashboardsOutput, error) {
	if n := len(in.DashboardNames); n < 1 || n > 100 {
		return nil, wrong("DashboardNames must have 1 to 100 items")
	}
	var ops []store.Op
	var absent []string
	for i, name := range in.DashboardNames {
		it, err := s.dashboards.Get(ctx, name)
		switch {
		case errors.Is(err, store.ErrNotFound):
			absent = append(absent, name)
		case err != nil:
			return nil, err
		case !slices.Contains(in.DashboardNames[:i], name):
			ops = append(ops, s.dashboards.DeleteOp(it))
		}
	}
	if len(absent) > 0 {
		return nil, noDashboard(absent...)
	}
	if _, err := store.Commit(ctx, s.client, ops...); err != nil && !errors.Is(err, store.ErrNotFound) {
		return nil, err
	}
	return &cloudwatchapi.DeleteDashboardsOutput{}, nil
}
