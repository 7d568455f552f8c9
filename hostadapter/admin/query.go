package admin

// Query parameters, and the links to other pages (RFC 8288).

import (
	"cmp"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"time"

	"github.com/fosite-sessions/sessions/hostadapter/admin/client"
	"github.com/fosite-sessions/sessions/hostadapter/internal/auditlog"
	"github.com/fosite-sessions/sessions/logout"
	"github.com/fosite-sessions/sessions/ticketstore"
)

// parameters are the query parameters, each at most once. Empty ones count as absent. The first error is
// kept.
type parameters struct {
	values url.Values
	err    error
}

// readParameters refuses parameters that the route does not have, by name.
func readParameters(r *http.Request, known ...string) *parameters {
	values, err := url.ParseQuery(r.URL.RawQuery)
	if err != nil {
		return &parameters{err: badRequest("The query cannot be read.")}
	}
	p := &parameters{values: values}
	for name, given := range values {
		switch {
		case !slices.Contains(known, name):
			p.err = cmp.Or(p.err, unknownName(name, "is not a parameter of this address"))
		case len(given) > 1:
			p.fail(name, "occurs more than once")
		}
	}
	return p
}

// nameError is about an unknown name. The response includes the name; the audit does not, because it may be a
// misplaced secret.
type nameError struct{ *ticketstore.FieldError }

func unknownName(name, text string) error {
	return nameError{&ticketstore.FieldError{Field: printable(name), Problem: text}}
}

// Error is the text for the audit.
func (e nameError) Error() string { return "invalid request: a name in it " + e.Problem }

// Unwrap returns the error for the response.
func (e nameError) Unwrap() error { return e.FieldError }

// printable truncates a name that a client sent.
func printable(name string) string { return auditlog.Cut(name, 64) }

func (p *parameters) fail(field, text string) {
	if p.err == nil {
		p.err = ticketstore.Invalidf(field, "%s", text)
	}
}

func (p *parameters) text(name string) string { return p.values.Get(name) }

func (p *parameters) time(name string) time.Time {
	value := p.values.Get(name)
	if value == "" {
		return time.Time{}
	}
	t, err := time.Parse(time.RFC3339, value)
	if err != nil {
		p.fail(name, "is not a time like 2006-01-02T15:04:05Z (RFC 3339; a + must be escaped as %2B)")
	} else if t.IsZero() {
		p.fail(name, "is before all times")
	}
	return t.UTC()
}

func (p *parameters) boolean(name string) bool {
	switch p.values.Get(name) {
	case "", "false":
		return false
	case "true":
		return true
	}
	p.fail(name, "is neither true nor false")
	return false
}

func (p *parameters) count() int {
	value := p.values.Get("count_requested")
	if value == "" {
		return 0
	}
	n, err := strconv.Atoi(value)
	if err != nil || n < 1 || n > ticketstore.MaxCount {
		p.fail("count_requested", "is not a number from 1 to "+strconv.Itoa(ticketstore.MaxCount))
	}
	return n
}

func (p *parameters) order() ticketstore.Order {
	value := ticketstore.Order(p.values.Get("order"))
	if value != "" && value != ticketstore.Ascending && value != ticketstore.Descending {
		p.fail("order", `is neither "asc" nor "desc"`)
	}
	return value
}

// pageParameters are the parameters of every paged route.
var pageParameters = []string{"order", "count_requested", "results_token", "request_prior_results"}

// sessionFilters and deliveryFilters are the filter parameters of the lists, in JSON and on the page.
var (
	sessionFilters = []string{
		"subject_id", "session_id", "display_name", "client_id", "created_after", "created_before",
		"expires_after", "expires_before",
	}
	deliveryFilters = []string{"state", "client_id", "session_id"}
)

// sessionQuery returns the query of a list of sessions. moment parses a time.
func (p *parameters) sessionQuery(moment func(name string) time.Time) ticketstore.SessionQuery {
	return queryOf(p, ticketstore.SessionFilter{
		SubjectID: p.text("subject_id"), SessionID: p.text("session_id"), ClientID: p.text("client_id"),
		DisplayName: p.text("display_name"),
		CreatedFrom: moment("created_after"), CreatedBefore: moment("created_before"),
		ExpiresFrom: moment("expires_after"), ExpiresBefore: moment("expires_before"),
	})
}

// deliveryQuery returns the query of a list of notifications.
func (p *parameters) deliveryQuery() logout.NotificationQuery {
	return queryOf(p, logout.NotificationFilter{
		State: logout.State(p.text("state")), ClientID: p.text("client_id"), SessionID: p.text("session_id"),
	})
}

// queryOf adds the parameters that all lists share to a filter.
func queryOf[F ticketstore.Filter](p *parameters, filter F) ticketstore.Query[F] {
	return ticketstore.Query[F]{
		Filter: filter, Order: p.order(), Count: p.count(), ResultsToken: p.text("results_token"),
		Prior: p.boolean("request_prior_results"),
	}
}

// maxLinkToken bounds the results token in a Link header, in bytes. A response has two links.
const maxLinkToken = 1 << 10

// pageOf converts a page of records to rows.
func pageOf[Record, Row any](
	records []Record, rowOf func(*Record) Row, token string, prev, next bool,
) client.Page[Row] {
	return client.Page[Row]{
		Results: rowsOf(records, rowOf), ResultsToken: token, HasPrev: prev, HasNext: next,
	}
}

func rowsOf[Record, Row any](records []Record, rowOf func(*Record) Row) []Row {
	rows := make([]Row, 0, len(records))
	for i := range records {
		rows = append(rows, rowOf(&records[i]))
	}
	return rows
}

// writeList answers with a page of a list.
func writeList[Row any](w http.ResponseWriter, p *parameters, page client.Page[Row]) {
	writeLinks(w, p, page.ResultsToken, page.HasPrev, page.HasNext)
	writeJSON(w, http.StatusOK, page)
}

// writeLinks adds Link headers for the neighboring pages (RFC 8288). They are relative to the URL of the
// request, which a proxy may have changed. The token holds filter and order. A long token is only in the
// body: many proxies accept at most 4 KiB of response headers.
func writeLinks(w http.ResponseWriter, p *parameters, token string, prev, next bool) {
	if token == "" || len(token) > maxLinkToken {
		return
	}
	query := url.Values{"results_token": {token}}
	if count := p.text("count_requested"); count != "" {
		query.Set("count_requested", count)
	}
	if next {
		w.Header().Add("Link", "<?"+query.Encode()+`>; rel="next"`)
	}
	if prev {
		query.Set("request_prior_results", "true")
		w.Header().Add("Link", "<?"+query.Encode()+`>; rel="prev"`)
	}
}
