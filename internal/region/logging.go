package region

import (
	"context"
	"log/slog"
)

// atLeast passes records of a level and above: etcd says at length, as
// information, what nobody asks for.
func atLeast(level slog.Level, logger *slog.Logger) *slog.Logger {
	return slog.New(threshold{logger.Handler(), level})
}

type threshold struct {
	slog.Handler
	level slog.Level
}

func (t threshold) Enabled(ctx context.Context, level slog.Level) bool {
	return level >= t.level && t.Handler.Enabled(ctx, level)
}

func (t threshold) WithAttrs(attrs []slog.Attr) slog.Handler {
	return threshold{t.Handler.WithAttrs(attrs), t.level}
}

func (t threshold) WithGroup(name string) slog.Handler {
	return threshold{t.Handler.WithGroup(name), t.level}
}
