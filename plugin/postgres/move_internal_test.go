package postgres

// Targets of moves: counts during the import, and emptying an abandoned target.

import (
	"slices"
	"strings"
	"testing"

	"github.com/jackc/pgx/v5"

	"github.com/fosite-sessions/sessions/plugin/plugintest/pgserver"
	"github.com/fosite-sessions/sessions/plugin/transfer"
)

// filling returns a store during an import with that id. It has eight sessions: one client has used all of
// them, four others two each.
func filling(t *testing.T, id string) *Engine {
	t.Helper()
	source, target := openEngine(t), openEngine(t)
	signedIn(t, source, 8)
	become(t, target, transfer.Importing, id)
	batches := source.Transfer().Export(t.Context(), nil)
	err := target.Transfer().Import(t.Context(), id, func(yield func([]transfer.Record, error) bool) {
		for batch, err := range batches {
			if err != nil || !yield(batch.Records, nil) {
				yield(nil, err)
				return
			}
		}
	})
	if err != nil {
		t.Fatal(err)
	}
	return target
}

func become(t *testing.T, e *Engine, to transfer.State, id string) {
	t.Helper()
	turn := transfer.Transition{To: to, ID: id, Peer: "the other one"}
	if err := e.Transfer().Become(t.Context(), turn); err != nil {
		t.Fatalf("become %s: %v", to, err)
	}
}

// The sessions of each client are counted during the import, so that the duration of a switch, which blocks
// all writes, does not grow with the store.
func TestClientCountsDuringImport(t *testing.T) {
	t.Parallel()
	target := filling(t, "move")
	counted := func() []int64 {
		t.Helper()
		rows, err := target.pool.Query(t.Context(), target.sql(
			"SELECT sum(sessions)::bigint FROM {s}.client_counts GROUP BY client ORDER BY client"))
		if err != nil {
			t.Fatal(err)
		}
		counts, err := pgx.CollectRows(rows, pgx.RowTo[int64])
		if err != nil {
			t.Fatal(err)
		}
		return counts
	}
	if got := counted(); !slices.Equal(got, []int64{8, 2, 2, 2, 2}) {
		t.Errorf("before the switch: %v sessions of clients, want 8 and 4 times 2", got)
	}
	// The end of a session reduces the count of each of its clients.
	err := target.Transfer().Import(t.Context(), "move", func(yield func([]transfer.Record, error) bool) {
		yield([]transfer.Record{
			{Kind: transfer.Sessions, Key: []byte("session 000"), Deleted: true},
			{Kind: transfer.Clients, Key: []byte(clientKey("session 000", "app")), Deleted: true},
			{Kind: transfer.Clients, Key: []byte(clientKey("session 000", "client 0")), Deleted: true},
		}, nil)
	})
	if err != nil {
		t.Fatal(err)
	}
	become(t, target, transfer.Active, "move")
	if got := counted(); !slices.Equal(got, []int64{7, 1, 2, 2, 2}) {
		t.Errorf("after the switch: %v sessions of clients, want 7, 1 and 3 times 2", got)
	}
}

// An abandoned target is truncated, which does not read its rows: the files of its tables are empty.
func TestAbandonedTargetIsTruncated(t *testing.T) {
	t.Parallel()
	target := filling(t, "first")
	// An earlier test, whose schema this is now, may have left pages: a target does not journal.
	pgserver.Shared(t).Exec(t, "TRUNCATE "+target.schema+".journal")
	become(t, target, transfer.Abandoned, "first")
	become(t, target, transfer.Importing, "second")
	rows, err := target.pool.Query(t.Context(), `SELECT c.relname::text
		FROM pg_catalog.pg_class c JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace
		WHERE n.nspname = $1 AND c.relkind = 'r' AND pg_relation_size(c.oid) > 0
			AND c.relname !~ '^(ledger|schema_version|slots|hosts|kills_.)$' ORDER BY 1`,
		strings.Trim(target.schema, `"`))
	if err != nil {
		t.Fatal(err)
	}
	left, err := pgx.CollectRows(rows, pgx.RowTo[string])
	if err != nil || len(left) > 0 {
		t.Errorf("the tables %v have pages, error %v", left, err)
	}
	become(t, target, transfer.Active, "second")
	checkAfterwards(t, target)
}
