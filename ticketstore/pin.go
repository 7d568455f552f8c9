package ticketstore

// Pins: opening only a store with a known id (rule 11).

import (
	"context"
	"errors"
	"fmt"
	"strings"
)

// ErrOtherStore means that what was opened is not the wanted store, or no store at all (rule 11). A
// *OtherStoreError has both ids.
var ErrOtherStore = errors.New("it is another store")

// OtherStoreError is an ErrOtherStore with the ids that were wanted and found.
type OtherStoreError struct {
	// Place is where the store was looked for, such as its folder. Empty where that is not known.
	Place string
	// Wanted are the ids (Description.StoreID) of which the store must have one, Found is its own: empty
	// where there is no store.
	Wanted []string
	Found  string
}

// Error names the place and both ids, and says what may have happened.
func (e *OtherStoreError) Error() string {
	place, found := e.Place, "the store "+e.Found
	if place == "" {
		place = "the backend"
	}
	if e.Found == "" {
		found = "no store"
	}
	wanted := strings.Join(e.Wanted, " or ")
	if wanted == "" {
		wanted = "one without an id"
	}
	return fmt.Sprintf("%v: %s holds %s, wanted is %s; was a volume not mounted, or the folder moved or "+
		"replaced?", ErrOtherStore, place, found, wanted)
}

// Is makes errors.Is(err, ErrOtherStore) hold.
func (e *OtherStoreError) Is(target error) bool { return target == ErrOtherStore }

type storeIDsKey struct{}

// WithStoreIDs returns a context for opening a store: it must be there already and have one of the ids,
// otherwise it is refused as ErrOtherStore, and nothing is created or changed. Without ids any store is
// accepted, and a new one is made where there is none. A host that knows which store it served before passes
// its ids this way, through all layers, to what opens it.
func WithStoreIDs(ctx context.Context, ids ...string) context.Context {
	return context.WithValue(ctx, storeIDsKey{}, ids)
}

// StoreIDs returns what WithStoreIDs was given, none if any store is accepted.
func StoreIDs(ctx context.Context) []string {
	ids, _ := ctx.Value(storeIDsKey{}).([]string)
	return ids
}
