package autoscaler

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/autoscaling"
	autoscalingtypes "github.com/aws/aws-sdk-go-v2/service/autoscaling/types"
	"github.com/aws/aws-sdk-go-v2/service/ec2"
	ec2types "github.com/aws/aws-sdk-go-v2/service/ec2/types"
	"github.com/aws/aws-sdk-go-v2/service/eks"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/klog/v2"

	"github.com/tarn-eks/tarn/internal/instancetype"
)

// EC2 are the operations of EC2 that are called.
type EC2 interface {
	DescribeInstanceTypes(context.Context, *ec2.DescribeInstanceTypesInput, ...func(*ec2.Options)) (*ec2.DescribeInstanceTypesOutput, error)
	DescribeLaunchTemplateVersions(context.Context, *ec2.DescribeLaunchTemplateVersionsInput, ...func(*ec2.Options)) (*ec2.DescribeLaunchTemplateVersionsOutput, error)
	DescribeImages(context.Context, *ec2.DescribeImagesInput, ...func(*ec2.Options)) (*ec2.DescribeImagesOutput, error)
	GetInstanceTypesFromInstanceRequirements(context.Context, *ec2.GetInstanceTypesFromInstanceRequirementsInput, ...func(*ec2.Options)) (*ec2.GetInstanceTypesFromInstanceRequirementsOutput, error)
}

// EKS is the operation of EKS that is called.
type EKS interface {
	DescribeNodegroup(context.Context, *eks.DescribeNodegroupInput, ...func(*eks.Options)) (*eks.DescribeNodegroupOutput, error)
}

// launchTTL is how long what was found of a group's launches is taken for true:
// a version such as $Latest may come to mean another.
const launchTTL = 10 * time.Minute

// launches know what instances groups start. What they learn, they remember.
type launches struct {
	cfg CloudConfig
	now func() time.Time

	mu         sync.Mutex // guards what follows
	kinds      map[string]remembered[kind]
	types      map[string]remembered[machine]
	nodegroups map[string]remembered[nodegroup]
}

type remembered[T any] struct {
	value T
	err   error
	until time.Time
}

// recall returns what is remembered, or asks and remembers it, failures too.
func recall[T any](l *launches, in *map[string]remembered[T], key string, ask func() (T, error)) (T, error) {
	l.mu.Lock()
	had, ok := (*in)[key]
	l.mu.Unlock()
	if ok && l.now().Before(had.until) {
		return had.value, had.err
	}
	value, err := ask()
	ttl := launchTTL
	if err != nil {
		ttl = time.Minute // a policy may be attached meanwhile
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	if *in == nil {
		*in = map[string]remembered[T]{}
	}
	(*in)[key] = remembered[T]{value, err, l.now().Add(ttl)}
	return value, err
}

// kind is the kind of instances that a group starts.
type kind struct {
	instanceType string
	diskGiB      int32 // of the root volume, 0 if it is not said
}

// template is the node that the group would get next, nil if that is unknown.
func (l *launches) template(ctx context.Context, g autoscalingtypes.AutoScalingGroup) *corev1.Node {
	name := aws.ToString(g.AutoScalingGroupName)
	text, _ := json.Marshal([]any{g.LaunchConfigurationName, g.LaunchTemplate, g.MixedInstancesPolicy})
	k, err := recall(l, &l.kinds, name+string(text), func() (kind, error) { return l.find(ctx, g) })
	if err != nil {
		klog.Warningf("could not get instance type for %s: %v", name, err)
		return nil
	}
	m, err := recall(l, &l.types, k.instanceType, func() (machine, error) { return l.machine(ctx, k.instanceType) })
	if err != nil {
		klog.Warningf("ASG %q uses the unknown EC2 instance type %q: %v", name, k.instanceType, err)
		return nil
	}
	return l.node(ctx, g, k, m)
}

// find says which type of instance a group starts: with a mixed instances
// policy, the first that it names.
func (l *launches) find(ctx context.Context, g autoscalingtypes.AutoScalingGroup) (kind, error) {
	switch p := g.MixedInstancesPolicy; {
	case p != nil && p.LaunchTemplate != nil:
		spec, overrides := p.LaunchTemplate.LaunchTemplateSpecification, p.LaunchTemplate.Overrides
		k, data, err := l.ofTemplate(ctx, spec)
		for _, o := range overrides {
			if t := aws.ToString(o.InstanceType); t != "" {
				k.instanceType = t
				return k, nil // it is enough, whatever the launch template says
			}
		}
		if err != nil {
			return kind{}, err
		}
		if len(overrides) > 0 && overrides[0].InstanceRequirements != nil {
			asked, err := same[ec2types.InstanceRequirementsRequest](overrides[0].InstanceRequirements)
			if err != nil {
				return kind{}, err
			}
			k.instanceType, err = l.matching(ctx, aws.ToString(data.ImageId), asked)
			return k, err
		}
		return l.settled(ctx, k, data)
	case g.LaunchTemplate != nil:
		k, data, err := l.ofTemplate(ctx, g.LaunchTemplate)
		if err != nil {
			return kind{}, err
		}
		return l.settled(ctx, k, data)
	case g.LaunchConfigurationName != nil:
		out, err := observed(l.cfg.Metrics, "DescribeLaunchConfigurations", func() (*autoscaling.DescribeLaunchConfigurationsOutput, error) {
			return l.cfg.AutoScaling.DescribeLaunchConfigurations(ctx, &autoscaling.DescribeLaunchConfigurationsInput{LaunchConfigurationNames: []string{*g.LaunchConfigurationName}})
		})
		if err != nil {
			return kind{}, err
		}
		if len(out.LaunchConfigurations) == 0 {
			return kind{}, fmt.Errorf("unable to get first LaunchConfiguration for %s", *g.LaunchConfigurationName)
		}
		c := out.LaunchConfigurations[0]
		k := kind{instanceType: aws.ToString(c.InstanceType)}
		for _, d := range c.BlockDeviceMappings {
			if d.Ebs != nil && k.diskGiB == 0 {
				k.diskGiB = aws.ToInt32(d.Ebs.VolumeSize)
			}
		}
		return k, nil
	}
	return kind{}, errors.New("the group has neither a launch template nor a launch configuration")
}

func (l *launches) ofTemplate(ctx context.Context, spec *autoscalingtypes.LaunchTemplateSpecification) (kind, *ec2types.ResponseLaunchTemplateData, error) {
	if spec == nil {
		return kind{}, nil, errors.New("no launch template found for mixed instances policy")
	}
	in := &ec2.DescribeLaunchTemplateVersionsInput{LaunchTemplateId: spec.LaunchTemplateId, Versions: []string{"$Default"}}
	if in.LaunchTemplateId == nil { // AWS takes one of the two
		in.LaunchTemplateName = spec.LaunchTemplateName
	}
	if v := aws.ToString(spec.Version); v != "" {
		in.Versions = []string{v}
	}
	out, err := observed(l.cfg.Metrics, "DescribeLaunchTemplateVersions", func() (*ec2.DescribeLaunchTemplateVersionsOutput, error) {
		return l.cfg.EC2.DescribeLaunchTemplateVersions(ctx, in)
	})
	if err != nil {
		return kind{}, nil, err
	}
	if len(out.LaunchTemplateVersions) == 0 || out.LaunchTemplateVersions[0].LaunchTemplateData == nil {
		return kind{}, nil, fmt.Errorf("unable to find versions for launch template %s", aws.ToString(spec.LaunchTemplateName))
	}
	data := out.LaunchTemplateVersions[0].LaunchTemplateData
	k := kind{instanceType: string(data.InstanceType)}
	for _, d := range data.BlockDeviceMappings {
		if d.Ebs != nil && k.diskGiB == 0 {
			k.diskGiB = aws.ToInt32(d.Ebs.VolumeSize)
		}
	}
	return k, data, nil
}

// settled is the kind with a type that a launch template asks for by what it
// is to have.
func (l *launches) settled(ctx context.Context, k kind, data *ec2types.ResponseLaunchTemplateData) (kind, error) {
	if k.instanceType != "" {
		return k, nil
	}
	if data.InstanceRequirements == nil {
		return k, errors.New("unable to find instance type using launch template")
	}
	asked, err := same[ec2types.InstanceRequirementsRequest](data.InstanceRequirements)
	if err != nil {
		return k, err
	}
	k.instanceType, err = l.matching(ctx, aws.ToString(data.ImageId), asked)
	return k, err
}

// same turns requirements into those of another part of the API: fields of the
// same names.
func same[T any](from any) (*T, error) {
	text, err := json.Marshal(from)
	if err != nil {
		return nil, fmt.Errorf("reading instance requirements: %w", err)
	}
	to := new(T)
	if err := json.Unmarshal(text, to); err != nil {
		return nil, fmt.Errorf("reading instance requirements: %w", err)
	}
	return to, nil
}

// matching is the first type that has what is required and runs the image.
func (l *launches) matching(ctx context.Context, image string, asked *ec2types.InstanceRequirementsRequest) (string, error) {
	images, err := observed(l.cfg.Metrics, "DescribeImages", func() (*ec2.DescribeImagesOutput, error) {
		return l.cfg.EC2.DescribeImages(ctx, &ec2.DescribeImagesInput{ImageIds: []string{image}})
	})
	if err != nil {
		return "", err
	}
	in := &ec2.GetInstanceTypesFromInstanceRequirementsInput{InstanceRequirements: asked}
	for _, i := range images.Images {
		in.ArchitectureTypes = append(in.ArchitectureTypes, ec2types.ArchitectureType(i.Architecture))
		in.VirtualizationTypes = append(in.VirtualizationTypes, i.VirtualizationType)
	}
	out, err := observed(l.cfg.Metrics, "GetInstanceTypesFromInstanceRequirements", func() (*ec2.GetInstanceTypesFromInstanceRequirementsOutput, error) {
		return l.cfg.EC2.GetInstanceTypesFromInstanceRequirements(ctx, in)
	})
	if err != nil {
		return "", err
	}
	if len(out.InstanceTypes) == 0 {
		return "", errors.New("no instance types found for requirements")
	}
	return aws.ToString(out.InstanceTypes[0].InstanceType), nil
}

// machine is an instance type's size.
type machine struct {
	instancetype.Type
	gpus int64
}

func (l *launches) machine(ctx context.Context, name string) (machine, error) {
	if !l.cfg.StaticTypes {
		out, err := observed(l.cfg.Metrics, "DescribeInstanceTypes", func() (*ec2.DescribeInstanceTypesOutput, error) {
			return l.cfg.EC2.DescribeInstanceTypes(ctx, &ec2.DescribeInstanceTypesInput{InstanceTypes: []ec2types.InstanceType{ec2types.InstanceType(name)}})
		})
		if err == nil && len(out.InstanceTypes) == 1 {
			return fromEC2(out.InstanceTypes[0]), nil
		}
		if err != nil {
			klog.Warningf("Failed to generate AWS EC2 Instance Types: %v, falling back to static list", err)
		}
	}
	t, err := instancetype.Lookup(name)
	if err != nil {
		return machine{}, err
	}
	return machine{Type: t}, nil
}

func fromEC2(i ec2types.InstanceTypeInfo) machine {
	m := machine{Type: instancetype.Type{Name: string(i.InstanceType), Architecture: "x86_64"}}
	if i.VCpuInfo != nil {
		m.VCPUs = int(aws.ToInt32(i.VCpuInfo.DefaultVCpus))
	}
	if i.MemoryInfo != nil {
		m.MemoryMiB = int(aws.ToInt64(i.MemoryInfo.SizeInMiB))
	}
	if i.NetworkInfo != nil {
		m.ENIs, m.IPv4PerENI = int(aws.ToInt32(i.NetworkInfo.MaximumNetworkInterfaces)), int(aws.ToInt32(i.NetworkInfo.Ipv4AddressesPerInterface))
	}
	if i.ProcessorInfo != nil && len(i.ProcessorInfo.SupportedArchitectures) > 0 {
		m.Architecture = string(i.ProcessorInfo.SupportedArchitectures[0])
	}
	if i.GpuInfo != nil {
		for _, g := range i.GpuInfo.Gpus {
			m.gpus += int64(aws.ToInt32(g.Count))
		}
	}
	return m
}
