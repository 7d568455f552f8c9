package steps

// Consumption (rule 3): a code or a refresh token is used up by the batch that exchanges it.

import (
	"errors"
	"fmt"

	"github.com/fosite-sessions/sessions/grantstore"
	"github.com/fosite-sessions/sessions/plugin/records"
	"github.com/fosite-sessions/sessions/plugin/rules"
	"github.com/fosite-sessions/sessions/ticketstore"
)

// consume marks the grant as used. It is kept until it expires so that its reuse is detected.
func (b *batch) consume() error {
	c := b.Consume
	if c == nil {
		return nil
	}
	g, err := b.rows.Grant(c.Ref)
	if err != nil {
		return err
	}
	if g == nil {
		return fmt.Errorf("%s: %w", c.Type, ticketstore.ErrNotFound)
	}
	verdict := b.rows.Judge(c.Type, g)
	if verdict != nil && !errors.Is(verdict, grantstore.ErrConsumed) {
		return verdict
	}
	b.consumed = g
	if verdict != nil {
		return b.reuse()
	}
	if access, known, types := rules.DeletedOnUse(c.Type, g); known {
		err = b.rows.DropAccess(access, g.RequestId)
	} else {
		err = b.rows.DropRelated(g.RequestId, types)
	}
	if err != nil {
		return err
	}
	return b.rows.Replace(c.Ref, g, rules.Used(g, rules.Grace(c), records.Nanos(b.now)))
}

// reuse handles the use of a grant that was used before. If that revokes all grants issued for it, the batch
// is refused; it has written nothing else so far.
func (b *batch) reuse() error {
	lines, err := b.rows.Lines(b.consumed.RequestId)
	if err != nil {
		return err
	}
	revoke, err := rules.Reuse(b.consumed, b.Consume, lines, b.now)
	if !revoke {
		return err
	}
	b.refused = err
	_, err = b.rows.DropFamily(b.consumed.RequestId, nil)
	return err
}
