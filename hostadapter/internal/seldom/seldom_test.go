package seldom_test

import (
	"testing"
	"time"

	"github.com/fosite-sessions/sessions/hostadapter/internal/seldom"
)

func TestLines(t *testing.T) {
	t.Parallel()
	var s seldom.Lines
	now := time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)
	for i := range 1000 {
		if missed, log := s.Line(now.Add(time.Duration(i) * time.Millisecond)); log != (i == 0) || missed != 0 {
			t.Fatalf("line %d: %v, %d left out", i, log, missed)
		}
	}
	if missed, log := s.Line(now.Add(time.Second)); !log || missed != 999 {
		t.Errorf("after a second: %v, %d left out; want a line that says 999", log, missed)
	}
	if _, log := s.Line(now.Add(-time.Hour)); !log {
		t.Error("a clock that was set back keeps the log quiet")
	}
}
