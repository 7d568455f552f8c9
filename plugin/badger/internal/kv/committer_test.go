package kv

import (
	"bytes"
	"errors"
	"fmt"
	"strings"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/dgraph-io/badger/v4"

	"github.com/fosite-sessions/sessions/grantstore"
	"github.com/fosite-sessions/sessions/plugin/badger/internal/layout"
	"github.com/fosite-sessions/sessions/plugin/badger/internal/recordpb"
	"github.com/fosite-sessions/sessions/plugin/plugintest/testenv"
	"github.com/fosite-sessions/sessions/plugin/transfer"
	"github.com/fosite-sessions/sessions/ticketstore"
)

// appliedChange records which change was applied, and in which transaction.
type appliedChange struct {
	behind bool
	group  *group
}

// wideKeys is the number of keys that a large change writes.
const wideKeys = 100

// enqueue enqueues a change without waiting for it. The engine enqueues its own changes too, so the length
// of a queue does not show whether this one is queued.
func enqueue(d *DB, behind bool, apply func(tx *Tx) error) *Change {
	ch := &Change{Apply: apply, Background: behind, done: make(chan struct{})}
	line := d.committer.changes
	if behind {
		line = d.committer.background
	}
	line <- ch
	return ch
}

// waitStarted waits until a change has started; a refused change never does.
func waitStarted(t *testing.T, begun <-chan struct{}, ch *Change) {
	t.Helper()
	select {
	case <-begun:
	case <-ch.done:
		t.Fatalf("the change is refused: %v", ch.err)
	}
}

// A change of a request precedes background changes: it is in the next transaction, which is short.
func TestRequestsPrecedeBackgroundChanges(t *testing.T) {
	t.Parallel()
	d := openDB(t)
	var applied []appliedChange // by the committer only
	begun, release := make(chan struct{}), make(chan struct{})
	writing := func(i int, behind bool) func(tx *Tx) error {
		return func(tx *Tx) error {
			if i == 0 {
				close(begun)
				<-release
			}
			applied = append(applied, appliedChange{behind, tx.group})
			for n := range wideKeys {
				tx.Put(testKey(fmt.Appendf(nil, "%d-%t-%d", i, behind, n)), nil)
			}
			return nil
		}
	}
	all := []*Change{enqueue(d, true, writing(0, true))}
	waitStarted(t, begun, all[0])
	const waiting = 60
	for i := range waiting {
		all = append(all, enqueue(d, true, writing(i+1, true)))
	}
	all = append(all, enqueue(d, false, writing(-1, false)))
	close(release)
	for _, ch := range all {
		if <-ch.done; ch.err != nil {
			t.Fatalf("a change: %v", ch.err)
		}
	}

	if len(applied) != waiting+2 || !applied[0].behind || applied[1].behind {
		t.Fatalf("%d changes applied, that of the request not as the second: %+v", len(applied),
			applied[:min(len(applied), 4)])
	}
	byGroup := map[*group]int{}
	for _, n := range applied {
		byGroup[n.group]++
	}
	if n := byGroup[applied[1].group]; n > 1+backgroundKeysBeside/wideKeys+1 {
		t.Errorf("%d changes in the transaction of the request, want few", n)
	}
	for _, n := range byGroup {
		if n > backgroundKeys/wideKeys+1 {
			t.Errorf("%d changes in one transaction, want at most the maximum", n)
		}
	}
}

// Background changes make progress during continuous requests.
func TestBackgroundChangesMakeProgress(t *testing.T) {
	t.Parallel()
	d := openDB(t)
	var stop atomic.Bool
	var users sync.WaitGroup
	var served atomic.Int64
	for i := range 16 {
		users.Go(func() {
			for n := 0; !stop.Load(); n++ {
				err := commit(t.Context(), d, func(tx *Tx) error {
					tx.Put(testKey(fmt.Appendf(nil, "user %d", i)), nil)
					return nil
				})
				if err != nil {
					t.Errorf("update: %v", err)
					return
				}
				served.Add(1)
			}
		})
	}
	testenv.Eventually(t, "requests are served", func() bool { return served.Load() > 16 })
	before := served.Load()
	for i := range 50 {
		err := d.Commit(t.Context(), &Change{Background: true, UseReserve: true, Apply: func(tx *Tx) error {
			for n := range wideKeys {
				tx.Put(testKey(fmt.Appendf(nil, "due %d-%d", i, n)), nil)
			}
			return nil
		}})
		if err != nil {
			t.Fatalf("a background change: %v", err)
		}
	}
	testenv.Eventually(t, "more requests are served", func() bool { return served.Load() > before })
	stop.Store(true)
	users.Wait()
}

// The result of a change may depend on earlier changes of its transaction. If they were not written, the
// change returns no result.
func TestUnwrittenChangesHaveNoResult(t *testing.T) {
	t.Parallel()
	d := openDB(t)
	if err := commit(t.Context(), d, func(tx *Tx) error {
		tx.Put(layout.SessionKey("sid"), nil)
		return nil
	}); err != nil {
		t.Fatal(err)
	}
	begun, release := make(chan struct{}), make(chan struct{})
	waitStarted(t, begun, enqueue(d, false, func(*Tx) error { close(begun); <-release; return nil }))
	// Changes enqueued from here on are applied in its transaction.
	ended := enqueue(d, false, func(tx *Tx) error {
		tx.Delete(layout.SessionKey("sid"))
		tx.Put(bytes.Repeat([]byte("s"), 1<<17), nil) // the key is too long
		return nil
	})
	judged := enqueue(d, false, func(tx *Tx) error {
		session, err := tx.Get(layout.SessionKey("sid"))
		if err == nil && session == nil {
			return grantstore.ErrSessionEnded
		}
		return err
	})
	close(release)
	<-ended.done
	<-judged.done
	for what, err := range map[string]error{"the end": ended.err,
		"the change that depends on it": judged.err} {
		if !errors.Is(err, ticketstore.ErrUnavailable) || errors.Is(err, grantstore.ErrSessionEnded) {
			t.Errorf("%s in an unwritten transaction: %v, want only ErrUnavailable", what, err)
		}
	}
}

// A change is measured before it joins a transaction: if it is too large it fails alone, and if it does not
// fit it is in the next transaction.
func TestChangesAreMeasured(t *testing.T) {
	t.Parallel()
	d := openDB(t)
	most := d.committer.limit
	large := strings.Repeat("x", most.bytes/8)
	writing := func(name string, pieces int) func(tx *Tx) error {
		return func(tx *Tx) error {
			for i := range pieces {
				tx.Put(testKey(fmt.Appendf(nil, "%s %d", name, i)), []byte(large))
			}
			return nil
		}
	}
	begun, release := make(chan struct{}), make(chan struct{})
	first := enqueue(d, false, func(tx *Tx) error {
		select {
		case <-begun:
		default:
			close(begun)
		}
		<-release
		return writing("first", 3)(tx)
	})
	waitStarted(t, begun, first)
	fits := []*Change{first, enqueue(d, false, writing("second", 7)), enqueue(d, true, writing("third", 6)),
		enqueue(d, false, writing("fourth", 1))}
	alone := enqueue(d, false, writing("too large", 9))
	close(release)
	for i, ch := range fits {
		if <-ch.done; ch.err != nil {
			t.Errorf("change %d: %v", i, ch.err)
		}
	}
	<-alone.done
	var tooLarge *TooLargeError
	if !errors.As(alone.err, &tooLarge) || tooLarge.size.within(most) {
		t.Errorf("a change that is too large: got %v", alone.err)
	}
	many := enqueue(d, false, func(tx *Tx) error {
		for i := range most.keys {
			tx.Put(testKey(fmt.Appendf(nil, "many %d", i)), nil)
		}
		return nil
	})
	if <-many.done; !errors.As(many.err, &tooLarge) {
		t.Errorf("a change with too many keys: got %v", many.err)
	}
	if err := commit(t.Context(), d, writing("after", 1)); err != nil {
		t.Error(err)
	}
}

// When a follower receives the kill of a state change, the store has that state (grantstore.Kills.Position).
func TestKillFollowsStateChange(t *testing.T) {
	t.Parallel()
	d := openDB(t)
	c := d.committer
	held := holdSyncs(d)
	ch := enqueue(d, false, func(tx *Tx) error {
		tx.SetLedger(&recordpb.Ledger{State: string(transfer.Fenced)})
		return nil
	})
	<-held.begun
	for kill, err := range d.Kills().Follow(t.Context()) {
		if err != nil {
			t.Fatal(err)
		}
		if !kill.All { // the first message
			c.tombstones.mutex.Lock()
			defer func() {
				c.tombstones.mutex.Unlock()
				<-ch.done
			}()
			held.end <- nil
			continue
		}
		if state := d.Ledger().GetState(); state != string(transfer.Fenced) {
			t.Errorf("after the kill the store is %q, want %q", state, transfer.Fenced)
		}
		break
	}
}

// heldSyncs are syncs that a test controls: each reports its start and returns the error that the test sends.
type heldSyncs struct {
	begun chan struct{}
	end   chan error
}

// holdSyncs holds all later syncs of the database. Nothing is committed meanwhile.
func holdSyncs(d *DB) heldSyncs {
	held := heldSyncs{make(chan struct{}), make(chan error)}
	d.committer.sync = func(txn *badger.Txn) error {
		held.begun <- struct{}{}
		if err := <-held.end; err != nil {
			return err
		}
		return txn.Commit()
	}
	return held
}

// A read does not wait for a sync, and does not see the unsynced change.
func TestReadsDoNotWaitForSync(t *testing.T) {
	t.Parallel()
	d := openDB(t)
	look := func() (value string) {
		t.Helper()
		err := d.View(t.Context(), func(r *Snapshot) error {
			v, err := r.Get(testKey([]byte("k")))
			value = string(v)
			return err
		})
		if err != nil {
			t.Fatal(err)
		}
		return value
	}
	change := func(value string) func(tx *Tx) error {
		return func(tx *Tx) error {
			tx.Put(testKey([]byte("k")), []byte(value))
			return nil
		}
	}
	if err := commit(t.Context(), d, change("one")); err != nil {
		t.Fatal(err)
	}
	held := holdSyncs(d)
	ch := enqueue(d, false, change("two"))
	<-held.begun
	if got := look(); got != "one" {
		t.Errorf("during the sync: got %q, want %q", got, "one")
	}
	held.end <- nil
	if <-ch.done; ch.err != nil {
		t.Fatal(ch.err)
	}
	if got := look(); got != "two" {
		t.Errorf("after the sync: got %q, want %q", got, "two")
	}
}

// A read in progress when a sync fails returns an error, as do all later reads.
func TestReadsFailAfterFailedSync(t *testing.T) {
	t.Parallel()
	d := openDB(t)
	held := holdSyncs(d)
	ch := enqueue(d, false, func(tx *Tx) error {
		tx.Put(testKey([]byte("k")), nil)
		return nil
	})
	<-held.begun
	failed := errors.New("the disk has failed")
	err := d.View(t.Context(), func(*Snapshot) error {
		held.end <- failed
		<-ch.done
		return nil
	})
	if !errors.Is(err, failed) || !errors.Is(ch.err, failed) {
		t.Errorf("the read: %v, the change: %v; want %v in both", err, ch.err, failed)
	}
	if err := d.Look(t.Context(), func(*Snapshot) error { return nil }); !errors.Is(err, failed) {
		t.Errorf("a read after it: %v, want %v", err, failed)
	}
}
