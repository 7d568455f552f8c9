package badger

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"log/slog"
	"os"
	"path/filepath"
	"slices"
	"testing"
	"time"

	"github.com/dgraph-io/badger/v4"
	"github.com/dgraph-io/badger/v4/pb"
	"google.golang.org/protobuf/proto"

	"github.com/fosite-sessions/sessions/plugin/badger/internal/files"
)

// Badger logs that a table could not be written and goes on. Here that is a failure, the work that failed ends, the database can be closed,
// and opened again it has all of its rows.
func TestFailedFlushIsFinal(t *testing.T) {
	t.Parallel()
	tableFails(t, 1)
}

// TestFailedFlushIsFinal for a compaction: the first table was flushed, the second is the compaction's.
func TestFailedCompactionIsFinal(t *testing.T) {
	t.Parallel()
	tableFails(t, 2)
}

func tableFails(t *testing.T, id int) {
	t.Helper()
	path := t.TempDir()
	failure := newFailure(path, slog.New(slog.DiscardHandler))
	log := newBadgerLogger(failure)
	options := databaseOptions(Settings{Path: path}, nil, log).
		WithSyncWrites(false).WithMemTableSize(1 << 20).WithNumLevelZeroTables(1).WithValueThreshold(1 << 10)
	if err := log.compactions.note.open(path); err != nil {
		t.Fatal(err)
	}
	db, err := badger.Open(options)
	if err != nil {
		t.Fatal(err)
	}
	log.compactions.watch(db)
	obstacle := filepath.Join(path, fmt.Sprintf("%06d.sst", id))
	if err := os.Mkdir(obstacle, 0o700); err != nil {
		t.Fatal(err)
	}
	rows := 0
	write := func(db *badger.DB) error {
		return db.Update(func(txn *badger.Txn) error {
			for range 100 {
				if err := txn.Set(rowName(rows), bytes.Repeat([]byte("x"), 500)); err != nil {
					return err
				}
				rows++
			}
			return nil
		})
	}
	deadline := time.Now().Add(time.Minute)
	// Enough for one memory table and a little of the next; a compaction then begins within a second or so.
	for failure.err() == nil && rows < 4000 && time.Now().Before(deadline) {
		if err := write(db); err != nil {
			t.Fatal(err)
		}
	}
	select {
	case <-failure.happened:
	case <-time.After(time.Until(deadline)):
		t.Fatal("the failure is not noted")
	}
	closeFailed(t, path, db)
	if err := os.Remove(obstacle); err != nil && !errors.Is(err, os.ErrNotExist) {
		t.Fatal(err)
	}
	rowsAreThere(t, path, options, rows)
}

// closeFailed closes a database that has failed, whose next start must be told of unfinished tables.
func closeFailed(t *testing.T, path string, db *badger.DB) {
	t.Helper()
	if note, err := os.ReadFile(filepath.Join(path, unfinishedFile)); err != nil || len(note) == 0 || note[0] != tablesUnfinished {
		t.Errorf("nothing tells the next start of unfinished tables: %q, %v", note, err)
	}
	closed := make(chan struct{})
	go func() {
		_ = db.Close() // its error is in the failure
		close(closed)
	}()
	select {
	case <-closed:
	case <-time.After(time.Minute):
		t.Fatal("the database does not close")
	}
}

// rowName is the key of a test's row.
func rowName(i int) []byte { return fmt.Appendf(nil, "%08d", i) }

// rowsAreThere opens a database as the next process would and finds so many rows.
func rowsAreThere(t *testing.T, path string, options badger.Options, rows int) {
	t.Helper()
	m := &marker{format: formatVersion}
	found, err := lookAt(path, m, nil)
	if err == nil {
		err = found.ready(m)
	}
	if err != nil {
		t.Fatal(err)
	}
	log := newBadgerLogger(newFailure(path, slog.New(slog.DiscardHandler)))
	if err := log.compactions.note.open(path); err != nil {
		t.Fatal(err)
	}
	db, err := badger.Open(options.WithLogger(log))
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	log.compactions.watch(db)
	err = db.View(func(txn *badger.Txn) error {
		for i := range rows {
			if _, err := txn.Get(rowName(i)); err != nil {
				return fmt.Errorf("row %d of %d: %w", i, rows, err)
			}
		}
		return nil
	})
	if err != nil {
		t.Error(err)
	}
}

// Sets of changes that name a table without a file are taken out of the manifest when that makes it whole, and never else.
func TestUnfinishedManifest(t *testing.T) {
	t.Parallel()
	create := func(id uint64) *pb.ManifestChange { return &pb.ManifestChange{Id: id, Op: pb.ManifestChange_CREATE} }
	remove := func(id uint64) *pb.ManifestChange { return &pb.ManifestChange{Id: id, Op: pb.ManifestChange_DELETE} }
	type set = []*pb.ManifestChange
	for name, c := range map[string]struct {
		sets  []set
		files []uint64
		kept  []int
	}{
		"whole":                      {[]set{{}, {create(1)}, {create(2)}}, []uint64{1, 2}, []int{0, 1, 2}},
		"a flush":                    {[]set{{}, {create(1)}, {create(2)}}, []uint64{1}, []int{0, 1}},
		"a flush, then a compaction": {[]set{{}, {create(1)}, {create(2)}, {create(3), remove(1)}}, []uint64{3}, []int{0, 1, 3}},
		"a compaction":               {[]set{{}, {create(1)}, {create(2), remove(1)}}, []uint64{1}, []int{0, 1}},
		"a compaction that another has done since":  {[]set{{}, {create(1)}, {create(2), remove(1)}, {create(3), remove(1)}}, []uint64{3}, []int{0, 1, 3}},
		"a compaction whose old tables are missing": {[]set{{}, {create(1)}, {create(2), remove(1)}}, nil, []int{0, 1, 2}},
		"a compaction that lacks a table":           {[]set{{}, {create(1)}, {create(2)}, {create(3), remove(1), remove(2)}}, []uint64{1, 2, 3}, []int{0, 1, 2}},
		"a compaction that was finished":            {[]set{{}, {create(1)}, {create(2)}, {create(3), remove(1), remove(2)}}, []uint64{3}, []int{0, 1, 2, 3}},
		"a number given again":                      {[]set{{}, {create(1)}, {remove(1)}, {create(1)}}, []uint64{1}, []int{0, 1, 2, 3}},
		"another has gone on":                       {[]set{{}, {create(1)}, {create(2), remove(1)}, {create(3), remove(2)}}, []uint64{1, 3}, []int{0, 1, 2, 3}},
		"written anew":                              {[]set{{create(1), create(2)}, {create(3)}}, []uint64{1, 3}, []int{0, 1}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			header := []byte("Bdgr\x00\x00\x00\x08")
			text, want := bytes.Clone(header), bytes.Clone(header)
			for i, changes := range c.sets {
				raw := rawSet(t, changes...)
				text = append(text, raw...)
				if slices.Contains(c.kept, i) {
					want = append(want, raw...)
				}
			}
			m, err := files.ParseManifest(text)
			if err != nil {
				t.Fatal(err)
			}
			got := finished(m, func(id uint64) bool { return slices.Contains(c.files, id) }).Bytes()
			if !bytes.Equal(got, want) {
				t.Errorf("%d bytes became %d, want %d", len(text), len(got), len(want))
			}
		})
	}
}

// rawSet is a set of changes as the manifest has it.
func rawSet(t *testing.T, changes ...*pb.ManifestChange) []byte {
	t.Helper()
	body, err := proto.Marshal(&pb.ManifestChangeSet{Changes: changes})
	if err != nil {
		t.Fatal(err)
	}
	raw := binary.BigEndian.AppendUint32(nil, uint32(len(body)))
	raw = binary.BigEndian.AppendUint32(raw, crc32.Checksum(body, crc32.MakeTable(crc32.Castagnoli)))
	return append(raw, body...)
}
