package ticketstore

// Queries of sessions, and their pages (rule 5).

import "time"

// Bounds of Query.Count.
const (
	DefaultCount = 25
	MaxCount     = 1000
)

// Order is the direction of a listing by creation.
type Order string

// The two orders. The zero value stands for Descending.
const (
	Descending Order = "desc"
	Ascending  Order = "asc"
)

// SessionFilter selects sessions. Its conditions AND together; a zero field is no condition. Ranges include
// From and exclude Before.
type SessionFilter struct {
	SubjectID     string    // exact
	SessionID     string    // exact
	ClientID      string    // exact: sessions that this client used
	DisplayName   string    // substring, without regard to case (simple folding; all i are one letter)
	CreatedFrom   time.Time // inclusive
	CreatedBefore time.Time // exclusive
	ExpiresFrom   time.Time // inclusive
	ExpiresBefore time.Time // exclusive
}

// Filter selects the rows of a listing. Its fields are ANDed conditions; a zero field is no condition.
type Filter interface {
	// Listing names the kind of rows. A results token is valid for its own listing only.
	Listing() string
	// Validate returns a *FieldError for a condition that no row can meet by its form.
	Validate() error
}

// Query asks for a page of a listing, ordered by creation.
type Query[F Filter] struct {
	Filter F
	// Order is Descending when empty.
	Order Order
	// Count is the page size: 1 to MaxCount; 0 means DefaultCount.
	Count int
	// ResultsToken is the token of an earlier page; empty asks for the first page. The token carries filter
	// and order: those left out here are taken from it. A different filter or order is ErrResultsToken, and
	// so is a malformed token.
	ResultsToken string
	// Prior asks for the page before the token's page instead of the page after it.
	Prior bool
}

// SessionQuery asks for a page of sessions ordered by Created, then SessionID.
type SessionQuery = Query[SessionFilter]

// Page is the answer to a SessionQuery.
type Page struct {
	Sessions []SessionDetail
	// ResultsToken continues the listing from this page in either direction, even if the page is empty. It is
	// empty only if the query had none and nothing matched.
	ResultsToken string
	HasPrev      bool
	HasNext      bool
	// TotalCount, TotalPages and CurrentPage (from 1) are exact without a filter and with exact filters; they
	// are -1 if a bounded walk did not determine them.
	TotalCount  int
	TotalPages  int
	CurrentPage int
}
