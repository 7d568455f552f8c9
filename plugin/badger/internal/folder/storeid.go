package folder

// The id of a store.

import (
	"crypto/rand"
	"errors"
	"slices"

	"github.com/dgraph-io/badger/v4"

	"github.com/fosite-sessions/sessions/plugin/badger/internal/layout"
	"github.com/fosite-sessions/sessions/ticketstore"
)

// StoreID returns the id of the data, which is chosen when the store is opened for the first time, before
// anything else is written.
func StoreID(db *badger.DB) (id string, err error) {
	err = db.Update(func(txn *badger.Txn) error {
		switch item, err := txn.Get(layout.StoreIDKey); {
		case errors.Is(err, badger.ErrKeyNotFound):
			id = rand.Text()
			return txn.Set(layout.StoreIDKey, []byte(id))
		case err != nil:
			return err
		default:
			return item.Value(func(value []byte) error { id = string(value); return nil })
		}
	})
	return id, err
}

// checkStoreID refuses a store whose id is not among the wanted ones, if there are any.
func checkStoreID(found, path string, wanted []string) error {
	if len(wanted) == 0 || slices.Contains(wanted, found) {
		return nil
	}
	return &ticketstore.OtherStoreError{Place: path, Wanted: wanted, Found: found}
}
