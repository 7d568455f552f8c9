package hostadapter_test

// Tests of tampered backups.

import (
	"log/slog"
	"testing"

	"google.golang.org/protobuf/proto"

	"github.com/fosite-sessions/sessions/hostadapter"
	"github.com/fosite-sessions/sessions/plugin/badger"
	"github.com/fosite-sessions/sessions/plugin/records"
	"github.com/fosite-sessions/sessions/plugin/transfer"
	"github.com/fosite-sessions/sessions/ticketstore"
)

// edited moves the host's store into a new one, like a restore of a backup that was edited, and makes the
// host serve it.
func (h *host) edited(edit func(*records.Session)) {
	h.t.Helper()
	noSync := false
	target,
		err := badger.Open(h.t.Context(), badger.Settings{Path: h.t.TempDir(), Sync: &noSync, MemoryMiB: 64},
		slog.New(slog.DiscardHandler))
	if err != nil {
		h.t.Fatal(err)
	}
	h.t.Cleanup(func() { _ = target.Close() })
	must := func(err error) {
		h.t.Helper()
		if err != nil {
			h.t.Fatal(err)
		}
	}
	from, to := h.backend.Backend.(*badger.Engine).Transfer(), target.Transfer()
	must(to.Become(h.t.Context(), transfer.Transition{To: transfer.Importing, ID: "restore", Peer: "backup"}))
	must(to.Import(h.t.Context(), "restore", func(yield func([]transfer.Record, error) bool) {
		for batch, err := range from.Export(h.t.Context(), nil) {
			if err != nil {
				yield(nil, err)
				return
			}
			for i := range batch.Records {
				r := &batch.Records[i]
				session := &records.Session{}
				if r.Kind != transfer.Sessions {
					continue
				}
				must(proto.Unmarshal(r.Data, session))
				edit(session)
				r.Data, err = proto.Marshal(session)
				must(err)
			}
			if !yield(batch.Records, nil) {
				return
			}
		}
	}))
	must(to.Become(h.t.Context(), transfer.Transition{To: transfer.Active, ID: "restore", Peer: "backup"}))
	h.backend.Backend = target
	h.start()
}

// TestEditedBackup: checksums detect accidents only, because an editor can correct them. Sealing detects the
// edit.
func TestEditedBackup(t *testing.T) {
	t.Parallel()
	for name, edit := range map[string]func(ann, mallory *records.Session){
		"the cookie's key": func(ann, mallory *records.Session) {
			ann.Key, mallory.Key = mallory.Key, ann.Key
		},
		"the ticket": func(ann, mallory *records.Session) { mallory.Ticket = ann.Ticket },
		"key and ticket": func(ann, mallory *records.Session) {
			ann.Key, mallory.Key = mallory.Key, ann.Key
			ann.Ticket, mallory.Ticket = mallory.Ticket, ann.Ticket
		},
		"the subject": func(_, mallory *records.Session) { mallory.SubjectId = "ann" },
		"the acr":     func(_, mallory *records.Session) { mallory.Acr = "gold" },
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			h := newHost(t)
			ann, mallory := h.browser(), h.browser()
			ann.signIn(hostadapter.Identity{Subject: "ann", ACR: "gold"})
			mallory.signIn(hostadapter.Identity{Subject: "mallory", ACR: "silver"})
			found := map[string]*records.Session{}
			h.edited(func(s *records.Session) { found[s.SubjectId] = s })
			ann.mustBe("ann")
			mallory.mustBe("mallory")
			edit(found["ann"], found["mallory"])
			h.edited(func(s *records.Session) {
				for _, record := range found {
					if s.SessionId == record.SessionId {
						proto.Reset(s)
						proto.Merge(s, record)
						return
					}
				}
			})
			if session, err := mallory.session(); err != nil || session != nil {
				t.Errorf("mallory's cookie: %+v, %v; want nobody", session, err)
			}
			page, err := h.QuerySessions(t.Context(), ticketstore.SessionQuery{})
			if err != nil || len(page.Sessions) != 2 {
				t.Errorf("%+v, %v; want both sessions kept", page, err)
			}
		})
	}
}
