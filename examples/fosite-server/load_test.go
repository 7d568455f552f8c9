package main

import (
	"errors"
	"io"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"testing/fstest"

	"github.com/google/go-cmp/cmp"

	"github.com/fosite-sessions/sessions/plugin/plugintest/testenv"
	"github.com/fosite-sessions/sessions/ticketstore"
)

// loadCase is a file and what must be said of it: every line of want, and nothing else.
type loadCase struct {
	name    string
	content string
	want    []string
}

func checkLoad(t *testing.T, cases []loadCase, load func(path string) error) {
	t.Helper()
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			path := writeFile(t, c.content)
			var got []string
			if err := load(path); err != nil {
				got = strings.Split(strings.ReplaceAll(err.Error(), path, "FILE"), "\n")
			}
			if diff := cmp.Diff(c.want, got); diff != "" {
				t.Errorf("problems differ (-want +got):\n%s", diff)
			}
		})
	}
}

func writeFile(t *testing.T, content string) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "file.json")
	if err := os.WriteFile(path, []byte(content), 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

// goodClient is a client with its fields between the braces left to extend.
const goodClient = `"client_id":"a","client_secret":"s","redirect_uris":["https://a.example/cb"]`

func TestLoadClients(t *testing.T) {
	t.Parallel()
	checkLoad(t, []loadCase{
		{name: "empty", content: `[]`},
		{name: "good", content: `[{` + goodClient + `}]`},
		{
			name:    "unknown names are kept",
			content: `[{` + goodClient + `,"contacts":["x@a.example"],"logo_uri":"https://a.example/l.png"}]`,
		},
		{
			name:    "null is as good as missing",
			content: `[{` + goodClient + `,"scope":null,"backchannel_logout_uri":null}]`,
		},
		{
			name: "a logout URI with a query",
			content: `[{` + goodClient +
				`,"backchannel_logout_uri":"https://a.example/cb?logout=backchannel"}]`,
		},
		{
			name: "public",
			content: `[{"client_id":"a","redirect_uris":["com.example.app:/cb"],` +
				`"token_endpoint_auth_method":"none"}]`,
		},
		{
			name:    "service",
			content: `[{"client_id":"a","client_secret":"s","grant_types":["client_credentials"]}]`,
		},
		{
			name: "not an array", content: `{"clients":[]}`,
			want: []string{`FILE:1: is not a JSON array of clients`},
		},
		{
			name: "nothing", content: ``,
			want: []string{`FILE:1: is not valid JSON: ends in the middle of the array`},
		},
		{
			name: "cut off", content: "[\n{" + goodClient + "}\n",
			want: []string{`FILE:3: is not valid JSON: ends in the middle of the array`},
		},
		{name: "more after the array", content: "[]\n[]", want: []string{`FILE:2: has more after the array`}},
		{name: "no object", content: `["a"]`, want: []string{`FILE:1: clients[0]: is not an object`}},
		{
			name: "a field twice", content: `[{"client_id":"a","client_id":"b"}]`,
			want: []string{`FILE:1: clients[0]: names "client_id" twice`},
		},
		{name: "duplicates", content: "[\n{" + goodClient + "},\n{" + goodClient + "}\n]",
			want: []string{`FILE:3: clients[1].client_id: is the same as that of clients[0]`}},
		{name: "wrong types", content: `[{"client_id":1,"client_secret":"s",` +
			`"redirect_uris":"https://a.example/cb","skip_consent":"yes"}]`, want: []string{
			`FILE:1: clients[0].client_id: is not a string`,
			`FILE:1: clients[0].redirect_uris: is not an array of strings`,
			`FILE:1: clients[0].skip_consent: is not true or false`,
			`FILE:1: clients[0].client_id: is empty`,
			`FILE:1: clients[0].redirect_uris: is missing`,
		}},
		{name: "nothing in it", content: `[{}]`, want: []string{
			`FILE:1: clients[0].client_id: is empty`,
			`FILE:1: clients[0].client_secret: is missing: only a client with token_endpoint_auth_method ` +
				`"none" has none`,
			`FILE:1: clients[0].redirect_uris: is missing`,
		}},
		{name: "an id with NUL", content: `[{"client_id":"a\u0000","client_secret":"s",` +
			`"redirect_uris":["https://a.example/cb"]}]`, want: []string{
			`FILE:1: clients[0].client_id: contains a NUL byte`,
		}},
		{name: "an id too long", content: `[{"client_id":"` + strings.Repeat("a", 10<<10) +
			`","client_secret":"s","redirect_uris":["https://a.example/cb"]}]`,
			want: []string{`FILE:1: clients[0].client_id: is longer than 512 bytes`}},
		{name: "redirect URIs", content: `[{"client_id":"a","client_secret":"s","redirect_uris":
			["https://a.example/cb#f","/cb","http://a.example/cb","javascript:alert(1)",
			"https:///cb","http://localhost:1/cb"]}]`, want: []string{
			`FILE:1: clients[0].redirect_uris[0]: has a fragment`,
			`FILE:1: clients[0].redirect_uris[1]: has no scheme`,
			`FILE:1: clients[0].redirect_uris[2]: is http on another host than localhost: use https`,
			`FILE:1: clients[0].redirect_uris[3]: has the scheme "javascript"`,
			`FILE:1: clients[0].redirect_uris[4]: has no host`,
		}},
		{name: "a logout URI with a fragment", content: `[{` + goodClient +
			`,"backchannel_logout_uri":"https://a.example/out#here"}]`,
			want: []string{`FILE:1: clients[0].backchannel_logout_uri: has a fragment`}},
		{name: "a logout URI with no scheme", content: `[{` + goodClient +
			`,"backchannel_logout_uri":"a.example/out"}]`,
			want: []string{`FILE:1: clients[0].backchannel_logout_uri: has no scheme: it must be absolute`}},
		{name: "logout URIs of other kinds", content: `[{` + goodClient +
			`,"backchannel_logout_uri":"https://u:p@a.example/",` +
			`"frontchannel_logout_uri":"ftp://a.example/"}]`,
			want: []string{
				`FILE:1: clients[0].backchannel_logout_uri: has a user name or password`,
				`FILE:1: clients[0].frontchannel_logout_uri: has a scheme other than http and https`,
			}},
		{
			name:    "a front-channel logout URI of the client's own",
			content: `[{` + goodClient + `,"frontchannel_logout_uri":"https://A.example:443/out"}]`,
		},
		{name: "a front-channel logout URI elsewhere", content: `[{` + goodClient +
			`,"frontchannel_logout_uri":"https://a.example:8443/out"}]`,
			want: []string{
				`FILE:1: clients[0].frontchannel_logout_uri: has not scheme, host and port of one of ` +
					`redirect_uris`,
			}},
		{name: "ends that there are not", content: `[{` + goodClient +
			`,"muted_session_ends":["expiry","all"],"coordinate_lifetime_with_user_session":"no"}]`,
			want: []string{
				`FILE:1: clients[0].muted_session_ends[1]: is none of sign_out, expiry, removal, replacement`,
				`FILE:1: clients[0].coordinate_lifetime_with_user_session: is not true or false`,
			}},
		{name: "flows", content: `[{` + goodClient +
			`,"grant_types":["authorization_code","magic"],"response_types":["token"],` +
			`"token_endpoint_auth_method":"private_key_jwt"}]`,
			want: []string{
				`FILE:1: clients[0].token_endpoint_auth_method: is none of client_secret_basic, ` +
					`client_secret_post, none`,
				`FILE:1: clients[0].grant_types[1]: is none of authorization_code, refresh_token, ` +
					`client_credentials`,
				`FILE:1: clients[0].response_types[0]: is none of code`,
				`FILE:1: clients[0].response_types: and grant_types do not fit: code goes with ` +
					`authorization_code`,
			}},
		{name: "a public client with a secret", content: `[{` + goodClient +
			`,"token_endpoint_auth_method":"none"}]`,
			want: []string{
				`FILE:1: clients[0].client_secret: is set, but token_endpoint_auth_method is "none"`,
			}},
		{name: "every problem of every client", content: "[\n {" + goodClient + ",\n\"scope\":3},\n\n  " +
			"{\"client_id\":\"b\"}\n]", want: []string{
			`FILE:2: clients[0].scope: is not a string`,
			`FILE:5: clients[1].client_secret: is missing: only a client with token_endpoint_auth_method ` +
				`"none" has none`,
			`FILE:5: clients[1].redirect_uris: is missing`,
		}},
	}, func(path string) error {
		_, err := loadClients(path, newSecretHasher())
		return err
	})
}

func TestLoadedClient(t *testing.T) {
	t.Parallel()
	hash := newSecretHasher()
	clients, err := loadClients(writeFile(t, `[{"client_id":"a","client_name":"The A",
		"client_secret":"s e/c","redirect_uris":["https://a.example/cb"],
		"backchannel_logout_uri":"https://a.example/out","backchannel_logout_session_required":true,
		"frontchannel_logout_uri":"https://a.example/frame",
		"coordinate_lifetime_with_user_session":false,"muted_session_ends":["expiry","replacement"],
		"scope":"openid email","contacts":["x"]}]`), hash)
	if err != nil {
		t.Fatal(err)
	}
	c := clients["a"]
	if err := hash.Compare(t.Context(), c.GetHashedSecret(), []byte("s e/c")); err != nil {
		t.Errorf("the right secret: %v, want no error", err)
	}
	if err := hash.Compare(t.Context(), c.GetHashedSecret(), []byte("other")); err == nil {
		t.Error("a wrong secret was accepted")
	}
	if err := hash.Compare(t.Context(), hash.sum(nil), nil); err == nil {
		t.Error("an empty secret was accepted")
	}
	if got, want := c.GetBackChannelLogoutURI(), "https://a.example/out"; got != want ||
		!c.GetBackChannelLogoutSessionRequired() {
		t.Errorf("logout settings are %q, %v; want %q, true", got, c.GetBackChannelLogoutSessionRequired(),
			want)
	}
	if got := c.GetFrontChannelLogoutURI(); got != "https://a.example/frame" {
		t.Errorf("front-channel logout URI is %q", got)
	}
	if coordinate := c.GetCoordinateLifetimeWithUserSession(); coordinate == nil || *coordinate ||
		c.GetMutedSessionEnds() != ticketstore.EndByExpiry|ticketstore.EndByReplacement {
		t.Errorf("coordinate is %v and muted ends are %b, want what the file says", coordinate,
			c.GetMutedSessionEnds())
	}
	if got := string(c.extra["contacts"]); got != `["x"]` {
		t.Errorf("contacts were not kept: %q", got)
	}
	if diff := cmp.Diff([]string{"openid", "email"}, c.scopes); diff != "" {
		t.Errorf("scopes differ (-want +got):\n%s", diff)
	}
}

func TestLoadUsers(t *testing.T) {
	t.Parallel()
	checkLoad(t, []loadCase{
		{name: "empty", content: `[]`},
		{
			name: "good",
			content: `[{"username":"ann","password":"p","subject":"1","name":"Ann","email":"ann@a.example",` +
				`"role":"boss"}]`,
		},
		{name: "nothing in it", content: `[{}]`, want: []string{
			`FILE:1: users[0].username: is empty`,
			`FILE:1: users[0].subject: is empty`,
			`FILE:1: users[0].password: is empty`,
		}},
		{name: "duplicates", content: `[{"username":"ann","password":"p","subject":"1"},
			{"username":"ann","password":"p","subject":"2"},
			{"username":"ben","password":"p","subject":"1"}]`, want: []string{
			`FILE:2: users[1].username: is the same as that of users[0]`,
			`FILE:3: users[2].subject: is the same as that of users[0]`,
		}},
		{name: "too long", content: `[{"username":"ann","password":"` + strings.Repeat("p", 73) +
			`","subject":"` + strings.Repeat("s", 513) + `"}]`, want: []string{
			`FILE:1: users[0].subject: is longer than 512 bytes`,
			`FILE:1: users[0].password: is longer than 72 bytes`,
		}},
	}, func(path string) error {
		_, err := loadUsers(path)
		return err
	})
}

func TestAuthenticate(t *testing.T) {
	t.Parallel()
	loaded, err := loadUsers(writeFile(t, `[{"username":"ann","password":"right","subject":"1"}]`))
	if err != nil {
		t.Fatal(err)
	}
	if u, err := loaded.authenticate("ann", "right"); err != nil || u.subject != "1" {
		t.Errorf("the right password: %v, %v; want user 1", u, err)
	}
	for _, wrong := range [][2]string{{"ann", "wrong"}, {"ann", ""}, {"nobody", "nobody"}, {"", ""}} {
		if _, err := loaded.authenticate(wrong[0], wrong[1]); err == nil {
			t.Errorf("%q with %q was let in", wrong[0], wrong[1])
		}
	}
}

func TestSecretsOutliveARestart(t *testing.T) {
	t.Parallel()
	folder := filepath.Join(t.TempDir(), "data")
	first, err := loadSecrets(t.Context(), &options{data: folder}, "", slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	second, err := loadSecrets(t.Context(), &options{data: folder}, "", slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	if string(first.global) != string(second.global) || first.adminToken != second.adminToken ||
		first.signing.KeyID != second.signing.KeyID {
		t.Error("secrets differ after a restart, want the same")
	}
	given, err := loadSecrets(t.Context(), &options{data: folder}, testToken, slog.New(slog.DiscardHandler))
	if err != nil || given.adminToken != testToken {
		t.Errorf("a given admin token was not taken: %v", err)
	}
	for _, name := range []string{"signing-key.pem", "global-secret", "admin-token"} {
		info, err := os.Stat(filepath.Join(folder, name))
		if err != nil {
			t.Fatal(err)
		}
		if info.Mode().Perm() != 0o600 {
			t.Errorf("%s has mode %v, want 0600", name, info.Mode().Perm())
		}
	}
}

// Servers that share their keys read them from a folder that nothing is written to, and one whose keys are
// missing does not make others.
func TestSharedKeys(t *testing.T) {
	t.Parallel()
	folder := t.TempDir()
	first := &options{data: filepath.Join(folder, "first")}
	made, err := loadSecrets(t.Context(), first, "", slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	second := &options{data: filepath.Join(folder, "second"), keys: filepath.Join(folder, "keys")}
	if err := os.Mkdir(second.keys, 0o700); err != nil {
		t.Fatal(err)
	}
	for _, name := range keyFiles {
		if _, err := loadSecrets(t.Context(), second, "", slog.New(slog.DiscardHandler)); err == nil ||
			!strings.Contains(err.Error(), name) || !strings.Contains(err.Error(), "copy it from") {
			t.Errorf("without %s: %v", name, err)
		}
		content, err := os.ReadFile(filepath.Join(first.data, name))
		if err == nil { // an editor, or a secret store, adds the end of a line
			err = os.WriteFile(filepath.Join(second.keys, name), append(content, '\n'), 0o400)
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	read, err := loadSecrets(t.Context(), second, "", slog.New(slog.DiscardHandler))
	if err != nil || string(read.global) != string(made.global) || read.adminToken != made.adminToken ||
		read.signing.KeyID != made.signing.KeyID {
		t.Errorf("the shared keys are others, error %v", err)
	}
	if entries, err := os.ReadDir(second.data); err != nil || len(entries) > 0 {
		t.Errorf("the data folder has %v, error %v, want nothing", entries, err)
	}
	path := filepath.Join(second.keys, "admin-token")
	err = errors.Join(os.Remove(path), os.WriteFile(path, []byte("short\n"), 0o400))
	if err != nil {
		t.Fatal(err)
	}
	_, err = loadSecrets(t.Context(), second, "", slog.New(slog.DiscardHandler))
	if err == nil || !strings.Contains(err.Error(), path) || strings.Contains(err.Error(), "is made") {
		t.Errorf("a shared admin token that is too short: %v, want the file, and no promise", err)
	}
}

// One rule for all secrets: a start with one that others may read is refused, naming the file.
func TestSecretsOpenToOthers(t *testing.T) {
	t.Parallel()
	for _, name := range []string{"signing-key.pem", "global-secret", "admin-token"} {
		data := filepath.Join(t.TempDir(), "data")
		says(t, tryStart(t, data, "-issuer", "http://op.example"))
		path := filepath.Join(data, name)
		if err := os.Chmod(path, 0o644); err != nil {
			t.Fatal(err)
		}
		says(t, tryStart(t, data, "-issuer", "http://op.example"), path, "0644", "chmod o=")
		if err := os.Chmod(path, 0o640); err != nil {
			t.Fatal(err)
		}
		says(t, tryStart(t, data, "-issuer", "http://op.example"))
	}
	dsn := writeFile(t, "postgres://ann:s3cret@127.0.0.1:1/idp")
	if err := os.Chmod(dsn, 0o644); err != nil {
		t.Fatal(err)
	}
	err := tryStart(t, filepath.Join(t.TempDir(), "data"), "-backend", "postgres", "-dsn-file", dsn)
	says(t, err, "-dsn-file: "+dsn, "0644", "chmod o=")
	if strings.Contains(err.Error(), "s3cret") {
		t.Error("the error has the password")
	}
}

func TestExampleFiles(t *testing.T) {
	t.Parallel()
	clients, err := loadClients("testdata/clients.json", newSecretHasher())
	if err != nil || len(clients) != 2 {
		t.Errorf("%d clients, %v; want 2", len(clients), err)
	}
	loaded, err := loadUsers("testdata/users.json")
	if err != nil || len(loaded.byUsername) != 2 {
		t.Errorf("users: %v, want 2 of them", err)
	}
}

func TestAdminTokenFile(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		content string
		mode    os.FileMode
		want    string
	}{
		"a token":               {testToken, 0o600, ""},
		"a token with its line": {testToken + "\r\n", 0o400, ""},
		"a short one":           {"fifteen-letters\n", 0o600, "has fewer than 16 characters"},
		"an empty one":          {"", 0o600, "has fewer than 16 characters"},
		"read by the group":     {testToken, 0o440, ""},
		"read by everybody":     {testToken, 0o604, "has mode 0604 and is open to others: chmod o= it"},
	} {
		path := writeFile(t, c.content)
		if err := os.Chmod(path, c.mode); err != nil {
			t.Fatal(err)
		}
		log := &testenv.Log{}
		token, err := readAdminToken(t.Context(), path, slog.New(slog.NewTextHandler(log, nil)))
		if warned := strings.Contains(log.String(), "the group of a file"); warned != (c.mode&0o070 != 0) {
			t.Errorf("%s: warned %v", name, warned)
		}
		switch {
		case c.want == "" && (err != nil || token != testToken):
			t.Errorf("%s: %q, %v", name, token, err)
		case c.want != "" && (err == nil || err.Error() != path+" "+c.want):
			t.Errorf("%s: error is %v, want %q", name, err, c.want)
		case err != nil && c.content != "" && strings.Contains(err.Error(), strings.TrimSpace(c.content)):
			t.Errorf("%s: the error has the token", name)
		}
	}
	path := writeFile(t, testToken)
	if err := os.Chmod(path, 0o644); err != nil {
		t.Fatal(err)
	}
	o, err := parseOptions([]string{
		"-addr", "127.0.0.1:0", "-data", filepath.Join(t.TempDir(), "data"), "-admin-token-file", path,
	}, io.Discard)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := start(t.Context(), o, slog.New(slog.DiscardHandler)); err == nil ||
		!strings.Contains(err.Error(), "-admin-token-file: ") {
		t.Errorf("a start with a file that others can read: %v", err)
	}
}

func TestAdminTokenFlagWarns(t *testing.T) {
	t.Parallel()
	log := &testenv.Log{}
	startServerLogging(t, log)
	if text := log.String(); !strings.Contains(text, "use -admin-token-file") ||
		strings.Contains(text, testToken) {
		t.Errorf("the log says\n%s\nwant a warning", text)
	}
}

func TestDataFolderOfOthers(t *testing.T) {
	t.Parallel()
	folder := t.TempDir()
	for mode, want := range map[os.FileMode]string{
		0o700: "", 0o755: "", 0o775: "has mode 0775 and can be written to by others",
		0o707: "has mode 0707 and can be written to by others",
	} {
		if err := os.Chmod(folder, mode); err != nil {
			t.Fatal(err)
		}
		if err := checkDataFolder(folder); (want == "") != (err == nil) || err != nil &&
			!strings.Contains(err.Error(), want) {
			t.Errorf("mode %o: %v, want %q", mode, err, want)
		}
	}
	if err := os.Chmod(folder, 0o700); err != nil {
		t.Fatal(err)
	}
	if os.Geteuid() != 0 && os.Getenv("CI") == "" {
		t.Skip("only root can give a folder to somebody else")
	}
	if err := os.Chown(folder, 4711, -1); err != nil {
		t.Fatal(err)
	}
	if err := checkDataFolder(folder); err == nil ||
		!strings.Contains(err.Error(), "belongs to the user id 4711, and this server runs as 0") {
		t.Errorf("another owner: %v", err)
	}
}

// A system without owners reports modes that mean nothing, as a file system without them does here.
func TestModesWithoutOwners(t *testing.T) {
	t.Parallel()
	info, err := fs.Stat(fstest.MapFS{"data": {Mode: fs.ModeDir | 0o777}}, "data")
	if err != nil {
		t.Fatal(err)
	}
	if err := checkOwner("data", info); err != nil {
		t.Errorf("a folder without an owner is refused: %v", err)
	}
	folder := t.TempDir()
	if err := os.Chmod(folder, 0o777); err != nil {
		t.Fatal(err)
	}
	if info, err = os.Stat(folder); err != nil {
		t.Fatal(err)
	}
	if err := checkOwner(folder, info); err == nil ||
		!strings.Contains(err.Error(), "can be written to by others") {
		t.Errorf("a folder that others may write in: %v", err)
	}
}
