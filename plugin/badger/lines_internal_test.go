package badger

import (
	"bytes"
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/fosite-sessions/sessions/grantstore"
	"github.com/fosite-sessions/sessions/plugin/plugintest/testenv"
	"github.com/fosite-sessions/sessions/ticketstore"
)

// noted is what a test of the committer's lines sees: who was applied, and in which transaction.
type noted struct {
	behind bool
	group  *group
}

// wideKeys is how many keys a change of such a test writes.
const wideKeys = 100

// stand puts a change into the committer's line and does not wait for it. The engine's own changes may stand there too: the length
// of a line tells nothing.
func stand(e *Engine, behind bool, apply func(tx *tx) error) *change {
	ch := &change{apply: apply, behind: behind, done: make(chan struct{})}
	line := e.committer.changes
	if behind {
		line = e.committer.behind
	}
	line <- ch
	return ch
}

// begins waits until a change has begun, which one that is refused never does.
func begins(t *testing.T, begun <-chan struct{}, ch *change) {
	t.Helper()
	select {
	case <-begun:
	case <-ch.done:
		t.Fatalf("a change is refused: %v", ch.err)
	}
}

// What a user waits for does not stand behind the ends of sessions that fell due: it is in the next transaction, which is a short one.
func TestUsersGoFirst(t *testing.T) {
	t.Parallel()
	e := openAt(t, t.TempDir())
	var applied []noted // by the committer alone
	begun, release := make(chan struct{}), make(chan struct{})
	writing := func(i int, behind bool) func(tx *tx) error {
		return func(tx *tx) error {
			if i == 0 {
				close(begun)
				<-release
			}
			applied = append(applied, noted{behind, tx.group})
			for n := range wideKeys {
				tx.put(key([]byte("T"), fmt.Appendf(nil, "%d-%t-%d", i, behind, n)), nil)
			}
			return nil
		}
	}
	all := []*change{stand(e, true, writing(0, true))}
	begins(t, begun, all[0])
	const waiting = 60
	for i := range waiting {
		all = append(all, stand(e, true, writing(i+1, true)))
	}
	all = append(all, stand(e, false, writing(-1, false)))
	close(release)
	for _, ch := range all {
		if <-ch.done; ch.err != nil {
			t.Fatalf("a change: %v", ch.err)
		}
	}

	if len(applied) != waiting+2 || !applied[0].behind || applied[1].behind {
		t.Fatalf("%d changes applied, the user's was not the second: %+v", len(applied), applied[:min(len(applied), 4)])
	}
	byGroup := map[*group]int{}
	for _, n := range applied {
		byGroup[n.group]++
	}
	if n := byGroup[applied[1].group]; n > 1+behindKeysBeside/wideKeys+1 {
		t.Errorf("%d changes in the user's transaction, want few", n)
	}
	for _, n := range byGroup {
		if n > behindKeys/wideKeys+1 {
			t.Errorf("%d changes in one transaction, want no more than has room", n)
		}
	}
}

// Sessions end also while users come without a pause.
func TestNeitherLineKeepsTheOtherWaiting(t *testing.T) {
	t.Parallel()
	e := openAt(t, t.TempDir())
	var stop atomic.Bool
	var users sync.WaitGroup
	var served atomic.Int64
	for i := range 16 {
		users.Go(func() {
			for n := 0; !stop.Load(); n++ {
				err := e.update(t.Context(), func(tx *tx) error {
					tx.put(key([]byte("T"), fmt.Appendf(nil, "user %d", i)), nil)
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
	testenv.Eventually(t, "users are served", func() bool { return served.Load() > 16 })
	before := served.Load()
	for i := range 50 {
		err := e.updateBehind(t.Context(), func(tx *tx) error {
			for n := range wideKeys {
				tx.put(key([]byte("T"), fmt.Appendf(nil, "due %d-%d", i, n)), nil)
			}
			return nil
		})
		if err != nil {
			t.Fatalf("updateBehind: %v", err)
		}
	}
	testenv.Eventually(t, "users are served meanwhile", func() bool { return served.Load() > before })
	stop.Store(true)
	users.Wait()
}

// What a change is told rests on what the one before it in the same transaction did. If that was not written, it is told nothing.
func TestNobodyIsToldWhatWasNotWritten(t *testing.T) {
	t.Parallel()
	e := openAt(t, t.TempDir())
	signIn(t, e, "sid", "ann")
	begun, release := make(chan struct{}), make(chan struct{})
	begins(t, begun, stand(e, false, func(*tx) error { close(begun); <-release; return nil }))
	// What stands in line from here on is applied in its transaction.
	ended := stand(e, false, func(tx *tx) error {
		tx.delete(sessionKey("sid"))
		tx.put(bytes.Repeat([]byte("s"), 1<<17), nil) // no database takes such a key
		return nil
	})
	judged := stand(e, false, func(tx *tx) error {
		session, err := loadSession(tx, "sid")
		if err == nil && session == nil {
			return grantstore.ErrSessionEnded
		}
		return err
	})
	close(release)
	<-ended.done
	<-judged.done
	for what, err := range map[string]error{"the end": ended.err, "the grant that was judged by it": judged.err} {
		if !errors.Is(err, ticketstore.ErrUnavailable) || errors.Is(err, grantstore.ErrSessionEnded) {
			t.Errorf("%s in a transaction that was not written: %v, want ErrUnavailable alone", what, err)
		}
	}
}
