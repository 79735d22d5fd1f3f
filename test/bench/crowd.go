package main

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"path/filepath"

	"github.com/tarn-eks/tarn/internal/region"
	"github.com/tarn-eks/tarn/internal/service/ec2"
	"github.com/tarn-eks/tarn/internal/store"
)

// crowd is how many instances a region gets that are on record only.
const crowd = 100

// groupTag says which Auto Scaling group an instance is in.
const groupTag = "aws:autoscaling:groupName"

// fill writes instances into the store of a region that is down. They are like
// one of its nodes, with the addresses of its pods, but stopped: no machine of
// this size could run them, and a region leaves those that are stopped alone.
func (b bench) fill(ctx context.Context) (err error) {
	id, err := region.LoadIdentity(b.dir)
	if err != nil {
		return err
	}
	server, err := store.Start(ctx, store.Config{
		Dir: filepath.Join(b.dir, "etcd"), Socket: filepath.Join(b.scratch, "s"), Version: "bench",
	})
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, server.Close()) }()
	var profile known
	service, err := ec2.New(ec2.Config{Client: server.Client(), Account: id.Account, Region: id.Region, Profiles: &profile})
	if err != nil {
		return err
	}
	there, _, err := service.Instances.List(ctx, "")
	if err != nil {
		return err
	}
	for _, item := range there {
		if node := item.Value; node.State == ec2.Running {
			profile = known(node.Profile)
			return stand(ctx, service, node)
		}
	}
	return errors.New("the region has no node to make others like")
}

// stand puts the crowd beside the node that it looks like.
func stand(ctx context.Context, service *ec2.Service, node ec2.Instance) error {
	tags := maps.Clone(node.Tags)
	tags[groupTag] = "bench" // which no loop brings to its size
	launched, err := service.Launch(ctx, ec2.LaunchInput{
		Type: node.Type, Subnet: node.Subnet, Count: crowd, SecurityGroups: node.SecurityGroups, ImageID: node.ImageID,
		VolumeGiB: node.VolumeGiB, Profile: node.Profile.ARN, UserData: node.UserData, Metadata: node.Metadata,
		Bootstrap: node.Bootstrap, Tags: tags,
	})
	if err != nil {
		return fmt.Errorf("filling the store: %w", err)
	}
	for _, i := range launched {
		_, err := service.Instances.Modify(ctx, i.ID, func(i *ec2.Instance) error {
			i.State, i.Ran = ec2.Stopped, i.Launched
			return nil
		})
		if err != nil {
			return fmt.Errorf("filling the store: %w", err)
		}
	}
	return nil
}

// known is the one instance profile there is.
type known ec2.Profile

// InstanceProfile implements ec2.Profiles.
func (k *known) InstanceProfile(_ context.Context, nameOrARN string) (ec2.Profile, error) {
	if nameOrARN != k.ARN {
		return ec2.Profile{}, fmt.Errorf("instance profile %s: %w", nameOrARN, store.ErrNotFound)
	}
	return ec2.Profile(*k), nil
}
