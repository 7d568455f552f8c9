//go:build linux

package cli_test

import (
	"crypto/sha256"
	"errors"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"github.com/fosite-sessions/sessions/plugin/badger"
	"github.com/fosite-sessions/sessions/plugin/badger/cli"
)

// stateOf returns the metadata and contents of a folder and its files, except access times.
func stateOf(t *testing.T, folder string) map[string]string {
	t.Helper()
	state := map[string]string{}
	err := filepath.Walk(folder, func(path string, info os.FileInfo, err error) error {
		if err != nil {
			return err
		}
		var data []byte
		if info.Mode().IsRegular() {
			data, err = os.ReadFile(path)
		}
		owner := info.Sys().(*syscall.Stat_t)
		state[path] = fmt.Sprintf("%v %v %d:%d %x", info.Mode(), info.ModTime(), owner.Uid, owner.Gid,
			sha256.Sum256(data))
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return state
}

// A read-only command of any user changes nothing, also after a kill of the server. A command that writes
// names the user that must run it.
func TestReadOnlyCommandsAsAnotherUser(t *testing.T) {
	t.Parallel()
	if os.Geteuid() != 0 && os.Getenv("CI") != "" {
		t.Fatal("needs root to change owners: CI runs as root")
	}
	if os.Geteuid() != 0 {
		t.Skip("needs root to change owners")
	}
	closed := newStore(t, badger.Settings{})
	killed := filepath.Join(t.TempDir(), "killed")
	copyOpen(t, closed, killed)
	for _, path := range []string{closed, killed} {
		err := filepath.Walk(path, func(name string, _ os.FileInfo, err error) error {
			return errors.Join(err, os.Lchown(name, 1000, 1000))
		})
		if err != nil {
			t.Fatal(err)
		}
		before := stateOf(t, path)
		command(t, "check", path).want(t, cli.Done, "80 records", "nothing wrong")
		command(t, "stats", path).want(t, cli.Done, "sessions      20")
		command(t, "export", path, filepath.Join(t.TempDir(), "file")).want(t, cli.Done, "80 records")
		command(t, "migrate", path).want(t, cli.Failed, "belongs to", "run the command as that user")
		command(t, "import", path, "-").want(t, cli.Failed)
		if after := stateOf(t, path); !maps.Equal(before, after) {
			t.Errorf("before the command\n%v\nafter it\n%v", before, after)
		}
	}
}

// A check names a table with an overwritten block, and does not panic.
func TestCheckNamesADamagedTable(t *testing.T) {
	t.Parallel()
	for name, settings := range map[string]badger.Settings{
		"plain": {}, "encrypted": {EncryptionKey: strings.Repeat("ab", 16)},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			path := newStore(t, settings, 1<<10)
			args := []string{"check", path}
			if settings.EncryptionKey != "" {
				key := filepath.Join(t.TempDir(), "key")
				if err := os.WriteFile(key, []byte(settings.EncryptionKey), 0o600); err != nil {
					t.Fatal(err)
				}
				args = append(args, "-encryption-key-file", key)
			}
			tables, err := filepath.Glob(filepath.Join(path, "*.sst"))
			if err != nil || len(tables) == 0 {
				t.Fatalf("tables %v, error %v", tables, err)
			}
			table, err := os.ReadFile(tables[0])
			if err != nil {
				t.Fatal(err)
			}
			command(t, args...).want(t, cli.Done, "nothing wrong")
			for at := range 64 {
				damaged := append([]byte(nil), table...)
				for i := range 16 {
					damaged[at*len(table)/256+i] ^= 0xff
				}
				if err := os.WriteFile(tables[0], damaged, 0o600); err != nil {
					t.Fatal(err)
				}
				command(t, args...).want(t, cli.Findings, "are damaged", filepath.Base(tables[0]))
			}
		})
	}
}
