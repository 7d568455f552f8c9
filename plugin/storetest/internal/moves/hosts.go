package moves

// Rule 14: nothing that other hosts would not follow, or be told of, happens to a store that they have open.

import (
	"context"
	"strings"

	"github.com/fosite-sessions/sessions/plugin/transfer"
	"github.com/fosite-sessions/sessions/ticketstore"
)

var hostCases = []moveCase{
	{"a store that another host has open is not moved, until that one has left", func(p *pair) {
		s := p.SignIn("ann")
		leave := p.source.Join()
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
	{"a host that joins under way ends the move before the fence", func(p *pair) {
		p.SignIn("ann")
		move := p.move()
		move.BeforeFence = func(context.Context) error {
			p.Cleanup(p.source.Join())
			return nil
		}
		p.Fails(move.Run(p.Ctx()), "move", transfer.ErrHosts)
		p.is(p.source, transfer.Active)
		p.is(p.target, transfer.Abandoned)
		p.SignIn("bob")
	}},
	{"what was made before another host joined succeeds again, and is undone", func(p *pair) {
		p.become(p.source, transfer.Exporting)
		p.become(p.source, transfer.Fenced)
		defer p.source.Join()()
		p.become(p.source, transfer.Fenced)
		p.fenced(p.Tickets.Create(p.Ctx(), p.Session("ann")), "a write behind the fence")
		p.become(p.source, transfer.Active)
		p.SignIn("ann")
	}},
	{"an empty store that another host has open is not filled", func(p *pair) {
		leave := p.source.Join()
		p.Fails(p.tryBecome(p.source, transfer.Importing), "fill", transfer.ErrHosts)
		p.is(p.source, transfer.Active)
		leave()
		p.become(p.source, transfer.Importing)
		defer p.source.Join()()
		p.become(p.source, transfer.Abandoned)
		p.become(p.source, transfer.Importing)
		p.become(p.source, transfer.Active)
		_, err := p.Tickets.Get(p.Ctx(), p.Session("ann").Key)
		p.Fails(err, "read from the filled store", ticketstore.ErrNotFound)
	}},
}
