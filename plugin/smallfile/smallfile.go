// Package smallfile writes the files on which a start depends: markers, keys, tokens, backups. After a crash
// or a power loss such a file is complete, in its old or its new form, or does not exist. It also reads files
// with secrets.
package smallfile

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
)

// draftPrefix and draftSuffix surround a file's name and a random part in the name of its draft.
const (
	draftPrefix = "."
	draftSuffix = ".draft"
	// buffer is the size of a write: backups are written in the same way.
	buffer = 1 << 20
	// draftTries bounds how often a draft is recreated after another process took it for abandoned.
	draftTries = 10
)

// Write writes content to the file at path, with the given mode regardless of the umask. An existing file is
// replaced if it is a regular one. When Write returns nil, the content and the name are on disk. When it
// returns an error, the file is unchanged and no draft is left, unless only the last step failed, the sync of
// the folder: then the new file exists, but may not survive a power loss.
func Write(path string, content []byte, mode fs.FileMode) error {
	return WriteFrom(path, mode, func(w io.Writer) error {
		_, err := w.Write(content)
		return err
	})
}

// WriteFrom is Write for content that is generated while it is written. It returns errors of write unchanged.
func WriteFrom(path string, mode fs.FileMode, write func(w io.Writer) error) (err error) {
	if info, err := os.Stat(path); err == nil && !info.Mode().IsRegular() {
		return fmt.Errorf("%s is there and is no file", path)
	}
	draft, err := createDraft(path)
	if err != nil {
		return err
	}
	defer func() {
		if err != nil && draft != nil {
			err = errors.Join(err, draft.Close(), os.Remove(draft.Name()))
		}
	}()
	buffered := bufio.NewWriterSize(draft, buffer)
	if err = write(buffered); err != nil {
		return err
	}
	if err = buffered.Flush(); err != nil {
		return err
	}
	if err = draft.Chmod(mode); err != nil {
		return err
	}
	if err = draft.Sync(); err != nil {
		return err
	}
	// The draft stays open, and thus locked, until it is renamed.
	if err = os.Rename(draft.Name(), path); err != nil {
		return err
	}
	named := draft
	draft = nil
	return errors.Join(named.Close(), SyncFolder(filepath.Dir(path)))
}

// Exists reports whether there is something at path that a program should not replace unasked. A folder does
// not count: Write refuses it.
func Exists(path string) bool {
	info, err := os.Lstat(path)
	return err == nil && !info.IsDir()
}

// createDraft creates a draft of the file, and removes drafts left by a crash. A draft being written is
// locked.
func createDraft(path string) (*os.File, error) {
	folder, name := filepath.Split(path)
	if folder == "" {
		folder = "."
	}
	removeAbandoned(folder, name)
	for range draftTries {
		draft, err := os.CreateTemp(folder, draftPrefix+name+".*"+draftSuffix) // mode 0600
		if err != nil {
			return nil, err
		}
		if err := lock(draft); err != nil && !errors.Is(err, errors.ErrUnsupported) {
			return nil, errors.Join(err, draft.Close(), os.Remove(draft.Name()))
		}
		// Before it was locked, another process may have removed it as abandoned.
		if _, err := os.Lstat(draft.Name()); err == nil {
			return draft, nil
		}
		if err := draft.Close(); err != nil {
			return nil, err
		}
	}
	return nil, fmt.Errorf("a draft of %s cannot be kept: something removes it", path)
}

// removeAbandoned ignores errors: a remaining draft is harmless.
func removeAbandoned(folder, name string) {
	entries, err := os.ReadDir(folder)
	if err != nil {
		return
	}
	for _, entry := range entries {
		if !IsDraft(entry.Name()) || !strings.HasPrefix(entry.Name(), draftPrefix+name+".") {
			continue
		}
		path := filepath.Join(folder, entry.Name())
		draft, err := os.Open(path)
		if err != nil {
			continue
		}
		if lock(draft) == nil {
			_ = os.Remove(path)
		}
		_ = draft.Close()
	}
}

// IsDraft reports whether a file's name is that of a draft. A draft found at startup was left by a crash and
// is useless.
func IsDraft(name string) bool {
	return strings.HasPrefix(name, draftPrefix) && strings.HasSuffix(name, draftSuffix)
}

// SyncFolder makes creations, renames and removals in a folder durable.
func SyncFolder(path string) error {
	folder, err := os.Open(path)
	if err != nil {
		return err
	}
	return errors.Join(folder.Sync(), folder.Close())
}
