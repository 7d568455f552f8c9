package ticketstore

// Pins: opening only a store with a known id (rule 11).

import (
	"context"
	"errors"
	"fmt"
	"strings"
)

// ErrOtherStore means that the opened store is not the expected one, or that there is no store (rule 11). A
// *OtherStoreError has both ids.
var ErrOtherStore = errors.New("it is another store")

// OtherStoreError is an ErrOtherStore with the ids that were expected and found.
type OtherStoreError struct {
	// Place is where the store was expected, such as its folder. Empty if unknown.
	Place string
	// Wanted are the acceptable ids (Description.StoreID). Found is the id of the store that was opened,
	// empty if there is no store.
	Wanted []string
	Found  string
}

// Error names the place and both ids, and suggests likely causes.
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

// WithStoreIDs returns a context for opening an existing store with one of the ids: any other store is
// refused with ErrOtherStore, and nothing is created or changed. Without ids any store is accepted, and a new
// one is created if none exists. A host passes the ids of the store it served before through all layers this
// way.
func WithStoreIDs(ctx context.Context, ids ...string) context.Context {
	return context.WithValue(ctx, storeIDsKey{}, ids)
}

// StoreIDs returns the ids given to WithStoreIDs, or none if any store is accepted.
func StoreIDs(ctx context.Context) []string {
	ids, _ := ctx.Value(storeIDsKey{}).([]string)
	return ids
}
