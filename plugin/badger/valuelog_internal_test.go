package badger

import (
	"bytes"
	"fmt"
	"log/slog"
	"path/filepath"
	"testing"

	"github.com/dgraph-io/badger/v4"
)

// Values that were replaced give their room in the value log back, and those that were not stay.
func TestValueLogIsCollected(t *testing.T) {
	t.Parallel()
	settings := Settings{Path: t.TempDir()}
	options := databaseOptions(settings, nil, slog.New(slog.DiscardHandler)).
		WithSyncWrites(false).WithValueThreshold(1 << 10).WithValueLogFileSize(1 << 20).WithMemTableSize(1 << 20).WithNumLevelZeroTables(1)
	open := func() *badger.DB {
		db, err := badger.Open(options)
		if err != nil {
			t.Fatal(err)
		}
		return db
	}
	value := func(round byte) []byte { return bytes.Repeat([]byte{round}, 8<<10) }
	const rows, rounds = 128, 6
	db := open()
	for round := range rounds {
		for i := range rows {
			err := db.Update(func(txn *badger.Txn) error { return txn.Set(fmt.Appendf(nil, "row%d", i), value(byte(round))) })
			if err != nil {
				t.Fatal(err)
			}
		}
		// Closing writes a table; compaction needs some to merge.
		if err := db.Close(); err != nil {
			t.Fatal(err)
		}
		db = open()
	}
	defer func() { _ = db.Close() }()
	if err := db.Flatten(1); err != nil { // compaction is what finds out about waste
		t.Fatal(err)
	}
	files := func() int {
		names, _ := filepath.Glob(filepath.Join(settings.Path, "*.vlog"))
		return len(names)
	}
	before := files()
	collected, err := collectValueLog(t.Context(), db)
	if err != nil || collected == 0 || files() >= before {
		t.Errorf("collected %d files, error %v; %d of %d are left", collected, err, files(), before)
	}
	err = db.View(func(txn *badger.Txn) error {
		for i := range rows {
			item, err := txn.Get(fmt.Appendf(nil, "row%d", i))
			if err != nil {
				return err
			}
			got, err := item.ValueCopy(nil)
			if err != nil || !bytes.Equal(got, value(rounds-1)) {
				return fmt.Errorf("row %d has another value (error %w)", i, err)
			}
		}
		return nil
	})
	if err != nil {
		t.Error(err)
	}
}
