package hostadapter

// Claiming a store: its issuer, and a canary that shows whether the sealing keys fit (rule 13).

import (
	"context"
	"errors"
	"fmt"
	"slices"

	"github.com/fosite-sessions/sessions/ticketstore"
)

// A store keeps as properties which issuer it belongs to and which keys have sealed its contents. They are
// checked before a host serves: the store of a different issuer, or one sealed with other keys, would sign
// out all users, or worse, without an error.
const (
	issuerProperty = "issuer"
	// canaryProperty is sealed with the first key: a key ring that opens it opens everything sealed before.
	canaryProperty = "canary"
	// keysProperty lists the ids of the keys that have sealed something, the latest first. They are public:
	// each sealed record contains one.
	keysProperty = "keys"
)

var (
	// ErrOtherIssuer means that the store belongs to a different issuer. The text names both.
	ErrOtherIssuer = errors.New("the store belongs to another issuer")
	// ErrKeysLost means that none of Config.Keys opens the contents of the store.
	ErrKeysLost = errors.New("none of Config.Keys opens what the store holds")
)

// claim verifies that the store belongs to this host, and records it in a store that is unclaimed. If it
// returns an error nothing was changed.
func (a *Adapter) claim(ctx context.Context) (err error) {
	for range attempts {
		if err = a.tryClaim(ctx); !errors.Is(err, ticketstore.ErrConflict) {
			return err
		}
	}
	return fmt.Errorf("other hosts change whose the store is: %w", err)
}

func (a *Adapter) tryClaim(ctx context.Context) error {
	issuer, err := a.property(ctx, issuerProperty)
	if err != nil {
		return err
	}
	if err := a.checkStoreIssuer(ctx, string(issuer)); err != nil {
		return err
	}
	if err := a.claimKeys(ctx); err != nil {
		return err
	}
	if string(issuer) == a.config.Issuer {
		return nil
	}
	if issuer != nil {
		a.config.Logger.WarnContext(ctx, "the store was taken over from a former issuer",
			"former", string(issuer), "issuer", a.config.Issuer)
	}
	return a.setProperty(ctx, issuerProperty, issuer, []byte(a.config.Issuer))
}

// checkStoreIssuer returns an error if the store belongs to a different issuer. A store without a recorded
// issuer belongs to the issuer of its newest session.
func (a *Adapter) checkStoreIssuer(ctx context.Context, issuer string) error {
	if issuer == "" {
		page, err := a.config.Backend.Tickets().Query(ctx, ticketstore.SessionQuery{Count: 1})
		switch {
		case err != nil:
			return fmt.Errorf("looking for sessions: %w", err)
		case len(page.Sessions) == 0:
			return nil
		}
		issuer = page.Sessions[0].Issuer
	}
	if a.servesIssuer(issuer) {
		return nil
	}
	return a.otherIssuer(issuer)
}

func (a *Adapter) otherIssuer(issuer string) error {
	return fmt.Errorf("%w: it is that of %q, and this host's is %q. A host of another issuer opens a store "+
		"of its own. Where the issuer was renamed, name the former one in Config.FormerIssuers",
		ErrOtherIssuer, issuer, a.config.Issuer)
}

// servesIssuer reports whether the issuer is Config.Issuer or one of Config.FormerIssuers.
func (a *Adapter) servesIssuer(issuer string) bool {
	return issuer == a.config.Issuer || slices.Contains(a.config.FormerIssuers, issuer)
}

// claimKeys verifies that the keys are those with which the contents of the store were sealed.
func (a *Adapter) claimKeys(ctx context.Context) error {
	canary, err := a.property(ctx, canaryProperty)
	if err != nil {
		return err
	}
	used, err := a.property(ctx, keysProperty)
	if err != nil {
		return err
	}
	ids, opens, err := a.tryKeys(ctx, canary, splitKeyIDs(used))
	if err != nil {
		return err
	}
	if !opens {
		if err := a.continueWithoutKeys(ctx, ids); err != nil {
			return err
		}
		ids = nil
	}
	if !a.ring.sealedByFirst(canaryProperty, nil, canary) {
		next := a.ring.seal(canaryProperty, nil, []byte("canary"))
		if err := a.setProperty(ctx, canaryProperty, canary, next); err != nil {
			return err
		}
	}
	return a.noteKeys(ctx, used, ids)
}

// tryKeys reports whether any key of the ring opens the contents of the store. ids are the keys that have
// sealed it: those recorded in the store, or else those of its first records.
func (a *Adapter) tryKeys(
	ctx context.Context, canary []byte, remembered []keyID,
) (ids []keyID, opens bool, err error) {
	if canary != nil {
		// If only the latest key is missing, as after rolling back the configuration, the earlier contents
		// can still be opened.
		_, err := a.ring.unseal(canaryProperty, nil, canary)
		return remembered, err == nil || slices.ContainsFunc(remembered, a.ring.has), nil
	}
	found, err := a.sealedWith(ctx)
	if err != nil {
		return nil, false, err
	}
	return append(remembered, found...), len(found) == 0 || slices.ContainsFunc(found, a.ring.has), nil
}

// continueWithoutKeys returns an error for a store that no key opens, unless the configuration says that its
// keys are lost.
func (a *Adapter) continueWithoutKeys(ctx context.Context, ids []keyID) error {
	if !a.config.KeysLost {
		return fmt.Errorf("%w: the keys were lost, or the store belongs to another server. Give the host "+
			"the keys that it had. To go on without the old sessions and tokens, whose users have to sign "+
			"in again, set Config.KeysLost", ErrKeysLost)
	}
	if description := a.description.Load(); description != nil && description.Shared {
		return fmt.Errorf("%w: other hosts may use it with their keys, so that Config.KeysLost is refused. "+
			"Give the host the keys that they have, or a store of its own", ErrKeysLost)
	}
	a.config.Logger.WarnContext(ctx, "the keys were lost: earlier sessions and tokens are invalid. Take "+
		"Config.KeysLost out again", "keys", formatKeyIDs(ids))
	return nil
}

// noteKeys records in the store the key that seals from now on, and in the host the keys that it lacks.
func (a *Adapter) noteKeys(ctx context.Context, before []byte, used []keyID) error {
	first := a.ring.keys[0].id
	ids := []keyID{first}
	for _, id := range used {
		if !slices.Contains(ids, id) && len(ids) < maxKeyIDs {
			ids = append(ids, id)
		}
	}
	a.missing.watch(slices.DeleteFunc(slices.Clone(ids), a.ring.has))
	if after := joinKeyIDs(ids); string(after) != string(before) {
		return a.setProperty(ctx, keysProperty, before, after)
	}
	return nil
}

func (a *Adapter) property(ctx context.Context, name string) (value []byte, err error) {
	if value, err = a.config.Backend.Properties().Property(ctx, name); err != nil {
		return nil, fmt.Errorf("reading property %s of the store: %w", name, err)
	}
	return value, nil
}

func (a *Adapter) setProperty(ctx context.Context, name string, old, value []byte) error {
	err := persist(ctx, func(ctx context.Context) error {
		return a.config.Backend.Properties().SetProperty(ctx, name, old, value)
	})
	if err != nil {
		return fmt.Errorf("writing property %s of the store: %w", name, err)
	}
	return nil
}
