package fositestore

// Construction of grants, and of requests from grants.

import (
	"cmp"
	"context"
	"errors"
	"net/url"
	"slices"
	"time"

	"github.com/ory/fosite"
	"github.com/ory/fosite/handler/openid"

	"github.com/fosite-sessions/sessions/grantstore"
	"github.com/fosite-sessions/sessions/ticketstore"
)

// newGrant returns a grant for the request, bound to the session that Bind recorded in the request. Its data
// is set later, because the fields it is sealed for may still change.
func (s *Store) newGrant(
	t grantstore.Type, handle string, request fosite.Requester, expires time.Time,
) (grantstore.Grant, error) {
	if handle == "" {
		return grantstore.Grant{},
			errors.New("fositestore: a " + string(t) + " without a signature cannot be stored")
	}
	grant := grantstore.Grant{
		Ref:       refOf(t, handle),
		RequestID: request.GetID(),
		Created:   s.now(),
		Expires:   storable(expires),
		Offline:   request.GetGrantedScopes().HasOneOf("offline_access", "offline"),
	}
	if client := request.GetClient(); client != nil {
		grant.ClientID = client.GetID()
	}
	if session := request.GetSession(); !isNil(session) {
		grant.SubjectID, grant.SessionID = subjectOf(session), SessionIDOf(session)
	}
	return grant, nil
}

// sealRequest sets the grant's data to the sealed request. issuer is that of the grant it inherits from, or
// empty if there is none: then the session is one of the current issuer.
func (s *Store) sealRequest(
	grant *grantstore.Grant, request fosite.Requester, what encoding, issuer string,
) error {
	w := newWriter()
	defer w.release()
	w.stored(request, what)
	if grant.SessionID != "" {
		w.text(issuerField, cmp.Or(issuer, s.tie.Issuer))
	}
	if w.err == nil {
		s.seal(grant, w.data)
	}
	return w.err
}

func (s *Store) create(
	ctx context.Context, t grantstore.Type, handle string, request fosite.Requester, expires time.Time,
) error {
	return s.createWith(ctx, t, handle, request, expires, encoding{}, nil)
}

// createWith does what create does and applies another change in the same batch.
func (s *Store) createWith(
	ctx context.Context, t grantstore.Type, handle string, request fosite.Requester, expires time.Time,
	what encoding,
	also func(*grantstore.Batch) error,
) error {
	grant, err := s.newGrant(t, handle, request, expires)
	if err != nil {
		return err
	}
	issuer, err := s.inherit(ctx, &grant)
	if err != nil {
		return err
	}
	if err := s.sealRequest(&grant, request, what, issuer); err != nil {
		return err
	}
	return s.write(ctx, func(b *grantstore.Batch) error {
		if len(b.Store) > 0 { // grants of one batch have one creation time
			grant.Created = b.Store[0].Created
		}
		b.Store = append(b.Store, grant)
		if also == nil {
			return nil
		}
		return also(b)
	})
}

// expiry returns when a token of that type expires: the session's expiry, else the lifespan, as fosite's own
// strategies do.
func expiry(request fosite.Requester, t fosite.TokenType, lifespan time.Duration) time.Time {
	if session := request.GetSession(); !isNil(session) {
		if at := session.GetExpiresAt(t); !at.IsZero() {
			return at
		}
	}
	return request.GetRequestedAt().Add(lifespan)
}

// requester returns the request of a row with the given session, unmodified.
func (s *Store) requester(ctx context.Context, r *row, session fosite.Session) (*fosite.Request, error) {
	if r.request == "" && r.used {
		// A consumed grant keeps no request.
		client, err := s.client(ctx, r.grant.ClientID)
		return &fosite.Request{ID: r.grant.RequestID, Client: client, Session: session, Form: url.Values{}},
			err
	}
	if r.request == "" {
		return nil, s.reportData(ctx, r.grant.Ref, errData)
	}
	client, err := s.client(ctx, r.request.text(clientIDField))
	if err != nil {
		return nil, err
	}
	request, err := decodeRequest(r.request, r.lang, client, session)
	if err != nil {
		return nil, s.reportData(ctx, r.grant.Ref, err)
	}
	return request, nil
}

// hydrated returns the request of a row and fills the given session. If session is nil, the request has the
// stored session if that is of one of fosite's types, as from fosite's own store, else nil.
//
// At the token endpoint the stored type decides: if the grant is for an ID token and the given session cannot
// hold one, the request gets the stored session. The given session is filled nevertheless, because fosite
// reads its expiries.
func (s *Store) hydrated(ctx context.Context, r *row, session fosite.Session) (*fosite.Request, error) {
	stored := r.request.session()
	into := []fosite.Session{session}
	if isNil(session) {
		into[0] = newOfKind(stored.kind)
	} else if _, ok := session.(openid.Session); !ok && r.wantsIDToken() {
		into = append(into, &openid.DefaultSession{})
	}
	session = into[len(into)-1]
	if session == nil {
		return s.requester(ctx, r, nil)
	}
	for _, session := range into {
		if err := hydrate(session, stored); err != nil {
			return nil, s.reportData(ctx, r.grant.Ref, err)
		}
		r.addExpiry(session)
	}
	return s.requester(ctx, r, session)
}

// wantsIDToken reports whether a code or refresh token was granted the openid scope, with a session that can
// hold an ID token.
func (r *row) wantsIDToken() bool {
	switch r.grant.Type {
	case grantstore.AuthorizationCode, grantstore.OpenIDRequest, grantstore.RefreshToken:
		return r.request.session().kind == openIDKind &&
			slices.Contains(r.request.texts(grantedScopesField), "openid")
	}
	return false
}

// addExpiry sets the expiry of the token itself in a session that lacks it because its type differs from the
// stored one.
func (r *row) addExpiry(session fosite.Session) {
	var t fosite.TokenType
	switch r.grant.Type {
	case grantstore.AuthorizationCode:
		t = fosite.AuthorizeCode
	case grantstore.RefreshToken:
		t = fosite.RefreshToken
	case grantstore.ReferenceToken:
		t = fosite.AccessToken
	default:
		return
	}
	if r.request != "" && !r.grant.Expires.IsZero() && session.GetExpiresAt(t).IsZero() {
		session.SetExpiresAt(t, r.grant.Expires)
	}
}

// client reads the client of a stored request from the host's store, once per request. If the client is gone,
// its grants are not found.
func (s *Store) client(ctx context.Context, id string) (fosite.Client, error) {
	if id == "" {
		return &fosite.DefaultClient{}, nil
	}
	client, err := s.GetClient(ctx, id)
	switch {
	case errors.Is(err, fosite.ErrNotFound) || errors.Is(err, ticketstore.ErrNotFound):
		return nil, fosite.ErrNotFound.WithWrap(err)
	case err != nil:
		s.carriers.from(ctx).note(err)
		return nil, err
	}
	return client, nil
}
