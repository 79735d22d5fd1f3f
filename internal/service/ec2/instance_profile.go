package ec2

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/tarn-eks/tarn/internal/api"
	ec2api "github.com/tarn-eks/tarn/internal/api/ec2"
	"github.com/tarn-eks/tarn/internal/store"
)

// profile asks IAM for an instance profile. Error: store.ErrNotFound.
func (s *Service) profile(ctx context.Context, nameOrARN string) (Profile, error) {
	if s.profiles == nil {
		return Profile{}, fmt.Errorf("instance profile %s: %w", nameOrARN, store.ErrNotFound)
	}
	return s.profiles.InstanceProfile(ctx, nameOrARN)
}

// findProfile is the instance profile that a request names by ARN or name; the
// errors are EC2's. None was named: the zero Profile.
func (s *Service) findProfile(ctx context.Context, in *ec2api.IamInstanceProfileSpecification) (Profile, error) {
	if in == nil || in.Arn == nil && in.Name == nil {
		return Profile{}, nil
	}
	if in.Arn != nil && in.Name != nil {
		return Profile{}, bad("InvalidParameterCombination", "The parameter 'iamInstanceProfile.name' may not be used in combination with 'iamInstanceProfile.arn'")
	}
	p, err := s.profile(ctx, api.Val(in.Arn)+api.Val(in.Name))
	switch {
	case isNotFound(err) && in.Arn != nil:
		return Profile{}, bad("InvalidParameterValue", "Value (%s) for parameter iamInstanceProfile.arn is invalid. Invalid IAM Instance Profile ARN", *in.Arn)
	case isNotFound(err):
		return Profile{}, bad("InvalidParameterValue", "Value (%s) for parameter iamInstanceProfile.name is invalid. Invalid IAM Instance Profile name", *in.Name)
	}
	return p, err
}

func (i *Instance) associate(p Profile, now time.Time) {
	i.Profile, i.ProfileAssociation, i.ProfileSince = p, newID("iip-assoc"), now
}

// association is the instance's, as the API has it.
func (i Instance) association(state ec2api.IamInstanceProfileAssociationState) *ec2api.IamInstanceProfileAssociation {
	return &ec2api.IamInstanceProfileAssociation{
		AssociationId: new(i.ProfileAssociation), InstanceId: new(i.ID), State: state, Timestamp: new(i.ProfileSince),
		IamInstanceProfile: &ec2api.IamInstanceProfile{Arn: new(i.Profile.ARN), Id: new(i.Profile.ID)},
	}
}

// AssociateIamInstanceProfile gives an instance that has none an instance profile.
func (s *Service) AssociateIamInstanceProfile(ctx context.Context, in *ec2api.AssociateIamInstanceProfileInput) (*ec2api.AssociateIamInstanceProfileOutput, error) {
	p, err := s.findProfile(ctx, in.IamInstanceProfile)
	if err != nil {
		return nil, err
	}
	if p.ARN == "" {
		return nil, missing("IamInstanceProfile")
	}
	if _, err := get(ctx, s.Instances, instanceIDs, *in.InstanceId); err != nil {
		return nil, err
	}
	item, err := s.Instances.Modify(ctx, *in.InstanceId, func(i *Instance) error {
		switch {
		case i.State == ShuttingDown || i.gone():
			return bad("IncorrectInstanceState", "The instance '%s' is not in a state from which an instance profile can be associated.", i.ID)
		case i.ProfileAssociation != "":
			return bad("IncorrectState", "There is an existing association for instance %s", i.ID)
		}
		i.associate(p, s.now())
		return nil
	})
	if err != nil {
		return nil, err
	}
	return &ec2api.AssociateIamInstanceProfileOutput{IamInstanceProfileAssociation: item.Value.association("associating")}, nil
}

// DescribeIamInstanceProfileAssociations lists which instances have which profile.
func (s *Service) DescribeIamInstanceProfileAssociations(ctx context.Context, in *ec2api.DescribeIamInstanceProfileAssociationsInput) (*ec2api.DescribeIamInstanceProfileAssociationsOutput, error) {
	all, err := s.allInstances(ctx)
	if err != nil {
		return nil, err
	}
	var with []Instance
	for _, i := range all {
		if i.ProfileAssociation != "" && !i.gone() {
			with = append(with, i)
		}
	}
	with, err = wanted(with, profileAssociationIDs, func(i Instance) string { return i.ProfileAssociation }, in.AssociationIds)
	if err != nil {
		return nil, err
	}
	with, err = selected(with, in.Filters, func(i Instance) func(string) ([]string, bool) {
		return attributes{"instance-id": {i.ID}, "state": {"associated"}}.get
	})
	if err != nil {
		return nil, err
	}
	with, next, err := page(with, func(i Instance) string { return i.ProfileAssociation }, in.MaxResults, in.NextToken, 5, 1000)
	if err != nil {
		return nil, err
	}
	out := &ec2api.DescribeIamInstanceProfileAssociationsOutput{IamInstanceProfileAssociations: []ec2api.IamInstanceProfileAssociation{}, NextToken: next}
	for _, i := range with {
		out.IamInstanceProfileAssociations = append(out.IamInstanceProfileAssociations, *i.association("associated"))
	}
	return out, nil
}

var profileAssociationIDs = idKind{"iip-assoc", "InvalidAssociationID.NotFound", "InvalidAssociationID.Malformed", "association ID"}

// DisassociateIamInstanceProfile takes an instance's profile away.
func (s *Service) DisassociateIamInstanceProfile(ctx context.Context, in *ec2api.DisassociateIamInstanceProfileInput) (*ec2api.DisassociateIamInstanceProfileOutput, error) {
	was, err := s.changeAssociation(ctx, *in.AssociationId, func(i *Instance) {
		i.Profile, i.ProfileAssociation, i.ProfileSince = Profile{}, "", time.Time{}
	})
	if err != nil {
		return nil, err
	}
	return &ec2api.DisassociateIamInstanceProfileOutput{IamInstanceProfileAssociation: was.before.association("disassociating")}, nil
}

// ReplaceIamInstanceProfileAssociation gives an instance another profile.
func (s *Service) ReplaceIamInstanceProfileAssociation(ctx context.Context, in *ec2api.ReplaceIamInstanceProfileAssociationInput) (*ec2api.ReplaceIamInstanceProfileAssociationOutput, error) {
	p, err := s.findProfile(ctx, in.IamInstanceProfile)
	if err != nil {
		return nil, err
	}
	if p.ARN == "" {
		return nil, missing("IamInstanceProfile")
	}
	now, err := s.changeAssociation(ctx, *in.AssociationId, func(i *Instance) { i.associate(p, s.now()) })
	if err != nil {
		return nil, err
	}
	return &ec2api.ReplaceIamInstanceProfileAssociationOutput{IamInstanceProfileAssociation: now.after.association("associating")}, nil
}

// changeAssociation edits the instance that has the association.
func (s *Service) changeAssociation(ctx context.Context, id string, edit func(*Instance)) (change, error) {
	all, err := s.allInstances(ctx)
	if err != nil {
		return change{}, err
	}
	found, err := wanted(all, profileAssociationIDs, func(i Instance) string { return i.ProfileAssociation }, []string{id})
	if err != nil {
		return change{}, err
	}
	lost := errors.New("another call was faster")
	var was Instance
	item, err := s.Instances.Modify(ctx, found[0].ID, func(i *Instance) error {
		if i.ProfileAssociation != id || i.gone() {
			return lost
		}
		was = *i
		edit(i)
		return nil
	})
	if errors.Is(err, lost) || isNotFound(err) {
		return change{}, profileAssociationIDs.missing(id)
	}
	return change{was, item.Value}, err
}
