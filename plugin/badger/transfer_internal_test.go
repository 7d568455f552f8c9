package badger

import (
	"bytes"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"testing"
	"time"

	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protoreflect"

	"github.com/fosite-sessions/sessions/plugin/badger/internal/disk"
	"github.com/fosite-sessions/sessions/plugin/badger/internal/kv"
	"github.com/fosite-sessions/sessions/plugin/badger/internal/layout"
	"github.com/fosite-sessions/sessions/plugin/plugintest/testenv"
	"github.com/fosite-sessions/sessions/plugin/records"
	"github.com/fosite-sessions/sessions/plugin/transfer"
	"github.com/fosite-sessions/sessions/ticketstore"
)

// Rows are moved as stored: they have the form of the protocol, except for internal fields.
func TestRecordsMatchTheProtocol(t *testing.T) {
	t.Parallel()
	own := map[protoreflect.FullName]bool{
		"sessions.badger.v1.Session.indexed_due": true, "sessions.badger.v1.Notification.due": true,
		"sessions.badger.v1.Notification.claimed": true,
	}
	for _, pair := range []struct{ stored, protocol proto.Message }{
		{&records.Session{}, &records.Session{}}, {&records.ClientUse{}, &records.ClientUse{}},
		{&records.Ended{}, &records.Ended{}}, {&records.Grant{}, &records.Grant{}},
		{&records.Operation{}, &records.Operation{}}, {&records.Job{}, &records.Job{}},
		{&records.Notification{}, &records.Notification{}},
	} {
		alikeMessages(t, pair.stored.ProtoReflect().Descriptor(), pair.protocol.ProtoReflect().Descriptor(),
			own)
	}
}

func alikeMessages(
	t *testing.T, stored, protocol protoreflect.MessageDescriptor, own map[protoreflect.FullName]bool,
) {
	t.Helper()
	for i := range stored.Fields().Len() {
		field := stored.Fields().Get(i)
		if own[field.FullName()] {
			if !protocol.ReservedRanges().Has(field.Number()) {
				t.Errorf("%s: its number is not reserved in the protocol", field.FullName())
			}
			continue
		}
		other := protocol.Fields().ByNumber(field.Number())
		if other == nil || other.Name() != field.Name() || other.Kind() != field.Kind() ||
			other.Cardinality() != field.Cardinality() {
			t.Errorf("%s is stored and differs from the protocol: add it to records.proto", field.FullName())
			continue
		}
		if field.Kind() == protoreflect.MessageKind {
			alikeMessages(t, field.Message(), other.Message(), own)
		}
	}
	if a, b := stored.Fields().Len()-protocol.ReservedRanges().Len(), protocol.Fields().Len(); a != b {
		t.Errorf("%s has %d moved fields, the protocol has %d", stored.FullName(), a, b)
	}
}

// A store of format 1 has no contents: the first opening counts them.
func TestMigrationFromFormat1(t *testing.T) {
	t.Parallel()
	path := t.TempDir()
	e, err := Open(t.Context(), Settings{Path: path}, slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	now := time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)
	err = e.Tickets().Create(t.Context(), &ticketstore.Session{
		Key: ticketstore.KeyOf("x"), SessionID: "sid", SubjectID: "ann", Issuer: "https://op.example",
		AuthTime: now, Created: now,
		Renewed: now, Expires: now.Add(time.Hour), Ticket: []byte("x"),
	})
	if err != nil {
		t.Fatal(err)
	}
	want, err := e.Transfer().Status(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	txn := e.db.Badger().NewTransaction(true)
	if err := txn.Delete(layout.ContentsKey); err != nil {
		t.Fatal(err)
	}
	if err := txn.Commit(); err != nil {
		t.Fatal(err)
	}
	if err := e.Close(); err != nil {
		t.Fatal(err)
	}
	marker := filepath.Join(path, disk.MarkerFile)
	if err := os.WriteFile(marker, []byte("fosite-sessions badger format 1\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	if e, err = Open(t.Context(), Settings{Path: path}, slog.New(slog.DiscardHandler)); err != nil {
		t.Fatal(err)
	}
	defer func() { _ = e.Close() }()
	got, err := e.Transfer().Status(t.Context())
	if err != nil || got.Records() != 1 || got.Content[1] != want.Content[1] {
		t.Fatalf("contents %v, error %v, want %v", got.Content, err, want.Content)
	}
	if text, err := os.ReadFile(marker); err != nil || !bytes.Contains(text, newestFormat) {
		t.Errorf("marker %q, error %v, want %q", text, err, newestFormat)
	}
}

// newestFormat is the line of the marker of a store that this engine has opened.
var newestFormat = fmt.Append(nil, "format ", layout.Version)

// A store of format 2 has no properties. Once opened, engines without properties refuse it.
func TestMigrationFromFormat2(t *testing.T) {
	t.Parallel()
	path := t.TempDir()
	for range 2 {
		e, err := Open(t.Context(), Settings{Path: path}, slog.New(slog.DiscardHandler))
		if err != nil {
			t.Fatal(err)
		}
		marker := filepath.Join(path, disk.MarkerFile)
		text, err := os.ReadFile(marker)
		if err != nil || !bytes.Contains(text, newestFormat) {
			t.Errorf("marker %q, error %v, want %q", text, err, newestFormat)
		}
		if err := e.Close(); err != nil {
			t.Fatal(err)
		}
		if text, err = os.ReadFile(marker); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(marker, bytes.Replace(text, newestFormat, []byte("format 2"), 1),
			0o600); err != nil {
			t.Fatal(err)
		}
	}
}

// The journal and the fence survive the death of the plugin.
func TestMoveSurvivesRestart(t *testing.T) {
	t.Parallel()
	path := t.TempDir()
	e, err := Open(t.Context(), Settings{Path: path}, slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	for number := range uint64(3) {
		k := layout.Key(layout.TablePurge, []byte{'a' + byte(number)})
		if number == 1 {
			if err := e.Transfer().Become(t.Context(),
				transfer.Transition{To: transfer.Exporting, ID: "m", Peer: "new"}); err != nil {
				t.Fatal(err)
			}
		}
		if err := e.update(t.Context(), func(tx *kv.Tx) error { tx.Put(k, nil); return nil }); err != nil {
			t.Fatal(err)
		}
	}
	if err := e.Transfer().Become(t.Context(), transfer.Transition{To: transfer.Fenced, ID: "m",
		Peer: "new"}); err != nil {
		t.Fatal(err)
	}
	if err := e.Close(); err != nil {
		t.Fatal(err)
	}
	if e, err = Open(t.Context(), Settings{Path: path}, slog.New(slog.DiscardHandler)); err != nil {
		t.Fatal(err)
	}
	defer func() { _ = e.Close() }()
	changes, err := e.Transfer().Changes(t.Context(), "m", 0, 10)
	if err != nil || len(changes.Records) != 2 || changes.Through != 2 || changes.Left != 0 {
		t.Fatalf("changes %+v, error %v, want two", changes, err)
	}
	if err := e.update(t.Context(), func(tx *kv.Tx) error {
		tx.Put(layout.Key(layout.TablePurge, []byte("x")), nil)
		return nil
	}); err == nil {
		t.Error("a write succeeded despite the fence")
	}
}

// The journal is bounded: at its bound it is dropped and the move fails, while the store keeps serving.
func TestJournalIsBounded(t *testing.T) {
	t.Parallel()
	e, target := inMemory(t), inMemory(t)
	const most, written = 50, 200
	*e.db.Bounds().Journal = most
	source := e.Transfer()
	move := &transfer.Move{Source: source, Target: target.Transfer(), ID: "m", SourceName: "old",
		TargetName: "new"}
	// The store is written to while the move does not progress.
	move.Report = func(p transfer.Progress) {
		if p.Phase != transfer.Copying || p.Copied > 0 {
			return
		}
		for i := range written {
			signIn(t, e, fmt.Sprintf("sid%03d", i), "ann")
		}
	}
	signIn(t, e, "first", "ann")
	if err := move.Run(t.Context()); !errors.Is(err, transfer.ErrJournal) {
		t.Errorf("the move ended with %v, want ErrJournal", err)
	}
	status, err := source.Status(t.Context())
	if err != nil || status.State != transfer.Active || status.Left != 0 {
		t.Errorf("status %+v, error %v; want an active store with no journal", status, err)
	}
	if status.Journaled <= most || status.Journaled >= written {
		t.Errorf("%d entries were journaled, want few more than %d", status.Journaled,
			most)
	}
	testenv.Eventually(t, "the journal is empty", func() bool {
		return countUnder(t, e, layout.TableJournal) == 0
	})
	// A move that reads the journal succeeds.
	again := inMemory(t)
	move = &transfer.Move{Source: source, Target: again.Transfer(), ID: "m2", SourceName: "old",
		TargetName: "new"}
	if err := move.Run(t.Context()); err != nil {
		t.Errorf("the next move: %v", err)
	}
}

func countUnder(t *testing.T, e *Engine, prefix []byte) (n int) {
	t.Helper()
	if err := e.db.Look(t.Context(), func(r *kv.Snapshot) (err error) {
		n, err = countKeys(r, prefix, 1_000_000)
		return err
	}); err != nil {
		t.Fatal(err)
	}
	return n
}
