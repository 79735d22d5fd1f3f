package nodegroups

import (
	"context"
	"fmt"
	"slices"
	"sync"

	"github.com/tarn-eks/tarn/internal/service/eks"
)

// nodes notes what nodes were given.
type nodes struct {
	mu         sync.Mutex
	told       []chan struct{} // by change
	held       bool            // nothing can be evicted
	drained    []string        // those that were cordoned
	uncordoned []string
	cordons    chan struct{} // one for each of drained
	fail       error
	got        []string
	late       bool // none is Ready
	lost       error
}

func (n *nodes) Missing(_ context.Context, _ string, names []string) ([]string, error) {
	n.mu.Lock()
	defer n.mu.Unlock()
	if n.late {
		return names, nil
	}
	return nil, n.lost
}

func (n *nodes) set(late bool, lost error) {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.late, n.lost = late, lost
	n.tell()
}

// tell tells of a change, with n.mu held.
func (n *nodes) tell() {
	for _, c := range n.told {
		select {
		case c <- struct{}{}:
		default:
		}
	}
}

func (n *nodes) hold(held bool) {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.held = held
	n.tell()
}

func (n *nodes) Drain(_ context.Context, _, node string) (bool, error) {
	n.mu.Lock()
	defer n.mu.Unlock()
	if !slices.Contains(n.drained, node) {
		n.drained = append(n.drained, node)
		select {
		case n.cordons <- struct{}{}:
		default: // nobody counts
		}
	}
	return !n.held, nil
}

func (n *nodes) Uncordon(_ context.Context, _, node string) error {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.uncordoned = append(n.uncordoned, node)
	return nil
}

func (n *nodes) Follow(ctx context.Context, _ string) <-chan struct{} {
	n.mu.Lock()
	defer n.mu.Unlock()
	in, out := make(chan struct{}, 1), make(chan struct{})
	in <- struct{}{}
	n.told = append(n.told, in)
	go func() {
		defer close(out)
		for {
			select {
			case <-in:
			case <-ctx.Done():
				return
			}
			select {
			case out <- struct{}{}:
			case <-ctx.Done():
				return
			}
		}
	}()
	return out
}

func (n *nodes) Configure(_ context.Context, cluster string, names []string, was, want eks.NodeConfig) error {
	n.mu.Lock()
	defer n.mu.Unlock()
	if n.fail != nil {
		return n.fail
	}
	n.got = append(n.got, fmt.Sprint(cluster, len(names), was.Labels, want.Labels))
	return nil
}
