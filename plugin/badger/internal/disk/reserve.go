package disk

// The reserve: files that can be given up so that removals succeed on a full disk.

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

// A database creates files before it removes others. With LeastInodes or fewer inodes left, changes are
// refused. Ends continue until only a few are left, then with those of the reserve: empty files created when
// the database is opened.
const (
	LeastInodes   = 64
	fewInodes     = 16
	reserveFolder = "RESERVE"
	ReserveInodes = 32
)

// makeReserve creates the reserve, which also shows whether this process can create files.
func makeReserve(path string) error {
	folder := filepath.Join(path, reserveFolder)
	err := os.Mkdir(folder, ForOwner)
	if err == nil && OfGroup(path) {
		err = os.Chmod(folder, ForOwner|forGroup) // another process of the group may give it up
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

// GiveReserve deletes the reserve and reports whether there was one.
func GiveReserve(path string) bool {
	folder := filepath.Join(path, reserveFolder)
	if _, err := os.Stat(folder); err != nil {
		return false
	}
	return os.RemoveAll(folder) == nil
}

const (
	probeFile = reserveFolder + "/probe"
	// probeLeast is the minimum size of a probe.
	probeLeast = 1 << 20
)

// probe checks whether the writes of a start will succeed: a quota takes effect only at a write, and kills
// Badger, which writes through mapped files. It writes as much as the logs hold.
func probe(path string) (err error) {
	if err := makeReserve(path); err != nil {
		return err
	}
	name := filepath.Join(path, probeFile)
	if err := os.Remove(name); err != nil && !errors.Is(err, fs.ErrNotExist) { // left by a crash
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
	return file.Sync() // some file systems report it only here
}

type zeros struct{}

func (zeros) Read(p []byte) (int, error) {
	clear(p)
	return len(p), nil
}

// logBytes returns the disk usage of a store's logs, if known.
func logBytes(path string) (bytes int64) {
	names, _ := files.Names(path, files.LogExt)
	for _, name := range names {
		if info, err := os.Stat(filepath.Join(path, name)); err == nil {
			bytes += onDiskSize(info)
		}
	}
	return bytes
}

// Refused reports whether an error means that the system refuses writes for a reason that may pass.
func Refused(err error) bool {
	return errors.Is(err, syscall.ENOSPC) || errors.Is(err, syscall.EDQUOT) || errors.Is(err, syscall.EFBIG)
}

// errLimit means that a limit of the process is too low.
type errLimit struct{ name, ask, have, want string }

func (e *errLimit) Error() string {
	return fmt.Sprintf("this process may have %s, and the database needs %s: raise %s (%s)",
		e.have, e.want, e.name, e.ask)
}

func (e *errLimit) Unwrap() error { return syscall.EFBIG }

// limits checks the limits of the process: with lower ones a later write would fail, or kill the process.
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

// spareFiles is the number of files besides tables: logs, sockets, and tables written by a compaction.
const spareFiles = 128

// TakesWrites returns an error if the limits of the process or the disk refuse the writes of a database.
func TakesWrites(o badger.Options) error {
	if err := limits(o.Dir, o); err != nil {
		return err
	}
	return probe(o.Dir)
}
