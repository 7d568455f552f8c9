package fositestore

// The way back to the authorization endpoint from pages of the host.

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
	// markParameter is the parameter that says, sealed, when a request was interrupted for a page of the
	// host's own.
	markParameter = "sessions_asked"
	// markLife is how long a user may take for such a page, markMost for all of them.
	markLife = 10 * time.Minute
	markMost = time.Hour
	// longestReturn is how long a URL may be that has the whole request: hosts put it, escaped, into a
	// Location, and proxies answer 502 where the headers of an answer do not fit into 4 KiB.
	longestReturn = 1 << 10
)

// marked are the parameters of a request that a mark is made for.
var marked = []string{
	"client_id", "redirect_uri", "response_type", "scope", "state", "nonce", "prompt", "max_age",
	"acr_values", "id_token_hint", "claims",
	"request", "request_uri",
}

// ReturnURL returns where the browser goes after a page on which the user signs in or consents, the host's
// own or another provider's. It is the authorization request as it came, with a mark that says when the user
// was first asked. w sets a cookie that identifies the browser. Call it in the handler of the authorization
// endpoint, after NeedsSignIn or NeedsConsent has returned true. Then redirect to the page, and keep the URL,
// for instance in a parameter or, across a callback, by its state.
//
// A request that comes back with its mark, within 10 minutes and from the same browser, is judged as at the
// moment of the mark (OpenID Connect Core 1.0, section 3.1.2.1): a sign-in since then satisfies prompt,
// max_age and acr_values. Without it the request is judged as it is. A host whose users sign in elsewhere,
// and which knows since when they have, says so in Identity.AuthTime and has to ask there for a new sign-in
// too.
//
// The URL is a path with a query: the path that the browser asked for, as far as this process can know it.
// Behind a proxy that strips a prefix, put the prefix before it. A request that is too long for a Location is
// kept like a pushed one (RFC 9126) and named in the URL. A store that cannot be asked is
// ticketstore.ErrUnavailable, for WriteAuthorizeError.
func (s *Sessions) ReturnURL(
	w http.ResponseWriter, r *http.Request, request fosite.AuthorizeRequester,
) (string, error) {
	now := s.store.now()
	asked, _ := s.store.askedAt(r)
	if asked.IsZero() {
		asked = now
	}
	until := now.Add(markLife)
	if latest := asked.Add(markMost); latest.Before(until) {
		until = latest
	}
	path, query := returnPath(r), rawQuery(r)
	if pushed := s.store.pushedURI(r.Context(), request); pushed != "" {
		if err := s.store.keepPushed(r.Context(), pushed, until); err != nil {
			return "", err
		}
	} else if len(path)+len(query) > longestReturn {
		uri := s.fosite.GetPushedAuthorizeRequestURIPrefix(r.Context()) + rand.Text()
		if err := s.store.createPushed(r.Context(), uri, request, until); err != nil {
			return "", asUnavailable(err)
		}
		query = url.Values{"client_id": {request.GetClient().GetID()}, "request_uri": {uri}}.Encode()
	}
	parameters, _ := url.ParseQuery(query)
	moments := binary.BigEndian.AppendUint64(binary.BigEndian.AppendUint64(nil, uint64(asked.UnixNano())),
		uint64(until.UnixNano()))
	mark := s.store.tie.Mark(w, r, markedOf(parameters), moments, markMost)
	return path + "?" + query + "&" + markParameter + "=" + mark, nil
}

// askedAt returns when the user was first asked, by the mark of the request; false where it has none that is
// good.
func (s *Store) askedAt(r *http.Request) (asked time.Time, ok bool) {
	parameters := r.URL.Query()
	moments, ok := s.tie.ReadMark(r, markedOf(parameters), parameters.Get(markParameter))
	if !ok || len(moments) != 16 || s.now().UnixNano() >= int64(binary.BigEndian.Uint64(moments[8:])) {
		return time.Time{}, false
	}
	return time.Unix(0, int64(binary.BigEndian.Uint64(moments))).UTC(), true
}

// markedOf returns what a mark is about: what the request asks for. Each text has its length before it.
func markedOf(parameters url.Values) (about []byte) {
	for _, name := range marked {
		value := strings.Join(parameters[name], "\x00")
		about = append(binary.AppendUvarint(about, uint64(len(value))), value...)
	}
	return about
}

// returnPath returns the path of the request as the browser knows it, also where a mux has stripped a prefix.
// It begins with one slash: two would name another host.
func returnPath(r *http.Request) string {
	path := r.URL.EscapedPath()
	if uri, err := url.ParseRequestURI(r.RequestURI); err == nil && r.RequestURI != "*" {
		path = uri.EscapedPath()
	}
	return "/" + strings.TrimLeft(path, "/\\")
}

// rawQuery returns the parameters of the request without its mark, those of a GET to the byte.
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

// pushedURI returns the request_uri by which a request was pushed, or "".
func (s *Store) pushedURI(ctx context.Context, request fosite.AuthorizeRequester) string {
	uri := request.GetRequestForm().Get("request_uri")
	if !strings.HasPrefix(uri, s.fosite.GetPushedAuthorizeRequestURIPrefix(ctx)) {
		return ""
	}
	return uri
}

// keepPushed has a pushed request live at least until then, for an hour at most.
func (s *Store) keepPushed(ctx context.Context, uri string, until time.Time) error {
	r, err := s.get(ctx, grantstore.PushedAuthorization, uri)
	if err != nil {
		if errors.Is(err, fosite.ErrNotFound) {
			return errPushedGone.WithWrap(err)
		}
		return asUnavailable(err)
	}
	if latest := r.grant.Created.Add(markMost); latest.Before(until) {
		until = latest
	}
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
		return nil // another request of the browser has kept it, or answered it
	}
	return asUnavailable(err)
}

// errPushedGone answers a pushed request that was answered before.
var errPushedGone = fosite.ErrInvalidRequestURI.WithHint("The pushed authorization request was used before.")

// asUnavailable has what leaves a store's answer open be ticketstore.ErrUnavailable.
func asUnavailable(err error) error {
	if isUnavailable(err) && !errors.Is(err, ticketstore.ErrUnavailable) {
		return fmt.Errorf("%w: %w", ticketstore.ErrUnavailable, err)
	}
	return err
}
