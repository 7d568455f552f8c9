package badger

// Consumption: a code or a refresh token is used up by the batch that exchanges it.

import (
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/fosite-sessions/sessions/grantstore"
	"github.com/fosite-sessions/sessions/plugin/badger/internal/kv"
	"github.com/fosite-sessions/sessions/plugin/records"
	"github.com/fosite-sessions/sessions/plugin/rules"
	"github.com/fosite-sessions/sessions/ticketstore"
)

func (a *application) consume() error {
	c := a.batch.Consume
	if c == nil {
		return nil
	}
	g, err := loadGrant(a.tx, c.Ref)
	if err != nil {
		return err
	}
	if g == nil {
		return fmt.Errorf("%s: %w", c.Type, ticketstore.ErrNotFound)
	}
	verdict := judge(a.tx, c.Type, g, a.now)
	if errors.Is(verdict, grantstore.ErrConsumed) {
		return a.again(g)
	}
	if verdict != nil {
		return verdict
	}
	a.consumed = g
	if err := a.spend(g); err != nil {
		return err
	}
	return consumeGrant(a.tx, c.Ref, g, rules.Grace(c), a.now)
}

// spend removes what goes with a code or refresh token that is used for the first time.
func (a *application) spend(g *records.Grant) error {
	access, known, types := rules.GoesWith(a.batch.Consume.Type, g)
	if !known {
		_, err := dropFamily(a.tx, g.RequestId, types, a.now)
		return err
	}
	row, err := loadGrant(a.tx, access)
	if err := a.tx.Abandon(err); err != nil {
		return err
	}
	if row != nil {
		dropGrantRow(a.tx, access, row)
	}
	return leaveFamily(a.tx, access, g)
}

// again is the use of a grant that was used before.
func (a *application) again(g *records.Grant) error {
	members, err := familyOf(a.tx, g.RequestId)
	if err != nil {
		return err
	}
	members = slices.DeleteFunc(members,
		func(ref grantstore.Ref) bool { return ref.Type != grantstore.RefreshToken })
	revoke, err := rules.Reuse(g, a.batch.Consume, len(members), a.now)
	if revoke {
		return a.refuse(g, err)
	}
	a.consumed = g
	return err
}

// refuse revokes all that was issued for a code or refresh token. It is committed although the batch is
// refused.
func (a *application) refuse(g *records.Grant, answer error) error {
	// What the batch did before is not to be committed.
	a.tx.Reset()
	a.refused = answer
	_, err := dropFamily(a.tx, g.GetRequestId(), nil, a.now)
	return err
}

// consumeGrant marks a grant as used. It stays, outside its family, until it expires: its reuse must be
// noticed.
func consumeGrant(t *kv.Tx, ref grantstore.Ref, g *records.Grant, grace time.Duration, now time.Time) error {
	if err := leaveFamily(t, ref, g); err != nil {
		return err
	}
	dropGrantIndexes(t, ref, g)
	return saveUsed(t, ref, rules.Used(g, grace, records.Nanos(now)))
}
