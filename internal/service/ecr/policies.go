package ecr

import (
	"context"

	"github.com/tarn-eks/tarn/internal/api"
	ecrapi "github.com/tarn-eks/tarn/internal/api/ecr"
	"github.com/tarn-eks/tarn/internal/policy"
)

// SetRepositoryPolicy implements ecrapi.Handler.
func (s *Service) SetRepositoryPolicy(ctx context.Context, in *ecrapi.SetRepositoryPolicyInput) (*ecrapi.SetRepositoryPolicyOutput, error) {
	text := api.Val(in.PolicyText)
	if len(text) > 10240 {
		return nil, invalid("PolicyText", "must have length less than or equal to 10240")
	}
	if _, err := policy.Parse(policy.ResourcePolicy, text); err != nil {
		return nil, invalid("PolicyText", "Invalid repository policy provided").Because(err)
	}
	r, err := s.modify(ctx, in.RegistryId, api.Val(in.RepositoryName), func(r *Repository) error {
		r.Policy = text
		return nil
	})
	if err != nil {
		return nil, err
	}
	return &ecrapi.SetRepositoryPolicyOutput{RegistryId: &s.scope.Account, RepositoryName: &r.Name, PolicyText: &text}, nil
}

// GetRepositoryPolicy implements ecrapi.Handler.
func (s *Service) GetRepositoryPolicy(ctx context.Context, in *ecrapi.GetRepositoryPolicyInput) (*ecrapi.GetRepositoryPolicyOutput, error) {
	it, err := s.repository(ctx, in.RegistryId, api.Val(in.RepositoryName))
	if err != nil {
		return nil, err
	}
	r := it.Value
	if r.Policy == "" {
		return nil, s.noPolicy(r.Name)
	}
	return &ecrapi.GetRepositoryPolicyOutput{RegistryId: &s.scope.Account, RepositoryName: &r.Name, PolicyText: &r.Policy}, nil
}

// DeleteRepositoryPolicy implements ecrapi.Handler.
func (s *Service) DeleteRepositoryPolicy(ctx context.Context, in *ecrapi.DeleteRepositoryPolicyInput) (*ecrapi.DeleteRepositoryPolicyOutput, error) {
	var was string
	r, err := s.modify(ctx, in.RegistryId, api.Val(in.RepositoryName), func(r *Repository) error {
		if r.Policy == "" {
			return s.noPolicy(r.Name)
		}
		was, r.Policy = r.Policy, ""
		return nil
	})
	if err != nil {
		return nil, err
	}
	return &ecrapi.DeleteRepositoryPolicyOutput{RegistryId: &s.scope.Account, RepositoryName: &r.Name, PolicyText: &was}, nil
}

func (s *Service) noPolicy(name string) error {
	return ecrapi.RepositoryPolicyNotFoundException.New("Repository policy does not exist for the repository with name '%s' in the registry with id '%s'", name, s.scope.Account)
}

// PutLifecyclePolicy implements ecrapi.Handler. The policy is kept; nothing
// expires by it.
func (s *Service) PutLifecyclePolicy(ctx context.Context, in *ecrapi.PutLifecyclePolicyInput) (*ecrapi.PutLifecyclePolicyOutput, error) {
	text := api.Val(in.LifecyclePolicyText)
	if err := checkLifecycle(text); err != nil {
		return nil, invalid("LifecyclePolicyText", "Lifecycle policy validation failure: %v", err)
	}
	r, err := s.modify(ctx, in.RegistryId, api.Val(in.RepositoryName), func(r *Repository) error {
		r.Lifecycle = text
		return nil
	})
	if err != nil {
		return nil, err
	}
	return &ecrapi.PutLifecyclePolicyOutput{RegistryId: &s.scope.Account, RepositoryName: &r.Name, LifecyclePolicyText: &text}, nil
}

// GetLifecyclePolicy implements ecrapi.Handler.
func (s *Service) GetLifecyclePolicy(ctx context.Context, in *ecrapi.GetLifecyclePolicyInput) (*ecrapi.GetLifecyclePolicyOutput, error) {
	it, err := s.repository(ctx, in.RegistryId, api.Val(in.RepositoryName))
	if err != nil {
		return nil, err
	}
	r := it.Value
	if r.Lifecycle == "" {
		return nil, s.noLifecycle(r.Name)
	}
	return &ecrapi.GetLifecyclePolicyOutput{RegistryId: &s.scope.Account, RepositoryName: &r.Name, LifecyclePolicyText: &r.Lifecycle}, nil
}

// DeleteLifecyclePolicy implements ecrapi.Handler.
func (s *Service) DeleteLifecyclePolicy(ctx context.Context, in *ecrapi.DeleteLifecyclePolicyInput) (*ecrapi.DeleteLifecyclePolicyOutput, error) {
	var was string
	r, err := s.modify(ctx, in.RegistryId, api.Val(in.RepositoryName), func(r *Repository) error {
		if r.Lifecycle == "" {
			return s.noLifecycle(r.Name)
		}
		was, r.Lifecycle = r.Lifecycle, ""
		return nil
	})
	if err != nil {
		return nil, err
	}
	return &ecrapi.DeleteLifecyclePolicyOutput{RegistryId: &s.scope.Account, RepositoryName: &r.Name, LifecyclePolicyText: &was}, nil
}

func (s *Service) noLifecycle(name string) error {
	return ecrapi.LifecyclePolicyNotFoundException.New("Lifecycle policy does not exist for the repository with name '%s' in the registry with id '%s'", name, s.scope.Account)
}
