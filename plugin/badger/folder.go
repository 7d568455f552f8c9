package badger

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"strings"

	"github.com/dgraph-io/badger/v4"

	"github.com/fosite-sessions/sessions/ticketstore"
)

// markerFile tells a session store from any other folder, and its format, without opening the database.
const (
	markerFile   = "SESSIONS"
	markerFormat = "fosite-sessions badger format %d\n"
)

// prepareFolder makes sure that the folder is a session store of a known format, or makes it one if it is missing or empty.
func prepareFolder(path string) error {
	entries, err := os.ReadDir(path)
	switch {
	case errors.Is(err, os.ErrNotExist):
		if err := os.MkdirAll(path, 0o700); err != nil {
			return ticketstore.Invalid("path", "cannot be created: %v", err)
		}
	case err != nil:
		return ticketstore.Invalid("path", "cannot be read as a folder: %v", err)
	}
	marker := filepath.Join(path, markerFile)
	// A draft of the marker is what a crash in the very first moment has left.
	if len(entries) == 0 || (len(entries) == 1 && entries[0].Name() == markerFile+".new") {
		if err := writeMarker(marker); err != nil {
			return ticketstore.Invalid("path", "cannot be written: %v", err)
		}
		return keepPrivate(path)
	}
	if _, err := readMarker(path); err != nil {
		return err
	}
	return keepPrivate(path)
}

// readMarker returns the format of a session store, if the folder is one and it is known.
func readMarker(path string) (format int, err error) {
	marker := filepath.Join(path, markerFile)
	text, err := os.ReadFile(marker)
	if errors.Is(err, os.ErrNotExist) {
		return 0, ticketstore.Invalid("path", "%s holds something that is not a session store: choose an empty folder", path)
	}
	if err != nil {
		return 0, ticketstore.Invalid("path", "cannot be read: %v", err)
	}
	if _, err := fmt.Sscanf(string(text), markerFormat, &format); err != nil || format < 1 {
		return 0, ticketstore.Invalid("path", "%s is not readable as the marker of a session store", marker)
	}
	if format > formatVersion {
		return 0, ticketstore.Invalid("path", "%s has format %d, newer than %d, the newest that this plugin knows: use a newer plugin",
			path, format, formatVersion)
	}
	return format, nil
}

// writeMarker makes the marker appear whole or not at all.
func writeMarker(marker string) error {
	draft := marker + ".new"
	if err := os.WriteFile(draft, fmt.Appendf(nil, markerFormat, formatVersion), 0o600); err != nil {
		return err
	}
	return os.Rename(draft, marker)
}

// keepPrivate shuts a folder that was made by somebody else: Badger's own files can be read by all.
func keepPrivate(path string) error {
	if err := os.Chmod(path, 0o700); err != nil { //nolint:gosec // a folder needs its x
		return ticketstore.Invalid("path", "cannot be kept private: %v", err)
	}
	return nil
}

// explainOpen says what an operator can do about a database that does not open.
func explainOpen(path string, err error) error {
	switch text := err.Error(); {
	case strings.Contains(text, "Cannot acquire directory lock"):
		return ticketstore.Invalid("path", "%s is in use by another process: a badger store belongs to one plugin at a time", path)
	case errors.Is(err, badger.ErrEncryptionKeyMismatch):
		return ticketstore.Invalid("encryption_key", "is not the one that %s was created with", path)
	}
	return fmt.Errorf("open database %s: %w", path, err)
}

// badgerLogger passes Badger's own log on. Its info lines are of use when something is wrong only.
type badgerLogger struct{ logger *slog.Logger }

func (l badgerLogger) Errorf(format string, args ...any)   { l.log(slog.LevelError, format, args) }
func (l badgerLogger) Warningf(format string, args ...any) { l.log(slog.LevelWarn, format, args) }
func (l badgerLogger) Infof(format string, args ...any)    { l.log(slog.LevelDebug, format, args) }
func (l badgerLogger) Debugf(string, ...any)               {}

func (l badgerLogger) log(level slog.Level, format string, args []any) {
	l.logger.Log(context.Background(), level, "badger", "event", strings.TrimSpace(fmt.Sprintf(format, args...)))
}
