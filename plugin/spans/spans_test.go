package spans_test

// The kept spans of a call.

import (
	"slices"
	"testing"
	"time"

	"github.com/fosite-sessions/sessions/plugin/spans"
)

// Slow reads and all writes get a span.
func TestShortReadsHaveNoSpans(t *testing.T) {
	t.Parallel()
	r, began := &spans.Recorder{}, time.Now()
	lasting := func(name string, took time.Duration) spans.Span {
		return spans.Span{Name: name, Start: began, End: began.Add(took)}
	}
	r.AddRead(lasting("short", spans.Slow-1))
	r.AddRead(lasting("slow", spans.Slow))
	r.Add(lasting("write", 0))
	var names []string
	for _, s := range r.Spans() {
		names = append(names, s.Name)
	}
	if want := []string{"slow", "write"}; !slices.Equal(names, want) {
		t.Errorf("got %q, want %q", names, want)
	}
	for range 2 * spans.Max {
		r.Add(lasting("write", 0))
	}
	if got := len(r.Spans()); got != spans.Max {
		t.Errorf("%d spans are kept, want %d", got, spans.Max)
	}
	var none *spans.Recorder
	none.AddRead(lasting("slow", time.Second))
	if got := none.Spans(); len(got) != 0 {
		t.Errorf("no recorder keeps %v", got)
	}
}
