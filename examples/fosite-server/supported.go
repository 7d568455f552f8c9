package main

// What the provider can do: discovery says it, and the files of clients are held to it.
var (
	supportedScopes        = []string{"openid", "profile", "email", "offline_access"}
	supportedGrantTypes    = []string{"authorization_code", "refresh_token", "client_credentials"}
	supportedResponseTypes = []string{"code"}
	supportedAuthMethods   = []string{authBasic, authPost, authNone}
)

// The paths that are published.
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
