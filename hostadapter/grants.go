package hostadapter

// Queries and removals of grants by operators.

import (
	"context"
	"fmt"
	"time"

	"github.com/fosite-sessions/sessions/grantstore"
	"github.com/fosite-sessions/sessions/ticketstore"
)

// GrantRemoval selects the grants to remove. The sessions of the grants are kept, and no client is notified.
type GrantRemoval struct {
	// ID is the id of one grant, see GrantID. It excludes Filter.
	//
	// A code or a refresh token is removed with its family: everything issued from it since. An access token
	// or a consent is removed alone: a client with a refresh token can get a new access token.
	ID string
	// Filter selects grants. At least one condition is required.
	Filter grantstore.Filter
	// Reason is free text for the log.
	Reason string
	// DryRun counts what would be removed, without removing it.
	DryRun bool
}

// GrantRemovalResult counts what was removed.
type GrantRemovalResult struct {
	// GrantsRevoked and ConsentsRevoked count tokens and consents that were live until now.
	GrantsRevoked   int
	ConsentsRevoked int
	// Target is the selection: the removal's Filter, or the owners and type of the grant with its ID, if
	// found.
	Target grantstore.Filter
}

// QueryGrants returns a page of live grants, without their sealed data.
func (o *Operations) QueryGrants(ctx context.Context, query grantstore.Query) (*grantstore.Page, error) {
	page, err := o.adapter.config.Backend.Grants().Query(ctx, query, o.adapter.now())
	if err != nil {
		return nil, fmt.Errorf("hostadapter: querying grants: %w", err)
	}
	return page, nil
}

// RemoveGrants removes the grants that the removal selects and that exist when it is called, in bounded
// batches, and counts them. A code exchange or a refresh that races it loses: its code or refresh token is
// gone, or the tokens issued to it are removed too. Grants issued meanwhile are kept. Matching nothing is not
// an error. After an error some may have been removed; repeating the call is safe.
func (o *Operations) RemoveGrants(
	ctx context.Context, removal GrantRemoval,
) (result *GrantRemovalResult, err error) {
	if err := removal.validate(); err != nil {
		return nil, err
	}
	ctx, span := o.adapter.tracing.start(ctx, "remove grants")
	defer func() { end(span, err) }()
	switch {
	case removal.ID != "":
		result, err = o.removeGrant(ctx, removal)
	case removal.DryRun:
		result, err = o.countGrants(ctx, removal.Filter, func(*grantstore.Grant) bool { return true })
	default:
		result, err = o.removeSelected(ctx, removal.Filter)
	}
	if err != nil {
		return nil, err
	}
	if removal.DryRun { // nothing was changed: not logged, as in RemoveSessions
		return result, nil
	}
	f := result.Target
	o.adapter.config.Logger.InfoContext(ctx, "grants removed", "subject_id", f.SubjectID,
		"session_id", f.SessionID, "client_id", f.ClientID,
		"type", string(f.Type), "reason", removal.Reason, "grants_revoked", result.GrantsRevoked,
		"consents_revoked", result.ConsentsRevoked)
	return result, nil
}

func (r *GrantRemoval) validate() error {
	if r.ID == "" {
		selected := grantstore.Removal{OperationID: randomID(), Filter: r.Filter, Limit: ticketstore.MaxCount}
		if err := selected.Validate(); err != nil {
			return err
		}
	} else if r.Filter != (grantstore.Filter{}) {
		return ticketstore.Invalidf("id", "excludes a filter")
	}
	return ticketstore.CheckText("reason", r.Reason, ticketstore.MaxText)
}

// removeSelected removes the grants that a filter selects.
func (o *Operations) removeSelected(
	ctx context.Context, filter grantstore.Filter,
) (total *GrantRemovalResult, err error) {
	batch := grantstore.Removal{Filter: filter, Limit: ticketstore.MaxCount}
	err = persist(ctx, func(ctx context.Context) (err error) {
		batch.AsOf, err = o.adapter.lastGrant(ctx, filter)
		return err
	})
	if err != nil {
		return nil, fmt.Errorf("hostadapter: removing grants: %w", err)
	}
	total = &GrantRemovalResult{Target: filter}
	places := walk{}
	// Repeat whole walks until one meets nothing: then there was a moment at which nothing was left.
	for met, done := 0, false; !done; {
		removed, err := o.adapter.removeBatch(ctx, batch)
		if err != nil {
			return nil, fmt.Errorf("hostadapter: removing grants: %w", err)
		}
		met += removed.Met
		places.changed += removed.Met
		total.GrantsRevoked += removed.GrantsRevoked
		total.ConsentsRevoked += removed.ConsentsRevoked
		switch batch.After = removed.Next; {
		case len(batch.After) > 0:
			err = places.on(string(batch.After))
		case met > 0:
			met, err = 0, places.again()
		default:
			done = true
		}
		if err != nil {
			return nil, fmt.Errorf("hostadapter: removing grants: %w", err)
		}
	}
	return total, nil
}

// lastGrant returns the current time, or the creation time of the newest grant if that is later because of a
// clock that is or was ahead of this one.
func (a *Adapter) lastGrant(ctx context.Context, filter grantstore.Filter) (time.Time, error) {
	now := a.now()
	query := grantstore.Query{Filter: filter, Order: ticketstore.Descending, Count: 1}
	page, err := a.config.Backend.Grants().Query(ctx, query, now)
	if err != nil || len(page.Grants) == 0 || page.Grants[0].Created.Before(now) {
		return now, err
	}
	return page.Grants[0].Created, nil
}

func (a *Adapter) removeBatch(
	ctx context.Context, batch grantstore.Removal,
) (removed *grantstore.RemovalResult, err error) {
	batch.OperationID = randomID()
	now := a.now()
	err = persist(ctx, func(ctx context.Context) error {
		removed, err = a.config.Backend.Grants().Remove(ctx, batch, now)
		return err
	})
	return removed, err
}
