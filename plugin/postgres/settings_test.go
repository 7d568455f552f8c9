package postgres

// Invalid settings: each field is named, and no password is shown.

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/fosite-sessions/sessions/ticketstore"
)

func TestBadSettings(t *testing.T) {
	t.Parallel()
	empty := filepath.Join(t.TempDir(), "empty")
	if err := os.WriteFile(empty, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	open := filepath.Join(t.TempDir(), "open")
	if err := os.WriteFile(open, []byte("host=/tmp"), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.Chmod(open, 0o644); err != nil {
		t.Fatal(err)
	}
	for name, c := range map[string]struct {
		settings string
		says     []string
	}{
		"nothing":        {`{}`, []string{"dsn", "is missing", DSNEnv}},
		"unknown field":  {`{"dns": "x"}`, []string{"dns", "is not a setting"}},
		"wrong type":     {`{"connections": "8"}`, []string{"connections", "is a JSON string"}},
		"not JSON":       {`dsn=x`, []string{"not a JSON object"}},
		"more than one":  {`{"dsn": "host=/tmp"} {}`, []string{"more than one"}},
		"two DSNs":       {`{"dsn": "host=/tmp", "dsn_file": "x"}`, []string{"dsn_file", "once"}},
		"no such file":   {`{"dsn_file": "/nowhere/dsn"}`, []string{"dsn_file", "no such file"}},
		"an empty file":  {`{"dsn_file": "` + empty + `"}`, []string{"dsn_file", "empty"}},
		"open to others": {`{"dsn_file": "` + open + `"}`, []string{"dsn_file", open, "0644", "chmod o="}},
		"a password file readable by others": {
			`{"dsn": "host=/tmp", "password_file": "` + open + `"}`,
			[]string{"password_file", open, "chmod o="},
		},
		"no password file": {
			`{"dsn": "host=/tmp", "password_file": "/nowhere"}`,
			[]string{"password_file", "no such"},
		},
		"malformed": {
			`{"dsn": "postgres://ann:s3cret@[::1:x/db"}`,
			[]string{"dsn", "is not understood"},
		},
		"malformed pairs": {
			`{"dsn": "host=/tmp password=s3cret' user"}`,
			[]string{"dsn", "is not understood"},
		},
		"unknown parameters": {
			`{"dsn": "host=/tmp colour=red shape=round password=s3cret"}`,
			[]string{"dsn", "colour, shape"},
		},
		"unknown sslmode": {
			`{"dsn": "host=db.example sslmode=safe password=s3cret"}`,
			[]string{"dsn", "sslmode"},
		},
		"no certificate": {
			`{"dsn": "host=db.example sslmode=verify-full sslrootcert=/nowhere/ca.pem"}`,
			[]string{"dsn", "/nowhere/ca.pem"},
		},
		"not verified": {
			`{"dsn": "postgres://ann:s3cret@db.example/x"}`,
			[]string{"dsn", "db.example", "verify-full"},
		},
		"encrypted only": {
			`{"dsn": "postgres://db.example/x?sslmode=require"}`,
			[]string{"dsn", "verify-full"},
		},
		"one of two": {
			`{"dsn": "host=/tmp,db.example sslmode=prefer"}`,
			[]string{"dsn", "db.example"},
		},
		"pooler with settings": {
			`{"dsn": "host=/tmp statement_timeout=5", "pooler": true}`,
			[]string{"dsn", "pooler"},
		},
		"all at once": {
			`{"dsn": "host=/tmp colour=red", "schema": "pg_x", "connections": 1, "password_file": "/no"}`,
			[]string{"dsn", "colour", "schema", "connections", "password_file"},
		},
		"quoted schema": {`{"dsn": "host=/tmp", "schema": "Sessions"}`, []string{"schema"}},
	} {
		_, err := ParseSettings([]byte(c.settings))
		if err == nil {
			t.Errorf("%s: no error", name)
			continue
		}
		for _, word := range c.says {
			if !strings.Contains(err.Error(), word) {
				t.Errorf("%s: error %q, want %q in it", name, err, word)
			}
		}
		if strings.Contains(err.Error(), "s3cret") {
			t.Errorf("%s: %q shows the password", name, err)
		}
		if named := strings.Contains(c.says[0], " "); named == errors.Is(err, ticketstore.ErrInvalid) &&
			name != "unknown field" {
			t.Errorf("%s: %q, is ErrInvalid: %t", name, err, !named)
		}
	}
}

func TestValidSettings(t *testing.T) {
	t.Parallel()
	for _, settings := range []string{
		`{"dsn": "host=/run/postgresql"}`,
		`{"dsn": "postgres://ann@127.0.0.1:5432/x?sslmode=disable", "schema": "other", "connections": 20}`,
		`{"dsn": "postgres://ann@localhost/x?application_name=a&statement_timeout=5000"}`,
		`{"dsn": "postgres://ann@db.example/x?sslmode=verify-full"}`,
		`{"dsn": "postgres://ann@db.example/x?sslmode=disable", "unverified_tls": true}`,
		`{"dsn": "host=/tmp application_name=a", "pooler": true, "migrate": false, "runtime_role": "web"}`,
	} {
		if _, err := ParseSettings([]byte(settings)); err != nil {
			t.Errorf("%s: %v", settings, err)
		}
	}
}

func TestSettingsDoNotPrintThePassword(t *testing.T) {
	t.Parallel()
	s := Settings{DSN: "postgres://ann:s3cret@localhost/x"}
	for _, verb := range []string{"%v", "%+v", "%#v", "%s"} {
		if shown := fmt.Sprintf(verb, s); strings.Contains(shown, "s3cret") {
			t.Errorf("%s shows %s", verb, shown)
		}
	}
}

func TestDSNFromTheEnvironment(t *testing.T) {
	t.Setenv(DSNEnv, "host=/tmp user=ann colour=red")
	_, err := ParseSettings([]byte(`{}`))
	if err == nil || !strings.Contains(err.Error(), DSNEnv) || !strings.Contains(err.Error(), "colour") {
		t.Errorf("an unknown parameter in the environment: %v", err)
	}
	t.Setenv(DSNEnv, "host=/tmp user=ann")
	if _, err := ParseSettings([]byte(`{}`)); err != nil {
		t.Error(err)
	}
}
