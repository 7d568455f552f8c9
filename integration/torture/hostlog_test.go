package torture

// Logs of hosts and plugins.

import (
	"bytes"
	"io"
	"log/slog"
	"regexp"
	"sync"
	"time"
)

// maxLog bounds the retained part of a log.
const maxLog = 4 << 20

// hostLog retains the end of the log of a host and its plugins. It records in the history which answers of
// clients the host has not seen, or could not record: a host that gets too little CPU time may time out
// although the client answered immediately.
type hostLog struct {
	history *history

	mutex sync.Mutex
	text  []byte
	line  []byte // incomplete
}

// unseen matches the log line of a notification that the host will retry.
var unseen = regexp.MustCompile(`^time=(\S+) level=(?:WARN|ERROR) .*client_id=(\S+) session_id=(\S+) state=`)

// newLogger returns a host's logger.
func newLogger(w io.Writer) *slog.Logger {
	return slog.New(slog.NewTextHandler(w, &slog.HandlerOptions{Level: slog.LevelWarn}))
}

// logger returns the logger of a host in this process.
func (w *world) logger() *slog.Logger { return newLogger(&hostLog{history: w.history}) }

func (l *hostLog) Write(p []byte) (int, error) {
	l.mutex.Lock()
	defer l.mutex.Unlock()
	l.text = append(l.text, p...)
	l.text = l.text[max(0, len(l.text)-maxLog):]
	l.line = append(l.line, p...)
	for {
		line, rest, whole := bytes.Cut(l.line, []byte("\n"))
		if !whole {
			return len(p), nil
		}
		l.note(line)
		l.line = rest
	}
}

func (l *hostLog) note(line []byte) {
	found := unseen.FindSubmatch(line)
	if found == nil {
		return
	}
	if at, err := time.Parse(time.RFC3339, string(found[1])); err == nil {
		l.history.add(event{
			Kind: unheard, Start: at, End: at, Client: string(found[2]), Session: string(found[3]),
		})
	}
}

// trouble returns the first forbidden line of the log and the lines after it.
func (l *hostLog) trouble() string {
	l.mutex.Lock()
	defer l.mutex.Unlock()
	for _, sign := range []string{"DATA RACE", "panic: ", "damaged", "Checksum mismatch"} {
		if i := bytes.Index(l.text, []byte(sign)); i >= 0 {
			return string(l.text[i:min(len(l.text), i+4000)])
		}
	}
	return ""
}

func (l *hostLog) last(n int) string {
	l.mutex.Lock()
	defer l.mutex.Unlock()
	return string(l.text[max(0, len(l.text)-n):])
}
