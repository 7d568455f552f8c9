package kills_test

import (
	"context"
	"errors"
	"testing"
	"testing/synctest"

	"github.com/fosite-sessions/sessions/grantstore"
	"github.com/fosite-sessions/sessions/plugin/kills"
	"github.com/fosite-sessions/sessions/ticketstore"
)

func add(l *kills.Log, sids ...string) { l.Add(&grantstore.Kill{Sessions: sids}) }

// follow collects kills until there are count of them or the sequence ends.
func follow(ctx context.Context, l *kills.Log, count int) (got []*grantstore.Kill, err error) {
	for kill, err := range l.Follow(ctx) {
		if err != nil {
			return got, err
		}
		if got = append(got, kill); len(got) == count+1 {
			break
		}
	}
	return got, nil
}

func TestFollow(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		l := &kills.Log{}
		add(l, "before")
		add(l) // without names
		var got []*grantstore.Kill
		var err error
		done := make(chan struct{})
		go func() { got, err = follow(t.Context(), l, 2); close(done) }()
		synctest.Wait()
		add(l, "a", "b")
		synctest.Wait()
		l.Add(&grantstore.Kill{Sessions: make([]string, kills.MaxNames+1)})
		<-done
		if err != nil || len(got) != 3 || got[0].Position != 1 || len(got[0].Sessions) != 0 {
			t.Fatalf("got %v, error %v, want position 1 without names", got, err)
		}
		if k := got[1]; k.Position != 2 || len(k.Sessions) != 2 || k.All {
			t.Errorf("got %+v, want position 2 of two sessions", k)
		}
		if k := got[2]; k.Position != 3 || !k.All || len(k.Sessions) != 0 {
			t.Errorf("a kill of too many names: got position %d, all %t, want 3 of all", k.Position, k.All)
		}
		if l.Position() != 3 {
			t.Errorf("Position: got %d, want 3", l.Position())
		}
	})
}

// A slow follower gets an error, never a gap.
func TestSlowFollower(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		kills int
		fails bool
	}{"as many as are kept": {kills.Kept, false}, "one more": {kills.Kept + 1, true}} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			l, n := &kills.Log{}, 0
			var fault error
			for _, err := range l.Follow(t.Context()) {
				if fault = err; err != nil || n == c.kills {
					break
				}
				if n == 0 {
					for range c.kills {
						add(l, "a")
					}
				}
				n++
			}
			if (fault != nil) != c.fails {
				t.Errorf("got error %v after %d of %d kills, want one: %t", fault, n, c.kills, c.fails)
			}
		})
	}
}

func TestClose(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		l := &kills.Log{}
		done := make(chan error)
		go func() { _, err := follow(t.Context(), l, 1); done <- err }()
		synctest.Wait()
		l.Close()
		if err := <-done; !errors.Is(err, ticketstore.ErrUnavailable) {
			t.Errorf("of a closed store: got %v, want ErrUnavailable", err)
		}
	})
}
