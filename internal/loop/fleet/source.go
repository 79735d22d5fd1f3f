package fleet

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"time"

	"github.com/tarn-eks/tarn/internal/api"
	autoscalingapi "github.com/tarn-eks/tarn/internal/api/autoscaling"
	ec2api "github.com/tarn-eks/tarn/internal/api/ec2"
	"github.com/tarn-eks/tarn/internal/service/autoscaling"
	"github.com/tarn-eks/tarn/internal/service/ec2"
	"github.com/tarn-eks/tarn/internal/store"
)

// Source is what a group launches instances from, as it is now.
type Source struct {
	Origin
	Choices []Choice // by priority
	Spot    bool     // all of them, because a launch configuration says so
	// err is why nothing can be launched.
	err error
}

// Origin is a launch configuration, or a version of a launch template.
type Origin struct {
	Template, Name, Version string // the version is a number
	Configuration           string
}

// Choice is a type of instance that a group may launch.
type Choice struct {
	Origin
	Type   string
	Weight int // 0: none
	input  ec2.LaunchInput
}

// priority is a type's place among the choices.
func (s Source) priority(instanceType string) int {
	if i := slices.IndexFunc(s.Choices, func(c Choice) bool { return c.Type == instanceType }); i >= 0 {
		return i
	}
	return len(s.Choices)
}

// matches says that a member is what the group would launch now.
func (s Source) matches(m autoscaling.Member) bool {
	is := Origin{m.Template, m.TemplateName, m.Version, m.Configuration}
	return slices.ContainsFunc(s.Choices, func(c Choice) bool {
		return c.Type == m.Type && c.Template == is.Template && c.Version == is.Version && c.Configuration == is.Configuration
	})
}

// member is the record of an instance that was launched for a group.
func (s Source) member(g autoscaling.Group, i ec2.Instance, now time.Time) autoscaling.Member {
	m := autoscaling.Member{
		Group: g.Name, Instance: i.ID, Type: i.Type, Zone: i.Zone, Subnet: i.Subnet,
		State: autoscaling.Pending, Since: now, Healthy: true, Protected: g.ProtectNew,
		Template: i.Tags[templateTag], Version: i.Tags[versionTag],
	}
	if m.Template == "" {
		m.Configuration = g.LaunchConfiguration
	}
	for _, c := range s.Choices {
		if c.Type == i.Type {
			m.Weight = c.Weight
		}
		if c.Template == m.Template {
			m.TemplateName = c.Name
		}
	}
	return m
}

// The tags that say from which launch template an instance is.
const (
	templateTag = "aws:ec2launchtemplate:id"
	versionTag  = "aws:ec2launchtemplate:version"
)

// source reads what a group launches. An instance refresh that is under way says
// it in the group's place.
func (l *Loop) source(ctx context.Context, g autoscaling.Group, r *autoscaling.Refresh) Source {
	if r != nil {
		want := r.Desired
		if r.Status == autoscaling.RollbackInProgress {
			want = r.Previous
		}
		if want != nil && r.Status != autoscaling.RefreshCancelling {
			configure(&g, *want)
		}
	}
	s, err := l.read(ctx, g)
	s.err = err
	return s
}

// configure gives a group what a refresh has brought.
func configure(g *autoscaling.Group, to autoscalingapi.DesiredConfiguration) {
	g.LaunchConfiguration, g.LaunchTemplate, g.Mixed = "", to.LaunchTemplate, to.MixedInstancesPolicy
}

func (l *Loop) read(ctx context.Context, g autoscaling.Group) (Source, error) {
	switch {
	case g.LaunchConfiguration != "":
		c, err := l.AutoScaling.Configurations.Get(ctx, g.LaunchConfiguration)
		if err != nil {
			return Source{}, fmt.Errorf("reading launch configuration %s: %w", g.LaunchConfiguration, err)
		}
		in, err := fromConfiguration(c.Value)
		origin := Origin{Configuration: g.LaunchConfiguration}
		return Source{Origin: origin, Choices: []Choice{{Origin: origin, Type: c.Value.Type, input: in}}, Spot: c.Value.SpotPrice != ""}, err
	case g.LaunchTemplate != nil:
		c, err := l.choice(ctx, *g.LaunchTemplate)
		return Source{Origin: c.Origin, Choices: []Choice{c}, Spot: c.input.Spot}, err
	case g.Mixed != nil && g.Mixed.LaunchTemplate != nil && g.Mixed.LaunchTemplate.LaunchTemplateSpecification != nil:
		return l.mixed(ctx, *g.Mixed.LaunchTemplate)
	}
	return Source{}, errors.New("the group has no launch template")
}

// mixed reads a launch template with its overrides.
func (l *Loop) mixed(ctx context.Context, t autoscalingapi.LaunchTemplate) (Source, error) {
	base, err := l.choice(ctx, *t.LaunchTemplateSpecification)
	s := Source{Origin: base.Origin}
	if err != nil || len(t.Overrides) == 0 {
		s.Choices = []Choice{base}
		return s, err
	}
	for _, o := range t.Overrides {
		c := base
		if o.LaunchTemplateSpecification != nil {
			if c, err = l.choice(ctx, *o.LaunchTemplateSpecification); err != nil {
				return s, err
			}
		}
		if c.Weight, err = weight(o); err != nil {
			return s, err
		}
		types := []string{cmp.Or(api.Val(o.InstanceType), c.Type)}
		if o.InstanceRequirements != nil {
			if types, err = l.types(ctx, *o.InstanceRequirements); err != nil {
				return s, err
			}
		}
		for _, c.Type = range types {
			s.Choices = append(s.Choices, c)
		}
	}
	return s, nil
}

func weight(o autoscalingapi.LaunchTemplateOverrides) (int, error) {
	if o.WeightedCapacity == nil {
		return 0, nil
	}
	n, err := strconv.Atoi(*o.WeightedCapacity)
	if err != nil {
		return 0, fmt.Errorf("the weighted capacity %q is no number", *o.WeightedCapacity)
	}
	return n, nil
}

// types are those that have what is required, by EC2's judgement.
func (l *Loop) types(ctx context.Context, r autoscalingapi.InstanceRequirements) ([]string, error) {
	in := &ec2api.GetInstanceTypesFromInstanceRequirementsInput{
		ArchitectureTypes: []ec2api.ArchitectureType{"x86_64"}, VirtualizationTypes: []ec2api.VirtualizationType{"hvm"},
	}
	data, err := json.Marshal(r) // members of the same names
	if err == nil {
		err = json.Unmarshal(data, &in.InstanceRequirements)
	}
	if err != nil {
		return nil, fmt.Errorf("reading instance requirements: %w", err)
	}
	var types []string
	for {
		out, err := l.EC2.GetInstanceTypesFromInstanceRequirements(ctx, in)
		if err != nil {
			return nil, err
		}
		for _, t := range out.InstanceTypes {
			types = append(types, api.Val(t.InstanceType))
		}
		if in.NextToken = out.NextToken; api.Val(in.NextToken) == "" {
			return types, nil
		}
	}
}

// choice reads a version of a launch template.
func (l *Loop) choice(ctx context.Context, t autoscalingapi.LaunchTemplateSpecification) (Choice, error) {
	name := api.Val(t.LaunchTemplateName)
	if api.Val(t.LaunchTemplateId) != "" {
		name = ""
	}
	template, number, data, err := l.EC2.TemplateData(ctx, api.Val(t.LaunchTemplateId), name, api.Val(t.Version))
	if err != nil {
		if errors.Is(err, store.ErrNotFound) {
			err = fmt.Errorf("reading a launch template: %w", err)
		}
		return Choice{}, err
	}
	in, err := fromTemplate(data)
	if err != nil {
		return Choice{}, fmt.Errorf("version %d of launch template %s: %w", number, template.ID, err)
	}
	return Choice{
		Origin: Origin{Template: template.ID, Name: template.Name, Version: strconv.FormatInt(number, 10)},
		Type:   string(data.InstanceType), input: in,
	}, nil
}
