package ec2

import (
	"cmp"
	"context"
	"slices"
	"strconv"

	"github.com/tarn-eks/tarn/internal/api"
	ec2api "github.com/tarn-eks/tarn/internal/api/ec2"
	"github.com/tarn-eks/tarn/internal/store"
)

var volumeIDs = idKind{"vol", "InvalidVolume.NotFound", "InvalidParameterValue", "volume"}

// maxGiB of each type of volume.
var maxGiB = map[ec2api.VolumeType]int{"gp2": 16384, "gp3": 65536, "io1": 16384, "io2": 65536, "standard": 1024}

// setVolume reads what a request says of the root volume, the only one there is.
func setVolume(mappings []ec2api.BlockDeviceMapping, image Image, out *LaunchInput) error {
	for _, m := range mappings {
		name := api.Val(m.DeviceName)
		switch {
		case name == "":
			return missing("BlockDeviceMapping.DeviceName")
		case name != rootDevice:
			return bad("Unsupported", "The requested configuration is currently not supported. An instance has its root volume, %s, and no %s.", rootDevice, name)
		case m.NoDevice != nil || m.VirtualName != nil:
			return bad("InvalidBlockDeviceMapping", "The root device %s must be an EBS volume.", name)
		case m.Ebs == nil:
			continue
		}
		if err := setRoot(*m.Ebs, image, out); err != nil {
			return err
		}
	}
	return nil
}

func setRoot(e ec2api.EbsBlockDevice, image Image, out *LaunchInput) error {
	if e.DeleteOnTermination != nil && !*e.DeleteOnTermination {
		return bad("Unsupported", "The requested configuration is currently not supported. A root volume ends with its instance (DeleteOnTermination).")
	}
	if e.SnapshotId != nil && *e.SnapshotId != image.snapshot() {
		return bad("InvalidSnapshot.NotFound", "The snapshot '%s' does not exist.", *e.SnapshotId)
	}
	kind := cmp.Or(e.VolumeType, "gp3")
	most, ok := maxGiB[kind]
	if !ok {
		return bad("InvalidParameterValue", "Value (%s) for parameter volumeType is invalid for a root volume.", kind)
	}
	size := int(api.Val(e.VolumeSize))
	if e.VolumeSize == nil {
		size = image.VolumeGiB
	}
	switch {
	case size < image.VolumeGiB:
		return bad("InvalidBlockDeviceMapping", "Volume of size %dGB is smaller than snapshot '%s', expect size >= %dGB", size, image.snapshot(), image.VolumeGiB)
	case size > most:
		return bad("InvalidParameterValue", "Volume of %dGiB is too large for volume type %s; maximum is %dGiB", size, kind, most)
	case e.Throughput != nil && kind != "gp3":
		return bad("InvalidParameterCombination", "The parameter throughput is not supported for %s volumes", kind)
	case e.Throughput != nil && (*e.Throughput < 125 || *e.Throughput > 2000):
		return invalid("throughput", strconv.Itoa(int(*e.Throughput)))
	case e.Iops != nil && (kind == "gp2" || kind == "standard"):
		return bad("InvalidParameterCombination", "The parameter iops is not supported for %s volumes", kind)
	case e.Iops != nil && *e.Iops < 100, kind == "gp3" && e.Iops != nil && *e.Iops < 3000:
		return invalid("iops", strconv.Itoa(int(*e.Iops)))
	case e.Iops == nil && (kind == "io1" || kind == "io2"):
		return bad("MissingParameter", "The parameter iops must be specified for %s volumes.", kind)
	}
	out.VolumeGiB = size
	out.Volume.Type, out.Volume.IOPS, out.Volume.Throughput = string(kind), int(api.Val(e.Iops)), int(api.Val(e.Throughput))
	out.Volume.Encrypted = api.Val(e.Encrypted)
	return nil
}

// DescribeVolumes lists the root volumes of instances.
func (s *Service) DescribeVolumes(ctx context.Context, in *ec2api.DescribeVolumesInput) (*ec2api.DescribeVolumesOutput, error) {
	if len(in.VolumeIds) > 0 && in.MaxResults != nil {
		return nil, bad("InvalidParameterCombination", "The parameter volumeSet cannot be used with the parameter maxResults")
	}
	found, err := s.withVolume(ctx)
	if err != nil {
		return nil, err
	}
	found, err = wanted(found, volumeIDs, func(i Instance) string { return i.Volume.ID }, in.VolumeIds)
	if err != nil {
		return nil, err
	}
	found, err = selected(found, in.Filters, func(i Instance) func(string) ([]string, bool) {
		return func(name string) ([]string, bool) { return volumeAttribute(i, name) }
	})
	if err != nil {
		return nil, err
	}
	if err := dryRun(in.DryRun); err != nil {
		return nil, err
	}
	found, next, err := page(found, func(i Instance) string { return i.Volume.ID }, in.MaxResults, in.NextToken, 5, 1000)
	if err != nil {
		return nil, err
	}
	out := &ec2api.DescribeVolumesOutput{Volumes: []ec2api.Volume{}, NextToken: next}
	for _, i := range found {
		out.Volumes = append(out.Volumes, s.apiVolume(i))
	}
	return out, nil
}

// withVolume are the instances that have their volume: all but terminated ones.
func (s *Service) withVolume(ctx context.Context) ([]Instance, error) {
	all, err := s.allInstances(ctx)
	return slices.DeleteFunc(all, func(i Instance) bool { return i.gone() || i.Volume.ID == "" }), err
}

func (s *Service) apiVolume(i Instance) ec2api.Volume {
	v := ec2api.Volume{
		Attachments: []ec2api.VolumeAttachment{{
			AttachTime: new(i.Created), Device: new(rootDevice), InstanceId: new(i.ID), State: "attached", VolumeId: new(i.Volume.ID), DeleteOnTermination: new(true),
		}},
		AvailabilityZone: new(i.Zone), CreateTime: new(i.Created), Encrypted: new(i.Volume.Encrypted), Size: new(int32(i.VolumeGiB)),
		SnapshotId: new(volumeSnapshot(i)), State: "in-use", VolumeId: new(i.Volume.ID), VolumeType: ec2api.VolumeType(i.Volume.Type),
		Tags: toTags(i.Volume.Tags), MultiAttachEnabled: new(false),
	}
	if i.Volume.IOPS > 0 {
		v.Iops = new(int32(i.Volume.IOPS))
	}
	if i.Volume.Throughput > 0 {
		v.Throughput = new(int32(i.Volume.Throughput))
	}
	return v
}

func volumeSnapshot(i Instance) string { return Image{ID: i.ImageID}.snapshot() }

func volumeAttribute(i Instance, name string) ([]string, bool) {
	switch name {
	case "attachment.attach-time", "create-time":
		return []string{imageTime(i.Created)}, true
	case "attachment.delete-on-termination":
		return []string{"true"}, true
	case "attachment.device":
		return []string{rootDevice}, true
	case "attachment.instance-id":
		return one(i.ID), true
	case "attachment.status":
		return []string{"attached"}, true
	case "availability-zone":
		return one(i.Zone), true
	case "encrypted":
		return boolean(i.Volume.Encrypted), true
	case "fast-restored", "multi-attach-enabled":
		return []string{"false"}, true
	case "size":
		return []string{strconv.Itoa(i.VolumeGiB)}, true
	case "snapshot-id":
		return []string{volumeSnapshot(i)}, true
	case "status":
		return []string{"in-use"}, true
	case "volume-id":
		return one(i.Volume.ID), true
	case "volume-type":
		return one(i.Volume.Type), true
	}
	return tagValues(i.Volume.Tags, name)
}

// instanceKinds are instances, and their volumes, which the instances hold: what
// one call changes of both is in one copy.
func (s *Service) instanceKinds() []kind {
	read := map[string]*store.Item[Instance]{}
	share := func(item store.Item[Instance], tags func(*Instance) *map[string]string) tagged {
		if read[item.Key] == nil {
			read[item.Key] = &item
		}
		shared := read[item.Key]
		return tagged{tags: tags(&shared.Value), key: shared.Key, write: func() store.Op { return s.Instances.UpdateOp(*shared) }}
	}
	instance := kindOf(instanceIDs, ec2api.ResourceTypeInstance, s.Instances, func(i *Instance) *map[string]string { return &i.Tags })
	instance.find = func(ctx context.Context, id string) (tagged, error) {
		item, err := s.Instances.Get(ctx, id)
		if err != nil {
			return tagged{}, err
		}
		return share(item, func(i *Instance) *map[string]string { return &i.Tags }), nil
	}
	volume := kind{idKind: volumeIDs, resource: ec2api.ResourceTypeVolume}
	volume.tags = func(ctx context.Context) (map[string]map[string]string, error) {
		instances, err := s.withVolume(ctx)
		out := make(map[string]map[string]string, len(instances))
		for _, i := range instances {
			out[i.Volume.ID] = i.Volume.Tags
		}
		return out, err
	}
	volume.find = func(ctx context.Context, id string) (tagged, error) {
		items, _, err := s.Instances.List(ctx, "")
		if err != nil {
			return tagged{}, err
		}
		for _, item := range items {
			if item.Value.Volume.ID == id && !item.Value.gone() {
				return share(item, func(i *Instance) *map[string]string { return &i.Volume.Tags }), nil
			}
		}
		return tagged{}, store.ErrNotFound
	}
	return []kind{instance, volume}
}
