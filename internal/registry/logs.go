package registry

import (
	"context"
	"io"
	"log/slog"
	"sync"
	"sync/atomic"

	"github.com/distribution/distribution/v3/registry/api/errcode"
	"github.com/sirupsen/logrus"
)

// The distribution library logs through logrus's process-wide logger and
// offers no other way, so the bridge is process-wide too: it is laid once, and
// leads to the logger of the registry that was made last.
var (
	bridgeOnce sync.Once
	bridgeTo   atomic.Pointer[slog.Logger]
)

func bridgeLogs(logger *slog.Logger) {
	bridgeTo.Store(logger)
	bridgeOnce.Do(func() {
		logrus.SetOutput(io.Discard)
		logrus.AddHook(bridge{})
	})
}

// bridge is a logrus hook that hands entries to slog.
type bridge struct{}

func (bridge) Levels() []logrus.Level { return logrus.AllLevels }

func (bridge) Fire(e *logrus.Entry) error {
	logger, level := bridgeTo.Load(), slogLevel(e)
	if !logger.Enabled(context.Background(), level) {
		return nil
	}
	attrs := make([]slog.Attr, 0, 8)
	for _, k := range []string{"vars.name", "vars.reference", "vars.digest", "http.request.method", "http.request.remoteaddr", "http.response.status", "err.code", "err.message", "err.detail", "error"} {
		if v, ok := e.Data[k]; ok && v != "" {
			attrs = append(attrs, slog.Any(k, v))
		}
	}
	logger.LogAttrs(context.Background(), level, e.Message, attrs...)
	return nil
}

// slogLevel is the level at which an entry matters here. The library reports
// each request at info, and calls an error what is a client's mistake or a
// question after something that does not exist. A request that fails ends with
// an entry that has the error's code; unknown is what is not the client's doing.
func slogLevel(e *logrus.Entry) slog.Level {
	switch {
	case e.Level >= logrus.InfoLevel:
		return slog.LevelDebug
	case e.Level == logrus.WarnLevel:
		return slog.LevelWarn
	}
	if _, ok := e.Data["http.request.method"]; ok && e.Data["err.code"] != errcode.ErrorCodeUnknown {
		return slog.LevelDebug
	}
	return slog.LevelError
}
