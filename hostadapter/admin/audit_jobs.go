package admin

// The audit of jobs: one line at the begin, which is that of the request, and one at the end.

import (
	"context"
	"encoding/json"
	"log/slog"

	"github.com/fosite-sessions/sessions/hostadapter"
	"github.com/fosite-sessions/sessions/hostadapter/internal/auditlog"
	"github.com/fosite-sessions/sessions/logout"
)

// jobNote is who has begun a job, as the line at its end says it.
type jobNote struct {
	RequestID string `json:"r"`
	Action    string `json:"a"`
	ActorID   string `json:"i,omitempty"`
	ActorName string `json:"n,omitempty"`
}

// maxNoted bounds each text of a note.
const maxNoted = 100

// noteOf is the note of a job that the request began. JSON writes some characters with six: where these are
// many, less of the texts is kept, for a note that is cut says nothing.
func noteOf(record *audit) (note []byte) {
	for most := maxNoted; ; most /= 2 {
		note, _ = json.Marshal(jobNote{ // it has texts alone, which does not fail
			RequestID: record.requestID, Action: record.action,
			ActorID:   auditlog.Cut(auditlog.Bounded(record.actor.ID), most),
			ActorName: auditlog.Cut(auditlog.Bounded(record.actor.Name), most),
		})
		if len(note) <= hostadapter.MaxJobNote || most == 0 {
			return note
		}
	}
}

// followJob has the end of a job audited.
func (m *mount) followJob(ctx context.Context, record *audit) {
	m.sessions.FollowJob(context.WithoutCancel(ctx), record.job, noteOf(record), m.jobEnded)
}

// jobEnded writes the line at the end of a job. It has the request id, action and actor of the line at the
// begin.
func (m *mount) jobEnded(end *hostadapter.JobEnd) {
	var note jobNote
	_ = json.Unmarshal(end.Note, &note) // what cannot be read is absent
	ended := &job{}
	var done []slog.Attr
	switch {
	case end.Removal != nil:
		ended.Job, done = *end.Removal, counted(&end.Removal.Result)
	case end.Swap != nil:
		ended = jobOf(end.Swap)
		done = []slog.Attr{
			slog.String("backend", end.Swap.To), slog.String("backend_before", end.Swap.From),
			slog.Bool("same_data", end.Swap.Upgrade),
		}
	}
	level, result, failure := slog.LevelInfo, auditlog.Done, plain(ended.Error)
	switch {
	case ended.State == logout.JobFailed:
		level, result = slog.LevelWarn, auditlog.Failed
	case ended.State != logout.JobDone:
		level, result, failure = slog.LevelWarn, auditlog.Unknown, "the server ended before the job did"
	}
	attrs := append([]slog.Attr{
		slog.String("request_id", note.RequestID), slog.String("action", note.Action),
		slog.String("result", result), slog.String("actor_id", note.ActorID),
		slog.String("actor_name", note.ActorName), slog.String("job", end.ID),
		slog.String("error", failure),
	}, done...)
	m.stream.Write(context.Background(), level, attrs)
}
