package route53

import (
	"context"
	"errors"
	"fmt"
	"reflect"
	"slices"

	"github.com/tarn-eks/tarn/internal/api"
	route53api "github.com/tarn-eks/tarn/internal/api/route53"
	"github.com/tarn-eks/tarn/internal/store"
)

const healthCheckPage = 100

// healthCheck finds the record of the health check that a request names.
func (s *Service) healthCheck(ctx context.Context, id *string) (store.Item[HealthCheck], error) {
	if err := checkLength("HealthCheckId", id, 0, 64); err != nil {
		return store.Item[HealthCheck]{}, err
	}
	plain := plainID("healthcheck", id)
	if plain == "" {
		return store.Item[HealthCheck]{}, noHealthCheck(plain)
	}
	it, err := s.HealthChecks.Get(ctx, plain)
	if errors.Is(err, store.ErrNotFound) {
		err = noHealthCheck(plain)
	}
	return it, err
}

func describeHealthCheck(h *HealthCheck) route53api.HealthCheck {
	c := &route53api.HealthCheckConfig{
		Type: route53api.HealthCheckType(h.Type), Inverted: &h.Inverted, Disabled: &h.Disabled,
		IPAddress: present(h.IPAddress), FullyQualifiedDomainName: present(h.Domain), ResourcePath: present(h.Path), SearchString: present(h.SearchString),
	}
	if h.Type == string(route53api.HealthCheckTypeCalculated) {
		c.HealthThreshold, c.ChildHealthChecks = new(int32(h.HealthThreshold)), append([]string{}, h.Children...)
	} else {
		c.Port, c.RequestInterval, c.FailureThreshold = new(int32(h.Port)), new(int32(h.Interval)), new(int32(h.Threshold))
		c.MeasureLatency, c.EnableSNI = &h.MeasureLatency, &h.SNI
		for _, region := range h.Regions {
			c.Regions = append(c.Regions, route53api.HealthCheckRegion(region))
		}
	}
	return route53api.HealthCheck{Id: &h.ID, CallerReference: &h.CallerReference, HealthCheckConfig: c, HealthCheckVersion: &h.Version}
}

// checkReference is a key of Service.references.
func checkReference(callerReference string) string { return "health-check/" + callerReference }

// CreateHealthCheck implements route53api.Handler.
func (s *Service) CreateHealthCheck(ctx context.Context, in *route53api.CreateHealthCheckInput) (*route53api.CreateHealthCheckOutput, error) {
	if err := checkLength("HealthCheckNonce", in.CallerReference, 1, 64); err != nil {
		return nil, err
	}
	config, err := newConfig(in.HealthCheckConfig)
	if err != nil {
		return nil, err
	}
	h, err := again(func() (HealthCheck, error) { return s.createHealthCheck(ctx, api.Val(in.CallerReference), config) })
	if err != nil {
		return nil, err
	}
	return &route53api.CreateHealthCheckOutput{
		HealthCheck: new(describeHealthCheck(&h)), Location: new(endpoint + "healthcheck/" + h.ID),
	}, nil
}

func (s *Service) createHealthCheck(ctx context.Context, reference string, config HealthCheckConfig) (HealthCheck, error) {
	h := HealthCheck{ID: newUUID(), CallerReference: reference, Version: 1, HealthCheckConfig: config, Created: s.time()}
	ref, err := s.references.Get(ctx, checkReference(reference))
	if err == nil { // who asks for the same twice has lost the first answer
		it, err := s.HealthChecks.Get(ctx, ref.Value.ID)
		if err == nil && it.Value.Version == 1 && reflect.DeepEqual(it.Value.HealthCheckConfig, config) {
			return it.Value, nil
		}
		if err != nil && !errors.Is(err, store.ErrNotFound) {
			return h, err
		}
		return h, route53api.HealthCheckAlreadyExists.New("A conflicting health check already exists.")
	}
	if !errors.Is(err, store.ErrNotFound) {
		return h, err
	}
	all, _, err := s.HealthChecks.List(ctx, "")
	if err != nil {
		return h, err
	}
	if len(all) >= maxHealthChecks {
		return h, route53api.TooManyHealthChecks.New("Limits Exceeded: MAX_HEALTH_CHECKS_BY_OWNER - Cannot create more than %d health checks.", maxHealthChecks)
	}
	if err := checkChildren(config.Children, all); err != nil {
		return h, err
	}
	_, err = store.Commit(ctx, s.client, s.HealthChecks.CreateOp(h.ID, h), s.references.CreateOp(checkReference(reference), Reference{ID: h.ID}))
	return h, err
}

// checkChildren checks that there are the health checks that one is calculated
// from. No calculated one may be among them.
func checkChildren(children []string, all []store.Item[HealthCheck]) error {
	for _, id := range children {
		i := slices.IndexFunc(all, func(it store.Item[HealthCheck]) bool { return it.Key == id })
		switch {
		case i < 0:
			return invalid("The child health check %s does not exist.", id)
		case all[i].Value.Type == string(route53api.HealthCheckTypeCalculated):
			return invalid("The child health check %s is a calculated health check, which another one cannot monitor.", id)
		}
	}
	return nil
}

// GetHealthCheck implements route53api.Handler.
func (s *Service) GetHealthCheck(ctx context.Context, in *route53api.GetHealthCheckInput) (*route53api.GetHealthCheckOutput, error) {
	it, err := s.healthCheck(ctx, in.HealthCheckId)
	if err != nil {
		return nil, err
	}
	return &route53api.GetHealthCheckOutput{HealthCheck: new(describeHealthCheck(&it.Value))}, nil
}

// GetHealthCheckCount implements route53api.Handler.
func (s *Service) GetHealthCheckCount(ctx context.Context, _ *route53api.GetHealthCheckCountInput) (*route53api.GetHealthCheckCountOutput, error) {
	items, _, err := s.HealthChecks.List(ctx, "")
	return &route53api.GetHealthCheckCountOutput{HealthCheckCount: new(int64(len(items)))}, err
}

// ListHealthChecks implements route53api.Handler.
func (s *Service) ListHealthChecks(ctx context.Context, in *route53api.ListHealthChecksInput) (*route53api.ListHealthChecksOutput, error) {
	n, err := pageSize(in.MaxItems, healthCheckPage)
	if err != nil {
		return nil, err
	}
	items, _, err := s.HealthChecks.List(ctx, "")
	if err != nil {
		return nil, err
	}
	items = slices.DeleteFunc(items, func(it store.Item[HealthCheck]) bool { return it.Key < api.Val(in.Marker) })
	out := &route53api.ListHealthChecksOutput{
		HealthChecks: []route53api.HealthCheck{}, Marker: in.Marker, IsTruncated: new(len(items) > n), MaxItems: maxItems(n),
	}
	if len(items) > n {
		out.NextMarker, items = &items[n].Key, items[:n]
	}
	for i := range items {
		out.HealthChecks = append(out.HealthChecks, describeHealthCheck(&items[i].Value))
	}
	return out, nil
}

// UpdateHealthCheck implements route53api.Handler.
func (s *Service) UpdateHealthCheck(ctx context.Context, in *route53api.UpdateHealthCheckInput) (*route53api.UpdateHealthCheckOutput, error) {
	h, err := again(func() (HealthCheck, error) {
		it, err := s.healthCheck(ctx, in.HealthCheckId)
		if err != nil {
			return HealthCheck{}, err
		}
		h := &it.Value
		if v := in.HealthCheckVersion; v != nil && *v != h.Version {
			return *h, route53api.HealthCheckVersionMismatch.New("The value of HealthCheckVersion in the request doesn't match the value of HealthCheckVersion in the health check: %d, not %d.", h.Version, *v)
		}
		if err := h.update(in); err != nil {
			return *h, err
		}
		all, _, err := s.HealthChecks.List(ctx, "")
		if err != nil {
			return *h, err
		}
		if err := checkChildren(h.Children, all); err != nil {
			return *h, err
		}
		h.Version++
		it, err = s.HealthChecks.Update(ctx, it)
		return it.Value, goneMeanwhile(err)
	})
	if err != nil {
		return nil, err
	}
	return &route53api.UpdateHealthCheckOutput{HealthCheck: new(describeHealthCheck(&h))}, nil
}

// DeleteHealthCheck implements route53api.Handler.
func (s *Service) DeleteHealthCheck(ctx context.Context, in *route53api.DeleteHealthCheckInput) (*route53api.DeleteHealthCheckOutput, error) {
	return again(func() (*route53api.DeleteHealthCheckOutput, error) {
		it, err := s.healthCheck(ctx, in.HealthCheckId)
		if err != nil {
			return nil, err
		}
		ref, err := s.references.Get(ctx, checkReference(it.Value.CallerReference))
		if err != nil {
			return nil, goneMeanwhile(fmt.Errorf("deleting health check %s: %w", it.Key, err))
		}
		ref.Value.Deleted = true // and not to be used again
		_, err = store.Commit(ctx, s.client, s.HealthChecks.DeleteOp(it), s.references.UpdateOp(ref))
		return &route53api.DeleteHealthCheckOutput{}, goneMeanwhile(err)
	})
}

// GetHealthCheckStatus implements route53api.Handler.
func (s *Service) GetHealthCheckStatus(ctx context.Context, in *route53api.GetHealthCheckStatusInput) (*route53api.GetHealthCheckStatusOutput, error) {
	last, _, err := s.observe(ctx, in.HealthCheckId)
	return &route53api.GetHealthCheckStatusOutput{HealthCheckObservations: last}, err
}

// GetHealthCheckLastFailureReason implements route53api.Handler.
func (s *Service) GetHealthCheckLastFailureReason(ctx context.Context, in *route53api.GetHealthCheckLastFailureReasonInput) (*route53api.GetHealthCheckLastFailureReasonOutput, error) {
	_, failures, err := s.observe(ctx, in.HealthCheckId)
	return &route53api.GetHealthCheckLastFailureReasonOutput{HealthCheckObservations: failures}, err
}

func (s *Service) observe(ctx context.Context, id *string) (last, failures []route53api.HealthCheckObservation, err error) {
	it, err := s.healthCheck(ctx, id)
	if err != nil {
		return nil, nil, err
	}
	seen, failed, err := s.checker.Observations(ctx, it.Key)
	return describeObservations(seen), describeObservations(failed), err
}

func describeObservations(list []Observation) []route53api.HealthCheckObservation {
	out := []route53api.HealthCheckObservation{}
	for _, o := range list {
		out = append(out, route53api.HealthCheckObservation{
			Region: route53api.HealthCheckRegion(o.Region), IPAddress: new(o.Address.String()),
			StatusReport: &route53api.StatusReport{Status: &o.Status, CheckedTime: new(o.Time.UTC())},
		})
	}
	return out
}

// GetCheckerIpRanges implements route53api.Handler.
func (s *Service) GetCheckerIpRanges(context.Context, *route53api.GetCheckerIpRangesInput) (*route53api.GetCheckerIpRangesOutput, error) {
	out := &route53api.GetCheckerIpRangesOutput{CheckerIpRanges: []string{}}
	for _, p := range s.checker.Ranges() {
		out.CheckerIpRanges = append(out.CheckerIpRanges, p.String())
	}
	return out, nil
}
