package admin

// The audit of jobs: one record when the request starts the job, and one when the job ends.

import (
	"context"
	"encoding/json"
	"log/slog"

	"github.com/fosite-sessions/sessions/hostadapter"
	"github.com/fosite-sessions/sessions/hostadapter/internal/auditlog"
	"github.com/fosite-sessions/sessions/logout"
)

// jobNote identifies who started a job, for the record at its end.
type jobNote struct {
	RequestID string `json:"r"`
	Action    string `json:"a"`
	ActorID   string `json:"i,omitempty"`
	ActorName string `json:"n,omitempty"`
}

// maxNoted bounds each string of a note, in bytes.
const maxNoted = 100

// noteOf returns the note of a job that the request started. If JSON escapes make it too long, its strings
// are shortened further, because a truncated note would be unreadable.
func noteOf(record *audit) (note []byte) {
	for most := maxNoted; ; most /= 2 {
		note, _ = json.Marshal(jobNote{ // a struct of strings always marshals
			RequestID: record.requestID, Action: record.action,
			ActorID:   auditlog.Cut(auditlog.Bounded(record.actor.ID), most),
			ActorName: auditlog.Cut(auditlog.Bounded(record.actor.Name), most),
		})
		if len(note) <= hostadapter.MaxJobNote || most == 0 {
			return note
		}
	}
}

// followJob arranges for the end of a job to be audited.
func (m *mount) followJob(ctx context.Context, record *audit) {
	m.sessions.FollowJob(context.WithoutCancel(ctx), record.job, noteOf(record), m.jobEnded)
}

// jobEnded writes the record for the end of a job, with the request id, action and actor of the first record.
func (m *mount) jobEnded(end *hostadapter.JobEnd) {
	var note jobNote
	_ = json.Unmarshal(end.Note, &note) // fields that cannot be read are omitted
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
