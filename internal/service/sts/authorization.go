package sts

import (
	"context"
	"fmt"

	"github.com/tarn-eks/tarn/internal/policy"
)

// actions are the permissions that operations need. Those with none are for
// everybody (GetCallerIdentity, GetSessionToken), or decide by the role's trust
// policy (the ways of assuming a role).
//
// https://docs.aws.amazon.com/service-authorization/latest/reference/list_awssecuritytokenservice.html
var actions = map[string][]string{
	"AssumeRole":                 nil,
	"AssumeRoleWithWebIdentity":  nil,
	"DecodeAuthorizationMessage": {"sts:DecodeAuthorizationMessage"},
	"GetAccessKeyInfo":           {"sts:GetAccessKeyInfo"},
	"GetCallerIdentity":          nil,
	"GetSessionToken":            nil,
}

// Authorization returns what a call must be allowed to do.
func (s *Service) Authorization(_ context.Context, operation string, _ any) ([]policy.Request, error) {
	names, ok := actions[operation]
	if !ok {
		return nil, fmt.Errorf("sts has no operation %s to authorize", operation)
	}
	requests := make([]policy.Request, 0, len(names))
	for _, name := range names {
		requests = append(requests, policy.Request{Action: name})
	}
	return requests, nil
}
