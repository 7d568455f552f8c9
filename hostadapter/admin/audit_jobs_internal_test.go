package admin

// The note of a job, with actors of any name.

import (
	"encoding/json"
	"strings"
	"testing"

	"github.com/fosite-sessions/sessions/hostadapter"
)

func TestAuditRecordOfAJob(t *testing.T) {
	t.Parallel()
	for _, name := range []string{"Ann", strings.Repeat("&", 300), strings.Repeat("\\", 300)} {
		record := &audit{
			requestID: strings.Repeat("r", 128), action: "remove_sessions",
			actor: Actor{ID: name, Name: name},
		}
		note := noteOf(record)
		var read jobNote
		if err := json.Unmarshal(note[:min(len(note), hostadapter.MaxJobNote)], &read); err != nil {
			t.Fatalf("a note of %d bytes: %v", len(note), err)
		}
		if read.RequestID != record.requestID || read.Action != record.action || read.ActorID == "" ||
			!strings.HasPrefix(name, strings.TrimSuffix(read.ActorID, "…")) ||
			read.ActorName != read.ActorID {
			t.Errorf("the note of %.10s is %+v", name, read)
		}
	}
}
