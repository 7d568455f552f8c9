//go:build linux

package badger_test

import (
	"context"
	"errors"
	"fmt"
	"iter"
	"log/slog"
	"os"
	"path/filepath"
	"slices"
	"testing"

	"github.com/fosite-sessions/sessions/plugin/badger"
	"github.com/fosite-sessions/sessions/plugin/plugintest/testenv"
	"github.com/fosite-sessions/sessions/plugin/transfer"
	"github.com/fosite-sessions/sessions/plugin/transfer/backup"
	"github.com/fosite-sessions/sessions/ticketstore"
)

// importEnv makes a process whose disk fails import that backup, in small parts and repeatedly.
const importEnv = "SESSIONS_FAILING_IMPORT"

const (
	importID   = "0123456789abcdef"
	importPart = 10
)

// After a failed sync an import keeps its acknowledged parts and can be completed; the store does not serve.
func TestImportWithFailedSync(t *testing.T) {
	t.Parallel()
	folder := t.TempDir()
	path, file := filepath.Join(folder, "store"), filepath.Join(folder, "backup")
	want := writeBackup(t, file)
	said := failDisk(t, path, func(pid int) {
		failing, err := testenv.FailSync(t, pid)
		if err != nil {
			t.Error(err)
			return
		}
		t.Cleanup(failing.Stop)
	}, importEnv+"="+file)
	if !said.ended {
		t.Errorf("the process did not exit as expected:\n%s", said.text)
	}
	e, err := badger.Open(t.Context(), badger.Settings{Path: path, MinFreeMiB: 1}, nil)
	if err != nil {
		t.Fatal(err)
	}
	defer e.Close()
	status, err := e.Transfer().Status(t.Context())
	least := min(int64(importPart*len(said.acknowledged)), want.Records())
	if err != nil || status.State != transfer.Importing || status.Records() < least {
		t.Fatalf("got %+v, %v, want a store being imported with at least %d records", status, err, least)
	}
	if _, err := e.Tickets().Find(t.Context(), "sid-0"); !errors.Is(err, ticketstore.ErrUnavailable) {
		t.Errorf("a session of an incomplete store: %v", err)
	}
	parts, err := partsOf(file)
	if err != nil {
		t.Fatal(err)
	}
	if err := e.Transfer().Import(t.Context(), importID, batches(parts...)); err != nil {
		t.Fatal(err)
	}
	status, err = e.Transfer().Status(t.Context())
	for _, kind := range transfer.Kinds {
		if err != nil || status.Content[kind] != want.Content[kind] {
			t.Errorf("kind %v: %+v, %v, want %+v", kind, status.Content[kind], err, want.Content[kind])
		}
	}
	if err := e.Transfer().Become(t.Context(), transfer.Transition{To: transfer.Active, ID: importID,
		Peer: "a backup"}); err != nil {
		t.Fatal(err)
	}
	consistent(t, e)
}

// writeBackup writes the backup of a store and returns the status of the store.
func writeBackup(t *testing.T, path string) *transfer.Status {
	t.Helper()
	e := open(t, t.TempDir())
	for i := range 4000 {
		if err := e.Tickets().Create(t.Context(), session(fmt.Sprint("sid-", i))); err != nil {
			t.Fatal(err)
		}
	}
	file, err := os.Create(path)
	if err != nil {
		t.Fatal(err)
	}
	_, err = backup.Write(t.Context(), file, backup.Source{Store: e.Transfer()}, now, nil)
	if err := errors.Join(err, file.Close()); err != nil {
		t.Fatal(err)
	}
	status, err := e.Transfer().Status(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	return status
}

// partsOf returns the records of a backup in small parts.
func partsOf(path string) (parts [][]transfer.Record, err error) {
	file, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer file.Close()
	r, err := backup.NewReader(file)
	if err != nil {
		return nil, err
	}
	for records, err := range r.Batches(context.Background()) {
		if err != nil {
			return nil, err
		}
		parts = slices.AppendSeq(parts, slices.Chunk(records, importPart))
	}
	return parts, nil
}

func batches(parts ...[]transfer.Record) iter.Seq2[[]transfer.Record, error] {
	return func(yield func([]transfer.Record, error) bool) {
		for _, part := range parts {
			if !yield(part, nil) {
				return
			}
		}
	}
}

// importUntilFailure imports until the first failure, and records what was acknowledged.
func importUntilFailure(path, file string) {
	ctx := context.Background()
	e, err := badger.Open(ctx, badger.Settings{Path: path, MinFreeMiB: 1},
		slog.New(slog.NewTextHandler(os.Stderr, nil)))
	if err != nil {
		fmt.Println("open:", err)
		return
	}
	parts, err := partsOf(file)
	if err == nil {
		err = e.Transfer().Become(ctx, transfer.Transition{To: transfer.Importing, ID: importID,
			Peer: "a backup"})
	}
	for i := 0; err == nil; i++ {
		if err = e.Transfer().Import(ctx, importID, batches(parts[i%len(parts)])); err == nil {
			fmt.Println("acknowledged", i)
		}
	}
	if !errors.Is(err, ticketstore.ErrUnavailable) {
		fmt.Println("import:", err)
	}
	if _, err := e.Transfer().Status(ctx); !errors.Is(err, ticketstore.ErrUnavailable) {
		fmt.Println("status:", err)
	}
	if err := e.Close(); err == nil {
		fmt.Println("close: no error")
	}
	fmt.Println("ended")
}
