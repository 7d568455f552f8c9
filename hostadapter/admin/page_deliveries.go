package admin

// The list of notifications.

import (
	"log/slog"
	"net/http"
	"net/url"
	"strconv"

	"github.com/fosite-sessions/sessions/logout"
)

// deliveriesPage is the data of the list of notifications.
type deliveriesPage struct {
	Filter   map[string]string
	Filtered bool
	States   []choice
	Orders   []choice
	Counts   []choice
	Problem  string
	// Again says how many notifications have just been made due, -1 for none.
	Again  int
	Rows   []deliveryRow
	Paging paging
}

// deliveryRow is one notification of a list.
type deliveryRow struct {
	ID, State, ClientID, SubjectID, SessionID, Reason string
	Attempts                                          int
	Queued, Last, Next, GiveUp                        stamp
	LastError                                         string
	// Once: delivered, and to be delivered a second time.
	Once bool
}

var deliveryFilters = []string{"state", "client_id", "session_id"}

func (m *mount) deliveryRows(notifications []logout.Notification) []deliveryRow {
	now := m.sessions.Now()
	rows := make([]deliveryRow, 0, len(notifications))
	for i := range notifications {
		n := &notifications[i]
		row := deliveryRow{
			ID: n.ID, State: string(n.State), ClientID: n.ClientID, SubjectID: n.SubjectID,
			SessionID: n.SessionID, Reason: string(n.Reason),
			Attempts: n.Attempts, Queued: stampOf(n.Queued, now), Last: stampOf(n.LastAttempt, now),
			LastError: n.LastError,
		}
		if n.State == logout.Pending {
			row.Once = n.LastError == "" && !n.LastAttempt.IsZero()
			row.Next, row.GiveUp = stampOf(n.NextAttempt, now), stampOf(n.GiveUpAt, now)
		}
		rows = append(rows, row)
	}
	return rows
}

func (m *mount) deliveriesPage(w http.ResponseWriter, r *http.Request, record *audit) error {
	p := readParameters(r,
		append([]string{"again", "state", "client_id", "session_id"}, pageParameters...)...)
	query := logout.NotificationQuery{
		Filter: logout.NotificationFilter{
			State: logout.State(p.text("state")), ClientID: p.text("client_id"),
			SessionID: p.text("session_id"),
		},
		Order: p.order(), Count: p.count(), ResultsToken: p.text("results_token"),
		Prior: p.text("request_prior_results") == "true",
	}
	data := deliveriesPage{
		Filter: map[string]string{}, Orders: orderChoices(p.text("order")),
		Counts: countChoices(p.text("count_requested")),
		States: choices(p.text("state"), "", "All", string(logout.Pending), label(logout.Pending),
			string(logout.Delivered), label(logout.Delivered),
			string(logout.Refused), label(logout.Refused), string(logout.GivenUp), label(logout.GivenUp)),
		Again: -1, Paging: paging{Total: -1},
	}
	if n, err := strconv.Atoi(p.text("again")); err == nil && n >= 0 {
		data.Again = n
	}
	p.values.Del("again")
	for _, name := range deliveryFilters {
		data.Filter[name] = p.text(name)
		data.Filtered = data.Filtered || p.text(name) != ""
	}
	status, err := http.StatusOK, p.err
	var page *logout.NotificationPage
	if err == nil {
		page, err = m.sessions.QueryNotifications(r.Context(), query)
	}
	switch problem := listProblem(err); {
	case problem != "":
		status, data.Problem = http.StatusBadRequest, problem
	case err != nil:
		return err
	default:
		data.Rows = m.deliveryRows(page.Notifications)
		data.Paging = pagingOf(p, page.ResultsToken, page.HasPrev, page.HasNext)
	}
	return m.show(w, r, record, status, "deliveries",
		view{Title: "Back-channel logout", Section: "deliveries", Data: data})
}

// retryFromPage has one notification sent again and leads back to its list.
func (m *mount) retryFromPage(w http.ResponseWriter, r *http.Request, record *audit) error {
	form, err := readForm(w, r)
	if err != nil {
		return err
	}
	id := form.Get("id")
	record.add(slog.String("notification_id", id))
	notification, err := m.sessions.RetryNotification(r.Context(), id)
	if err != nil {
		return err
	}
	record.add(slog.String("client_id", notification.ClientID),
		slog.String("session_id", notification.SessionID))
	back := url.Values{"again": {"1"}}
	for _, name := range deliveryFilters {
		if name == "state" && form.Get(name) != string(logout.Pending) {
			continue // its state is no longer that
		}
		if value := form.Get(name); value != "" {
			back.Set(name, value)
		}
	}
	seeOther(w, "deliveries?"+back.Encode())
	return nil
}
