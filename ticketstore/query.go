package ticketstore

// Queries of sessions and their pages (rule 5).

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

// Filter selects the rows of a listing. Its fields are conditions that AND together; a zero field is none.
type Filter interface {
	// Listing names the kind of rows. A results token is one of its own listing.
	Listing() string
	// Validate refuses conditions whose form no row can have. Its errors are *FieldError.
	Validate() error
}

// Query asks for a page of a listing, in the order of creation.
type Query[F Filter] struct {
	Filter F
	// Order is Descending when empty.
	Order Order
	// Count is the number of rows wanted: 1 to MaxCount, 0 means DefaultCount.
	Count int
	// ResultsToken is that of an earlier page; empty asks for the first page. It carries filter and order:
	// what is left out here is taken from it. A different filter or order is ErrResultsToken, and so is a
	// malformed token.
	ResultsToken string
	// Prior asks for the page before the token's page instead of the one after it.
	Prior bool
}

// SessionQuery asks for a page of sessions ordered by Created, then SessionID.
type SessionQuery = Query[SessionFilter]

// Page is the answer to a SessionQuery.
type Page struct {
	Sessions []SessionDetail
	// ResultsToken leads on from this page in either direction, also when the page is empty. It is empty only
	// when the query had none and nothing matched.
	ResultsToken string
	HasPrev      bool
	HasNext      bool
	// TotalCount, TotalPages and CurrentPage (from 1) are -1 where a bounded walk does not know them. They
	// are exact without filter and with exact filters.
	TotalCount  int
	TotalPages  int
	CurrentPage int
}
