package eks

import (
	"context"
	"errors"
	"fmt"
	"slices"

	"github.com/tarn-eks/tarn/internal/store"
)

// What loop/provisioning says of clusters. Each of these methods does nothing
// to another cluster that has the name by now.

var errUnchanged = errors.New("nothing to write")

// changeCluster modifies the cluster, and ends its update when change says how.
func (s *Service) changeCluster(ctx context.Context, c Cluster, doing string, change func(*Cluster) (updateStatus string, err error)) (Cluster, error) {
	got, err := again(func() (Cluster, error) {
		item, err := s.Clusters.Get(ctx, c.Name)
		if err != nil {
			return Cluster{}, err
		}
		if item.Value.ID != c.ID {
			return Cluster{}, store.ErrNotFound
		}
		status, err := change(&item.Value)
		if errors.Is(err, errUnchanged) {
			return item.Value, nil
		}
		if err != nil {
			return Cluster{}, err
		}
		ops := []store.Op{}
		if status != "" {
			var errs []Issue
			if status == failed {
				errs = updateErrors(item.Value.Issues)
			}
			if ops, err = s.endUpdate(ctx, c.Name, item.Value.Update, status, errs); err != nil {
				return Cluster{}, err
			}
			item.Value.Update = ""
		}
		_, err = store.Commit(ctx, s.client, append(ops, s.Clusters.UpdateOp(item))...)
		return item.Value, err
	})
	if err != nil {
		return Cluster{}, fmt.Errorf("%s of cluster %s: %w", doing, c.Name, err)
	}
	return got, nil
}

// updateErrors are issues as an update shows them: it has fewer codes.
func updateErrors(issues []Issue) []Issue {
	errs := slices.Clone(issues)
	for i := range errs {
		errs[i].Code = "Unknown"
	}
	return errs
}

// SetClusterNetwork records what the cluster has in its VPC, and returns the
// cluster with it. It is to be called after each step: what is recorded is what
// gets removed with the cluster.
func (s *Service) SetClusterNetwork(ctx context.Context, c Cluster, n ClusterNetwork) (Cluster, error) {
	return s.changeCluster(ctx, c, "recording the network", func(now *Cluster) (string, error) {
		if now.Network == n {
			return "", errUnchanged
		}
		now.Network = n
		return "", nil
	})
}

// ClusterStarted notes that the control plane runs as c asks for. It ends what
// was in progress, unless c has changed since.
func (s *Service) ClusterStarted(ctx context.Context, c Cluster, e Endpoint) error {
	_, err := s.changeCluster(ctx, c, "recording the start", func(now *Cluster) (string, error) {
		if now.Status == Deleting {
			return "", errUnchanged
		}
		now.Endpoint, now.Issues = e, nil
		if now.Generation != c.Generation {
			return "", nil
		}
		if now.Status == Updating {
			now.Status = Active
			return successful, nil
		}
		now.Status = Active
		return "", nil
	})
	return err
}

// ClusterTrouble notes why the control plane does not run as c asks for. final
// says that it was tried often enough: a new cluster is then FAILED, and an
// update too.
func (s *Service) ClusterTrouble(ctx context.Context, c Cluster, issue Issue, final bool) error {
	_, err := s.changeCluster(ctx, c, "recording a failure", func(now *Cluster) (string, error) {
		same := slices.EqualFunc(now.Issues, []Issue{issue}, sameIssue)
		now.Issues = []Issue{issue}
		switch {
		case now.Status == Creating && final:
			now.Status = Failed
		case now.Status == Updating && final && now.Generation == c.Generation:
			now.Status = Active
			return failed, nil
		case same:
			return "", errUnchanged
		}
		return "", nil
	})
	return err
}

func sameIssue(a, b Issue) bool {
	return a.Code == b.Code && a.Message == b.Message && slices.Equal(a.Resources, b.Resources)
}

// RetryCluster lets a FAILED cluster be tried again. EKS has nothing like it:
// it is for `tarn up`, which may be run again.
func (s *Service) RetryCluster(ctx context.Context, c Cluster) error {
	_, err := s.changeCluster(ctx, c, "trying again the creation", func(now *Cluster) (string, error) {
		if now.Status != Failed {
			return "", errUnchanged
		}
		now.Status, now.Issues = Creating, nil
		return "", nil
	})
	return err
}

// ForgetCluster removes a cluster of which nothing is left, with its add-ons,
// access entries and updates. Its node groups must be gone.
func (s *Service) ForgetCluster(ctx context.Context, c Cluster) error {
	item, err := s.Clusters.Get(ctx, c.Name)
	if errors.Is(err, store.ErrNotFound) || err == nil && item.Value.ID != c.ID {
		return nil
	}
	if err != nil {
		return err
	}
	// Nothing can be added to a cluster that is being deleted.
	if item.Value.Status != Deleting {
		return fmt.Errorf("forgetting cluster %s: it is %s", c.Name, item.Value.Status)
	}
	if err := deleteAll(ctx, s.Addons, c.Name+"/"); err != nil {
		return err
	}
	if err := deleteAll(ctx, s.AccessEntries, c.Name+"/"); err != nil {
		return err
	}
	if err := deleteAll(ctx, s.Updates, c.Name+"/"); err != nil {
		return err
	}
	return s.Clusters.DeleteItem(ctx, item)
}

func deleteAll[T any](ctx context.Context, c *store.Collection[T], prefix string) error {
	items, _, err := c.List(ctx, prefix)
	if err != nil {
		return err
	}
	for _, item := range items {
		if err := c.Delete(ctx, item.Key); err != nil && !errors.Is(err, store.ErrNotFound) {
			return err
		}
	}
	return nil
}
