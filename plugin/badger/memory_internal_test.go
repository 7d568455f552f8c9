package badger

import (
	"bytes"
	"errors"
	"fmt"
	"iter"
	"strings"
	"testing"
	"testing/fstest"
	"time"

	"github.com/dgraph-io/badger/v4"
	"github.com/dgraph-io/badger/v4/options"

	"github.com/fosite-sessions/sessions/grantstore"
	"github.com/fosite-sessions/sessions/logout"
	"github.com/fosite-sessions/sessions/plugin/badger/internal/check"
	"github.com/fosite-sessions/sessions/plugin/transfer"
	"github.com/fosite-sessions/sessions/ticketstore"
)

func TestMemoryDefault(t *testing.T) {
	t.Parallel()
	for limit, want := range map[string]int64{
		"": 512, "8589934592": 512, "536870912": 256, "134217728": 64, "67108864": 64, "max": 512,
	} {
		root := fstest.MapFS{
			"proc/meminfo":     &fstest.MapFile{Data: []byte("MemTotal: 8388608 kB\n")},
			"proc/self/cgroup": &fstest.MapFile{Data: []byte("0::/app\n")},
			"proc/self/mountinfo": &fstest.MapFile{
				Data: []byte("30 23 0:26 / /sys/fs/cgroup rw - cgroup2 cgroup2 rw\n")},
		}
		if limit != "" {
			root["sys/fs/cgroup/app/memory.max"] = &fstest.MapFile{Data: []byte(limit)}
		}
		s := Settings{root: root}
		if got := s.budget().total >> 20; got != want {
			t.Errorf("with a limit of %q bytes it is %d MiB, want %d", limit, got, want)
		}
	}
}

func TestMemorySetting(t *testing.T) {
	t.Parallel()
	for text, field := range map[string]string{
		`{"path":"x","memory_mib":64}`:    "",
		`{"path":"x","memory_mib":63}`:    "memory_mib",
		`{"path":"x","memory_mib":-1}`:    "memory_mib",
		`{"path":"x","memory_mib":"64"}`:  "memory_mib",
		`{"path":"x","memory_mib":1e300}`: "memory_mib",
	} {
		var invalid *ticketstore.FieldError
		switch _, err := ParseSettings([]byte(text)); {
		case field == "" && err != nil:
			t.Errorf("%s: %v", text, err)
		case field != "" && (!errors.As(err, &invalid) || invalid.Field != field):
			t.Errorf("%s: %v, want an error that names %s", text, err, field)
		}
	}
	cached := Settings{MemoryMiB: 256, CacheMiB: 128}
	if b := cached.budget(); b.cache != 128<<20 || b.total != (256+128-32)<<20 {
		t.Errorf("a larger cache changed the other parts: %+v", b)
	}
}

// Badger has a pool of buffers to release. If a later version has none, memory must be measured again.
func TestBuffersAreReleased(t *testing.T) {
	t.Parallel()
	if e := openAt(t, t.TempDir()); !releaseBuffers(e.db.Badger()) {
		t.Error("there is no pool of buffers in this version of Badger")
	}
}

// Tables of the last level are as small as those of other levels: a compaction builds up to 13 of them at
// once.
func TestTableSizeOnEveryLevel(t *testing.T) {
	t.Parallel()
	settings := Settings{MemoryMiB: MinMemoryMiB}
	options := settings.budget().apply(
		badger.DefaultOptions(t.TempDir()).WithLogger(nil).WithCompression(options.None))
	// more tables than level 0 may keep
	options = options.WithMemTableSize(2 << 20).WithValueThreshold(64 << 10)
	db, err := badger.Open(options)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = db.Close() }()
	// With the second half the last level is large enough for a level above it.
	const rows, size = 3_000, 10 << 10
	for half := range 2 {
		batch := db.NewWriteBatch()
		for i := range rows {
			if err := batch.Set(fmt.Appendf(nil, "row%08d", 2*i+half), make([]byte, size)); err != nil {
				t.Fatal(err)
			}
		}
		if err := errors.Join(batch.Flush(), db.Flatten(2)); err != nil {
			t.Fatal(err)
		}
	}
	deepest, largest := 0, uint32(0)
	for _, table := range db.Tables() {
		if table.Level > 0 {
			deepest, largest = max(deepest, table.Level), max(largest, table.OnDiskSize)
		}
	}
	if bound := uint32(options.BaseTableSize + options.BaseTableSize/2); deepest == 0 || largest > bound {
		t.Errorf("the largest table of %d levels has %d bytes, want at most %d", deepest, largest, bound)
	}
}

// long returns an id of maximum length.
func long(format string, args ...any) string {
	id := fmt.Sprintf(format, args...)
	return id + strings.Repeat("x", ticketstore.MaxID-len(id))
}

// longGrants returns the maximum number of grants in a batch, with maximum data and ids.
func longGrants(sid string, batch int) *grantstore.Batch {
	b := &grantstore.Batch{OperationID: fmt.Sprint("batch", batch),
		Use: &grantstore.Use{SessionID: sid, ClientID: long("app"), Notify: true}}
	for i := range grantstore.MaxBatch {
		b.Store = append(b.Store, grantstore.Grant{
			Ref: grantstore.Ref{Type: grantstore.RefreshToken,
				Key: ticketstore.KeyOf(fmt.Sprint(sid, batch, i))},
			RequestID: long("%d-%d", batch, i), SubjectID: long("ann"), SessionID: sid, ClientID: long("app"),
			Created: base, Expires: base.Add(time.Hour),
			Data: make([]byte, grantstore.MaxBatchData/grantstore.MaxBatch),
		})
	}
	return b
}

// The largest change of each kind fits under the smallest setting, also during a move. An end that takes one
// transaction under a larger setting takes several.
func TestLargestChangesWithLeastMemory(t *testing.T) {
	t.Parallel()
	e := openWith(t, t.TempDir(), MinMemoryMiB)
	sid := long("sid")
	s := anHour(sid, long("ann"))
	s.Ticket = bytes.Repeat([]byte("t"), ticketstore.MaxTicket)
	if err := e.Tickets().Create(t.Context(), s); err != nil {
		t.Fatal(err)
	}
	if err := e.Transfer().Become(t.Context(),
		transfer.Transition{To: transfer.Exporting, ID: "move", Peer: "next"}); err != nil {
		t.Fatal(err)
	}
	const batches = 8
	for i := range batches {
		if _, err := e.Grants().Apply(t.Context(), longGrants(sid, i), base); err != nil {
			t.Fatalf("the largest batch: %v", err)
		}
	}
	largest := &grantstore.Batch{OperationID: "largest"}
	for i := range grantstore.MaxBatchData / grantstore.MaxData {
		largest.Store = append(largest.Store, grantstore.Grant{
			Ref: grantstore.Ref{Type: grantstore.AuthorizationCode,
				Key: ticketstore.KeyOf(fmt.Sprint("code", i))},
			RequestID: "r", SubjectID: long("ann"), SessionID: sid, ClientID: long("app"),
			Created: base, Expires: base.Add(time.Hour), Data: make([]byte, grantstore.MaxData),
		})
	}
	if _, err := e.Grants().Apply(t.Context(), largest, base); err != nil {
		t.Fatalf("the largest grants: %v", err)
	}
	for i := range ticketstore.MaxClients - 1 {
		_, err := e.Grants().Apply(t.Context(), &grantstore.Batch{
			OperationID: fmt.Sprint("use", i),
			Use:         &grantstore.Use{SessionID: sid, ClientID: long("client%d", i), Notify: true},
		}, base)
		if err != nil {
			t.Fatal(err)
		}
	}

	// A move works with the smallest setting.
	next := openWith(t, t.TempDir(), MinMemoryMiB)
	if err := next.Transfer().Become(t.Context(),
		transfer.Transition{To: transfer.Importing, ID: "move", Peer: "old"}); err != nil {
		t.Fatal(err)
	}
	if err := next.Transfer().Import(t.Context(), "move", imported(t, e)); err != nil {
		t.Fatalf("import: %v", err)
	}
	was, err := e.Transfer().Status(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	is, err := next.Transfer().Status(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if fmt.Sprint(was.Content) != fmt.Sprint(is.Content) {
		t.Errorf("after the import the content is %v, want %v", is.Content, was.Content)
	}
	// A restarted import empties the store.
	if err := next.Transfer().Become(t.Context(),
		transfer.Transition{To: transfer.Importing, ID: "again", Peer: "old"}); err != nil {
		t.Errorf("restart of the import: %v", err)
	}

	result, err := e.Logout().End(t.Context(),
		&logout.Ending{OperationID: "end", SubjectID: long("ann"), Reason: logout.Terminated}, base)
	if err != nil {
		t.Fatalf("the end of the largest session: %v", err)
	}
	if result.SessionsRemoved != 1 || result.GrantsRevoked != batches*grantstore.MaxBatch+len(largest.Store) {
		t.Errorf("%+v, want 1 session and %d grants", result, batches*grantstore.MaxBatch+len(largest.Store))
	}
	if report, err := e.Check(t.Context(), check.Config{}); err != nil || len(report.Findings) > 0 {
		t.Errorf("check: %v, %+v", err, report)
	}
}

// imported returns the records of a store in batches of maximum size.
func imported(t *testing.T, e *Engine) iter.Seq2[[]transfer.Record, error] {
	t.Helper()
	return func(yield func([]transfer.Record, error) bool) {
		for batch, err := range e.Transfer().Export(t.Context(), nil) {
			if err != nil {
				yield(nil, err)
				return
			}
			if !yield(batch.Records, nil) {
				return
			}
		}
	}
}
