// Package cloudwatch is the CloudWatch service: metrics as callers put and read
// them, alarms, dashboards. It checks, writes to the store and returns; loop/scaling
// looks at the alarms when they are due and carries their actions out. Time series
// are package metrics'.
package cloudwatch

import (
	"log/slog"
	"sync"
	"sync/atomic"
	"time"

	clientv3 "go.etcd.io/etcd/client/v3"

	"github.com/tarn-eks/tarn/internal/arn"
	"github.com/tarn-eks/tarn/internal/metrics"
	"github.com/tarn-eks/tarn/internal/store"
)

// Config is what New needs.
type Config struct {
	Client  *clientv3.Client
	Account string // twelve digits
	Region  string
	Metrics metrics.Store
	Logger  *slog.Logger     // nil is silence
	Now     func() time.Time // nil is time.Now
}

// Service is CloudWatch of one region.
type Service struct {
	Alarms *store.Collection[Alarm] // by name
	// Metrics are the region's time series. Other parts put their own (AWS/…)
	// there, which callers of the API may not.
	Metrics metrics.Store

	history    *store.Collection[Entry]     // by alarm/time
	dashboards *store.Collection[Dashboard] // by name
	all        *store.Cached[Alarm]         // reads Alarms
	client     *clientv3.Client
	scope      arn.Scope
	log        *slog.Logger
	now        func() time.Time
	written    atomic.Uint64 // entries of the history, since the start

	mu     sync.Mutex     // guards recent
	recent map[string]int // entries of an alarm's history since it was pruned
}

// New makes the service on the region's store.
func New(c Config) *Service {
	if c.Now == nil {
		c.Now = time.Now
	}
	if c.Logger == nil {
		c.Logger = slog.New(slog.DiscardHandler)
	}
	s := &Service{
		Alarms:     store.NewCollection[Alarm](c.Client, "alarms"),
		Metrics:    c.Metrics,
		history:    store.NewCollection[Entry](c.Client, "alarm-history"),
		dashboards: store.NewCollection[Dashboard](c.Client, "dashboards"),
		client:     c.Client,
		scope:      arn.Scope{Account: c.Account, Region: c.Region},
		log:        c.Logger,
		now:        c.Now,
		recent:     map[string]int{},
	}
	s.all = store.NewCached(s.Alarms)
	return s
}

// time is now as the API shows it: in milliseconds.
func (s *Service) time() time.Time { return s.now().UTC().Truncate(time.Millisecond) }

// ARN names an alarm.
func (s *Service) ARN(alarm string) string { return s.scope.Of("cloudwatch", "alarm:%s", alarm) }
