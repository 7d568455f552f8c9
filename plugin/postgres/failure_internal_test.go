package postgres

// Log families about a failing database.

import (
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/fosite-sessions/sessions/plugin/plugintest/testenv"
	"github.com/fosite-sessions/sessions/ticketstore"
)

// Failed calls add one line a second to the log, with the number of suppressed ones.
func TestFailureLogIsBounded(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		pool, err := pgxpool.New(t.Context(), "postgres://nobody@127.0.0.1:1/nothing") // not connected
		if err != nil {
			t.Fatal(err)
		}
		defer pool.Close()
		log := &testenv.Log{}
		e := &Engine{pool: pool, logger: slog.New(slog.NewTextHandler(log, nil))}
		for second := range 3 {
			for range 1000 {
				if err := e.unavailable(t.Context(), errors.New("no route")); !errors.Is(err,
					ticketstore.ErrUnavailable) {
					t.Fatalf("got %v, want ErrUnavailable", err)
				}
			}
			said := log.String()
			if families := strings.Count(said, "the database failed"); families != second+1 {
				t.Errorf("after %d s the log has %d families", second, families)
			}
			if want := fmt.Sprint("lines_suppressed=", min(second, 1)*999); !strings.Contains(said, want) {
				t.Errorf("no %s in the log:\n%s", want, said)
			}
			time.Sleep(time.Second)
		}
	})
}
