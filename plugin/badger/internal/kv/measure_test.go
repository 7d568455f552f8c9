package kv

// Spans of calls that are traced.

import (
	"context"
	"runtime"
	"slices"
	"testing"
	"time"

	"github.com/fosite-sessions/sessions/plugin/plugintest/testenv"
	"github.com/fosite-sessions/sessions/plugin/spans"
)

// A slow read and every write get spans, a short read does not.
func TestSpansOfReadsAndWrites(t *testing.T) {
	t.Parallel()
	d := openDB(t)
	traced := func(run func(ctx context.Context) error) (names []string) {
		t.Helper()
		kept := &spans.Recorder{}
		if err := run(spans.NewContext(t.Context(), kept)); err != nil {
			t.Error(err)
		}
		for _, s := range kept.Spans() {
			names = append(names, s.Name)
		}
		return names
	}
	// Repeated because a short read is slow on a busy machine.
	testenv.Eventually(t, "a short read has no span", func() bool {
		return len(traced(func(ctx context.Context) error {
			return d.View(ctx, func(*Snapshot) error { return nil })
		})) == 0
	})
	slow := traced(func(ctx context.Context) error {
		return d.View(ctx, func(*Snapshot) error {
			for began := time.Now(); time.Since(began) < spans.Slow; {
				runtime.Gosched()
			}
			return nil
		})
	})
	if want := []string{"read"}; !slices.Equal(slow, want) {
		t.Errorf("a slow read has spans %q, want %q", slow, want)
	}
	write := traced(func(ctx context.Context) error {
		return commit(ctx, d, func(tx *Tx) error { tx.Put(testKey([]byte("k")), []byte("v")); return nil })
	})
	if want := []string{"commit wait", "commit apply", "commit sync"}; !slices.Equal(write, want) {
		t.Errorf("a write has spans %q, want %q", write, want)
	}
}
