package badger

import (
	"fmt"
	"testing"
	"time"

	"github.com/fosite-sessions/sessions/logout"
	"github.com/fosite-sessions/sessions/plugin/badger/internal/kv"
	"github.com/fosite-sessions/sessions/plugin/badger/internal/layout"
	"github.com/fosite-sessions/sessions/plugin/records"
)

// A claim examines a bounded number of clients, and the next claim continues with the others. Until something
// is due, no claim scans.
func TestClaimIsBounded(t *testing.T) {
	t.Parallel()
	e := inMemory(t)
	queue := func(client string, due time.Time) {
		t.Helper()
		err := e.update(t.Context(), func(tx *kv.Tx) error {
			return e.queue(tx, &records.Notification{
				ClientId: client, SessionId: "sid", State: string(logout.Pending),
				NextAttempt: records.Nanos(due), Due: records.Nanos(due),
			}, base)
		})
		if err != nil {
			t.Fatal(err)
		}
	}
	claim := func(now time.Time) *logout.ClaimResult {
		t.Helper()
		claimed, err := e.Logout().Claim(t.Context(),
			logout.Claim{Limit: 5, PerClient: 1, Lease: time.Minute}, now)
		if err != nil {
			t.Fatal(err)
		}
		return claimed
	}
	for first := 0; first < maxSurveyed+10; first += 500 {
		err := e.update(t.Context(), func(tx *kv.Tx) error {
			for i := range 500 {
				tx.Put(layout.Key(layout.IndexNotificationDue,
					layout.More(fmt.Sprintf("client%05d", first+i)),
					layout.TimeKey(records.Nanos(base.Add(time.Hour))), layout.Last("id")), nil)
			}
			return nil
		})
		if err != nil {
			t.Fatal(err)
		}
	}
	queue("the last", base)
	if got := claim(base); len(got.Deliveries) != 0 || got.Next.After(base) {
		t.Errorf("the first claim: %d notifications, the next at %v; want none, and the next one now",
			len(got.Deliveries), got.Next)
	}
	if got := claim(base); len(got.Deliveries) != 1 {
		t.Errorf("the second claim: %d notifications, want that of the last client", len(got.Deliveries))
	}
	for range 3 { // all clients once
		claim(base)
	}
	// bypasses the committer: a claim finds nothing
	if err := e.db.Badger().DropPrefix(layout.IndexNotificationDue); err != nil {
		t.Fatal(err)
	}
	e.rotation.quiet, e.rotation.queued, e.rotation.next = true, e.db.Queued(), base.Add(time.Hour)
	if got := claim(base.Add(time.Minute)); !got.Next.Equal(base.Add(time.Hour)) {
		t.Errorf("until something is due the next claim is at %v, want the cached time", got.Next)
	}
	queue("another", base.Add(time.Minute))
	if got := claim(base.Add(time.Minute)); len(got.Deliveries) != 1 {
		t.Errorf("after another was queued: %d notifications, want 1", len(got.Deliveries))
	}
}
