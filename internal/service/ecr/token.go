package ecr

import (
	"context"
	"encoding/base64"
	"time"

	ecrapi "github.com/tarn-eks/tarn/internal/api/ecr"
)

// passwordLife is how long `aws ecr get-login-password` is good for.
const passwordLife = 12 * time.Hour

// GetAuthorizationToken implements ecrapi.Handler.
func (s *Service) GetAuthorizationToken(ctx context.Context, in *ecrapi.GetAuthorizationTokenInput) (*ecrapi.GetAuthorizationTokenOutput, error) {
	// Every account's registry is this one: a token for each is asked for by
	// what was written before one token was good for all.
	n := 1
	if in.RegistryIds != nil {
		if err := checkCount("registryIds", in.RegistryIds, 1, 10); err != nil {
			return nil, err
		}
		for _, id := range in.RegistryIds {
			if err := checkRegistry(&id); err != nil {
				return nil, err
			}
		}
		n = len(in.RegistryIds)
	}
	expires := s.time().Truncate(time.Second).Add(passwordLife)
	out := &ecrapi.GetAuthorizationTokenOutput{}
	for range n {
		token := base64.StdEncoding.EncodeToString([]byte("AWS:" + s.images.Password(expires)))
		out.AuthorizationData = append(out.AuthorizationData, ecrapi.AuthorizationData{
			AuthorizationToken: &token, ExpiresAt: &expires, ProxyEndpoint: &s.endpoint,
		})
	}
	return out, nil
}
