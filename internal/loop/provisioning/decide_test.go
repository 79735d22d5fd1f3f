package provisioning

import (
	"errors"
	"fmt"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	eksapi "github.com/tarn-eks/tarn/internal/api/eks"
	"github.com/tarn-eks/tarn/internal/service/eks"
)

func TestDecide(t *testing.T) {
	addon := func(name string, generation int) eks.Addon {
		return eks.Addon{Name: name, ID: "id", Generation: generation}
	}
	applied := func(addons ...eks.Addon) map[string]bool {
		m := map[string]bool{}
		for _, a := range addons {
			m[mark(a)] = true
		}
		return m
	}
	dns, proxy := addon("coredns", 1), addon("kube-proxy", 1)
	self := dns
	self.SelfManaged = true
	for _, test := range []struct {
		name   string
		status eks.Status
		groups int
		addons []eks.Addon
		known  Known
		act    Act
		due    []eks.Addon
	}{
		{"new", eks.Creating, 0, nil, Known{}, Start, nil},
		{"of an earlier run", eks.Active, 3, []eks.Addon{dns}, Known{}, Start, nil},
		{"running", eks.Active, 3, nil, Known{Generation: 2}, Nothing, nil},
		{"changed", eks.Updating, 0, []eks.Addon{dns}, Known{Generation: 1}, Start, nil},
		{"failed", eks.Failed, 0, []eks.Addon{dns}, Known{}, Nothing, nil},
		{"add-ons to apply", eks.Active, 0, []eks.Addon{dns, proxy}, Known{Generation: 2}, Apply, []eks.Addon{dns, proxy}},
		{"one is applied", eks.Active, 0, []eks.Addon{dns, proxy}, Known{Generation: 2, Applied: applied(dns)}, Apply, []eks.Addon{proxy}},
		{"one has changed", eks.Active, 0, []eks.Addon{addon("coredns", 2), proxy}, Known{Generation: 2, Applied: applied(dns, proxy)}, Apply, []eks.Addon{addon("coredns", 2)}},
		{"one has become EKS's", eks.Active, 0, []eks.Addon{dns}, Known{Generation: 2, Applied: applied(self)}, Apply, []eks.Addon{dns}},
		{"all applied", eks.Active, 0, []eks.Addon{dns, proxy}, Known{Generation: 2, Applied: applied(dns, proxy)}, Nothing, nil},
		{"to be deleted", eks.Deleting, 0, []eks.Addon{dns}, Known{Generation: 2}, Stop, nil},
		{"to be deleted, of an earlier run", eks.Deleting, 0, nil, Known{}, Stop, nil},
		{"to be deleted when its nodes are gone", eks.Deleting, 1, nil, Known{Generation: 2}, Nothing, nil},
		{"deleted", eks.Deleting, 0, nil, Known{Generation: 2, Stopped: true}, Nothing, nil},
	} {
		act, due := Decide(eks.Cluster{Status: test.status, Generation: 2}, test.groups, test.addons, test.known)
		if diff := cmp.Diff(test.due, due, cmp.AllowUnexported(eks.Addon{})); act != test.act || diff != "" {
			t.Errorf("%s: %d, want %d; %s", test.name, act, test.act, diff)
		}
	}
}

func TestPause(t *testing.T) {
	broken := errors.New("refused")
	few := fmt.Errorf("cluster lake: add-on coredns: %w", &eks.AddonError{Code: eksapi.AddonIssueCodeInsufficientNumberOfReplicas})
	conflict := &eks.AddonError{Code: eksapi.AddonIssueCodeConfigurationConflict}
	for _, tc := range []struct {
		failures int
		err      error
		want     time.Duration
	}{
		{1, broken, 2 * time.Second},
		{2, broken, 4 * time.Second},
		{4, broken, 16 * time.Second},
		{5, broken, 30 * time.Second},
		{1000, broken, 30 * time.Second},
		{5, conflict, 30 * time.Second},
		{1, few, 2 * time.Second},
		{2, few, 4 * time.Second},
		{3, few, 5 * time.Second},
		{7, few, 5 * time.Second},
		{8, few, 30 * time.Second}, // it is DEGRADED
		{1000, few, 30 * time.Second},
		{5, errors.Join(broken, few), 5 * time.Second},
	} {
		if got := pause(2*time.Second, tc.failures, tc.err); got != tc.want {
			t.Errorf("after %d times %v: %v, want %v", tc.failures, tc.err, got, tc.want)
		}
	}
}
