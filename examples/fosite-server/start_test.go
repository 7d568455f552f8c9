package main

import (
	"encoding/json"
	"log/slog"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

func TestAnnouncement(t *testing.T) {
	t.Parallel()
	announced := func(s *running) (text string, names []string, values map[string]string) {
		var all strings.Builder
		s.announce(&all)
		machine, _, _ := strings.Cut(all.String(), "\n\n")
		values = map[string]string{}
		for line := range strings.SplitSeq(machine, "\n") {
			name, value, _ := strings.Cut(line, ": ")
			names, values[name] = append(names, name), value
		}
		return all.String(), names, values
	}
	file := writeFile(t, testToken)
	o := &options{
		addr: "127.0.0.1:0", backend: "badger", idle: time.Hour, data: filepath.Join(t.TempDir(), "data"),
	}
	made := startServerWith(t, t.Output(), o)
	text, names, got := announced(made)
	want := []string{
		"issuer", "address", "admin_url", "admin_page", "admin_token", "plugin_pid", "data", "client",
		"client", "user", "user",
	}
	if diff := cmp.Diff(want, names); diff != "" {
		t.Errorf("lines differ (-want +got):\n%s", diff)
	}
	token := made.provider.secrets.adminToken
	if got["admin_token"] != token || got["issuer"] != "http://"+got["address"] ||
		!strings.Contains(text, "Bearer "+token) {
		t.Errorf("admin_token is %q and issuer %q at %s", got["admin_token"], got["issuer"], got["address"])
	}
	text, _, got = announced(startServer(t))
	if got["admin_token"] != testToken {
		t.Errorf("with -admin-token the output is\n%s", text)
	}
	// A token of a file is not printed: the output may be logged.
	other := *o
	other.data, other.tokenFile = filepath.Join(t.TempDir(), "data"), file
	text, _, got = announced(startServerWith(t, t.Output(), &other))
	if strings.Contains(text, testToken) || got["admin_token_from"] != "-admin-token-file "+file ||
		!strings.Contains(text, "$(cat '"+file+"')") {
		t.Errorf("with -admin-token-file the output is\n%s", text)
	}
	other = *o
	other.data, other.keys = filepath.Join(t.TempDir(), "data"), o.data // the keys that were made there
	text, _, got = announced(startServerWith(t, t.Output(), &other))
	kept := filepath.Join(o.data, "admin-token")
	if strings.Contains(text, token) || got["admin_token_from"] != "-keys "+kept {
		t.Errorf("with -keys the output is\n%s", text)
	}
}

func TestFilesReplaceTheDemo(t *testing.T) {
	t.Parallel()
	clients := writeFile(t, `[{"client_id":"a b","client_secret":"s:%/ c",
		"redirect_uris":["http://127.0.0.1:1/cb"],"scope":"openid offline_access",
		"grant_types":["authorization_code","refresh_token","client_credentials"],"skip_consent":true}]`)
	users := writeFile(t, `[{"username":"eve","password":"p","subject":"7","name":"Eve"}]`)
	s := startServer(t, "-clients", clients, "-users", users)
	if len(s.provider.demo) != 0 || len(s.provider.hints) != 0 {
		t.Fatal("got demo clients or users, want only those of the files")
	}
	b := newBrowser(t)
	b.expect(b.submit(b.get(s.provider.issuer+"/login"), "/login", "username", "eve", "password", "p"),
		http.StatusOK, "Hello, Eve")
	request, err := http.NewRequestWithContext(t.Context(), http.MethodPost, s.provider.issuer+pathToken,
		strings.NewReader("grant_type=client_credentials&scope=openid"))
	if err != nil {
		t.Fatal(err)
	}
	request.Header.Set("Content-Type", formType)
	request.SetBasicAuth(url.QueryEscape("a b"), url.QueryEscape("s:%/ c"))
	page := b.expect(b.do(request), http.StatusOK, `"access_token"`)
	var granted struct {
		AccessToken string `json:"access_token"`
	}
	if err := json.Unmarshal([]byte(page.body), &granted); err != nil {
		t.Fatal(err)
	}
	if request, err = http.NewRequestWithContext(t.Context(), http.MethodGet, s.provider.issuer+pathUserInfo,
		nil); err != nil {
		t.Fatal(err)
	}
	request.Header.Set("Authorization", "Bearer "+granted.AccessToken)
	if page := b.do(request); page.status != http.StatusForbidden || strings.Contains(page.body, "sub") ||
		!strings.Contains(page.header.Get("WWW-Authenticate"), `error="insufficient_scope"`) {
		t.Errorf("userinfo of a client's own token is %d %q %s, want 403", page.status,
			page.header.Get("WWW-Authenticate"), page.body)
	}
	for authorization, invalid := range map[string]bool{
		"": false, "Bearer ": false, "Basic YTpi": false, "Bearer ory_at_x.y": true,
	} {
		request, err := http.NewRequestWithContext(t.Context(), http.MethodGet,
			s.provider.issuer+pathUserInfo, nil)
		if err != nil {
			t.Fatal(err)
		}
		if authorization != "" {
			request.Header.Set("Authorization", authorization)
		}
		page := b.do(request)
		challenge := page.header.Get("WWW-Authenticate")
		// Without a token there is no error (RFC 6750, section 3.1).
		if page.status != http.StatusUnauthorized || !strings.HasPrefix(challenge, "Bearer") ||
			strings.Contains(challenge, "error") != invalid ||
			strings.Contains(page.body, "error") != invalid {
			t.Errorf("userinfo for %q is %d %q %s, want 401, with an error %t", authorization, page.status,
				challenge, page.body, invalid)
		}
	}
}

func TestStartInAForeignFolderChangesNothing(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct{ file, plugin, says string }{
		"a folder with other files":      {"holiday.jpg", "", "choose an empty folder"},
		"a program that is not a plugin": {"admin-token", "/bin/true", "plugin"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			data := t.TempDir()
			if err := os.WriteFile(filepath.Join(data, c.file), []byte("x"), 0o600); err != nil {
				t.Fatal(err)
			}
			o, err := parseOptions([]string{"-addr", "127.0.0.1:0", "-data", data, "-plugin", c.plugin},
				t.Output())
			if err != nil {
				t.Fatal(err)
			}
			if _, err := start(t.Context(), o, slog.New(slog.NewTextHandler(t.Output(), nil))); err == nil ||
				!strings.Contains(err.Error(), c.says) {
				t.Errorf("error is %v, want one with %q", err, c.says)
			}
			if entries, err := os.ReadDir(data); err != nil || len(entries) != 1 {
				t.Errorf("the folder has %v, error %v, want it unchanged", entries, err)
			}
		})
	}
}

func TestFailedStartLeavesNothing(t *testing.T) {
	t.Parallel()
	clients := writeFile(t, `[{"client_id":"a"}]`)
	o, err := parseOptions([]string{
		"-addr", "127.0.0.1:0", "-data", t.TempDir() + "/data", "-clients", clients,
	}, t.Output())
	if err != nil {
		t.Fatal(err)
	}
	if _, err := start(t.Context(), o, slog.New(slog.NewTextHandler(t.Output(), nil))); err == nil ||
		!strings.Contains(err.Error(), "clients[0].redirect_uris: is missing") {
		t.Errorf("error is %v, want the file's problems", err)
	}
	if _, err := os.Stat(o.data); !os.IsNotExist(err) {
		t.Errorf("the failed start created the data folder: %v", err)
	}
}
