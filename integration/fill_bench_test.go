package integration

// The engines that benchmarks compare, and the filling of their stores.

import (
	"bytes"
	"fmt"
	"iter"
	"log/slog"
	"os"
	"sync"
	"testing"
	"time"

	"google.golang.org/protobuf/proto"

	"github.com/fosite-sessions/sessions/grantstore"
	"github.com/fosite-sessions/sessions/hostadapter"
	"github.com/fosite-sessions/sessions/logout"
	"github.com/fosite-sessions/sessions/plugin"
	"github.com/fosite-sessions/sessions/plugin/badger"
	"github.com/fosite-sessions/sessions/plugin/plugintest/pgserver"
	"github.com/fosite-sessions/sessions/plugin/postgres"
	"github.com/fosite-sessions/sessions/plugin/records"
	"github.com/fosite-sessions/sessions/plugin/transfer"
	"github.com/fosite-sessions/sessions/ticketstore"
)

// large enables benchmarks that take minutes to prepare: make bench-large.
func large() bool { return os.Getenv("SESSIONS_BENCH_LARGE") != "" }

// onEngines runs a benchmark with the plugin of each engine: empty creates a new store with durable writes.
func onEngines(b *testing.B, run func(b *testing.B, empty func() plugin.Config)) {
	b.Helper()
	of := func(b *testing.B, name string, settings func() any) {
		b.Helper()
		b.Run("engine="+name, func(b *testing.B) {
			run(b, func() plugin.Config {
				return plugin.Config{
					Path: binary(b, "sessions-"+name), Settings: settings(),
					Logger: slog.New(slog.DiscardHandler),
				}
			})
		})
	}
	of(b, "badger", func() any { return badger.Settings{Path: b.TempDir()} })
	server := sync.OnceValue(func() *pgserver.Server {
		// A common memory setting, and no checkpoints, which would come at a different time in each run.
		return pgserver.Start(b, "shared_buffers=1GB", "max_wal_size=4GB", "checkpoint_timeout=1h")
	})
	of(b, "postgres", func() any {
		dsn, schema := server().Schema(b)
		return postgres.Settings{DSN: dsn, Schema: schema}
	})
}

// filling describes the contents of a store. Sessions are numbered from 0.
type filling struct {
	sessions int
	clients  int // per session: client-0 and so on
	grants   int // refresh tokens per session, round robin over its clients
	session  func(i int) *ticketstore.Session
}

// benchSession returns a session as hosts store them, but without a sealed ticket.
func benchSession(i int, subject string, created, expires time.Time) *ticketstore.Session {
	sid := fmt.Sprintf("ZK3J8Q1XW5SYB7NCTD%08d", i)
	return &ticketstore.Session{
		Key: ticketstore.KeyOf(sid), SessionID: sid, SubjectID: subject, DisplayName: "Ann Example",
		Issuer: "http://localhost:9000", AuthTime: created, Created: created, Renewed: created,
		Expires: expires, Version: 1, RemoteAddr: "192.0.2.7",
		UserAgent: "Mozilla/5.0 (X11; Linux x86_64; rv:140.0) Gecko/20100101 Firefox/140.0",
	}
}

// fill fills an empty store by an import: a million sessions take a minute or two.
func fill(b *testing.B, config plugin.Config, f *filling) {
	b.Helper()
	client, err := plugin.Open(b.Context(), config)
	if err != nil {
		b.Fatal(err)
	}
	store, id := client.Transfer(), "fill"
	err = store.Become(b.Context(), transfer.Transition{To: transfer.Importing, ID: id})
	if err == nil {
		err = store.Import(b.Context(), id, f.batches(hostProperties(b)))
	}
	if err == nil {
		err = store.Become(b.Context(), transfer.Transition{To: transfer.Active, ID: id})
	}
	if err != nil {
		b.Fatal(err)
	}
	// The measured store is at rest: compactions after the import have finished.
	if err := client.Close(); err != nil {
		b.Fatal(err)
	}
}

// benchKeys are the sealing keys of the hosts of benchmarks.
var benchKeys = [][]byte{bytes.Repeat([]byte("k"), hostadapter.MinKey)}

// hostProperties are the properties that a host with these keys stores. Without them it would scan all
// records for one that it can open.
func hostProperties(b *testing.B) (list []transfer.Record) {
	b.Helper()
	engine, err := badger.Open(b.Context(), badger.Settings{Path: b.TempDir()}, slog.New(slog.DiscardHandler))
	if err != nil {
		b.Fatal(err)
	}
	defer func() { _ = engine.Close() }()
	host, err := hostadapter.New(b.Context(), hostadapter.Config{
		Backend: engine, Issuer: "http://localhost:9000", Keys: benchKeys, Signer: lifeSigner{},
		Clients: logout.ClientMap{}, Logger: slog.New(slog.DiscardHandler),
	})
	if err != nil {
		b.Fatal(err)
	}
	if err := host.Close(); err != nil {
		b.Fatal(err)
	}
	for batch, err := range engine.Transfer().Export(b.Context(), nil) {
		if err != nil {
			b.Fatal(err)
		}
		list = append(list, batch.Records...)
	}
	return list
}

// batches returns the records of the filling in the order of an export, sessions first.
func (f *filling) batches(others []transfer.Record) iter.Seq2[[]transfer.Record, error] {
	return func(yield func([]transfer.Record, error) bool) {
		batcher := transfer.NewBatcher(func(batch *transfer.Batch, err error) bool {
			return yield(batch.Records, err)
		})
		parts := []func(i int) []transfer.Record{f.sessionRecord, f.clientRecords, f.grantRecords}
		for _, part := range parts {
			for i := range f.sessions {
				for _, r := range part(i) {
					if !batcher.Add(&r) {
						return
					}
				}
			}
		}
		for _, r := range others {
			if !batcher.Add(&r) {
				return
			}
		}
		batcher.End(nil)
	}
}

func (f *filling) sessionRecord(i int) []transfer.Record {
	s := f.session(i)
	return []transfer.Record{record(transfer.Sessions, []byte(s.SessionID), records.FromSession(s))}
}

func (f *filling) clientRecords(i int) (list []transfer.Record) {
	s := f.session(i)
	for n := range f.clients {
		client := fmt.Sprint("client-", n)
		list = append(list, record(transfer.Clients, []byte(s.SessionID+"\x00"+client),
			records.FromClientUse(&ticketstore.ClientUse{
				ClientID: client, FirstUsed: s.Created, LastUsed: s.Created, Notify: true,
			})))
	}
	return list
}

func (f *filling) grantRecords(i int) (list []transfer.Record) {
	s := f.session(i)
	for n := range f.grants {
		ref := grantstore.Ref{
			Type: grantstore.RefreshToken, Key: ticketstore.KeyOf(fmt.Sprint(s.SessionID, " ", n)),
		}
		grant := &grantstore.Grant{
			Ref: ref, RequestID: fmt.Sprintf("8d7f1f0e-7a3b-4c1d-9e%02d-%012d", n%100, i),
			SubjectID: s.SubjectID, SessionID: s.SessionID,
			ClientID: fmt.Sprint("client-", n%max(f.clients, 1)),
			Created:  s.Created, Expires: s.Created.AddDate(0, 1, 0), Data: make([]byte, 850),
		}
		list = append(list, record(transfer.Grants, records.RefBytes(ref), records.FromGrant(grant)))
	}
	return list
}

func record(kind transfer.Kind, key []byte, message proto.Message) transfer.Record {
	data, err := records.Cross(message)
	if err != nil {
		panic(err)
	}
	return transfer.Record{Kind: kind, Key: key, Data: data}
}
