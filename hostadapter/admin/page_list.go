package admin

// Parts that the lists share: paging, choices, forms.

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

// paging holds the links from a page of a list to its neighbors.
type paging struct {
	// Prev and Next are relative URLs, or "" at either end. First is set on all pages but the first.
	First, Prev, Next string
	// Page and Pages are 0 if unknown.
	Page, Pages int
	// Total is -1 if unknown.
	Total int
}

// list is the data that the lists of sessions and notifications share.
type list struct {
	// Filter holds the form's values by query parameter.
	Filter         map[string]string
	Filtered       bool
	Orders, Counts []choice
	// Problem describes an invalid condition; the list is then empty.
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

// pagingOf returns the paging links. They repeat the query's filter, which a token requires.
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

// fieldFormats are the formats that browsers' date fields send. Times are UTC, as all times shown.
var fieldFormats = []string{time.RFC3339, "2006-01-02T15:04", "2006-01-02T15:04:05"}

// moment parses the value of a date field.
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

// number parses the count in a redirect after a change, or returns -1 if there is none.
func (p *parameters) number(name string) int {
	if n, err := strconv.Atoi(p.text(name)); err == nil && n >= 0 {
		return n
	}
	return -1
}

// counts are the selectable page sizes.
var counts = []string{"10", "25", "50", "100"}

// choice is an option of a select field.
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

// withForm parses the form of a request into r.PostForm before it calls a handler.
func withForm(h handler) handler {
	return func(w http.ResponseWriter, r *http.Request, record *audit) (err error) {
		if r.PostForm, err = readForm(w, r); err != nil {
			return err
		}
		return h(w, r, record)
	}
}

// readForm reads a form body. The caller refuses fields that the page did not make.
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
