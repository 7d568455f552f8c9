package main

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/fosite-sessions/sessions/ticketstore"
)

// loadCase is a file with the lines of its expected problems.
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

// goodClient has the fields of a valid client, to which a test adds others.
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
			name:    "null is like missing",
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
		{name: "data after the array", content: "[]\n[]", want: []string{`FILE:2: has more after the array`}},
		{name: "no object", content: `["a"]`, want: []string{`FILE:1: clients[0]: is not an object`}},
		{
			name: "a duplicate field", content: `[{"client_id":"a","client_id":"b"}]`,
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
		{name: "unknown ends", content: `[{` + goodClient +
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
			t.Errorf("%q with %q was accepted", wrong[0], wrong[1])
		}
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
