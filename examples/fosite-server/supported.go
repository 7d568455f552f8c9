package main

// Capabilities of the provider: discovery publishes them, and files of clients are checked against them.
var (
	supportedScopes        = []string{"openid", "profile", "email", "offline_access"}
	supportedGrantTypes    = []string{"authorization_code", "refresh_token", "client_credentials"}
	supportedResponseTypes = []string{"code"}
	supportedAuthMethods   = []string{authBasic, authPost, authNone}
)

// The published paths.
const (
	pathAuthorize  = "/oauth2/auth"
	pathToken      = "/oauth2/token"
	pathIntrospect = "/oauth2/introspect"
	pathRevoke     = "/oauth2/revoke"
	pathUserInfo   = "/userinfo"
	pathJWKS       = "/.well-known/jwks.json"
	pathEndSession = "/logout"
	pathAdmin      = "/admin"
	pathAccount    = "/account/sessions/"
)
