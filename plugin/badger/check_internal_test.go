package badger

import (
	"bytes"
	"encoding/hex"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/dgraph-io/badger/v4"

	"github.com/fosite-sessions/sessions/grantstore"
	"github.com/fosite-sessions/sessions/logout"
	"github.com/fosite-sessions/sessions/plugin/badger/internal/check"
	"github.com/fosite-sessions/sessions/plugin/badger/internal/grantrows"
	"github.com/fosite-sessions/sessions/plugin/badger/internal/kv"
	"github.com/fosite-sessions/sessions/plugin/badger/internal/layout"
	"github.com/fosite-sessions/sessions/plugin/records"
	"github.com/fosite-sessions/sessions/plugin/transfer"
	"github.com/fosite-sessions/sessions/ticketstore"
)

// filledStore returns a store with a row in every table.
func filledStore(t *testing.T) *Engine {
	t.Helper()
	e := inMemory(t)
	for _, sid := range []string{"ann-1", "ann-2", "bob-1"} {
		subject, _, _ := strings.Cut(sid, "-")
		signIn(t, e, sid, subject)
		issue(t, e, sid, subject, "photos", 1)
		issue(t, e, sid, subject, "mail", 1)
	}
	must := func(err error) {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
	}
	refresh := grantstore.Grant{
		Ref:       grantstore.Ref{Type: grantstore.RefreshToken, Key: ticketstore.KeyOf("refresh")},
		RequestID: "family",
		SubjectID: "ann", SessionID: "ann-1", ClientID: "photos", Created: base,
	}
	consent := grantstore.Grant{
		Ref:       grantstore.Ref{Type: grantstore.UserConsent, Key: ticketstore.KeyOf("consent")},
		SubjectID: "dan", ClientID: "photos", Created: base,
	}
	jti := grantstore.Grant{
		Ref: grantstore.Ref{Type: grantstore.JTI, Key: ticketstore.KeyOf("jti")}, Created: base,
		Expires: base.Add(time.Hour),
	}
	_, err := e.Grants().Apply(t.Context(), &grantstore.Batch{OperationID: "grants",
		Store: []grantstore.Grant{refresh, consent, jti}}, base)
	must(err)
	_, err = e.Grants().Apply(t.Context(), &grantstore.Batch{OperationID: "use",
		Consume: &grantstore.Consumption{Ref: refresh.Ref}}, base)
	must(err)
	for i, together := range [][2]grantstore.Type{
		{grantstore.RefreshToken, grantstore.ReferenceToken},
		{grantstore.AuthorizationCode, grantstore.OpenIDRequest},
	} {
		batch := &grantstore.Batch{OperationID: fmt.Sprint("together", i)}
		for _, t := range together {
			batch.Store = append(batch.Store, grantstore.Grant{
				Ref:       grantstore.Ref{Type: t, Key: ticketstore.KeyOf("together")},
				RequestID: batch.OperationID, SubjectID: "ann", SessionID: "ann-1", ClientID: "photos",
				Created: base, Expires: base.Add(time.Hour),
			})
		}
		_, err := e.Grants().Apply(t.Context(), batch, base)
		must(err)
	}
	end := func(ending logout.Ending) {
		t.Helper()
		_, err := e.Logout().End(t.Context(), &ending, base.Add(time.Minute))
		must(err)
	}
	end(logout.Ending{OperationID: "end-ann-2", SessionID: "ann-2", Reason: logout.UserLogout,
		KeepTokens: true})
	end(logout.Ending{OperationID: "end-bob", SubjectID: "bob", ClientIDs: []string{"mail"},
		KeepSession: true, Reason: logout.Terminated})
	numbered := grantstore.Grant{
		Ref:       grantstore.Ref{Type: grantstore.ReferenceToken, Key: ticketstore.KeyOf("numbered")},
		RequestID: "numbered",
		SubjectID: "bob", SessionID: "bob-1", ClientID: "mail", Created: base.Add(time.Minute),
		Expires: base.Add(time.Hour),
	}
	_, err = e.Grants().Apply(t.Context(), &grantstore.Batch{OperationID: "numbered",
		Store: []grantstore.Grant{numbered}}, base.Add(time.Minute))
	must(err)
	claimed, err := e.Logout().Claim(t.Context(), logout.Claim{Limit: 2, PerClient: 1, Lease: time.Minute},
		base.Add(time.Minute))
	must(err)
	must(e.Logout().Settle(t.Context(), claimed.Deliveries[0].ID, claimed.Deliveries[0].Claim,
		logout.Outcome{State: logout.Refused}, base.Add(time.Minute)))
	interruptJob(t, e, &logout.Ending{OperationID: "under way", SubjectID: "cid", Reason: logout.Terminated},
		base)
	must(e.update(t.Context(), func(tx *kv.Tx) error {
		tx.Put(layout.PurgeKey("ann-2"), []byte("end-ann-2"))
		return nil
	}))
	must(e.Properties().SetProperty(t.Context(), "issuer", nil, []byte("https://op.example")))
	must(e.Transfer().Become(t.Context(), transfer.Transition{To: transfer.Exporting, ID: "move",
		Peer: "new"}))
	signIn(t, e, "cid-1", "cid")
	return e
}

func checked(t *testing.T, e *Engine, config check.Config) *check.Report {
	t.Helper()
	report, err := e.Check(t.Context(), config)
	if err != nil {
		t.Fatal(err)
	}
	return report
}

// put changes the database, bypassing the engine; a nil value deletes.
func put(t *testing.T, e *Engine, k, v []byte) {
	t.Helper()
	err := e.db.Damage(t.Context(), func(txn *badger.Txn) error {
		if v == nil {
			return txn.Delete(k)
		}
		return txn.Set(k, v)
	})
	if err != nil {
		t.Fatal(err)
	}
}

// rawRow is a row as stored.
type rawRow struct{ k, v []byte }

// everyRow returns all rows except the ledger, which no other row determines.
func everyRow(t *testing.T, e *Engine) (all []rawRow) {
	t.Helper()
	err := e.db.Look(t.Context(), func(r *kv.Snapshot) error {
		return r.Scan(nil, nil, false, func(k []byte, value func() ([]byte, error)) (bool, error) {
			v, err := value()
			if !bytes.Equal(k, layout.LedgerKey) {
				all = append(all, rawRow{k, v})
			}
			return true, err
		})
	})
	if err != nil {
		t.Fatal(err)
	}
	return all
}

func TestCheckOfEveryTable(t *testing.T) {
	t.Parallel()
	e := filledStore(t)
	found := map[string]bool{}
	for _, r := range everyRow(t, e) {
		found[layout.TableOf(r.k).Name] = true
	}
	for _, table := range layout.Tables {
		if !found[table.Name] && table.Name != "ledger" && table.Name != "damaged" {
			t.Errorf("no row of %s: its faults are not tested", table.Name)
		}
	}
	report := checked(t, e, check.Config{Ages: true})
	status, err := e.Transfer().Status(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if len(report.Findings) > 0 || report.More || report.Records != status.Records() ||
		report.State != transfer.Exporting {
		t.Errorf("report %+v, want no findings and %d records", report, status.Records())
	}
	if int(report.Records+report.Entries)+1 != len(everyRow(t, e)) { // all except the contents
		t.Errorf("checked %d records and %d entries of %d rows", report.Records, report.Entries,
			len(everyRow(t, e)))
	}
}

// During an import rows are from different times and some are missing: the store is incomplete, without
// faults.
func TestCheckOfAnIncompleteStore(t *testing.T) {
	t.Parallel()
	source, e := filledStore(t), inMemory(t)
	var records []transfer.Record
	for batch, err := range source.Transfer().Export(t.Context(), nil) {
		if err != nil {
			t.Fatal(err)
		}
		records = append(records, batch.Records...)
	}
	if err := e.Transfer().Become(t.Context(), transfer.Transition{To: transfer.Importing, ID: "move",
		Peer: "old"}); err != nil {
		t.Fatal(err)
	}
	fill := func(what string, records ...transfer.Record) {
		t.Helper()
		err := e.Transfer().Import(t.Context(), "move", func(yield func([]transfer.Record, error) bool) {
			yield(records, nil)
		})
		if err != nil {
			t.Fatal(err)
		}
		if report := checked(t, e, check.Config{Ages: true}); len(report.Findings) > 0 {
			t.Errorf("%s: %v", what, report.Findings)
		}
	}
	isEnded := func(r transfer.Record) bool { return r.Kind == transfer.Ended }
	ended := records[slices.IndexFunc(records, isEnded)]
	for i, r := range records {
		if r.Kind == transfer.Sessions {
			fill("a session of an earlier moment than its end", r,
				transfer.Record{Kind: transfer.Ended, Key: r.Key, Data: ended.Data})
			fill("without it", transfer.Record{Kind: transfer.Ended, Key: r.Key, Deleted: true},
				transfer.Record{Kind: r.Kind, Key: r.Key, Deleted: true})
		}
		fill(fmt.Sprintf("record %d alone, of %s", i, r.Kind), r)
		fill("nothing", transfer.Record{Kind: r.Kind, Key: r.Key, Deleted: true})
	}
	fill("all", records...)
	for i, r := range records {
		fill(fmt.Sprintf("all but record %d, of %s", i, r.Kind),
			transfer.Record{Kind: r.Kind, Key: r.Key, Deleted: true})
		if r.Kind == transfer.Clients {
			fill("a client of an earlier moment than its tokens", transfer.Record{Kind: r.Kind, Key: r.Key})
		}
		fill("all again", r)
	}

	var entry []byte
	for _, r := range everyRow(t, e) {
		if bytes.HasPrefix(r.k, layout.IndexSubject) {
			entry = r.k
		}
	}
	put(t, e, entry, nil)
	foundAt(t, e, "an index entry is missing")
	if err := e.Transfer().Become(t.Context(), transfer.Transition{To: transfer.Abandoned, ID: "move",
		Peer: "old"}); err != nil {
		t.Fatal(err)
	}
	if report := checked(t, e,
		check.Config{Ages: true}); len(report.Findings) > 0 || report.State != transfer.Abandoned {
		t.Errorf("an abandoned, partly emptied store: %+v", report)
	}
}

// A single missing, changed or additional row is found and located, without revealing a secret.
func TestCheckFindsEachRowFault(t *testing.T) {
	t.Parallel()
	e := filledStore(t)
	for _, r := range everyRow(t, e) {
		table, id := layout.PlaceOf(r.k)
		place := fmt.Sprintf("%s, %s", table, id)
		put(t, e, r.k, nil)
		foundAt(t, e, "missing: "+place)
		switch {
		case table == "journal": // no other row determines its contents
		case len(r.v) > 0:
			changed := bytes.Clone(r.v)
			changed[len(changed)/2] ^= 1
			put(t, e, r.k, changed)
			foundAt(t, e, "changed: "+place)
		default:
			put(t, e, r.k, []byte("x"))
			foundAt(t, e, "with a value: "+place)
		}
		put(t, e, r.k, r.v)
		stranger := append(bytes.Clone(r.k), 'x')
		put(t, e, stranger, r.v)
		foundAt(t, e, "another beside: "+place)
		put(t, e, stranger, nil)
	}
	if report := checked(t, e, check.Config{}); len(report.Findings) > 0 {
		t.Errorf("findings after all rows were restored: %v", report.Findings)
	}
}

func foundAt(t *testing.T, e *Engine, what string) {
	t.Helper()
	report := checked(t, e, check.Config{})
	if len(report.Findings) == 0 {
		t.Errorf("%s: nothing was found", what)
	}
	for _, f := range report.Findings {
		for _, secret := range []string{"ann-1", "ann-2", "bob-1", "cid-1", "refresh", "consent", "jti",
			"together", "numbered", "ann-1-photos-0"} {
			hash := ticketstore.KeyOf(secret)
			grant := ticketstore.KeyOf(secret)
			for _, never := range []string{string(hash[:]), hex.EncodeToString(hash[:8]),
				fmt.Sprintf("%q", hash[:])[1:20], string(grant[:])} {
				if strings.Contains(f.String(), never) {
					t.Errorf("%s: finding %q contains a key", what, f)
				}
			}
		}
	}
}

func TestCheckNamesTheBrokenRule(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		breaks func(e *Engine, tx *kv.Tx) error
		says   string
	}{
		"a token of a session that never existed": {func(e *Engine, tx *kv.Tx) error {
			tx.Delete(layout.EndedKey("ann-2"))
			return nil
		}, "neither exists nor has left an ended record"},
		"a session that is live and ended": {func(e *Engine, tx *kv.Tx) error {
			return tx.Save(layout.EndedKey("ann-1"), &records.Ended{SubjectId: "ann", When: 1})
		}, "judges the grants of a session that is there"},
		"a client without a session": {func(e *Engine, tx *kv.Tx) error {
			tx.Put(layout.ClientUseKey("nobody", "photos"), nil)
			return nil
		}, "is of a session that does not exist"},
		"a session with a late due entry": {func(e *Engine, tx *kv.Tx) error {
			s, err := loadSession(tx, "ann-1")
			s.IndexedDue = records.Nanos(base.Add(time.Hour * 2))
			return errors.Join(err, tx.Save(layout.SessionKey("ann-1"), s))
		}, "would be found due too late"},
		"a notification that is never sent": {func(e *Engine, tx *kv.Tx) error {
			return tx.Save(layout.NotificationKey("n"),
				&records.Notification{State: "pending", ClientId: "photos",
					SessionId: "x"})
		}, "is due never"},
		"a notification that is never purged": {func(e *Engine, tx *kv.Tx) error {
			return tx.Save(layout.NotificationKey("n"), &records.Notification{State: "delivered",
				ClientId: "photos", SessionId: "x"})
		}, "kept for ever"},
		"a job in an unknown phase": {func(e *Engine, tx *kv.Tx) error {
			return tx.Save(layout.JobKey("under way"), &records.Job{Phase: "resting"})
		}, "phase that does not exist"},
		"a session under the key of another": {func(e *Engine, tx *kv.Tx) error {
			s, err := loadSession(tx, "ann-1")
			return errors.Join(err, tx.Save(layout.SessionKey("ann-3"), s))
		}, "another session than its key says"},
		"a token missing in its family": {func(_ *Engine, tx *kv.Tx) error {
			ref := grantstore.Ref{Type: grantstore.RefreshToken, Key: ticketstore.KeyOf("refresh")}
			g, err := grantrows.Load(tx, ref)
			g.TokenNumber = 7
			return errors.Join(err, tx.Save(layout.GrantKey(ref), g))
		}, "has token number 7, and its client is at 0"},
		"a key outside of every table": {func(e *Engine, tx *kv.Tx) error {
			tx.Put([]byte("Zx"), nil)
			return nil
		}, "key of no table"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			e := filledStore(t)
			if err := e.update(t.Context(), func(tx *kv.Tx) error { return c.breaks(e, tx) }); err != nil {
				t.Fatal(err)
			}
			report := checked(t, e, check.Config{})
			for _, f := range report.Findings {
				if strings.Contains(f.Problem, c.says) {
					return
				}
			}
			t.Errorf("findings %q, want one with %q", report.Findings, c.says)
		})
	}
}

// Ended records that are not swept are found by the store's own time, not by the clock of the check.
func TestCheckFindsOverdueEndedRecords(t *testing.T) {
	t.Parallel()
	e := filledStore(t)
	late := base.AddDate(0, 1, 0)
	err := e.Tickets().Create(t.Context(), &ticketstore.Session{
		Key: ticketstore.KeyOf("late"), SessionID: "late", SubjectID: "ann", Issuer: "https://op.example",
		AuthTime: late, Created: late,
		Renewed: late, Expires: late.Add(time.Hour),
	})
	if err != nil {
		t.Fatal(err)
	}
	if report := checked(t, e, check.Config{}); len(report.Findings) > 0 {
		t.Errorf("findings %v without a check of ages, want none", report.Findings)
	}
	report := checked(t, e, check.Config{Ages: true})
	if len(report.Findings) != 1 || !strings.Contains(report.Findings[0].String(), `"ann-2"`) {
		t.Errorf("findings %v, want the ended record", report.Findings)
	}
}

func TestCheckBoundsItsFindings(t *testing.T) {
	t.Parallel()
	e := filledStore(t)
	for i := range 20 {
		put(t, e, layout.Key(layout.IndexSubject, layout.More("ann"), layout.TimeKey(1), fmt.Append(nil, i)),
			[]byte{})
	}
	report := checked(t, e, check.Config{MaxFindings: 5})
	if len(report.Findings) != 5 || !report.More {
		t.Errorf("%d findings, more %t, want five and more", len(report.Findings), report.More)
	}
	if report := checked(t, e, check.Config{}); len(report.Findings) != 20 || report.More {
		t.Errorf("%d findings, more %t, want 20 and no more", len(report.Findings), report.More)
	}
}
