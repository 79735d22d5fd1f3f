package iam

import (
	"context"
	"net/url"
	"slices"
	"strings"

	iamapi "github.com/tarn-eks/tarn/internal/api/iam"
	"github.com/tarn-eks/tarn/internal/arn"
)

var (
	clientIDs   = quota{"ClientIdsPerOpenIdConnectProvider", 100}
	thumbprints = 5
)

// issuer is a provider's name: its URL without scheme and final slash.
func issuer(provider string) (string, error) {
	u, err := url.Parse(provider)
	if err != nil || u.Scheme != "https" || u.Host == "" || u.RawQuery != "" || u.Fragment != "" || u.User != nil {
		return "", invalid("Invalid Open ID Connect Provider URL")
	}
	return strings.TrimSuffix(u.Host+u.EscapedPath(), "/"), nil
}

// providerName is the name in a provider's ARN.
func (s *Service) providerName(name string) (string, error) {
	a, err := arn.Parse(name)
	if err != nil {
		return "", invalid("ARN %s is not valid.", name)
	}
	provider, ok := strings.CutPrefix(a.Resource, "oidc-provider/")
	if !ok || a.Service != "iam" || provider == "" {
		return "", iamapi.InvalidInputException.New("Invalid ARN: %s", name)
	}
	return provider, nil
}

func checkThumbprints(list []string) error {
	if len(list) > thumbprints {
		return iamapi.InvalidInputException.New("Thumbprint list must contain fewer than %d entries.", thumbprints)
	}
	return nil
}

// CreateOpenIDConnectProvider makes an issuer known. Whether its keys are to be trusted
// is found out when a token of it comes; thumbprints are kept and not used.
func (s *Service) CreateOpenIDConnectProvider(ctx context.Context, in *iamapi.CreateOpenIDConnectProviderInput) (*iamapi.CreateOpenIDConnectProviderOutput, error) {
	if err := check(in); err != nil {
		return nil, err
	}
	name, err := issuer(*in.Url)
	if err != nil {
		return nil, err
	}
	if err := checkThumbprints(in.ThumbprintList); err != nil {
		return nil, err
	}
	if err := clientIDs.room(len(in.ClientIDList) - 1); err != nil {
		return nil, err
	}
	tags, err := s.providers.newTags(in.Tags)
	if err != nil {
		return nil, err
	}
	p := OIDCProvider{
		Resource:  Resource{Name: name, Path: "/", Tags: tags},
		ClientIDs: in.ClientIDList, Thumbprints: in.ThumbprintList,
	}
	exists := iamapi.EntityAlreadyExistsException.New("Provider with url https://%s already exists.", name)
	if err := s.providers.create(ctx, &p, exists, nil); err != nil {
		return nil, err
	}
	return &iamapi.CreateOpenIDConnectProviderOutput{OpenIDConnectProviderArn: &p.ARN, Tags: in.Tags}, nil
}

// GetOpenIDConnectProvider describes a provider.
func (s *Service) GetOpenIDConnectProvider(ctx context.Context, in *iamapi.GetOpenIDConnectProviderInput) (*iamapi.GetOpenIDConnectProviderOutput, error) {
	if err := check(in); err != nil {
		return nil, err
	}
	name, err := s.providerName(*in.OpenIDConnectProviderArn)
	if err != nil {
		return nil, err
	}
	it, err := s.providers.get(ctx, name)
	p := &it.Value
	return &iamapi.GetOpenIDConnectProviderOutput{
		Url: &p.Name, ClientIDList: convert(p.ClientIDs, itself), ThumbprintList: convert(p.Thumbprints, itself),
		CreateDate: &p.Created, Tags: allTags(p.Tags),
	}, err
}

// ListOpenIDConnectProviders lists all providers' ARNs.
func (s *Service) ListOpenIDConnectProviders(ctx context.Context, _ *iamapi.ListOpenIDConnectProvidersInput) (*iamapi.ListOpenIDConnectProvidersOutput, error) {
	list, err := s.providers.list(ctx)
	return &iamapi.ListOpenIDConnectProvidersOutput{
		OpenIDConnectProviderList: convert(list, func(p *OIDCProvider) iamapi.OpenIDConnectProviderListEntry {
			return iamapi.OpenIDConnectProviderListEntry{Arn: &p.ARN}
		}),
	}, err
}

// modifyProvider changes the provider with an ARN.
func (s *Service) modifyProvider(ctx context.Context, arn string, change func(*OIDCProvider) error) error {
	name, err := s.providerName(arn)
	if err != nil {
		return err
	}
	_, err = s.providers.modify(ctx, name, change)
	return err
}

// AddClientIDToOpenIDConnectProvider adds an audience, which may be there already.
func (s *Service) AddClientIDToOpenIDConnectProvider(ctx context.Context, in *iamapi.AddClientIDToOpenIDConnectProviderInput) (*iamapi.AddClientIDToOpenIDConnectProviderOutput, error) {
	if err := check(in); err != nil {
		return nil, err
	}
	return nil, s.modifyProvider(ctx, *in.OpenIDConnectProviderArn, func(p *OIDCProvider) error {
		if slices.Contains(p.ClientIDs, *in.ClientID) {
			return nil
		}
		p.ClientIDs = append(p.ClientIDs, *in.ClientID)
		return clientIDs.room(len(p.ClientIDs) - 1)
	})
}

// RemoveClientIDFromOpenIDConnectProvider removes an audience, if it is there.
func (s *Service) RemoveClientIDFromOpenIDConnectProvider(ctx context.Context, in *iamapi.RemoveClientIDFromOpenIDConnectProviderInput) (*iamapi.RemoveClientIDFromOpenIDConnectProviderOutput, error) {
	if err := check(in); err != nil {
		return nil, err
	}
	return nil, s.modifyProvider(ctx, *in.OpenIDConnectProviderArn, func(p *OIDCProvider) error {
		p.ClientIDs = without(p.ClientIDs, *in.ClientID)
		return nil
	})
}

// UpdateOpenIDConnectProviderThumbprint replaces the thumbprints.
func (s *Service) UpdateOpenIDConnectProviderThumbprint(ctx context.Context, in *iamapi.UpdateOpenIDConnectProviderThumbprintInput) (*iamapi.UpdateOpenIDConnectProviderThumbprintOutput, error) {
	if err := check(in); err != nil {
		return nil, err
	}
	if err := checkThumbprints(in.ThumbprintList); err != nil {
		return nil, err
	}
	return nil, s.modifyProvider(ctx, *in.OpenIDConnectProviderArn, func(p *OIDCProvider) error {
		p.Thumbprints = in.ThumbprintList
		return nil
	})
}

// DeleteOpenIDConnectProvider removes a provider. Roles may go on naming it: nobody can
// assume them by it any more.
func (s *Service) DeleteOpenIDConnectProvider(ctx context.Context, in *iamapi.DeleteOpenIDConnectProviderInput) (*iamapi.DeleteOpenIDConnectProviderOutput, error) {
	if err := check(in); err != nil {
		return nil, err
	}
	name, err := s.providerName(*in.OpenIDConnectProviderArn)
	if err != nil {
		return nil, err
	}
	p, err := s.providers.find(ctx, name)
	if err != nil {
		return nil, err
	}
	if p == nil {
		return nil, iamapi.NoSuchEntityException.New("OpenId connect Provider %s cannot be found.", *in.OpenIDConnectProviderArn)
	}
	defer s.epoch.Add(1)
	return nil, s.providers.items.Delete(ctx, p.Key)
}
