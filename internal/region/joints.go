package region

import (
	"context"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"fmt"
	"net/netip"
	"os"

	"github.com/go-jose/go-jose/v4"

	"github.com/tarn-eks/tarn/internal/api"
	iamapi "github.com/tarn-eks/tarn/internal/api/iam"
	"github.com/tarn-eks/tarn/internal/policy"
	"github.com/tarn-eks/tarn/internal/service/ec2"
	"github.com/tarn-eks/tarn/internal/service/eks"
	"github.com/tarn-eks/tarn/internal/service/iam"
	"github.com/tarn-eks/tarn/internal/service/sts"
	"github.com/tarn-eks/tarn/internal/store"
)

// Services do not know each other. What one asks of another is an interface of
// its own, and here is who answers.

// profiles is what EC2 asks of IAM.
type profiles struct{ iam *iam.Service }

// InstanceProfile implements ec2.Profiles.
func (p profiles) InstanceProfile(ctx context.Context, nameOrARN string) (ec2.Profile, error) {
	found, err := p.iam.InstanceProfile(ctx, nameOrARN)
	return ec2.Profile{ARN: found.ARN, ID: found.ID, Name: found.Name, RoleARN: found.RoleARN}, err
}

// stsRoles and stsProviders are what STS asks of IAM.
type (
	stsRoles     struct{ iam *iam.Service }
	stsProviders struct{ iam *iam.Service }
)

// Role implements sts.Roles.
func (s stsRoles) Role(ctx context.Context, arn string) (sts.Role, error) {
	role, err := s.iam.Role(ctx, arn)
	if err != nil {
		return sts.Role{}, err
	}
	trust, err := s.iam.TrustPolicy(role)
	return sts.Role{
		ARN: role.ARN, ID: role.ID, Name: role.Name, Trust: trust, MaxSession: role.MaxSession(), Tags: role.Tags,
	}, err
}

// OIDCProvider implements sts.Providers.
func (s stsProviders) OIDCProvider(ctx context.Context, issuer string) (sts.Provider, error) {
	p, err := s.iam.OIDCProvider(ctx, issuer)
	return sts.Provider{ARN: p.ARN, ClientIDs: p.ClientIDs}, err
}

// issuers are the clusters, as STS asks of them.
type issuers struct{ *Region }

// Keys implements sts.Issuers.
func (r issuers) Keys(ctx context.Context, issuer string) (*jose.JSONWebKeySet, error) {
	clusters, _, err := r.eks.Clusters.List(ctx, "")
	if err != nil {
		return nil, err
	}
	for _, c := range clusters {
		if r.eks.Issuer(c.Value) != issuer {
			continue
		}
		file := r.describe(c.Value).PKI("sa.pub")
		data, err := os.ReadFile(file)
		if err != nil {
			return nil, fmt.Errorf("reading the key of cluster %s: %w", c.Key, err)
		}
		block, _ := pem.Decode(data)
		if block == nil {
			return nil, fmt.Errorf("there is no key in %s", file)
		}
		key, err := x509.ParsePKIXPublicKey(block.Bytes)
		if err != nil {
			return nil, fmt.Errorf("reading the key in %s: %w", file, err)
		}
		return sts.KeySet(key)
	}
	return nil, fmt.Errorf("issuer %s: %w", issuer, store.ErrNotFound)
}

// eksNetwork is what EKS asks of EC2.
type eksNetwork struct{ ec2 *ec2.Service }

// Subnets implements eks.Network.
func (e eksNetwork) Subnets(ctx context.Context, ids []string) ([]eks.Subnet, error) {
	free, err := e.ec2.FreeAddresses(ctx)
	if err != nil {
		return nil, err
	}
	var found []eks.Subnet
	for _, id := range ids {
		s, err := e.ec2.Subnets.Get(ctx, id)
		if errors.Is(err, store.ErrNotFound) {
			continue
		}
		if err != nil {
			return nil, err
		}
		v, err := e.ec2.VPCs.Get(ctx, s.Value.VPC)
		if err != nil {
			return nil, err
		}
		found = append(found, eks.Subnet{
			ID: id, VPC: s.Value.VPC, Zone: s.Value.Zone, Free: free[id], VPCCIDRs: []netip.Prefix{v.Value.CIDR},
		})
	}
	return found, nil
}

// SecurityGroups implements eks.Network.
func (e eksNetwork) SecurityGroups(ctx context.Context, ids []string) (map[string]string, error) {
	vpcs := map[string]string{}
	for _, id := range ids {
		g, err := e.ec2.SecurityGroups.Get(ctx, id)
		if errors.Is(err, store.ErrNotFound) {
			continue
		}
		if err != nil {
			return nil, err
		}
		vpcs[id] = g.Value.VPC
	}
	return vpcs, nil
}

// LaunchTemplate implements eks.Network.
func (e eksNetwork) LaunchTemplate(ctx context.Context, id, name, version string) (eks.LaunchTemplate, error) {
	t, number, data, err := e.ec2.TemplateData(ctx, id, name, version)
	if api.Code(err) != "" {
		return eks.LaunchTemplate{}, fmt.Errorf("%w: %w", store.ErrNotFound, err)
	}
	return eks.LaunchTemplate{ID: t.ID, Name: t.Name, Version: fmt.Sprint(number), InstanceType: string(data.InstanceType)}, err
}

// eksRoles is what EKS asks of IAM.
type eksRoles struct{ iam *iam.Service }

// Trust implements eks.Roles.
func (e eksRoles) Trust(ctx context.Context, roleARN, service string) (exists, trusts bool, err error) {
	role, err := e.iam.Role(ctx, roleARN)
	if errors.Is(err, store.ErrNotFound) {
		return false, false, nil
	}
	if err != nil {
		return false, false, err
	}
	trust, err := e.iam.TrustPolicy(role)
	if err != nil {
		return true, false, err
	}
	d := policy.Evaluate(&policy.Request{
		Principal: policy.Principal{Type: policy.Service, Service: service},
		Action:    "sts:AssumeRole", Resources: []string{role.ARN},
	}, &policy.Policies{Resource: policy.Source{ID: role.Name, Policy: trust}})
	return true, d.Allowed(), nil
}

// Exists implements eks.Roles.
func (e eksRoles) Exists(ctx context.Context, principalARN string) (bool, error) {
	return e.iam.PrincipalExists(ctx, principalARN)
}

// nodeProfiles makes the instance profiles of node groups.
type nodeProfiles struct{ *Region }

// EnsureInstanceProfile implements nodegroups.Profiles.
func (r nodeProfiles) EnsureInstanceProfile(ctx context.Context, name, roleARN string) (string, error) {
	ctx = asService(ctx, "eks-nodegroup.amazonaws.com")
	have, err := r.iam.InstanceProfile(ctx, name)
	if err == nil && have.RoleARN == roleARN {
		return have.ARN, nil
	}
	_, err = invoke[iamapi.CreateInstanceProfileOutput](ctx, r.Region, "iam", "CreateInstanceProfile", &iamapi.CreateInstanceProfileInput{InstanceProfileName: &name})
	if err != nil && !iamapi.EntityAlreadyExistsException.Is(err) {
		return "", err
	}
	role, err := r.iam.Role(ctx, roleARN)
	if err != nil {
		return "", err
	}
	_, err = invoke[iamapi.AddRoleToInstanceProfileOutput](ctx, r.Region, "iam", "AddRoleToInstanceProfile", &iamapi.AddRoleToInstanceProfileInput{
		InstanceProfileName: &name, RoleName: &role.Name,
	})
	if err != nil {
		return "", err
	}
	return r.scope().Global("iam", "instance-profile/%s", name), nil
}

// DeleteInstanceProfile implements nodegroups.Profiles.
func (r nodeProfiles) DeleteInstanceProfile(ctx context.Context, name string) error {
	ctx = asService(ctx, "eks-nodegroup.amazonaws.com")
	have, err := r.iam.InstanceProfile(ctx, name)
	if errors.Is(err, store.ErrNotFound) {
		return nil
	}
	if err != nil {
		return err
	}
	if have.Role != "" {
		_, err := invoke[iamapi.RemoveRoleFromInstanceProfileOutput](ctx, r.Region, "iam", "RemoveRoleFromInstanceProfile", &iamapi.RemoveRoleFromInstanceProfileInput{
			InstanceProfileName: &name, RoleName: &have.Role,
		})
		if err != nil && !iamapi.NoSuchEntityException.Is(err) {
			return err
		}
	}
	_, err = invoke[iamapi.DeleteInstanceProfileOutput](ctx, r.Region, "iam", "DeleteInstanceProfile", &iamapi.DeleteInstanceProfileInput{InstanceProfileName: &name})
	if err != nil && !iamapi.NoSuchEntityException.Is(err) {
		return err
	}
	return nil
}
