package main

import (
	"net/http"

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
			request.GrantScope(scope) // fosite has held them to the client's
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

// refused notes a request that was turned away, without anything that the client sent.
func (p *provider) refused(r *http.Request, endpoint string, err error) {
	reason := fosite.ErrorToRFC6749Error(err)
	p.logger.InfoContext(r.Context(), "request refused", "endpoint", endpoint, "error", reason.ErrorField, "description", reason.DescriptionField)
}
