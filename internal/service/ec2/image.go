package ec2

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"slices"
	"strings"
	"time"

	ec2api "github.com/tarn-eks/tarn/internal/api/ec2"
	"github.com/tarn-eks/tarn/internal/store"
)

// imageOwner is the account whose EKS-optimized images EC2 calls amazon's.
const imageOwner = "602401143452"

// rootDevice is the images' root device.
const rootDevice = "/dev/xvda"

// Image is an Amazon machine image. What an instance boots is the same for all;
// the images differ in name.
type Image struct {
	ID, Name, Description string
	Kubernetes            string // the version of its kubelet: "1.37"
	VolumeGiB             int    // of its root volume, at least
	Created, Deprecated   time.Time
	// public to everybody; private images do not exist.
}

// eksImages are the EKS-optimized Amazon Linux 2023 images for x86_64. There is one
// for each Kubernetes version that instances run, and that is the region's own:
// older ones would be promises.
//
// https://docs.aws.amazon.com/eks/latest/userguide/eks-linux-ami-versions-al2023.html
var eksImages = []struct{ kubernetes, patch, release string }{
	{"1.37", "1.37.2", "20261112"},
}

// image finds an image by its id; the newest is what "" means. Error:
// store.ErrNotFound.
func (s *Service) image(id string) (Image, error) {
	images := s.images()
	if id == "" {
		return images[len(images)-1], nil
	}
	for _, i := range images {
		if i.ID == id {
			return i, nil
		}
	}
	return Image{}, fmt.Errorf("image %s: %w", id, store.ErrNotFound)
}

// EKSImage is the EKS-optimized image for a Kubernetes version such as "1.37".
func (s *Service) EKSImage(kubernetes string) (Image, bool) {
	for _, i := range s.images() {
		if i.Kubernetes == kubernetes {
			return i, true
		}
	}
	return Image{}, false
}

// images are all that there are, oldest first. An image has the same id in every
// run, and another one in every region.
func (s *Service) images() []Image {
	images := make([]Image, 0, len(eksImages))
	for _, e := range eksImages {
		name := fmt.Sprintf("amazon-eks-node-al2023-x86_64-standard-%s-v%s", e.kubernetes, e.release)
		sum := sha256.Sum256([]byte(s.region + "/" + name))
		built, _ := time.Parse("20060102", e.release) // a constant of ours: a test sees to it
		images = append(images, Image{
			ID: "ami-" + hex.EncodeToString(sum[:])[:17], Name: name,
			Description: fmt.Sprintf("EKS-optimized Kubernetes node based on Amazon Linux 2023, (k8s: %s, containerd: 2.*)", e.patch),
			Kubernetes:  e.kubernetes, VolumeGiB: 20, Created: built, Deprecated: built.AddDate(2, 0, 0),
		})
	}
	return images
}

func (i Image) snapshot() string { return "snap-" + strings.TrimPrefix(i.ID, "ami-") }

// DescribeImages lists images by id, owner and filters.
func (s *Service) DescribeImages(_ context.Context, in *ec2api.DescribeImagesInput) (*ec2api.DescribeImagesOutput, error) {
	images := s.images()
	if err := imageIDs.check(in.ImageIds...); err != nil {
		return nil, err
	}
	for _, id := range in.ImageIds {
		if _, err := s.image(id); err != nil {
			return nil, missingImage(in.ImageIds, images)
		}
	}
	images = slices.DeleteFunc(images, func(i Image) bool {
		return len(in.ImageIds) > 0 && !slices.Contains(in.ImageIds, i.ID) ||
			len(in.Owners) > 0 && !slices.Contains(in.Owners, "amazon") && !slices.Contains(in.Owners, imageOwner) ||
			len(in.ExecutableUsers) > 0 && !slices.Contains(in.ExecutableUsers, "all")
	})
	images, err := selected(images, in.Filters, func(i Image) func(string) ([]string, bool) {
		return func(name string) ([]string, bool) { return imageAttribute(i, name) }
	})
	if err != nil {
		return nil, err
	}
	if err := dryRun(in.DryRun); err != nil {
		return nil, err
	}
	images, next, err := page(images, func(i Image) string { return i.ID }, in.MaxResults, in.NextToken, 1, 1000)
	if err != nil {
		return nil, err
	}
	out := &ec2api.DescribeImagesOutput{Images: make([]ec2api.Image, 0, len(images)), NextToken: next}
	for _, i := range images {
		out.Images = append(out.Images, apiImage(i))
	}
	return out, nil
}

var imageIDs = idKind{"ami", "InvalidAMIID.NotFound", "InvalidAMIID.Malformed", "image id"}

func missingImage(ids []string, images []Image) error {
	var absent []string
	for _, id := range ids {
		if !slices.ContainsFunc(images, func(i Image) bool { return i.ID == id }) {
			absent = append(absent, id)
		}
	}
	if len(absent) == 1 {
		return bad("InvalidAMIID.NotFound", "The image id '[%s]' does not exist", absent[0])
	}
	return bad("InvalidAMIID.NotFound", "The image ids '[%s]' do not exist", strings.Join(absent, ", "))
}

func imageAttribute(i Image, name string) ([]string, bool) {
	switch name {
	case "architecture":
		return []string{"x86_64"}, true
	case "block-device-mapping.delete-on-termination":
		return []string{"true"}, true
	case "block-device-mapping.device-name", "root-device-name":
		return []string{rootDevice}, true
	case "block-device-mapping.snapshot-id":
		return []string{i.snapshot()}, true
	case "block-device-mapping.volume-size":
		return []string{fmt.Sprint(i.VolumeGiB)}, true
	case "block-device-mapping.volume-type":
		return []string{"gp3"}, true
	case "block-device-mapping.encrypted":
		return []string{"false"}, true
	case "creation-date":
		return []string{imageTime(i.Created)}, true
	case "description":
		return []string{i.Description}, true
	case "ena-support", "is-public":
		return []string{"true"}, true
	case "hypervisor":
		return []string{"xen"}, true
	case "image-id":
		return []string{i.ID}, true
	case "image-type":
		return []string{"machine"}, true
	case "manifest-location":
		return []string{"amazon/" + i.Name}, true
	case "name":
		return []string{i.Name}, true
	case "owner-alias":
		return []string{"amazon"}, true
	case "owner-id":
		return []string{imageOwner}, true
	case "root-device-type":
		return []string{"ebs"}, true
	case "state":
		return []string{"available"}, true
	case "virtualization-type":
		return []string{"hvm"}, true
	case "platform", "kernel-id", "ramdisk-id", "product-code", "product-code.type", "state-reason-code", "state-reason-message", "sriov-net-support", "source-instance-id":
		return nil, true
	}
	return tagValues(nil, name)
}

func imageTime(t time.Time) string { return t.Format("2006-01-02T15:04:05.000Z") }

func apiImage(i Image) ec2api.Image {
	return ec2api.Image{
		Architecture: "x86_64", CreationDate: new(imageTime(i.Created)), DeprecationTime: new(imageTime(i.Deprecated)),
		ImageId: new(i.ID), ImageLocation: new("amazon/" + i.Name), ImageType: "machine", Public: new(true),
		OwnerId: new(imageOwner), ImageOwnerAlias: new("amazon"), PlatformDetails: new("Linux/UNIX"), UsageOperation: new("RunInstances"),
		State: "available", Description: new(i.Description), Name: new(i.Name), EnaSupport: new(true), Hypervisor: "xen",
		RootDeviceName: new(rootDevice), RootDeviceType: "ebs", SriovNetSupport: new("simple"), VirtualizationType: "hvm",
		BootMode: "uefi-preferred", ImdsSupport: "v2.0",
		BlockDeviceMappings: []ec2api.BlockDeviceMapping{{DeviceName: new(rootDevice), Ebs: &ec2api.EbsBlockDevice{
			DeleteOnTermination: new(true), SnapshotId: new(i.snapshot()), VolumeSize: new(int32(i.VolumeGiB)), VolumeType: "gp3",
			Encrypted: new(false), Iops: new(int32(3000)), Throughput: new(int32(125)),
		}}},
	}
}

// findImage is the image that a request names; the errors are EC2's.
func (s *Service) findImage(id string) (Image, error) {
	if id == "" {
		return Image{}, missing("ImageId")
	}
	if strings.HasPrefix(id, "resolve:ssm:") {
		return Image{}, bad("InvalidAMIID.Malformed", "Invalid id: %q: parameters of Systems Manager are not supported; DescribeImages with the owner amazon lists the images", id)
	}
	if err := imageIDs.check(id); err != nil {
		return Image{}, err
	}
	i, err := s.image(id)
	if err != nil {
		return Image{}, missingImage([]string{id}, nil)
	}
	return i, nil
}
