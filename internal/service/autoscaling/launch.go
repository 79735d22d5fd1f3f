package autoscaling

import (
	"context"
	"errors"
	"slices"
	"strconv"

	"github.com/tarn-eks/tarn/internal/api"
	autoscalingapi "github.com/tarn-eks/tarn/internal/api/autoscaling"
	"github.com/tarn-eks/tarn/internal/store"
)

// source is what a request says instances are launched from: one of the three.
type source struct {
	configuration *string
	template      *autoscalingapi.LaunchTemplateSpecification
	mixed         *autoscalingapi.MixedInstancesPolicy
}

func (c source) count() int {
	n := 0
	for _, given := range []bool{c.configuration != nil, c.template != nil, c.mixed != nil} {
		if given {
			n++
		}
	}
	return n
}

func noSource() error {
	return invalid("Valid requests must contain either LaunchTemplate, LaunchConfigurationName, InstanceId or MixedInstancesPolicy parameter.")
}

// setSource checks where instances are to be launched from, and sets it.
func (s *Service) setSource(ctx context.Context, g *Group, c source) error {
	if c.count() != 1 {
		return noSource()
	}
	had := g.Mixed
	g.LaunchConfiguration, g.LaunchTemplate, g.Mixed = "", nil, nil
	var err error
	switch {
	case c.template != nil:
		g.LaunchTemplate, err = s.checkTemplate(ctx, c.template, true)
	case c.mixed != nil:
		g.Mixed, err = s.checkMixed(ctx, withTemplate(c.mixed, had))
	default:
		g.LaunchConfiguration = *c.configuration
		_, err = s.configuration(ctx, *c.configuration)
	}
	return err
}

// configuration finds a launch configuration.
func (s *Service) configuration(ctx context.Context, name string) (store.Item[LaunchConfiguration], error) {
	it, err := s.Configurations.Get(ctx, name)
	if name == "" || errors.Is(err, store.ErrNotFound) {
		err = invalid("Launch configuration name not found - Launch configuration %s not found", name)
	}
	return it, err
}

// checkTemplate resolves a launch template, and returns it with both its names.
// One that is whole says what image instances have.
func (s *Service) checkTemplate(ctx context.Context, spec *autoscalingapi.LaunchTemplateSpecification, whole bool) (*autoscalingapi.LaunchTemplateSpecification, error) {
	id, name, version := api.Val(spec.LaunchTemplateId), api.Val(spec.LaunchTemplateName), api.Val(spec.Version)
	if (id == "") == (name == "") {
		return nil, invalid("Valid requests must contain either launchTemplateId or LaunchTemplateName")
	}
	if version == "" {
		version = "$Default"
	}
	t, err := s.templates.Template(ctx, id, name, version)
	if err != nil {
		return nil, badTemplate(err)
	}
	if whole && t.Image == "" {
		return nil, badTemplate(invalid("The request must contain the parameter ImageId"))
	}
	return &autoscalingapi.LaunchTemplateSpecification{LaunchTemplateId: &t.ID, LaunchTemplateName: &t.Name, Version: &version}, nil
}

// badTemplate is how Auto Scaling passes on what EC2 says of a launch template.
func badTemplate(err error) error {
	if e, ok := errors.AsType[*api.Error](err); ok && e.Fault != api.Receiver {
		return invalid("You must use a valid fully-formed launch template. %s", e.Message)
	}
	return err
}

// withTemplate is a mixed instances policy that has the launch template, and its
// overrides, of the one before if it says none.
func withTemplate(p, had *autoscalingapi.MixedInstancesPolicy) *autoscalingapi.MixedInstancesPolicy {
	if p.LaunchTemplate != nil || had == nil || had.LaunchTemplate == nil {
		return p
	}
	t := *had.LaunchTemplate
	t.LaunchTemplateSpecification = byID(t.LaunchTemplateSpecification)
	t.Overrides = slices.Clone(t.Overrides)
	for i := range t.Overrides {
		t.Overrides[i].LaunchTemplateSpecification = byID(t.Overrides[i].LaunchTemplateSpecification)
	}
	return &autoscalingapi.MixedInstancesPolicy{LaunchTemplate: &t, InstancesDistribution: p.InstancesDistribution}
}

// byID is a launch template as a request may have it: without its name.
func byID(spec *autoscalingapi.LaunchTemplateSpecification) *autoscalingapi.LaunchTemplateSpecification {
	if spec == nil {
		return nil
	}
	return &autoscalingapi.LaunchTemplateSpecification{LaunchTemplateId: spec.LaunchTemplateId, Version: spec.Version}
}

// checkMixed checks a mixed instances policy, and fills in what it leaves out.
func (s *Service) checkMixed(ctx context.Context, p *autoscalingapi.MixedInstancesPolicy) (*autoscalingapi.MixedInstancesPolicy, error) {
	if p.LaunchTemplate == nil || p.LaunchTemplate.LaunchTemplateSpecification == nil {
		return nil, invalid("You must specify a LaunchTemplateSpecification in the MixedInstancesPolicy.")
	}
	spec, err := s.checkTemplate(ctx, p.LaunchTemplate.LaunchTemplateSpecification, true)
	if err != nil {
		return nil, err
	}
	overrides, err := s.checkOverrides(ctx, p.LaunchTemplate.Overrides)
	if err != nil {
		return nil, err
	}
	distribution, err := checkDistribution(p.InstancesDistribution, overrides)
	return &autoscalingapi.MixedInstancesPolicy{
		LaunchTemplate:        &autoscalingapi.LaunchTemplate{LaunchTemplateSpecification: spec, Overrides: overrides},
		InstancesDistribution: distribution,
	}, err
}

func (s *Service) checkOverrides(ctx context.Context, overrides []autoscalingapi.LaunchTemplateOverrides) ([]autoscalingapi.LaunchTemplateOverrides, error) {
	if len(overrides) > 40 {
		return nil, invalid("The number of LaunchTemplateOverrides must be fewer than 40")
	}
	overrides = slices.Clone(overrides)
	var types []string
	weighted, required := 0, 0
	for i := range overrides {
		o := &overrides[i]
		switch kind := api.Val(o.InstanceType); {
		case (kind != "") == (o.InstanceRequirements != nil):
			return nil, invalid("Each override must specify either an InstanceType or InstanceRequirements.")
		case o.InstanceRequirements != nil:
			required++
			if err := checkRequirements(o.InstanceRequirements); err != nil {
				return nil, err
			}
		case slices.Contains(types, kind):
			return nil, invalid("Cannot add same instance type override more than once")
		default:
			types = append(types, kind)
		}
		if w := api.Val(o.WeightedCapacity); w != "" {
			weighted++
			if n, err := strconv.Atoi(w); err != nil || n < 1 || n > 999 {
				return nil, invalid("WeightedCapacity must be an integer between 1 and 999.")
			}
		}
		if o.LaunchTemplateSpecification != nil {
			spec, err := s.checkTemplate(ctx, o.LaunchTemplateSpecification, true)
			if err != nil {
				return nil, err
			}
			o.LaunchTemplateSpecification = spec
		}
	}
	switch {
	case required > 0 && len(types) > 0:
		return nil, invalid("You can't combine overrides with InstanceType and overrides with InstanceRequirements.")
	case required > 4:
		return nil, invalid("You can only have 4 launch template overrides using instance requirements at most")
	case weighted > 0 && weighted < len(overrides):
		return nil, invalid("You must specify WeightedCapacity either for all overrides or for none.")
	}
	return overrides, s.checkTypes(ctx, types)
}

// checkTypes wants instance types that exist.
func (s *Service) checkTypes(ctx context.Context, types []string) error {
	if len(types) == 0 {
		return nil
	}
	known, err := s.instances.Types(ctx, types)
	if err != nil {
		return err
	}
	if no := missing(types, known); len(no) > 0 {
		return badTemplate(invalid("Invalid value '%s' for InstanceType.", no[0]))
	}
	return nil
}

func checkRequirements(r *autoscalingapi.InstanceRequirements) error {
	for _, of := range []struct {
		what     string
		min, max *int32
	}{
		{"VCpuCount", r.VCpuCount.Min, r.VCpuCount.Max},
		{"MemoryMiB", r.MemoryMiB.Min, r.MemoryMiB.Max},
	} {
		if of.max != nil && *of.min > *of.max {
			return invalid("Invalid instance requirements. The Min value (%d) in %s must be less or equal to the Max value (%d)", *of.min, of.what, *of.max)
		}
	}
	if len(r.AllowedInstanceTypes) > 0 && len(r.ExcludedInstanceTypes) > 0 {
		return invalid("You can specify either AllowedInstanceTypes or ExcludedInstanceTypes, but not both.")
	}
	return nil
}

// checkDistribution fills in AWS's defaults, which DescribeAutoScalingGroups shows.
func checkDistribution(in *autoscalingapi.InstancesDistribution, overrides []autoscalingapi.LaunchTemplateOverrides) (*autoscalingapi.InstancesDistribution, error) {
	d := autoscalingapi.InstancesDistribution{}
	if in != nil {
		d = *in
	}
	if d.OnDemandAllocationStrategy == nil {
		d.OnDemandAllocationStrategy = new("prioritized")
		if len(overrides) > 0 && overrides[0].InstanceRequirements != nil {
			d.OnDemandAllocationStrategy = new("lowest-price")
		}
	}
	if d.OnDemandBaseCapacity == nil {
		d.OnDemandBaseCapacity = number(0)
	}
	if d.OnDemandPercentageAboveBaseCapacity == nil {
		d.OnDemandPercentageAboveBaseCapacity = number(100)
	}
	if d.SpotAllocationStrategy == nil {
		d.SpotAllocationStrategy = new("lowest-price")
	}
	if d.SpotInstancePools == nil && *d.SpotAllocationStrategy == "lowest-price" {
		d.SpotInstancePools = number(2)
	}
	return &d, errors.Join(
		oneOf("mixedInstancesPolicy.instancesDistribution.onDemandAllocationStrategy", *d.OnDemandAllocationStrategy, "lowest-price", "prioritized"),
		oneOf("mixedInstancesPolicy.instancesDistribution.spotAllocationStrategy", *d.SpotAllocationStrategy,
			"lowest-price", "capacity-optimized", "capacity-optimized-prioritized", "price-capacity-optimized"),
		between("mixedInstancesPolicy.instancesDistribution.onDemandBaseCapacity", int(*d.OnDemandBaseCapacity), 0, 1<<31-1),
		between("mixedInstancesPolicy.instancesDistribution.onDemandPercentageAboveBaseCapacity", int(*d.OnDemandPercentageAboveBaseCapacity), 0, 100),
	)
}
