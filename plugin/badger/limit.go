package badger

// Sign-ins under a limit of sessions: the oldest sessions end in the same transaction.

import (
	"context"
	"errors"
	"slices"
	"time"

	"github.com/fosite-sessions/sessions/plugin/badger/internal/kv"
	"github.com/fosite-sessions/sessions/plugin/badger/internal/layout"
	"github.com/fosite-sessions/sessions/plugin/records"
	"github.com/fosite-sessions/sessions/plugin/rules"
	"github.com/fosite-sessions/sessions/ticketstore"
)

// Bounds of a transaction that makes room for a session: the number of sessions that it ends, and of rows of
// dead grants removed with each. The others are purged afterwards.
const (
	maxMakeRoom      = 64
	maxMakeRoomGrant = 16
)

// CreateWithin counts, ends and creates in one transaction. The committer is the only writer, so no other
// sign-in can come between.
func (s tickets) CreateWithin(
	ctx context.Context, session *ticketstore.Session, limit ticketstore.Limit, now time.Time,
) (ended []string, err error) {
	if err := errors.Join(session.Validate(), limit.Validate()); err != nil {
		return nil, err
	}
	record := rules.NewSession(session)
	for created := false; !created; {
		var round *displacement
		err := s.e.update(ctx, func(tx *kv.Tx) error {
			again, err := createdBefore(tx, session)
			if created = again; err != nil || again {
				return err
			}
			round = &displacement{engine: s.e, tx: tx, limit: limit, now: now}
			if created, err = round.run(record); err != nil || !created {
				return err
			}
			return insertSession(tx, record)
		})
		if err != nil {
			return nil, err
		}
		if round == nil {
			return nil, nil
		}
		ended = append(ended, round.ended...)
		s.e.purgeInBackground(round.left, now)
	}
	return ended, nil
}

// displacement ends the oldest excess sessions of a subject, as many as fit into one transaction.
type displacement struct {
	engine *Engine
	tx     *kv.Tx
	limit  ticketstore.Limit
	now    time.Time
	ended  []string
	// left are the ended sessions with remaining rows of dead grants.
	left []string
}

// run reports whether there is room now.
func (d *displacement) run(record *records.Session) (bool, error) {
	live, err := d.live(record.SubjectId)
	if err != nil {
		return false, err
	}
	excess, err := rules.Excess(len(live), &d.limit)
	if err != nil || excess == 0 {
		return err == nil, err
	}
	for i, sid := range live[:min(excess, maxMakeRoom)] {
		if i > 0 && d.tx.Full() {
			return false, nil
		}
		c := d.engine.closing(d.tx, rules.Displacement(sid, &d.limit), d.now)
		c.limit = maxMakeRoomGrant
		if err := c.run(sid); err != nil {
			return false, err
		}
		d.ended = append(d.ended, sid)
		if c.Purge {
			d.left = append(d.left, sid)
		}
	}
	return excess <= maxMakeRoom, nil
}

// live returns the subject's sessions that are live at now, oldest first.
func (d *displacement) live(subject string) ([]string, error) {
	sids, err := sessionsOfSubject(d.tx, subject)
	if err != nil {
		return nil, err
	}
	return slices.DeleteFunc(sids, func(sid string) bool {
		session, loadErr := loadSession(d.tx, sid)
		// A damaged session serves no request and is not counted.
		err = errors.Join(err, d.tx.StepOver(loadErr))
		return !rules.Live(session, d.now)
	}), err
}

// purgeInBackground removes rows of dead grants. Rows that it cannot remove are marked and removed after a
// restart.
func (e *Engine) purgeInBackground(sids []string, now time.Time) {
	if len(sids) == 0 {
		return
	}
	_ = e.db.InBackground(func(ctx context.Context) { // or not: the database has closed or failed
		for _, sid := range sids {
			if err := e.purgeSession(ctx, sid, now); err != nil {
				e.logger.WarnContext(ctx,
					"rows of dead grants are left: they are not live, and the next start removes them",
					"error", err)
			}
		}
	})
}

// sessionsOfSubject returns the sids of a subject's sessions, oldest first.
func sessionsOfSubject(r kv.Reader, subject string) (sids []string, err error) {
	prefix := layout.Key(layout.IndexSubject, layout.More(subject))
	err = r.Scan(prefix, nil, false, func(k []byte, _ func() ([]byte, error)) (bool, error) {
		if len(k) <= len(prefix)+layout.TimeKeyLength {
			return true, r.StepOver(layout.DamagedEntry(k))
		}
		sids = append(sids, string(k[len(prefix)+8:]))
		return true, nil
	})
	return sids, err
}
