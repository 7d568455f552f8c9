//go:build linux

package integration

// Disk failures while the server runs (rule 11).

import (
	"errors"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/fosite-sessions/sessions/grantstore"
	"github.com/fosite-sessions/sessions/logout"
	"github.com/fosite-sessions/sessions/plugin/badger"
	"github.com/fosite-sessions/sessions/plugin/plugintest/testenv"
	suite "github.com/fosite-sessions/sessions/plugin/storetest/world"
	"github.com/fosite-sessions/sessions/plugin/transfer"
	"github.com/fosite-sessions/sessions/ticketstore"
)

// If the file system turns read-only, nothing is acknowledged that is not on it, and the server reports why
// it serves no sessions. It serves the same sessions again once the file system is writable.
func TestFileSystemTurnsReadOnly(t *testing.T) {
	t.Parallel()
	disk := testenv.Mount(t, 2048)
	rp := newRelyingParty(t, "shop")
	p := startProviderAt(t, filepath.Join(disk.Path, "data"), []map[string]any{rp.registration()},
		[]user{ann})
	rp.discover(t, p)
	login := newBrowser().signIn(t, rp, p, ann)
	sessions := p.sessions(t, nil)
	if err := disk.Fail(); err != nil {
		t.Fatal(err)
	}
	removal := map[string]any{"session_id": sessions[0]["session_id"]}
	for range 2 { // the repeated call finds no record of the first
		if status, answer := p.admin(t, http.MethodPost, "/sessions/remove",
			removal); status != http.StatusServiceUnavailable {
			t.Errorf("a removal on a file system that turned read-only: status %d, %v", status, answer)
		}
	}
	testenv.Eventually(t, "the backend's status reports that its file system is read-only", func() bool {
		status, answer := p.admin(t, http.MethodGet, "/backend", nil)
		text, _ := answer["error"].(string)
		return status == http.StatusOK && answer["status"] == "unavailable" &&
			strings.Contains(text, "the file system at ") &&
			strings.Contains(text, " is read-only")
	})
	if response, err := http.Get(p.issuer + "/readyz"); err != nil ||
		response.StatusCode != http.StatusServiceUnavailable {
		t.Errorf("ready: %v, error %v", response, err)
	} else {
		_ = response.Body.Close()
	}
	// A starting plugin may have a file open.
	testenv.Eventually(t, "the file system is writable", func() bool { return disk.Mend() == nil })
	testenv.Eventually(t, "the server is ready again", func() bool {
		response, err := http.Get(p.issuer + "/readyz")
		if err != nil {
			return false
		}
		_ = response.Body.Close()
		return response.StatusCode/100 == 2
	})
	if !p.active(t, rp, login.token.AccessToken) {
		t.Error("the access token is inactive, but the removal was not acknowledged")
	}
	p.remove(t, removal)
	if p.active(t, rp, login.token.AccessToken) {
		t.Error("the access token is active after the removal")
	}
}

// If a sync fails during a change of any kind, the plugin ends and the next one reads what is on the disk. An
// acknowledged change is there, once and completely.
func TestEveryChangeWithFailedSync(t *testing.T) {
	t.Parallel()
	const client = "shop"
	for name, prepare := range map[string]func(w *suite.World, moves transfer.Store) (change func() error,
		holds func()){
		"sign-in": func(w *suite.World, _ transfer.Store) (func() error, func()) {
			s := w.Session("ann")
			return func() error { return w.Tickets.Create(w.Ctx(), s) }, func() { w.SessionLives(s) }
		},
		"slide": func(w *suite.World, _ transfer.Store) (func() error, func()) {
			s := w.SignIn("ann")
			r := ticketstore.Renewal{Key: s.Key, Version: s.Version, Expires: w.Now.Add(2 * time.Hour)}
			return func() error { _, err := w.Tickets.Renew(w.Ctx(), r, w.Now); return err },
				func() { w.At(w.Get(s).Expires, r.Expires, "the end") }
		},
		"code exchange": func(w *suite.World, _ transfer.Store) (func() error, func()) {
			return consumption(w, w.Stored(w.Code(w.SignIn("ann"), client)))
		},
		"rotation": func(w *suite.World, _ transfer.Store) (func() error, func()) {
			return consumption(w, w.Stored(w.Refresh(w.SignIn("ann"), client)))
		},
		"removal of grants": func(w *suite.World, _ transfer.Store) (func() error, func()) {
			g := w.Stored(w.Refresh(w.SignIn("ann"), client))
			return func() error {
				_, err := w.TryRemove(grantstore.Filter{SubjectID: "ann"})
				return err
			}, func() { w.Missing(g) }
		},
		"end": func(w *suite.World, _ transfer.Store) (func() error, func()) {
			s := w.SignIn("ann")
			g := w.Stored(w.Refresh(s, client))
			w.Uses(s, client)
			ending := logout.Ending{OperationID: w.Op(), SessionID: s.SessionID}
			return func() error { _, err := w.TryEnd(ending); return err }, func() {
				w.SessionGone(s)
				w.Dead(g)
				w.Same(w.Notified(s), []string{client}, "notified clients")
			}
		},
		"job": func(w *suite.World, _ transfer.Store) (func() error, func()) {
			one, two := w.SignIn("ann"), w.SignIn("ann")
			ending := logout.Ending{OperationID: w.Op(), All: true}
			return func() error { _, err := w.TryEnd(ending); return err }, func() {
				w.JobDone(ending.OperationID)
				w.SessionGone(one, two)
			}
		},
		"expiry": func(w *suite.World, _ transfer.Store) (func() error, func()) {
			s := w.SignIn("ann")
			w.Pass(24 * time.Hour)
			return func() error {
				_, err := w.Logout.EndDue(w.Ctx(), logout.Sweep{Limit: 10}, w.Now)
				return err
			}, func() { w.SessionGone(s) }
		},
		"settlement of a notification": func(w *suite.World, _ transfer.Store) (func() error, func()) {
			s := w.SignIn("ann")
			w.Uses(s, client)
			w.Pass(time.Minute) // a client that got tokens just before is notified twice
			w.End(logout.Ending{SessionID: s.SessionID})
			d := w.ClaimOne()
			return func() error {
					return w.Logout.Settle(w.Ctx(), d.ID, d.Claim, logout.Outcome{State: logout.Delivered},
						w.Now)
				},
				func() {
					w.Same(w.Notification(s, client).State, logout.Delivered, "the notification's state")
				}
		},
		"property": func(w *suite.World, _ transfer.Store) (func() error, func()) {
			return func() error {
					return w.Properties.SetProperty(w.Ctx(), "name", nil, []byte("value"))
				}, func() {
					value, err := w.Properties.Property(w.Ctx(), "name")
					w.OK(err, "Property")
					w.Same(string(value), "value", "the property")
				}
		},
		"fence": func(w *suite.World, moves transfer.Store) (func() error, func()) {
			w.SignIn("ann")
			id := w.Op()
			w.OK(moves.Become(w.Ctx(), transfer.Transition{To: transfer.Exporting, ID: id, Peer: "other"}),
				"Become exporting")
			return func() error {
					return moves.Become(w.Ctx(),
						transfer.Transition{To: transfer.Fenced, ID: id, Peer: "other"})
				}, func() {
					status, err := moves.Status(w.Ctx())
					w.OK(err, "Status")
					w.Same(status.State, transfer.Fenced, "the state")
					w.Fails(w.Tickets.Create(w.Ctx(), w.Session("ben")), "sign in at a fenced store",
						transfer.ErrFenced)
				}
		},
		"import": func(w *suite.World, moves transfer.Store) (func() error, func()) {
			id := w.Op()
			w.OK(moves.Become(w.Ctx(), transfer.Transition{To: transfer.Importing, ID: id, Peer: "other"}),
				"Become importing")
			record := transfer.Record{Kind: transfer.Operations, Key: []byte("an operation"), Data: []byte{}}
			batches := func(yield func([]transfer.Record, error) bool) {
				yield([]transfer.Record{record}, nil)
			}
			return func() error { return moves.Import(w.Ctx(), id, batches) }, func() {
				status, err := moves.Status(w.Ctx())
				w.OK(err, "Status")
				w.Same(status.Records(), int64(1), "the number of records")
			}
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			config := badgerConfig(t)
			backend := openPlugin(t, config)
			w := &suite.World{T: t, Now: suite.Base, Stores: suite.Stores{
				Tickets: backend.Tickets(), Grants: backend.Grants(), Logout: backend.Logout(),
				Properties: backend.Properties(),
			}}
			change, holds := prepare(w, backend.Transfer())
			pid := backend.PID()
			failing, err := testenv.FailSync(t, pid)
			if err != nil {
				t.Fatal(err)
			}
			defer failing.Stop()
			err = change()
			// Both outcomes show in the store: a repeated call finds the change made.
			if errors.Is(err, ticketstore.ErrConflict) || errors.Is(err, logout.ErrOutdated) {
				err = nil
			}
			if !failing.Met() {
				t.Error("no sync has failed")
			}
			if err != nil && !errors.Is(err, ticketstore.ErrUnavailable) {
				t.Errorf("the change during the failed sync: %v", err)
			}
			testenv.Eventually(t, "another plugin", func() bool {
				next := backend.PID()
				return next != 0 && next != pid
			})
			if err != nil { // its outcome is unknown, so it is repeated
				if err := change(); err != nil {
					t.Fatalf("the change, repeated: %v", err)
				}
			}
			holds()
			if err := backend.Close(); err != nil {
				t.Error(err)
			}
			settings, _ := config.Settings.(badger.Settings)
			checkConsistent(t, settings.Path)
		})
	}
}

// consumption uses a grant to store two others.
func consumption(w *suite.World, used grantstore.Grant) (change func() error, holds func()) {
	s := &ticketstore.Session{SessionID: used.SessionID, SubjectID: used.SubjectID}
	next := []grantstore.Grant{
		w.Access(s, used.ClientID, suite.Family(used.RequestID)),
		w.Refresh(s, used.ClientID, suite.Family(used.RequestID)),
	}
	batch := grantstore.Batch{
		OperationID: w.Op(), Consume: &grantstore.Consumption{Ref: used.Ref}, Store: next,
	}
	return func() error { _, err := w.TryApply(batch); return err }, func() {
		w.Used(used)
		w.Live(next...)
	}
}

func checkConsistent(t *testing.T, path string) {
	t.Helper()
	if _, err := os.Stat(path); err != nil {
		t.Fatal(err)
	}
	e, err := badger.Open(t.Context(), badger.Settings{Path: path}, nil)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = e.Close() }()
	report, err := e.Check(t.Context(), badger.CheckConfig{})
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range report.Findings {
		t.Errorf("the database is not consistent: %s", f)
	}
}
