//go:build unix

package plugin_test

import (
	"testing"
)

// One unary call through a real process: the cost of the process boundary.
func BenchmarkGet(b *testing.B) {
	bench := newFixture(b)
	client := bench.open(settings{})
	want := session("s")
	if err := client.Tickets().Create(b.Context(), want); err != nil {
		b.Fatal(err)
	}
	get := func() {
		if _, err := client.Tickets().Get(b.Context(), want.Key); err != nil {
			b.Error(err)
		}
	}
	b.Run("1", func(b *testing.B) {
		b.ReportAllocs()
		for b.Loop() {
			get()
		}
	})
	b.Run("64", func(b *testing.B) {
		b.ReportAllocs()
		b.SetParallelism(32)
		b.RunParallel(func(pb *testing.PB) {
			for pb.Next() {
				get()
			}
		})
	})
}
