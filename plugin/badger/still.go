package badger

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"os"
	"strings"

	"github.com/dgraph-io/badger/v4"

	"github.com/fosite-sessions/sessions/ticketstore"
)

var errStill = errors.New("the database was opened to be looked at: it takes no changes")

// OpenStill opens a database to look at it: nothing is created, migrated, resumed or purged, and every change is refused. It refuses what Open
// refuses, but for a full disk, and a folder that is missing or empty. A database whose process was killed is an exception to reading alone:
// Badger brings its log to an end first, as at any start. That changes no record, and needs the room on the disk that a start needs
// (ErrNoSpace).
func OpenStill(ctx context.Context, settings Settings, logger *slog.Logger) (*Engine, error) {
	encryption, err := settings.validate()
	if err != nil {
		return nil, err
	}
	if logger == nil {
		logger = slog.New(slog.DiscardHandler)
	}
	m, err := markerAt(settings.Path)
	if err != nil {
		return nil, err
	}
	failure, space := newFailure(settings.Path, logger), newSpace(&settings, logger)
	options := databaseOptions(settings, encryption, newBadgerLogger(failure))
	db, err := badger.Open(options.WithReadOnly(true))
	if err != nil && strings.Contains(err.Error(), badger.ErrTruncateNeeded.Error()) {
		if err := space.room().refusesOpening(); err != nil {
			return nil, err
		}
		db, err = badger.Open(options)
	}
	if err != nil {
		return nil, explainOpen(settings.Path, err)
	}
	e := newEngine(ctx, db, space, failure)
	e.still, e.format = true, m.format
	if e.committer, err = newCommitter(db, e.damages, e.space, failure); err != nil {
		return nil, errors.Join(fmt.Errorf("open database %s: %w", settings.Path, err), e.Close())
	}
	return e, nil
}

// markerAt returns the marker of a store that has to be there.
func markerAt(path string) (*marker, error) {
	entries, err := os.ReadDir(path)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return nil, ticketstore.Invalid("path", "%s does not exist", path)
	case err != nil:
		return nil, ticketstore.Invalid("path", "cannot be read as a folder: %v", err)
	case len(entries) == 0:
		return nil, ticketstore.Invalid("path", "%s is empty: there is no session store in it", path)
	}
	return readMarker(path)
}

// Format is that of the database when it was opened, and Newest the one that this engine writes.
func (e *Engine) Format() (opened, newest int) { return e.format, formatVersion }

// Migrate brings a database to the newest format and closes it again. It returns the format before. Open does the same.
func Migrate(ctx context.Context, settings Settings, logger *slog.Logger) (from, to int, err error) {
	m, err := markerAt(settings.Path)
	if err != nil {
		return 0, 0, err
	}
	e, err := Open(ctx, settings, logger)
	if err != nil {
		return m.format, m.format, err
	}
	return m.format, formatVersion, e.Close()
}
