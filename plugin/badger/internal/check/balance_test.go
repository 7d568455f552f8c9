package check

import (
	"fmt"
	"slices"
	"testing"
)

// The differences between expected and actual entries are reported, and nothing else.
func TestBalance(t *testing.T) {
	t.Parallel()
	const entries = 1000
	for name, c := range map[string]struct {
		change func(walk *balance)
		want   []string
	}{
		"nothing":        {func(*balance) {}, nil},
		"one is missing": {func(b *balance) { b.wants([]byte("x"), nil) }, []string{"x is missing"}},
		"one is an orphan": {
			func(b *balance) { b.has([]byte("x"), nil) }, []string{"x belongs to no record"},
		},
		"another value": {func(b *balance) {
			b.wants([]byte("x"), []byte("a"))
			b.has([]byte("x"), []byte("b"))
		}, []string{"x does not hold what its record says"}},
		"one instead of another": {func(b *balance) {
			b.wants([]byte("x"), nil)
			b.has([]byte("y"), nil)
		}, []string{"x is missing", "y belongs to no record"}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			b := newBalance()
			walk := func() {
				for i := range entries {
					b.wants(fmt.Append(nil, i), []byte("v"))
				}
				for i := range entries {
					b.has(fmt.Append(nil, entries-1-i), []byte("v"))
				}
				c.change(b)
			}
			walk()
			if even := b.even(); even != (len(c.want) == 0) {
				t.Fatalf("equal sums: %t, with %q", even, c.want)
			}
			b.suspect()
			walk()
			var got []string
			b.each(func(k []byte, problem string) { got = append(got, string(k)+" "+problem) })
			if !slices.Equal(got, c.want) {
				t.Errorf("found %q, want %q", got, c.want)
			}
		})
	}
}
