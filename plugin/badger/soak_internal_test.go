package badger

import (
	"fmt"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/fosite-sessions/sessions/grantstore"
	"github.com/fosite-sessions/sessions/logout"
	"github.com/fosite-sessions/sessions/plugin/badger/internal/kv"
	"github.com/fosite-sessions/sessions/plugin/badger/internal/layout"
	"github.com/fosite-sessions/sessions/ticketstore"
)

// soakEnv is the number of operations; a few thousand if unset.
const soakEnv = "SOAK_OPERATIONS"

const (
	perLife     = 8                   // operations of one session, approximately
	soakSpan    = 30 * 24 * time.Hour // simulated time, longer than every retention
	soakSamples = 40                  // samples
)

// sample is the usage of the process and its database at one time.
type sample struct {
	rows, heapKiB, goroutines, files, diskKiB int
}

func (s sample) String() string {
	return fmt.Sprintf("rows %d, heap %d KiB, goroutines %d, files %d, tables %d KiB", s.rows, s.heapKiB,
		s.goroutines, s.files, s.diskKiB)
}

// soak is a run over a month of simulated time.
type soak struct {
	t    *testing.T
	e    *Engine
	path string
	step time.Duration // between two sign-ins
	now  time.Time
}

// Nothing grows in a long run with removals, and everything with a retention is purged when it is due.
func TestSoak(t *testing.T) {
	operations := 4000
	if text := os.Getenv(soakEnv); text != "" {
		var err error
		if operations, err = strconv.Atoi(text); err != nil || operations < 1000 {
			t.Fatalf("%s=%q is not a number from 1000", soakEnv, text)
		}
	}
	lives := operations / perLife
	s := &soak{t: t, path: t.TempDir(), step: soakSpan / time.Duration(lives), now: base}
	s.e = openAt(t, s.path)
	var samples []sample
	for i := range lives {
		s.life(i)
		if i%10 == 9 {
			s.housekeeping()
		}
		if (i+1)%max(1, lives/soakSamples) == 0 {
			samples = append(samples, s.look())
			t.Logf("%d operations, %s", (i+1)*perLife, samples[len(samples)-1])
		}
	}
	t.Logf("%d operations\n%s", lives*perLife, graph(samples))
	flat(t, samples)
	s.measureRows()
	for range 3 { // deliver, sweep, purge
		s.housekeeping()
		s.now = s.now.Add(60 * 24 * time.Hour)
	}
	s.housekeeping()
	s.empty()
}

func (s *soak) must(err error) {
	s.t.Helper()
	if err != nil {
		s.t.Fatal(err)
	}
}

// life is a session with a code, tokens, a refresh and, usually, a requested end.
func (s *soak) life(i int) {
	s.now = s.now.Add(s.step)
	ctx, sid, subject := s.t.Context(), fmt.Sprintf("sid%d", i), fmt.Sprintf("subject%d", i%100)
	s.must(s.e.Tickets().Create(ctx, &ticketstore.Session{
		Key: ticketstore.KeyOf(sid), SessionID: sid, SubjectID: subject, Issuer: "https://op.example",
		Ticket:   make([]byte, 200),
		AuthTime: s.now, Created: s.now, Renewed: s.now, Expires: s.now.Add(10 * s.step),
	}))
	grant := func(t grantstore.Type, name string, lifetime time.Duration) grantstore.Grant {
		return grantstore.Grant{
			Ref: grantstore.Ref{Type: t, Key: ticketstore.KeyOf(sid + name)}, RequestID: sid,
			SubjectID: subject, SessionID: sid, ClientID: "app",
			Created: s.now, Expires: s.now.Add(lifetime), Offline: i%4 == 0, Data: make([]byte, 800),
		}
	}
	code, first := grant(grantstore.AuthorizationCode, "code", 10*time.Minute), grant(grantstore.RefreshToken,
		"first", 24*time.Hour)
	for n, batch := range []*grantstore.Batch{
		{Use: &grantstore.Use{SessionID: sid, ClientID: "app", Notify: true},
			Store: []grantstore.Grant{code}},
		{Consume: &grantstore.Consumption{Ref: code.Ref},
			Store: []grantstore.Grant{grant(grantstore.ReferenceToken, "a", time.Hour), first}},
		{Consume: &grantstore.Consumption{Ref: first.Ref}, Store: []grantstore.Grant{
			grant(grantstore.ReferenceToken, "b", time.Hour),
			grant(grantstore.RefreshToken, "second", 24*time.Hour),
		}},
	} {
		batch.OperationID = fmt.Sprintf("%s-%d", sid, n)
		_, err := s.e.Grants().Apply(ctx, batch, s.now)
		s.must(err)
	}
	_, err := s.e.Tickets().Query(ctx,
		ticketstore.SessionQuery{Filter: ticketstore.SessionFilter{SubjectID: subject}})
	s.must(err)
	ending := &logout.Ending{OperationID: sid + "-end", Reason: logout.Terminated}
	switch i % 4 {
	case 0:
		ending.SessionID, ending.Reason, ending.KeepOffline = sid, logout.UserLogout, true
	case 1:
		ending.SessionID = sid
	case 2:
		ending.SubjectID = subject
	default:
		return // it expires
	}
	_, err = s.e.Logout().End(ctx, ending, s.now)
	s.must(err)
}

// housekeeping does the periodic work of a host.
func (s *soak) housekeeping() {
	ctx := s.t.Context()
	for {
		swept, err := s.e.Logout().EndDue(ctx, logout.Sweep{Limit: 200, KeepOffline: true}, s.now)
		s.must(err)
		if swept.Ended < 200 && !swept.PurgeLeft {
			break
		}
	}
	for {
		claimed, err := s.e.Logout().Claim(ctx, logout.Claim{Limit: 64, PerClient: 64, Lease: time.Minute},
			s.now)
		s.must(err)
		for _, work := range claimed.Deliveries {
			s.must(s.e.Logout().Settle(ctx, work.ID, work.Claim, logout.Outcome{State: logout.Delivered},
				s.now))
		}
		if len(claimed.Deliveries) == 0 {
			break
		}
	}
	for {
		purged, err := s.e.Grants().Purge(ctx, 200, s.now)
		s.must(err)
		if purged < 200 {
			break
		}
	}
}

func (s *soak) look() sample {
	runtime.GC()
	var memory runtime.MemStats
	runtime.ReadMemStats(&memory)
	files, _ := os.ReadDir("/proc/self/fd") // none elsewhere
	look := sample{heapKiB: int(memory.HeapInuse >> 10), goroutines: runtime.NumGoroutine(),
		files: len(files)}
	_ = filepath.WalkDir(s.path, func(_ string, entry fs.DirEntry, err error) error {
		// Logs are made large and stay sparse.
		if err == nil && strings.HasSuffix(entry.Name(), ".sst") {
			if info, err := entry.Info(); err == nil {
				look.diskKiB += int(info.Size() >> 10)
			}
		}
		return nil
	})
	s.must(s.e.db.View(s.t.Context(), func(r *kv.Snapshot) error {
		return r.Scan(nil, nil, false, func([]byte, func() ([]byte, error)) (bool, error) {
			look.rows++
			return true, nil
		})
	}))
	return look
}

// measureRows measures what is stored per live session at the end of the month, after the host's
// housekeeping.
func (s *soak) measureRows() {
	s.housekeeping()
	tables := compacted(s.t, s.e, s.path)
	s.e = openAt(s.t, s.path)
	stats, err := s.e.Stats(s.t.Context())
	s.must(err)
	live := stats.Records["sessions"]
	if live == 0 {
		s.t.Error("no session lives at the end of the run")
		return
	}
	var rows int64
	var text strings.Builder
	for _, table := range slices.Sorted(maps.Keys(stats.RowBytes)) {
		rows += stats.RowBytes[table]
		fmt.Fprintf(&text, "\n%-26s %d", table, stats.RowBytes[table])
	}
	s.t.Logf("%d live sessions and %v: %d bytes of rows and %d bytes of tables on the disk for each%s",
		live, stats.Records, rows/live, tables/live, &text)
}

// empty checks that only metadata of the engine is left.
func (s *soak) empty() {
	left := map[string]int{}
	s.must(s.e.db.View(s.t.Context(), func(r *kv.Snapshot) error {
		return r.Scan(nil, nil, false, func(k []byte, _ func() ([]byte, error)) (bool, error) {
			left[string(k[:1])]++
			return true, nil
		})
	}))
	for _, table := range [][]byte{layout.TableSession, layout.TableEnded, layout.TableGrant,
		layout.TableFamily, layout.TableOperation, layout.TableNotification, layout.TableJob,
		layout.TablePurge} {
		if n := left[string(table[:1])]; n > 0 {
			s.t.Errorf("table %q still has %d rows", table, n)
		}
	}
	s.t.Logf("rows left by first letter: %v", left)
}

// graph prints the samples, one per line.
func graph(samples []sample) string {
	var text strings.Builder
	most := 1
	for _, s := range samples {
		most = max(most, s.rows)
	}
	text.WriteString("rows,heap_kib,goroutines,files,tables_kib\n")
	for _, s := range samples {
		fmt.Fprintf(&text, "%d,%d,%d,%d,%d %s\n", s.rows, s.heapKiB, s.goroutines, s.files, s.diskKiB,
			strings.Repeat("#", 40*s.rows/most))
	}
	return text.String()
}

// flat compares the last two quarters of the run: in earlier ones records with a retention of a week are not
// due.
func flat(t *testing.T, samples []sample) {
	t.Helper()
	for _, measure := range []struct {
		name   string
		of     func(sample) int
		growth float64 // tolerated, and
		slack  int     // plus this much
	}{
		{"rows", func(s sample) int { return s.rows }, 1.2, 200},
		{"heap in KiB", func(s sample) int { return s.heapKiB }, 1.3, 64 << 10},
		{"goroutines", func(s sample) int { return s.goroutines }, 1, 10},
		{"files", func(s sample) int { return s.files }, 1.2, 20},
		{"tables in KiB", func(s sample) int { return s.diskKiB }, 1.5, 64 << 10},
	} {
		mean := func(part []sample) (sum int) {
			for _, s := range part {
				sum += measure.of(s)
			}
			return sum / len(part)
		}
		third, last := mean(samples[len(samples)/2:len(samples)*3/4]), mean(samples[len(samples)*3/4:])
		if float64(last) > float64(third)*measure.growth+float64(measure.slack) {
			t.Errorf("%s grew from %d to %d", measure.name, third, last)
		}
	}
}
