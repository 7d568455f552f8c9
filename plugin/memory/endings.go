package memory

// Endings: of one session, of many under a job, and of expired ones.

import (
	"bytes"
	"context"
	"slices"
	"time"

	"google.golang.org/protobuf/proto"

	"github.com/fosite-sessions/sessions/grantstore"
	"github.com/fosite-sessions/sessions/logout"
	"github.com/fosite-sessions/sessions/plugin/records"
	"github.com/fosite-sessions/sessions/plugin/rules"
	"github.com/fosite-sessions/sessions/plugin/steps"
	"github.com/fosite-sessions/sessions/plugin/transfer"
	"github.com/fosite-sessions/sessions/ticketstore"
)

// End ends everything in one transaction. A database needs several transactions and a job that survives a
// crash; here the job is done before it can be read.
func (s endings) End(ctx context.Context, e *logout.Ending, now time.Time) (*logout.Result, error) {
	carry := change[*logout.Result]
	if e.DryRun {
		carry = view[*logout.Result] // which rolls back
	}
	return carry(ctx, s.Store, now, e.Validate(), func(t *tx) (*logout.Result, error) {
		recall := func() *logout.Result {
			return rules.CompletedResult(e.OperationID, t.operation(e.OperationID), t.job(e.OperationID))
		}
		if before := recall(); before != nil && !e.DryRun {
			return before, nil
		}
		if missing := t.missing(e); len(missing) > 0 {
			return &logout.Result{MissingClients: missing}, nil
		}
		done := t.endAll(e)
		if stored := recall(); stored != nil && !e.DryRun {
			return stored, nil
		}
		return done, nil
	})
}

// missing returns the clients whose registrations an ending asks for before it ends anything.
func (t *tx) missing(e *logout.Ending) []string {
	if !e.AskRegistered {
		return nil
	}
	sids := []string{e.SessionID}
	if e.SessionID == "" {
		sids = nil
		for _, r := range t.rows(sessionsBy(e)) {
			sids = append(sids, r.key)
		}
	}
	var clients []string
	for _, sid := range sids {
		clients = append(clients, t.clients(sid)...)
	}
	slices.Sort(clients)
	asking := rules.Missing{Registered: e.Registered}
	asking.Collect(slices.Compact(clients))
	return asking.Clients
}

// clients returns the clients of a session, sorted.
func (t *tx) clients(sid string) (ids []string) {
	for _, r := range t.rows(clientsOf(sid)) {
		id, _ := r.client()
		ids = append(ids, id)
	}
	return ids
}

// endAll ends what an ending selects and stores its answer: as an operation if it has a sid, else as a
// finished job.
func (t *tx) endAll(e *logout.Ending) *logout.Result {
	if e.SessionID != "" {
		c := t.closing(e, e.SessionID)
		if !c.Idle {
			t.answer(e.OperationID, &records.Operation{Ending: records.FromResult(&c.Result)})
		}
		return &c.Result
	}
	job := rules.NewJob(e, t.now)
	if sessions := t.rows(sessionsBy(e)); len(sessions) > 0 {
		job.Last = records.SessionPosition(t.session(sessions[len(sessions)-1].key))
	}
	t.work(job, e)
	job.Finished = records.Nanos(t.now)
	t.save(transfer.Jobs, e.OperationID, job)
	return records.ResultOf(job.Done)
}

// end ends one session or, if it has ended before, revokes its survivors. A missing session is not an error.
func (t *tx) end(e *logout.Ending, sid string) *logout.Result { return &t.closing(e, sid).Result }

func (t *tx) closing(e *logout.Ending, sid string) *steps.Closing {
	c := &steps.Closing{Ending: e, Now: t.now}
	_ = c.End(rows{t}, sid) // reading memory does not fail
	return c
}

var _ steps.EndingRows = rows{}

func (r rows) Clients(sid string) (clients []steps.Client, _ error) {
	for _, c := range r.rows(clientsOf(sid)) {
		id, use := c.client()
		clients = append(clients, steps.Client{ID: id, Use: use})
	}
	return clients, nil
}

func (r rows) DropClient(s *records.Session, client steps.Client) error {
	r.delete(transfer.Clients, clientKey(s.SessionId, client.ID))
	return nil
}

func (r rows) DropSession(s *records.Session, ended *records.Ended) error {
	r.delete(transfer.Sessions, s.SessionId)
	return r.SaveEnded(s.SessionId, ended)
}

func (r rows) SaveEnded(sid string, ended *records.Ended) error {
	r.save(transfer.Ended, sid, ended)
	return nil
}

func (r rows) Queue(n *records.Notification) error {
	r.queue(n)
	return nil
}

func (r rows) DropConsents(subject, client string) (revoked int, left bool, err error) {
	f := &grantstore.Filter{SubjectID: subject, ClientID: client, Type: grantstore.UserConsent}
	selected := func(g *row) bool { return rules.Selected(f, g.ref().Type, g.grant()) }
	_, revoked = r.drop(r.where(listing(f), selected)...)
	return revoked, false, nil
}

func (r rows) PurgeDead(sid, _ string) (revoked int, more bool, err error) {
	return r.purgeDead(sid), false, nil
}

// purgeDead removes the rows of a session's dead grants and returns how many were tokens in use.
func (t *tx) purgeDead(sid string) (revoked int) {
	for _, r := range t.rows(tokensOf(sid)) {
		goes, inUse := rules.PurgedByEnd(r.ref().Type, r.grant(), t.standing(r.grant()), t.now)
		if goes {
			t.delete(r.kind, r.key)
		}
		if inUse {
			revoked++
		}
	}
	return revoked
}

// sessionsBy returns the index of the sessions selected by an ending without a sid.
func sessionsBy(e *logout.Ending) string {
	if e.All {
		return allSessions
	}
	return sessionsOf(e.SubjectID)
}

// work runs a job from its current phase to its end.
func (t *tx) work(job *records.Job, e *logout.Ending) {
	total := records.ResultOf(job.Done)
	for ; job.Phase != ""; job.Phase = rules.PhaseAfter(job.Phase, e) {
		switch job.Phase {
		case logout.PhaseSessions:
			for _, r := range t.rows(sessionsBy(e)) {
				if bytes.Compare(records.SessionPosition(t.session(r.key)), job.Last) <= 0 {
					rules.Sum(total, t.end(e, r.key))
					job.LookedAt++
				}
			}
			job.Total = max(job.Total, job.LookedAt)
		case logout.PhaseSurvivors:
			survivors := survivorsOf(e.SubjectID)
			if e.All {
				survivors = allSurvivors
			}
			for _, r := range t.rows(survivors) {
				rules.Sum(total, t.end(e, r.key))
			}
		case logout.PhaseGrants:
			t.dropLoose(job, e, total)
		default:
			for _, r := range t.rows(all(transfer.Purges)) {
				if string(r.data) == e.OperationID {
					total.GrantsRevoked += t.purgeDead(r.key)
					t.delete(r.kind, r.key)
				}
			}
		}
	}
	job.Done = records.FromResult(total)
	rules.Finish(job)
}

// dropLoose removes the remaining consents to the clients of an ended session, or the grants that no session
// judges.
func (t *tx) dropLoose(job *records.Job, e *logout.Ending, total *logout.Result) {
	for _, client := range job.ConsentsClients {
		revoked, _, _ := rows{t}.DropConsents(job.ConsentsSubject, client)
		total.ConsentsRevoked += revoked
	}
	if e.SessionID != "" {
		return
	}
	index := listing(&grantstore.Filter{SubjectID: e.SubjectID})
	revoked, consents := t.drop(t.where(index, func(r *row) bool {
		return rules.RevokesUnbound(e, r.ref().Type, r.grant(), t.now)
	})...)
	total.Add(logout.Result{GrantsRevoked: revoked, ConsentsRevoked: consents})
}

// resume continues the jobs and purges imported from another store.
func (t *tx) resume() {
	for _, r := range t.rows(all(transfer.Jobs)) {
		if job := proto.CloneOf(t.job(r.key)); job.Phase != "" {
			begun := &tx{t.Store, records.Moment(job.Now), t.before}
			begun.work(job, records.EndingOf(r.key, job))
			t.save(r.kind, r.key, job)
		}
	}
	for _, r := range t.rows(all(transfer.Purges)) {
		t.purgeDead(r.key)
		t.delete(r.kind, r.key)
	}
}

func (s endings) Job(ctx context.Context, id string) (*logout.Job, error) {
	return view(ctx, s.Store, anyTime, ticketstore.CheckID("id", id), func(t *tx) (*logout.Job, error) {
		if job := t.job(id); job != nil {
			return records.JobOf(id, job), nil
		}
		return nil, missing("job")
	})
}

func (s endings) EndDue(ctx context.Context, sweep logout.Sweep, now time.Time) (*logout.SweepResult, error) {
	return change(ctx, s.Store, now, sweep.Validate(), func(t *tx) (*logout.SweepResult, error) {
		swept := &logout.SweepResult{}
		due, asking := t.dueRows(transfer.Sessions), rules.Missing{Registered: sweep.Registered}
		for _, r := range due[:min(len(due), sweep.Limit)] {
			if sweep.AskRegistered && asking.Collect(t.clients(r.key)) {
				continue
			}
			result := t.end(rules.Expiration(r.key, &sweep), r.key)
			swept.Ended += result.SessionsRemoved
			swept.NotificationsQueued += result.NotificationsQueued
			swept.Sessions = append(swept.Sessions, result.Ended...)
		}
		swept.MissingClients = asking.Clients
		t.purge()
		t.scan(timesOf(transfer.Sessions), nil, false, func(_ string, r *row) bool {
			swept.Next = rules.Due(t.session(r.key))
			return false
		})
		return swept, nil
	})
}

// purge removes ended records without grants to judge, and notifications and jobs that are due for purging.
func (t *tx) purge() {
	for _, r := range t.dueRows(transfer.Ended) {
		if len(t.rows(tokensOf(r.key))) == 0 {
			t.delete(r.kind, r.key)
		}
	}
	for _, r := range t.dueRows(transfer.Notifications) {
		t.delete(r.kind, r.key)
	}
	for _, r := range t.dueRows(transfer.Jobs) {
		job := proto.CloneOf(t.job(r.key))
		switch dated, over := rules.DateJob(job, t.now); {
		case dated:
			t.save(r.kind, r.key, job)
		case over:
			t.delete(r.kind, r.key)
		}
	}
}
