package memory

import (
	"slices"

	"google.golang.org/protobuf/proto"

	"github.com/fosite-sessions/sessions/grantstore"
	"github.com/fosite-sessions/sessions/logout"
	"github.com/fosite-sessions/sessions/plugin/records"
	"github.com/fosite-sessions/sessions/plugin/rules"
	"github.com/fosite-sessions/sessions/plugin/transfer"
)

// end ends one session as the ending says, or what has outlived it if it has ended before. Nothing there to end is no error.
func (t *tx) end(e *logout.Ending, sid string) *logout.Result {
	done := &logout.Result{}
	session := t.session(sid)
	switch {
	case session == nil:
		ended := proto.CloneOf(t.ended(sid))
		if !rules.RevokeSurvivors(e, ended) {
			return done
		}
		t.save(transfer.Ended, sid, ended)
	case !rules.Ends(e, session, t.now):
		return done
	default:
		t.part(e, session, done)
	}
	done.GrantsRevoked += t.purgeDead(sid)
	return done
}

// part takes leave of the clients of a session, and replaces it by its ended record unless the ending keeps it.
func (t *tx) part(e *logout.Ending, session *records.Session, done *logout.Result) {
	sid, ended := session.GetSessionId(), rules.EndedBy(e, session, t.now)
	clients := slices.DeleteFunc(t.clients(sid), func(c client) bool { return rules.Dealt(e, c.use) })
	for _, c := range clients {
		p := rules.Part(e, session, c.id, c.use, t.now)
		if p.LeftAlone {
			done.ClientsLeftAlone = append(done.ClientsLeftAlone, c.id)
		}
		if p.Notification != nil {
			t.queue(p.Notification)
			done.NotificationsQueued++
		}
		if p.Consents {
			done.ConsentsRevoked += t.dropConsents(session.GetSubjectId(), c.id)
		}
		switch {
		case !e.KeepSession:
			rules.Leave(ended, e, c.id, c.use)
			t.delete(transfer.Clients, sid+"\x00"+c.id)
		case rules.Keep(e, c.id, c.use):
			t.saveUse(sid, c.id, c.use)
		}
	}
	if e.KeepSession {
		return
	}
	t.delete(transfer.Sessions, sid)
	t.save(transfer.Ended, sid, ended)
	done.SessionsRemoved = 1
	done.Ended = []logout.EndedSession{{SessionID: sid, SubjectID: session.GetSubjectId()}}
}

// dropConsents removes the consents of a subject to a client, and counts those that were live.
func (t *tx) dropConsents(subject, client string) (revoked int) {
	f := &grantstore.Filter{SubjectID: subject, ClientID: client, Type: grantstore.UserConsent}
	for _, r := range t.rows(listing(f)) {
		if g := t.grant(r.ref()); rules.Selected(f, r.ref().Type, g) {
			_, consents := t.drop(r.ref(), g)
			revoked += consents
		}
	}
	return revoked
}

// tokensOf is the index of a session's tokens.
func tokensOf(sid string) string { return "t" + sid + "\x00" }

// purgeDead removes the rows of a session's grants that are dead, and counts those that were tokens in use.
func (t *tx) purgeDead(sid string) (revoked int) {
	for _, r := range t.rows(tokensOf(sid)) {
		g := t.grant(r.ref())
		goes, inUse := rules.Swept(r.ref().Type, g, t.standing(g), t.now)
		if goes {
			t.delete(transfer.Grants, r.key)
		}
		if inUse {
			revoked++
		}
	}
	return revoked
}
