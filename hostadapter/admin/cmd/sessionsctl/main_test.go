package main

// Settings, output, confirmation and exit codes. integration runs a script with all commands on a real
// server.

import (
	"bytes"
	"context"
	"encoding/json"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"
)

// desk runs command lines against a server with configured answers.
type desk struct {
	t        *testing.T
	url      string
	env      map[string]string
	in       io.Reader
	out, err bytes.Buffer
	// asked are the requests, with their tokens.
	asked []string
}

func newDesk(t *testing.T, status int, answer string) *desk {
	t.Helper()
	d := &desk{t: t, env: map[string]string{"SESSIONSCTL_TOKEN": "token-of-the-environment"}}
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, _ := io.ReadAll(r.Body)
		d.asked = append(d.asked, strings.TrimSpace(r.Method+" "+r.URL.RequestURI()+" "+
			r.Header.Get("Authorization")+" "+string(body)))
		w.Header().Set("Content-Type", "application/json")
		if status == http.StatusOK && r.URL.Path == "/backend/backup" {
			w.Header().Set("Content-Type", "application/octet-stream")
		}
		w.WriteHeader(status)
		_, _ = io.WriteString(w, answer)
	}))
	t.Cleanup(server.Close)
	d.url = server.URL
	d.env["SESSIONSCTL_URL"] = server.URL
	d.env["SESSIONSCTL_CONFIG"] = d.file("config.json", `{}`, 0o600)
	return d
}

func (d *desk) file(name, text string, mode os.FileMode) string {
	d.t.Helper()
	path := filepath.Join(d.t.TempDir(), name)
	if err := os.WriteFile(path, []byte(text), mode); err != nil {
		d.t.Fatal(err)
	}
	if err := os.Chmod(path, mode); err != nil { // whatever the umask
		d.t.Fatal(err)
	}
	return path
}

// run runs a command line and checks its exit code.
func (d *desk) run(want int, arguments ...string) {
	d.t.Helper()
	d.out.Reset()
	d.err.Reset()
	d.asked = nil
	in := d.in
	if in == nil {
		in = strings.NewReader("")
	}
	a := &app{in: in, out: &d.out, err: &d.err, getenv: func(name string) string { return d.env[name] }}
	if code := a.run(context.Background(), arguments); code != want {
		d.t.Errorf("%v ended with %d, want %d: %s%s", arguments, code, want, &d.out, &d.err)
	}
}

const (
	twoSessions = `{"results":[{"session_id":"s1","subject_id":"1","display_name":"Ann",` +
		`"client_ids":["shop"]},` +
		`{"session_id":"s2","subject_id":"2\u001b[31m\n","display_name":"Bob\u202e","client_ids":[]}],` +
		`"results_token":"t","has_next_results":false,"has_prev_results":false}`
	removal = `{"sessions_removed":3,"grants_revoked":2,"consents_revoked":1,"notifications_queued":4,` +
		`"clients_left_alone":[]}`
)

func TestListsAreTablesOrJSON(t *testing.T) {
	t.Parallel()
	d := newDesk(t, http.StatusOK, twoSessions)
	d.run(exitDone, "sessions", "list", "--subject", "1", "--created-after", "2026-01-01T00:00:00Z")
	lines := strings.Split(strings.TrimSpace(d.out.String()), "\n")
	if len(lines) != 3 || !strings.HasPrefix(lines[0], "SESSION") || !strings.Contains(lines[1], "Ann") {
		t.Errorf("the table is\n%s", &d.out)
	}
	if text := d.out.String(); strings.ContainsAny(text, "\x1b\u202e") {
		t.Errorf("control characters of names reach the terminal: %q", text)
	}
	want := "GET /sessions?count_requested=101&created_after=2026-01-01T00%3A00%3A00Z&order=desc&" +
		"subject_id=1 Bearer token-of-the-environment"
	if !slices.Equal(d.asked, []string{want}) {
		t.Errorf("asked %q, want %q", d.asked, want)
	}
	d.run(exitDone, "sessions", "list", "-o", "json", "--limit", "1")
	var rows []map[string]any
	err := json.Unmarshal(d.out.Bytes(), &rows)
	if err != nil || len(rows) != 1 || rows[0]["session_id"] != "s1" {
		t.Errorf("JSON %s, error %v; want an array of one session", &d.out, err)
	}
	if !strings.Contains(d.err.String(), "There are more") {
		t.Errorf("stderr %q does not say that there are more", &d.err)
	}
}

// A duration counts back from now, but ahead for sessions that expire.
func TestDurationsOfTimeFlags(t *testing.T) {
	t.Parallel()
	for flag, want := range map[string]time.Duration{
		"created-after": -time.Hour, "expires-before": time.Hour,
	} {
		got, err := readTime(flag, "1h")
		if off := time.Until(got) - want; err != nil || off.Abs() > time.Minute {
			t.Errorf("%s: got %v, %v, want %s from now", flag, got, err, want)
		}
	}
}

// Flags override the environment, which overrides the file.
func TestSettings(t *testing.T) {
	t.Parallel()
	d := newDesk(t, http.StatusOK, twoSessions)
	inFile := d.file("token", "token-of-a-file\n", 0o600)
	beside := filepath.Dir(d.env["SESSIONSCTL_CONFIG"])
	if err := os.WriteFile(filepath.Join(beside, "beside"), []byte("token-beside"), 0o600); err != nil {
		t.Fatal(err)
	}
	token := func(want string) {
		t.Helper()
		if len(d.asked) != 1 || !strings.HasSuffix(d.asked[0], " Bearer "+want) {
			t.Errorf("asked %q, want the %s", d.asked, want)
		}
	}
	d.run(exitDone, "sessions", "list", "--token-file", inFile)
	token("token-of-a-file")
	d.run(exitDone, "sessions", "list")
	token("token-of-the-environment")
	delete(d.env, "SESSIONSCTL_TOKEN")
	d.env["SESSIONSCTL_TOKEN_FILE"] = inFile
	d.run(exitDone, "sessions", "list")
	token("token-of-a-file")
	if err := os.Chmod(inFile, 0o640); err != nil {
		t.Fatal(err)
	}
	d.run(exitDone, "sessions", "list")
	token("token-of-a-file")
	if !strings.Contains(d.err.String(), "the group of "+inFile) {
		t.Errorf("stderr %q, want a warning that a group has access", &d.err)
	}
	delete(d.env, "SESSIONSCTL_TOKEN_FILE")
	for text, want := range map[string]string{
		`{"token":"token-of-the-configuration","output":"json"}`: "token-of-the-configuration",
		`{"token_file":"beside","output":"json"}`:                "token-beside",
	} {
		if err := os.WriteFile(d.env["SESSIONSCTL_CONFIG"], []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		d.run(exitDone, "sessions", "list")
		token(want)
		if !strings.HasPrefix(d.out.String(), "[") {
			t.Errorf("output %s, want JSON as configured in the file", &d.out)
		}
	}
}

// Files that others can read are refused before a request is sent, and no message contains a token.
func TestBadSettings(t *testing.T) {
	t.Parallel()
	d := newDesk(t, http.StatusOK, twoSessions)
	const secret = "token-that-nobody-sees"
	empty := d.file("token", "\n", 0o600)
	withPassword := "https://a:" + secret + "@op"
	twice := `{"token":"` + secret + `","token_file":"x"}`
	for name, c := range map[string]struct {
		arguments []string
		config    string
		mode      os.FileMode
		want      string
	}{
		"token file that others read": {
			[]string{"--token-file", d.file("token", secret, 0o644)}, "", 0o600, "mode 0644",
		},
		"empty token file":       {[]string{"--token-file", empty}, "", 0o600, "is empty"},
		"no token file":          {[]string{"--token-file", "/no/such/file"}, "", 0o600, "no such file"},
		"folder as a token file": {[]string{"--token-file", t.TempDir()}, "", 0o600, "token file"},
		"configuration that others read": {
			nil, `{"token":"` + secret + `"}`, 0o604, "mode 0604",
		},
		"configuration that is not JSON":   {nil, `token = ` + secret, 0o600, "not a JSON object"},
		"unknown field":                    {nil, `{"tokens":"` + secret + `"}`, 0o600, `field "tokens"`},
		"token as a field":                 {nil, `{"` + secret + `":"x"}`, 0o600, "unknown field: known"},
		"a field of another type":          {nil, `{"output":["` + secret + `"]}`, 0o600, "output, which is"},
		"token twice":                      {nil, twice, 0o600, "both"},
		"output":                           {[]string{"-o", "yaml"}, "", 0o600, `"yaml"`},
		"a URL with a password":            {[]string{"--url", withPassword}, "", 0o600, "URL"},
		"a token on the command line":      {[]string{"--token", secret}, "", 0o600, "unknown flag: --token"},
		"a time":                           {[]string{"--created-after", "soon"}, "", 0o600, "created-after"},
		"a negative limit":                 {[]string{"--limit", "-1"}, "", 0o600, "--limit"},
		"an argument that is not expected": {[]string{"s1"}, "", 0o600, "s1"},
	} {
		if c.config != "" {
			d.env["SESSIONSCTL_CONFIG"] = d.file("config.json", c.config, c.mode)
		} else {
			d.env["SESSIONSCTL_CONFIG"] = d.file("config.json", "{}", 0o600)
		}
		d.run(exitUsage, append([]string{"sessions", "list"}, c.arguments...)...)
		if text := d.err.String(); !strings.Contains(text, c.want) || strings.Contains(text, secret) {
			t.Errorf("%s: %q, want %q and no token", name, text, c.want)
		}
		if len(d.asked) != 0 {
			t.Errorf("%s: asked %q", name, d.asked)
		}
	}
}

// Without a terminal a removal requires --yes. A dry run never ends anything.
func TestConfirmation(t *testing.T) {
	t.Parallel()
	d := newDesk(t, http.StatusOK, removal)
	d.in = strings.NewReader("yes\n") // no terminal
	d.run(exitNotConfirmed, "sessions", "remove", "--subject", "1")
	d.run(exitDone, "sessions", "remove", "--subject", "1", "--dry-run")
	if len(d.asked) != 1 || !strings.Contains(d.asked[0], `"dry_run":true`) {
		t.Errorf("a dry run sent %q", d.asked)
	}
	text := d.out.String()
	if !strings.Contains(text, "Sessions to end         3\n") || strings.Contains(text, "ended") ||
		strings.Contains(text, "revoked") || strings.Contains(text, "queued") {
		t.Errorf("a dry run prints\n%s", text)
	}
	if text := d.err.String(); !strings.Contains(text, "nothing was changed") {
		t.Errorf("a dry run printed %q", text)
	}
	d.run(exitDone, "sessions", "remove", "--subject", "1", "--yes")
	if text := d.out.String(); !strings.Contains(text, "Sessions ended        3\n") {
		t.Errorf("a removal prints\n%s", text)
	}
	d.run(exitDone, "sessions", "remove", "--subject", "1", "--client", "shop,mail", "--keep-session",
		"--yes", "-o", "json")
	want := `"client_ids":["shop","mail"],"remove_server_side_session":false,` +
		`"send_backchannel_logout_notification":true,"revoke_tokens":true,"revoke_consents":true}`
	if len(d.asked) != 1 || !strings.HasSuffix(d.asked[0], want) {
		t.Errorf("asked %q, want a removal that ends in %s", d.asked, want)
	}
	for _, arguments := range [][]string{
		{"sessions", "remove", "--yes"}, {"sessions", "remove", "--subject", "", "--yes"},
		{"sessions", "remove", "--subject", "1", "--session", "", "--yes"},
		{"sessions", "remove", "--subject", "1", "--client", "", "--yes"},
		{"sessions", "remove", "--all", "--subject", "1", "--yes"}, {"grants", "remove", "--yes"},
		{"grants", "remove", "--subject", "1", "--client", "", "--yes"}, {"deliveries", "retry", "--yes"},
		{"deliveries", "retry", "--state", "", "--yes"}, {"deliveries", "retry", "n1", "--state", "refused"},
		{"deliveries", "retry", ""}, {"backend", "abort", ""}, {"sessions", "show", ""},
		{"sessions", "list", "--subject", ""}, {"grants", "list", "--client", ""},
	} {
		d.run(exitUsage, arguments...)
		if len(d.asked) != 0 {
			t.Errorf("%v asked %q", arguments, d.asked)
		}
	}
}

// A file that cannot be written is not reported as a server error.
func TestBackupWriteError(t *testing.T) {
	t.Parallel()
	d := newDesk(t, http.StatusOK, "a backup")
	d.run(exitFailed, "backend", "backup", filepath.Join(t.TempDir(), "no", "file"))
	if len(d.asked) != 0 {
		t.Errorf("asked %q", d.asked)
	}
}

// The table has the same data as the JSON: hosts, cache, and the backend's configured name.
func TestBackendShow(t *testing.T) {
	t.Parallel()
	d := newDesk(t, http.StatusOK, `{"status":"ready","configured_as":"next","name":"postgres",`+
		`"services":[],"shared":true,`+
		`"hosts":[{"name":"node-1","version":"v1","beat":"2030-01-02T03:04:05Z",`+
		`"joined":"2030-01-02T03:00:00Z"}],`+
		`"cache":{"hits":9,"misses":8,"entries":2,"bytes":4096}}`)
	d.run(exitDone, "backend", "show")
	for _, want := range []string{
		"Configured as       next\n",
		"Host                node-1, version v1, since 2030-01-02 03:00:00, last beat 2030-01-02 03:04:05\n",
		"Cache               2 tokens in 4096 bytes, 9 hits, 8 misses\n",
	} {
		if !strings.Contains(d.out.String(), want) {
			t.Errorf("the table lacks %q:\n%s", want, &d.out)
		}
	}
}

func TestExitCodes(t *testing.T) {
	t.Parallel()
	for status, want := range map[int]int{
		400: exitUsage, 401: exitDenied, 403: exitDenied, 404: exitNotFound, 409: exitConflict,
		500: exitFailed, 418: exitFailed, 200: exitDone,
	} {
		d := newDesk(t, status, `{"detail":"It is so.","status":"ready","services":[]}`)
		d.run(want, "backend", "show")
	}
	d := newDesk(t, http.StatusOK, `{"id":"j1","kind":"swap","state":"failed","done":1,"error":"no room"}`)
	d.run(exitJobFailed, "jobs", "watch", "j1")
	d.run(exitUsage)
	d.run(exitUsage, "nonsense")
	d.run(exitUsage, "sessions", "nonsense")
	d.run(exitUsage, "sessions", "show")
	d.run(exitDone, "--help")
	d.run(exitDone, "completion", "zsh")
	d.run(exitDone, "__complete", "deliveries", "list", "--state", "")
	if !strings.Contains(d.out.String(), "given_up") {
		t.Errorf("the completion of --state is %q", &d.out)
	}
}

// A backup's file appears only when complete, is readable only by its owner, and replaces no file without
// --force.
func TestBackup(t *testing.T) {
	t.Parallel()
	d := newDesk(t, http.StatusOK, "the backup")
	path := filepath.Join(t.TempDir(), "sessions.backup")
	d.run(exitDone, "backend", "backup", path)
	raw, err := os.ReadFile(path)
	info, statErr := os.Stat(path)
	if err != nil || statErr != nil || string(raw) != "the backup" || info.Mode().Perm() != 0o600 {
		t.Errorf("%q, mode %v, errors %v, %v", raw, info.Mode(), err, statErr)
	}
	d.run(exitUsage, "backend", "backup", path)
	d.run(exitDone, "backend", "backup", path, "--force")
	d.run(exitDone, "backend", "backup", "-")
	if d.out.String() != "the backup" {
		t.Errorf("stdout has %q", &d.out)
	}
	broken := newDesk(t, http.StatusServiceUnavailable, "{}")
	failed := filepath.Join(t.TempDir(), "failed")
	broken.run(exitUnavailable, "backend", "backup", failed)
	if left, err := os.ReadDir(filepath.Dir(failed)); err != nil || len(left) != 0 {
		t.Errorf("a failed backup left %v, error %v", left, err)
	}
	// One that fails, or breaks off, leaves the file that it was to replace.
	broken.run(exitUnavailable, "backend", "backup", path, "--force")
	half := newDesk(t, http.StatusOK, "")
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "application/octet-stream")
		w.Header().Set("Content-Length", "100")
		_, _ = io.WriteString(w, "half")
	}))
	defer server.Close()
	half.env["SESSIONSCTL_URL"] = server.URL
	half.run(exitUnavailable, "backend", "backup", path, "--force")
	raw, err = os.ReadFile(path)
	left, dirErr := os.ReadDir(filepath.Dir(path))
	if err != nil || dirErr != nil || string(raw) != "the backup" || len(left) != 1 {
		t.Errorf("a failed replacement left %q and %v, errors %v, %v", raw, left, err, dirErr)
	}
	// A folder is refused before anything is fetched.
	for _, arguments := range [][]string{{t.TempDir()}, {t.TempDir(), "--force"}} {
		d.run(exitFailed, append([]string{"backend", "backup"}, arguments...)...)
		if !strings.Contains(d.err.String(), "is no file") || len(d.asked) > 0 {
			t.Errorf("%v: %q, asked %q", arguments, &d.err, d.asked)
		}
	}
}
