package region

import (
	"slices"
	"testing"

	"github.com/tarn-eks/tarn/internal/service/eks"
	"github.com/tarn-eks/tarn/internal/store"
)

func TestObserved(t *testing.T) {
	cluster := func(name string, status eks.Status, logs ...string) store.Item[eks.Cluster] {
		return store.Item[eks.Cluster]{Key: name, Value: eks.Cluster{Name: name, Status: status, LogTypes: logs}}
	}
	addon := func(cluster, name string, status eks.Status) store.Item[eks.Addon] {
		return store.Item[eks.Addon]{Value: eks.Addon{Cluster: cluster, Name: name, Status: status}}
	}
	got := observed([]store.Item[eks.Cluster]{
		cluster("addon", eks.Active),
		cluster("both", eks.Active, "audit"),
		cluster("fresh", eks.Creating, "audit"),
		cluster("logs", eks.Active, "api", "audit"),
		cluster("neither", eks.Active),
		cluster("pending", eks.Active),
		cluster("updating", eks.Updating, "audit"),
	}, []store.Item[eks.Addon]{
		addon("addon", eks.Observability, eks.Active),
		addon("both", eks.Observability, eks.Active),
		addon("neither", "metrics-server", eks.Active),
		addon("pending", eks.Observability, eks.Creating),
	})
	if want := []string{"addon", "both", "logs", "updating"}; !slices.Equal(got, want) {
		t.Errorf("%q, want %q", got, want)
	}
}
