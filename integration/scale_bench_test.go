package integration

// The benchmark of store sizes.

import (
	"context"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"os"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/fosite-sessions/sessions/hostadapter"
	"github.com/fosite-sessions/sessions/hostadapter/admin"
	"github.com/fosite-sessions/sessions/logout"
	"github.com/fosite-sessions/sessions/plugin"
	"github.com/fosite-sessions/sessions/plugin/plugintest/testenv"
	"github.com/fosite-sessions/sessions/ticketstore"
)

// BenchmarkScale measures queries, removals and a start of the plugin as the number of sessions grows, over
// the process boundary and with durable writes; with 1,000,000 sessions only if SESSIONS_BENCH_LARGE is set
// (make bench-large).
func BenchmarkScale(b *testing.B) {
	sizes := []int{10_000}
	if large() {
		sizes = append(sizes, 1_000_000)
	}
	for _, n := range sizes {
		b.Run(fmt.Sprintf("sessions=%d", n), func(b *testing.B) {
			onEngines(b, func(b *testing.B, empty func() plugin.Config) {
				s := newScale(b, n, empty())
				s.pages(b)
				b.Run("op=admin-page", s.adminPage)
				b.Run("op=remove-subject", s.removals)
				b.Run("op=open/end=close", func(b *testing.B) { s.opens(b, s.close) })
				b.Run("op=open/end=kill", func(b *testing.B) { s.opens(b, s.kill) })
			})
		})
	}
}

// scale is a plugin with n sessions, all used by one client. Each has its own subject, except for many
// sessions of one subject.
type scale struct {
	n       int
	config  plugin.Config
	backend *plugin.Client
	start   time.Time
	removed int
	added   int // without a client
}

const (
	// manySessions is the number of sessions of scaleSubject.
	manySessions = 1000
	scaleSubject = "many"
	scaleClient  = "client-0"
)

func newScale(b *testing.B, n int, config plugin.Config) *scale {
	b.Helper()
	s := &scale{n: n, start: time.Now().UTC(), config: config}
	fill(b, config, &filling{sessions: n, clients: 1, session: s.session})
	s.open(b)
	b.Cleanup(func() { s.close(b) })
	return s
}

func (s *scale) subject(i int) string {
	if i%(s.n/manySessions) == 0 {
		return scaleSubject
	}
	return fmt.Sprintf("subject-%d", i)
}

func (s *scale) session(i int) *ticketstore.Session {
	created := s.start.Add(time.Duration(i) * time.Millisecond)
	return benchSession(i, s.subject(i), created, s.start.AddDate(0, 0, 30))
}

// pages reads the first and the last page of 25 rows, without filter, by subject and by client, with totals.
func (s *scale) pages(b *testing.B) {
	for _, filter := range []struct {
		name string
		ticketstore.SessionFilter
		total int
	}{
		{"none", ticketstore.SessionFilter{}, s.n},
		{"subject", ticketstore.SessionFilter{SubjectID: scaleSubject}, manySessions},
		{"client", ticketstore.SessionFilter{ClientID: scaleClient}, s.n},
	} {
		b.Run("op=query/filter="+filter.name+"/page=first", func(b *testing.B) {
			for b.Loop() {
				page := s.query(b, ticketstore.SessionQuery{Filter: filter.SessionFilter})
				if page.TotalCount != filter.total {
					b.Fatalf("%d sessions in all, want %d", page.TotalCount, filter.total)
				}
			}
		})
		b.Run("op=query/filter="+filter.name+"/page=last", func(b *testing.B) {
			token := s.beforeLast(b, filter.SessionFilter)
			for b.Loop() {
				if page := s.query(b, ticketstore.SessionQuery{ResultsToken: token}); page.HasNext {
					b.Fatal("the last page has a next page")
				}
			}
		})
	}
}

func (s *scale) query(b *testing.B, query ticketstore.SessionQuery) *ticketstore.Page {
	b.Helper()
	page, err := s.backend.Tickets().Query(b.Context(), query)
	if err != nil {
		b.Fatal(err)
	}
	if len(page.Sessions) == 0 {
		b.Fatal("the page is empty")
	}
	return page
}

// beforeLast walks a listing and returns the token of its last 25 rows.
func (s *scale) beforeLast(b *testing.B, filter ticketstore.SessionFilter) string {
	b.Helper()
	page := s.query(b, ticketstore.SessionQuery{Filter: filter, Count: 25})
	total, seen := page.TotalCount, len(page.Sessions)
	for total-seen > 25 {
		page = s.query(b,
			ticketstore.SessionQuery{
				ResultsToken: page.ResultsToken, Count: min(total-seen-25, ticketstore.MaxCount),
			})
		seen += len(page.Sessions)
	}
	return page.ResultsToken
}

// adminPage renders the admin page's first view over HTTP.
func (s *scale) adminPage(b *testing.B) {
	server := adminServer(b, s.backend)
	for b.Loop() {
		response, err := http.Get(server + "/ui/")
		if err != nil {
			b.Fatal(err)
		}
		page, err := io.ReadAll(response.Body)
		_ = response.Body.Close()
		if err != nil || response.StatusCode != http.StatusOK ||
			!strings.Contains(string(page), "Ann Example") {
			b.Fatalf("the admin page answered %d, %v, want 200 with sessions", response.StatusCode, err)
		}
	}
}

// adminServer serves the admin routes over a backend and returns their address.
func adminServer(b *testing.B, backend *plugin.Client) (address string) {
	b.Helper()
	adapter, err := hostadapter.New(b.Context(), hostadapter.Config{
		Backend: backend, Issuer: "http://localhost:9000", Keys: benchKeys,
		Clients: logout.ClientMap{},
		Signer: hostadapter.NewSigner(func(context.Context) (hostadapter.SigningKey, error) {
			return hostadapter.SigningKey{Key: benchKey()}, nil
		}),
		Logger: slog.New(slog.DiscardHandler), Expiry: hostadapter.ExpiryConfig{Off: true},
	})
	if err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() { _ = adapter.Close() })
	authorize := func(*http.Request, admin.Permission) (admin.Actor, error) {
		return admin.Actor{ID: "bench"}, nil
	}
	server := httptest.NewServer(admin.Handler(admin.Config{
		Operations: adapter.Operations(), Authorize: authorize,
	}))
	b.Cleanup(server.Close)
	return server.URL
}

// removals ends the single session of one subject after the other. The first removal of a process is not
// counted: it opens connections, and takes up to ten times as long at any size.
func (s *scale) removals(b *testing.B) {
	s.remove(b)
	for b.Loop() {
		s.remove(b)
	}
	b.ReportMetric(memory(b, s.backend.PID()), "MiB")
}

func (s *scale) remove(b *testing.B) {
	b.Helper()
	s.removed++
	if s.removed%(s.n/manySessions) == 0 {
		s.removed++
	}
	result, err := s.backend.Logout().End(b.Context(), &logout.Ending{
		OperationID: fmt.Sprintf("end-%d", s.removed), SubjectID: s.subject(s.removed),
		Reason: logout.Terminated,
	}, time.Now().UTC())
	if err != nil || result.SessionsRemoved != 1 {
		b.Fatalf("removal of session %d: %+v, error %v, want one session removed", s.removed, result, err)
	}
}

// opens measures the start of the plugin on an existing store, up to the first answer.
func (s *scale) opens(b *testing.B, end func(b *testing.B)) {
	for b.Loop() {
		b.StopTimer()
		end(b)
		b.StartTimer()
		s.open(b)
		s.query(b, ticketstore.SessionQuery{})
	}
	b.ReportMetric(memory(b, s.backend.PID()), "MiB")
}

func (s *scale) open(b *testing.B) {
	b.Helper()
	backend, err := plugin.Open(b.Context(), s.config)
	if err != nil {
		b.Fatal(err)
	}
	s.backend = backend
}

func (s *scale) close(b *testing.B) {
	b.Helper()
	if err := s.backend.Close(); err != nil {
		b.Error(err)
	}
}

// kill ends the plugin like a crash, with sessions that are only in the log, and waits until it has ended.
func (s *scale) kill(b *testing.B) {
	b.Helper()
	for range 1000 {
		s.added++
		added := benchSession(s.n+s.added, "added", s.start, s.start.AddDate(0, 0, 30))
		if err := s.backend.Tickets().Create(b.Context(), added); err != nil {
			b.Fatal(err)
		}
	}
	pid := s.backend.PID()
	if pid == 0 {
		b.Fatal("the plugin has died")
	}
	_ = syscall.Kill(pid, syscall.SIGKILL)
	_ = s.backend.Close()
	testenv.Eventually(b, "the plugin has ended", func() bool { return !testenv.Runs(pid) })
}

// memory returns a process's resident memory in MiB.
func memory(b *testing.B, pid int) float64 {
	b.Helper()
	status, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", pid))
	if err != nil {
		b.Fatal(err)
	}
	_, after, _ := strings.Cut(string(status), "VmRSS:")
	kib, err := strconv.ParseFloat(strings.Fields(after)[0], 64)
	if err != nil {
		b.Fatal(err)
	}
	return kib / 1024
}
