package client

// Pages, and the walk over them.

import (
	"context"
	"iter"
	"net/url"
	"strconv"
	"time"
)

// Order is that of a list, by creation.
type Order string

// The orders. The zero value is Descending: the newest first.
const (
	Ascending  Order = "asc"
	Descending Order = "desc"
)

// Paging says which page of a list is wanted. Its zero value is the first, of 25 rows.
type Paging struct {
	Order Order
	// Count is the rows of a page, 1 to 1,000, 25 when 0.
	Count int
	// ResultsToken is that of another page, whose filter it carries: the page after it, or before it with
	// Prior.
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

// set leaves out what is empty.
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

// Page is a part of a list.
type Page[Row any] struct {
	Results []Row `json:"results"`
	// ResultsToken leads to the pages around. Empty where there is no row.
	ResultsToken string `json:"results_token,omitempty"`
	HasPrev      bool   `json:"has_prev_results"`
	HasNext      bool   `json:"has_next_results"`
}

// walk reads page after page from the one that query asks for, in its direction. It ends with the first
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
				if paging.Prior { // backwards throughout
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
