// Package autoscaling is the EC2 Auto Scaling service: groups, their members,
// policies and schedules as the region's records. It checks, writes to the store
// and returns; loop/fleet launches and ends instances, loop/scaling carries
// policies out. It knows EC2, ELB, IAM and CloudWatch as interfaces.
package autoscaling

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"sync"
	"time"

	clientv3 "go.etcd.io/etcd/client/v3"

	"github.com/tarn-eks/tarn/internal/api"
	autoscalingapi "github.com/tarn-eks/tarn/internal/api/autoscaling"
	"github.com/tarn-eks/tarn/internal/arn"
	"github.com/tarn-eks/tarn/internal/store"
)

var _ autoscalingapi.Handler = (*Service)(nil)

// Config is what New needs.
type Config struct {
	Client    *clientv3.Client
	Account   string // twelve digits
	Region    string
	Network   Network
	Templates Templates
	Instances Instances
	Balancers Balancers
	Identity  Identity
	Alarms    Alarms
	Forecasts Forecasts
	Now       func() time.Time // nil is time.Now
}

// Service is EC2 Auto Scaling of one region.
type Service struct {
	Groups         *store.Collection[Group]               // by name
	Members        *store.Collection[Member]              // by group/instance
	Activities     *store.Collection[Activity]            // by group/id
	Policies       *store.Collection[Policy]              // by group/name
	Scheduled      *store.Collection[ScheduledAction]     // by group/name
	Refreshes      *store.Collection[Refresh]             // by group/id
	Configurations *store.Collection[LaunchConfiguration] // by name

	groups    *store.Cached[Group]  // reads Groups
	members   *store.Cached[Member] // reads Members
	client    *clientv3.Client
	scope     arn.Scope
	network   Network
	templates Templates
	instances Instances
	balancers Balancers
	identity  Identity
	alarms    Alarms
	forecasts Forecasts
	now       func() time.Time

	// creating is held while something is created that a quota counts: it rests on
	// more than the item that is written.
	creating sync.Mutex
}

// New makes the service on the region's store.
func New(c Config) *Service {
	if c.Now == nil {
		c.Now = time.Now
	}
	s := &Service{
		Groups:         store.NewCollection[Group](c.Client, "auto-scaling-groups"),
		Members:        store.NewCollection[Member](c.Client, "auto-scaling-instances"),
		Activities:     store.NewCollection[Activity](c.Client, "scaling-activities"),
		Policies:       store.NewCollection[Policy](c.Client, "scaling-policies"),
		Scheduled:      store.NewCollection[ScheduledAction](c.Client, "scheduled-actions"),
		Refreshes:      store.NewCollection[Refresh](c.Client, "instance-refreshes"),
		Configurations: store.NewCollection[LaunchConfiguration](c.Client, "launch-configurations"),
		client:         c.Client,
		scope:          arn.Scope{Account: c.Account, Region: c.Region},
		network:        c.Network,
		templates:      c.Templates,
		instances:      c.Instances,
		balancers:      c.Balancers,
		identity:       c.Identity,
		alarms:         c.Alarms,
		forecasts:      c.Forecasts,
		now:            c.Now,
	}
	s.groups, s.members = store.NewCached(s.Groups), store.NewCached(s.Members)
	return s
}

// time is now as the API shows it: in milliseconds.
func (s *Service) time() time.Time { return s.now().UTC().Truncate(time.Millisecond) }

// get finds a group.
func (s *Service) get(ctx context.Context, name *string) (store.Item[Group], error) {
	if err := length("autoScalingGroupName", api.Val(name), 1, 255); err != nil {
		return store.Item[Group]{}, err
	}
	it, err := s.Groups.Get(ctx, *name)
	if errors.Is(err, store.ErrNotFound) {
		err = noGroup(*name)
	}
	return it, err
}

// modify changes a group that is not being deleted.
func (s *Service) modify(ctx context.Context, name *string, change func(*Group) error) (Group, error) {
	return s.commit(ctx, name, func(g *Group) ([]store.Op, error) { return nil, change(g) })
}

// commit changes a group that is not being deleted, together with what belongs to
// it: change may edit the group and returns what else to write. What it reads of
// the store must be read anew each time it is called, which is when somebody else
// was faster.
func (s *Service) commit(ctx context.Context, name *string, change func(*Group) ([]store.Op, error)) (Group, error) {
	var g Group
	err := retry(func() error {
		it, err := s.get(ctx, name)
		if err != nil {
			return err
		}
		if it.Value.Deleting {
			return pendingDelete(it.Key)
		}
		before, _ := json.Marshal(it.Value) // what was unmarshalled can be marshalled
		ops, err := change(&it.Value)
		if err != nil {
			return err
		}
		group := s.Groups.UpdateOp(it)
		if after, err := json.Marshal(it.Value); err == nil && bytes.Equal(before, after) {
			group = s.Groups.Unchanged(it) // nobody who watches groups needs to look
		}
		g = it.Value
		_, err = store.Commit(ctx, s.client, append(ops, group)...)
		return err
	})
	return g, err
}

// retry does something anew as long as what it has read was changed by somebody
// else before its commit.
func retry(do func() error) error {
	for {
		err := do()
		if !errors.Is(err, store.ErrConflict) && !errors.Is(err, store.ErrNotFound) && !errors.Is(err, store.ErrExists) {
			return err
		}
	}
}
