package tickets

// Invalid input of a session store.

import (
	"errors"
	"strings"
	"time"

	"github.com/fosite-sessions/sessions/plugin/storetest/world"
	"github.com/fosite-sessions/sessions/ticketstore"
)

// fill returns a text of n bytes.
func fill(n int) string { return strings.Repeat("abcdefghi ", n/10+1)[:n] }

// badIDs are invalid ids.
var badIDs = []struct{ name, id string }{
	{"empty", ""},
	{"with a NUL", "a\x00b"},
	{"of 10 kB", fill(10 << 10)},
	{"one byte too long", fill(ticketstore.MaxID + 1)},
	{"not UTF-8", "a\xffb"},
}

// badSessions are invalid sessions, each with the name of the invalid field.
func badSessions() []badSession {
	var all []badSession
	ids := map[string]func(s *ticketstore.Session) *string{
		"session_id": func(s *ticketstore.Session) *string { return &s.SessionID },
		"subject_id": func(s *ticketstore.Session) *string { return &s.SubjectID },
		"issuer":     func(s *ticketstore.Session) *string { return &s.Issuer },
	}
	for field, of := range ids {
		for _, bad := range badIDs {
			all = append(all,
				badSession{field + " " + bad.name, field, func(s *ticketstore.Session) { *of(s) = bad.id }})
		}
	}
	texts := map[string]func(s *ticketstore.Session) *string{
		"display_name": func(s *ticketstore.Session) *string { return &s.DisplayName },
		"acr":          func(s *ticketstore.Session) *string { return &s.ACR },
		"remote_addr":  func(s *ticketstore.Session) *string { return &s.RemoteAddr },
		"user_agent":   func(s *ticketstore.Session) *string { return &s.UserAgent },
	}
	for field, of := range texts {
		for _, bad := range badIDs[1:] {
			if bad.name == "one byte too long" {
				bad.id = fill(ticketstore.MaxText + 1)
			}
			all = append(all,
				badSession{field + " " + bad.name, field, func(s *ticketstore.Session) { *of(s) = bad.id }})
		}
	}
	return append(all, []badSession{
		{"key not set", "key", func(s *ticketstore.Session) { s.Key = ticketstore.Key{} }},
		{
			"ticket too large", "ticket",
			func(s *ticketstore.Session) { s.Ticket = make([]byte, ticketstore.MaxTicket+1) },
		},
		{
			"visible properties too large", "visible",
			func(s *ticketstore.Session) { s.Visible = make([]byte, ticketstore.MaxVisible+1) },
		},
		{
			"amr with too many entries", "amr",
			func(s *ticketstore.Session) { s.AMR = make([]string, ticketstore.MaxAMR+1) },
		},
		{"amr with a NUL", "amr", func(s *ticketstore.Session) { s.AMR = []string{"pwd", "a\x00b"} }},
		{"created not set", "created", func(s *ticketstore.Session) { s.Created = time.Time{} }},
		{"renewed not set", "renewed", func(s *ticketstore.Session) { s.Renewed = time.Time{} }},
		{"auth_time not set", "auth_time", func(s *ticketstore.Session) { s.AuthTime = time.Time{} }},
		{"expires not set", "expires", func(s *ticketstore.Session) { s.Expires = time.Time{} }},
		{"expires at created", "expires", func(s *ticketstore.Session) { s.Expires = s.Created }},
		{
			"ends_at before created", "expires",
			func(s *ticketstore.Session) { s.EndsAt = s.Created.Add(-time.Second) },
		},
	}...)
}

type badSession struct {
	name, field string
	spoil       func(s *ticketstore.Session)
}

func inputCases() []world.Case {
	return []world.Case{
		{
			Name: "the refusal of a bad session names the field, and nothing is stored",
			Run:  refusesBadSessions,
		},
		{Name: "the refusal of a bad rekey names the field, and nothing changes", Run: refusesBadRekeys},
		{Name: "a bad filter is refused by the name of its field", Run: refusesBadFilters},
		{Name: "a bad sid is not found, or refused", Run: func(w *world.World) {
			for _, bad := range badIDs {
				_, err := w.Tickets.Find(w.Ctx(), bad.id)
				w.Fails(err, "Find a sid "+bad.name, ticketstore.ErrNotFound, ticketstore.ErrInvalid)
			}
		}},
		{Name: "ids may have special characters", Run: keepsSpecialIDs},
	}
}

func refusesBadSessions(w *world.World) {
	for _, bad := range badSessions() {
		s := w.Session("ann")
		bad.spoil(s)
		err := w.Tickets.Create(w.Ctx(), s)
		w.Refuses(err, bad.field, "Create with "+bad.name)
		if id := s.SubjectID; id != "" && len(id) > 20 && strings.Contains(err.Error(), id) {
			w.Fatalf("Create with %s: the error repeats the value", bad.name)
		}
		if s.Key.IsZero() {
			continue
		}
		_, err = w.Tickets.Get(w.Ctx(), s.Key)
		w.Fails(err, "Get what was refused for "+bad.name, ticketstore.ErrNotFound)
	}
	page := w.Query(ticketstore.SessionQuery{})
	w.Same(len(page.Sessions), 0, "number of sessions after refusals")
	w.Same(page.TotalCount, 0, "TotalCount after refusals")
}

func refusesBadRekeys(w *world.World) {
	s := w.SignIn("ann")
	for _, bad := range []struct {
		name, field string
		spoil       func(r *ticketstore.Rekey)
	}{
		{
			"ticket too large", "ticket",
			func(r *ticketstore.Rekey) { r.Ticket = make([]byte, ticketstore.MaxTicket+1) },
		},
		{
			"visible properties too large", "visible",
			func(r *ticketstore.Rekey) { r.Visible = make([]byte, ticketstore.MaxVisible+1) },
		},
		{
			"display_name of 10 kB", "display_name",
			func(r *ticketstore.Rekey) { r.DisplayName = fill(10 << 10) },
		},
		{"display_name not UTF-8", "display_name", func(r *ticketstore.Rekey) { r.DisplayName = "a\xff" }},
		{"user_agent with a NUL", "user_agent", func(r *ticketstore.Rekey) { r.UserAgent = "a\x00b" }},
		{"acr too long", "acr", func(r *ticketstore.Rekey) { r.ACR = fill(ticketstore.MaxText + 1) }},
		{"auth_time not set", "auth_time", func(r *ticketstore.Rekey) { r.AuthTime = time.Time{} }},
		{"expires not set", "expires", func(r *ticketstore.Rekey) { r.Expires = time.Time{} }},
	} {
		rekey := w.Rekey(s)
		bad.spoil(&rekey)
		w.Refuses(world.Err(w.Tickets.Rekey(w.Ctx(), rekey, w.Now)), bad.field, "Rekey with "+bad.name)
	}
	rekey := w.Rekey(s)
	rekey.NewKey = ticketstore.Key{}
	_, err := w.Tickets.Rekey(w.Ctx(), rekey, w.Now)
	var fieldError *ticketstore.FieldError
	if !errors.As(err, &fieldError) || (fieldError.Field != "key" && fieldError.Field != "new_key") {
		w.Fatalf("Rekey to the zero key: got %v, want a FieldError that names the key", err)
	}
	w.Same(w.Get(s), s, "the session after refused rekeys")
}

func refusesBadFilters(w *world.World) {
	w.SignIn("ann")
	fields := map[string]func(f *ticketstore.SessionFilter) *string{
		"subject_id":   func(f *ticketstore.SessionFilter) *string { return &f.SubjectID },
		"session_id":   func(f *ticketstore.SessionFilter) *string { return &f.SessionID },
		"client_id":    func(f *ticketstore.SessionFilter) *string { return &f.ClientID },
		"display_name": func(f *ticketstore.SessionFilter) *string { return &f.DisplayName },
	}
	for field, of := range fields {
		for _, bad := range badIDs[1:] {
			if field == "display_name" && bad.name == "one byte too long" {
				bad.id = fill(ticketstore.MaxText + 1)
			}
			var query ticketstore.SessionQuery
			*of(&query.Filter) = bad.id
			w.Refuses(world.Err(w.Tickets.Query(w.Ctx(), query)), field, "Query with "+field+" "+bad.name)
		}
	}
}

// keepsSpecialIDs uses ids that are prefixes of each other, or contain separators of an engine's keys.
func keepsSpecialIDs(w *world.World) {
	ids := []string{
		"a", "aa", "a\x01", "a\x01b", "a/", "a/b", "a:b", "a|b", "a%", "a%00", "a b", " a", "a ", "A", "ä",
		"a\u0308", "\u00e4\u00e4", "_", "*", "?", "\U0010ffff", "\x01", "a\uffff", fill(ticketstore.MaxID),
	}
	for _, id := range ids {
		s := w.Session(id, world.SID(id))
		w.OK(w.Tickets.Create(w.Ctx(), s), "Create with the id "+id)
		w.Uses(s, id)
	}
	for _, id := range ids {
		for field, filter := range map[string]ticketstore.SessionFilter{
			"subject_id": {SubjectID: id}, "session_id": {SessionID: id}, "client_id": {ClientID: id},
			"all three": {SubjectID: id, SessionID: id, ClientID: id},
		} {
			w.Same(w.SIDs(filter), []string{id}, "sessions with "+field+" "+id)
		}
	}
}
