package moves

// Rule 14: a store that other hosts have open is only changed in ways that they follow or learn of.

import (
	"context"
	"strings"
	"sync"

	"github.com/fosite-sessions/sessions/grantstore"
	"github.com/fosite-sessions/sessions/plugin/transfer"
	"github.com/fosite-sessions/sessions/ticketstore"
)

var hostCases = []moveCase{
	{"a store that another host has open is not moved until that host leaves", func(p *pair) {
		s := p.SignIn("ann")
		_, leave := p.source.Join()
		others := p.status(p.source).Others
		if len(others) != 1 || others[0].Name == "" || others[0].Version == "" || others[0].Beat.IsZero() {
			p.Fatalf("the other hosts are %+v, want one with name, version and beat", others)
		}
		err := p.move().Run(p.Ctx())
		p.Fails(err, "move", transfer.ErrHosts)
		if !strings.Contains(err.Error(), others[0].Name+" (version "+others[0].Version+", last beat ") {
			p.Errorf("the error is %q, want one that names %+v", err, others[0])
		}
		p.is(p.source, transfer.Active)
		p.SignIn("bob")
		leave()
		p.moved()
		p.SessionLives(s)
	}},
	{"a host that joins during a move ends it before the fence", func(p *pair) {
		p.SignIn("ann")
		move := p.move()
		move.BeforeFence = func(context.Context) error {
			_, leave := p.source.Join()
			p.Cleanup(leave)
			return nil
		}
		p.Fails(move.Run(p.Ctx()), "move", transfer.ErrHosts)
		p.is(p.source, transfer.Active)
		p.is(p.target, transfer.Abandoned)
		p.SignIn("bob")
	}},
	{"a step made before another host joined can be repeated, and undone", func(p *pair) {
		p.become(p.source, transfer.Exporting)
		p.become(p.source, transfer.Fenced)
		_, leave := p.source.Join()
		defer leave()
		p.become(p.source, transfer.Fenced)
		p.fenced(p.Tickets.Create(p.Ctx(), p.Session("ann")), "a write after the fence")
		p.become(p.source, transfer.Active)
		p.SignIn("ann")
	}},
	{"an empty store that another host has open is not filled", func(p *pair) {
		_, leave := p.source.Join()
		p.Fails(p.tryBecome(p.source, transfer.Importing), "fill", transfer.ErrHosts)
		p.is(p.source, transfer.Active)
		leave()
		p.become(p.source, transfer.Importing)
		other, leave := p.source.Join()
		defer leave()
		p.Fails(other.Transfer.Become(p.Ctx(),
			transfer.Transition{To: transfer.Importing, ID: "another"}), "fill what another host fills",
			transfer.ErrHosts)
		p.become(p.source, transfer.Abandoned)
		p.become(p.source, transfer.Importing)
		p.become(p.source, transfer.Active)
		_, err := p.Tickets.Get(p.Ctx(), p.Session("ann").Key)
		p.Fails(err, "read from the filled store", ticketstore.ErrNotFound)
	}},
	{"all hosts follow a move to a shared store", func(p *pair) {
		s := p.SignIn("ann")
		token := p.Stored(p.Access(s, "photos"))
		other, leave := p.source.Join()
		defer leave()
		late := p.Session("bob")
		move := p.followed()
		move.BeforeFence = func(ctx context.Context) error {
			p.OK(other.Tickets.Create(ctx, late), "a sign-in at the other host")
			return nil
		}
		p.OK(move.Run(p.Ctx()), "move")
		p.alike()
		for _, host := range []Fixture{p.source, other} {
			p.unread(host, s, token.Ref)
			p.fenced(host.Tickets.Create(p.Ctx(), p.Session("cid")), "a sign-in on the replaced store")
			status := p.status(host)
			if status.Peer != "new" || status.PeerStore != move.TargetStore {
				p.Errorf("the replaced store names %q of %q, want new of %q", status.Peer,
					status.PeerStore, move.TargetStore)
			}
			p.leads(host, "new")
		}
		p.use(p.target)
		p.SessionLives(s)
		p.SessionLives(late)
		p.Live(token)
	}},
	{"a host that finds a fence waits until the other host has completed the move", func(p *pair) {
		p.SignIn("ann")
		other, leave := p.source.Join()
		defer leave()
		p.fence()
		led := p.recovering(other)
		p.become(p.target, transfer.Active)
		p.OK(p.source.Transfer.Become(p.Ctx(), p.turn(transfer.Superseded)), "become superseded")
		p.Same(<-led, "new", "the store that the other host is directed to")
	}},
	{"a host that finds a fence continues if it is lifted", func(p *pair) {
		s := p.SignIn("ann")
		other, leave := p.source.Join()
		defer leave()
		p.fence()
		led := p.recovering(other)
		p.become(p.target, transfer.Abandoned)
		p.become(p.source, transfer.Active)
		p.Same(<-led, "", "the store that the other host is directed to")
		_, err := other.Tickets.Get(p.Ctx(), s.Key)
		p.OK(err, "read at the other host")
	}},
	{"a host that starts during the copy of another host does not interfere", func(p *pair) {
		other, leave := p.source.Join()
		defer leave()
		p.OK(p.source.Transfer.Become(p.Ctx(), p.turn(transfer.Exporting)), "export")
		p.leads(other, "")
		p.is(p.source, transfer.Exporting)
	}},
	{"of two hosts that begin to move a store one is refused, and changes nothing", func(p *pair) {
		s := p.SignIn("ann")
		other, leave := p.source.Join()
		defer leave()
		first, second := p.followed(), p.followed()
		second.Source, second.ID = other.Transfer, "move-2"
		first.BeforeFence = func(ctx context.Context) error {
			p.Fails(second.Run(ctx), "the second move", transfer.ErrState)
			return nil
		}
		p.OK(first.Run(p.Ctx()), "the first move")
		p.alike()
		p.use(p.target)
		p.SessionLives(s)
	}},
}

// followed returns a move that other hosts follow.
func (p *pair) followed() *transfer.Move {
	move := p.move()
	move.TargetStore, move.Followed = "the id of the target", true
	return move
}

// turn returns a step of the source in such a move.
func (p *pair) turn(to transfer.State) transfer.Transition {
	return transfer.Transition{To: to, ID: moveID, Peer: "new", Followed: true}
}

// fence advances such a move to its fence.
func (p *pair) fence() {
	p.Helper()
	p.OK(p.source.Transfer.Become(p.Ctx(), p.turn(transfer.Exporting)), "export")
	p.become(p.target, transfer.Importing)
	p.OK(p.importAll(p.export(p.source, nil)), "import")
	p.OK(p.source.Transfer.Become(p.Ctx(), p.turn(transfer.Fenced)), "fence")
}

// recovering starts a host's search for the serving store, and returns when the host asks for the target.
func (p *pair) recovering(host Fixture) (led <-chan string) {
	opened, answer, once := make(chan struct{}), make(chan string, 1), sync.Once{}
	go func() {
		follow, err := transfer.Recover(p.Ctx(), host.Transfer,
			func(ctx context.Context, name string) (transfer.Store, error) {
				once.Do(func() { close(opened) })
				return p.open(ctx, name)
			})
		if err != nil {
			p.Errorf("recover: %v", err)
		}
		answer <- follow
	}()
	<-opened
	return answer
}

// leads ends the case unless a host is directed to the store of that name.
func (p *pair) leads(host Fixture, want string) {
	p.Helper()
	got, err := transfer.Recover(p.Ctx(), host.Transfer, p.open)
	p.OK(err, "recover")
	p.Same(got, want, "the store that a host is directed to")
}

// unread ends the case unless reads of a session and of a token are ErrFenced.
func (p *pair) unread(b Fixture, s *ticketstore.Session, token grantstore.Ref) {
	p.Helper()
	for name, read := range map[string]func(ctx context.Context) error{
		"Get": func(ctx context.Context) error { _, err := b.Tickets.Get(ctx, s.Key); return err },
		"Find": func(ctx context.Context) error {
			_, err := b.Tickets.Find(ctx, s.SessionID)
			return err
		},
		"Query": func(ctx context.Context) error {
			_, err := b.Tickets.Query(ctx, ticketstore.SessionQuery{})
			return err
		},
		"Get a grant": func(ctx context.Context) error {
			_, err := b.Grants.Get(ctx, token, p.Now)
			return err
		},
		"Property": func(ctx context.Context) error {
			_, err := b.Properties.Property(ctx, "issuer")
			return err
		},
	} {
		p.fenced(read(p.Ctx()), name)
	}
}
