package main

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"testing/synctest"
	"time"
)

func TestFilledIn(t *testing.T) {
	const mine = "arn:aws:acm:ap-northeast-2:000000000000:certificate/mine"
	lesson, err := os.ReadFile(filepath.Join("..", "..", pages, "service-https.yaml"))
	if err != nil {
		t.Fatal(err)
	}
	got, err := filledIn(lesson, certificateARN, mine)
	if err != nil {
		t.Fatal(err)
	}
	if text := string(got); !strings.Contains(text, "ssl-cert: "+mine+" #") || strings.Count(text, "arn:") != 1 {
		t.Errorf("%s", text)
	}
	for _, manifest := range []string{"kind: Service\n", "a: arn:aws:acm:x\nb: arn:aws:acm:y\n"} {
		if got, err := filledIn([]byte(manifest), certificateARN, mine); err == nil {
			t.Errorf("%q became %q, want an error", manifest, got)
		}
	}
}

func TestAwait(t *testing.T) {
	broken := errors.New("broken")
	for _, tt := range []struct {
		name  string
		done  func(call int) (bool, error)
		want  error
		after time.Duration
	}{
		{"at once", func(int) (bool, error) { return true, nil }, nil, 0},
		{"at the third look", func(call int) (bool, error) { return call == 3, nil }, nil, 2 * often},
		{"an error", func(call int) (bool, error) { return false, broken }, broken, 0},
		{"never", func(int) (bool, error) { return false, nil }, context.DeadlineExceeded, patience},
	} {
		t.Run(tt.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				began, calls := time.Now(), 0
				err := await(t.Context(), "it", func(context.Context) (bool, error) {
					calls++
					return tt.done(calls)
				})
				if took := time.Since(began); !errors.Is(err, tt.want) || took != tt.after {
					t.Errorf("%v after %s, want %v after %s", err, took, tt.want, tt.after)
				}
			})
		})
	}
}
