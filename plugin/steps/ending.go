package steps

// The end of one session (rule 1): its clients, their notifications, consents and tokens.

import (
	"time"

	"google.golang.org/protobuf/proto"

	"github.com/fosite-sessions/sessions/logout"
	"github.com/fosite-sessions/sessions/plugin/records"
	"github.com/fosite-sessions/sessions/plugin/rules"
)

// Client is the row of a client in a session.
type Client struct {
	ID  string
	Use *records.ClientUse
	// Damaged: the row cannot be read, and none of the client's tokens survive.
	Damaged bool
}

// Closing is the end of one session in one transaction, and its outcome.
type Closing struct {
	Ending *logout.Ending
	Now    time.Time
	Result logout.Result
	// Idle: there was no session to end and no survivor to revoke. An ending by sid need not be recorded
	// then, because its repetition finds the same, or what has become due meanwhile.
	Idle bool
	// Purge: rows of dead grants remain.
	Purge bool
	// Consents are the clients to which consents of ConsentsOf, a subject, remain.
	Consents   []string
	ConsentsOf string
}

// Rest returns the job of what the transaction that ended one session has left.
func (c *Closing) Rest() *records.Job {
	job := records.FromEnding(c.Ending, c.Now)
	job.Phase, job.Total, job.LookedAt, job.Done = logout.PhaseGrants, 1, 1, records.FromResult(&c.Result)
	job.ConsentsSubject, job.ConsentsClients = c.ConsentsOf, c.Consents
	return job
}

// End ends the session with that sid. A missing session is not an error.
func (c *Closing) End(rows EndingRows, sid string) error {
	session, err := rows.Session(sid)
	switch {
	case err != nil:
		return err
	case session == nil:
		return c.RevokeSurvivors(rows, sid)
	case !rules.Ends(c.Ending, session, c.Now):
		c.Idle = true
		return nil
	}
	clients, err := rows.Clients(sid)
	if err != nil {
		return err
	}
	return c.EndSession(rows, session, rules.EndedBy(c.Ending, session, c.Now), clients)
}

// EndSession applies the ending to a session and its clients: unless the session is kept, ended replaces it.
func (c *Closing) EndSession(
	rows EndingRows, session *records.Session, ended *records.Ended, clients []Client,
) error {
	if err := c.EndClients(rows, session, ended, clients); err != nil {
		return err
	}
	if !c.Ending.KeepSession {
		if err := rows.DropSession(session, ended); err != nil {
			return err
		}
		rules.Removed(&c.Result, session)
		c.Purge = true
	}
	return c.purge(rows, session.GetSessionId())
}

// EndClients applies the ending to clients of a session. Unless the session is kept, it adds their survivors
// to ended.
func (c *Closing) EndClients(
	rows EndingRows, session *records.Session, ended *records.Ended, clients []Client,
) error {
	for _, client := range clients {
		if rules.Repeated(c.Ending, client.Use) {
			continue
		}
		if err := c.endClient(rows, session, client); err != nil {
			return err
		}
		var err error
		switch {
		case !c.Ending.KeepSession:
			if !client.Damaged { // some of its tokens may have been revoked before
				rules.AddSurvivors(ended, c.Ending, client.ID, client.Use)
			}
			err = rows.DropClient(session, client)
		case rules.EndTokens(c.Ending, client.ID, client.Use):
			c.Purge = c.Purge || !c.Ending.KeepTokens
			err = rows.SaveClient(session, client.ID, client.Use, false)
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// endClient does what an ending does to a client whether or not the session is kept.
func (c *Closing) endClient(rows EndingRows, session *records.Session, client Client) error {
	p := rules.EndClient(c.Ending, session, client.ID, client.Use, c.Now)
	if p.LeftAlone {
		c.Result.ClientsLeftAlone = append(c.Result.ClientsLeftAlone, client.ID)
	}
	if p.Notification != nil {
		c.Result.NotificationsQueued++
		if err := rows.Queue(p.Notification); err != nil {
			return err
		}
	}
	if !p.Consents {
		return nil
	}
	revoked, left, err := rows.DropConsents(session.GetSubjectId(), client.ID)
	c.Result.ConsentsRevoked += revoked
	if left {
		c.Consents, c.ConsentsOf = append(c.Consents, client.ID), session.GetSubjectId()
	}
	return err
}

// RevokeSurvivors revokes the survivors of a session that ended before, if the ending revokes tokens without
// exception.
func (c *Closing) RevokeSurvivors(rows EndingRows, sid string) error {
	if !rules.Strict(c.Ending) {
		c.Idle = true
		return nil
	}
	ended, err := rows.Ended(sid)
	if err != nil {
		return err
	}
	if ended = proto.CloneOf(ended); rules.RevokeSurvivors(c.Ending, ended) {
		c.Purge = true
		if err := rows.SaveEnded(sid, ended); err != nil {
			return err
		}
	}
	c.Idle = !c.Purge
	return c.purge(rows, sid)
}

// purge removes rows of grants that just died.
func (c *Closing) purge(rows EndingRows, sid string) (err error) {
	if !c.Purge {
		return nil
	}
	revoked, more, err := rows.PurgeDead(sid, c.Ending.OperationID)
	c.Result.GrantsRevoked += revoked
	c.Purge = more
	return err
}
