package main

// The token, introspection and revocation endpoints.

import (
	"log/slog"
	"net/http"
	"sync/atomic"
	"time"

	"github.com/ory/fosite"
)

// token is the token endpoint.
func (p *provider) token(w http.ResponseWriter, r *http.Request) {
	ctx := r.Context()
	request, err := p.oauth2.NewAccessRequest(ctx, r, newSession())
	if err != nil {
		p.refused(r, "token", err)
		p.oauth2.WriteAccessError(ctx, w, request, err)
		return
	}
	if request.GetGrantTypes().ExactOne("client_credentials") {
		for _, scope := range request.GetRequestedScopes() {
			request.GrantScope(scope) // fosite has checked them against the client's scopes
		}
	}
	response, err := p.oauth2.NewAccessResponse(ctx, request)
	if err != nil {
		p.refused(r, "token", err)
		p.oauth2.WriteAccessError(ctx, w, request, err)
		return
	}
	p.oauth2.WriteAccessResponse(ctx, w, request, response)
}

// introspect is the introspection endpoint (RFC 7662).
func (p *provider) introspect(w http.ResponseWriter, r *http.Request) {
	ctx := r.Context()
	response, err := p.oauth2.NewIntrospectionRequest(ctx, r, newSession())
	if err != nil {
		p.oauth2.WriteIntrospectionError(ctx, w, err)
		return
	}
	p.oauth2.WriteIntrospectionResponse(ctx, w, response)
}

// revoke is the revocation endpoint (RFC 7009).
func (p *provider) revoke(w http.ResponseWriter, r *http.Request) {
	ctx := r.Context()
	p.oauth2.WriteRevocationResponse(ctx, w, p.oauth2.NewRevocationRequest(ctx, r))
}

// refused logs a refused request, without any data sent by the client.
func (p *provider) refused(r *http.Request, endpoint string, err error) {
	reason := fosite.ErrorToRFC6749Error(err)
	p.limitedLogger(r).InfoContext(r.Context(), "request refused", "endpoint", endpoint,
		"error", reason.ErrorField, "description", reason.DescriptionField)
}

// Limits of the log lines that unauthenticated requests can cause: per address, and in total.
var (
	notesOfOne = rate{burst: 20, every: 3 * time.Second}
	notesOfAll = rate{burst: 300, every: 200 * time.Millisecond}
)

// notes limits log lines that need no credentials to cause.
type notes struct {
	limiter    limiter
	suppressed atomic.Int64
}

// limitedLogger returns the logger for events that unauthenticated requests can cause. Lines over the limit
// are dropped and counted in the next line.
func (p *provider) limitedLogger(r *http.Request) *slog.Logger {
	from, now := p.sessions.RemoteAddr(r), time.Now()
	one, all := limitKey(hashOf("address", addressPrefix(from))), limitKey(hashOf("all"))
	_, wait := p.notes.limiter.take(notesOfOne, one, now)
	if wait == 0 {
		_, wait = p.notes.limiter.take(notesOfAll, all, now)
	}
	if wait > 0 {
		p.notes.suppressed.Add(1)
		return slog.New(slog.DiscardHandler)
	}
	logger := p.logger.With("remote_addr", from[:min(len(from), maxNoted)])
	if suppressed := p.notes.suppressed.Swap(0); suppressed > 0 {
		logger = logger.With("lines_suppressed", suppressed)
	}
	return logger
}

// maxNoted bounds client-supplied values in a log line, in bytes.
const maxNoted = 128
