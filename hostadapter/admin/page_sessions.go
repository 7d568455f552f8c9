package admin

// The list of sessions, and the page of one session.

import (
	"cmp"
	"errors"
	"net/http"
	"slices"

	"github.com/fosite-sessions/sessions/grantstore"
	"github.com/fosite-sessions/sessions/hostadapter"
	"github.com/fosite-sessions/sessions/hostadapter/admin/client"
	"github.com/fosite-sessions/sessions/logout"
	"github.com/fosite-sessions/sessions/ticketstore"
)

// sessionsPage is the data of the list of sessions.
type sessionsPage struct {
	list
	Rows []ticketstore.SessionDetail
	// Searching reports that the store has searched only part of its sessions; the next page continues.
	Searching bool
}

func (m *mount) sessionsPage(w http.ResponseWriter, r *http.Request, record *audit) error {
	p := readParameters(r, slices.Concat(sessionFilters, pageParameters)...)
	query := p.sessionQuery(p.moment)
	data := sessionsPage{list: listOf(p, sessionFilters)}
	status, err := http.StatusOK, p.err
	var page *ticketstore.Page
	if err == nil {
		page, err = m.sessions.QuerySessions(r.Context(), query)
	}
	switch problem := listProblem(err); {
	case problem != "":
		status, data.Problem = http.StatusBadRequest, problem
	case err != nil:
		return err
	default:
		data.Rows = page.Sessions
		data.Paging = pagingOf(p, page.ResultsToken, page.HasPrev, page.HasNext)
		data.Paging.Total = page.TotalCount
		data.Paging.Pages = max(page.TotalPages, 0)
		data.Paging.Page = max(page.CurrentPage, 0)
		data.Searching = page.HasNext && page.TotalCount < 0 &&
			len(page.Sessions) < cmp.Or(query.Count, ticketstore.DefaultCount)
	}
	return m.show(w, r, record, status, "sessions", view{Title: "Sessions", Section: "sessions", Data: data})
}

// listProblem returns the message for an invalid list condition, for its form, or "" if the error has another
// cause.
func listProblem(err error) string {
	var field *ticketstore.FieldError
	switch {
	case errors.Is(err, ticketstore.ErrResultsToken):
		return "This list cannot be continued from here. Please start at its first page."
	case errors.As(err, &field):
		return cmp.Or(fieldLabels[field.Field], field.Field) + " " + field.Problem + "."
	}
	return ""
}

// fieldLabels are the forms' labels of the list parameters.
var fieldLabels = map[string]string{
	"subject_id": "Subject", "session_id": "Session ID", "display_name": "Name", "client_id": "Client",
	"created_after":  "Signed in from",
	"created_before": "Signed in before", "expires_after": "Ends from", "expires_before": "Ends before",
	"count_requested": "Rows",
	"order":           "Order", "state": "State", "reason": "Reason",
}

// sessionView is the data of one session's page. For an ended session it has the id and the notifications.
type sessionView struct {
	hostadapter.SessionReport
	Properties map[string]string
	Counts     []grantCount
	Grants     []client.Grant
	MoreGrants bool
	// Consents are the subject's consents, in any session.
	Consents     []client.Grant
	MoreConsents bool
	// Revoked is how many grants were just revoked, or -1.
	Revoked        int
	Timeline       []moment
	Deliveries     []client.Delivery
	MoreDeliveries bool
}

func (m *mount) sessionPage(w http.ResponseWriter, r *http.Request, record *audit) error {
	p := readParameters(r, "session_id", "revoked")
	if p.err != nil {
		return p.err
	}
	sid := p.text("session_id")
	report, err := m.sessions.SessionByID(r.Context(), sid)
	if errors.Is(err, ticketstore.ErrNotFound) {
		return m.endedSession(w, r, record, sid)
	}
	if err != nil {
		return err
	}
	data := sessionView{
		SessionReport: *report, Properties: m.sessions.SessionProperties(&report.Session),
		Counts: countGrants(report), Revoked: p.number("revoked"), Timeline: timelineOf(report),
	}
	if data.Grants, data.MoreGrants, err = m.grantsOf(r, grantstore.Filter{SessionID: sid}); err != nil {
		return err
	}
	data.Consents, data.MoreConsents, err = m.grantsOf(r,
		grantstore.Filter{SubjectID: report.SubjectID, Type: grantstore.UserConsent})
	if err != nil {
		return err
	}
	if data.Deliveries, data.MoreDeliveries, err = m.deliveriesOf(r, sid); err != nil {
		return err
	}
	return m.show(w, r, record, http.StatusOK, "session",
		view{Title: titleOf(&report.Session), Section: "sessions", Data: data})
}

// endedSession shows the notifications of a session that does not exist any more.
func (m *mount) endedSession(w http.ResponseWriter, r *http.Request, record *audit, sid string) error {
	deliveries, more, err := m.deliveriesOf(r, sid)
	if err != nil {
		return err
	}
	if len(deliveries) == 0 {
		return errNoSession
	}
	data := sessionView{Deliveries: deliveries, MoreDeliveries: more, Revoked: -1}
	data.SessionID = sid
	return m.show(w, r, record, http.StatusNotFound, "session",
		view{Title: "Ended session", Section: "sessions", Data: data})
}

// deliveriesOf returns the newest notifications of a session's end, and whether there are more.
func (m *mount) deliveriesOf(r *http.Request, sid string) ([]client.Delivery, bool, error) {
	page, err := m.sessions.QueryNotifications(r.Context(),
		logout.NotificationQuery{Filter: logout.NotificationFilter{SessionID: sid}})
	if err != nil {
		return nil, false, err
	}
	return rowsOf(page.Notifications, deliveryOf), page.HasNext, nil
}

// titleOf returns the user's name for the page title. Titles have no markup, so the name is wrapped in
// directional isolate characters.
func titleOf(session *ticketstore.Session) string {
	return "\u2068" + clip(80, cmp.Or(session.DisplayName, session.SubjectID)) + "\u2069"
}
