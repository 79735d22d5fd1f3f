package registry

import (
	"log/slog"
	"testing"

	"github.com/distribution/distribution/v3/registry/api/errcode"
	"github.com/sirupsen/logrus"
)

func TestSlogLevel(t *testing.T) {
	request := func(code any) logrus.Fields {
		f := logrus.Fields{"http.request.method": "GET"}
		if code != nil {
			f["err.code"] = code
		}
		return f
	}
	for _, tc := range []struct {
		name  string
		level logrus.Level
		data  logrus.Fields
		want  slog.Level
	}{
		{"a served request", logrus.InfoLevel, request(nil), slog.LevelDebug},
		{"details", logrus.DebugLevel, nil, slog.LevelDebug},
		{"a warning", logrus.WarnLevel, nil, slog.LevelWarn},
		{"an error at work", logrus.ErrorLevel, nil, slog.LevelError},
		{"something not there", logrus.ErrorLevel, request(errcode.ErrorCodeManifestUnknown), slog.LevelDebug},
		{"a client's mistake", logrus.ErrorLevel, request(nil), slog.LevelDebug},
		{"a request that broke", logrus.ErrorLevel, request(errcode.ErrorCodeUnknown), slog.LevelError},
	} {
		if got := slogLevel(&logrus.Entry{Level: tc.level, Data: tc.data}); got != tc.want {
			t.Errorf("%s: %v, want %v", tc.name, got, tc.want)
		}
	}
}
