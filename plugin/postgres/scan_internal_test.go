package postgres

// Walks over many rows of which few or none match.

import (
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/fosite-sessions/sessions/grantstore"
	"github.com/fosite-sessions/sessions/logout"
	"github.com/fosite-sessions/sessions/ticketstore"
)

// Copies of the only session, and of the access tokens of client app: maxScan and some more.
const (
	manySessions = `INSERT INTO {s}.sessions
		SELECT 'copy ' || i, sha256(i::text::bytea), subject, created + i, due, expires, renewed, version,
			data, ticket
		FROM {s}.sessions, generate_series(1, 10100) AS i`
	manyTokens = `INSERT INTO {s}.grants
		SELECT key, type, family || i, subject, sid, client, created,
			substr(sha256('\x05'::bytea || key), 1, 8), due, data
		FROM (SELECT g.*, sha256(g.key || i::text::bytea) AS copied, i FROM {s}.grants g,
				generate_series(1, 10100) AS i WHERE type = 5 AND client = 'app')
			AS c (other, type, family, subject, sid, client, created, serial, due, data, key, i)`
)

// manyRows returns an engine with a session, a token of another client, which is the last in listings, and
// the copies.
func manyRows(t *testing.T) *Engine {
	t.Helper()
	e, l := openEngine(t), &tokenFamily{name: "l"}
	if err := l.signIn(t.Context(), e); err != nil {
		t.Fatal(err)
	}
	other := l.access(1)
	other.ClientID, other.RequestID, other.Created = "web", "another request", base.Add(time.Second)
	_, err := e.Grants().Apply(t.Context(),
		&grantstore.Batch{OperationID: "web", Store: []grantstore.Grant{other}}, base)
	if err != nil {
		t.Fatal(err)
	}
	for _, sql := range []string{manySessions, manyTokens} {
		if _, err := e.pool.Exec(t.Context(), e.sql(sql)); err != nil {
			t.Fatal(err)
		}
	}
	return e
}

// There is no index of sessions by expiry, nor of grants by type: a page examines a bounded number of rows,
// and has a next one.
func TestWalksAreBounded(t *testing.T) {
	t.Parallel()
	e := manyRows(t)
	sessions, err := e.Tickets().Query(t.Context(), ticketstore.SessionQuery{
		Filter: ticketstore.SessionFilter{ExpiresFrom: base.Add(2000 * time.Hour)},
	})
	if err != nil || len(sessions.Sessions) > 0 || !sessions.HasNext || sessions.TotalCount != -1 {
		t.Errorf("sessions by expiry: %+v, %v, want a next page and no total", sessions, err)
	}
	for name, filter := range map[string]grantstore.Filter{
		"of a type":              {Type: grantstore.UserConsent},
		"of a type and a client": {Type: grantstore.UserConsent, ClientID: "app"},
	} {
		grants, err := e.Grants().Query(t.Context(), grantstore.Query{Filter: filter}, base)
		if err != nil || len(grants.Grants) > 0 || !grants.HasNext {
			t.Errorf("grants %s: %+v, %v, want a next page", name, grants, err)
		}
	}
}

// The grants that die with one client of a session are found after many live grants of another client, and a
// dry run counts what the removal revokes.
func TestDeadGrantsBehindManyLive(t *testing.T) {
	t.Parallel()
	e := manyRows(t)
	for _, dry := range []bool{true, false} {
		result, err := e.Logout().End(t.Context(), &logout.Ending{
			OperationID: "end", SessionID: "session l", Reason: logout.Terminated, KeepSession: true,
			ClientIDs: []string{"web"}, DryRun: dry,
		}, base.Add(time.Minute))
		if err != nil || result.GrantsRevoked != 1 {
			t.Errorf("dry run %t: %+v, %v, want one grant revoked", dry, result, err)
		}
	}
	whole, err := e.Logout().End(t.Context(), &logout.Ending{
		OperationID: "end all", SessionID: "session l", Reason: logout.Terminated, DryRun: true,
	}, base.Add(time.Minute))
	if err != nil || whole.GrantsRevoked < 10_100 {
		t.Errorf("a dry run of the whole session: %+v, %v, want all its grants counted", whole, err)
	}
}

// Concurrent sign-ins under a limit at all hosts are serialized, and leave only sessions of their subject.
func TestLimitsLeaveNoRows(t *testing.T) {
	t.Parallel()
	settings := emptyStore(t)
	hosts := []*Engine{openHost(t, settings), openHost(t, settings)}
	const most, tries = 3, 24
	var signedIn, refused atomic.Int64
	var group sync.WaitGroup
	for i := range tries {
		group.Go(func() {
			sid := fmt.Sprint(i)
			_, err := hosts[i%2].Tickets().CreateWithin(t.Context(), &ticketstore.Session{
				Key: ticketstore.KeyOf(sid), SessionID: sid, SubjectID: "ann", Issuer: "https://op.example",
				AuthTime: base, Created: base, Renewed: base, Expires: base.Add(time.Hour),
			}, ticketstore.Limit{Max: most}, base)
			switch {
			case err == nil:
				signedIn.Add(1)
			case errors.Is(err, ticketstore.ErrTooManySessions):
				refused.Add(1)
			default:
				t.Error(err)
			}
		})
	}
	group.Wait()
	if signedIn.Load() != most || refused.Load() != tries-most {
		t.Errorf("%d signed in, %d were refused, want %d and the others", signedIn.Load(), refused.Load(),
			most)
	}
	var left int
	e := hosts[0]
	if err := e.pool.QueryRow(t.Context(), e.sql("SELECT count(*) FROM {s}.limits")).Scan(&left); err != nil {
		t.Fatal(err)
	}
	if left != 0 {
		t.Errorf("%d rows of limits are left", left)
	}
}
