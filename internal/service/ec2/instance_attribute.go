package ec2

import (
	"cmp"
	"context"
	"encoding/base64"
	"errors"
	"slices"
	"strings"

	"github.com/tarn-eks/tarn/internal/api"
	ec2api "github.com/tarn-eks/tarn/internal/api/ec2"
	"github.com/tarn-eks/tarn/internal/instancetype"
	"github.com/tarn-eks/tarn/internal/store"
	"github.com/tarn-eks/tarn/internal/subnet"
)

func flag(b bool) *ec2api.AttributeBooleanValue { return &ec2api.AttributeBooleanValue{Value: new(b)} }

func text(s string) *ec2api.AttributeValue { return &ec2api.AttributeValue{Value: new(s)} }

// DescribeInstanceAttribute shows one attribute of an instance.
func (s *Service) DescribeInstanceAttribute(ctx context.Context, in *ec2api.DescribeInstanceAttributeInput) (*ec2api.DescribeInstanceAttributeOutput, error) {
	item, err := get(ctx, s.Instances, instanceIDs, *in.InstanceId)
	if err != nil {
		return nil, err
	}
	if err := dryRun(in.DryRun); err != nil {
		return nil, err
	}
	i := item.Value
	out := &ec2api.DescribeInstanceAttributeOutput{InstanceId: in.InstanceId}
	switch in.Attribute {
	case "instanceType":
		out.InstanceType = text(i.Type)
	case "userData":
		out.UserData = &ec2api.AttributeValue{}
		if len(i.UserData) > 0 {
			out.UserData = text(base64.StdEncoding.EncodeToString(i.UserData))
		}
	case "disableApiTermination":
		out.DisableApiTermination = flag(i.DisableTermination)
	case "disableApiStop":
		out.DisableApiStop = flag(i.DisableStop)
	case "instanceInitiatedShutdownBehavior":
		out.InstanceInitiatedShutdownBehavior = text(cmp.Or(i.OnShutdown, "stop"))
	case "rootDeviceName":
		out.RootDeviceName = text(rootDevice)
	case "blockDeviceMapping":
		out.BlockDeviceMappings = i.blockDevices()
	case "productCodes":
		out.ProductCodes = []ec2api.ProductCode{}
	case "sourceDestCheck":
		out.SourceDestCheck = flag(!i.NoDestCheck)
	case "groupSet":
		groups, err := s.groupNames(ctx)
		if err != nil {
			return nil, err
		}
		out.Groups = groups.of(i.SecurityGroups)
	case "ebsOptimized":
		out.EbsOptimized = flag(i.EBSOptimized)
	case "enaSupport":
		out.EnaSupport = flag(true)
	case "sriovNetSupport":
		out.SriovNetSupport = text("simple")
	case "enclaveOptions":
		out.EnclaveOptions = &ec2api.EnclaveOptions{Enabled: new(false)}
	case "kernel":
		out.KernelId = &ec2api.AttributeValue{}
	case "ramdisk":
		out.RamdiskId = &ec2api.AttributeValue{}
	default:
		return nil, invalid("attribute", string(in.Attribute))
	}
	return out, nil
}

// ModifyInstanceAttribute changes one attribute of an instance, which is given by
// its member, or as Attribute and Value.
func (s *Service) ModifyInstanceAttribute(ctx context.Context, in *ec2api.ModifyInstanceAttributeInput) (*ec2api.ModifyInstanceAttributeOutput, error) {
	edit, err := s.attributeEdit(ctx, in)
	if err != nil {
		return nil, err
	}
	s.allocating.Lock() // a new type may need more addresses
	defer s.allocating.Unlock()
	err = retry(func() error {
		i, eni, err := s.instanceAndENI(ctx, *in.InstanceId)
		if err != nil {
			return err
		}
		if i.Value.State == ShuttingDown || i.Value.gone() {
			return bad("IncorrectInstanceState", "The instance '%s' is not in a state from which its attributes can be modified.", i.Key)
		}
		if err := edit(&i.Value, &eni.Value); err != nil {
			return err
		}
		if err := dryRun(in.DryRun); err != nil {
			return err
		}
		ops := []store.Op{s.Instances.UpdateOp(i), s.ENIs.UpdateOp(eni)}
		for _, g := range eni.Value.SecurityGroups {
			ops = append(ops, s.SecurityGroups.MustExist(g))
		}
		_, err = store.Commit(ctx, s.client, ops...)
		return err
	})
	return &ec2api.ModifyInstanceAttributeOutput{}, err
}

// edit changes an instance and its network interface.
type edit func(*Instance, *NetworkInterface) error

// attributeEdit finds the one attribute that a request changes.
func (s *Service) attributeEdit(ctx context.Context, in *ec2api.ModifyInstanceAttributeInput) (edit, error) {
	if in.Attribute != "" {
		if err := attributeMember(in); err != nil {
			return nil, err
		}
	}
	var edits []edit
	boolean := func(v *ec2api.AttributeBooleanValue, set func(*Instance, *NetworkInterface, bool)) {
		if v != nil && v.Value != nil {
			edits = append(edits, func(i *Instance, eni *NetworkInterface) error { set(i, eni, *v.Value); return nil })
		}
	}
	boolean(in.SourceDestCheck, func(i *Instance, eni *NetworkInterface, b bool) { i.NoDestCheck, eni.NoDestCheck = !b, !b })
	boolean(in.DisableApiTermination, func(i *Instance, _ *NetworkInterface, b bool) { i.DisableTermination = b })
	boolean(in.DisableApiStop, func(i *Instance, _ *NetworkInterface, b bool) { i.DisableStop = b })
	boolean(in.EbsOptimized, func(i *Instance, _ *NetworkInterface, b bool) { i.EBSOptimized = b })
	if v := in.InstanceInitiatedShutdownBehavior; v != nil {
		if !slices.Contains([]string{"stop", "terminate"}, api.Val(v.Value)) {
			return nil, invalid("instanceInitiatedShutdownBehavior", api.Val(v.Value))
		}
		edits = append(edits, func(i *Instance, _ *NetworkInterface) error { i.OnShutdown = *v.Value; return nil })
	}
	if in.InstanceType != nil {
		edits = append(edits, func(i *Instance, eni *NetworkInterface) error {
			return s.changeType(ctx, i, eni, api.Val(in.InstanceType.Value))
		})
	}
	if in.UserData != nil {
		edits = append(edits, func(i *Instance, eni *NetworkInterface) error {
			return s.changeUserData(ctx, i, eni, in.UserData.Value)
		})
	}
	if len(in.Groups) > 0 {
		edits = append(edits, func(i *Instance, eni *NetworkInterface) error {
			groups, err := s.launchGroups(ctx, i.VPC, in.Groups, nil)
			i.SecurityGroups, eni.SecurityGroups = groups, groups
			return err
		})
	}
	if in.Kernel != nil || in.Ramdisk != nil || in.SriovNetSupport != nil || in.EnaSupport != nil || len(in.BlockDeviceMappings) > 0 {
		return nil, bad("Unsupported", "The kernel, RAM disk, network support and block devices of an instance cannot be changed.")
	}
	switch len(edits) {
	case 0:
		return nil, bad("InvalidParameterCombination", "No attributes specified.")
	case 1:
		return edits[0], nil
	default:
		return nil, bad("InvalidParameterCombination", "Fields for multiple attribute types specified: one attribute can be modified at a time.")
	}
}

// attributeMember moves Attribute and Value into the attribute's own member.
func attributeMember(in *ec2api.ModifyInstanceAttributeInput) error {
	value := api.Val(in.Value)
	if in.Value == nil {
		return nil // the member says it
	}
	switch in.Attribute {
	case "instanceType":
		in.InstanceType = text(value)
		return nil
	case "instanceInitiatedShutdownBehavior":
		in.InstanceInitiatedShutdownBehavior = text(value)
		return nil
	case "userData":
		data, err := base64.StdEncoding.DecodeString(value)
		if err != nil {
			return bad("InvalidUserData.Malformed", "Invalid BASE64 encoding of user data.")
		}
		in.UserData = &ec2api.BlobAttributeValue{Value: data}
		return nil
	}
	b := strings.EqualFold(value, "true")
	if !b && !strings.EqualFold(value, "false") {
		return invalid("value", value)
	}
	switch in.Attribute {
	case "disableApiTermination":
		in.DisableApiTermination = flag(b)
	case "disableApiStop":
		in.DisableApiStop = flag(b)
	case "sourceDestCheck":
		in.SourceDestCheck = flag(b)
	case "ebsOptimized":
		in.EbsOptimized = flag(b)
	default:
		return invalid("attribute", string(in.Attribute))
	}
	return nil
}

// changeType gives a stopped instance another type. A node then has room for as
// many pods as that allows, unless its user data says how many.
func (s *Service) changeType(ctx context.Context, i *Instance, eni *NetworkInterface, name string) error {
	if i.State != Stopped {
		return bad("IncorrectInstanceState", "The instance '%s' is not in the 'stopped' state.", i.ID)
	}
	if err := checkType(name); err != nil {
		return err
	}
	before, err := instancetype.Lookup(i.Type)
	if err != nil {
		return err
	}
	after, err := instancetype.Lookup(name)
	if err != nil {
		return err
	}
	i.Type = name
	if i.Bootstrap.MaxPods == before.MaxPods() {
		i.Bootstrap.MaxPods = after.MaxPods()
	}
	return s.resize(ctx, i, eni)
}

// changeUserData gives a stopped instance other user data.
func (s *Service) changeUserData(ctx context.Context, i *Instance, eni *NetworkInterface, data []byte) error {
	if i.State != Stopped {
		return bad("IncorrectInstanceState", "The instance '%s' is not in the 'stopped' state.", i.ID)
	}
	data, b, err := bootstrap(base64.StdEncoding.EncodeToString(data))
	if err != nil {
		return err
	}
	if b.MaxPods == 0 {
		t, err := instancetype.Lookup(i.Type)
		if err != nil {
			return err
		}
		b.MaxPods = t.MaxPods()
	}
	i.UserData, i.Bootstrap = data, b
	return s.resize(ctx, i, eni)
}

// resize gives a node as many addresses as it may have pods. s.allocating is held.
func (s *Service) resize(ctx context.Context, i *Instance, eni *NetworkInterface) error {
	want := 1
	if i.Bootstrap.Cluster != "" {
		want += i.Bootstrap.MaxPods
	}
	if missing := want - len(eni.Addresses); missing > 0 {
		home, err := s.Subnets.Get(ctx, i.Subnet)
		if err != nil {
			return err
		}
		taken, err := s.takenAddresses(ctx, i.VPC)
		if err != nil {
			return err
		}
		more, err := s.newENI(home.Value, taken, missing)
		if errors.Is(err, subnet.ErrFull) {
			return bad("InsufficientFreeAddressesInSubnet", "There are not enough free addresses in subnet '%s' for the pods of a %s.", i.Subnet, i.Type)
		}
		if err != nil {
			return err
		}
		eni.Addresses = append(eni.Addresses, more.Addresses...)
	}
	eni.Addresses = eni.Addresses[:want]
	i.PodAddresses = eni.Addresses[1:]
	return nil
}
