package store

import (
	"errors"
	"testing"
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
