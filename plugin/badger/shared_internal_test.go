package badger

// The entries that the calls of a transaction share: by the age of operations, and by the expiry of grants.

import (
	"errors"
	"fmt"
	"testing"
	"time"

	"github.com/fosite-sessions/sessions/grantstore"
	"github.com/fosite-sessions/sessions/plugin/badger/internal/check"
	"github.com/fosite-sessions/sessions/plugin/badger/internal/kv"
	"github.com/fosite-sessions/sessions/plugin/badger/internal/layout"
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
			if _, refused, err := carryOut(tx, batch, now); err != nil || refused != nil {
				return errors.Join(err, refused)
			}
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	if n := rowsUnder(t, e, layout.IndexOperationAge); n != 2 {
		t.Errorf("%d operations have %d entries by their age, want 2: one takes 64", calls, n)
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
		{grantstore.OperationRetention, calls}, // their second is not over
		{grantstore.OperationRetention + time.Second, 0},
	} {
		for purged := 1; purged > 0; {
			if purged, err = e.Grants().Purge(t.Context(), 10, now.Add(due.after)); err != nil {
				t.Fatal(err)
			}
		}
		if n := rowsUnder(t, e, layout.TableOperation); n != due.left {
			t.Errorf("%s after them %d operations are left, want %d", due.after, n, due.left)
		}
	}
	if n := rowsUnder(t, e, layout.IndexOperationAge); n != 0 {
		t.Errorf("%d entries are left of operations that have gone", n)
	}
}

// rowsUnder counts the rows of a table.
func rowsUnder(t *testing.T, e *Engine, table []byte) (n int) {
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

// Entries by expiry stay when their grants go before. The purge passes them, counts none of them, and finds
// the grants that are due, each at its time.
func TestEntriesByExpiryOutliveTheirGrants(t *testing.T) {
	t.Parallel()
	e, whole := openAt(t, t.TempDir()), base.Truncate(time.Second)
	store := func(handle string, lifetime time.Duration) grantstore.Grant {
		g := familyGrant(grantstore.RefreshToken, handle)
		g.RequestID, g.Expires = handle, whole.Add(lifetime)
		return g
	}
	var all []grantstore.Grant
	for i := range 20 { // of one second, and then of another
		all = append(all, store(fmt.Sprint("early", i), time.Hour+time.Duration(i)*time.Millisecond),
			store(fmt.Sprint("late", i), 2*time.Hour))
	}
	rowsOf(t, e, &grantstore.Batch{OperationID: "issue", Store: all})
	if n := rowsUnder(t, e, layout.IndexGrantDue); n != 3 {
		t.Errorf("%d grants have %d entries by expiry, want 3: as they are due in three seconds", len(all), n)
	}
	for i := range 10 {
		rowsOf(t, e, &grantstore.Batch{OperationID: fmt.Sprint("revoke", i), Revoke: []grantstore.Revocation{{
			RequestID: fmt.Sprint("early", i), Types: []grantstore.Type{grantstore.RefreshToken},
		}}})
	}
	if report := checked(t, e, check.Config{}); len(report.Findings) != 0 {
		t.Errorf("after some have gone: %+v", report.Findings)
	}
	for _, step := range []struct {
		at           time.Duration
		purged, left int
	}{{time.Hour - time.Second, 0, 30}, {time.Hour + time.Second, 10, 20}, {2 * time.Hour, 20, 0}} {
		purged := 0
		for n := 1; n > 0; purged += n {
			var err error
			if n, err = e.Grants().Purge(t.Context(), 7, whole.Add(step.at)); err != nil {
				t.Fatal(err)
			}
		}
		if left := rowsUnder(t, e, layout.TableGrant); left != step.left {
			t.Errorf("at %s %d grants are left, want %d", step.at, left, step.left)
		}
		if purged < step.purged {
			t.Errorf("at %s %d grants were purged, want %d", step.at, purged, step.purged)
		}
	}
	if n := rowsUnder(t, e, layout.IndexGrantDue); n != 0 {
		t.Errorf("%d entries by expiry are left", n)
	}
}

// A grant that gets the time again that it had before, as one does whose grace is over, takes nothing from the
// grants that it shares an entry with.
func TestEntriesByExpiryOfGrantsThatComeBack(t *testing.T) {
	t.Parallel()
	e := openAt(t, t.TempDir())
	var all []grantstore.Grant
	for i := range 5 {
		g := familyGrant(grantstore.RefreshToken, fmt.Sprint("refresh", i))
		g.RequestID, g.Expires = fmt.Sprint(i), base.Add(time.Hour)
		all = append(all, g)
	}
	rowsOf(t, e, &grantstore.Batch{OperationID: "issue", Store: all})
	for i, g := range all {
		rowsOf(t, e, &grantstore.Batch{OperationID: fmt.Sprint("use", i), Consume: &grantstore.Consumption{
			Ref: g.Ref, Grace: time.Minute,
		}})
		if _, err := e.Grants().Purge(t.Context(), 100, base.Add(2*time.Minute)); err != nil {
			t.Fatal(err)
		}
		if report := checked(t, e, check.Config{}); len(report.Findings) != 0 {
			t.Errorf("after the grace of %d: %+v", i, report.Findings)
		}
	}
	if _, err := e.Grants().Purge(t.Context(), 100, base.Add(time.Hour+time.Second)); err != nil {
		t.Fatal(err)
	}
	if left := rowsUnder(t, e, layout.TableGrant); left != 0 {
		t.Errorf("%d grants are left that have expired", left)
	}
}

// An entry that has lost an operation, or leads to one that is not there, is found.
func TestCheckHoldsSharedEntries(t *testing.T) {
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
				t.Fatalf("of a shared entry: %+v", report.Findings)
			}
			put(t, e, layout.OperationAgeKey(at, "a"), []byte(others))
			report := checked(t, e, check.Config{})
			if len(report.Findings) != 1 || report.Findings[0].Table != "operations by age" {
				t.Errorf("got %+v, want one of an entry by age", report.Findings)
			}
		})
	}
}
