package ticketstore

// Results tokens, and the walks that they continue (rule 5).

import (
	"cmp"
	"crypto/sha256"
	"crypto/subtle"
	"encoding/base64"
	"encoding/json"
	"reflect"
	"time"
)

// MaxResultsToken bounds the length of a results token in bytes. The longest filter fits even if JSON escapes
// each of its bytes.
const MaxResultsToken = 64 << 10

// Bound is a position between two rows of a listing: just after the row at Position, or just before it when
// Inclusive. Position is the engine's own sort key and is compared as bytes.
type Bound struct {
	Position  []byte `json:"p,omitempty"`
	Inclusive bool   `json:"i,omitempty"`
}

// Cursor is the content of a results token: the position of a page, and the filter and order of its query.
// All listings of all backends use this format, so a token stays valid across a swap (rule 5).
type Cursor struct {
	// Listing names the kind of rows: "sessions", "grants", "deliveries".
	Listing string `json:"l"`
	Order   Order  `json:"o"`
	// Filter is the listing's filter in JSON.
	Filter json.RawMessage `json:"f"`
	// Before is where the page begins: the rows of the previous page precede it. After is where it ends.
	Before Bound `json:"b"`
	After  Bound `json:"a"`
	// Page is the page number, from 1, or 0 if unknown.
	Page int `json:"n,omitempty"`
}

const (
	cursorVersion  = 1
	cursorChecksum = 8
)

// Encode returns the results token of the cursor: version, checksum and JSON, in base64url. The checksum is
// not keyed, so it does not authenticate the token: it turns a truncated or mistyped token into
// ErrResultsToken instead of a wrong page. A forged token gains nothing, because it holds only what a query
// may ask for anyway.
func (c Cursor) Encode() (string, error) {
	body, err := json.Marshal(c)
	if err != nil {
		return "", err
	}
	sum := sha256.Sum256(body)
	raw := append([]byte{cursorVersion}, sum[:cursorChecksum]...)
	return base64.RawURLEncoding.EncodeToString(append(raw, body...)), nil
}

// DecodeCursor decodes a results token of the given listing. It returns a *FieldError, which is also
// ErrResultsToken, if the token is malformed or belongs to a different listing.
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

// Walk is a validated query with its results token decoded: what an engine needs to read one page of rows
// filtered by F.
type Walk[F any] struct {
	Listing string
	Filter  F
	Order   Order
	Count   int
	// Prior reads the page before From instead of the one after it.
	Prior bool
	// From is nil for the first page.
	From *Bound
	// Page is the number of the requested page, from 1, or 0 if unknown.
	Page int
}

// Reverse reports whether rows must be read in descending order to fill the page.
func (w *Walk[F]) Reverse() bool { return (w.Order == Descending) != w.Prior }

// Token returns the results token of the page that was read, which begins at before and ends at after in the
// order of the listing.
func (w *Walk[F]) Token(before, after Bound, page int) (string, error) {
	filter, err := json.Marshal(w.Filter)
	if err != nil {
		return "", err
	}
	return Cursor{
		Listing: w.Listing, Order: w.Order, Filter: filter, Before: before, After: after, Page: page,
	}.Encode()
}

// Walk validates the query and takes conditions it leaves out from its results token. Errors are *FieldError.
func (q Query[F]) Walk() (*Walk[F], error) {
	if err := q.Filter.Validate(); err != nil {
		return nil, err
	}
	w := &Walk[F]{
		Listing: q.Filter.Listing(), Filter: q.Filter, Order: q.Order, Count: cmp.Or(q.Count, DefaultCount),
		Prior: q.Prior, Page: 1,
	}
	switch {
	case q.Count < 0 || q.Count > MaxCount:
		return nil, Invalidf("count_requested", "is outside 1 to %d", MaxCount)
	case q.Order != "" && q.Order != Ascending && q.Order != Descending:
		return nil, Invalidf("order", "is neither %q nor %q", Ascending, Descending)
	case q.ResultsToken != "":
		return w, resume(w, q.ResultsToken)
	case q.Prior:
		return nil, Invalidf("request_prior_results", "needs a results token")
	}
	w.Order = cmp.Or(w.Order, Descending)
	return w, nil
}

// resume makes the walk continue from the page of a results token.
func resume[F Filter](w *Walk[F], token string) error {
	cursor, err := DecodeCursor(w.Listing, token)
	if err != nil {
		return err
	}
	var kept F
	if json.Unmarshal(cursor.Filter, &kept) != nil || kept.Validate() != nil {
		return malformedToken()
	}
	w.Order = cmp.Or(w.Order, cursor.Order)
	if !inherit(&w.Filter, kept) || w.Order != cursor.Order {
		return Invalidf(FieldResultsToken, "belongs to a query with another filter or order")
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

// inherit copies into filter the conditions that it leaves out from kept, the filter of a results token. It
// reports whether the two are then equal.
func inherit[F any](filter *F, kept F) bool {
	fields, from := reflect.ValueOf(filter).Elem(), reflect.ValueOf(kept)
	for i := range fields.NumField() {
		field, was := fields.Field(i), from.Field(i)
		if equal(field, reflect.Zero(field.Type())) {
			field.Set(was)
		}
		if !equal(field, was) {
			return false
		}
	}
	return true
}

// equal compares two conditions. Times are compared as instants, whatever their location.
func equal(a, b reflect.Value) bool {
	if moment, ok := a.Interface().(time.Time); ok {
		return moment.Equal(b.Interface().(time.Time))
	}
	return a.Equal(b)
}
