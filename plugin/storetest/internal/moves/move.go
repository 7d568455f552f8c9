package moves

// Rule 12: moves while the source serves.

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/fosite-sessions/sessions/grantstore"
	"github.com/fosite-sessions/sessions/logout"
	"github.com/fosite-sessions/sessions/plugin/transfer"
	"github.com/fosite-sessions/sessions/ticketstore"
)

var moveCases = []moveCase{
	{"an empty store moves", func(p *pair) { p.moved() }},
	{"sessions keep their version, cookie, ticket and clients", func(p *pair) {
		s := p.SignIn("ann")
		s = p.Renew(s, 2*time.Hour)
		p.Uses(s, "photos", "mail")
		clients := p.Find(s)
		p.moved()
		p.Same(p.Get(s), s, "session")
		p.Same(p.Find(s), clients, "its clients")
		p.Renew(s, 3*time.Hour)
		p.Same(p.SIDs(ticketstore.SessionFilter{ClientID: "mail"}), []string{s.SessionID},
			"sessions of the client")
	}},
	{"totals are right after a move", func(p *pair) {
		p.Each(p.Rows, func(i int) error {
			return p.Tickets.Create(p.Ctx(), p.Session(fmt.Sprintf("s%d", i%7)))
		})
		p.moved()
		page := p.Query(ticketstore.SessionQuery{})
		if page.TotalCount != p.Rows {
			p.Fatalf("total %v, want %d", page.TotalCount, p.Rows)
		}
	}},
	{"grants stay live, die and can be used as before", func(p *pair) {
		s := p.SignIn("ann")
		code, used := p.Stored(p.Code(s, "photos")), p.Stored(p.Code(s, "photos"))
		refresh, access := p.Stored(p.Refresh(s, "photos")), p.Stored(p.Access(s, "photos"))
		consent := p.Stored(p.Consent("ann", "photos"))
		p.Consume(used)
		p.moved()
		p.Live(code, refresh, access, consent)
		p.Used(used)
		p.CannotConsume(used, grantstore.ErrConsumed)
		p.Consume(code)
		p.End(logout.Ending{SessionID: s.SessionID})
		p.Dead(refresh, access)
	}},
	{"used refresh tokens keep their grace, and lines keep their access tokens", func(p *pair) {
		s := p.SignIn("ann")
		repeated, once := p.Stored(p.Refresh(s, "photos")), p.Stored(p.Refresh(s, "photos"))
		use := func(g grantstore.Grant, grace time.Duration) (access, refresh grantstore.Grant) {
			access, refresh = p.Access(s, "photos"), p.Refresh(s, "photos")
			p.Apply(grantstore.Batch{
				Consume: &grantstore.Consumption{Ref: g.Ref, Grace: grace},
				Store:   []grantstore.Grant{access, refresh},
			})
			return access, refresh
		}
		access1, refresh1 := use(repeated, time.Hour)
		access2, _ := use(repeated, time.Hour)
		use(once, 0)
		p.moved()
		access3, _ := use(repeated, time.Hour)
		access4, _ := use(refresh1, 0)
		p.Missing(access1)
		p.Live(access2, access3, access4)
		p.CannotConsume(once, grantstore.ErrConsumed)
		p.Pass(59 * time.Minute)
		p.PurgeGrants()
		found, err := p.GrantErr(repeated)
		p.Fails(err, "Get the used refresh token", grantstore.ErrConsumed)
		p.Same(found.Grant.Data, repeated.Data, "its data within the grace")
		p.End(logout.Ending{SessionID: s.SessionID})
		p.Dead(repeated, once, access2, access3, access4)
	}},
	{"survivors still outlive their session, and nothing else does", func(p *pair) {
		s := p.SignIn("ann")
		access, offline := p.Access(s, "photos"), p.Refresh(s, "photos")
		offline.Offline = true
		access, offline = p.Stored(access), p.Stored(offline)
		p.End(logout.Ending{SessionID: s.SessionID, Reason: logout.UserLogout, KeepOffline: true})
		p.moved()
		p.SessionGone(s)
		p.Live(offline)
		p.Dead(access)
		p.Fails(p.Tickets.Create(p.Ctx(), s), "sign in with the sid of an ended session",
			ticketstore.ErrExists)
	}},
	{"an operation has the same answer on either side", func(p *pair) {
		s := p.SignIn("ann")
		code := p.Stored(p.Code(s, "photos"))
		batch := grantstore.Batch{OperationID: p.Op(), Consume: &grantstore.Consumption{Ref: code.Ref}}
		p.Apply(batch)
		ending := logout.Ending{OperationID: p.Op(), SessionID: s.SessionID}
		want := p.End(ending)
		p.moved()
		p.Apply(batch)
		p.Same(p.End(ending), want, "the answer to the ending")
		p.PurgeGrants()
	}},
	{"claims do not move: a late answer changes nothing", func(p *pair) {
		s := p.SignIn("ann")
		p.Uses(s, "photos")
		p.Pass(time.Hour / 2)
		p.End(logout.Ending{SessionID: s.SessionID})
		claimed := p.ClaimOne()
		p.moved()
		err := p.Logout.Settle(p.Ctx(), claimed.ID, claimed.Claim, logout.Outcome{State: logout.Delivered},
			p.Now)
		p.Fails(err, "settle under a claim from before the move", logout.ErrOutdated)
		again := p.ClaimOne()
		if again.ID != claimed.ID || again.Claim <= claimed.Claim {
			p.Fatalf("claim %d of %s, want a later one than %d of %s", again.Claim, again.ID, claimed.Claim,
				claimed.ID)
		}
		p.Settle(again, logout.Outcome{State: logout.Delivered})
	}},
	{"properties move too", func(p *pair) {
		p.OK(p.Properties.SetProperty(p.Ctx(), "issuer", nil, []byte("https://a.example")), "set a property")
		move := p.move()
		move.BeforeFence = func(ctx context.Context) error {
			return p.Properties.SetProperty(ctx, "canary", nil, []byte{0, 0xff})
		}
		p.OK(move.Run(p.Ctx()), "move")
		p.alike()
		p.use(p.target)
		for name, want := range map[string]string{"issuer": "https://a.example", "canary": "\x00\xff"} {
			got, err := p.Properties.Property(p.Ctx(), name)
			p.OK(err, "read a property")
			p.Same(string(got), want, name)
		}
		p.OK(p.Properties.SetProperty(p.Ctx(), "issuer", []byte("https://a.example"),
			[]byte("https://b.example")), "change it")
	}},
	{"sessions fall due after a move", func(p *pair) {
		s := p.SignIn("ann")
		p.moved()
		p.Pass(2 * time.Hour)
		if n := p.Sweep(logout.Sweep{Limit: 10}); n != 1 {
			p.Fatalf("a sweep ended %d sessions, want one", n)
		}
		p.SessionGone(s)
	}},
	{"a walk continues after a move", func(p *pair) {
		var want []string
		for range 5 {
			s := p.SignIn("ann")
			want = append(want, s.SessionID)
			p.Stored(p.Access(s, "photos"))
			p.Pass(time.Second)
		}
		sessions := p.Query(ticketstore.SessionQuery{Count: 2, Order: ticketstore.Ascending})
		tokens, err := p.Grants.Query(p.Ctx(), grantstore.Query{Count: 2, Order: ticketstore.Ascending},
			p.Now)
		p.OK(err, "query grants")
		p.moved()
		next := p.Query(ticketstore.SessionQuery{Count: 5, ResultsToken: sessions.ResultsToken})
		var sids []string
		for i := range next.Sessions {
			sids = append(sids, next.Sessions[i].SessionID)
		}
		p.Same(sids, want[2:], "sessions after the move")
		rest, err := p.Grants.Query(p.Ctx(), grantstore.Query{Count: 5, ResultsToken: tokens.ResultsToken},
			p.Now)
		p.OK(err, "query grants after the move")
		sids = nil
		for i := range rest.Grants {
			sids = append(sids, rest.Grants[i].SessionID)
		}
		p.Same(sids, want[2:], "grants after the move")
	}},
	{"no concurrent write is lost", moveUnderWrites},
	{"an aborted move leaves the source unchanged", func(p *pair) {
		s := p.SignIn("ann")
		before := p.status(p.source).Content
		ctx, cancel := context.WithCancel(p.Ctx())
		m := p.move()
		m.BeforeFence = func(context.Context) error { cancel(); return nil }
		p.Fails(m.Run(ctx), "an aborted move", context.Canceled)
		p.is(p.source, transfer.Active)
		p.is(p.target, transfer.Abandoned)
		p.Same(p.status(p.source).Content, before, "content of the source")
		p.Renew(s, 2*time.Hour)
		p.moved() // an abandoned target may be filled again
		p.SessionLives(s)
	}},
	{"a target with records is refused and unchanged", func(p *pair) {
		p.SignIn("ann")
		p.use(p.target)
		s := p.SignIn("bob")
		p.Fails(p.move().Run(p.Ctx()), "a move to a non-empty store", transfer.ErrNotEmpty)
		p.is(p.source, transfer.Active)
		p.is(p.target, transfer.Active)
		p.SessionLives(s)
	}},
	{"a target of an older version is refused and nothing changes", func(p *pair) {
		p.SignIn("ann")
		m := p.move()
		m.Source = newer{p.source.Transfer}
		p.Fails(m.Run(p.Ctx()), "a move to an older store", transfer.ErrOlder)
		p.is(p.source, transfer.Active)
		p.is(p.target, transfer.Active)
	}},
	{"a copy that differs is abandoned", func(p *pair) {
		p.SignIn("ann")
		m := p.move()
		m.BeforeFence = func(ctx context.Context) error {
			return p.importAll([]transfer.Record{{Kind: transfer.Purges, Key: []byte("smuggled")}})
		}
		p.Fails(m.Run(p.Ctx()), "a move with an added record", transfer.ErrMismatch)
		p.is(p.source, transfer.Active)
		p.SignIn("bob")
	}},
}

// newer is a store with a newer record version.
type newer struct{ transfer.Store }

func (n newer) Status(ctx context.Context) (*transfer.Status, error) {
	status, err := n.Store.Status(ctx)
	if status != nil {
		status.RecordVersion++
	}
	return status, err
}

// moveUnderWrites runs writers that create, use and end sessions on the writable store.
func moveUnderWrites(p *pair) {
	const (
		writers = 8
		// pause is the pause between two writes: without it a source in memory always outruns a target on
		// disk.
		pause = 2 * time.Millisecond
	)
	p.Each(p.Rows, func(int) error { return p.Tickets.Create(p.Ctx(), p.Session("before")) })
	var mu sync.Mutex
	live, ended := map[string]bool{}, map[string]bool{}
	stop, begun := make(chan struct{}), make(chan struct{})
	var once sync.Once
	deadline := time.Now().Add(time.Minute)
	write := func(f func(b Fixture) error) error {
		for b := p.source; ; {
			err := f(b)
			if !errors.Is(err, ticketstore.ErrUnavailable) || time.Now().After(deadline) {
				return err
			}
			if b = p.target; errors.Is(err, transfer.ErrFenced) {
				continue
			}
			time.Sleep(time.Millisecond) // until the target serves
		}
	}
	turn := func(i int) error {
		s := p.Session(fmt.Sprintf("writer %d", i))
		if err := write(func(b Fixture) error { return b.Tickets.Create(p.Ctx(), s) }); err != nil {
			return fmt.Errorf("sign in: %w", err)
		}
		code := p.Code(s, "photos")
		batch := &grantstore.Batch{OperationID: p.Op(), Store: []grantstore.Grant{code}}
		if err := write(func(b Fixture) error {
			_, err := b.Grants.Apply(p.Ctx(), batch, p.Now)
			return err
		}); err != nil {
			return fmt.Errorf("store: %w", err)
		}
		end := i%2 == 0
		if end {
			ending := &logout.Ending{OperationID: p.Op(), SessionID: s.SessionID, Reason: logout.Terminated}
			if err := write(func(b Fixture) error {
				_, err := b.Logout.End(p.Ctx(), ending, p.Now)
				return err
			}); err != nil {
				return fmt.Errorf("end: %w", err)
			}
		}
		mu.Lock()
		defer mu.Unlock()
		if end {
			ended[s.SessionID] = true
		} else {
			live[s.SessionID] = true
		}
		if len(live) > writers && len(ended) > writers {
			once.Do(func() { close(begun) })
		}
		return nil
	}
	var wg sync.WaitGroup
	errs := make([]error, writers)
	for i := range writers {
		wg.Go(func() {
			for errs[i] == nil {
				select {
				case <-stop:
					return
				case <-time.After(pause):
					errs[i] = turn(i)
				}
			}
		})
	}
	move := p.move()
	move.BeforeFence = func(ctx context.Context) error {
		// The move may end before the first write.
		select {
		case <-begun:
		case <-time.After(time.Until(deadline)):
		case <-ctx.Done():
		}
		return ctx.Err()
	}
	err := move.Run(p.Ctx())
	close(stop)
	wg.Wait()
	p.OK(errors.Join(append(errs, err)...), "move and write")
	p.is(p.target, transfer.Active)
	p.use(p.target)
	found := map[string]bool{}
	for _, sid := range p.SIDs(ticketstore.SessionFilter{}) {
		found[sid] = true
	}
	for sid := range live {
		if !found[sid] {
			p.Errorf("session %s was acknowledged and is lost", sid)
		}
	}
	for sid := range ended {
		if found[sid] {
			p.Errorf("session %s was ended and is live again", sid)
		}
	}
	if len(live)+len(ended) == 0 {
		p.Error("no write succeeded")
	}
}
