package rpc

// GrantsService, client and server.

import (
	"bytes"
	"cmp"
	"context"
	"errors"
	"slices"
	"time"

	"github.com/fosite-sessions/sessions"
	"github.com/fosite-sessions/sessions/grantstore"
	pb "github.com/fosite-sessions/sessions/plugin/internal/pluginpb"
	"github.com/fosite-sessions/sessions/plugin/internal/wire"
	"github.com/fosite-sessions/sessions/plugin/records"
)

var (
	getGrant     = repeatable(pb.GrantsService_GetGrant_FullMethodName, "get grant")
	applyBatch   = repeatable(pb.GrantsService_ApplyBatch_FullMethodName, "apply batch")
	queryGrants  = repeatable(pb.GrantsService_QueryGrants_FullMethodName, "query grants")
	removeGrants = repeatable(pb.GrantsService_RemoveGrants_FullMethodName, "remove grants")
	purgeGrants  = repeatable(pb.GrantsService_PurgeGrants_FullMethodName, "purge grants")
)

// maxRelated bounds the related grants of a code.
const maxRelated = grantstore.MaxBatch

// Grants is a grantstore.Store in a plugin.
type Grants struct{ Caller *Caller }

var _ grantstore.Store = (*Grants)(nil)

// Get implements grantstore.Store.
func (g *Grants) Get(ctx context.Context, ref grantstore.Ref, now time.Time) (*grantstore.GetResult, error) {
	if err := ref.Validate(); err != nil {
		return nil, err
	}
	request := &pb.GetGrantRequest{Ref: records.RefBytes(ref), Now: records.Nanos(now)}
	answer, err := invoke[pb.GetGrantResponse](ctx, g.Caller, &getGrant, request)
	if err != nil {
		return nil, err
	}
	found, dead, err := wire.ToGetResult(answer)
	if err != nil {
		return nil, broken(&getGrant, "%v", err)
	}
	if err := checkFound(found, ref, dead); err != nil {
		return nil, err
	}
	if dead != nil {
		return found, &callError{method: getGrant.name, err: dead}
	}
	return found, nil
}

func checkFound(found *grantstore.GetResult, ref grantstore.Ref, dead error) error {
	if found.Grant.Ref != ref {
		return broken(&getGrant, "another grant than the one asked for")
	}
	// A used grant returned as live could be exchanged again (rule 3).
	used := !found.Grant.Consumed.IsZero()
	if (dead == nil && used) || (errors.Is(dead, grantstore.ErrConsumed) && !used) {
		return broken(&getGrant, "a grant that is used and unused at once")
	}
	if s := found.Session; s != nil && !times(s) {
		return broken(&getGrant, "a session without its times")
	}
	if n := len(found.Related); n > maxRelated || (n > 0 && ref.Type != grantstore.AuthorizationCode) {
		return broken(&getGrant, "%d related grants of a %s", n, ref.Type)
	}
	for i := range found.Related {
		related := &found.Related[i]
		if err := related.Validate(); err != nil {
			return broken(&getGrant, "related: %v", err)
		}
		// The OpenID and PKCE rows of a different code would give this code their nonce and challenge.
		if related.RequestID != found.Grant.RequestID {
			return broken(&getGrant, "a related grant of another family")
		}
	}
	if err := found.Grant.Validate(); err != nil {
		return broken(&getGrant, "%v", err)
	}
	return nil
}

// times reports whether a session has its required times.
func times(s *grantstore.SessionTimes) bool { return !s.Renewed.IsZero() && !s.Expires.IsZero() }

// Apply implements grantstore.Store. An unknown outcome is resolved by a retry under the same operation id
// (rule 3).
func (g *Grants) Apply(
	ctx context.Context, batch *grantstore.Batch, now time.Time,
) (*grantstore.Result, error) {
	if err := batch.Validate(); err != nil {
		return nil, err
	}
	answer, err := invoke[pb.ApplyBatchResponse](ctx, g.Caller, &applyBatch, wire.FromBatch(batch, now))
	if err != nil {
		return nil, err
	}
	if answer.GetRevoked() < 0 {
		return nil, broken(&applyBatch, "a negative count")
	}
	// The host publishes an event for each slide, and this batch requested none.
	if answer.GetSlid() && batch.Slide == nil {
		return nil, broken(&applyBatch, "a session that slid unasked")
	}
	result := wire.ToApplied(answer)
	if s := result.Session; s != nil && !times(s) {
		return nil, broken(&applyBatch, "a session without its times")
	}
	// The host may cache what was stored: copies are found by that session when it ends.
	if result.Session != nil && (len(batch.Store) == 0 || result.Slid || slices.ContainsFunc(batch.Store,
		func(g grantstore.Grant) bool {
			return g.SessionID == "" || g.SessionID != batch.Store[0].SessionID
		})) {
		return nil, broken(&applyBatch, "the times of a session that not all of the batch is of")
	}
	return result, nil
}

// Query implements grantstore.Store.
func (g *Grants) Query(ctx context.Context, query grantstore.Query, now time.Time) (*grantstore.Page, error) {
	walk, err := query.Walk()
	if err != nil {
		return nil, err
	}
	return ask(ctx, g.Caller, &queryGrants, wire.FromGrantQuery(query, now), wire.ToGrantPage,
		func(page *grantstore.Page) error {
			want := requestedPage{count: walk.Count, token: query.ResultsToken, prior: query.Prior}
			err := checkPage(want, len(page.Grants), page.ResultsToken, page.HasNext)
			for i := range page.Grants {
				err = cmp.Or(err, checkGrantRow(&page.Grants[i], &walk.Filter))
			}
			return err
		})
}

func checkGrantRow(row *grantstore.Grant, filter *grantstore.Filter) error {
	if err := row.Validate(); err != nil {
		return err
	}
	for _, exact := range [][2]string{
		{filter.SubjectID, row.SubjectID}, {filter.SessionID, row.SessionID}, {filter.ClientID, row.ClientID},
		{string(filter.Type), string(row.Type)},
	} {
		if exact[0] != "" && exact[0] != exact[1] {
			return errors.New("a grant that the filter leaves out")
		}
	}
	return nil
}

// Purge implements grantstore.Store.
func (g *Grants) Purge(ctx context.Context, limit int, now time.Time) (int, error) {
	request := &pb.PurgeGrantsRequest{Limit: wire.FromLimit(limit), Now: records.Nanos(now)}
	answer, err := invoke[pb.PurgeGrantsResponse](ctx, g.Caller, &purgeGrants, request)
	if err != nil {
		return 0, err
	}
	deleted := int(answer.GetDeleted())
	if deleted < 0 || deleted > max(limit, 0) {
		return 0, broken(&purgeGrants, "%d deleted where %d were asked for", deleted, limit)
	}
	return deleted, nil
}

// Remove implements grantstore.Store. An unknown outcome is resolved by a retry under the same operation id
// (rule 3).
func (g *Grants) Remove(
	ctx context.Context, removal grantstore.Removal, now time.Time,
) (*grantstore.RemovalResult, error) {
	if err := removal.Validate(); err != nil {
		return nil, err
	}
	answer, err := invoke[pb.RemoveGrantsResponse](ctx, g.Caller, &removeGrants,
		wire.FromRemoval(removal, now))
	if err != nil {
		return nil, err
	}
	if answer.GetRemoved() == nil {
		return nil, broken(&removeGrants, "no counts")
	}
	removed := records.RemovalOf(answer.GetRemoved())
	switch {
	case min(removed.GrantsRevoked, removed.ConsentsRevoked) < 0 ||
		removed.GrantsRevoked+removed.ConsentsRevoked > removed.Met:
		return nil, broken(&removeGrants, "counts that cannot be")
	case removed.Met > removal.Limit:
		return nil, broken(&removeGrants, "%d removed where %d were asked for", removed.Met, removal.Limit)
	// Repeating the same position would make the walk endless.
	case len(removed.Next) > grantstore.MaxRemovalCursor, len(removed.Next) > 0 &&
		bytes.Equal(removed.Next, removal.After):
		return nil, broken(&removeGrants, "a place that leads nowhere")
	}
	return removed, nil
}

var grantHandlers = []*handler{
	// A dead grant is an answer, not an error.
	handleAt(&getGrant, func(
		ctx context.Context, b sessions.Backend, request *pb.GetGrantRequest, now time.Time,
	) (*pb.GetGrantResponse, error) {
		ref, err := wire.Ref(request.GetRef())
		if err != nil {
			return nil, err
		}
		found, err := b.Grants().Get(ctx, ref, now)
		if answer := wire.FromGetResult(found, err); answer != nil {
			return answer, nil
		}
		return nil, err
	}),
	forwardAt(&applyBatch, wire.ToBatch, sessions.Backend.Grants, grantstore.Store.Apply, wire.FromApplied),
	forwardAt(&queryGrants, always(wire.ToGrantQuery), sessions.Backend.Grants, grantstore.Store.Query,
		wire.FromGrantPage),
	forwardAt(&removeGrants, always(wire.ToRemoval), sessions.Backend.Grants, grantstore.Store.Remove,
		func(removed *grantstore.RemovalResult) *pb.RemoveGrantsResponse {
			return &pb.RemoveGrantsResponse{Removed: records.FromRemoval(removed)}
		}),
	handleAt(&purgeGrants, func(
		ctx context.Context, b sessions.Backend, request *pb.PurgeGrantsRequest, now time.Time,
	) (*pb.PurgeGrantsResponse, error) {
		deleted, err := b.Grants().Purge(ctx, int(request.GetLimit()), now)
		return &pb.PurgeGrantsResponse{Deleted: wire.FromLimit(deleted)}, err
	}),
}
