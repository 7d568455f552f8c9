package main

// Discovery and JWKS.

import (
	"net/http"

	"github.com/go-jose/go-jose/v3"
)

// metadata is the discovery document (OpenID Connect Discovery 1.0, section 3; RFC 8414) without what the
// session manager adds.
type metadata struct {
	Issuer                   string   `json:"issuer"`
	AuthorizationEndpoint    string   `json:"authorization_endpoint"`
	TokenEndpoint            string   `json:"token_endpoint"`
	UserInfoEndpoint         string   `json:"userinfo_endpoint"`
	JWKSURI                  string   `json:"jwks_uri"`
	IntrospectionEndpoint    string   `json:"introspection_endpoint"`
	RevocationEndpoint       string   `json:"revocation_endpoint"`
	ScopesSupported          []string `json:"scopes_supported"`
	ResponseTypesSupported   []string `json:"response_types_supported"`
	ResponseModesSupported   []string `json:"response_modes_supported"`
	GrantTypesSupported      []string `json:"grant_types_supported"`
	SubjectTypesSupported    []string `json:"subject_types_supported"`
	IDTokenAlgs              []string `json:"id_token_signing_alg_values_supported"`
	TokenAuthMethods         []string `json:"token_endpoint_auth_methods_supported"`
	IntrospectionAuthMethods []string `json:"introspection_endpoint_auth_methods_supported"`
	RevocationAuthMethods    []string `json:"revocation_endpoint_auth_methods_supported"`
	CodeChallengeMethods     []string `json:"code_challenge_methods_supported"`
	PromptValues             []string `json:"prompt_values_supported"`
	ClaimsSupported          []string `json:"claims_supported"`
	RequestParameter         bool     `json:"request_parameter_supported"`
	RequestURIParameter      bool     `json:"request_uri_parameter_supported"`
	ClaimsParameter          bool     `json:"claims_parameter_supported"`
}

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

func (p *provider) metadata() metadata {
	return metadata{
		Issuer:                   p.issuer,
		AuthorizationEndpoint:    p.issuer + pathAuthorize,
		TokenEndpoint:            p.issuer + pathToken,
		UserInfoEndpoint:         p.issuer + pathUserInfo,
		JWKSURI:                  p.issuer + pathJWKS,
		IntrospectionEndpoint:    p.issuer + pathIntrospect,
		RevocationEndpoint:       p.issuer + pathRevoke,
		ScopesSupported:          supportedScopes,
		ResponseTypesSupported:   supportedResponseTypes,
		ResponseModesSupported:   []string{"query", "fragment", "form_post"},
		GrantTypesSupported:      supportedGrantTypes,
		SubjectTypesSupported:    []string{"public"},
		IDTokenAlgs:              []string{p.secrets.signing.Algorithm},
		TokenAuthMethods:         supportedAuthMethods,
		IntrospectionAuthMethods: []string{authBasic},
		RevocationAuthMethods:    supportedAuthMethods,
		CodeChallengeMethods:     []string{"S256"},
		PromptValues:             []string{"none", "login", "consent"},
		ClaimsSupported: []string{
			"iss", "sub", "aud", "exp", "iat", "auth_time", "nonce", "acr", "amr", "name",
			"preferred_username", "email",
		},
	}
}

func (p *provider) jwks(w http.ResponseWriter, _ *http.Request) {
	w.Header().Set("Access-Control-Allow-Origin", "*")
	w.Header().Set("Cache-Control", "max-age=60")
	writeJSON(w, http.StatusOK, jose.JSONWebKeySet{Keys: []jose.JSONWebKey{p.secrets.signing.Public()}})
}
