package badger

// The rows that judge a grant: its session, ended record and client.

import (
	"time"

	"github.com/fosite-sessions/sessions/grantstore"
	"github.com/fosite-sessions/sessions/plugin/badger/internal/kv"
	"github.com/fosite-sessions/sessions/plugin/badger/internal/layout"
	"github.com/fosite-sessions/sessions/plugin/records"
	"github.com/fosite-sessions/sessions/plugin/rules"
)

// judge decides whether a grant is live at now (rules.Judge). Every read and every write of a grant calls it
// in its own snapshot, so that no token outlives its session between two transactions.
func judge(r kv.Reader, t grantstore.Type, g *records.Grant, now time.Time) error {
	_, err := judged(r, t, g, now)
	return err
}

// judged also returns the rows that judged the grant, even with an error of the verdict.
func judged(
	r kv.Reader, t grantstore.Type, g *records.Grant, now time.Time,
) (standing rules.Standing, err error) {
	if rules.Bound(t, g) && !rules.Expired(g, now) {
		standing.Session, err = loadSession(r, g.GetSessionId())
		if err == nil && (standing.Session == nil || rules.Live(standing.Session, now)) {
			standing, err = standingIn(r, standing.Session, g) // else its client is irrelevant
		}
		if err != nil {
			return standing, err
		}
	}
	return standing, rules.Judge(t, g, &standing, now)
}

// standingIn reads the rows that judge a grant of a session (nil: it has ended).
func standingIn(
	r kv.Reader, session *records.Session, g *records.Grant,
) (standing rules.Standing, err error) {
	standing.Session = session
	if session != nil {
		standing.Use, err = loadClientUse(r, g.GetSessionId(), g.GetClientId())
	} else {
		standing.Ended, err = loadEnded(r, g.GetSessionId())
	}
	return standing, err
}

// loadEnded returns an ended record, or nil if there is none: then nothing survives.
func loadEnded(r kv.Reader, sid string) (*records.Ended, error) {
	return kv.Find[records.Ended](r, layout.EndedKey(sid))
}

// loadClientUse returns the row of a client in a session, or nil.
func loadClientUse(r kv.Reader, sid, client string) (*records.ClientUse, error) {
	return kv.Find[records.ClientUse](r, layout.ClientUseKey(sid, client))
}
