package ec2

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"time"

	"github.com/tarn-eks/tarn/internal/store"
)

// tokenLife is how long a client token is remembered.
const tokenLife = 24 * time.Hour

// clientToken is what a call with a client token led to.
type clientToken struct {
	Operation string
	Params    string // a hash of them
	IDs       []string
	Used      time.Time
}

// recall looks up the client token of a call whose input is in. If the call was
// made before, ids are what it made then. Otherwise remember gives the operation
// that must be part of the commit which makes them; it is none without a token.
// Error: IdempotentParameterMismatch. s.allocating must be held from here to the
// commit, so that the same call does not run twice at once.
func (s *Service) recall(ctx context.Context, operation string, token *string, in any) (ids []string, remember func(ids ...string) []store.Op, err error) {
	if token == nil || *token == "" {
		return nil, func(...string) []store.Op { return nil }, nil
	}
	if len(*token) > 64 {
		return nil, nil, bad("InvalidParameterValue", "Invalid value '%s' for clientToken: it must not be longer than 64 characters", *token)
	}
	if err := s.sweepTokens(ctx); err != nil {
		return nil, nil, err
	}
	params, err := hashOf(in)
	if err != nil {
		return nil, nil, fmt.Errorf("%s: reading its parameters: %w", operation, err)
	}
	key := operation + "/" + *token
	known, err := s.tokens.Get(ctx, key)
	switch {
	case errors.Is(err, store.ErrNotFound):
		return nil, func(ids ...string) []store.Op {
			return []store.Op{s.tokens.CreateOp(key, clientToken{Operation: operation, Params: params, IDs: ids, Used: s.now()})}
		}, nil
	case err != nil:
		return nil, nil, err
	case known.Value.Params != params:
		return nil, nil, bad("IdempotentParameterMismatch", "Arguments on this idempotent request are inconsistent with arguments used in previous request(s).")
	}
	return known.Value.IDs, nil, nil
}

func hashOf(in any) (string, error) {
	data, err := json.Marshal(in)
	sum := sha256.Sum256(data)
	return hex.EncodeToString(sum[:]), err
}

// sweepTokens forgets old tokens, once an hour at most.
func (s *Service) sweepTokens(ctx context.Context) error {
	now := s.now()
	if now.Sub(s.swept) < time.Hour {
		return nil
	}
	items, _, err := s.tokens.List(ctx, "")
	if err != nil {
		return err
	}
	for _, item := range items {
		if now.Sub(item.Value.Used) < tokenLife {
			continue
		}
		if err := s.tokens.DeleteItem(ctx, item); err != nil && !errors.Is(err, store.ErrNotFound) {
			return err
		}
	}
	s.swept = now
	return nil
}
