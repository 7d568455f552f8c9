package main

import (
	"os"
	"strings"
	"testing"
)

func TestSessionsFileIsShort(t *testing.T) {
	t.Parallel()
	content, err := os.ReadFile("sessions.go")
	if err != nil {
		t.Fatal(err)
	}
	if lines := strings.Count(string(content), "\n"); lines >= 100 {
		t.Errorf("sessions.go has %d lines, want fewer than 100: it is what readers copy", lines)
	}
}
