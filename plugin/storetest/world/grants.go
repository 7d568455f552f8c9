package world

// Grants of a case: creating, using and reading them.

import (
	"errors"
	"time"

	"github.com/fosite-sessions/sessions/grantstore"
	"github.com/fosite-sessions/sessions/ticketstore"
)

// GrantOption changes a grant before it is stored.
type GrantOption func(*grantstore.Grant)

// Family puts the grant in that token family.
func Family(requestID string) GrantOption {
	return func(g *grantstore.Grant) { g.RequestID = requestID }
}

// Offline grants offline access.
func Offline(g *grantstore.Grant) { g.Offline = true }

// Forever removes the grant's expiry.
func Forever(g *grantstore.Grant) { g.Expires = time.Time{} }

// Lasting makes the grant expire that long after its creation.
func Lasting(d time.Duration) GrantOption {
	return func(g *grantstore.Grant) { g.Expires = g.Created.Add(d) }
}

// Of sets the subject of a grant without session.
func Of(subject string) GrantOption {
	return func(g *grantstore.Grant) { g.SubjectID = subject }
}

// Grant returns a grant created now in the session, which may be nil. It has its own family and is not
// stored. It expires after a day, later than any session, so that the session determines its life.
func (w *World) Grant(
	kind grantstore.Type, s *ticketstore.Session, clientID string, options ...GrantOption,
) grantstore.Grant {
	handle := w.Name("handle")
	g := grantstore.Grant{
		Ref: grantstore.Ref{Type: kind, Key: ticketstore.KeyOf(handle)}, RequestID: w.Name("request"),
		ClientID: clientID, Description: "what " + handle + " is for", Created: w.Now,
		Expires: w.Now.Add(24 * time.Hour), Data: []byte("sealed\x00\xff" + handle),
	}
	if s != nil {
		g.SubjectID, g.SessionID = s.SubjectID, s.SessionID
	}
	for _, option := range options {
		option(&g)
	}
	return g
}

// Code returns an authorization code.
func (w *World) Code(s *ticketstore.Session, clientID string, options ...GrantOption) grantstore.Grant {
	return w.Grant(grantstore.AuthorizationCode, s, clientID, options...)
}

// Access returns an access token.
func (w *World) Access(s *ticketstore.Session, clientID string, options ...GrantOption) grantstore.Grant {
	return w.Grant(grantstore.ReferenceToken, s, clientID, options...)
}

// Refresh returns a refresh token.
func (w *World) Refresh(s *ticketstore.Session, clientID string, options ...GrantOption) grantstore.Grant {
	return w.Grant(grantstore.RefreshToken, s, clientID, options...)
}

// Consent returns the subject's consent to the client, without session and expiry.
func (w *World) Consent(subject, clientID string) grantstore.Grant {
	return w.Grant(grantstore.UserConsent, nil, clientID, Of(subject), Forever)
}

// Stored stores a grant and returns it.
func (w *World) Stored(g grantstore.Grant) grantstore.Grant {
	w.Helper()
	w.Apply(grantstore.Batch{Store: []grantstore.Grant{g}})
	return g
}

// Apply applies a batch, with a new operation id if it has none.
func (w *World) Apply(batch grantstore.Batch) *grantstore.Result {
	w.Helper()
	result, err := w.TryApply(batch)
	w.OK(err, "Apply")
	if result == nil {
		w.Fatalf("Apply: got neither a result nor an error")
	}
	return result
}

// TryApply is Apply, returning the error.
func (w *World) TryApply(batch grantstore.Batch) (*grantstore.Result, error) {
	if batch.OperationID == "" {
		batch.OperationID = w.Op()
	}
	return w.Grants.Apply(w.Ctx(), &batch, w.Now)
}

// Consume uses a code or refresh token, and stores the grants in exchange.
func (w *World) Consume(g grantstore.Grant, instead ...grantstore.Grant) {
	w.Helper()
	w.Apply(grantstore.Batch{Consume: &grantstore.Consumption{Ref: g.Ref}, Store: instead})
}

// CannotConsume ends the case if the grant can be used, or the error is none of the targets.
func (w *World) CannotConsume(g grantstore.Grant, targets ...error) {
	w.Helper()
	_, err := w.TryApply(grantstore.Batch{Consume: &grantstore.Consumption{Ref: g.Ref}})
	w.Fails(err, "consume the "+string(g.Type), targets...)
}

// Remove removes the grants selected by the filter, by walks until one finds nothing, and returns the sum of
// the results.
func (w *World) Remove(filter grantstore.Filter) grantstore.RemovalResult {
	w.Helper()
	total, err := w.TryRemove(filter)
	w.OK(err, "Remove")
	return total
}

// TryRemove is Remove, returning the error.
func (w *World) TryRemove(filter grantstore.Filter) (total grantstore.RemovalResult, err error) {
	removal := grantstore.Removal{Filter: filter, Limit: ticketstore.MaxCount, AsOf: w.Now}
	inWalk := 0
	for range 1000 {
		removal.OperationID = w.Op()
		removed, err := w.Grants.Remove(w.Ctx(), removal, w.Now)
		if err != nil {
			return total, err
		}
		inWalk += removed.Met
		total.Met += removed.Met
		total.GrantsRevoked += removed.GrantsRevoked
		total.ConsentsRevoked += removed.ConsentsRevoked
		if removal.After = removed.Next; len(removal.After) > 0 {
			continue
		}
		if inWalk == 0 {
			return total, nil
		}
		inWalk = 0
	}
	return total, errors.New("removing grants does not end")
}

// Uses records that the client, which can be notified, used the session.
func (w *World) Uses(s *ticketstore.Session, clientIDs ...string) {
	w.Helper()
	for _, id := range clientIDs {
		w.Apply(grantstore.Batch{Use: &grantstore.Use{SessionID: s.SessionID, ClientID: id, Notify: true}})
	}
}

// UsesSilently records that the client, which cannot be notified, used the session.
func (w *World) UsesSilently(s *ticketstore.Session, clientID string) {
	w.Helper()
	w.Apply(grantstore.Batch{Use: &grantstore.Use{SessionID: s.SessionID, ClientID: clientID}})
}

// GrantErr returns the result of Get, and ends the case if its error is not about the grant.
func (w *World) GrantErr(g grantstore.Grant) (*grantstore.GetResult, error) {
	w.Helper()
	found, err := w.Grants.Get(w.Ctx(), g.Ref, w.Now)
	switch readable := err == nil || errors.Is(err, grantstore.ErrConsumed); {
	case readable && found == nil:
		w.Fatalf("Get the %s: got no grant with error %v", g.Type, err)
	case found != nil && errors.Is(err, ticketstore.ErrNotFound):
		w.Fatalf("Get the %s: got a grant with error %v, want none", g.Type, err)
	}
	return found, err
}

// Live ends the case if one of the grants is not live now.
func (w *World) Live(grants ...grantstore.Grant) {
	w.Helper()
	for _, g := range grants {
		w.OK(Err(w.GrantErr(g)), "Get the live "+string(g.Type)+" of "+g.ClientID)
	}
}

// Dead ends the case if one of the grants is live or only used. Its row may be gone.
func (w *World) Dead(grants ...grantstore.Grant) {
	w.Helper()
	for _, g := range grants {
		_, err := w.GrantErr(g)
		w.Fails(err, "Get the dead "+string(g.Type)+" of "+g.ClientID, grantstore.ErrSessionEnded,
			ticketstore.ErrNotFound)
	}
}

// Missing ends the case if one of the grants is found.
func (w *World) Missing(grants ...grantstore.Grant) {
	w.Helper()
	for _, g := range grants {
		_, err := w.GrantErr(g)
		w.Fails(err, "Get the missing "+string(g.Type)+" of "+g.ClientID, ticketstore.ErrNotFound)
	}
}

// Used ends the case if one of the grants is not ErrConsumed.
func (w *World) Used(grants ...grantstore.Grant) {
	w.Helper()
	for _, g := range grants {
		w.Fails(Err(w.GrantErr(g)), "Get the used "+string(g.Type)+" of "+g.ClientID, grantstore.ErrConsumed)
	}
}

// LiveGrants returns every live grant that the filter selects, the oldest first.
func (w *World) LiveGrants(filter grantstore.Filter) []grantstore.Grant {
	w.Helper()
	var grants []grantstore.Grant
	query := grantstore.Query{Filter: filter, Order: ticketstore.Ascending, Count: ticketstore.MaxCount}
	for range 1000 {
		page, err := w.Grants.Query(w.Ctx(), query, w.Now)
		w.OK(err, "Query grants")
		grants = append(grants, page.Grants...)
		if !page.HasNext {
			return grants
		}
		query.ResultsToken = page.ResultsToken
	}
	w.Fatal("a query of grants does not end")
	return nil
}
