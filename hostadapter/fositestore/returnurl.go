package fositestore

// ReturnURL: the URL that leads from the host's pages back to the authorization endpoint.

import (
	"context"
	"crypto/rand"
	"encoding/binary"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"strings"
	"time"

	"github.com/ory/fosite"

	"github.com/fosite-sessions/sessions/grantstore"
	"github.com/fosite-sessions/sessions/ticketstore"
)

const (
	// markParameter holds the sealed time at which the request was interrupted to show one of the host's
	// pages.
	markParameter = "sessions_asked"
	// markLifetime bounds the time that a user may spend on one such page, maxMarkLifetime the time spent on
	// all of them. A stored request is kept for the latter: one that returns without a valid mark leads on.
	markLifetime    = 10 * time.Minute
	maxMarkLifetime = time.Hour
	// maxReturnURL bounds the length of a URL that contains the whole request: hosts escape it into a
	// Location, and proxies answer 502 if the response headers exceed 4 KiB.
	maxReturnURL = 1 << 10
	// maxUnauthenticatedRequest bounds the encoded parameters, in bytes, of an authorization request that is
	// stored for a sender who has not authenticated: anybody may send any number of them.
	maxUnauthenticatedRequest = 16 << 10
)

var errRequestTooLong = fosite.ErrInvalidRequest.WithHintf(
	"The authorization request has more than %d bytes of parameters.", maxUnauthenticatedRequest)

// marked are the request parameters that a mark is bound to.
var marked = []string{
	"client_id", "redirect_uri", "response_type", "scope", "state", "nonce", "prompt", "max_age",
	"acr_values", "id_token_hint", "claims",
	"request", "request_uri",
}

// ReturnURL returns the URL to which the browser returns after a page on which the user signs in or consents,
// the host's own page or another provider's. It is the authorization request with a mark that holds the time
// at which the user was first asked. ReturnURL sets a cookie on w that identifies the browser. Call it in the
// handler of the authorization endpoint, after NeedsSignIn or NeedsConsent has returned true. Then redirect
// to the page, and pass the URL along, for instance in a parameter or, across a callback, by the callback's
// state.
//
// A request that returns with its mark, within 10 minutes and from the same browser, is evaluated as of the
// time in the mark (OpenID Connect Core 1.0, section 3.1.2.1): a sign-in since then satisfies prompt, max_age
// and acr_values. A request without a mark is evaluated as of its arrival. If users sign in at another
// provider that reports when they did, set Identity.AuthTime and request a new sign-in there too.
//
// The URL is a path with a query: the path that the browser requested, as far as this process can tell.
// Behind a proxy that strips a prefix, prepend the prefix. A request too long for a Location is stored like a
// pushed one (RFC 9126), and the URL refers to it; with more than 16 KiB of parameters the error is
// fosite.ErrInvalidRequest. If the store is unavailable, the error is ticketstore.ErrUnavailable. Pass either
// to WriteAuthorizeError. Anybody can have such requests stored, for an hour each: a public server should
// throttle its authorization endpoint by address.
func (s *Sessions) ReturnURL(
	w http.ResponseWriter, r *http.Request, request fosite.AuthorizeRequester,
) (string, error) {
	now := s.store.now()
	asked, _ := s.store.askedAt(r)
	if asked.IsZero() {
		asked = now
	}
	until := now.Add(markLifetime)
	if latest := asked.Add(maxMarkLifetime); latest.Before(until) {
		until = latest
	}
	path, query := returnPath(r), rawQuery(r)
	if pushed := s.store.pushedURI(r.Context(), request); pushed != "" {
		if err := s.store.extendPushed(r.Context(), pushed); err != nil {
			return "", err
		}
	} else if len(path)+len(query) > maxReturnURL {
		if isTooLong(request) {
			return "", errRequestTooLong
		}
		uri := s.fosite.GetPushedAuthorizeRequestURIPrefix(r.Context()) + rand.Text()
		if err := s.store.createPushed(r.Context(), uri, request, now.Add(maxMarkLifetime)); err != nil {
			return "", asUnavailable(err)
		}
		query = url.Values{"client_id": {request.GetClient().GetID()}, "request_uri": {uri}}.Encode()
	}
	parameters, _ := url.ParseQuery(query)
	moments := binary.BigEndian.AppendUint64(binary.BigEndian.AppendUint64(nil, uint64(asked.UnixNano())),
		uint64(until.UnixNano()))
	mark := s.store.tie.Mark(w, r, markedOf(parameters), moments, maxMarkLifetime)
	return path + "?" + query + "&" + markParameter + "=" + mark, nil
}

// isTooLong reports whether a request exceeds maxUnauthenticatedRequest.
func isTooLong(request fosite.AuthorizeRequester) bool {
	return len(request.GetRequestForm().Encode()) > maxUnauthenticatedRequest
}

// askedAt returns the time at which the user was first asked, from the mark of the request. It returns false
// if the mark is missing or invalid.
func (s *Store) askedAt(r *http.Request) (asked time.Time, ok bool) {
	parameters := r.URL.Query()
	moments, ok := s.tie.ReadMark(r, markedOf(parameters), parameters.Get(markParameter))
	if !ok || len(moments) != 16 || s.now().UnixNano() >= int64(binary.BigEndian.Uint64(moments[8:])) {
		return time.Time{}, false
	}
	return time.Unix(0, int64(binary.BigEndian.Uint64(moments))).UTC(), true
}

// markedOf returns the parameters that a mark is bound to, each value length-prefixed.
func markedOf(parameters url.Values) (about []byte) {
	for _, name := range marked {
		value := strings.Join(parameters[name], "\x00")
		about = append(binary.AppendUvarint(about, uint64(len(value))), value...)
	}
	return about
}

// returnPath returns the path that the browser requested, also if a mux has stripped a prefix. It begins with
// a single slash: two would start a host name.
func returnPath(r *http.Request) string {
	path := r.URL.EscapedPath()
	if uri, err := url.ParseRequestURI(r.RequestURI); err == nil && r.RequestURI != "*" {
		path = uri.EscapedPath()
	}
	return "/" + strings.TrimLeft(path, "/\\")
}

// rawQuery returns the query of the request without its mark; that of a GET is unchanged otherwise.
func rawQuery(r *http.Request) string {
	var kept []string
	for pair := range strings.SplitSeq(r.URL.RawQuery, "&") {
		if name, _, _ := strings.Cut(pair, "="); pair != "" && name != markParameter {
			kept = append(kept, pair)
		}
	}
	if r.Method == http.MethodPost && len(r.PostForm) > 0 {
		kept = append(kept, r.PostForm.Encode())
	}
	return strings.Join(kept, "&")
}

// pushedURI returns the request_uri of a pushed request, or "".
func (s *Store) pushedURI(ctx context.Context, request fosite.AuthorizeRequester) string {
	uri := request.GetRequestForm().Get("request_uri")
	if !strings.HasPrefix(uri, s.fosite.GetPushedAuthorizeRequestURIPrefix(ctx)) {
		return ""
	}
	return uri
}

// extendPushed extends the lifetime of a pushed request to at least an hour in total.
func (s *Store) extendPushed(ctx context.Context, uri string) error {
	r, err := s.get(ctx, grantstore.PushedAuthorization, uri)
	if err != nil {
		if errors.Is(err, fosite.ErrNotFound) {
			return errPushedGone.WithWrap(err)
		}
		return asUnavailable(err)
	}
	until := r.grant.Created.Add(maxMarkLifetime)
	if !r.grant.Expires.Before(until) {
		return nil
	}
	kept := *r.grant
	kept.Expires = storable(until)
	s.seal(&kept, []byte(r.request))
	_, err = s.apply(ctx, s.carriers.from(ctx), &grantstore.Batch{
		Seen:   []grantstore.Precondition{grantstore.PreconditionOf(r.grant)},
		Delete: []grantstore.Ref{kept.Ref}, Store: []grantstore.Grant{kept},
	})
	if errors.Is(err, ticketstore.ErrConflict) {
		return nil // another request of the same browser has extended or answered it
	}
	return asUnavailable(err)
}

// errPushedGone is returned for a pushed request that was already answered.
var errPushedGone = fosite.ErrInvalidRequestURI.WithHint("The pushed authorization request was used before.")

// asUnavailable makes an error that leaves the outcome unknown match ticketstore.ErrUnavailable.
func asUnavailable(err error) error {
	if isUnavailable(err) && !errors.Is(err, ticketstore.ErrUnavailable) {
		return fmt.Errorf("%w: %w", ticketstore.ErrUnavailable, err)
	}
	return err
}
