package badger

import (
	"crypto/rand"
	"errors"
	"os"
	"slices"

	"github.com/dgraph-io/badger/v4"

	"github.com/fosite-sessions/sessions/ticketstore"
)

// storeID returns what names the data, chosen when the store is opened for the first time. Nobody else writes
// yet.
func storeID(db *badger.DB) (id string, err error) {
	if id, err = readStoreID(db); err != nil || id != "" {
		return id, err
	}
	id = rand.Text()
	return id, db.Update(func(txn *badger.Txn) error { return txn.Set(storeIDKey, []byte(id)) })
}

// readStoreID returns the id that a store has, empty where it has none yet.
func readStoreID(db *badger.DB) (id string, err error) {
	err = db.View(func(txn *badger.Txn) error {
		item, err := txn.Get(storeIDKey)
		if errors.Is(err, badger.ErrKeyNotFound) {
			return nil
		}
		if err != nil {
			return err
		}
		return item.Value(func(value []byte) error { id = string(value); return nil })
	})
	return id, err
}

// checkPlace refuses a folder without a store, and one whose marker has none of the wanted ids, if there are
// any.
func checkPlace(path string, wanted []string) error {
	if len(wanted) == 0 {
		return nil
	}
	entries, err := os.ReadDir(path)
	if errors.Is(err, os.ErrNotExist) || (err == nil && isNew(entries)) {
		return otherStore(path, wanted, "")
	}
	m, err := readMarker(path)
	if err == nil && m.store != "" && !slices.Contains(wanted, m.store) {
		err = otherStore(path, wanted, m.store)
	}
	return err
}

// checkStoreID is checkPlace for what the database says: an older marker has no id. Nothing was written yet.
func checkStoreID(db *badger.DB, path string, wanted []string) error {
	if len(wanted) == 0 {
		return nil
	}
	id, err := readStoreID(db)
	if err == nil && !slices.Contains(wanted, id) {
		err = otherStore(path, wanted, id)
	}
	return err
}

func otherStore(path string, wanted []string, found string) error {
	return &ticketstore.OtherStoreError{Place: path, Wanted: wanted, Found: found}
}
