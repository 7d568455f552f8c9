package main

// The audit in a file.

import (
	"encoding/json"
	"log/slog"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/fosite-sessions/sessions/plugin/plugintest/testenv"
)

func TestAuditLog(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "audit.log")
	log := &testenv.Log{}
	s := startServerLogging(t, log, "-audit-log", path)
	r, err := http.NewRequestWithContext(t.Context(), http.MethodDelete,
		s.provider.issuer+"/admin/sessions/unknown", nil)
	if err != nil {
		t.Fatal(err)
	}
	r.Header.Set("Authorization", "Bearer "+testToken)
	response, err := http.DefaultClient.Do(r)
	if err != nil {
		t.Fatal(err)
	}
	_ = response.Body.Close()
	var line map[string]any
	testenv.Eventually(t, "the line of the audit", func() bool {
		raw, err := os.ReadFile(path)
		return err == nil && json.Unmarshal(raw, &line) == nil
	})
	if line["action"] != "delete_session" || line["session_id"] != "unknown" ||
		line["request_id"] != response.Header.Get("X-Request-Id") {
		t.Errorf("audit line %v", line)
	}
	info, err := os.Stat(path)
	if err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("the file has mode %v, error %v; want 0600", info.Mode(), err)
	}
	if strings.Contains(log.String(), "admin audit") {
		t.Error("the audit is in the log as well")
	}
}

// Changes that a page of another site requests are refused. The admin routes also audit them.
func TestRequestsOfAnotherSite(t *testing.T) {
	t.Parallel()
	log := &testenv.Log{}
	s := startServerLogging(t, log)
	for path, want := range map[string]string{
		pathAdmin + "/sessions/remove": "application/problem+json",
		pathAdmin + "/ui/remove":       "text/html; charset=utf-8",
		pathAdminSignIn:                "text/plain; charset=utf-8",
		pathAdminSignOut:               "text/plain; charset=utf-8",
		"/login":                       "text/plain; charset=utf-8",
	} {
		r, err := http.NewRequestWithContext(t.Context(), http.MethodPost, s.provider.issuer+path,
			strings.NewReader(`{"subject_id":"1001"}`))
		if err != nil {
			t.Fatal(err)
		}
		r.Header.Set("Authorization", "Bearer "+testToken)
		r.Header.Set("Content-Type", "application/json")
		r.Header.Set("Origin", "https://another.example")
		response, err := http.DefaultClient.Do(r)
		if err != nil {
			t.Fatal(err)
		}
		_ = response.Body.Close()
		kind := response.Header.Get("Content-Type")
		if response.StatusCode != http.StatusForbidden || kind != want {
			t.Errorf("%s: %s of type %q, want 403 of type %q", path, response.Status, kind, want)
		}
	}
	if !strings.Contains(log.String(), "action=remove_sessions") ||
		!strings.Contains(log.String(), "Changes must not come from the page of another site.") {
		t.Errorf("the audit lacks the refused removal:\n%s", log)
	}
}

// An audit file that cannot be written fails the start.
func TestAuditLogWriteError(t *testing.T) {
	t.Parallel()
	for _, path := range []string{t.TempDir(), filepath.Join(t.TempDir(), "no", "folder"), os.DevNull} {
		o, err := parseOptions([]string{
			"-addr", "127.0.0.1:0", "-data", filepath.Join(t.TempDir(), "data"), "-admin-token", testToken,
			"-audit-log", path,
		}, t.Output())
		if err != nil {
			t.Fatal(err)
		}
		_, err = start(t.Context(), o, slog.New(slog.DiscardHandler))
		if err == nil || !strings.Contains(err.Error(), "-audit-log: ") {
			t.Errorf("%s: error %v, want one about -audit-log", path, err)
		}
	}
}
