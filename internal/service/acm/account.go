package acm

import (
	"context"
	"errors"
	"strconv"

	acmapi "github.com/tarn-eks/tarn/internal/api/acm"
	"github.com/tarn-eks/tarn/internal/store"
)

// settings are the account's.
type settings struct {
	DaysBeforeExpiry int32
}

const (
	settingsKey = "account"
	// defaultNotice is how many days before a certificate's end AWS tells of it.
	defaultNotice = 45
)

// GetAccountConfiguration implements acmapi.Handler.
func (s *Service) GetAccountConfiguration(ctx context.Context, _ *acmapi.GetAccountConfigurationInput) (*acmapi.GetAccountConfigurationOutput, error) {
	days, err := s.DaysBeforeExpiry(ctx)
	return &acmapi.GetAccountConfigurationOutput{ExpiryEvents: &acmapi.ExpiryEventsConfiguration{DaysBeforeExpiry: new(int32(days))}}, err
}

// PutAccountConfiguration implements acmapi.Handler.
func (s *Service) PutAccountConfiguration(ctx context.Context, in *acmapi.PutAccountConfigurationInput) (*acmapi.PutAccountConfigurationOutput, error) {
	var v violations
	v.text(val(in.IdempotencyToken), "idempotencyToken", 1, 32, wholeToken, tokenPattern)
	var days int32 = defaultNotice
	if in.ExpiryEvents != nil && in.ExpiryEvents.DaysBeforeExpiry != nil {
		days = *in.ExpiryEvents.DaysBeforeExpiry
	}
	if days < 1 {
		v.add(strconv.Itoa(int(days)), "expiryEvents.daysBeforeExpiry", "Member must have value greater than or equal to 1")
	}
	if err := v.err(); err != nil {
		return nil, err
	}
	return &acmapi.PutAccountConfigurationOutput{}, s.putSettings(ctx, settings{DaysBeforeExpiry: days})
}

// DaysBeforeExpiry is how many days before a certificate's end its owner wants
// to hear of it.
func (s *Service) DaysBeforeExpiry(ctx context.Context) (int, error) {
	it, err := s.settings.Get(ctx, settingsKey)
	if errors.Is(err, store.ErrNotFound) {
		return defaultNotice, nil
	}
	return int(it.Value.DaysBeforeExpiry), err
}

func (s *Service) putSettings(ctx context.Context, to settings) error {
	for {
		_, err := s.settings.Create(ctx, settingsKey, to)
		if !errors.Is(err, store.ErrExists) {
			return err
		}
		_, err = s.settings.Modify(ctx, settingsKey, func(has *settings) error {
			*has = to
			return nil
		})
		if !errors.Is(err, store.ErrNotFound) {
			return err
		}
	}
}
