package contract_test

import (
	"bytes"
	"context"
	"errors"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"regexp"
	"strings"
	"testing"

	"github.com/fosite-sessions/sessions/hostadapter"
	"github.com/fosite-sessions/sessions/hostadapter/admin"
	"github.com/fosite-sessions/sessions/plugin/badger"
	"github.com/fosite-sessions/sessions/plugin/transfer/backup"
	"github.com/fosite-sessions/sessions/ticketstore"
)

func TestBackup(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	sid := s.signIn("ann", "shop")
	response, file := s.call(http.MethodPost, "/backend/backup", "", func(r *http.Request) {
		r.Header.Set("Content-Type", "application/x-www-form-urlencoded") // like the page's button
		r.Header.Set("Sec-Fetch-Site", "same-origin")
	})
	if response.StatusCode != http.StatusOK ||
		response.Header.Get("Content-Type") != "application/octet-stream" ||
		response.Header.Get("Cache-Control") != "no-store" {
		t.Fatalf("status %d, headers %v", response.StatusCode, response.Header)
	}
	if name := response.Header.Get("Content-Disposition"); !regexp.MustCompile(
		`^attachment; filename="sessions-\d{8}T\d{6}Z\.backup"$`).MatchString(name) {
		t.Errorf("Content-Disposition %q", name)
	}
	r, err := backup.NewReader(bytes.NewReader(file))
	if err != nil {
		t.Fatal(err)
	}
	e, err := badger.Open(t.Context(), badger.Settings{Path: t.TempDir()}, slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = e.Close() }()
	if err := backup.Restore(t.Context(), e.Transfer(), r, "restore", nil); err != nil {
		t.Fatal(err)
	}
	if _, err := e.Tickets().Find(t.Context(), sid); err != nil {
		t.Error(err)
	}
	if !strings.Contains(s.audit.String(), `"action":"back_up_backend"`) {
		t.Errorf("no audit:\n%s", s.audit)
	}
}

func TestBackupIsRefused(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	for name, c := range map[string]struct {
		method, target, body string
		change               func(*http.Request)
		status               int
	}{
		"to a reader": {http.MethodPost, "/backend/backup", "", func(r *http.Request) {
			r.Header.Set("Actor", "reader")
		}, http.StatusForbidden},
		"to nobody": {http.MethodPost, "/backend/backup", "", func(r *http.Request) {
			r.Header.Del("Actor")
		}, http.StatusUnauthorized},
		"another site's": {http.MethodPost, "/backend/backup", "", func(r *http.Request) {
			r.Header.Set("Sec-Fetch-Site", "cross-site")
		}, http.StatusForbidden},
		"as a GET": {
			http.MethodGet, "/backend/backup", "", func(*http.Request) {}, http.StatusMethodNotAllowed,
		},
		"with a body": {
			http.MethodPost, "/backend/backup", `{"path":"/etc"}`, func(*http.Request) {},
			http.StatusBadRequest,
		},
		"with a query": {
			http.MethodPost, "/backend/backup?path=x", "", func(*http.Request) {}, http.StatusBadRequest,
		},
	} {
		response, body := s.call(c.method, c.target, c.body, c.change)
		if response.StatusCode != c.status ||
			response.Header.Get("Content-Type") != "application/problem+json" {
			t.Errorf("%s: status %d %s, want %d and a problem", name, response.StatusCode, body, c.status)
		}
	}
}

// backingUp replaces the backups of an adapter's operations.
type backingUp struct {
	*hostadapter.Operations
	backup func(w io.Writer) error
}

func (b backingUp) Backup(_ context.Context, w io.Writer) error { return b.backup(w) }

func TestBackupThatFails(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	var fails func(w io.Writer) error
	operations := backingUp{s.adapter.Operations(), func(w io.Writer) error { return fails(w) }}
	server := httptest.NewServer(admin.Handler(admin.Config{Operations: operations, Authorize: authorize}))
	defer server.Close()
	for want, err := range map[int]error{
		http.StatusConflict: hostadapter.ErrBackup, http.StatusServiceUnavailable: ticketstore.ErrUnavailable,
		http.StatusInternalServerError: errors.New("boom"),
	} {
		fails = func(io.Writer) error { return err }
		if response, _ := s.call(http.MethodPost, server.URL+"/backend/backup",
			""); response.StatusCode != want ||
			response.Header.Get("Content-Disposition") != "" {
			t.Errorf("%v: status %d, headers %v, want %d", err, response.StatusCode, response.Header, want)
		}
	}
	// After the first bytes the status can no longer be set: the response must be visibly truncated.
	fails = func(w io.Writer) error {
		_, _ = w.Write(bytes.Repeat([]byte("x"), 10_000))
		return errors.New("the plugin died")
	}
	r, err := http.NewRequestWithContext(t.Context(), http.MethodPost, server.URL+"/backend/backup", nil)
	if err != nil {
		t.Fatal(err)
	}
	r.Header.Set("Actor", "writer")
	response, err := s.client.Do(r)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = response.Body.Close() }()
	if body, err := io.ReadAll(response.Body); err == nil {
		t.Errorf("a response of %d bytes looks complete", len(body))
	}
	if !strings.Contains(s.log.String(), "the plugin died") {
		t.Errorf("the failure is not in the audit:\n%s", s.log)
	}
}
