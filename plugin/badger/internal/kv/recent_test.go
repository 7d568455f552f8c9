package kv

// The cache of recent rows returns only rows of a reader's snapshot.

import (
	"bytes"
	"fmt"
	"testing"

	"github.com/dgraph-io/badger/v4"

	"github.com/fosite-sessions/sessions/plugin/badger/internal/layout"
)

// row is the key of a cached row that is not part of the contents.
var row = layout.FamilyKey("request")

func put(t *testing.T, d *DB, value string) {
	t.Helper()
	err := commit(t.Context(), d, func(tx *Tx) error {
		tx.Put(row, []byte(value))
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
}

// wantRow fails the test unless the row has that value, "" for none.
func wantRow(t *testing.T, r Reader, want string) {
	t.Helper()
	if value, err := r.Get(row); err != nil || string(value) != want {
		t.Errorf("the row is %q (%v), want %q", value, err, want)
	}
}

func TestRecentRowsMatchTheSnapshot(t *testing.T) {
	t.Parallel()
	d := openDB(t)
	d.committer.recent = newRecent(1<<20, d.committer.views.newest.txn.ReadTs())
	read := func(f func(r *Snapshot)) {
		t.Helper()
		if err := d.View(t.Context(), func(r *Snapshot) error { f(r); return nil }); err != nil {
			t.Fatal(err)
		}
	}
	put(t, d, "one")
	read(func(before *Snapshot) {
		put(t, d, "two")
		wantRow(t, before, "one") // from its snapshot, which is not cached
		read(func(r *Snapshot) { wantRow(t, r, "two") })
		wantRow(t, before, "one")
	})
	read(func(r *Snapshot) {
		value, known := d.committer.recent.get(row, r.txn.ReadTs())
		if !known || string(value) != "two" {
			t.Errorf("the newest row is not cached: %q", value)
		}
	})
	read(func(before *Snapshot) {
		err := commit(t.Context(), d, func(tx *Tx) error {
			wantRow(t, tx, "two")
			tx.Delete(row)
			return nil
		})
		if err != nil {
			t.Fatal(err)
		}
		read(func(r *Snapshot) { wantRow(t, r, "") })
		wantRow(t, before, "two")
	})
	read(func(r *Snapshot) { wantRow(t, r, "") })
}

func TestRecentRowsAreDroppedAfterOtherWrites(t *testing.T) {
	t.Parallel()
	d := openDB(t)
	d.committer.recent = newRecent(1<<20, d.committer.views.newest.txn.ReadTs())
	put(t, d, "one")
	err := d.Damage(t.Context(), func(txn *badger.Txn) error { return txn.Set(row, []byte("two")) })
	if err != nil {
		t.Fatal(err)
	}
	for range 2 {
		err := d.View(t.Context(), func(r *Snapshot) error {
			wantRow(t, r, "two")
			return nil
		})
		if err != nil {
			t.Fatal(err)
		}
		err = commit(t.Context(), d, func(tx *Tx) error { // the position advances, the cached row does not
			tx.Put(testKey([]byte("k")), nil)
			return nil
		})
		if err != nil {
			t.Fatal(err)
		}
	}
}

func TestRecentRowsAreBounded(t *testing.T) {
	t.Parallel()
	const most = 64 << 10
	r := newRecent(most, 1)
	key := func(i int) []byte { return layout.SessionKey(fmt.Sprint("sid", i)) }
	for i := range 1000 {
		r.add(key(i), bytes.Repeat([]byte{byte(i)}, 500), 1)
		if _, known := r.get(key(0), 1); !known {
			t.Fatalf("a row in use was evicted after %d others", i)
		}
	}
	size := 0
	for _, rows := range []map[string][]byte{r.young, r.old} {
		for name, value := range rows {
			size += len(name) + len(value) + recentOverhead
		}
	}
	if size > most+maxRecent || size < most/2 {
		t.Errorf("cached rows take %d bytes, want at most about %d", size, most)
	}
	large := key(999)
	r.committed(map[string]write{string(large): {key: large, value: make([]byte, maxRecent+1)}}, 1, 2)
	if _, known := r.get(large, 2); known {
		t.Error("a former value of a grown row is cached")
	}
	if _, known := r.get(key(998), 2); !known {
		t.Error("an unchanged row was evicted by the commit")
	}
}
