package admin

// POST /backend/backup.

import (
	"errors"
	"net/http"
	"time"

	"github.com/fosite-sessions/sessions/hostadapter"
)

// backUp streams a backup. A failure under way breaks the connection off, so that no client takes what it has
// for an answer that is whole; what it has lacks its end besides.
func (m *mount) backUp(w http.ResponseWriter, r *http.Request, _ *audit) error {
	if err := readNoBody(w, r); err != nil {
		return err
	}
	download := &download{w: w, control: http.NewResponseController(w)}
	err := m.sessions.Backup(r.Context(), download)
	switch {
	case err == nil:
		return nil
	case download.begun:
		return &brokenOff{err}
	case errors.Is(err, hostadapter.ErrBackup):
		return &problem{status: http.StatusConflict, detail: sentence(err)}
	}
	return err
}

// stallTimeout is how long a client may take none of a backup: the snapshot that it is read from is kept for
// it.
const stallTimeout = time.Minute

// download is the body of an answer with a file. What comes before it is sent with its first bytes, so that a
// failure before that is a problem like any other.
type download struct {
	w       http.ResponseWriter
	control *http.ResponseController
	begun   bool
}

func (d *download) Write(data []byte) (int, error) {
	if !d.begun {
		d.begun = true
		header := d.w.Header()
		header.Set("Content-Type", "application/octet-stream")
		header.Set("Content-Disposition",
			`attachment; filename="sessions-`+time.Now().UTC().Format("20060102T150405Z")+`.backup"`)
		// The request was read: a host's bound for that would end its context.
		_ = d.control.SetReadDeadline(time.Time{})
	}
	// In place of the host's bound for whole answers, where its ResponseWriter allows that.
	_ = d.control.SetWriteDeadline(time.Now().Add(stallTimeout))
	return d.w.Write(data)
}

// brokenOff is a failure after the answer had begun.
type brokenOff struct{ err error }

func (b *brokenOff) Error() string { return b.err.Error() }
func (b *brokenOff) Unwrap() error { return b.err }
