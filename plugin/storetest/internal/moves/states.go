package moves

// Rule 12: journal, fence, states, and recovery after an interrupted move.

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/fosite-sessions/sessions/grantstore"
	"github.com/fosite-sessions/sessions/logout"
	"github.com/fosite-sessions/sessions/plugin/transfer"
	"github.com/fosite-sessions/sessions/ticketstore"
)

var journalCases = []moveCase{
	{"changed and deleted rows are listed until they are acknowledged", func(p *pair) {
		kept, gone := p.SignIn("ann"), p.SignIn("bob")
		p.become(p.source, transfer.Exporting)
		kept = p.Renew(kept, 2*time.Hour)
		p.End(logout.Ending{SessionID: gone.SessionID})
		changes := p.changes(0, 1000)
		want := map[string]bool{kept.SessionID: false, gone.SessionID: true}
		for _, r := range changes.Records {
			if r.Kind != transfer.Sessions {
				continue
			}
			deleted, named := want[string(r.Key)]
			if !named || deleted != r.Deleted || deleted != (r.Data == nil) {
				p.Errorf("session %s: deleted %t, data %t", r.Key, r.Deleted, r.Data != nil)
			}
			delete(want, string(r.Key))
		}
		if len(want) > 0 {
			p.Errorf("the journal does not list %v", want)
		}
		if again := p.changes(changes.Through, 1000); len(again.Records) != 0 || again.Left != 0 {
			p.Errorf("%d records and %d left after all were acknowledged", len(again.Records), again.Left)
		}
	}},
	{"changes come in batches", func(p *pair) {
		p.become(p.source, transfer.Exporting)
		for range 20 {
			p.SignIn("ann")
		}
		seen := 0
		for through, left := uint64(0), uint64(1); left > 0; {
			c := p.changes(through, 7)
			if len(c.Records) == 0 || len(c.Records) > 7 {
				p.Fatalf("%d records, want 1 to 7", len(c.Records))
			}
			seen, through, left = seen+len(c.Records), c.Through, c.Left
		}
		if seen != 20 {
			p.Errorf("%d records, want 20", seen)
		}
	}},
	{"large changes come in answers that fit into a message", func(p *pair) {
		const grants = 100
		s := p.SignIn("ann")
		p.become(p.source, transfer.Exporting)
		for range grants {
			g := p.Access(s, "photos")
			g.Data = make([]byte, grantstore.MaxData)
			p.Stored(g)
		}
		seen := 0
		for through, left := uint64(0), uint64(1); left > 0; {
			c := p.changes(through, 1000)
			size := 0
			for _, r := range c.Records {
				size += len(r.Data)
				if r.Kind == transfer.Grants {
					seen++
				}
			}
			if size > 8*transfer.MaxBatchBytes {
				p.Fatalf("an answer of %d bytes", size)
			}
			through, left = c.Through, c.Left
		}
		p.Same(seen, grants, "grants")
	}},
	{"nothing is journaled without an export", func(p *pair) {
		p.become(p.source, transfer.Exporting)
		p.SignIn("ann")
		p.become(p.source, transfer.Active)
		p.Same(p.status(p.source).Left, uint64(0), "journal entries without a move")
		p.SignIn("ann")
		_, err := p.source.Transfer.Changes(p.Ctx(), moveID, 0, 10)
		p.Fails(err, "changes without an export", transfer.ErrState)
		p.OK(p.source.Transfer.Become(p.Ctx(),
			transfer.Transition{To: transfer.Exporting, ID: "move-2", Peer: "new"}), "export again")
		c, err := p.source.Transfer.Changes(p.Ctx(), "move-2", p.status(p.source).Journaled, 10)
		p.OK(err, "changes")
		if len(c.Records) != 0 {
			p.Errorf("%d changes of a different move", len(c.Records))
		}
	}},
	{"an export is one snapshot under concurrent writes", func(p *pair) {
		first := p.SignIn("ann")
		p.Each(2*p.Rows, func(int) error { return p.Tickets.Create(p.Ctx(), p.Session("ann")) })
		before := p.status(p.source).Content
		seen, batches := contentOf(nil), 0
		for batch, err := range p.source.Transfer.Export(p.Ctx(), nil) {
			p.OK(err, "Export")
			for i := range batch.Records {
				seen.add(&batch.Records[i])
			}
			if batches++; batches == 1 {
				p.End(logout.Ending{SessionID: first.SessionID})
				p.Stored(p.Refresh(p.SignIn("bob"), "photos"))
			}
		}
		p.Same(map[transfer.Kind]transfer.Content(seen), before,
			"the export, compared to the earlier contents")
	}},
	{"an export continues after a position", func(p *pair) {
		p.Each(p.Rows, func(int) error { return p.Tickets.Create(p.Ctx(), p.Session("ann")) })
		p.End(logout.Ending{SubjectID: "nobody"})
		all := p.export(p.source, nil)
		n := 0
		for batch, err := range p.source.Transfer.Export(p.Ctx(), nil) {
			p.OK(err, "export")
			n += len(batch.Records)
			rest := p.export(p.source, batch.Position)
			if len(rest) != len(all)-n || (len(rest) > 0 && !bytes.Equal(rest[0].Key, all[n].Key)) {
				p.Fatalf("%d records after the first %d of %d", len(rest), n, len(all))
			}
		}
	}},
}

func (p *pair) changes(after uint64, limit int) *transfer.Changes {
	p.Helper()
	c, err := p.source.Transfer.Changes(p.Ctx(), moveID, after, limit)
	p.OK(err, "Changes")
	return c
}

var fenceCases = []moveCase{
	{"a fenced store refuses writes, and also reads if it is shared", func(p *pair) {
		s := p.SignIn("ann")
		p.Uses(s, "photos")
		token := p.Stored(p.Access(s, "photos"))
		over := p.SignIn("bob", func(s *ticketstore.Session) { s.Expires = s.Created.Add(time.Minute) })
		p.Uses(over, "photos")
		p.Pass(2 * time.Minute)
		gone := p.SignIn("cid")
		p.Uses(gone, "photos")
		p.End(logout.Ending{SessionID: gone.SessionID})
		notification := p.Notification(gone, "photos")
		p.become(p.source, transfer.Exporting)
		p.become(p.source, transfer.Fenced)
		ctx, now := p.Ctx(), p.Now
		for name, write := range map[string]func() error{
			"Create": func() error { return p.Tickets.Create(ctx, p.Session("dan")) },
			"CreateWithin": func() error {
				_, err := p.Tickets.CreateWithin(ctx, p.Session("dan"), ticketstore.Limit{Max: 2}, now)
				return err
			},
			"Renew": func() error {
				_, err := p.Tickets.Renew(ctx,
					ticketstore.Renewal{Key: s.Key, Version: s.Version, Expires: now.Add(time.Hour)}, now)
				return err
			},
			"Rekey": func() error { _, err := p.Tickets.Rekey(ctx, p.Rekey(s), now); return err },
			"Apply": func() error {
				_, err := p.TryApply(grantstore.Batch{Delete: []grantstore.Ref{token.Ref}})
				return err
			},
			"End":    func() error { _, err := p.TryEnd(logout.Ending{SessionID: s.SessionID}); return err },
			"EndAll": func() error { _, err := p.TryEnd(logout.Ending{SubjectID: "ann"}); return err },
			"EndDue": func() error {
				_, err := p.Logout.EndDue(ctx, logout.Sweep{Limit: 10}, now)
				return err
			},
			"Claim": func() error {
				_, err := p.Logout.Claim(ctx, logout.Claim{Limit: 1, PerClient: 1, Lease: time.Minute}, now)
				return err
			},
			"Settle": func() error {
				return p.Logout.Settle(ctx, notification.ID, 1, logout.Outcome{State: logout.Delivered}, now)
			},
			"SetProperty": func() error { return p.Properties.SetProperty(ctx, "issuer", nil, []byte("a")) },
			"Retry": func() error {
				_, err := p.Logout.Retry(ctx, logout.Retry{ID: notification.ID}, now)
				return err
			},
		} {
			p.fenced(write(), name)
		}
		if p.source.Shared {
			p.unread(p.source, s, token.Ref)
		} else {
			p.SessionLives(s)
			p.Live(token)
		}
		p.become(p.source, transfer.Active)
		p.SessionLives(s)
		p.Stored(p.Access(s, "photos"))
	}},
	{"every write is before or after the fence", func(p *pair) {
		p.become(p.source, transfer.Exporting)
		p.become(p.target, transfer.Importing)
		written := make([]bool, 40)
		errs := make(chan error, 1)
		go func() { errs <- p.tryBecome(p.source, transfer.Fenced) }()
		p.Each(len(written), func(i int) error {
			err := p.Tickets.Create(p.Ctx(), p.Session("ann"))
			if written[i] = err == nil; errors.Is(err, transfer.ErrFenced) {
				return nil
			}
			return err
		})
		p.OK(<-errs, "fence")
		n := 0
		for _, w := range written {
			if w {
				n++
			}
		}
		if c := p.changes(0, 1000); len(c.Records) != n {
			p.Errorf("the journal lists %d sessions, want the %d acknowledged ones", len(c.Records), n)
		}
	}},
}

var stateCases = []moveCase{
	{"a target serves nothing but the import", func(p *pair) {
		s := p.SignIn("ann")
		p.become(p.target, transfer.Importing)
		p.OK(p.importAll(p.export(p.source, nil)), "import")
		p.use(p.target)
		p.unavailable("read from a target", func(ctx context.Context) error {
			_, err := p.Tickets.Get(ctx, s.Key)
			return err
		})
		p.unavailable("write to a target", func(ctx context.Context) error {
			return p.Tickets.Create(ctx, p.Session("bob"))
		})
		p.become(p.target, transfer.Abandoned)
		p.unavailable("read from an abandoned target", func(ctx context.Context) error {
			_, err := p.Tickets.Get(ctx, s.Key)
			return err
		})
	}},
	{"steps out of order are refused, repeated ones are not", func(p *pair) {
		for _, step := range []struct {
			to      transfer.State
			allowed bool
		}{
			{transfer.Fenced, false}, {transfer.Superseded, false},
			{transfer.Exporting, true}, {transfer.Exporting, true}, {transfer.Importing, false},
			{transfer.Superseded, false},
			{transfer.Fenced, true}, {transfer.Fenced, true}, {transfer.Exporting, false},
			{transfer.Superseded, true}, {transfer.Superseded, true}, {transfer.Active, false},
			{transfer.Exporting, false},
			{transfer.Importing, false},
		} {
			err := p.tryBecome(p.source, step.to)
			if step.allowed != (err == nil) || (err != nil && !errors.Is(err, transfer.ErrState)) {
				p.Errorf("to %s from %s: %v", step.to, p.status(p.source).State, err)
			}
		}
		for _, to := range []transfer.State{
			transfer.Importing, transfer.Importing, transfer.Active, transfer.Active,
		} {
			p.become(p.target, to)
		}
		p.Fails(p.tryBecome(p.target, transfer.Abandoned), "abandon an active store", transfer.ErrState)
	}},
	{"the id of a different move changes nothing", func(p *pair) {
		p.become(p.source, transfer.Exporting)
		p.become(p.target, transfer.Importing)
		for _, c := range []struct {
			b  Fixture
			to transfer.State
		}{
			{p.source, transfer.Fenced}, {p.source, transfer.Active}, {p.source, transfer.Exporting},
			{p.target, transfer.Active},
		} {
			err := c.b.Transfer.Become(p.Ctx(), transfer.Transition{To: c.to, ID: "another", Peer: "x"})
			p.Fails(err, "become "+string(c.to), transfer.ErrState)
		}
		err := p.target.Transfer.Import(p.Ctx(), "another", func(yield func([]transfer.Record, error) bool) {
			yield([]transfer.Record{{Kind: transfer.Purges, Key: []byte("x")}}, nil)
		})
		p.Fails(err, "import", transfer.ErrState)
	}},
	{"a bad record is refused", func(p *pair) {
		p.become(p.target, transfer.Importing)
		for name, r := range map[string]transfer.Record{
			"no key":            {Kind: transfer.Sessions},
			"unknown kind":      {Kind: 99, Key: []byte("x")},
			"not a session":     {Kind: transfer.Sessions, Key: []byte("sid"), Data: []byte("?")},
			"no session data":   {Kind: transfer.Sessions, Key: []byte("sid"), Data: nil},
			"not a grant's key": {Kind: transfer.Grants, Key: []byte("x")},
			"bad property name": {Kind: transfer.Properties, Key: []byte("A"), Data: []byte("\n\x01x")},
			"an empty property": {Kind: transfer.Properties, Key: []byte("a"), Data: []byte{}},
			"half a client":     {Kind: transfer.Clients, Key: []byte("sid")},
		} {
			p.Fails(p.importAll([]transfer.Record{r}), name, ticketstore.ErrInvalid)
		}
		if n := p.status(p.target).Records(); n != 0 {
			p.Errorf("%d records were accepted", n)
		}
	}},
	{"records in any order, repeated or deleted, give the same store", func(p *pair) {
		for i := range 10 {
			s := p.SignIn(fmt.Sprintf("u%d", i))
			p.Uses(s, "photos", "mail")
			p.Stored(p.Refresh(s, "photos"))
			if i%2 == 0 {
				p.End(logout.Ending{
					SessionID: s.SessionID, KeepOffline: true, KeepTokens: true, Reason: logout.UserLogout,
				})
			}
		}
		records := p.export(p.source, nil)
		p.become(p.target, transfer.Importing)
		backwards := make([]transfer.Record, 0, len(records))
		for i := range records {
			backwards = append(backwards, records[len(records)-1-i])
		}
		p.OK(p.importAll(backwards), "import backwards")
		p.alike()
		gone := make([]transfer.Record, 0, len(records))
		for _, r := range records {
			gone = append(gone, transfer.Record{Kind: r.Kind, Key: r.Key, Deleted: true})
		}
		p.OK(p.importAll(gone), "import deletions")
		if n := p.status(p.target).Records(); n != 0 {
			p.Errorf("%d records after all were deleted", n)
		}
		p.OK(p.importAll(append(gone, records...)), "import again")
		p.alike()
		p.become(p.target, transfer.Active)
		p.use(p.target)
		if n := len(p.SIDs(ticketstore.SessionFilter{ClientID: "mail"})); n != 5 {
			p.Errorf("%d sessions of the client, want 5", n)
		}
	}},
}

var recoverCases = []moveCase{
	{"an active store stays", func(p *pair) { p.recovers("") }},
	{"a store that was being exported is active again", func(p *pair) {
		p.become(p.source, transfer.Exporting)
		p.recovers("")
	}},
	{"the fence is lifted if the target never became active", func(p *pair) {
		p.become(p.source, transfer.Exporting)
		p.become(p.target, transfer.Importing)
		p.become(p.source, transfer.Fenced)
		p.recovers("")
		p.is(p.target, transfer.Abandoned)
		p.SignIn("ann")
	}},
	{"a fenced store is replaced by a target that became active", func(p *pair) {
		p.become(p.source, transfer.Exporting)
		p.become(p.target, transfer.Importing)
		p.become(p.source, transfer.Fenced)
		p.become(p.target, transfer.Active)
		p.recovers("new")
		p.is(p.source, transfer.Superseded)
	}},
	{"a fenced store is replaced by a target that was itself replaced", func(p *pair) {
		p.become(p.source, transfer.Exporting)
		p.become(p.target, transfer.Importing)
		p.become(p.source, transfer.Fenced)
		p.become(p.target, transfer.Active)
		p.OK(p.target.Transfer.Become(p.Ctx(),
			transfer.Transition{To: transfer.Exporting, ID: "move-2", Peer: "newer"}), "export")
		p.OK(p.target.Transfer.Become(p.Ctx(), transfer.Transition{To: transfer.Active, ID: "move-2"}),
			"abort that")
		p.recovers("new")
	}},
	{"a fenced store whose target is unavailable stays fenced", func(p *pair) {
		p.become(p.source, transfer.Exporting)
		p.become(p.source, transfer.Fenced)
		_, err := transfer.Recover(p.Ctx(), p.source.Transfer,
			func(context.Context, string) (transfer.Store, error) {
				return nil, ticketstore.ErrUnavailable
			})
		p.Fails(err, "recover", ticketstore.ErrUnavailable)
		p.is(p.source, transfer.Fenced)
	}},
	{"the fence is not lifted because of a store that is not part of the move", func(p *pair) {
		p.become(p.source, transfer.Exporting)
		p.become(p.target, transfer.Importing)
		p.become(p.source, transfer.Fenced)
		whole := p.target
		p.target = p.another()
		_, err := transfer.Recover(p.Ctx(), p.source.Transfer, p.open)
		p.Fails(err, "recover", transfer.ErrNotSuccessor)
		p.is(p.source, transfer.Fenced)
		p.target = whole
		p.recovers("")
	}},
	{"the fence is lifted if the target was abandoned", func(p *pair) {
		p.become(p.source, transfer.Exporting)
		p.become(p.target, transfer.Importing)
		p.become(p.source, transfer.Fenced)
		p.become(p.target, transfer.Abandoned)
		p.recovers("")
	}},
	{"an unfinished target is not served", func(p *pair) {
		p.become(p.target, transfer.Importing)
		_, err := transfer.Recover(p.Ctx(), p.target.Transfer, p.open)
		p.Fails(err, "recover", transfer.ErrIncomplete)
	}},
	{"a superseded store names its successor", func(p *pair) {
		p.moved()
		p.recovers("new")
	}},
	{"a different store is not accepted as the successor", func(p *pair) {
		p.SignIn("ann")
		p.moved()
		p.target = p.another()
		_, err := transfer.Recover(p.Ctx(), p.source.Transfer, p.open)
		p.Fails(err, "recover", transfer.ErrNotSuccessor)
	}},
}

// unavailable ends the case unless a call is ErrUnavailable. A client retries such a call until its deadline.
func (p *pair) unavailable(doing string, call func(ctx context.Context) error) {
	p.Helper()
	ctx, cancel := context.WithTimeout(p.Ctx(), brief)
	defer cancel()
	p.Fails(call(ctx), doing, ticketstore.ErrUnavailable, context.DeadlineExceeded)
}

// brief is a short timeout for failing calls.
const brief = 300 * time.Millisecond

func (p *pair) recovers(want string) {
	p.Helper()
	got, err := transfer.Recover(p.Ctx(), p.source.Transfer, p.open)
	p.OK(err, "recover")
	if got != want {
		p.Fatalf("follow %q, want %q", got, want)
	}
	if want == "" {
		p.is(p.source, transfer.Active)
	}
}
