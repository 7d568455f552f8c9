package badger

// The benchmark of an export and import.

import (
	"bufio"
	"crypto/rand"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"path/filepath"
	"runtime"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/fosite-sessions/sessions/plugin/badger/internal/check"
	"github.com/fosite-sessions/sessions/plugin/transfer/backup"
)

// The cost of checking a store, writing a backup of it to a file, and restoring it. A session has one client
// and two grants. Set SESSIONS_BENCH_LARGE=1 for 1,000,000 sessions.
func BenchmarkWholeStore(b *testing.B) {
	sizes := []int{10_000}
	if large() {
		sizes = append(sizes, 1_000_000)
	}
	for _, n := range sizes {
		b.Run(fmt.Sprintf("sessions=%d", n), func(b *testing.B) {
			settings := Settings{Path: filepath.Join(b.TempDir(), "store")}
			fill(b, settings, n)
			file := filepath.Join(b.TempDir(), "backup")
			b.Run("op=check", func(b *testing.B) { benchCheck(b, settings, n) })
			b.Run("op=export", func(b *testing.B) { benchExport(b, settings, file, n) })
			b.Run("op=import", func(b *testing.B) { benchImport(b, settings, file, n) })
		})
	}
}

// fill signs n users in and closes the store.
func fill(b *testing.B, settings Settings, n int) {
	b.Helper()
	noSync := false
	settings.Sync = &noSync
	e, err := Open(b.Context(), settings, slog.New(slog.DiscardHandler))
	if err != nil {
		b.Fatal(err)
	}
	var next atomic.Int64
	var group sync.WaitGroup
	for range 256 {
		group.Go(func() {
			for i := int(next.Add(1)) - 1; i < n; i = int(next.Add(1)) - 1 {
				err := e.Tickets().Create(b.Context(), benchSession(i))
				if err == nil {
					_, err = e.Grants().Apply(b.Context(), benchBatch(i), base)
				}
				if err != nil {
					b.Error(err)
					return
				}
			}
		})
	}
	group.Wait()
	if err := e.Close(); err != nil || b.Failed() {
		b.Fatal(err)
	}
}

func benchCheck(b *testing.B, settings Settings, n int) {
	most := heapWatch(b)
	for b.Loop() {
		e := readOnly(b, settings)
		report, err := e.Check(b.Context(), check.Config{Files: true, Ages: true})
		if err := errors.Join(err, e.Close()); err != nil || len(report.Findings) > 0 {
			b.Fatal(report.Findings, err)
		}
	}
	b.ReportMetric(float64(n)*float64(b.N)/b.Elapsed().Seconds(), "sessions/s")
	b.ReportMetric(most(), "heap-MiB")
}

// heapWatch samples the heap ten times a second and returns the maximum in MiB.
func heapWatch(b *testing.B) (most func() float64) {
	b.Helper()
	var peak uint64
	end, ended := make(chan struct{}), make(chan struct{})
	go func() {
		defer close(ended)
		for {
			var m runtime.MemStats
			runtime.ReadMemStats(&m)
			peak = max(peak, m.HeapInuse)
			select {
			case <-time.After(100 * time.Millisecond):
			case <-end:
				return
			}
		}
	}()
	return func() float64 {
		close(end)
		<-ended
		return float64(peak) / (1 << 20)
	}
}

func readOnly(b *testing.B, settings Settings) *Engine {
	b.Helper()
	e, err := OpenReadOnly(b.Context(), settings, slog.New(slog.DiscardHandler))
	if err != nil {
		b.Fatal(err)
	}
	return e
}

func benchExport(b *testing.B, settings Settings, path string, n int) {
	var size int64
	for b.Loop() {
		size = writeBackup(b, settings, path)
	}
	b.ReportMetric(float64(n)*float64(b.N)/b.Elapsed().Seconds(), "sessions/s")
	b.ReportMetric(float64(size)/1024/float64(n)*1000, "KiB/1000-sessions")
}

// writeBackup writes a backup, durably, and returns its size.
func writeBackup(b *testing.B, settings Settings, path string) (size int64) {
	b.Helper()
	e := readOnly(b, settings)
	file, err := os.Create(path)
	if err != nil {
		b.Fatal(err)
	}
	w := bufio.NewWriterSize(file, 1<<20)
	_, err = backup.Write(b.Context(), w, backup.Source{Store: e.Transfer(), Description: About()}, base, nil)
	if err := errors.Join(err, w.Flush(), file.Sync()); err != nil {
		b.Fatal(err)
	}
	if size, err = file.Seek(0, io.SeekEnd); err != nil {
		b.Fatal(err)
	}
	if err := errors.Join(file.Close(), e.Close()); err != nil {
		b.Fatal(err)
	}
	return size
}

// benchImport restores a backup with durable writes.
func benchImport(b *testing.B, settings Settings, path string, n int) {
	writeBackup(b, settings, path)
	for b.Loop() {
		e, err := Open(b.Context(), Settings{Path: filepath.Join(b.TempDir(), "store")},
			slog.New(slog.DiscardHandler))
		if err != nil {
			b.Fatal(err)
		}
		file, err := os.Open(path)
		if err != nil {
			b.Fatal(err)
		}
		r, err := backup.NewReader(bufio.NewReaderSize(file, 1<<20))
		if err == nil {
			err = backup.Restore(b.Context(), e.Transfer(), r, rand.Text(), nil)
		}
		folder := e.db.Badger().Opts().Dir
		if err := errors.Join(err, file.Close(), e.Close(), os.RemoveAll(folder)); err != nil {
			b.Fatal(err)
		}
	}
	b.ReportMetric(float64(n)*float64(b.N)/b.Elapsed().Seconds(), "sessions/s")
}
