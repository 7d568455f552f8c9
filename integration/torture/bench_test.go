//go:build linux

package torture

// The benchmark of a plugin that is killed once a second.

import (
	"context"
	"path/filepath"
	"sync"
	"syscall"
	"testing"
	"time"
)

// BenchmarkPluginKilledOnceASecond reports failed requests and the longest request while the plugin's process
// is killed once a second. One iteration is one kill.
func BenchmarkPluginKilledOnceASecond(b *testing.B) {
	w := newWorld(tortureTerms)
	w.parties.behave.Store(true)
	v := newVictim(b, w.history, w.config(filepath.Join(b.TempDir(), "db")))
	w.populate("user", 16, v.base)
	if err := v.start(); err != nil {
		b.Fatalf("%v\n%s", err, v.log.last(4<<10))
	}
	ctx, stop := context.WithCancel(b.Context())
	var working sync.WaitGroup
	working.Go(func() { w.each(func(u *user) { u.run(ctx) }) })
	b.ResetTimer()
	ticker := time.NewTicker(time.Second)
	for range b.N {
		<-ticker.C
		_, pid := v.awaitPlugin()
		kill(pid, syscall.SIGKILL)
	}
	b.StopTimer()
	ticker.Stop()
	v.awaitPlugin()
	stop()
	working.Wait()
	v.end()
	w.close()
	requests, failed, longest := 0, 0, time.Duration(0)
	for _, e := range w.history.all() {
		if e.Kind == told || e.Kind == unheard {
			continue
		}
		requests++
		if e.Outcome == unknown || e.Outcome == wrong {
			failed++
		}
		longest = max(longest, e.End.Sub(e.Start))
	}
	b.ReportMetric(float64(requests)/b.Elapsed().Seconds(), "requests/s")
	b.ReportMetric(float64(failed), "failed")
	b.ReportMetric(longest.Seconds()*1e3, "longest-ms")
}
