// Package store is the region's one database: an etcd server in this process,
// and typed collections on it. Everything that a region must remember goes
// through here; what the values mean does not: no AWS, Kubernetes or network
// word may enter. kube-apiservers use the same etcd through Server.Endpoint,
// under prefixes of their own.
//
// See docs/state.md for what lies on disk and what is promised about it.
package store

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"time"

	clientv3 "go.etcd.io/etcd/client/v3"
	"go.etcd.io/etcd/server/v3/embed"
	"go.etcd.io/etcd/server/v3/etcdserver/api/v3client"
	"google.golang.org/grpc"
)

// Config says where a Server keeps its data and where it listens.
type Config struct {
	// Dir is the state directory; it is made if it is missing.
	Dir string
	// Socket is the path of the unix socket for clients, at most 107 bytes. Its
	// directory must exist. There is no TCP port.
	Socket string
	// Logger gets etcd's log too, with its levels. Nil is silence.
	Logger *slog.Logger
	// Version is this Tarn's version: written beside the data for messages.
	Version string
	// QuotaBytes is the size at which the database refuses writes; 0 is DefaultQuota.
	QuotaBytes int64
}

// Server is a running etcd with data of its own.
type Server struct {
	cfg    Config
	etcd   *embed.Etcd
	client *clientv3.Client
	crash  *crash
	lock   *os.File // the locked state directory

	errc    chan error
	closing chan struct{}
	watcher sync.WaitGroup // the goroutine of watch

	closeOnce sync.Once
	closeErr  error

	mu   sync.Mutex // guards grpc, which etcd sets when it starts to serve
	grpc *grpc.Server
}

// Start starts etcd and returns when it serves; ctx ends the attempt, not the
// server. Errors wrap ErrNewer, ErrOlder, ErrDamaged, ErrStartAgain, ErrDiskFull or ErrInUse
// where one applies. After ErrDamaged and ErrDiskFull etcd may be stuck half-way with its
// files open: the process should end.
func Start(ctx context.Context, cfg Config) (_ *Server, err error) {
	if cfg, err = cfg.complete(); err != nil {
		return nil, fmt.Errorf("start the store: %w", err)
	}
	if err := checkSocket(cfg.Socket); err != nil {
		return nil, err
	}
	if err := os.MkdirAll(cfg.Dir, 0o700); err != nil {
		return nil, startError(cfg.Dir, err)
	}
	if err := os.Chmod(cfg.Dir, 0o700); err != nil { // secrets are in there
		return nil, startError(cfg.Dir, err)
	}
	lock, err := lockDir(ctx, cfg.Dir)
	if err != nil {
		return nil, startError(cfg.Dir, err)
	}
	defer func() {
		if err != nil {
			err = errors.Join(err, lock.Close())
		}
	}()
	if err := prepareDir(cfg.Dir, cfg.Version); err != nil {
		return nil, startError(cfg.Dir, err)
	}
	applied, err := checkData(cfg.Dir)
	if err != nil {
		return nil, startError(cfg.Dir, err)
	}
	s := &Server{
		cfg: cfg, crash: newCrash(), lock: lock,
		errc: make(chan error, 1), closing: make(chan struct{}),
	}
	if err := s.start(ctx, applied); err != nil {
		return nil, startError(cfg.Dir, err)
	}
	return s, nil
}

func (cfg Config) complete() (Config, error) {
	if cfg.Dir == "" || cfg.Socket == "" {
		return cfg, errors.New("config: Dir and Socket must be set")
	}
	var err1, err2 error
	cfg.Dir, err1 = filepath.Abs(cfg.Dir)
	cfg.Socket, err2 = filepath.Abs(cfg.Socket)
	if cfg.Logger == nil {
		cfg.Logger = slog.New(slog.DiscardHandler)
	}
	if cfg.QuotaBytes == 0 {
		cfg.QuotaBytes = DefaultQuota
	}
	return cfg, errors.Join(err1, err2)
}

func (s *Server) start(ctx context.Context, applied uint64) error {
	began := time.Now()
	startCtx, cancel := context.WithCancelCause(ctx)
	var crashed sync.WaitGroup
	defer crashed.Wait()
	defer cancel(nil)
	crashed.Go(func() {
		select {
		case <-s.crash.done:
			cancel(s.crash.err)
		case <-startCtx.Done():
		}
	})

	lg := newZap(s.cfg.Logger.Handler(), s.crash)
	e, err := launch(startCtx, etcdConfig(s.cfg, lg, s.onGRPC), s.crash)
	if err != nil {
		return err
	}
	s.etcd = e
	err = protect(s.cfg.Socket)
	if err == nil {
		err = waitReady(startCtx, e.Server, uint64(e.Server.MemberID()), applied)
	}
	if err == nil {
		s.client = v3client.New(e.Server)
		err = persist(startCtx, func(ctx context.Context) error { return clearAlarm(ctx, s) })
	}
	if err == nil {
		err = markReady(s.cfg.Dir)
	}
	if err != nil {
		_ = s.stop() // what failed first counts
		return err
	}
	s.cfg.Logger.Info("store serves", "dir", s.cfg.Dir, "endpoint", s.Endpoint(), "took", time.Since(began).Round(time.Millisecond))
	s.watcher.Go(s.watch)
	return nil
}

func (s *Server) onGRPC(g *grpc.Server) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.grpc = g
}

// Client returns a client that calls the server directly, without the socket.
// It is closed by Close.
func (s *Server) Client() *clientv3.Client { return s.client }

// Endpoint is the address for clients in other processes: “unix://” and the path.
func (s *Server) Endpoint() string { return "unix://" + s.cfg.Socket }

// Err gets one error if etcd dies by itself, for example because the disk is
// full (ErrDiskFull), and is closed by Close. A dead server answers nothing any
// more; the process should say why and end.
func (s *Server) Err() <-chan error { return s.errc }

// watch reports an end that nobody asked for.
func (s *Server) watch() {
	var err error
	select {
	case <-s.closing:
		return
	case <-s.crash.done:
		err = s.crash.err
	case <-s.etcd.Server.StopNotify():
		err = errors.New("etcd stopped")
	case err = <-s.etcd.Err():
		if err == nil {
			err = errors.New("etcd's listener ended")
		}
	}
	if !s.intact() { // the crash is why the rest ended
		err = s.crash.err
	}
	select {
	case <-s.closing: // both happened; Close was asked for
	default:
		s.errc <- runError(s.cfg.Dir, err)
	}
}

// Close ends the server in order: no more clients, etcd, the directory's lock.
// It may be called more than once, and returns the same each time.
func (s *Server) Close() error {
	s.closeOnce.Do(func() {
		close(s.closing)
		s.watcher.Wait()
		s.closeErr = s.stop()
		close(s.errc)
		if err := s.lock.Close(); err != nil {
			s.closeErr = errors.Join(s.closeErr, fmt.Errorf("unlock %s: %w", s.cfg.Dir, err))
		}
	})
	return s.closeErr
}

const (
	// drainWait is how long running requests of other processes may take at Close.
	// Watches never end by themselves.
	drainWait = 500 * time.Millisecond
	// deadWait is how long an etcd that died may take to clean up what it can.
	deadWait = 2 * time.Second
)

// stop ends etcd, as far as it still can. It releases all but the directory's lock.
func (s *Server) stop() error {
	if s.client != nil {
		s.client.Close() // its error is that it is closed
	}
	done := make(chan struct{})
	go func() { // a goroutine of its own: crash ends the one that logs Fatal
		defer close(done)
		s.drain()
		s.etcd.Server.Stop() // first, because Etcd.Close hangs on a server that never got ready
		s.etcd.Close()
	}()
	select {
	case <-done:
		if s.intact() {
			return nil
		}
	case <-s.crash.done:
		select {
		case <-done:
		case <-time.After(deadWait):
		}
	}
	return fmt.Errorf("close the store: %w", runError(s.cfg.Dir, s.crash.err))
}

// intact reports whether etcd has not crashed.
func (s *Server) intact() bool {
	select {
	case <-s.crash.done:
		return false
	default:
		return true
	}
}

// drain closes the connections of other processes, which etcd would grant 7 s.
func (s *Server) drain() {
	s.mu.Lock()
	g := s.grpc
	s.mu.Unlock()
	if g == nil {
		return
	}
	hard := time.AfterFunc(drainWait, g.Stop)
	defer hard.Stop()
	g.GracefulStop()
}

// DeletePrefix removes all keys below a prefix that another process keeps its own
// data under, as an API server does; the prefix ends in a slash. The collections'
// keys are refused.
func (s *Server) DeletePrefix(ctx context.Context, prefix string) error {
	if !strings.HasSuffix(prefix, "/") || len(prefix) < 2 || strings.HasPrefix(root, prefix) || strings.HasPrefix(prefix, root) {
		return fmt.Errorf("deleting %q: it is no prefix of another process's data", prefix)
	}
	if _, err := s.client.Delete(ctx, prefix, clientv3.WithPrefix()); err != nil {
		return fmt.Errorf("deleting %s: %w", prefix, clientError(err))
	}
	return nil
}
