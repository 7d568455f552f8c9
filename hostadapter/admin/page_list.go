package admin

// What the lists have in common: paging, choices, forms.

import (
	"cmp"
	"mime"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"time"

	"github.com/fosite-sessions/sessions/ticketstore"
)

// paging leads from a page of a listing to its neighbours.
type paging struct {
	// Prev and Next are relative addresses, empty where there is nothing to go to; First is there on all
	// pages but the first.
	First, Prev, Next string
	// Page and Pages are 0 where they are not known.
	Page, Pages int
	// Total is -1 where it is not known.
	Total int
}

// list is what the lists of sessions and of notifications have in common.
type list struct {
	// Filter holds the values of the form, by the names of the query.
	Filter         map[string]string
	Filtered       bool
	Orders, Counts []choice
	// Problem says which condition is wrong; then there are no rows.
	Problem string
	Paging  paging
}

func listOf(p *parameters, filters []string) list {
	l := list{
		Filter: map[string]string{}, Orders: orderChoices(p.text("order")),
		Counts: countChoices(p.text("count_requested")), Paging: paging{Total: -1},
	}
	for _, name := range filters {
		l.Filter[name] = p.text(name)
		l.Filtered = l.Filtered || p.text(name) != ""
	}
	return l
}

// pagingOf keeps what the query asked for: a token takes the filter that it was made for.
func pagingOf(p *parameters, token string, prev, next bool) paging {
	result := paging{Total: -1}
	asked := url.Values{}
	for name, values := range p.values {
		if values[0] != "" && name != "results_token" && name != "request_prior_results" {
			asked.Set(name, values[0])
		}
	}
	if p.text("results_token") != "" {
		result.First = "?" + asked.Encode()
	}
	if token == "" {
		return result
	}
	asked.Set("results_token", token)
	if next {
		result.Next = "?" + asked.Encode()
	}
	if prev {
		asked.Set("request_prior_results", "true")
		result.Prev = "?" + asked.Encode()
	}
	return result
}

// Formats that a browser's date field sends. They are taken as UTC, which is how all times are shown.
var fieldFormats = []string{time.RFC3339, "2006-01-02T15:04", "2006-01-02T15:04:05"}

// moment reads the value of a date field.
func (p *parameters) moment(name string) time.Time {
	value := p.values.Get(name)
	if value == "" {
		return time.Time{}
	}
	for _, format := range fieldFormats {
		if t, err := time.Parse(format, value); err == nil && !t.IsZero() {
			return t.UTC()
		}
	}
	p.fail(name, "is not a time like 2006-01-02T15:04")
	return time.Time{}
}

// number reads what a change that led here says of itself: how many, or -1 where nothing is said.
func (p *parameters) number(name string) int {
	if n, err := strconv.Atoi(p.text(name)); err == nil && n >= 0 {
		return n
	}
	return -1
}

// counts are the page sizes to choose from.
var counts = []string{"10", "25", "50", "100"}

// choice is one entry of a list to choose from.
type choice struct {
	Value, Text string
	Chosen      bool
}

func choices(chosen string, pairs ...string) []choice {
	var result []choice
	for i := 0; i+1 < len(pairs); i += 2 {
		result = append(result, choice{Value: pairs[i], Text: pairs[i+1], Chosen: pairs[i] == chosen})
	}
	return result
}

func countChoices(chosen string) []choice {
	chosen = cmp.Or(chosen, "25")
	offered := counts
	if !slices.Contains(counts, chosen) {
		offered = append(slices.Clone(counts), chosen)
	}
	var result []choice
	for _, count := range offered {
		result = append(result, choice{Value: count, Text: count, Chosen: count == chosen})
	}
	return result
}

func orderChoices(chosen string) []choice {
	return choices(cmp.Or(chosen, string(ticketstore.Descending)), string(ticketstore.Descending),
		"Newest first", string(ticketstore.Ascending), "Oldest first")
}

// posted reads the form of a request into r.PostForm, for handlers that take one.
func posted(h handler) handler {
	return func(w http.ResponseWriter, r *http.Request, record *audit) (err error) {
		if r.PostForm, err = readForm(w, r); err != nil {
			return err
		}
		return h(w, r, record)
	}
}

// readForm reads the body of a form. Its fields are what the page made them; others are refused by the
// caller.
func readForm(w http.ResponseWriter, r *http.Request) (url.Values, error) {
	if r.URL.RawQuery != "" {
		return nil, badRequest("The form has a query.")
	}
	if kind, _, err := mime.ParseMediaType(r.Header.Get("Content-Type")); err != nil ||
		kind != "application/x-www-form-urlencoded" {
		return nil, &problem{
			status: http.StatusUnsupportedMediaType,
			detail: "The body must be application/x-www-form-urlencoded.",
		}
	}
	raw, err := readLimited(w, r)
	if err != nil {
		return nil, err
	}
	form, err := url.ParseQuery(string(raw))
	if err != nil {
		return nil, badRequest("The form cannot be read.")
	}
	return form, nil
}
