package admin

// The result page of a removal, to which the form redirects.

import (
	"net/http"
	"net/url"
	"strconv"

	"github.com/fosite-sessions/sessions/ticketstore"
)

// shownRemoved bounds the links to ended sessions on the page.
const shownRemoved = 20

// outcomeCounts are the query parameters of the page's counts.
var outcomeCounts = []string{
	"sessions_removed", "grants_revoked", "consents_revoked", "notifications_queued",
}

// counts returns the fields for outcomeCounts.
func (p *removalPage) counts() []*int {
	return []*int{
		&p.Result.SessionsRemoved, &p.Result.GrantsRevoked, &p.Result.ConsentsRevoked,
		&p.Result.NotificationsQueued,
	}
}

// outcome returns the query of the result page. It has only counts and ids: a forged query shows wrong
// numbers and changes nothing.
func (p *removalPage) outcome() url.Values {
	values := url.Values{}
	for i, count := range p.counts() {
		values.Set(outcomeCounts[i], strconv.Itoa(*count))
	}
	for _, target := range p.Targets[:min(len(p.Targets), shownRemoved)] {
		values.Add("session_id", target.SessionID)
		values.Add("subject_id", target.SubjectID) // the session is gone and can no longer be looked up
	}
	return values
}

func (m *mount) removedPage(w http.ResponseWriter, r *http.Request, record *audit) error {
	values, err := url.ParseQuery(r.URL.RawQuery)
	if err != nil {
		return badRequest("The query cannot be read.")
	}
	data := &removalPage{}
	for i, count := range data.counts() {
		if *count, err = strconv.Atoi(values.Get(outcomeCounts[i])); err != nil || *count < 0 {
			return ticketstore.Invalidf(outcomeCounts[i], "is no count")
		}
	}
	subjects := values["subject_id"]
	for i, sid := range values["session_id"][:min(len(values["session_id"]), shownRemoved)] {
		target := ticketstore.Session{SessionID: sid}
		if i < len(subjects) {
			target.SubjectID = subjects[i]
		}
		data.Targets = append(data.Targets, ticketstore.SessionDetail{Session: target})
	}
	return m.show(w, r, record, http.StatusOK, "removed",
		view{Title: "Done", Section: "sessions", Data: data})
}
