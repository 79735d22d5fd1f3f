package ec2

import (
	"context"

	"github.com/tarn-eks/tarn/internal/api"
	ec2api "github.com/tarn-eks/tarn/internal/api/ec2"
	"github.com/tarn-eks/tarn/internal/store"
)

// changeState edits the instances of a request: it checks the ids first.
func (s *Service) changeState(ctx context.Context, ids []string, dry *bool, edit func(*Instance) error) ([]ec2api.InstanceStateChange, error) {
	if len(ids) == 0 {
		return nil, missing("InstanceId")
	}
	if err := instanceIDs.check(ids...); err != nil {
		return nil, err
	}
	all, err := s.allInstances(ctx)
	if err != nil {
		return nil, err
	}
	found, err := wanted(all, instanceIDs, func(i Instance) string { return i.ID }, ids)
	if err != nil {
		return nil, err
	}
	if api.Val(dry) {
		for _, i := range found {
			if err := edit(&i); err != nil {
				return nil, err
			}
		}
		return nil, dryRun(dry)
	}
	changes, err := s.changeInstances(ctx, ids, edit)
	if isNotFound(err) { // forgotten since
		return nil, instanceIDs.missing(ids...)
	}
	if err != nil {
		return nil, err
	}
	out := make([]ec2api.InstanceStateChange, 0, len(changes))
	for _, c := range changes {
		out = append(out, ec2api.InstanceStateChange{
			InstanceId: new(c.after.ID), PreviousState: c.before.State.api(), CurrentState: c.after.State.api(),
		})
	}
	return out, nil
}

// TerminateInstances ends instances: all of them, or none when one is protected.
func (s *Service) TerminateInstances(ctx context.Context, in *ec2api.TerminateInstancesInput) (*ec2api.TerminateInstancesOutput, error) {
	changes, err := s.changeState(ctx, in.InstanceIds, in.DryRun, func(i *Instance) error {
		if i.DisableTermination && i.State != ShuttingDown && !i.gone() {
			return bad("OperationNotPermitted", "The instance '%s' may not be terminated. Modify its 'disableApiTermination' instance attribute and try again.", i.ID)
		}
		s.terminate(i, "user initiated")
		return nil
	})
	return &ec2api.TerminateInstancesOutput{TerminatingInstances: changes}, err
}

// StopInstances halts instances, which keep their disks and addresses.
func (s *Service) StopInstances(ctx context.Context, in *ec2api.StopInstancesInput) (*ec2api.StopInstancesOutput, error) {
	if api.Val(in.Hibernate) {
		return nil, bad("UnsupportedHibernationConfiguration", "Instances were launched without hibernation.")
	}
	changes, err := s.changeState(ctx, in.InstanceIds, in.DryRun, func(i *Instance) error {
		switch {
		case i.State == Stopping || i.State == Stopped:
			return nil
		case i.State != Running:
			return bad("IncorrectInstanceState", "This instance '%s' is not in a state from which it can be stopped.", i.ID)
		case i.Spot != "":
			return bad("UnsupportedOperation", "You can't stop the Spot Instance '%s' because it is associated with a one-time Spot Instance request. You can only stop Spot Instances associated with persistent Spot Instance requests.", i.ID)
		case i.DisableStop:
			return bad("OperationNotPermitted", "The instance '%s' may not be stopped. Modify its 'disableApiStop' instance attribute and try again.", i.ID)
		}
		s.stop(i, "user initiated")
		return nil
	})
	return &ec2api.StopInstancesOutput{StoppingInstances: changes}, err
}

// StartInstances runs stopped instances again.
func (s *Service) StartInstances(ctx context.Context, in *ec2api.StartInstancesInput) (*ec2api.StartInstancesOutput, error) {
	changes, err := s.changeState(ctx, in.InstanceIds, in.DryRun, func(i *Instance) error {
		if !i.Alive() && i.State != Stopped {
			return bad("IncorrectInstanceState", "The instance '%s' is not in a state from which it can be started.", i.ID)
		}
		s.start(i)
		return nil
	})
	return &ec2api.StartInstancesOutput{StartingInstances: changes}, err
}

// RebootInstances asks instances to begin anew.
func (s *Service) RebootInstances(ctx context.Context, in *ec2api.RebootInstancesInput) (*ec2api.RebootInstancesOutput, error) {
	_, err := s.changeState(ctx, in.InstanceIds, in.DryRun, func(i *Instance) error {
		if i.State != Running {
			return bad("IncorrectState", "The instance %s is not in the 'running' state.", i.ID)
		}
		i.Reboots++
		return nil
	})
	return &ec2api.RebootInstancesOutput{}, err
}

// ModifyInstanceMetadataOptions changes how the metadata service answers.
func (s *Service) ModifyInstanceMetadataOptions(ctx context.Context, in *ec2api.ModifyInstanceMetadataOptionsInput) (*ec2api.ModifyInstanceMetadataOptionsOutput, error) {
	var options MetadataOptions
	edit := func(i *Instance) error {
		if i.State == ShuttingDown || i.gone() {
			return bad("IncorrectInstanceState", "The instance '%s' is not in a state from which its metadata options can be modified.", i.ID)
		}
		options = i.Metadata
		err := options.set(string(in.HttpTokens), in.HttpPutResponseHopLimit, string(in.HttpEndpoint), string(in.InstanceMetadataTags), string(in.HttpProtocolIpv6))
		i.Metadata = options
		return err
	}
	if err := s.modifyInstance(ctx, *in.InstanceId, in.DryRun, edit); err != nil {
		return nil, err
	}
	return &ec2api.ModifyInstanceMetadataOptionsOutput{InstanceId: in.InstanceId, InstanceMetadataOptions: options.api("pending")}, nil
}

// modifyInstance edits one instance that a request names.
func (s *Service) modifyInstance(ctx context.Context, id string, dry *bool, edit func(*Instance) error) error {
	item, err := get(ctx, s.Instances, instanceIDs, id)
	if err != nil {
		return err
	}
	if api.Val(dry) {
		if err := edit(&item.Value); err != nil {
			return err
		}
		return dryRun(dry)
	}
	_, err = s.Instances.Modify(ctx, id, edit)
	if isNotFound(err) {
		return instanceIDs.missing(id)
	}
	return err
}

// instanceAndENI reads an instance with its network interface, for a commit that
// changes both.
func (s *Service) instanceAndENI(ctx context.Context, id string) (store.Item[Instance], store.Item[NetworkInterface], error) {
	i, err := get(ctx, s.Instances, instanceIDs, id)
	if err != nil {
		return i, store.Item[NetworkInterface]{}, err
	}
	eni, err := s.ENIs.Get(ctx, i.Value.ENI)
	if isNotFound(err) {
		err = bad("IncorrectInstanceState", "The instance '%s' has been terminated.", id)
	}
	return i, eni, err
}
