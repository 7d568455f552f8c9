package ticketstore

// Results tokens, and the walks that they continue (rule 5).

import (
	"crypto/sha256"
	"crypto/subtle"
	"encoding/base64"
	"encoding/json"
	"time"
)

// MaxResultsToken bounds the length of a results token in bytes. The longest filter fits, even if JSON
// escapes each of its bytes.
const MaxResultsToken = 64 << 10

// Bound is a position between two rows of a listing: just after the row at Position, or just before it when
// Inclusive. Position is the engine's own sort key and is compared as bytes.
type Bound struct {
	Position  []byte `json:"p,omitempty"`
	Inclusive bool   `json:"i,omitempty"`
}

// Cursor is the content of a results token: where a page lies, and the filter and order that it was made
// with. All listings of all backends use it, so that a token is valid after a swap (rule 5).
type Cursor struct {
	// Listing names the kind of rows: "sessions", "grants", "deliveries".
	Listing string `json:"l"`
	Order   Order  `json:"o"`
	// Filter is the listing's filter in JSON.
	Filter json.RawMessage `json:"f"`
	// Before is where the page begins: the rows of the prior page are before it. After is where it ends.
	Before Bound `json:"b"`
	After  Bound `json:"a"`
	// Page is the page's number from 1, 0 where it is not known.
	Page int `json:"n,omitempty"`
}

const (
	cursorVersion  = 1
	cursorChecksum = 8
)

// Encode returns the results token of the cursor: version, checksum, JSON, in base64url. The checksum is not
// keyed, so it authenticates nothing: it turns a truncated or mistyped token into ErrResultsToken instead of
// another page. A forged token gains nothing, because it holds only what a query may ask for anyway.
func (c Cursor) Encode() (string, error) {
	body, err := json.Marshal(c)
	if err != nil {
		return "", err
	}
	sum := sha256.Sum256(body)
	raw := append([]byte{cursorVersion}, sum[:cursorChecksum]...)
	return base64.RawURLEncoding.EncodeToString(append(raw, body...)), nil
}

// DecodeCursor returns the cursor of a results token of that listing, or a *FieldError that is also
// ErrResultsToken.
func DecodeCursor(listing, token string) (*Cursor, error) {
	if len(token) > MaxResultsToken {
		return nil, Invalidf(FieldResultsToken, "is longer than %d bytes", MaxResultsToken)
	}
	raw, err := base64.RawURLEncoding.Strict().DecodeString(token)
	if err != nil || len(raw) <= 1+cursorChecksum || raw[0] != cursorVersion {
		return nil, malformedToken()
	}
	sum, body := raw[1:1+cursorChecksum], raw[1+cursorChecksum:]
	want := sha256.Sum256(body)
	if subtle.ConstantTimeCompare(sum, want[:cursorChecksum]) != 1 {
		return nil, malformedToken()
	}
	var c Cursor
	if err := json.Unmarshal(body, &c); err != nil {
		return nil, malformedToken()
	}
	if c.Listing != listing {
		return nil, Invalidf(FieldResultsToken, "belongs to a listing of other records")
	}
	if c.Order != Ascending && c.Order != Descending {
		return nil, malformedToken()
	}
	return &c, nil
}

func malformedToken() error { return Invalidf(FieldResultsToken, "is malformed") }

// Walk is the page that a query asks for, with its results token decoded: what an engine needs to answer a
// query of rows filtered by F.
type Walk[F any] struct {
	Listing string
	Filter  F
	Order   Order
	Count   int
	// Prior: the page lies before From, else after it.
	Prior bool
	// From is nil for the first page.
	From *Bound
	// Page is the number of the wanted page from 1, 0 where it is not known.
	Page int
}

// Reverse reports whether the rows must be read in descending order to fill the page.
func (w *Walk[F]) Reverse() bool { return (w.Order == Descending) != w.Prior }

// Token returns the results token of the answered page, which begins at before and ends at after in the order
// of the listing.
func (w *Walk[F]) Token(before, after Bound, page int) (string, error) {
	filter, err := json.Marshal(w.Filter)
	if err != nil {
		return "", err
	}
	return Cursor{
		Listing: w.Listing, Order: w.Order, Filter: filter, Before: before, After: after, Page: page,
	}.Encode()
}

// PageRequest is what the queries of all listings have in common.
type PageRequest struct {
	Order        Order
	Count        int
	ResultsToken string
	Prior        bool
}

// ResumeWalk checks a request and, where it has a token, fills filter and order from it. merge takes the
// fields that filter leaves out from kept, the token's filter, and returns a *FieldError for one that
// differs.
func ResumeWalk[F any](
	listing string, request PageRequest, filter F, merge func(filter *F, kept F) error,
) (*Walk[F], error) {
	if request.Count < 0 || request.Count > MaxCount {
		return nil, Invalidf("count_requested", "is outside 1 to %d", MaxCount)
	}
	w := &Walk[F]{
		Listing: listing, Filter: filter, Order: request.Order, Count: request.Count, Prior: request.Prior,
		Page: 1,
	}
	if w.Count == 0 {
		w.Count = DefaultCount
	}
	if w.Order != "" && w.Order != Ascending && w.Order != Descending {
		return nil, Invalidf("order", "is neither %q nor %q", Ascending, Descending)
	}
	if request.ResultsToken == "" {
		if request.Prior {
			return nil, Invalidf("request_prior_results", "needs a results token")
		}
		if w.Order == "" {
			w.Order = Descending
		}
		return w, nil
	}
	return w, w.resume(request.ResultsToken, merge)
}

func (w *Walk[F]) resume(token string, merge func(filter *F, kept F) error) error {
	cursor, err := DecodeCursor(w.Listing, token)
	if err != nil {
		return err
	}
	var kept F
	if err := json.Unmarshal(cursor.Filter, &kept); err != nil {
		return malformedToken()
	}
	if err := merge(&w.Filter, kept); err != nil {
		return err
	}
	if err := KeepSame(&w.Order, cursor.Order); err != nil {
		return err
	}
	switch {
	case w.Prior:
		w.From, w.Page = &cursor.Before, max(cursor.Page-1, 0)
	case cursor.Page > 0:
		w.From, w.Page = &cursor.After, cursor.Page+1
	default:
		w.From, w.Page = &cursor.After, 0
	}
	return nil
}

// KeepSame takes kept where given is the zero value, and refuses a given value that differs from it.
func KeepSame[T comparable](given *T, kept T) error {
	var zero T
	if *given == zero {
		*given = kept
	}
	if *given != kept {
		return Invalidf(FieldResultsToken, "belongs to a query with another filter or order")
	}
	return nil
}

// keepSameTime is KeepSame for moments, whose locations may differ.
func keepSameTime(given *time.Time, kept time.Time) error {
	if given.IsZero() {
		*given = kept
	}
	if !given.Equal(kept) {
		return Invalidf(FieldResultsToken, "belongs to a query with another filter or order")
	}
	return nil
}
