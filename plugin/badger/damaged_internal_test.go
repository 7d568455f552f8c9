package badger

// Stores with damaged rows.

import (
	"bytes"
	"log/slog"
	"slices"
	"strings"
	"testing"

	"github.com/dgraph-io/badger/v4"

	"github.com/fosite-sessions/sessions/plugin/badger/internal/check"
	"github.com/fosite-sessions/sessions/plugin/badger/internal/kv"
	"github.com/fosite-sessions/sessions/plugin/badger/internal/layout"
	"github.com/fosite-sessions/sessions/plugin/plugintest/testenv"
)

func openLogged(t *testing.T) (*Engine, *testenv.Log) {
	t.Helper()
	log := &testenv.Log{}
	noSync := false
	e, err := Open(t.Context(), Settings{Path: t.TempDir(), Sync: &noSync},
		slog.New(slog.NewTextHandler(log, nil)))
	if err != nil {
		t.Fatalf("open: %v", err)
	}
	t.Cleanup(func() { _ = e.Close() })
	return e, log
}

// damagedValue is the contents of a damaged row: it must never be logged.
var damagedValue = []byte("\xff\xffa secret\xff")

// damage damages rows, bypassing the metadata of the committer.
func damage(t *testing.T, e *Engine, keys ...[]byte) {
	t.Helper()
	err := e.db.Damage(t.Context(), func(txn *badger.Txn) error {
		for _, k := range keys {
			if err := txn.Set(k, damagedValue); err != nil {
				return err
			}
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
}

// row returns the value of a key, or nil.
func row(t *testing.T, e *Engine, k []byte) (value []byte) {
	t.Helper()
	err := e.db.Look(t.Context(), func(r *kv.Snapshot) (err error) {
		value, err = r.Get(k)
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return value
}

// wantAside checks whether damaged rows were set aside.
func wantAside(t *testing.T, e *Engine, keys ...[]byte) {
	t.Helper()
	for _, k := range keys {
		if row(t, e, k) != nil {
			t.Errorf("row %q was not moved", k)
		}
		if !bytes.Equal(row(t, e, layout.Key(layout.TableDamaged, k)), damagedValue) {
			t.Errorf("the bytes of row %q were lost", k)
		}
	}
}

func wantLogged(t *testing.T, log *testenv.Log, times int) {
	t.Helper()
	if n := strings.Count(log.String(), "damaged row stepped over"); n != times {
		t.Errorf("the log names damaged rows %d times, want %d:\n%s", n, times, log.String())
	}
	if strings.Contains(log.String(), "a secret") {
		t.Error("the log shows the contents of a damaged row")
	}
}

// wantContents waits until the contents match the rows: after a damaged row they are recounted in the
// background.
func wantContents(t *testing.T, e *Engine) {
	t.Helper()
	testenv.Eventually(t, "the contents match the rows", func() bool {
		wrong := func(f check.Finding) bool { return f.ID == "contents" }
		findings := checked(t, e, check.Config{MaxFindings: 1000}).Findings
		return !slices.ContainsFunc(findings, wrong) && row(t, e, layout.RecountKey) == nil
	})
}
