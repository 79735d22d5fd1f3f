package store

import (
	"context"
	"errors"
	"fmt"
	"testing"

	"go.etcd.io/etcd/api/v3/v3rpc/rpctypes"
	etcderrors "go.etcd.io/etcd/server/v3/etcdserver/errors"
)

func TestStartErrorTellsARaceFromDamage(t *testing.T) {
	for text, want := range map[string]error{
		"error scanning unapplied entries: requested index is unavailable due to compaction": ErrStartAgain,
		"error scanning unapplied entries: unexpected end":                                   ErrDamaged,
		"walpb: crc mismatch": ErrDamaged,
	} {
		if err := startError("dir", errors.New(text)); !errors.Is(err, want) {
			t.Errorf("%s: %v, want %v", text, err, want)
		}
	}
}

func TestUnsettledIsNotDamage(t *testing.T) {
	for err, want := range map[error]bool{
		etcderrors.ErrLeaderChanged:          true,
		etcderrors.ErrTimeout:                true,
		etcderrors.ErrTimeoutDueToLeaderFail: true,
		rpctypes.ErrLeaderChanged:            true, // the same through the client
		rpctypes.ErrNoLeader:                 true,
		etcderrors.ErrStopped:                false, // it will not come back
		rpctypes.ErrStopped:                  false,
		rpctypes.ErrNoSpace:                  false,
		etcderrors.ErrCorrupt:                false,
		rpctypes.ErrCorrupt:                  false,
		context.Canceled:                     false,
	} {
		err = fmt.Errorf("reading: %w", err)
		if unsettled(err) != want {
			t.Errorf("%v: unsettled is %v", err, !want)
		}
		if started := startError("dir", err); want && (errors.Is(started, ErrDamaged) || !errors.Is(started, ErrStartAgain)) {
			t.Errorf("a start that ends in it says: %v", started)
		}
	}
	for _, err := range []error{etcderrors.ErrCorrupt, rpctypes.ErrCorrupt} {
		if started := startError("dir", err); !errors.Is(started, ErrDamaged) {
			t.Errorf("%v at start says: %v", err, started)
		}
	}
}
