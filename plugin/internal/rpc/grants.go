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

type grantsServer struct {
	pb.UnimplementedGrantsServiceServer
	server *Server
}

// GetGrant reads a grant. A dead grant is an answer, not an error.
func (g *grantsServer) GetGrant(
	ctx context.Context, request *pb.GetGrantRequest,
) (*pb.GetGrantResponse, error) {
	return serveAt(ctx, g.server, getGrant.name, request.GetNow(),
		func(b sessions.Backend, now time.Time) (*pb.GetGrantResponse, error) {
			ref, err := wire.Ref(request.GetRef())
			if err != nil {
				return nil, err
			}
			found, err := b.Grants().Get(ctx, ref, now)
			if answer := wire.FromGetResult(found, err); answer != nil {
				return answer, nil
			}
			return nil, err
		})
}

// ApplyBatch applies a batch.
func (g *grantsServer) ApplyBatch(
	ctx context.Context, request *pb.ApplyBatchRequest,
) (*pb.ApplyBatchResponse, error) {
	return serveAt(ctx, g.server, applyBatch.name, request.GetNow(),
		func(b sessions.Backend, now time.Time) (*pb.ApplyBatchResponse, error) {
			batch, err := wire.ToBatch(request)
			if err != nil {
				return nil, err
			}
			result, err := b.Grants().Apply(ctx, batch, now)
			return toAnswer(result, err, wire.FromApplied)
		})
}

// QueryGrants lists grants.
func (g *grantsServer) QueryGrants(
	ctx context.Context, request *pb.QueryGrantsRequest,
) (*pb.QueryGrantsResponse, error) {
	return serveAt(ctx, g.server, queryGrants.name, request.GetNow(),
		func(b sessions.Backend, now time.Time) (*pb.QueryGrantsResponse, error) {
			page, err := b.Grants().Query(ctx, wire.ToGrantQuery(request), now)
			return toAnswer(page, err, wire.FromGrantPage)
		})
}

// RemoveGrants removes grants.
func (g *grantsServer) RemoveGrants(
	ctx context.Context, request *pb.RemoveGrantsRequest,
) (*pb.RemoveGrantsResponse, error) {
	return serveAt(ctx, g.server, removeGrants.name, request.GetNow(),
		func(b sessions.Backend, now time.Time) (*pb.RemoveGrantsResponse, error) {
			removed, err := b.Grants().Remove(ctx, wire.ToRemoval(request), now)
			if removed == nil {
				return nil, err
			}
			return &pb.RemoveGrantsResponse{Removed: records.FromRemoval(removed)}, err
		})
}

// PurgeGrants deletes records that are due for purging.
func (g *grantsServer) PurgeGrants(
	ctx context.Context, request *pb.PurgeGrantsRequest,
) (*pb.PurgeGrantsResponse, error) {
	return serveAt(ctx, g.server, purgeGrants.name, request.GetNow(),
		func(b sessions.Backend, now time.Time) (*pb.PurgeGrantsResponse, error) {
			deleted, err := b.Grants().Purge(ctx, int(request.GetLimit()), now)
			return &pb.PurgeGrantsResponse{Deleted: wire.FromLimit(deleted)}, err
		})
}
