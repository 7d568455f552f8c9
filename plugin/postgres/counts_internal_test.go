package postgres

// The counts of the sessions of clients.

import (
	"context"
	"fmt"
	"testing"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/fosite-sessions/sessions/grantstore"
	"github.com/fosite-sessions/sessions/logout"
)

// The counts of clients without sessions are purged, also while hosts change them; those of others stay.
func TestCountsOfClientsWithoutSessionsArePurged(t *testing.T) {
	t.Parallel()
	settings := emptyStore(t)
	hosts := []*Engine{openHost(t, settings), openHost(t, settings)}
	ctx := t.Context()
	begin := func(e *Engine, name, client string) error {
		l := &tokenFamily{name: name}
		if err := l.signIn(ctx, e); err != nil {
			return err
		}
		_, err := e.Grants().Apply(ctx, &grantstore.Batch{
			OperationID: "use " + name, Use: &grantstore.Use{SessionID: "session " + name, ClientID: client},
		}, base)
		return err
	}
	purge := func(e *Engine) error {
		_, err := e.Grants().Purge(ctx, 100, base)
		return err
	}
	if err := begin(hosts[0], "lasting", "lasting"); err != nil {
		t.Fatal(err)
	}
	work, ctx := errgroup.WithContext(ctx)
	for i := range 4 {
		work.Go(func() error {
			for n := range 6 {
				name := fmt.Sprintf("%d %d", i, n)
				if err := begin(hosts[n%2], name, "passing"); err != nil {
					return err
				}
				if err := endOf(ctx, hosts[i%2], name); err != nil {
					return err
				}
				if err := purge(hosts[n/2%2]); err != nil {
					return err
				}
			}
			return nil
		})
	}
	if err := work.Wait(); err != nil {
		t.Fatal(err)
	}
	ctx = t.Context()
	if err := purge(hosts[0]); err != nil {
		t.Fatal(err)
	}
	checkAfterwards(t, hosts[0])
	var passing, others int
	err := hosts[0].pool.QueryRow(ctx, hosts[0].sql(`SELECT count(*) FILTER (WHERE client = 'passing'),
		sum(sessions) FILTER (WHERE client = 'lasting') FROM {s}.client_counts`)).Scan(&passing, &others)
	if err != nil || passing != 0 || others != 1 {
		t.Errorf("%d counts of a client without sessions, %d sessions of another, %v; want none and 1",
			passing, others, err)
	}
}

func endOf(ctx context.Context, e *Engine, name string) error {
	_, err := e.Logout().End(ctx, &logout.Ending{
		OperationID: "end " + name, SessionID: "session " + name, Reason: logout.Terminated,
	}, base.Add(time.Minute))
	return err
}
