package folder

import (
	"errors"
	"strings"
	"testing"
)

func TestParseMarker(t *testing.T) {
	t.Parallel()
	whole := (&Marker{Format: 2, Store: "ID", State: StateOpen, MemoryTable: 64,
		others: []string{"a b", "c"}}).String()
	m, err := parseMarker(whole)
	if err != nil || m.String() != whole || m.MemoryTable != 64 || len(m.others) != 2 {
		t.Fatalf("parsed %+v, error %v", m, err)
	}
	first := strings.Index(whole, "\n") + 1
	for n := range len(whole) {
		// Older programs wrote only the first line.
		if _, err := parseMarker(whole[:n]); n != first && n != first-1 && !errors.Is(err, errMarkerDamaged) {
			t.Errorf("cut to %q: error %v", whole[:n], err)
		}
	}
	if _, err := parseMarker(string(make([]byte, len(whole)))); !errors.Is(err, errMarkerDamaged) {
		t.Errorf("zeros: error %v", err)
	}
}
