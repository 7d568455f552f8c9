//go:build linux

package badger

import (
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/fosite-sessions/sessions/grantstore"
	"github.com/fosite-sessions/sessions/plugin/badger/internal/check"
	"github.com/fosite-sessions/sessions/plugin/badger/internal/disk"
	"github.com/fosite-sessions/sessions/plugin/badger/internal/folder"
	"github.com/fosite-sessions/sessions/plugin/badger/internal/grantrows"
	"github.com/fosite-sessions/sessions/plugin/badger/internal/kv"
	"github.com/fosite-sessions/sessions/plugin/badger/internal/layout"
	"github.com/fosite-sessions/sessions/plugin/plugintest/testenv"
	"github.com/fosite-sessions/sessions/plugin/records"
)

// A migration in which any one sync fails is completed by the next start.
func TestMigrationWithFailedSync(t *testing.T) {
	testenv.SkipRace(t, "the work is done by another process")
	t.Parallel()
	for format := 1; format < layout.Version; format++ {
		t.Run(fmt.Sprint("from format ", format), func(t *testing.T) {
			t.Parallel()
			migrated := false
			for nth := 1; !migrated; nth++ {
				if nth > 60 {
					t.Fatal("no start completed")
				}
				path := olderStore(t, format)
				start := testenv.WithFailingSync(t, nth, os.Args[0])
				start.Env = append(os.Environ(), "SESSIONS_FAILING_DISK="+path, "SESSIONS_FAILING_START=yes")
				said, _ := start.Output() // it may fail
				// At the first sign-in the migration is complete: later syncs are those of sign-ins.
				migrated = strings.Contains(string(said), "acknowledged")
				t.Logf("failed sync %d: the start completed: %v", nth, migrated)
				checkMigrated(t, path, fmt.Sprintf("after failed sync %d", nth),
					int64(strings.Count(string(said), "acknowledged")))
			}
		})
	}
}

const olderSessions = 5

// olderStore creates a store of an earlier format.
func olderStore(t *testing.T, format int) string {
	t.Helper()
	path := t.TempDir()
	noSync := false
	e, err := Open(t.Context(), Settings{Path: path, Sync: &noSync, MinFreeMiB: 1},
		slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	for i := range olderSessions {
		signIn(t, e, fmt.Sprint("older-", i), "ann")
	}
	former := [][]byte{layout.MakeSmallKey, layout.UnlistKey}
	storeEach(t, e, format)
	txn := e.db.Badger().NewTransaction(true)
	if format == 1 {
		former = append(former, layout.ContentsKey)
	}
	for _, k := range former {
		if err := txn.Delete(k); err != nil {
			t.Fatal(err)
		}
	}
	if err := txn.Commit(); err != nil {
		t.Fatal(err)
	}
	if err := e.Close(); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(path, disk.MarkerFile),
		fmt.Appendf(nil, folder.MarkerFormat, format), 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

// storeEach gives each session four grants that are stored together. Up to format 3 each of them has listings
// of its own, and up to format 4 each operation an entry by its age.
func storeEach(t *testing.T, e *Engine, format int) {
	t.Helper()
	for i := range olderSessions {
		batch := &grantstore.Batch{OperationID: fmt.Sprint("older-", i)}
		for _, kind := range []grantstore.Type{grantstore.AuthorizationCode, grantstore.OpenIDRequest,
			grantstore.RefreshToken, grantstore.ReferenceToken} {
			g := familyGrant(kind, batch.OperationID)
			g.RequestID, g.SessionID = batch.OperationID, batch.OperationID
			batch.Store = append(batch.Store, g)
		}
		now := base.Add(time.Millisecond)
		err := e.update(t.Context(), func(tx *kv.Tx) error {
			_, refused, err := applyBatch(tx, batch, now)
			return errors.Join(refused, err)
		})
		if err != nil {
			t.Fatal(err)
		}
		err = e.update(t.Context(), func(tx *kv.Tx) error {
			when := records.Nanos(now)
			tx.Delete(layout.OperationAgeKey(when, batch.OperationID))
			tx.Put(layout.Key(layout.IndexOperationAge, layout.TimeKey(when),
				layout.Last(batch.OperationID)), nil)
			for i := range batch.Store {
				if format > 3 {
					break
				}
				ref := batch.Store[i].Ref
				g, err := grantrows.Load(tx, ref)
				if err != nil {
					return err
				}
				replaceEntries(tx, nil, layout.GrantListings(ref, g))
			}
			return nil
		})
		if err != nil {
			t.Fatal(err)
		}
	}
}

func checkMigrated(t *testing.T, path, when string, acknowledged int64) {
	t.Helper()
	e, err := Open(t.Context(), Settings{Path: path, MinFreeMiB: 1}, slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatalf("%s: %v", when, err)
	}
	defer func() {
		if err := e.Close(); err != nil {
			t.Errorf("%s: %v", when, err)
		}
	}()
	for i := range olderSessions {
		if _, err := e.Tickets().Find(t.Context(), fmt.Sprint("older-", i)); err != nil {
			t.Errorf("%s: session %d: %v", when, i, err)
		}
	}
	page, err := e.Grants().Query(t.Context(), grantstore.Query{}, base)
	if err != nil || len(page.Grants) != 4*olderSessions {
		t.Errorf("%s: %d grants are listed, %v; want %d", when, len(page.Grants), err, 4*olderSessions)
	}
	status, err := e.Transfer().Status(t.Context())
	if err != nil || status.Records() < olderSessions+acknowledged {
		t.Errorf("%s: contents %+v, %v, want %d or more", when, status, err, olderSessions+acknowledged)
	}
	report, err := e.Check(t.Context(), check.Config{})
	if err != nil || len(report.Findings) > 0 {
		t.Errorf("%s: check: %+v, %v", when, report, err)
	}
	if m, err := folder.ReadMarker(path); err != nil || m.Format != layout.Version {
		t.Errorf("%s: marker %v, %v", when, m, err)
	}
}
