package torture

// The environment of a torture run: users, history and the final check.

import (
	"fmt"
	"net/http"
	"net/url"
	"strings"
	"sync"
	"testing"
	"time"
)

// patience bounds waits on a loaded machine.
const patience = time.Minute

// world is a host with its users and relying parties.
type world struct {
	history *history
	parties *parties
	caller  *caller
	users   []*user
	terms   terms
	// patience bounds the waits of an audit.
	patience time.Duration
}

// newWorld creates users and relying parties; the host is added later.
func newWorld(terms terms) *world {
	h := &history{}
	return &world{history: h, parties: newParties(h), terms: terms, patience: patience}
}

// config returns the configuration of a host with stores in those folders. The first store serves.
func (w *world) config(folders ...string) hostConfig {
	c := hostConfig{
		Stores: map[string]string{}, Serving: storeName(0), Clients: w.parties.clients, Idle: w.terms.idle,
		RenewEach: w.terms.renewEvery,
	}
	for i, folder := range folders {
		c.Stores[storeName(i)] = folder
	}
	return c
}

func storeName(i int) string { return fmt.Sprintf("store-%d", i) }

// populate creates users of the hosts at those addresses.
func (w *world) populate(prefix string, n int, bases ...string) {
	if w.caller == nil {
		w.caller = newCaller(w.history, bases...)
	}
	for i := range n {
		w.users = append(w.users, newUser(w.caller, fmt.Sprintf("%s%d", prefix, i)))
	}
}

func (w *world) close() {
	w.caller.http.CloseIdleConnections()
	w.parties.close()
}

// each runs f for each user, a few concurrently.
func (w *world) each(f func(u *user)) {
	var group sync.WaitGroup
	for _, u := range w.users {
		group.Go(func() { f(u) })
	}
	group.Wait()
}

// audit queries everything known once all users are idle, and again when every session must be over. Its own
// calls are part of the history.
func (w *world) audit(t testing.TB) {
	t.Helper()
	w.parties.behave.Store(true)
	w.each(func(u *user) {
		for _, seen := range u.seen {
			w.caller.find(seen.sid, seen.subject, false, false)
		}
		if u.sid != "" {
			w.caller.authorize(u.sid, u.subject, u.cookie, u.clients[0], false)
		}
		for _, g := range u.grants {
			for _, token := range append([]string{g.access}, g.outdated...) {
				if token != "" {
					w.caller.introspect(g, token)
				}
			}
			if g.refresh != "" {
				u.rotate(g)
			}
		}
	})
	// From here on no session is used.
	last := w.terms.idle + w.terms.slack
	if w.terms.idle >= time.Hour { // too long to wait
		last = 0
		w.each(func(u *user) {
			for _, subject := range u.subjects() {
				w.caller.remove(removeAll, "", subject)
			}
		})
	}
	w.await(t, last+w.patience, "every session's end", func() bool {
		return w.listed("/admin/sessions") == 0
	})
	// The queue of clients that failed may be long, but it must get shorter.
	untold := untold{waiting: map[part]bool{}}
	for left, shorter := untold.count(w.history.all()), true; left > 0 && shorter; {
		before := left
		w.await(t, w.patience, "more clients notified", func() bool {
			w.sendAgain()
			left = untold.count(w.history.all())
			return left < before
		})
		shorter = left < before
	}
	w.each(func(u *user) {
		for _, seen := range u.seen {
			w.caller.find(seen.sid, seen.subject, false, true)
		}
	})
}

// progress waits until that many more calls succeeded.
func (w *world) progress(t *testing.T, n int) {
	from := w.history.good()
	for deadline := time.Now().Add(patience); w.history.good() < from+n; time.Sleep(5 * time.Millisecond) {
		if time.Now().After(deadline) {
			t.Errorf("no progress within %s", patience)
			return
		}
	}
}

// await waits for a condition. If it times out, the checker reports what is missing.
func (w *world) await(t testing.TB, patience time.Duration, what string, condition func() bool) {
	t.Helper()
	for deadline := time.Now().Add(patience); !condition(); time.Sleep(100 * time.Millisecond) {
		if time.Now().After(deadline) {
			if w.patience == time.Minute {
				t.Logf("waited %s without success for %s", patience, what)
			}
			return
		}
	}
}

// listed counts the rows of an admin listing's first page, or returns -1 if the request fails.
func (w *world) listed(path string) int {
	a, _, _ := w.caller.send(http.MethodGet, path, "", nil, nil)
	rows, is := a.body["results"].([]any)
	if !is {
		return -1
	}
	return len(rows)
}

// part is a client's part in a session.
type part struct{ sid, client string }

// untold counts the clients of sessions that were not notified of the end. It processes only events added
// since its last call.
type untold struct {
	read    int
	waiting map[part]bool // false: it was notified
}

func (u *untold) count(events []*event) (n int) {
	for _, e := range events[u.read:] {
		at := part{e.Session, e.Client}
		_, known := u.waiting[at]
		switch {
		case e.Kind == told:
			u.waiting[at] = false
		case e.Kind == authorize && e.Outcome == done && !known:
			u.waiting[at] = true
		}
	}
	u.read = len(events)
	for _, waits := range u.waiting {
		if waits {
			n++
		}
	}
	return n
}

// sendAgain retries all notifications now, like an operator whose clients did not answer for long.
func (w *world) sendAgain() {
	a, _, _ := w.caller.send(http.MethodGet, "/admin/logout/deliveries?state=pending&count_requested=1000",
		"", nil, nil)
	rows, _ := a.body["results"].([]any)
	for _, row := range rows {
		delivery, _ := row.(map[string]any)
		id, _ := delivery["id"].(string)
		if failed, _ := delivery["last_error"].(string); failed != "" {
			sid, _ := delivery["session_id"].(string)
			client, _ := delivery["client_id"].(string)
			w.history.add(event{
				Kind: resent, Start: time.Now(), End: time.Now(), Session: sid, Client: client,
			})
			w.caller.send(http.MethodPost, "/admin/logout/deliveries/"+url.PathEscape(id)+"/retry", "", nil,
				map[string]string{})
		}
	}
}

// report fails the test for each violation and logs a summary of the run.
func (w *world) report(t testing.TB, violations []violation) {
	t.Helper()
	const shown = 20 // of each rule
	counts := map[rule]int{}
	for _, v := range violations {
		if counts[v.rule]++; counts[v.rule] <= shown {
			t.Error(v)
		}
	}
	for which, n := range counts {
		if n > shown {
			t.Errorf("%s: and %d more", which, n-shown)
		}
	}
	t.Log(w.summary())
	if len(violations) > 0 {
		t.Log(w.lifeOf(violations[0].sid))
	}
}

// lifeOf returns all events of a session as text.
func (w *world) lifeOf(sid string) string {
	events := w.history.all()
	subject := ""
	for _, e := range events {
		if e.Session == sid && e.Subject != "" {
			subject = e.Subject
		}
	}
	var life strings.Builder
	for _, e := range events {
		if e.Kind == harm || e.Session == sid || e.Session == "" && e.Subject == subject {
			fmt.Fprintf(&life, "%s +%s %s %s family %d client %s offline %t%s\n",
				e.Start.Format("15:04:05.000"), e.End.Sub(e.Start).Round(time.Millisecond),
				e.Kind, e.Outcome, e.Family, e.Client, e.Offline, e.where())
		}
	}
	return life.String()
}

func (w *world) summary() string {
	counts := map[kind]map[outcome]int{}
	for _, e := range w.history.all() {
		if counts[e.Kind] == nil {
			counts[e.Kind] = map[outcome]int{}
		}
		counts[e.Kind][e.Outcome]++
	}
	return fmt.Sprint(counts)
}
