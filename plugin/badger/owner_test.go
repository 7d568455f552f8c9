//go:build linux

package badger_test

import (
	"bytes"
	"errors"
	"io"
	"io/fs"
	"log/slog"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"

	"github.com/fosite-sessions/sessions/plugin/badger"
)

// Settings of the other user's process.
const (
	ownerEnv    = "BADGER_OWNER_PATH"
	ownerSIDEnv = "BADGER_OWNER_SID"
	ownerUmask  = "BADGER_OWNER_UMASK"
)

// needRoot skips a test that needs to change users. In CI it fails.
func needRoot(t *testing.T) {
	t.Helper()
	if os.Geteuid() == 0 {
		return
	}
	if os.Getenv("CI") != "" {
		t.Fatal("needs root to change users: CI runs as root")
	}
	t.Skip("needs root to change users")
}

// TestOpenOfAnotherUser is not a test: it is another user's process, which creates a session.
func TestOpenOfAnotherUser(t *testing.T) {
	path := os.Getenv(ownerEnv)
	if path == "" {
		t.Skip("a process of TestFolderOfAGroup")
	}
	umask, err := strconv.ParseInt(os.Getenv(ownerUmask), 8, 32)
	if err != nil {
		t.Fatal(err)
	}
	syscall.Umask(int(umask))
	e, err := badger.Open(t.Context(), badger.Settings{Path: path},
		slog.New(slog.NewTextHandler(os.Stdout, nil)))
	if err != nil {
		t.Fatal(err)
	}
	if err := errors.Join(create(t, e, os.Getenv(ownerSIDEnv)), e.Close()); err != nil {
		t.Fatal(err)
	}
}

// program returns a copy of the test binary that every user may execute.
func program(t *testing.T) string {
	t.Helper()
	self, err := os.Open(os.Args[0])
	if err != nil {
		t.Fatal(err)
	}
	defer self.Close()
	path := filepath.Join(openToAll(t), "program")
	file, err := os.OpenFile(path, os.O_CREATE|os.O_WRONLY, 0o755)
	if err != nil {
		t.Fatal(err)
	}
	_, err = io.Copy(file, self)
	if err := errors.Join(err, file.Close()); err != nil {
		t.Fatal(err)
	}
	return path
}

// openToAll returns a folder that every user may enter.
func openToAll(t *testing.T) string {
	t.Helper()
	folder := t.TempDir()
	for at := folder; at != filepath.Clean(os.TempDir()) && at != "/"; at = filepath.Dir(at) {
		if err := os.Chmod(at, 0o755); err != nil {
			t.Fatal(err)
		}
	}
	return folder
}

// A folder of a group of the process is accepted with a warning. A refused folder stays empty, and the error
// names its owner.
func TestFolderOfAGroup(t *testing.T) {
	t.Parallel()
	needRoot(t)
	binary := program(t)
	for name, c := range map[string]struct {
		uid, gid int // of the folder
		mode     os.FileMode
		umask    string
		says     string // of the refusal
	}{
		"a Kubernetes volume": {uid: 0, gid: 1000, mode: 0o775 | fs.ModeSetgid,
			umask: "007"},
		"a folder of the group alone": {uid: 0, gid: 1000, mode: 0o770 | fs.ModeSetgid,
			umask: "007"},
		"files that others can read": {uid: 0, gid: 1000, mode: 0o775 | fs.ModeSetgid, umask: "022",
			says: "umask"},
		"a folder that others can write to": {uid: 0, gid: 1000, mode: 0o777, umask: "007",
			says: "others may write in it"},
		"a folder without group access": {uid: 0, gid: 1000, mode: 0o755, umask: "007",
			says: "it may not write in it"},
		"a folder of another group": {uid: 1002, gid: 1002, mode: 0o775, umask: "007",
			says: "belongs to uid 1002 and group 1002"},
		"a private folder of another user": {uid: 1002, gid: 1002, mode: 0o700, umask: "007",
			says: "belongs to uid 1002"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			path := filepath.Join(openToAll(t), "store")
			if err := errors.Join(os.Mkdir(path, 0o700), os.Chown(path, c.uid, c.gid),
				os.Chmod(path, c.mode)); err != nil {
				t.Fatal(err)
			}
			for i, uid := range []uint32{1000, 1001, 1000} {
				child := exec.CommandContext(t.Context(), binary, "-test.run=^TestOpenOfAnotherUser$",
					"-test.v")
				child.Env = append(os.Environ(), ownerEnv+"="+path, ownerSIDEnv+"=sid"+strconv.Itoa(i),
					ownerUmask+"="+c.umask)
				child.Dir = "/"
				child.SysProcAttr = &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: uid, Gid: 1000}}
				output, err := child.CombinedOutput()
				switch {
				case c.says == "" && (err != nil || !bytes.Contains(output, []byte("belongs to a group"))):
					t.Fatalf("uid %d: error %v, want it to open with a warning\n%s", uid, err, output)
				case c.says != "" && (err == nil || !bytes.Contains(output, []byte(c.says))):
					t.Fatalf("uid %d: error %v, want one that says %q\n%s", uid, err, c.says, output)
				}
			}
			entries, err := os.ReadDir(path)
			if err != nil {
				t.Fatal(err)
			}
			if c.says != "" {
				if len(entries) > 0 {
					t.Errorf("the refused folder has files %v", entries)
				}
				return
			}
			for _, entry := range entries {
				info, err := entry.Info()
				if err != nil || info.Mode().Perm()&0o007 != 0 || info.Mode().Perm()&0o060 != 0o060 {
					t.Errorf("%s has mode %v, error %v; want access for owner and group only",
						entry.Name(), info.Mode(), err)
				}
			}
			for i := range 3 {
				if _, err := openReadOnly(t, badger.Settings{Path: path}).Tickets().Find(t.Context(),
					"sid"+strconv.Itoa(i)); err != nil {
					t.Errorf("session %d: %v", i, err)
				}
			}
		})
	}
}

// CheckOwner names the owner to a command that runs as root.
func TestCheckOwner(t *testing.T) {
	t.Parallel()
	needRoot(t)
	path := t.TempDir()
	if err := badger.CheckOwner(path); err != nil {
		t.Errorf("of an own folder: %v", err)
	}
	if err := badger.CheckOwner(filepath.Join(path, "missing")); err != nil {
		t.Errorf("of a folder that is missing: %v", err)
	}
	if err := os.Chown(path, 1000, 1000); err != nil {
		t.Fatal(err)
	}
	if err := badger.CheckOwner(path); err == nil || !strings.Contains(err.Error(),
		"run the command as that user") {
		t.Errorf("of another user's folder: %v", err)
	}
}

// Root is refused in a group's folder, and its mode is kept: the server could not read files of root.
func TestRootOnTheFolderOfAGroup(t *testing.T) {
	t.Parallel()
	needRoot(t)
	binary := program(t)
	path := filepath.Join(openToAll(t), "store")
	err := errors.Join(os.Mkdir(path, 0o700), os.Chown(path, 0, 1000), os.Chmod(path, 0o775|fs.ModeSetgid))
	if err != nil {
		t.Fatal(err)
	}
	refused := func(who string) {
		t.Helper()
		want := "--reuid=" + who + " --regid=1000"
		if err := badger.CheckOwner(path); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("as root: %v, want an error with %q", err, want)
		}
	}
	signIn := func(sid string, as syscall.Credential) {
		t.Helper()
		child := exec.CommandContext(t.Context(), binary, "-test.run=^TestOpenOfAnotherUser$", "-test.v")
		child.Env = append(os.Environ(), ownerEnv+"="+path, ownerSIDEnv+"="+sid, ownerUmask+"=022")
		child.Dir = "/"
		child.SysProcAttr = &syscall.SysProcAttr{Credential: &as}
		if output, err := child.CombinedOutput(); err != nil {
			t.Fatalf("uid %d: %v\n%s", as.Uid, err, output)
		}
	}
	refused("UID")
	signIn("of root", syscall.Credential{})
	if info, err := os.Stat(path); err != nil || info.Mode().Perm() != 0o770 ||
		info.Mode()&fs.ModeSetgid == 0 {
		t.Errorf("after root the folder has mode %v, %v", info.Mode(), err)
	}
	if err := badger.CheckOwner(path); err != nil {
		t.Errorf("root with a store of root: %v", err)
	}
	signIn("of the group", syscall.Credential{Uid: 1000, Gid: 1000})
	refused("1000")
	signIn("of root again", syscall.Credential{})
	signIn("of the group again", syscall.Credential{Uid: 1001, Gid: 1000})
}
