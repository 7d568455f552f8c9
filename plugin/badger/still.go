package badger

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"os"

	"github.com/fosite-sessions/sessions/ticketstore"
)

var errStill = errors.New("the database was opened to be looked at: it takes no changes")

// OpenStill opens a database to look at it: nothing is created, migrated, resumed or purged, every change is
// refused, and nothing in the folder is written. It refuses what Open refuses, but for a full disk, and a
// folder that is missing or empty. Of a database whose process was killed it makes a private view in the
// folder for temporary files, with copies of the logs that Badger would bring to an end in place.
func OpenStill(ctx context.Context, settings Settings, logger *slog.Logger) (*Engine, error) {
	encryption, err := settings.validate()
	if err != nil {
		return nil, err
	}
	if logger == nil {
		logger = slog.New(slog.DiscardHandler)
	}
	if _, err := markerAt(settings.Path); err != nil {
		return nil, err
	}
	v, err := openView(settings.Path, encryption)
	if err != nil {
		return nil, err
	}
	v.found.report(ctx, v.marker, logger)
	failure, space := newFailure(settings.Path, logger), newSpace(&settings, logger)
	db, err := v.open(databaseOptions(settings, encryption, newBadgerLogger(failure)))
	if err != nil {
		return nil, errors.Join(explainOpen(settings.Path, err), v.close())
	}
	e := newEngine(ctx, db, space, failure)
	e.seen, e.still, e.format = v, true, v.marker.format
	if e.committer, err = newCommitter(db, e.damages, space, failure); err != nil {
		return nil, errors.Join(fmt.Errorf("open database %s: %w", settings.Path, err), e.Close())
	}
	return e, nil
}

// markerAt returns the marker of a store that has to be there.
func markerAt(path string) (*marker, error) {
	entries, err := os.ReadDir(path)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return nil, ticketstore.Invalidf("path", "%s does not exist", path)
	case err != nil:
		return nil, ticketstore.Invalidf("path", "cannot be read as a folder: %v%s", err, ownedBy(path))
	case len(entries) == 0:
		return nil, ticketstore.Invalidf("path", "%s is empty: there is no session store in it", path)
	}
	return readMarker(path)
}

// Format is that of the database when it was opened, and Newest the one that this engine writes.
func (e *Engine) Format() (opened, newest int) { return e.format, formatVersion }

// Migrate brings a database to the newest format and closes it again. It returns the format before. Open does
// the same.
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
