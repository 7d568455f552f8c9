package admin

import (
	"context"
	"errors"
	"io"
	"net/http"
	"time"

	"github.com/gorilla/mux"

	"github.com/fosite-sessions/sessions/hostadapter"
)

// Backuper is what a Manager also is whose backend can be backed up while it serves. A hostadapter.Adapter is one.
type Backuper interface {
	// Backup writes a backup (package ticketstore/transfer/backup). One that cannot be taken now is hostadapter.ErrBackup, before anything is
	// written.
	Backup(ctx context.Context, w io.Writer) error
}

var _ Backuper = (*hostadapter.Adapter)(nil)

// mountBackup adds the route where there is something to back up.
func (m *mount) mountBackup(router *mux.Router, change func(action string, h handler) route) {
	backuper, ok := m.sessions.(Backuper)
	if !ok {
		return
	}
	router.Handle("/backend/backup", m.methods(map[string]route{
		http.MethodPost: change("back_up_backend", func(w http.ResponseWriter, r *http.Request, _ *audit) error {
			return backUp(w, r, backuper)
		}),
	}))
}

// backUp streams a backup. A failure under way breaks the connection off, so that no client takes what it has for an answer that is whole; what
// it has lacks its end besides.
func backUp(w http.ResponseWriter, r *http.Request, backuper Backuper) error {
	if p := readParameters(r); p.err != nil {
		return p.err
	}
	if err := readNoBody(w, r); err != nil {
		return err
	}
	download := &download{w: w, control: http.NewResponseController(w)}
	err := backuper.Backup(r.Context(), download)
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

// stallTimeout is how long a client may take none of a backup: the snapshot that it is read from is kept for it.
const stallTimeout = time.Minute

// download is the body of an answer with a file. What comes before it is sent with its first bytes, so that a failure before that is a problem
// like any other.
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
		header.Set("Content-Disposition", `attachment; filename="sessions-`+time.Now().UTC().Format("20060102T150405Z")+`.backup"`)
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
