package store

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"runtime"
	"strings"
	"sync"

	"go.uber.org/zap"
	"go.uber.org/zap/zapcore"
)

// newZap gives etcd a logger that writes to h. When etcd logs at Panic or Fatal
// level, c records why and only the goroutine that logged ends: etcd must not
// end the region's process.
func newZap(h slog.Handler, c *crash) *zap.Logger {
	return zap.New(&slogCore{h}, zap.WithFatalHook(c), zap.WithPanicHook(c))
}

// slogCore is a zapcore.Core on a slog.Handler.
type slogCore struct{ h slog.Handler }

func (c *slogCore) Enabled(l zapcore.Level) bool {
	return c.h.Enabled(context.Background(), slogLevel(l))
}

func (c *slogCore) With(fields []zapcore.Field) zapcore.Core {
	return &slogCore{c.h.WithAttrs(attrs(fields))}
}

func (c *slogCore) Check(e zapcore.Entry, ce *zapcore.CheckedEntry) *zapcore.CheckedEntry {
	if c.Enabled(e.Level) {
		return ce.AddCore(e, c)
	}
	return ce
}

// harmless are etcd's warnings and errors about what Tarn means to do, or what
// etcd puts right by itself; they are for the debug level.
var harmless = map[string]bool{
	// gRPC without TLS or authentication, on a unix socket of mode 0600.
	"Running http and grpc server on single port. This is not recommended for production.": true,
	"serving client traffic insecurely; this is strongly discouraged!":                     true,
	"simple token is not cryptographically signed":                                         true,
	// At Close the listener ends before who listens.
	"setting up serving from embedded etcd failed.": true,
	"stopping insecure grpc server due to error":    true,
	"stopped insecure grpc server due to error":     true,
	// The first seconds of a new database, until its first commit; etcd tries again.
	"Failed to detect schema version":  true,
	"failed to update storage version": true,
}

func (c *slogCore) Write(e zapcore.Entry, fields []zapcore.Field) error {
	level := slogLevel(e.Level)
	if harmless[e.Message] {
		level = slog.LevelDebug
		if !c.h.Enabled(context.Background(), level) {
			return nil
		}
	}
	r := slog.NewRecord(e.Time, level, e.Message, 0)
	if e.LoggerName != "" {
		r.AddAttrs(slog.String("logger", e.LoggerName))
	}
	r.AddAttrs(attrs(fields)...)
	return c.h.Handle(context.Background(), r)
}

func (c *slogCore) Sync() error { return nil }

// slogLevel puts Panic and Fatal one step above Error, as slog's levels leave room for.
func slogLevel(l zapcore.Level) slog.Level {
	switch {
	case l < zapcore.InfoLevel:
		return slog.LevelDebug
	case l == zapcore.InfoLevel:
		return slog.LevelInfo
	case l == zapcore.WarnLevel:
		return slog.LevelWarn
	case l == zapcore.ErrorLevel:
		return slog.LevelError
	}
	return slog.LevelError + 4
}

func attrs(fields []zapcore.Field) []slog.Attr {
	as := make([]slog.Attr, 0, len(fields))
	for _, f := range fields {
		if err, ok := f.Interface.(error); ok && f.Type == zapcore.ErrorType {
			as = append(as, slog.Any(f.Key, err))
			continue
		}
		enc := zapcore.NewMapObjectEncoder()
		f.AddTo(enc)
		for k, v := range enc.Fields {
			as = append(as, slog.Any(k, v))
		}
	}
	return as
}

// crash records the first reason for which etcd would have ended the process.
type crash struct {
	once sync.Once
	done chan struct{} // closed once err is set
	err  error
}

func newCrash() *crash { return &crash{done: make(chan struct{})} }

func (c *crash) record(err error) {
	c.once.Do(func() {
		c.err = err
		close(c.done)
	})
}

// OnWrite implements zapcore.CheckWriteHook.
func (c *crash) OnWrite(ce *zapcore.CheckedEntry, fields []zapcore.Field) {
	c.record(entryError(ce.Message, fields))
	runtime.Goexit()
}

// entryError keeps the errors among the fields in the chain, so that errors.Is
// finds the errno, and the rest as text.
func entryError(msg string, fields []zapcore.Field) error {
	var errs []error
	var rest []string
	for _, f := range fields {
		if err, ok := f.Interface.(error); ok && f.Type == zapcore.ErrorType {
			errs = append(errs, err)
			continue
		}
		if f.Type == zapcore.StringType && f.Key != "stacktrace" {
			rest = append(rest, f.Key+" "+f.String)
		}
	}
	if len(rest) > 0 {
		msg += " (" + strings.Join(rest, ", ") + ")"
	}
	if len(errs) == 0 {
		return errors.New(msg)
	}
	return fmt.Errorf("%s: %w", msg, errors.Join(errs...))
}
