package admin

// The list of notifications.

import (
	"log/slog"
	"net/http"
	"net/url"
	"slices"
	"strconv"

	"github.com/fosite-sessions/sessions/hostadapter/admin/client"
	"github.com/fosite-sessions/sessions/logout"
)

// deliveriesPage is the data of the list of notifications.
type deliveriesPage struct {
	list
	States []choice
	// Again is how many notifications were just made due, or -1.
	Again int
	Rows  []client.Delivery
}

func (m *mount) deliveriesPage(w http.ResponseWriter, r *http.Request, record *audit) error {
	p := readParameters(r, slices.Concat([]string{"again"}, deliveryFilters, pageParameters)...)
	query := p.deliveryQuery()
	data := deliveriesPage{
		list: listOf(p, deliveryFilters), Again: p.number("again"),
		States: choices(p.text("state"), "", "All", string(logout.Pending), label(logout.Pending),
			string(logout.Delivered), label(logout.Delivered),
			string(logout.Refused), label(logout.Refused), string(logout.GivenUp), label(logout.GivenUp)),
	}
	p.values.Del("again")
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
		data.Rows = rowsOf(page.Notifications, deliveryOf)
		data.Paging = pagingOf(p, page.ResultsToken, page.HasPrev, page.HasNext)
	}
	return m.show(w, r, record, status, "deliveries",
		view{Title: "Back-channel logout", Section: "deliveries", Data: data})
}

// retryFromPage makes one notification due now and redirects to the list.
func (m *mount) retryFromPage(w http.ResponseWriter, r *http.Request, record *audit) error {
	form := r.PostForm
	id := form.Get("id")
	record.add(slog.String("notification_id", id))
	if _, err := m.retry(r.Context(), record, id); err != nil {
		return err
	}
	back := url.Values{"again": {"1"}}
	for _, name := range deliveryFilters {
		if name == "state" && form.Get(name) != string(logout.Pending) {
			continue // its state has changed
		}
		if value := form.Get(name); value != "" {
			back.Set(name, value)
		}
	}
	seeOther(w, "deliveries?"+back.Encode())
	return nil
}

// retryAllFromPage makes the notifications that match a filter due now and redirects to their list.
func (m *mount) retryAllFromPage(w http.ResponseWriter, r *http.Request, record *audit) error {
	form := r.PostForm
	filter := logout.NotificationFilter{
		State: logout.State(form.Get("state")), ClientID: form.Get("client_id"),
		SessionID: form.Get("session_id"),
	}
	count, err := m.retryAll(r.Context(), record, filter)
	if err != nil {
		return err
	}
	back := url.Values{"again": {strconv.Itoa(count)}}
	for name, value := range map[string]string{"client_id": filter.ClientID, "session_id": filter.SessionID} {
		if value != "" {
			back.Set(name, value)
		}
	}
	seeOther(w, "deliveries?"+back.Encode())
	return nil
}
