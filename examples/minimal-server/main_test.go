package main

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/cookiejar"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/fosite-sessions/sessions/plugin/plugintest/testenv"
)

// The server of README: sign-in, code, token, list, removal, inactive token.
func TestMinimalServer(t *testing.T) {
	t.Parallel()
	s := start(t)
	auth := s.url +
		"/oauth2/auth?client_id=my-client&response_type=code&scope=openid&state=some-state&nonce=some-nonce" +
		"&redirect_uri=" + url.QueryEscape("http://localhost:3846/callback")
	if page := s.get(auth); !strings.Contains(page.body, `name="password"`) {
		t.Fatalf("%d %s, want a form", page.status, page.body)
	}
	page := s.post(auth, url.Values{"user": {"peter"}, "password": {"wrong"}})
	if !strings.Contains(page.body, `name="password"`) {
		t.Fatalf("%d %s, want the form again after a wrong password", page.status, page.body)
	}
	signedIn := s.post(auth, url.Values{"user": {"peter"}, "password": {"secret"}})
	if code := codeOf(t, signedIn); code == codeOf(t, s.get(auth)) {
		t.Fatal("the second authorization has the code of the first")
	}
	answer := s.post(s.url+"/oauth2/token", url.Values{
		"grant_type": {"authorization_code"}, "code": {codeOf(t, signedIn)},
		"redirect_uri": {"http://localhost:3846/callback"},
		"client_id":    {"my-client"}, "client_secret": {"foobar"},
	})
	var tokens struct {
		AccessToken string `json:"access_token"`
	}
	if err := json.Unmarshal([]byte(answer.body), &tokens); err != nil || tokens.AccessToken == "" {
		t.Fatalf("token: %d %s", answer.status, answer.body)
	}
	if got := s.introspect(tokens.AccessToken); !strings.Contains(got, `"active":true`) ||
		!strings.Contains(got, `"sub":"peter"`) {
		t.Fatalf("introspection of a new token: %s", got)
	}

	if got := s.get(s.url + "/admin/sessions"); got.status != http.StatusUnauthorized {
		t.Errorf("%d for one without the token, want 401", got.status)
	}
	if got := s.admin(http.MethodGet, "/sessions", ""); !strings.Contains(got, `"subject_id":"peter"`) {
		t.Errorf("sessions: %s, want peter's", got)
	}
	got := s.admin(http.MethodPost, "/sessions/remove", `{"subject_id":"peter"}`)
	if !strings.Contains(got, `"sessions_removed":1`) {
		t.Errorf("removal: %s, want one session", got)
	}
	if got := s.introspect(tokens.AccessToken); !strings.Contains(got, `"active":false`) {
		t.Errorf("introspection after the removal: %s", got)
	}
	if page := s.get(auth); !strings.Contains(page.body, `name="password"`) {
		t.Errorf("%d %s, want the form after the removal", page.status, page.body)
	}
}

func TestMinimalServerIsShort(t *testing.T) {
	t.Parallel()
	source, err := os.ReadFile("main.go")
	if err != nil {
		t.Fatal(err)
	}
	if lines := bytes.Count(source, []byte("\n")); lines > 150 {
		t.Errorf("main.go has %d lines, want at most 150", lines)
	}
}

type site struct {
	t      *testing.T
	url    string
	client *http.Client
}

const adminToken = "an-operator's-token"

// start builds the server and the plugin, and starts them in an empty folder.
func start(t *testing.T) *site {
	t.Helper()
	folder := t.TempDir()
	t.Cleanup(func() { // the plugin closes its store when the server is gone
		testenv.Eventually(t, "the store can be removed",
			func() bool { return os.RemoveAll(filepath.Join(folder, "sessions")) == nil })
	})
	for program, source := range map[string]string{
		"sessions-badger": "../../plugin/cmd/sessions-badger", "minimal-server": ".",
	} {
		build := exec.CommandContext(t.Context(), "go", "build", "-o", filepath.Join(folder, program), source)
		if output, err := build.CombinedOutput(); err != nil {
			t.Fatalf("build %s: %v\n%s", program, err, output)
		}
	}
	addr := freeAddr(t)
	command := exec.Command(filepath.Join(folder, "minimal-server"))
	command.Dir = folder
	command.Env = append(os.Environ(), "PATH="+folder, "ADDR="+addr, "SECRET="+strings.Repeat("s", 32),
		"ADMIN_TOKEN="+adminToken)
	testenv.Start(t, command)
	jar, err := cookiejar.New(nil)
	if err != nil {
		t.Fatal(err)
	}
	s := &site{t: t, url: "http://" + addr, client: &http.Client{
		Jar:           jar,
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}}
	testenv.Eventually(t, "the server listens", func() bool {
		connection, err := net.Dial("tcp", addr)
		return err == nil && connection.Close() == nil
	})
	return s
}

func freeAddr(t *testing.T) string {
	t.Helper()
	listener, err := net.Listen("tcp", "localhost:0")
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = listener.Close() }()
	return fmt.Sprintf("localhost:%d", listener.Addr().(*net.TCPAddr).Port)
}

type answer struct {
	status         int
	body, location string
}

func (s *site) do(request *http.Request) answer {
	s.t.Helper()
	response, err := s.client.Do(request)
	if err != nil {
		s.t.Fatal(err)
	}
	defer func() { _ = response.Body.Close() }()
	body, err := io.ReadAll(response.Body)
	if err != nil {
		s.t.Fatal(err)
	}
	return answer{response.StatusCode, string(body), response.Header.Get("Location")}
}

func (s *site) request(method, target, body string) *http.Request {
	s.t.Helper()
	request, err := http.NewRequestWithContext(s.t.Context(), method, target, strings.NewReader(body))
	if err != nil {
		s.t.Fatal(err)
	}
	return request
}

func (s *site) get(target string) answer { return s.do(s.request(http.MethodGet, target, "")) }

func (s *site) post(target string, form url.Values) answer {
	request := s.request(http.MethodPost, target, form.Encode())
	request.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	return s.do(request)
}

func (s *site) admin(method, path, body string) string {
	request := s.request(method, s.url+"/admin"+path, body)
	request.Header.Set("Authorization", "Bearer "+adminToken)
	request.Header.Set("Content-Type", "application/json")
	return s.do(request).body
}

func (s *site) introspect(token string) string {
	request := s.request(http.MethodPost, s.url+"/oauth2/introspect", url.Values{"token": {token}}.Encode())
	request.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	request.SetBasicAuth("my-client", "foobar")
	return s.do(request).body
}

func codeOf(t *testing.T, a answer) string {
	t.Helper()
	target, err := url.Parse(a.location)
	if err != nil || target.Query().Get("code") == "" {
		t.Fatalf("%d %s %s, want a redirect with a code", a.status, a.location, a.body)
	}
	return target.Query().Get("code")
}
