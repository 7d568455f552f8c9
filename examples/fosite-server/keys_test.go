package main

import (
	"encoding/base64"
	"errors"
	"io"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"testing/fstest"

	"github.com/fosite-sessions/sessions/plugin/plugintest/testenv"
)

func TestSecretsSurviveRestart(t *testing.T) {
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
		t.Errorf("the given admin token is not used: %v", err)
	}
	for name, want := range map[string]string{
		"admin-token": testToken, "global-secret": base64.RawURLEncoding.EncodeToString(first.global),
	} { // as an editor and echo write them
		if err := os.WriteFile(filepath.Join(folder, name), []byte(want+"\n"), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	edited, err := loadSecrets(t.Context(), &options{data: folder}, "", slog.New(slog.DiscardHandler))
	if err != nil || edited.adminToken != testToken || string(edited.global) != string(first.global) {
		t.Errorf("keys in files with a final newline differ: %v", err)
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

// Shared keys are read from a folder that servers do not write to. A server without its keys does not start.
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
		if err == nil { // with a final newline of an editor or a secret store
			err = os.WriteFile(filepath.Join(second.keys, name), append(content, '\n'), 0o400)
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	read, err := loadSecrets(t.Context(), second, "", slog.New(slog.DiscardHandler))
	if err != nil || string(read.global) != string(made.global) || read.adminToken != made.adminToken ||
		read.signing.KeyID != made.signing.KeyID {
		t.Errorf("the shared keys differ, error %v", err)
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
		t.Errorf("a shared admin token that is too short: %v, want the file named", err)
	}
}

// A start with a secret that others may read is refused, with the name of the file.
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

func TestAdminTokenFile(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		content string
		mode    os.FileMode
		want    string
	}{
		"a token":                {testToken, 0o600, ""},
		"a token with a newline": {testToken + "\r\n", 0o400, ""},
		"a short token":          {"fifteen-letters\n", 0o600, "has fewer than 16 characters"},
		"an empty token":         {"", 0o600, "has fewer than 16 characters"},
		"readable by the group":  {testToken, 0o440, ""},
		"readable by all":        {testToken, 0o604, "has mode 0604 and is open to others: chmod o= it"},
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
		t.Skip("needs root to change owners")
	}
	if err := os.Chown(folder, 4711, -1); err != nil {
		t.Fatal(err)
	}
	if err := checkDataFolder(folder); err == nil ||
		!strings.Contains(err.Error(), "belongs to the user id 4711, and this server runs as 0") {
		t.Errorf("another owner: %v", err)
	}
}

// On a system without owners modes have no meaning, as on a file system without owners here.
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
		t.Errorf("a folder that others may write to: %v", err)
	}
}
