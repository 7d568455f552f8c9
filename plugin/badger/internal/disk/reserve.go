package disk

// The reserve: files given up so that removals still succeed on a full disk.

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"syscall"

	"github.com/dgraph-io/badger/v4"

	"github.com/fosite-sessions/sessions/plugin/badger/internal/files"
)

// Files that a database creates before it removes others. With no more than LeastInodes left on the file
// system changes are refused. What ends goes on until few are left, then with those of the reserve, which are
// files with nothing in them, made when the database is opened.
const (
	LeastInodes   = 64
	fewInodes     = 16
	reserveFolder = "RESERVE"
	ReserveInodes = 32
)

// makeReserve makes the reserve, and finds out on the way whether the system lets this process create files.
func makeReserve(path string) error {
	folder := filepath.Join(path, reserveFolder)
	err := os.Mkdir(folder, ForOwner)
	if err == nil && OfGroup(path) {
		err = os.Chmod(folder, ForOwner|forGroup) // another process of it may give the reserve up
	}
	if err != nil && !errors.Is(err, fs.ErrExist) {
		return err
	}
	for i := range ReserveInodes {
		name := filepath.Join(folder, fmt.Sprint(i))
		file, err := os.OpenFile(name, os.O_CREATE|os.O_EXCL|os.O_WRONLY, 0o600)
		if errors.Is(err, fs.ErrExist) {
			continue
		}
		if err != nil {
			return err
		}
		if err := file.Close(); err != nil {
			return err
		}
	}
	return nil
}

// GiveReserve gives the reserve up and reports whether there was one.
func GiveReserve(path string) bool {
	folder := filepath.Join(path, reserveFolder)
	if _, err := os.Stat(folder); err != nil {
		return false
	}
	return os.RemoveAll(folder) == nil
}

const (
	probeFile = reserveFolder + "/probe"
	// probeLeast is what is written where no log wants more.
	probeLeast = 1 << 20
)

// probe finds out whether the system takes what a start writes: a quota shows at a write alone, and Badger,
// which writes by mapped files, is ended by the system then. It writes as much as there is in logs.
func probe(path string) (err error) {
	if err := makeReserve(path); err != nil {
		return err
	}
	name := filepath.Join(path, probeFile)
	if err := os.Remove(name); err != nil && !errors.Is(err, fs.ErrNotExist) { // a crash has left it
		return err
	}
	file, err := os.OpenFile(name, os.O_CREATE|os.O_EXCL|os.O_WRONLY, 0o600)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, file.Close(), os.Remove(name)) }()
	logs := logBytes(path)
	if _, err := io.CopyN(file, zeros{}, probeLeast+logs); err != nil || logs == 0 {
		return err
	}
	return file.Sync() // some file systems say it no earlier
}

type zeros struct{}

func (zeros) Read(p []byte) (int, error) {
	clear(p)
	return len(p), nil
}

// logBytes is what the logs of a store take of the disk, as far as the system says it.
func logBytes(path string) (bytes int64) {
	names, _ := files.Names(path, files.LogExt)
	for _, name := range names {
		if info, err := os.Stat(filepath.Join(path, name)); err == nil {
			bytes += onDiskSize(info)
		}
	}
	return bytes
}

// Refused reports whether the system takes no writes, for a reason that may pass.
func Refused(err error) bool {
	for _, reason := range []error{syscall.ENOSPC, syscall.EDQUOT, syscall.EFBIG} {
		if errors.Is(err, reason) {
			return true
		}
	}
	return false
}

// errLimit is a limit of the process that is too low.
type errLimit struct{ name, ask, have, want string }

func (e *errLimit) Error() string {
	return fmt.Sprintf("this process may have %s, and the database needs %s: raise %s (%s)",
		e.have, e.want, e.name, e.ask)
}

func (e *errLimit) Unwrap() error { return syscall.EFBIG }

// limits refuses to work where the system would end the process, or fail it, at a later write.
func limits(path string, o badger.Options) error {
	largest := uint64(max(2*o.ValueLogFileSize, 2*o.MemTableSize, badger.DefaultOptions("").MemTableSize))
	if most := fileSizeLimit(); most < largest {
		return &errLimit{
			name: "RLIMIT_FSIZE", ask: "ulimit -f, LimitFSIZE=",
			have: fmt.Sprintf("files of %d MiB", most>>20), want: fmt.Sprintf("%d MiB", largest>>20),
		}
	}
	tables, _ := files.Names(path, files.TableExt)
	if most, want := openFilesLimit(), uint64(len(tables)+spareFiles); most < want {
		return &errLimit{
			name: "RLIMIT_NOFILE", ask: "ulimit -n, LimitNOFILE=",
			have: fmt.Sprintf("%d open files", most), want: fmt.Sprint(want),
		}
	}
	return nil
}

// spareFiles are those besides tables: logs, sockets, and tables that a compaction writes.
const spareFiles = 128

// TakesWrites is nil where neither the limits of the process nor the disk refuse what a database writes.
func TakesWrites(o badger.Options) error {
	if err := limits(o.Dir, o); err != nil {
		return err
	}
	return probe(o.Dir)
}
