package store

import (
	"context"
	"errors"
	"fmt"
	"math"
	"net"
	"net/url"
	"os"
	"runtime/debug"
	"time"

	clientv3 "go.etcd.io/etcd/client/v3"
	"go.etcd.io/etcd/server/v3/embed"
	"go.etcd.io/etcd/server/v3/storage/wal"
	"go.etcd.io/raft/v3/raftpb"
	"go.uber.org/zap"
	"google.golang.org/grpc"
)

func init() {
	// etcd offers no other way. A segment and its successor are allocated ahead;
	// a region on one machine writes little, and 2 × 64 MB would be most of its disk use.
	wal.SegmentSizeBytes = 16 << 20
}

const (
	// DefaultQuota is the size in bytes at which the database refuses writes.
	DefaultQuota = 8 << 30
	// MaxTxnOps is the number of operations one Commit may have.
	MaxTxnOps = 1024
	// History is how long old revisions are kept, and thus how far back a Watch
	// may start. It is twice kube-apiserver's own compaction interval (5 min):
	// while one runs, it always compacts a newer revision than etcd does, so it
	// never sees “already compacted”; while none runs, etcd does the work.
	History = 10 * time.Minute

	// maxSocketPath is sizeof(sockaddr_un.sun_path) less the final NUL: unix(7).
	maxSocketPath = 107
)

// etcdConfig describes a cluster of one. It has no peer listener: there is no
// peer, and a socket nobody opens is one that nobody can abuse.
func etcdConfig(cfg Config, lg *zap.Logger, onGRPC func(*grpc.Server)) *embed.Config {
	c := embed.NewConfig()
	c.Name = "tarn"
	c.Dir = cfg.Dir
	c.ListenClientUrls = []url.URL{{Scheme: "unix", Path: cfg.Socket}}
	c.AdvertiseClientUrls = c.ListenClientUrls
	// Written into the database once, so independent of where the directory lies.
	c.ListenPeerUrls = nil
	c.AdvertisePeerUrls = []url.URL{{Scheme: "unix", Host: "tarn"}}
	c.InitialCluster = c.InitialClusterFromName(c.Name)
	c.ClusterState = embed.ClusterStateFlagNew

	// Slow for a cluster, but a member that is alone elects itself at the first
	// tick, and by then it should have replayed its log: see isElectionRace.
	c.TickMs = 250
	c.ElectionMs = 2500
	c.AutoCompactionMode = embed.CompactorModePeriodic
	c.AutoCompactionRetention = History.String()
	c.QuotaBackendBytes = cfg.QuotaBytes
	c.MaxTxnOps = MaxTxnOps
	c.BootstrapDefragThresholdMegabytes = 64
	// SnapshotCatchUpEntries stays at etcd's 5000, although there is no follower to
	// catch up: raft's log may be cut only behind what raft knows to be applied,
	// and etcd relies on this distance for that. It costs some MB of memory.
	c.MaxWalFiles = 2
	c.MaxSnapFiles = 2
	c.EnableGRPCGateway = false

	c.ServiceRegister = onGRPC
	c.ZapLoggerBuilder = embed.NewZapLoggerBuilder(lg)
	return c
}

// checkSocket refuses a path that cannot be bound, or that somebody serves.
// etcd itself removes a socket that a dead process left.
func checkSocket(path string) error {
	if n := len(path); n > maxSocketPath {
		return fmt.Errorf("the socket path %s has %d bytes, and Linux allows %d: choose a shorter --data-dir", path, n, maxSocketPath)
	}
	conn, err := net.Dial("unix", path)
	if err != nil {
		return nil // nobody listens, or the bind will say more
	}
	return errors.Join(fmt.Errorf("%w: another process serves the socket %s", ErrInUse, path), conn.Close())
}

// launch runs embed.StartEtcd and turns each of the ways in which it can fail
// (error, panic, zap's Panic and Fatal) into an error. In the latter cases etcd
// cannot be closed: what it opened stays open until the process ends.
func launch(ctx context.Context, c *embed.Config, cr *crash) (*embed.Etcd, error) {
	type result struct {
		etcd *embed.Etcd
		err  error
	}
	done := make(chan result, 1)
	go func() {
		// A goroutine of its own: crash ends the one that logs Fatal.
		defer debug.SetPanicOnFault(debug.SetPanicOnFault(true))
		defer func() {
			if r := recover(); r != nil {
				cr.record(fmt.Errorf("panic: %v", r))
			}
		}()
		e, err := embed.StartEtcd(c)
		done <- result{e, err}
	}()
	select {
	case r := <-done:
		if r.err != nil {
			return nil, r.err
		}
		return r.etcd, nil
	case <-cr.done:
		return nil, cr.err
	case <-ctx.Done():
		return nil, context.Cause(ctx)
	}
}

// member is what waitReady needs of *etcdserver.EtcdServer.
type member interface {
	Lead() uint64
	// Term is that of the last entry applied.
	Term() uint64
	AppliedIndex() uint64
	CommittedIndex() uint64
	Process(ctx context.Context, m *raftpb.Message) error
	LinearizableReadNotify(ctx context.Context) error
	ReadyNotify() <-chan struct{}
	StopNotify() <-chan struct{}
}

var errStopped = errors.New("etcd stopped while it started")

// waitReady makes m, whose id is given, the leader of its cluster of one and waits
// until it serves. applied is the index of the last log entry that the database
// held before.
func waitReady(ctx context.Context, m member, id, applied uint64) error {
	tick := time.NewTicker(readyTick)
	defer tick.Stop()
	settled := 0
	var term uint64 // that of the last entry seen applied before m led
	for {
		t := m.Term() // before Lead is looked at
		if m.Lead() == id {
			break
		}
		term = t
		// MsgTimeoutNow is how raft tells the chosen successor not to wait for an
		// election timeout (up to 1 s). With nobody else to elect, it only costs
		// time. But raft must have taken in first what its log had committed.
		if i := m.AppliedIndex(); i > 0 && i == m.CommittedIndex() {
			settled++
		} else {
			settled = 0
		}
		if settled >= settledTicks {
			err := m.Process(ctx, &raftpb.Message{Type: raftpb.MsgTimeoutNow.Enum(), From: &id, To: &id})
			if err != nil {
				return startCause(ctx, err)
			}
		}
		select {
		case <-tick.C:
		case <-ctx.Done():
			return context.Cause(ctx)
		}
	}
	// etcd publishes who leads before it tells its readers that this has changed,
	// and fails those that came in between with ErrLeaderChanged.
	if err := persist(ctx, m.LinearizableReadNotify); err != nil {
		return err
	}
	if settled < settledTicks {
		term = math.MaxUint64 // it was elected while it replayed: only time can tell
	}
	if err := awaitOwnEntry(ctx, m, tick.C, term, applied); err != nil {
		return err
	}
	select {
	case <-m.ReadyNotify():
		return nil
	case <-m.StopNotify():
		return errStopped
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}

// awaitOwnEntry waits until m, which leads, has committed the entry of its own that
// a leader puts at the end of its log. A read does not wait for that in a cluster of
// one, and the disk may be slow. term is that of the last entry before it, and
// applied the index of the last one that the database held.
func awaitOwnEntry(ctx context.Context, m member, tick <-chan time.Time, term, applied uint64) error {
	deadline := time.NewTimer(unsettledWait)
	defer deadline.Stop()
	for late := false; ; {
		own := m.Term() > term // before what is committed is looked at
		end := m.CommittedIndex()
		if end > applied {
			return nil
		}
		if own || late {
			// The log is always written first. etcd would take new writes for done
			// already until its log had caught up.
			return fmt.Errorf("the write-ahead log is cut short: it ends before entry %d, and the database has applied %d", end, applied)
		}
		select {
		case <-tick:
		case <-deadline.C:
			late = true
		case <-m.StopNotify():
			return errStopped
		case <-ctx.Done():
			return context.Cause(ctx)
		}
	}
}

// startCause prefers why ctx ended to what etcd made of it.
func startCause(ctx context.Context, err error) error {
	if cause := context.Cause(ctx); cause != nil {
		return cause
	}
	return err
}

const (
	// readyTick is how often waitReady looks.
	readyTick = 2 * time.Millisecond
	// settledTicks is for how many of them etcd must have had nothing to apply. It
	// tells raft a moment later that it has applied something, and nobody can see
	// when: the pause must outlast a thread's wait for a busy processor. See
	// isElectionRace.
	settledTicks = 10

	// unsettledWait is how long Start asks an etcd again that has not settled. One
	// request may take etcd's own limit, 5 s and two elections.
	unsettledWait = time.Minute
	// unsettledPause is between two attempts.
	unsettledPause = 10 * time.Millisecond
)

// persist calls ask again for as long as its error is that etcd has not settled,
// but not longer than unsettledWait. What ask does must be harmless when repeated.
func persist(ctx context.Context, ask func(context.Context) error) error {
	deadline := time.NewTimer(unsettledWait)
	defer deadline.Stop()
	for {
		err := ask(ctx)
		if err == nil {
			return nil
		}
		// The deadline is one of etcd's own, unless ctx has passed.
		if ctx.Err() != nil || !unsettled(err) && !errors.Is(err, context.DeadlineExceeded) {
			return startCause(ctx, err)
		}
		select {
		case <-time.After(unsettledPause):
		case <-deadline.C:
			return fmt.Errorf("etcd has not settled within %v: %w", unsettledWait, err)
		case <-ctx.Done():
			return context.Cause(ctx)
		}
	}
}

// clearAlarm makes room after the size limit was reached: history is compacted,
// free pages are given back, and if that was enough writes are allowed again. It
// is harmless when run again.
func clearAlarm(ctx context.Context, s *Server) error {
	alarms, err := s.client.AlarmList(ctx)
	if err != nil || len(alarms.Alarms) == 0 {
		return err
	}
	head, err := s.client.Get(ctx, "/")
	if err != nil {
		return err
	}
	if _, err := s.client.Compact(ctx, head.Header.Revision, clientv3.WithCompactPhysical()); err != nil && !errors.Is(clientError(err), ErrCompacted) {
		return err
	}
	if err := s.etcd.Server.Backend().Defrag(); err != nil {
		return err
	}
	for _, a := range alarms.Alarms {
		if size := s.etcd.Server.Backend().Size(); size >= s.cfg.QuotaBytes {
			s.cfg.Logger.Error("the state stays read-only: delete resources and restart the region",
				"bytes", size, "limit", s.cfg.QuotaBytes)
			return nil
		}
		if _, err := s.client.AlarmDisarm(ctx, (*clientv3.AlarmMember)(a)); err != nil {
			return err
		}
	}
	return nil
}

// protect leaves the socket to its owner: etcd asks nobody for a password.
func protect(socket string) error { return os.Chmod(socket, 0o600) }
