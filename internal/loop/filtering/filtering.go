// Package filtering is the loop that makes security groups hold: it reads EC2's
// groups and network interfaces and gives each VPC the firewall that they mean.
package filtering

import (
	"cmp"
	"context"
	"errors"
	"log/slog"
	"maps"
	"slices"
	"sync"
	"time"

	"github.com/tarn-eks/tarn/internal/service/ec2"
	"github.com/tarn-eks/tarn/internal/store"
	"github.com/tarn-eks/tarn/internal/vpc"
)

// ErrNoNetwork says that a VPC has no network yet, or no more.
var ErrNoNetwork = errors.New("the VPC has no network")

// Firewall sets the firewalls of VPCs.
type Firewall interface {
	// SetFirewall makes f the firewall of the VPC with this id. It is called with
	// the same one again and again. After an error it is called again; ErrNoNetwork
	// is one that nobody hears of.
	SetFirewall(id string, f vpc.Firewall) error
}

// defaultRetry is Loop.Retry where that is not set.
const defaultRetry = time.Second

// Loop keeps the VPCs' firewalls as the security groups say.
type Loop struct {
	EC2      *ec2.Service
	Firewall Firewall
	Logger   *slog.Logger
	// Retry is the pause before the next attempt after one that failed; 0 means a
	// second.
	Retry time.Duration

	mu      sync.Mutex          // guards the fields below, of which Run alone sets covered
	covered map[string][]string // by VPC: the interfaces that its firewall has, sorted
	news    chan struct{}       // closed when covered changes
}

// Run follows the store until ctx ends. Before it has read all groups and all
// interfaces it changes nothing: a firewall that is there from before stays.
func (l *Loop) Run(ctx context.Context) error {
	groups, interfaces := store.NewView(l.EC2.SecurityGroups), store.NewView(l.EC2.ENIs)
	views := store.FollowAll(ctx, groups, interfaces)
	defer views.Close()
	var retry <-chan time.Time
	for {
		select {
		case _, ok := <-views.C:
			if !ok {
				return views.Err()
			}
		case <-retry:
		}
		retry = nil
		if !l.apply(groups.Snapshot(), interfaces.Snapshot()) {
			retry = time.After(cmp.Or(l.Retry, defaultRetry))
		}
	}
}

// apply sets the firewall of every VPC, and reports whether that succeeded.
func (l *Loop) apply(sg store.Snapshot[ec2.SecurityGroup], enis store.Snapshot[ec2.NetworkInterface]) bool {
	ok, covered := true, map[string][]string{}
	groups, interfaces := map[string][]ec2.SecurityGroup{}, map[string][]ec2.NetworkInterface{}
	for _, item := range sg.Items {
		groups[item.Value.VPC] = append(groups[item.Value.VPC], item.Value)
	}
	for _, item := range enis.Items {
		interfaces[item.Value.VPC] = append(interfaces[item.Value.VPC], item.Value)
	}
	// Every VPC has at least its default group.
	for _, id := range slices.Sorted(maps.Keys(groups)) {
		f := Plan(groups[id], interfaces[id])
		if err := l.Firewall.SetFirewall(id, f); err != nil {
			if !errors.Is(err, ErrNoNetwork) {
				l.Logger.Error("enforcing security groups; the former rules stay", "vpc", id, "error", err)
			}
			ok, covered[id] = false, l.covered[id]
			continue
		}
		covered[id] = complete(f, interfaces[id])
	}
	l.cover(covered)
	return ok
}

// complete lists the interfaces all of whose groups the firewall has, sorted. One
// whose group was not read yet, as it is younger, is not among them.
func complete(f vpc.Firewall, interfaces []ec2.NetworkInterface) []string {
	var ids []string
	for n, i := range interfaces {
		if len(f.Interfaces[n].Groups) == len(i.SecurityGroups) {
			ids = append(ids, i.ID)
		}
	}
	slices.Sort(ids)
	return ids
}

// cover notes which interfaces the firewalls have.
func (l *Loop) cover(covered map[string][]string) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.covered = covered
	if l.news != nil {
		close(l.news)
		l.news = nil
	}
}

// Await waits until the network interface's groups are enforced: until then it
// is closed, and what starts behind it would wait for its first packets to be
// sent again. It returns the error of ctx if that ends before.
func (l *Loop) Await(ctx context.Context, networkInterface string) error {
	for {
		news, ok := l.look(networkInterface)
		if ok {
			return nil
		}
		select {
		case <-news:
		case <-ctx.Done():
			return context.Cause(ctx)
		}
	}
}

// look reports whether the interface is covered, and what to wait for if not.
func (l *Loop) look(networkInterface string) (<-chan struct{}, bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, ids := range l.covered {
		if _, ok := slices.BinarySearch(ids, networkInterface); ok {
			return nil, true
		}
	}
	if l.news == nil {
		l.news = make(chan struct{})
	}
	return l.news, false
}
