package badger

import (
	"cmp"
	"crypto/rand"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"testing"
	"time"

	"github.com/dgraph-io/badger/v4"

	"github.com/fosite-sessions/sessions/grantstore"
	"github.com/fosite-sessions/sessions/plugin/badger/internal/check"
	"github.com/fosite-sessions/sessions/plugin/badger/internal/folder"
	"github.com/fosite-sessions/sessions/plugin/badger/internal/grantrows"
	"github.com/fosite-sessions/sessions/plugin/badger/internal/kv"
	"github.com/fosite-sessions/sessions/plugin/badger/internal/layout"
	"github.com/fosite-sessions/sessions/plugin/records"
	"github.com/fosite-sessions/sessions/ticketstore"
)

const (
	// Maximum sizes of a used refresh token with its indexes, and of all rows of a session after a month of
	// hourly refreshes.
	mostUsed    = 250
	mostMonth   = 200_000
	monthHours  = 720
	sealedBytes = 850 // about the size of a sealed request of fosite
)

// month has sessions of a month, each with a client that refreshes every hour. Ids have the length of a
// host's, and the client's is a UUID.
type month struct {
	t       *testing.T
	e       *Engine
	now     time.Time
	refresh []grantstore.Grant
	grace   time.Duration
}

const monthClient = "3b0fd4ff-4cb0-4b02-a4a7-1d4a8a1b3c55"

func newMonth(t *testing.T, e *Engine, sessions int, grace time.Duration) *month {
	t.Helper()
	m := &month{t: t, e: e, now: base, grace: grace}
	for i := range sessions {
		sid, subject := fmt.Sprintf("%032x", i), fmt.Sprintf("%036x", i)
		s := anHour(sid, subject)
		s.Expires, s.Ticket = base.Add(60*24*time.Hour), sealed()
		if err := e.Tickets().Create(t.Context(), s); err != nil {
			t.Fatal(err)
		}
		g := grantstore.Grant{
			Ref:       grantstore.Ref{Type: grantstore.RefreshToken, Key: ticketstore.KeyOf(sid)},
			RequestID: fmt.Sprintf("%036x", i+1_000_000),
			SubjectID: subject, SessionID: sid, ClientID: monthClient, Offline: true,
		}
		m.refresh = append(m.refresh, m.fresh(g, 0))
		m.apply(&grantstore.Batch{
			OperationID: "first " + sid, Use: &grantstore.Use{SessionID: sid, ClientID: monthClient,
				Notify: true}, Store: m.refresh[i : i+1],
		})
	}
	return m
}

func sealed() []byte {
	data := make([]byte, sealedBytes)
	_, _ = rand.Read(data)
	return data
}

func (m *month) fresh(like grantstore.Grant, n int) grantstore.Grant {
	like.Key = ticketstore.KeyOf(fmt.Sprint(like.SessionID, like.Type, n))
	like.Created, like.Expires, like.Data = m.now, m.now.Add(30*24*time.Hour), sealed()
	if like.Type == grantstore.ReferenceToken {
		like.Expires = m.now.Add(time.Hour)
	}
	return like
}

func (m *month) apply(batch *grantstore.Batch) {
	m.t.Helper()
	if _, err := m.e.Grants().Apply(m.t.Context(), batch, m.now); err != nil {
		m.t.Fatal(err)
	}
}

// hour makes each client refresh its tokens.
func (m *month) hour(n int) {
	m.t.Helper()
	m.now = m.now.Add(time.Hour)
	for i, old := range m.refresh {
		access := old
		access.Type = grantstore.ReferenceToken
		m.refresh[i] = m.fresh(old, n+1)
		m.apply(&grantstore.Batch{
			OperationID: fmt.Sprintf("%d %032x", n, i),
			Consume:     &grantstore.Consumption{Ref: old.Ref, Grace: m.grace},
			Store:       []grantstore.Grant{m.fresh(access, n), m.refresh[i]},
		})
	}
	m.purge()
}

func (m *month) purge() {
	m.t.Helper()
	for {
		n, err := m.e.Grants().Purge(m.t.Context(), 200, m.now)
		if err != nil {
			m.t.Fatal(err)
		}
		if n < 200 {
			return
		}
	}
}

func rowBytes(t *testing.T, e *Engine) (total int64) {
	t.Helper()
	stats, err := e.Stats(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	for _, n := range stats.RowBytes {
		total += n
	}
	return total
}

// usedRows returns the size of each used grant, with its indexes.
func usedRows(t *testing.T, e *Engine) (sizes []int) {
	t.Helper()
	err := e.db.View(t.Context(), func(r *kv.Snapshot) error {
		return r.Scan(layout.TableGrant, nil, false,
			func(k []byte, value func() ([]byte, error)) (bool, error) {
				v, err := value()
				g := &records.Grant{}
				if err == nil {
					err = layout.Decode(k, v, g)
				}
				if err != nil || g.Consumed == 0 {
					return err == nil, err
				}
				size := len(k) + len(v)
				ref, _ := records.RefOf(k[len(layout.TableGrant):])
				for _, entry := range layout.GrantIndexes(ref, g) {
					there, err := r.Get(entry.Key)
					if err != nil || there == nil {
						t.Errorf("an index entry is missing: %v", err)
					}
					size += len(entry.Key) + len(there)
				}
				sizes = append(sizes, size)
				return true, nil
			})
	})
	if err != nil {
		t.Fatal(err)
	}
	return sizes
}

func checkStore(t *testing.T, e *Engine) {
	t.Helper()
	report, err := e.Check(t.Context(), check.Config{})
	if err != nil || len(report.Findings) > 0 {
		t.Errorf("check: %v, %+v", err, report)
	}
}

// Hourly refreshes of a month use little space, with or without a grace.
func TestUsedRefreshTokensAreSmall(t *testing.T) {
	t.Parallel()
	for name, grace := range map[string]time.Duration{"without a grace": 0, "with a grace": time.Minute} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			e := openAt(t, t.TempDir())
			m := newMonth(t, e, 1, grace)
			for n := range monthHours - 1 { // the last one would expire the first
				m.hour(n)
			}
			m.now = m.now.Add(30 * time.Minute)
			m.purge()
			sizes := usedRows(t, e)
			most, sum := 0, 0
			for _, size := range sizes {
				most, sum = max(most, size), sum+size
			}
			total := rowBytes(t, e)
			t.Logf("%d used refresh tokens of at most %d bytes, %d in all; %d bytes for all rows",
				len(sizes), most, sum, total)
			if len(sizes) < monthHours-1 || most > mostUsed || total > mostMonth {
				t.Errorf("want %d used refresh tokens of at most %d bytes, and %d for all rows", monthHours-1,
					mostUsed, mostMonth)
			}
			checkStore(t, e)
		})
	}
}

// Used grants of an older store keep their data until purges reduce them, in steps that another start
// continues.
func TestReductionOfUsedGrants(t *testing.T) {
	t.Parallel()
	path := t.TempDir()
	e := openAt(t, path)
	signIn(t, e, "sid", "ann")
	const many = 3*reduceBatch + 7
	refs := make([]grantstore.Ref, many)
	for i := range refs {
		g := familyGrant(grantstore.RefreshToken, fmt.Sprint("refresh", i))
		g.RequestID, g.SessionID, refs[i] = fmt.Sprint("family", i), "sid", g.Ref
		rowsOf(t, e, &grantstore.Batch{OperationID: fmt.Sprint("issue", i), Store: []grantstore.Grant{g}})
	}
	err := e.update(t.Context(), func(tx *kv.Tx) error {
		for i, ref := range refs {
			g, err := grantrows.Load(tx, ref)
			if err != nil {
				return err
			}
			f := families{tx: tx}
			if err := cmp.Or(f.remove(ref, g), f.save()); err != nil {
				return err
			}
			replaceEntries(tx, append(layout.GrantIndexes(ref, g), layout.GrantListings(ref, g)...), nil)
			g.Consumed, g.Data = records.Nanos(base.Add(time.Duration(i)*time.Second)), make([]byte,
				sealedBytes)
			g.Expires = records.Nanos(base.Add(24 * time.Hour))
			for _, entry := range layout.GrantIndexes(ref, g) {
				tx.Put(entry.Key, records.RefBytes(ref)) // as of older programs
			}
			if err := tx.Save(layout.GrantKey(ref), g); err != nil {
				return err
			}
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	checkStore(t, e)
	if err := e.Close(); err != nil {
		t.Fatal(err)
	}
	m, err := folder.ReadMarker(path)
	if err != nil {
		t.Fatal(err)
	}
	m.Format = 2
	if err := m.Write(path); err != nil {
		t.Fatal(err)
	}
	now := base.Add(time.Hour)
	for starts := 0; ; starts++ {
		e = openAt(t, path)
		n, err := e.Grants().Purge(t.Context(), 200, now)
		if err != nil {
			t.Fatal(err)
		}
		checkStore(t, e)
		if n < 200 {
			if starts < 3 {
				t.Errorf("%d steps, want several", starts)
			}
			break
		}
		if err := e.Close(); err != nil {
			t.Fatal(err)
		}
	}
	// What was used within the last hour may still be in its grace.
	if sizes := usedRows(t, e); len(sizes) != many || sizes[0] < sealedBytes && sizes[many-1] < sealedBytes {
		t.Errorf("want %d used tokens with data, got %d", many, len(sizes))
	}
	for now = now.Add(time.Hour); ; {
		n, err := e.Grants().Purge(t.Context(), 200, now)
		if err != nil {
			t.Fatal(err)
		}
		if n < 200 {
			break
		}
	}
	for _, size := range usedRows(t, e) {
		if size > mostUsed {
			t.Fatalf("a used grant takes %d bytes", size)
		}
	}
	checkStore(t, e)
	if _, err := e.Grants().Get(t.Context(), refs[0], base); err == nil {
		t.Error("a used grant is live")
	}
}

// monthEnv is the number of sessions of TestMonthOnDisk; a few if unset.
const monthEnv = "MONTH_SESSIONS"

// It measures the disk usage of live sessions after a month, compacted.
func TestMonthOnDisk(t *testing.T) {
	t.Parallel()
	sessions := 5
	if text := os.Getenv(monthEnv); text != "" {
		var err error
		if sessions, err = strconv.Atoi(text); err != nil || sessions < 1 {
			t.Fatalf("%s=%q is not a number from 1", monthEnv, text)
		}
	}
	path := t.TempDir()
	e := openAt(t, path)
	m := newMonth(t, e, sessions, 0)
	for n := range monthHours {
		m.hour(n)
	}
	total := rowBytes(t, e)
	tables := compacted(t, e, path)
	t.Logf("%d sessions after %d hourly refreshes: %d bytes of rows and %d bytes of tables each",
		sessions, monthHours, total/int64(sessions), tables/int64(sessions))
	if got := total / int64(sessions); got > mostMonth {
		t.Errorf("want at most %d bytes of rows a session", mostMonth)
	}
}

// compacted closes a database, compacts it, and returns the size of its tables.
func compacted(t *testing.T, e *Engine, path string) int64 {
	t.Helper()
	if err := e.Close(); err != nil {
		t.Fatal(err)
	}
	// Badger compacts level 0 if it has too many tables, and each close creates one.
	for range 2 {
		db, err := folder.OpenReleased(badger.DefaultOptions(path).WithLogger(nil).WithNumLevelZeroTables(1))
		if err != nil {
			t.Fatal(err)
		}
		err = db.Update(func(txn *badger.Txn) error { return txn.Delete([]byte("T")) })
		err = errors.Join(err, db.Flatten(1), db.Close())
		if err != nil {
			t.Fatal(err)
		}
	}
	return tableBytes(t, path)
}

// tableBytes returns the size of a database's tables.
func tableBytes(t *testing.T, path string) (n int64) {
	t.Helper()
	names, err := filepath.Glob(filepath.Join(path, "*.sst"))
	for _, name := range names {
		info, statErr := os.Stat(name)
		if err = errors.Join(err, statErr); err == nil {
			n += info.Size()
		}
	}
	if err != nil {
		t.Fatal(err)
	}
	return n
}
