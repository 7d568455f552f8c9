package torture

// A user: signs in, uses tokens, signs out.

import (
	"context"
	"fmt"
	"math/rand/v2"
	"net/http"
	"strings"
	"sync"
)

// user makes random calls of users, clients and operators, with one browser. The calls of one step may be
// concurrent; steps are sequential.
type user struct {
	caller  *caller
	clients []string
	name    string
	subject string
	renamed int
	// brief: sessions end immediately after they began.
	brief bool
	// sid and cookie belong to the browser's session; they are empty if there is none.
	sid, cookie string
	// grants are the last authorizations, also of ended sessions.
	grants []*grant
	// ended are the sids of ended sessions.
	ended []string
	// seen are all acknowledged sessions.
	seen []seenSession
}

type seenSession struct{ sid, subject string }

const remembered = 12

func newUser(c *caller, name string) *user {
	return &user{caller: c, clients: []string{"shop", "mail", "photos", "mute"}, name: name, subject: name}
}

func (u *user) run(ctx context.Context) {
	for ctx.Err() == nil {
		u.moment()
	}
}

// choose returns a random index, weighted.
func choose(weights ...int) int {
	sum := 0
	for _, w := range weights {
		sum += w
	}
	n := rand.IntN(sum)
	for i, w := range weights {
		if n -= w; n < 0 {
			return i
		}
	}
	return 0
}

func (u *user) moment() {
	if u.sid == "" {
		u.signIn()
		return
	}
	if u.brief {
		u.authorize()
		u.end(choose(2, 1, 1))
		return
	}
	switch kind := choose(22, 24, 18, 7, 4, 4, 3, 3, 3, 2, 2, 3, 1); kind {
	case 0:
		u.authorize()
	case 1:
		u.probe()
	case 2:
		u.refresh()
	case 3:
		u.caller.find(u.sid, u.subject, rand.IntN(2) == 0, false)
	case 4:
		u.twice()
	case 5:
		u.reuse()
	case 6, 7, 8:
		u.end(kind - 6)
	case 9:
		u.replace()
	case 10:
		u.stepUp()
	case 11:
		u.race()
	case 12:
		u.over() // the session is left to expire
	}
	if len(u.ended) > 0 && rand.IntN(20) == 0 {
		u.caller.find(u.ended[rand.IntN(len(u.ended))], "", false, false)
	}
}

// end ends the session in one of three ways.
func (u *user) end(way int) {
	switch way {
	case 0:
		u.caller.remove(removeOne, u.sid, u.subject)
		u.over()
	case 1:
		u.removeAll()
	case 2:
		u.signOut()
	}
}

// over moves the session to the ended ones, for later probes.
func (u *user) over() {
	u.ended = append(u.ended, u.sid)
	if len(u.ended) > remembered {
		u.ended = u.ended[1:]
	}
	u.sid, u.cookie = "", ""
}

// rename gives the user a new subject: unknown outcomes of the old one would make later checks inconclusive.
func (u *user) rename() {
	u.renamed++
	u.subject = renamed(u.name, u.renamed)
}

func (u *user) began(sid, cookie string) {
	u.sid, u.cookie = sid, cookie
	u.seen = append(u.seen, seenSession{sid, u.subject})
}

func (u *user) signIn() {
	sid, cookie, start, end, a := u.caller.login(u.subject, "")
	e := event{Kind: signIn, Session: sid, Subject: u.subject}
	if u.caller.record(e, a, start, end, sid != "", false) == done {
		u.began(sid, cookie)
	}
}

func (u *user) stepUp() {
	sid, cookie, start, end, a := u.caller.login(u.subject, u.cookie)
	if sid != "" && sid != u.sid { // it had ended before: a new session
		u.caller.record(event{Kind: signIn, Session: sid, Subject: u.subject}, a, start, end, true, false)
		u.over()
		u.began(sid, cookie)
		return
	}
	if u.caller.record(event{Kind: stepUp, Session: u.sid, Subject: u.subject}, a, start, end, sid != "",
		false) != done {
		u.over()
		return
	}
	u.cookie = cookie
}

// replace signs a different subject in over the session.
func (u *user) replace() {
	old, subject := u.sid, u.subject
	cookie := u.cookie
	u.over()
	u.rename()
	sid, fresh, start, end, a := u.caller.login(u.subject, cookie)
	u.caller.record(event{Kind: replaced, Session: old, Subject: subject}, a, start, end, sid != "", false)
	if sid != "" {
		u.caller.record(event{Kind: signIn, Session: sid, Subject: u.subject}, a, start, end, true, false)
		u.began(sid, fresh)
	}
}

func (u *user) signOut() {
	a, start, end := u.caller.send(http.MethodPost, "/sign-out", u.cookie, nil, nil)
	u.caller.record(event{Kind: signOut, Session: u.sid, Subject: u.subject}, a, start, end,
		a.status == http.StatusOK, false)
	u.over()
}

func (u *user) removeAll() {
	got := u.caller.remove(removeAll, "", u.subject)
	u.over()
	if got != done {
		u.rename()
	}
}

// subjects are all subjects of the user.
func (u *user) subjects() []string {
	all := []string{u.name}
	for i := range u.renamed {
		all = append(all, renamed(u.name, i+1))
	}
	return all
}

func renamed(name string, times int) string { return fmt.Sprintf("%s.%d", name, times) }

// authorize requests a code and usually redeems it.
func (u *user) authorize() {
	client := u.clients[rand.IntN(len(u.clients))]
	g, got := u.caller.authorize(u.sid, u.subject, u.cookie, client, rand.IntN(3) == 0)
	if got == refused {
		u.over()
	}
	if g == nil {
		return
	}
	u.grants = append(u.grants, g)
	if len(u.grants) > remembered {
		u.grants = u.grants[1:]
	}
	if rand.IntN(10) > 0 {
		u.redeem(g)
	}
}

func (u *user) redeem(g *grant) {
	code := g.code
	g.code = ""
	if access, fresh, got := u.caller.issue(exchange, g, code); got == done {
		g.access, g.refresh, g.used = access, fresh, append(g.used, "code:"+code)
	}
}

func (u *user) any() *grant {
	if len(u.grants) == 0 {
		return nil
	}
	return u.grants[rand.IntN(len(u.grants))]
}

// probe introspects a token, often one that should be dead.
func (u *user) probe() {
	g := u.any()
	switch {
	case g == nil:
	case len(g.outdated) > 0 && rand.IntN(3) == 0:
		u.caller.introspect(g, g.outdated[rand.IntN(len(g.outdated))])
	case g.access != "":
		u.caller.introspect(g, g.access)
	case g.code != "":
		u.redeem(g)
	}
}

func (u *user) refresh() {
	if g := u.any(); g != nil && g.refresh != "" {
		u.rotate(g)
	}
}

// rotate uses a refresh token. If the outcome is unknown, the family's state is unknown: its tokens are kept
// for probing.
func (u *user) rotate(g *grant) {
	access, fresh, got := u.caller.issue(refresh, g, g.refresh)
	switch got {
	case done:
		g.used, g.outdated = append(g.used, g.refresh), append(g.outdated, g.access)
		g.access, g.refresh = access, fresh
	case unknown, wrong:
		g.refresh = ""
	}
}

// twice uses a refresh token twice concurrently.
func (u *user) twice() {
	g := u.any()
	if g == nil || g.refresh == "" {
		return
	}
	token := g.refresh
	g.refresh = ""
	var group sync.WaitGroup
	for range 2 {
		group.Go(func() { u.caller.issue(refresh, g, token) })
	}
	group.Wait()
}

// reuse uses a used code or refresh token.
func (u *user) reuse() {
	g := u.any()
	if g == nil || len(g.used) == 0 {
		return
	}
	token, k := g.used[rand.IntN(len(g.used))], refresh
	if code, is := strings.CutPrefix(token, "code:"); is {
		token, k = code, exchange
	}
	u.caller.issue(k, g, token)
}

// race runs a removal concurrently with an exchange, a refresh and an authorization.
func (u *user) race() {
	var group sync.WaitGroup
	code, _ := u.caller.authorize(u.sid, u.subject, u.cookie, u.clients[0], false)
	live := u.any()
	sid, subject, cookie := u.sid, u.subject, u.cookie
	group.Go(func() { u.caller.remove(removeOne, sid, subject) })
	if code != nil {
		group.Go(func() { u.redeem(code) })
	}
	if live != nil && live.refresh != "" {
		group.Go(func() { u.rotate(live) })
	}
	group.Go(func() { u.caller.authorize(sid, subject, cookie, u.clients[1], true) })
	group.Wait()
	if code != nil {
		u.grants = append(u.grants, code)
	}
	u.over()
}
