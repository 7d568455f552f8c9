package cli_test

// Tests of the offline commands on stores in temporary folders.

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	dgraph "github.com/dgraph-io/badger/v4"

	"github.com/fosite-sessions/sessions/grantstore"
	"github.com/fosite-sessions/sessions/plugin/badger"
	"github.com/fosite-sessions/sessions/plugin/badger/cli"
	"github.com/fosite-sessions/sessions/ticketstore"
)

var now = time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)

const sessions = 20

// newStore creates and closes a store with sessions, with tickets of that many bytes, and grants.
func newStore(t *testing.T, settings badger.Settings, ticket ...int) string {
	t.Helper()
	sealed := []byte("sealed")
	if len(ticket) > 0 {
		sealed = bytes.Repeat([]byte("t"), ticket[0])
	}
	if settings.Path == "" {
		settings.Path = filepath.Join(t.TempDir(), "store")
	}
	e := openStore(t, settings)
	for i := range sessions {
		sid := fmt.Sprintf("sid-%d", i)
		err := e.Tickets().Create(t.Context(), &ticketstore.Session{
			Key: ticketstore.KeyOf(sid), SessionID: sid, SubjectID: "ann", Issuer: "https://op.example",
			AuthTime: now, Created: now,
			Renewed: now, Expires: now.Add(time.Hour), Ticket: sealed,
		})
		if err != nil {
			t.Fatal(err)
		}
		grant := grantstore.Grant{
			Ref:       grantstore.Ref{Type: grantstore.RefreshToken, Key: ticketstore.KeyOf(sid)},
			RequestID: sid, SubjectID: "ann", SessionID: sid, ClientID: "photos", Created: now,
			Expires: now.Add(time.Hour),
		}
		batch := grantstore.Batch{OperationID: "op-" + sid, Store: []grantstore.Grant{grant}}
		_, err = e.Grants().Apply(t.Context(), &batch, now)
		if err != nil {
			t.Fatal(err)
		}
	}
	if err := e.Close(); err != nil {
		t.Fatal(err)
	}
	return settings.Path
}

func openStore(t *testing.T, settings badger.Settings) *badger.Engine {
	t.Helper()
	noSync := false
	settings.Sync = &noSync
	e, err := badger.Open(t.Context(), settings, slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = e.Close() })
	return e
}

// outcome is the result of a command line.
type outcome struct {
	code           int
	stdout, stderr string
}

func command(t *testing.T, args ...string) outcome {
	t.Helper()
	return commandWith(t, cli.Env{Args: args})
}

func commandWith(t *testing.T, env cli.Env) outcome {
	t.Helper()
	var stdout, stderr bytes.Buffer
	env.Name, env.Stderr = "sessions-badger", &stderr
	if env.Stdout == nil {
		env.Stdout = &stdout
	}
	if env.Stdin == nil {
		env.Stdin = strings.NewReader("")
	}
	code := cli.Run(t.Context(), env)
	return outcome{code, stdout.String(), stderr.String()}
}

func (o outcome) want(t *testing.T, code int, says ...string) {
	t.Helper()
	if o.code != code {
		t.Errorf("exit code %d, want %d; standard output:\n%s\nstandard error:\n%s", o.code, code, o.stdout,
			o.stderr)
	}
	for _, text := range says {
		if !strings.Contains(o.stdout+o.stderr, text) {
			t.Errorf("no %q in standard output:\n%s\nor standard error:\n%s", text, o.stdout,
				o.stderr)
		}
	}
}

// object reads the one JSON object on standard output.
func (o outcome) object(t *testing.T) map[string]any {
	t.Helper()
	var object map[string]any
	decoder := json.NewDecoder(strings.NewReader(o.stdout))
	if err := decoder.Decode(&object); err != nil {
		t.Fatalf("standard output is not a JSON object: %v\n%s", err, o.stdout)
	}
	if _, err := decoder.Token(); !errors.Is(err, io.EOF) {
		t.Errorf("there is more than one JSON object:\n%s", o.stdout)
	}
	return object
}

func files(t *testing.T, folder string) string {
	t.Helper()
	entries, err := os.ReadDir(folder)
	if err != nil && !errors.Is(err, os.ErrNotExist) {
		t.Fatal(err)
	}
	all := make([]string, 0, len(entries))
	for _, e := range entries {
		all = append(all, e.Name())
	}
	return strings.Join(all, " ")
}

func TestHelp(t *testing.T) {
	t.Parallel()
	command(t).want(t, cli.Failed, "A server starts it by itself", "check FOLDER", "export FOLDER FILE",
		"store format", "Exit codes")
	command(t, "help").want(t, cli.Done, "migrate FOLDER")
	command(t, "check", "-h").want(t, cli.Done, "migrate FOLDER")
	command(t, "repair").want(t, cli.Failed, `there is no command "repair"`)
	command(t, "-loud", "check").want(t, cli.Failed, "-loud")
	command(t, "-json", "check").want(t, cli.Failed, `"error": "it takes FOLDER"`) // flags may come first
}

// A backup of a plain store is imported into an encrypted one, whose backup goes through standard output and
// input.
func TestExportAndImport(t *testing.T) {
	t.Parallel()
	folder := t.TempDir()
	path := newStore(t, badger.Settings{})
	file, key := filepath.Join(folder, "sessions.backup"), filepath.Join(folder, "key")
	if err := os.WriteFile(key, []byte(strings.Repeat("ab", 32)+"\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	command(t, "export", path, file).want(t, cli.Done, "20 sessions, 20 grants")
	command(t, "export", path, file).want(t, cli.Failed, "exists: give -force to replace it")
	command(t, "export", path, file, "-force").want(t, cli.Done, "20 sessions, 20 grants")
	if info, err := os.Stat(file); err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("the backup has mode %v, error %v; want 0600", info.Mode(), err)
	}
	encrypted := filepath.Join(folder, "encrypted")
	done := command(t, "import", "-json", encrypted, "-encryption-key-file", key, file)
	done.want(t, cli.Done)
	if object := done.object(t); object["records"] != float64(4*sessions) {
		t.Errorf("got %v, want %d records", object, 4*sessions)
	}
	command(t, "check", encrypted).want(t, cli.Failed, "encryption_key")
	command(t, "check", encrypted, "-encryption-key-file", key).want(t, cli.Done, "80 records",
		"nothing wrong")
	command(t, "stats", encrypted, "-encryption-key-file", key).want(t, cli.Done, "encrypted     yes",
		"sessions      20", "state         active",
		"before compression, most of it: ")

	var stream bytes.Buffer
	commandWith(t,
		cli.Env{
			Args: []string{"export", "-encryption-key-file", key, encrypted, "-"}, Stdout: &stream,
		}).want(t, cli.Done, "20 sessions")
	plain := filepath.Join(folder, "plain")
	commandWith(t, cli.Env{Args: []string{"import", plain, "-"}, Stdin: &stream}).want(t, cli.Done,
		"is as it was on")
	command(t, "check", plain).want(t, cli.Done, "nothing wrong")
	e := openStore(t, badger.Settings{Path: plain})
	if _, err := e.Tickets().Get(t.Context(), ticketstore.KeyOf("sid-7")); err != nil {
		t.Errorf("a session of the restored store: %v", err)
	}
	if left := files(t, folder); left != "encrypted key plain sessions.backup" {
		t.Errorf("the folder holds %q", left)
	}
}

func TestCheckFindsDamage(t *testing.T) {
	t.Parallel()
	path := newStore(t, badger.Settings{})
	command(t, "check", path).want(t, cli.Done, "nothing wrong")
	change(t, path, func(txn *dgraph.Txn) error {
		return errors.Join(txn.Delete([]byte("ssid-3")), txn.Set([]byte("ssid-4"), []byte("?")))
	})
	before := files(t, path)
	found := command(t, "check", path)
	found.want(t, cli.Findings, `sessions, "sid-4": cannot be read`, "belongs to no record",
		"is bound to a session that neither exists", "findings")
	key := ticketstore.KeyOf("sid-3")
	if strings.Contains(found.stdout, string(key[:])) {
		t.Error("the findings contain the key of a session")
	}
	few := command(t, "check", "-json", "-max", "2", path)
	few.want(t, cli.Findings)
	if object := few.object(t); len(object["findings"].([]any)) != 2 || object["more"] != true {
		t.Errorf("got %v, want two findings and more", object)
	}
	if after := files(t, path); after != before {
		t.Errorf("the folder held %q before and %q after", before, after)
	}
	// Damaged rows are not exported.
	command(t, "export", path, filepath.Join(t.TempDir(), "file")).want(t, cli.Failed, "damaged")
}

func TestStoreInUseIsRefused(t *testing.T) {
	t.Parallel()
	path := newStore(t, badger.Settings{})
	file := filepath.Join(t.TempDir(), "file")
	command(t, "export", path, file).want(t, cli.Done)
	openStore(t, badger.Settings{Path: path})
	for _, args := range [][]string{
		{"check", path}, {"stats", path}, {"export", path, file + "2"}, {"import", path, file},
		{"migrate", path},
	} {
		command(t, args...).want(t, cli.Failed, "in use by another process")
	}
	if left := files(t, filepath.Dir(file)); left != "file" {
		t.Errorf("the folder holds %q", left)
	}
}

func TestBadInput(t *testing.T) {
	t.Parallel()
	folder := t.TempDir()
	path, file := newStore(t, badger.Settings{}), filepath.Join(folder, "good")
	command(t, "export", path, file).want(t, cli.Done)
	write := func(name, text string) string {
		t.Helper()
		name = filepath.Join(folder, name)
		if err := os.WriteFile(name, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		return name
	}
	nowhere, empty := filepath.Join(folder, "nowhere"), filepath.Join(folder, "empty")
	if err := os.Mkdir(empty, 0o700); err != nil {
		t.Fatal(err)
	}
	for name, c := range map[string]struct {
		args []string
		says string
	}{
		"no folder":           {[]string{"check"}, "it takes FOLDER"},
		"too many":            {[]string{"check", path, path}, "it takes FOLDER"},
		"an unknown flag":     {[]string{"check", path, "-fix"}, "-fix"},
		"a missing folder":    {[]string{"check", nowhere}, "does not exist"},
		"an empty folder":     {[]string{"stats", empty}, "is empty"},
		"a file for a folder": {[]string{"export", file, nowhere}, "folder"},
		"a folder for a file": {[]string{"export", path, empty}, "is no file"},
		"a file in no folder": {
			[]string{"export", path, filepath.Join(nowhere, "x")}, "no such file",
		},
		"JSON into the backup": {[]string{"export", "-json", path, "-"}, "name a file"},
		"no key file": {
			[]string{"check", "-encryption-key-file", nowhere, path}, "no such file",
		},
		"an empty key file": {
			[]string{"check", "-encryption-key-file", write("no-key", "\n"), path}, "is empty",
		},
		"a key file without a key": {
			[]string{"check", "-encryption-key-file", write("bad-key", "secret!"), path}, "encryption_key",
		},
		"a key for a plain store": {
			[]string{"check", "-encryption-key-file", write("key", strings.Repeat("ab", 16)), path},
			"encryption_key",
		},
		"a missing backup": {[]string{"import", nowhere, nowhere}, "no such file"},
		"a file that is not a backup": {
			[]string{"import", nowhere, write("none", "holiday pictures")}, "no backup",
		},
		"an empty backup": {[]string{"import", nowhere, write("nothing", "")}, "no backup"},
		"a backup truncated in its header": {
			[]string{"import", nowhere, write("header", "fosite-sessions backup\nH")}, "cut short",
		},
		"a folder with other files": {[]string{"import", folder, file}, "not a session store"},
		"a store that is not empty": {[]string{"import", path, file}, "not empty"},
		"migrate a missing store":   {[]string{"migrate", nowhere}, "does not exist"},
	} {
		t.Run(name, func(t *testing.T) {
			o := command(t, c.args...)
			o.want(t, cli.Failed, c.says)
			if strings.Contains(o.stderr, "secret!") {
				t.Error("the output contains the encryption key")
			}
		})
	}
	if _, err := os.Stat(nowhere); err == nil {
		t.Error("a folder was created")
	}
	if left := files(t, empty); left != "" {
		t.Errorf("the empty folder holds %q", left)
	}
	command(t, "check", path).want(t, cli.Done, "80 records")
}

// A store imported from a damaged backup is not served, and an intact backup can be imported into it.
func TestDamagedBackupIsNotServed(t *testing.T) {
	t.Parallel()
	folder := t.TempDir()
	file, bad, target := filepath.Join(folder, "good"), filepath.Join(folder, "bad"),
		filepath.Join(folder, "target")
	command(t, "export", newStore(t, badger.Settings{}), file).want(t, cli.Done)
	good, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	edited := bytes.Clone(good)
	edited[len(edited)/2] ^= 1
	for name, damaged := range map[string][]byte{
		"cut short": good[:len(good)-10], "edited": edited,
		"with data after its end": append(bytes.Clone(good), '\n'),
	} {
		if err := os.WriteFile(bad, damaged, 0o600); err != nil {
			t.Fatal(err)
		}
		command(t, "import", target, bad).want(t, cli.Failed, "damaged or cut short",
			"is not complete and does not serve")
		command(t, "check", target).want(t, cli.Findings, "is the incomplete target")
		command(t, "stats", target).want(t, cli.Done, "abandoned: the incomplete target")
		command(t, "export", target, bad+"2").want(t, cli.Failed, "not complete")
		e := openStore(t, badger.Settings{Path: target})
		_, err := e.Tickets().Get(t.Context(), ticketstore.KeyOf("sid-7"))
		if !errors.Is(err, ticketstore.ErrUnavailable) {
			t.Errorf("%s: the store is served: %v", name, err)
		}
		if err := e.Close(); err != nil {
			t.Fatal(err)
		}
	}
	command(t, "import", target, file).want(t, cli.Done)
	command(t, "check", target).want(t, cli.Done, "80 records")
}

// failing is a disk without free space.
type failing struct{}

func (failing) Write([]byte) (int, error) { return 0, errors.New("no space left on device") }

func TestExportWriteError(t *testing.T) {
	t.Parallel()
	path := newStore(t, badger.Settings{})
	commandWith(t, cli.Env{Args: []string{"export", path, "-"}, Stdout: failing{}}).want(t, cli.Failed,
		"no space left on device")
	command(t, "check", path).want(t, cli.Done)
}

func TestProgressOnATerminal(t *testing.T) {
	t.Parallel()
	path := newStore(t, badger.Settings{})
	clock := now
	tick := func() time.Time { clock = clock.Add(time.Second); return clock }
	file := filepath.Join(t.TempDir(), "file")
	commandWith(t, cli.Env{Args: []string{"export", path, file}, Terminal: true, Now: tick}).want(t, cli.Done,
		"\rexport: 80 of 80, 80/s, 0s left", "20 sessions")
	again := []string{"export", "-force", path, file}
	if o := commandWith(t, cli.Env{Args: again, Now: tick}); o.stderr != "" {
		t.Errorf("without a terminal: %q on standard error", o.stderr)
	}
}

// change changes a database that no engine has open.
func change(t *testing.T, path string, f func(txn *dgraph.Txn) error) {
	t.Helper()
	db, err := dgraph.Open(dgraph.DefaultOptions(path).WithLogger(nil))
	if err != nil {
		t.Fatal(err)
	}
	if err := errors.Join(db.Update(f), db.Close()); err != nil {
		t.Fatal(err)
	}
}

func TestOlderFormat(t *testing.T) {
	t.Parallel()
	path, file := newStore(t, badger.Settings{}), filepath.Join(t.TempDir(), "file")
	change(t, path, func(txn *dgraph.Txn) error { return txn.Delete([]byte("mc")) })
	if err := os.WriteFile(filepath.Join(path, "SESSIONS"), []byte("fosite-sessions badger format 1\n"),
		0o600); err != nil {
		t.Fatal(err)
	}
	command(t, "check", path).want(t, cli.Done, "80 records", "nothing wrong")
	command(t, "stats", path).want(t, cli.Done, "1, the newest is 5", "sessions      20")
	command(t, "export", path, file).want(t, cli.Failed, "migrate it to 5 first")
	command(t, "migrate", path).want(t, cli.Done, "had format 1 and has format 5 now")
	command(t, "migrate", path).want(t, cli.Done, "has format 5, the newest")
	command(t, "migrate", path, "-json").want(t, cli.Done, `"from": 5`)
	command(t, "export", path, file).want(t, cli.Done, "80 records")
}
