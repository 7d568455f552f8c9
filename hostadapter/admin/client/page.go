package client

// Pages, and iteration over them.

import (
	"context"
	"iter"
	"net/url"
	"strconv"
	"time"
)

// Order is the order of a list, by creation.
type Order string

// The orders. The zero value is Descending: newest first.
const (
	Ascending  Order = "asc"
	Descending Order = "desc"
)

// Paging selects a page of a list. Its zero value is the first page, with 25 rows.
type Paging struct {
	Order Order
	// Count is the number of rows per page, 1 to 1,000; 0 means 25.
	Count int
	// ResultsToken is the token of another page and contains its filter. It selects the page after that one,
	// or, with Prior, the page before it.
	ResultsToken string
	Prior        bool
}

func (p Paging) values() url.Values {
	values := url.Values{}
	set(values, "order", string(p.Order))
	if p.Count != 0 {
		values.Set("count_requested", strconv.Itoa(p.Count))
	}
	set(values, "results_token", p.ResultsToken)
	if p.Prior {
		values.Set("request_prior_results", "true")
	}
	return values
}

// set sets a value unless it is empty.
func set(values url.Values, name, value string) {
	if value != "" {
		values.Set(name, value)
	}
}

func setTime(values url.Values, name string, t time.Time) {
	if !t.IsZero() {
		values.Set(name, t.UTC().Format(time.RFC3339Nano))
	}
}

// Page is a page of a list.
type Page[Row any] struct {
	Results []Row `json:"results"`
	// ResultsToken selects the neighboring pages. It is empty if the page has no rows.
	ResultsToken string `json:"results_token,omitempty"`
	HasPrev      bool   `json:"has_prev_results"`
	HasNext      bool   `json:"has_next_results"`
}

// walk iterates over pages in the query's direction, starting at the requested page. It stops at the first
// error.
func walk[Row any](
	ctx context.Context, c *Client, path string, query url.Values, paging Paging,
) iter.Seq2[Row, error] {
	return func(yield func(Row, error) bool) {
		for {
			page, err := get[Page[Row]](ctx, c, path, query)
			if err != nil {
				var none Row
				yield(none, err)
				return
			}
			for i := range page.Results {
				at := i
				if paging.Prior { // keep the direction
					at = len(page.Results) - 1 - i
				}
				if !yield(page.Results[at], nil) {
					return
				}
			}
			more := page.HasNext
			if paging.Prior {
				more = page.HasPrev
			}
			if !more || page.ResultsToken == "" {
				return
			}
			query = Paging{Count: paging.Count, ResultsToken: page.ResultsToken, Prior: paging.Prior}.values()
		}
	}
}
