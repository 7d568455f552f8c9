package admin

// POST /backend/backup.

import (
	"errors"
	"net/http"
	"time"

	"github.com/fosite-sessions/sessions/hostadapter"
)

// backUp streams a backup. If it fails midway, the connection is aborted so that no client takes the partial
// response for a whole one. A partial backup also lacks its end marker.
func (m *mount) backUp(w http.ResponseWriter, r *http.Request, _ *audit) error {
	if err := readNoBody(w, r); err != nil {
		return err
	}
	download := &download{w: w, control: http.NewResponseController(w)}
	err := m.sessions.Backup(r.Context(), download)
	switch {
	case err == nil:
		return nil
	case download.started:
		return &abortedDownload{err}
	case errors.Is(err, hostadapter.ErrBackup):
		return &problem{status: http.StatusConflict, detail: sentence(err)}
	}
	return err
}

// stallTimeout is how long a client may stop reading a backup, which keeps its snapshot open meanwhile.
const stallTimeout = time.Minute

// download is the response body of a file. Headers are sent with the first bytes, so that an earlier failure
// is answered with a problem.
type download struct {
	w       http.ResponseWriter
	control *http.ResponseController
	started bool
}

func (d *download) Write(data []byte) (int, error) {
	if !d.started {
		d.started = true
		header := d.w.Header()
		header.Set("Content-Type", "application/octet-stream")
		header.Set("Content-Disposition",
			`attachment; filename="sessions-`+time.Now().UTC().Format("20060102T150405Z")+`.backup"`)
		// The request has been read. The host's read timeout would cancel its context.
		_ = d.control.SetReadDeadline(time.Time{})
	}
	// It replaces the host's write timeout, if the ResponseWriter supports that.
	_ = d.control.SetWriteDeadline(time.Now().Add(stallTimeout))
	return d.w.Write(data)
}

// abortedDownload is a failure after the response was started.
type abortedDownload struct{ err error }

func (b *abortedDownload) Error() string { return b.err.Error() }
func (b *abortedDownload) Unwrap() error { return b.err }
