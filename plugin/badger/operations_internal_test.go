package badger

// The rows of operations: one entry for each transaction, purged by age.

import (
	"errors"
	"fmt"
	"testing"
	"time"

	"github.com/fosite-sessions/sessions/grantstore"
	"github.com/fosite-sessions/sessions/plugin/badger/internal/check"
	"github.com/fosite-sessions/sessions/plugin/badger/internal/kv"
	"github.com/fosite-sessions/sessions/plugin/badger/internal/layout"
	"github.com/fosite-sessions/sessions/plugin/records"
)

func TestOperationsOfATransactionShareAnEntry(t *testing.T) {
	t.Parallel()
	e := openAt(t, t.TempDir())
	const calls = 100
	now := base.Add(time.Millisecond) // not a whole second
	err := e.update(t.Context(), func(tx *kv.Tx) error {
		for i := range calls {
			batch := &grantstore.Batch{OperationID: fmt.Sprint("operation", i), Store: []grantstore.Grant{
				familyGrant(grantstore.RefreshToken, fmt.Sprint("refresh", i)),
			}}
			batch.Store[0].RequestID = batch.OperationID
			if _, refused, err := applyBatch(tx, batch, now); err != nil || refused != nil {
				return errors.Join(err, refused)
			}
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	count := func(table []byte) (n int) {
		t.Helper()
		err := e.db.Look(t.Context(), func(r *kv.Snapshot) error {
			return r.Scan(table, nil, false, func([]byte, func() ([]byte, error)) (bool, error) {
				n++
				return true, nil
			})
		})
		if err != nil {
			t.Fatal(err)
		}
		return n
	}
	if n := count(layout.IndexOperationAge); n != 2 {
		t.Errorf("%d operations have %d entries by age, want 2 of up to 64", calls, n)
	}
	report, err := e.Check(t.Context(), check.Config{})
	if err != nil || len(report.Findings) > 0 {
		t.Errorf("check: %+v, %v", report.Findings, err)
	}
	for _, due := range []struct {
		after time.Duration
		left  int
	}{
		{grantstore.OperationRetention - time.Second, calls},
		{grantstore.OperationRetention, calls}, // their last second is not over
		{grantstore.OperationRetention + time.Second, 0},
	} {
		for purged := 1; purged > 0; {
			if purged, err = e.Grants().Purge(t.Context(), 10, now.Add(due.after)); err != nil {
				t.Fatal(err)
			}
			if purged > 10 {
				t.Errorf("a purge with limit 10 purged %d", purged)
			}
		}
		if n := count(layout.TableOperation); n != due.left {
			t.Errorf("%s later: %d operations, want %d", due.after, n, due.left)
		}
	}
	if n := count(layout.IndexOperationAge); n != 0 {
		t.Errorf("%d entries of purged operations are left", n)
	}
}

// A repeated operation whose row was set aside does not remove the others from their shared entry.
func TestRepeatedOperationsKeepTheirEntry(t *testing.T) {
	t.Parallel()
	e := openAt(t, t.TempDir())
	for _, again := range [][]string{{"a", "b"}, {"a", "c"}} {
		if err := e.update(t.Context(), func(tx *kv.Tx) error {
			for _, id := range again {
				if err := saveAnswer(tx, id, &records.Operation{When: base.UnixNano()}); err != nil {
					return err
				}
			}
			return nil
		}); err != nil {
			t.Fatal(err)
		}
	}
	if report := checked(t, e, check.Config{}); len(report.Findings) != 0 {
		t.Errorf("check: %+v", report.Findings)
	}
}

// A check finds an entry that lacks an operation or names a missing one.
func TestCheckOfSharedEntries(t *testing.T) {
	t.Parallel()
	for name, others := range map[string]string{"one is missing": "", "one is no operation": "b\x00c"} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			e := openAt(t, t.TempDir())
			for _, id := range []string{"a", "b"} {
				rowsOf(t, e, &grantstore.Batch{OperationID: id, Store: []grantstore.Grant{
					familyGrant(grantstore.RefreshToken, id),
				}})
			}
			at := base.UnixNano()
			put(t, e, layout.OperationAgeKey(at, "b"), nil)
			put(t, e, layout.OperationAgeKey(at, "a"), []byte("b"))
			if report := checked(t, e, check.Config{}); len(report.Findings) != 0 {
				t.Fatalf("before the change: %+v", report.Findings)
			}
			put(t, e, layout.OperationAgeKey(at, "a"), []byte(others))
			report := checked(t, e, check.Config{})
			if len(report.Findings) != 1 || report.Findings[0].Table != "operations by age" {
				t.Errorf("got %+v, want a fault of an entry by age", report.Findings)
			}
		})
	}
}
