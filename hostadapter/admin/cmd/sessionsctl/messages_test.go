package main

// What messages say about wrong command lines and failed requests.

import (
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
)

// A wrong command line is refused with the argument or command that is missing or unknown. Nothing is sent.
func TestWrongArgumentsAreNamed(t *testing.T) {
	t.Parallel()
	d := newDesk(t, http.StatusOK, "{}")
	for line, want := range map[string]string{
		"":                           "a command: backend, completion, deliveries, grants, jobs, sessions",
		"nonsense":                   `"nonsense" is not a command of sessionsctl, which has: backend,`,
		"sessions":                   "sessionsctl sessions wants a command: list, remove, show",
		"grants nonsense":            `"nonsense" is not a command of sessionsctl grants, which has: list`,
		"sessions show":              "SESSION_ID is missing: sessionsctl sessions show SESSION_ID",
		"sessions show a b":          `"b" is one argument too many: sessionsctl sessions show SESSION_ID`,
		"sessions list x":            `"x" is one argument too many: sessionsctl sessions list`,
		"sessions remove x":          `"x" is one argument too many: sessionsctl sessions remove`,
		"grants list x":              `"x" is one argument too many: sessionsctl grants list`,
		"grants remove x":            `"x" is one argument too many: sessionsctl grants remove`,
		"deliveries list x":          `"x" is one argument too many: sessionsctl deliveries list`,
		"deliveries retry a b":       `"b" is one argument too many: sessionsctl deliveries retry [ID]`,
		"deliveries retry":           "select notifications: an ID, or",
		"jobs show":                  "ID is missing: sessionsctl jobs show ID",
		"jobs watch":                 "ID is missing: sessionsctl jobs watch ID",
		"backend show x":             `"x" is one argument too many: sessionsctl backend show`,
		"backend swap":               "NAME is missing: sessionsctl backend swap NAME",
		"backend abort":              "JOB is missing: sessionsctl backend abort JOB",
		"backend backup":             "FILE is missing: sessionsctl backend backup FILE",
		"backend backup a b":         `"b" is one argument too many: sessionsctl backend backup FILE`,
		"completion":                 "a command: bash, fish, powershell, zsh",
		"completion ksh":             `"ksh" is not a command of sessionsctl completion, which has: bash,`,
		"completion bash x":          `"x" is one argument too many: sessionsctl completion bash`,
		"help nonsense":              `"nonsense" is not a command of sessionsctl,`,
		"help sessions nonsense":     `"nonsense" is not a command of sessionsctl sessions,`,
		"help sessions list further": `sessionsctl sessions list has no commands, such as "further"`,
	} {
		d.run(exitUsage, strings.Fields(line)...)
		if !strings.Contains(d.err.String(), want) || d.out.Len() > 0 || len(d.asked) > 0 {
			t.Errorf("%q prints %q and %q and asked %q, want %q", line, &d.err, &d.out, d.asked, want)
		}
	}
	d.run(exitDone, "help")
	d.run(exitDone, "help", "sessions", "show")
}

// A message about a server that is not there, or that asks to wait, says where it was sought, and how long.
func TestUnreachableServers(t *testing.T) {
	t.Parallel()
	d := newDesk(t, http.StatusOK, "{}")
	gone := httptest.NewServer(http.NotFoundHandler())
	gone.Close()
	d.env["SESSIONSCTL_URL"] = gone.URL
	d.run(exitUnavailable, "backend", "show")
	if want := "Is " + gone.URL + " the address of"; !strings.Contains(d.err.String(), want) {
		t.Errorf("it prints %q, want %q", &d.err, want)
	}
	busy := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Retry-After", "55") // longer than the client waits
		w.Header().Set("Content-Type", "application/problem+json")
		w.WriteHeader(http.StatusTooManyRequests)
		_, _ = w.Write([]byte(`{"detail":"Too many."}`))
	}))
	defer busy.Close()
	d.env["SESSIONSCTL_URL"] = busy.URL
	d.run(exitUnavailable, "backend", "show")
	if !strings.Contains(d.err.String(), "Try again in 55s.") {
		t.Errorf("it prints %q, want how long to wait", &d.err)
	}
}

// Errors say what to do.
func TestHints(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		status    int
		answer    string
		noToken   bool
		arguments []string
		want      string
		not       string
	}{
		"no token":       {401, `{"detail":"x"}`, true, []string{"backend", "show"}, "No token was", "Does"},
		"wrong token":    {401, `{"detail":"x"}`, false, []string{"backend", "show"}, "Does --", "No token"},
		"wrong URL":      {404, `page not found`, false, []string{"sessions", "list"}, "/admin?", "--help"},
		"no session":     {404, `{"detail":"x"}`, false, []string{"sessions", "show", "s"}, "x", "/admin?"},
		"not permitted":  {403, `{"detail":"x"}`, false, []string{"backend", "show"}, "may not", "Does"},
		"redirected":     {303, ``, false, []string{"backend", "show"}, "/admin?", "--help"},
		"another server": {400, `<html>`, false, []string{"backend", "show"}, "/admin?", "--help"},
		"a proxy":        {502, ``, false, []string{"backend", "show"}, "502 Bad Gateway", "/admin?"},
		"all and one": {
			200, removal, false, []string{"sessions", "remove", "--all", "--subject", "1"},
			"--all goes with neither --subject nor --session", "select sessions",
		},
	} {
		d := newDesk(t, c.status, c.answer)
		if c.noToken {
			delete(d.env, "SESSIONSCTL_TOKEN")
		}
		a := &app{in: strings.NewReader(""), out: &d.out, err: &d.err, getenv: func(name string) string {
			return d.env[name]
		}}
		a.run(t.Context(), c.arguments)
		if text := d.err.String(); !strings.Contains(text, c.want) || strings.Contains(text, c.not) {
			t.Errorf("%s: %q, want %q and not %q", name, text, c.want, c.not)
		}
	}
	for n, want := range map[int]string{0: "0 sessions", 1: "1 session", 2: "2 sessions"} {
		if got := plural(n, "session"); got != want {
			t.Errorf("%d is %q, want %q", n, got, want)
		}
	}
}
