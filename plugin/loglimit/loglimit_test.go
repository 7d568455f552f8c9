package loglimit_test

import (
	"testing"
	"time"

	"github.com/fosite-sessions/sessions/plugin/loglimit"
)

func TestLines(t *testing.T) {
	t.Parallel()
	var s loglimit.Lines
	now := time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)
	for i := range 1000 {
		if suppressed, ok := s.Allow(now.Add(time.Duration(i) * time.Millisecond)); ok != (i == 0) ||
			suppressed != 0 {
			t.Fatalf("line %d: %v, %d suppressed", i, ok, suppressed)
		}
	}
	if suppressed, ok := s.Allow(now.Add(time.Second)); !ok || suppressed != 999 {
		t.Errorf("after a second: %v, %d suppressed; want a line with 999", ok, suppressed)
	}
	if _, ok := s.Allow(now.Add(-time.Hour)); !ok {
		t.Error("a clock that was set back suppresses lines")
	}
}
