package badger

// Kills while logs are flushed and replaced.

import (
	"context"
	"fmt"
	"log/slog"
	"maps"
	"math/rand/v2"
	"os"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/fosite-sessions/sessions/plugin/badger/internal/kv"
	"github.com/fosite-sessions/sessions/plugin/badger/internal/layout"
	"github.com/fosite-sessions/sessions/plugin/plugintest/testenv"
)

const turnoverEnv = "BADGER_TURNOVER"

// TestRotateLogsUntilKilled is not a test: it is the process that is killed. It writes enough for logs
// to be flushed and tables to be compacted, and deletes most of it again.
func TestRotateLogsUntilKilled(t *testing.T) {
	path := os.Getenv(turnoverEnv)
	if path == "" {
		t.Skip("a process of TestKilledDuringLogRotation")
	}
	kind, logger := storeKind{}, slog.New(slog.DiscardHandler)
	// Not synced, which is faster: a kill loses nothing.
	options := kind.options(t,
		path).WithNumLevelZeroTables(1).WithBaseTableSize(1 << 20).WithBaseLevelSize(2 << 20).
		WithSyncWrites(false)
	e, err := open(t.Context(), kv.Config{Options: options, MinFree: 1 << 20, Logger: logger})
	if err != nil {
		fmt.Println("refused", err)
		return
	}
	fmt.Println("opened")
	var group sync.WaitGroup
	var written atomic.Int64
	for writer := range 8 {
		group.Go(func() {
			for i := 0; ; i++ {
				put := func(tx *kv.Tx) error {
					tx.Put(layout.Key(layout.TableDamaged, fmt.Appendf(nil, "%d %d", writer, i)),
						make([]byte, 4<<10))
					return nil
				}
				drop := func(tx *kv.Tx) error {
					tx.Delete(layout.Key(layout.TableDamaged, fmt.Appendf(nil, "%d %d", writer, i-3)))
					return nil
				}
				if written.Add(1)%64 == 0 {
					fmt.Println("wrote")
				}
				for _, f := range []func(tx *kv.Tx) error{put, drop, drop} {
					if err := e.update(context.Background(), f); err != nil {
						fmt.Println("refused", err)
						return
					}
				}
			}
		})
	}
	group.Wait()
}

// A process killed while logs are flushed, and tables compacted and removed, leaves a store that is accepted
// as complete.
func TestKilledDuringLogRotation(t *testing.T) {
	t.Parallel()
	path, opened := t.TempDir(), 0
	const (
		kills      = 12
		mostWrites = 60 // of 64 rows, before it is killed
	)
	for range kills {
		// It is killed after a number of writes, also on a busy machine.
		left := 1 + rand.N(mostWrites)
		child := testenv.Start(t, testenv.Self(t, "TestRotateLogsUntilKilled", turnoverEnv+"="+path))
		for line := range child.Lines() {
			switch {
			case strings.HasPrefix(line, "refused"):
				t.Fatal(line)
			case line == "opened":
				opened++
			case line == "wrote":
				if left--; left == 0 {
					time.AfterFunc(rand.N(5*time.Millisecond), child.Kill)
				}
			}
		}
		<-child.Ended()
	}
	names := slices.Sorted(maps.Keys(contents(t, path)))
	t.Log(names)
	// An open creates at most two tables: the others are of full logs.
	lastOfOpenings := fmt.Sprintf("%06d.sst", 4*kills)
	if !slices.ContainsFunc(names, func(name string) bool {
		return name > lastOfOpenings && strings.HasSuffix(name, ".sst")
	}) {
		t.Errorf("no log was flushed: %q", names)
	}
	if opened != kills {
		t.Errorf("opened %d times, want %d", opened, kills)
	}
	e, err := Open(t.Context(), Settings{Path: path, MinFreeMiB: 1}, slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	if err := e.Close(); err != nil {
		t.Error(err)
	}
}
