package hostadapter

// Consents: the scopes that users have granted to clients, stored as sealed grants.

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"time"

	"go.opentelemetry.io/otel/trace"

	"github.com/fosite-sessions/sessions/grantstore"
	"github.com/fosite-sessions/sessions/ticketstore"
)

// MaxScopes bounds the scopes of one consent.
const MaxScopes = 256

const (
	consentPurpose = string(grantstore.UserConsent)
	// consentTimeout bounds how long Remember retries after conflicts with other changes of the same consent.
	consentTimeout = 10 * time.Second
	// consentPause is the maximum pause after a conflict.
	consentPause = 20 * time.Millisecond
)

// Consents stores the scopes that users have granted to clients, so that the consent page need not be shown
// again. They belong to the user, not to a session, and are stored as sealed grants, which a removal with
// revoke_consents revokes. Its methods are safe for concurrent use, also by several hosts. If the store is
// unavailable they return ticketstore.ErrUnavailable, which implies nothing about the consent. A consent
// whose sealing key was lost does not count: the user is asked again.
type Consents struct{ adapter *Adapter }

// Consents returns the consents of the adapter's users.
func (a *Adapter) Consents() *Consents { return &Consents{a} }

// Consent is what a user has granted to a client.
type Consent struct {
	SubjectID string
	ClientID  string
	// Scopes are the currently valid ones, sorted by name.
	Scopes []ConsentedScope
}

// ConsentedScope is one scope of a consent.
type ConsentedScope struct {
	Scope string
	// Given is when the user last agreed to the scope.
	Given time.Time
	// Expires is when the user must be asked again. Zero: not until the consent is revoked.
	Expires time.Time
}

// Covers reports whether the consent covers all of the scopes. A consent that is nil or has no valid scope
// covers nothing, not even an empty list: the user was never asked.
func (c *Consent) Covers(scopes []string) bool {
	if c == nil || len(c.Scopes) == 0 {
		return false
	}
	for _, scope := range scopes {
		if _, found := c.find(scope); !found {
			return false
		}
	}
	return true
}

func (c *Consent) find(scope string) (at int, found bool) {
	return slices.BinarySearchFunc(c.Scopes, scope, func(s ConsentedScope, name string) int {
		return strings.Compare(s.Scope, name)
	})
}

// Remember adds scopes to the consent of the user to the client. lifetime is how long these scopes are valid
// from now, including those granted before; zero: until revoked. Without scopes nothing changes. Each call is
// a write: call it when the user has agreed. Concurrent calls do not lose each other's scopes, and none
// restores a consent that was revoked meanwhile. For an invalid argument it returns a
// *ticketstore.FieldError.
func (c *Consents) Remember(
	ctx context.Context, subjectID, clientID string, scopes []string, lifetime time.Duration,
) (err error) {
	if err := errors.Join(checkParties(subjectID, clientID), checkScopes(scopes)); err != nil {
		return err
	}
	switch {
	case lifetime < 0:
		return ticketstore.Invalidf("lifetime", "is negative")
	case len(scopes) == 0:
		return nil
	}
	ctx, span := c.start(ctx, "remember consent", subjectID, clientID)
	defer func() { end(span, err) }()
	ctx, cancel := context.WithTimeout(ctx, consentTimeout)
	defer cancel()
	for {
		err := c.add(ctx, subjectID, clientID, scopes, lifetime)
		// A concurrent call has changed the consent since it was read.
		lost := errors.Is(err, ticketstore.ErrConflict) || errors.Is(err, ticketstore.ErrExists)
		if !lost {
			return wrapConsent("remembering", err)
		}
		select {
		case <-time.After(rand.N(consentPause)): //nolint:gosec // a pause is not a secret
		case <-ctx.Done():
			return wrapConsent("remembering", fmt.Errorf("%w: %w", ticketstore.ErrUnavailable, ctx.Err()))
		}
	}
}

// start begins the span of a change.
func (c *Consents) start(
	ctx context.Context, name, subjectID, clientID string,
) (context.Context, trace.Span) {
	ctx, span := c.adapter.tracing.startAbout(ctx, name, "", subjectID)
	c.adapter.tracing.name(span, SpanClient, clientID)
	return ctx, span
}

// add makes one attempt. It replaces the consent by one with the scopes added, provided that it is unchanged
// since it was read: the batch checks Seen in its own transaction, and if there was no consent, the key must
// still be free.
func (c *Consents) add(
	ctx context.Context, subjectID, clientID string, scopes []string, lifetime time.Duration,
) error {
	now := c.adapter.now()
	old, stored, err := c.read(ctx, subjectID, clientID, now)
	if err != nil {
		return err
	}
	consent := old.with(scopes, lifetime, now)
	if len(consent.Scopes) > MaxScopes {
		return ticketstore.Invalidf("scopes", "and those consented to before are more than %d", MaxScopes)
	}
	grant, err := c.seal(subjectID, clientID, consent, now)
	if err != nil {
		return err
	}
	batch := &grantstore.Batch{OperationID: randomID(), Store: []grantstore.Grant{*grant}}
	if stored != nil {
		batch.Seen = []grantstore.Precondition{grantstore.PreconditionOf(stored)}
		batch.Delete = []grantstore.Ref{stored.Ref}
	}
	_, err = c.adapter.apply(ctx, batch, now)
	return err
}

// Given reports whether the user has granted all of these scopes to the client, so need not be asked again.
func (c *Consents) Given(ctx context.Context, subjectID, clientID string, scopes []string) (bool, error) {
	consent, err := c.Find(ctx, subjectID, clientID)
	if errors.Is(err, ticketstore.ErrNotFound) {
		return false, nil
	}
	return consent.Covers(scopes), err
}

// Find returns the consent of the user to the client. It returns ticketstore.ErrNotFound if there is none, or
// none that is still valid.
func (c *Consents) Find(ctx context.Context, subjectID, clientID string) (*Consent, error) {
	if err := checkParties(subjectID, clientID); err != nil {
		return nil, err
	}
	consent, _, err := c.read(ctx, subjectID, clientID, c.adapter.now())
	switch {
	case err != nil:
		return nil, wrapConsent("reading", err)
	case consent == nil || len(consent.Scopes) == 0:
		return nil, wrapConsent("reading", ticketstore.ErrNotFound)
	}
	return consent, nil
}

// Revoke revokes the consent of the user to the client, and with it all of the client's codes and tokens for
// the user, including offline tokens and those of any session. The user's sessions stay. If there is nothing
// to revoke it returns no error. The consent is revoked first, and then the rest, even if ctx ends
// meanwhile: after an error, a repeated call revokes the rest. JWT access tokens that are validated offline
// stay valid until their exp. A server that keeps its grants in its own store (fositestore.Sessions.Wrap)
// revokes the client's codes and tokens there itself: Revoke does not reach them.
func (c *Consents) Revoke(ctx context.Context, subjectID, clientID string) (err error) {
	if err := checkParties(subjectID, clientID); err != nil {
		return err
	}
	ctx, span := c.start(ctx, "revoke consent", subjectID, clientID)
	defer func() { end(span, err) }()
	batch := &grantstore.Batch{
		OperationID: randomID(), Delete: []grantstore.Ref{consentRef(subjectID, clientID)},
	}
	if _, err = c.adapter.apply(ctx, batch, c.adapter.now()); err == nil {
		// Also if the browser disconnects or the deadline passes: the user's page no longer lists the client.
		_, err = c.adapter.Operations().RemoveGrants(context.WithoutCancel(ctx), GrantRemoval{
			Filter: grantstore.Filter{SubjectID: subjectID, ClientID: clientID}, Reason: "consent revoked",
		})
	}
	return wrapConsent("revoking", err)
}

// List returns the user's consents, ordered by their last change. It costs one read per consent.
func (c *Consents) List(ctx context.Context, subjectID string) ([]Consent, error) {
	if err := ticketstore.CheckID("subject_id", subjectID); err != nil {
		return nil, err
	}
	now := c.adapter.now()
	query := grantstore.Query{
		Filter: grantstore.Filter{SubjectID: subjectID, Type: grantstore.UserConsent},
		Order:  ticketstore.Ascending, Count: ticketstore.MaxCount,
	}
	consents, seen := []Consent{}, map[string]bool{}
	err := eachPage(func(token string) (next string, more bool, err error) {
		query.ResultsToken = token
		page, err := c.adapter.config.Backend.Grants().Query(ctx, query, now)
		if err != nil {
			return "", false, err
		}
		for i := range page.Grants {
			client := page.Grants[i].ClientID
			if seen[client] {
				continue // granted again meanwhile
			}
			seen[client] = true
			consent, _, err := c.read(ctx, subjectID, client, now)
			if err != nil {
				return "", false, err
			}
			if consent != nil && len(consent.Scopes) > 0 { // otherwise it was revoked meanwhile
				consents = append(consents, *consent)
			}
		}
		return page.ResultsToken, page.HasNext, nil
	})
	if err != nil {
		return nil, wrapConsent("listing", err)
	}
	return consents, nil
}

// read returns the consent with the scopes that are valid at now, and the grant that holds it; nil if there
// is none.
func (c *Consents) read(
	ctx context.Context, subjectID, clientID string, now time.Time,
) (*Consent, *grantstore.Grant, error) {
	ref := consentRef(subjectID, clientID)
	found, err := c.adapter.config.Backend.Grants().Get(ctx, ref, now)
	switch {
	case errors.Is(err, ticketstore.ErrNotFound):
		return nil, nil, nil
	case err != nil:
		return nil, nil, err
	}
	plain, err := c.adapter.unseal(consentPurpose, ref.Key[:], found.Grant.Data)
	if errors.Is(err, ErrSealed) {
		return nil, &found.Grant, nil // the user is asked again, and the new consent replaces this one
	}
	if err != nil {
		return nil, nil, err
	}
	var all []ConsentedScope
	if err := json.Unmarshal(plain, &all); err != nil {
		return nil, nil, errors.New("consent is malformed")
	}
	consent := &Consent{SubjectID: subjectID, ClientID: clientID}
	for _, scope := range all {
		if scope.Expires.IsZero() || now.Before(scope.Expires) {
			consent.Scopes = append(consent.Scopes, scope)
		}
	}
	return consent, &found.Grant, nil
}

// seal returns the grant that holds a consent. It expires with the last of its scopes.
func (c *Consents) seal(
	subjectID, clientID string, consent *Consent, now time.Time,
) (*grantstore.Grant, error) {
	plain, err := json.Marshal(consent.Scopes)
	if err != nil {
		return nil, err
	}
	if len(plain)+sealOverhead > grantstore.MaxData {
		return nil, ticketstore.Invalidf("scopes",
			"are longer than a consent of %d bytes can hold", grantstore.MaxData)
	}
	grant := &grantstore.Grant{
		Ref: consentRef(subjectID, clientID), SubjectID: subjectID, ClientID: clientID, Created: now,
	}
	grant.Expires = consent.Scopes[0].Expires
	for _, scope := range consent.Scopes {
		switch {
		case grant.Expires.IsZero():
		case scope.Expires.IsZero(), scope.Expires.After(grant.Expires):
			grant.Expires = scope.Expires
		}
	}
	grant.Data = c.adapter.ring.seal(consentPurpose, grant.Key[:], plain)
	return grant, nil
}

// with returns a copy of the consent, which may be nil, with the scopes granted at now.
func (c *Consent) with(scopes []string, lifetime time.Duration, now time.Time) *Consent {
	result := &Consent{}
	if c != nil {
		result.Scopes = slices.Clone(c.Scopes)
	}
	given := ConsentedScope{Given: now}
	if lifetime > 0 {
		given.Expires = now.Add(lifetime)
	}
	for _, given.Scope = range scopes {
		at, found := result.find(given.Scope)
		if found {
			result.Scopes[at] = given
			continue
		}
		result.Scopes = slices.Insert(result.Scopes, at, given)
	}
	return result
}

// consentRef returns the reference of a user's consent to a client. Ids contain no NUL.
func consentRef(subjectID, clientID string) grantstore.Ref {
	return grantstore.Ref{Type: grantstore.UserConsent, Key: ticketstore.KeyOf(subjectID + "\x00" + clientID)}
}

func checkParties(subjectID, clientID string) error {
	return errors.Join(ticketstore.CheckID("subject_id", subjectID),
		ticketstore.CheckID("client_id", clientID))
}

func checkScopes(scopes []string) error {
	if len(scopes) > MaxScopes {
		return ticketstore.Invalidf("scopes", "are more than %d", MaxScopes)
	}
	for _, scope := range scopes {
		if err := ticketstore.CheckID("scopes", scope); err != nil {
			return err
		}
	}
	return nil
}

func wrapConsent(doing string, err error) error {
	if err == nil {
		return nil
	}
	return fmt.Errorf("hostadapter: %s a consent: %w", doing, err)
}
