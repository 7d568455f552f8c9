//go:build linux

package torture

// A long run that looks for growth of memory, files and disk.

import (
	"bytes"
	"context"
	"fmt"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/fosite-sessions/sessions/plugin/badger"
)

// soakEnv sets the number of operations of the soak; a few hundred if unset.
const soakEnv = "SOAK_OPERATIONS"

const soakLooks = 40 // samples

// taken is a process's resource usage at a time. anonKiB is its anonymous memory; the rest of rssKiB is pages
// of mapped files, tables and logs of the plugin, which the kernel can reclaim.
type taken struct{ rssKiB, anonKiB, goroutines, files int }

type soakSample struct {
	operations   int
	host, plugin taken
	diskKiB      int
}

// No resource usage of host and plugin processes grows steadily while users, clients and operators work for
// long and sessions end by removals, sign-outs and expiry. The disk is an exception: the record of an ended
// session is kept for a day and its notifications for longer, so the disk may grow by a bounded amount per
// operation. The soak of the engine, whose clock can be moved, shows that all of it is purged.
func TestSoak(t *testing.T) {
	operations := number(t, soakEnv, 600)
	w := newWorld(tortureTerms)
	w.parties.behave.Store(true)
	w.history.brief = true
	data := filepath.Join(t.TempDir(), "db")
	t.Setenv(countEnv, "1")
	v := newVictim(t, w.history, w.config(data))
	w.populate("user", 16, v.base)
	if err := v.start(); err != nil {
		t.Fatalf("%v\n%s", err, v.log.last(4<<10))
	}
	ctx, stop := context.WithCancel(t.Context())
	var working sync.WaitGroup
	working.Go(func() { w.each(func(u *user) { u.run(ctx) }) })
	var samples []soakSample
	begun := time.Now()
	for i := 1; i <= soakLooks && !t.Failed(); i++ {
		w.reach(t, operations*i/soakLooks)
		samples = append(samples, v.look(t, data, w.history.good()))
	}
	took := time.Since(begun)
	stop()
	working.Wait()
	v.end()
	w.close()
	weigh(t, data)
	t.Logf("%d operations in %s\n%s", w.history.good(), took.Round(time.Second), soakGraph(samples))
	for _, e := range w.history.all() {
		t.Errorf("%s was answered %s: %s", e.Kind, e.Outcome, e.Problem)
	}
	if trouble := v.log.trouble(); trouble != "" {
		t.Errorf("the processes' log has:\n%s", trouble)
	}
	if !t.Failed() {
		soakFlat(t, samples)
	}
}

// weigh logs the bytes that the store keeps per live session, including the retained records of ended
// sessions.
func weigh(t *testing.T, data string) {
	t.Helper()
	e, err := badger.OpenReadOnly(t.Context(), badger.Settings{Path: data}, slog.New(slog.DiscardHandler))
	if err != nil {
		t.Errorf("opening the store: %v", err)
		return
	}
	defer func() { _ = e.Close() }()
	stats, err := e.Stats(t.Context())
	if err != nil {
		t.Errorf("stats: %v", err)
		return
	}
	var rows int64
	for _, n := range stats.RowBytes {
		rows += n
	}
	live := max(stats.Records["sessions"], 1)
	t.Logf("%v: %d bytes of rows and %d bytes of tables per session", stats.Records, rows/live,
		stats.Bytes.Tables/live)
}

// reach waits until that many calls succeeded, as long as there is progress.
func (w *world) reach(t *testing.T, operations int) {
	t.Helper()
	last, deadline := w.history.good(), time.Now().Add(patience)
	for last < operations {
		time.Sleep(5 * time.Millisecond)
		if now := w.history.good(); now > last {
			last, deadline = now, time.Now().Add(patience)
		}
		if time.Now().After(deadline) {
			t.Errorf("no progress within %s", patience)
			return
		}
	}
}

// look takes a sample.
func (v *victim) look(t *testing.T, data string, operations int) soakSample {
	t.Helper()
	said, pid := v.awaitPlugin()
	s := soakSample{operations: operations, host: takenBy(v.process.Process.Pid), plugin: takenBy(pid)}
	s.host.goroutines = said.Goroutines
	// The file is written some time after the start, and may be incomplete while it is written.
	for deadline := time.Now().Add(patience); s.plugin.goroutines == 0 &&
		time.Now().Before(deadline); time.Sleep(5 * time.Millisecond) {
		text, _ := os.ReadFile(data + goroutinesFile)
		s.plugin.goroutines, _ = strconv.Atoi(string(text))
	}
	_ = filepath.WalkDir(data, func(_ string, entry fs.DirEntry, err error) error {
		// Logs are made large and stay sparse.
		if err == nil && strings.HasSuffix(entry.Name(), ".sst") {
			if info, err := entry.Info(); err == nil {
				s.diskKiB += int(info.Size() >> 10)
			}
		}
		return nil
	})
	if s.host.anonKiB == 0 || s.plugin.anonKiB == 0 || s.host.files == 0 || s.plugin.files == 0 ||
		s.host.goroutines == 0 || s.plugin.goroutines == 0 {
		t.Errorf("a sample is not complete: %+v", s)
	}
	return s
}

func takenBy(pid int) (is taken) {
	files, _ := os.ReadDir(fmt.Sprintf("/proc/%d/fd", pid))
	is.files = len(files)
	status, _ := os.ReadFile(fmt.Sprintf("/proc/%d/status", pid))
	for name, kib := range map[string]*int{"VmRSS:": &is.rssKiB, "RssAnon:": &is.anonKiB} {
		if _, rest, found := bytes.Cut(status, []byte(name)); found {
			*kib, _ = strconv.Atoi(string(bytes.Fields(rest)[0]))
		}
	}
	return is
}

// soakGraph prints the samples, one per line, with a bar for the anonymous memory of both processes.
func soakGraph(samples []soakSample) string {
	var text strings.Builder
	most := 1
	for _, s := range samples {
		most = max(most, s.host.anonKiB+s.plugin.anonKiB)
	}
	text.WriteString("operations,host_rss_kib,host_own_kib,host_goroutines,host_files," +
		"plugin_rss_kib,plugin_own_kib,plugin_goroutines,plugin_files,tables_kib\n")
	for _, s := range samples {
		fmt.Fprintf(&text, "%d,%d,%d,%d,%d,%d,%d,%d,%d,%d %s\n",
			s.operations, s.host.rssKiB, s.host.anonKiB, s.host.goroutines, s.host.files,
			s.plugin.rssKiB, s.plugin.anonKiB, s.plugin.goroutines, s.plugin.files, s.diskKiB,
			strings.Repeat("#", 40*(s.host.anonKiB+s.plugin.anonKiB)/most))
	}
	return text.String()
}

// keptPerOperation bounds the growth of the tables per operation: a third of the operations create or end a
// session or issue tokens.
const keptPerOperation = 2 // KiB

// soakFlat compares the last quarter of the run with the second: the first is the warm-up.
func soakFlat(t *testing.T, samples []soakSample) {
	t.Helper()
	mean := func(part []soakSample, of func(soakSample) int) (sum int) {
		for _, s := range part {
			sum += of(s)
		}
		return sum / len(part)
	}
	early, late := samples[len(samples)/4:len(samples)/2], samples[len(samples)*3/4:]
	for _, measure := range []struct {
		name   string
		of     func(soakSample) int
		growth float64 // allowed factor
		slack  int     // added to it
	}{
		{"memory of the host in KiB", func(s soakSample) int { return s.host.anonKiB }, 1.2, 48 << 10},
		// Its cache and the tables that it has in memory fill.
		{"memory of the plugin in KiB", func(s soakSample) int { return s.plugin.anonKiB }, 1.2, 192 << 10},
		{"goroutines of the host", func(s soakSample) int { return s.host.goroutines }, 1.2, 40},
		{"goroutines of the plugin", func(s soakSample) int { return s.plugin.goroutines }, 1.2, 40},
		{"files of the host", func(s soakSample) int { return s.host.files }, 1.2, 40},
		{"files of the plugin", func(s soakSample) int { return s.plugin.files }, 1.2, 40},
	} {
		before, after := mean(early, measure.of), mean(late, measure.of)
		if float64(after) > float64(before)*measure.growth+float64(measure.slack) {
			t.Errorf("%s grew from %d to %d", measure.name, before, after)
		}
	}
	first, last := samples[len(samples)/4], samples[len(samples)-1]
	grown, operations := last.diskKiB-first.diskKiB, last.operations-first.operations
	if grown > keptPerOperation*operations+64<<10 {
		t.Errorf("tables grew by %d KiB within %d operations", grown, operations)
	}
}
