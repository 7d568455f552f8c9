package postgres

// What the slots say of a store, against its rows: counts and sums of records, sessions of clients.

import (
	"context"
	"maps"
	"testing"

	"github.com/fosite-sessions/sessions/plugin/transfer"
)

// checkAccount fails a test where the account of a store is not what its rows come to.
func checkAccount(t *testing.T, e *Engine) {
	t.Helper()
	ctx := context.Background() // a test's own is done when its cleanups run
	status, err := e.Transfer().Status(ctx)
	if err != nil {
		t.Errorf("status: %v", err)
		return
	}
	if status.State == transfer.Importing || status.State == transfer.Abandoned {
		return // counted when it is complete
	}
	found := map[transfer.Kind]transfer.Content{}
	for batch, err := range e.Transfer().Export(ctx, nil) {
		if err != nil {
			t.Errorf("export: %v", err)
			return
		}
		for i := range batch.Records {
			c := found[batch.Records[i].Kind]
			c.Add(&batch.Records[i])
			found[batch.Records[i].Kind] = c
		}
	}
	if !maps.Equal(found, status.Content) {
		t.Errorf("the slots say %v of the records, which come to %v", status.Content, found)
	}
	var wrong int
	err = e.pool.QueryRow(ctx, e.sql(`SELECT count(*) FROM
		(SELECT client, count(*) AS n FROM {s}.client_uses WHERE listed IS NOT NULL GROUP BY client) AS rows
		FULL JOIN (SELECT client, sum(sessions) AS n FROM {s}.client_counts GROUP BY client) AS counts
			USING (client)
		WHERE coalesce(rows.n, 0) <> coalesce(counts.n, 0)`)).Scan(&wrong)
	if err != nil || wrong > 0 {
		t.Errorf("the sessions of %d clients are counted wrong, error %v", wrong, err)
	}
}
