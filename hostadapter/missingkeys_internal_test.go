package hostadapter

import (
	"context"
	"errors"
	"iter"
	"log/slog"
	"testing"
	"testing/synctest"
	"time"

	"google.golang.org/protobuf/encoding/protowire"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protoreflect"

	"github.com/fosite-sessions/sessions"
	"github.com/fosite-sessions/sessions/plugin/records"
	"github.com/fosite-sessions/sessions/plugin/transfer"
)

// The host's field numbers match the generated code of the schema.
func TestSealedFieldsMatchTheSchema(t *testing.T) {
	t.Parallel()
	for field, c := range map[protoreflect.Name]struct {
		record proto.Message
		number protowire.Number
	}{
		"ticket": {&records.Session{}, sessionTicketField},
		"data":   {&records.Grant{}, grantDataField},
	} {
		fields := c.record.ProtoReflect().Descriptor().Fields()
		if is := fields.ByName(field); is == nil || is.Number() != c.number ||
			is.Kind() != protoreflect.BytesKind {
			t.Errorf("the schema has %v, want %s to be a bytes field with number %d", is, field, c.number)
		}
	}
}

// exported is a backend whose exports the test counts and controls.
type exported struct {
	sessions.Backend
	transfer.Store
	exports int
	give    func(ctx context.Context) error
}

func (e *exported) Transfer() transfer.Store { return e }

func (e *exported) Export(ctx context.Context, _ []byte) iter.Seq2[*transfer.Batch, error] {
	e.exports++
	return func(yield func(*transfer.Batch, error) bool) { yield(nil, e.give(ctx)) }
}

func counting(t *testing.T, give func(ctx context.Context) error) (*Adapter, *exported) {
	t.Helper()
	e := &exported{give: give}
	a := &Adapter{
		config: Config{Now: time.Now, Logger: slog.New(slog.DiscardHandler)}, backends: newSwitch("store", e),
	}
	a.missing.watch([]keyID{{1}})
	ctx, cancel := context.WithCancel(t.Context())
	over := make(chan struct{})
	go func() { defer close(over); a.countMissing(ctx) }()
	t.Cleanup(func() { cancel(); <-over })
	synctest.Wait()
	return a, e
}

// TestFailedCountIsRepeatedSoon: after an outage the status is corrected within minutes, not after an hour.
func TestFailedCountIsRepeatedSoon(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		_, e := counting(t, func(context.Context) error { return errors.New("away") })
		time.Sleep(3*time.Minute + time.Second)
		synctest.Wait()
		if e.exports != 4 {
			t.Errorf("%d counts in three minutes, want 4", e.exports)
		}
	})
}

// TestCountYieldsToBackupsAndSwaps: a backup or a swap aborts a count of sealed records, and none begins
// while it runs.
func TestCountYieldsToBackupsAndSwaps(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		open := 0
		a, e := counting(t, func(ctx context.Context) error {
			open++
			defer func() { open-- }()
			<-ctx.Done()
			return ctx.Err()
		})
		for name, begin := range map[string]func() (end func()){
			"a backup": func() func() {
				_, end, err := a.beginBackup(t.Context())
				if err != nil {
					t.Fatal(err)
				}
				return end
			},
			"a swap": func() func() {
				state := a.newSwap("swap", "other")
				if _, err := a.begin(state); err != nil {
					t.Fatal(err)
				}
				return func() { a.finishSwap(state, errors.New("no")) }
			},
		} {
			if open != 1 {
				t.Fatalf("%d exports are open before %s, want only the count's", open, name)
			}
			end := begin()
			before := e.exports
			time.Sleep(10 * time.Minute)
			synctest.Wait()
			if open != 0 || e.exports != before {
				t.Errorf("during %s %d exports are open and %d began, want none", name, open,
					e.exports-before)
			}
			end()
			time.Sleep(time.Minute)
			synctest.Wait()
		}
		if a.missing.trouble() != "" {
			t.Errorf("trouble %q, want no mention of an aborted count", a.missing.trouble())
		}
	})
}
