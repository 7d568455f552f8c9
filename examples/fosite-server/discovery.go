package main

// Discovery and JWKS.

import (
	"net/http"

	"github.com/go-jose/go-jose/v3"
)

func (p *provider) discovery(w http.ResponseWriter, r *http.Request) {
	document, err := p.sessions.Metadata(p.issuer + pathEndSession).MergeInto(p.metadata())
	if err != nil {
		p.failed(w, r, err)
		return
	}
	w.Header().Set("Access-Control-Allow-Origin", "*")
	w.Header().Set("Cache-Control", "max-age=60")
	writeJSON(w, http.StatusOK, document)
}

// metadata returns the discovery document (OpenID Connect Discovery 1.0, section 3; RFC 8414) without the
// session manager's fields.
func (p *provider) metadata() map[string]any {
	return map[string]any{
		"issuer":                                        p.issuer,
		"authorization_endpoint":                        p.issuer + pathAuthorize,
		"token_endpoint":                                p.issuer + pathToken,
		"userinfo_endpoint":                             p.issuer + pathUserInfo,
		"jwks_uri":                                      p.issuer + pathJWKS,
		"introspection_endpoint":                        p.issuer + pathIntrospect,
		"revocation_endpoint":                           p.issuer + pathRevoke,
		"scopes_supported":                              supportedScopes,
		"response_types_supported":                      supportedResponseTypes,
		"response_modes_supported":                      []string{"query", "fragment", "form_post"},
		"grant_types_supported":                         supportedGrantTypes,
		"subject_types_supported":                       []string{"public"},
		"id_token_signing_alg_values_supported":         []string{p.secrets.signing.Algorithm},
		"token_endpoint_auth_methods_supported":         supportedAuthMethods,
		"introspection_endpoint_auth_methods_supported": []string{authBasic},
		"revocation_endpoint_auth_methods_supported":    supportedAuthMethods,
		"code_challenge_methods_supported":              []string{"S256"},
		"prompt_values_supported":                       []string{"none", "login", "consent"},
		"claims_supported": []string{
			"iss", "sub", "aud", "exp", "iat", "auth_time", "nonce", "acr", "amr", "name",
			"preferred_username", "email",
		},
		"request_parameter_supported":     false,
		"request_uri_parameter_supported": false,
		"claims_parameter_supported":      false,
	}
}

func (p *provider) jwks(w http.ResponseWriter, _ *http.Request) {
	w.Header().Set("Access-Control-Allow-Origin", "*")
	w.Header().Set("Cache-Control", "max-age=60")
	writeJSON(w, http.StatusOK, jose.JSONWebKeySet{Keys: []jose.JSONWebKey{p.secrets.signing.Public()}})
}
