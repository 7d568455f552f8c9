package main

// Registered clients, with the methods that fosite and session management require.

import (
	"cmp"
	"encoding/json"
	"errors"
	"fmt"
	"net/url"
	"slices"
	"strings"

	"github.com/go-jose/go-jose/v3"
	"github.com/ory/fosite"

	"github.com/fosite-sessions/sessions/hostadapter/fositestore"
	"github.com/fosite-sessions/sessions/logout"
	"github.com/fosite-sessions/sessions/ticketstore"
)

// The client authentication methods of the token endpoint.
const (
	authBasic = "client_secret_basic"
	authPost  = "client_secret_post"
	authNone  = "none"
)

// client is a registered client. Its fields are defined in OpenID Connect Dynamic Client Registration 1.0,
// section 2, Back-Channel Logout 1.0, section 2.2, Front-Channel Logout 1.0, section 2, and RP-Initiated
// Logout 1.0, section 3.1.
type client struct {
	id                     string
	name                   string
	secretHash             []byte
	redirectURIs           []string
	postLogoutRedirectURIs []string
	backChannelURI         string
	backChannelSession     bool
	frontChannelURI        string
	frontChannelSession    bool
	// coordinate and mutedEnds are extensions: whether the client's activity extends sessions, and the
	// session ends of which it is not notified.
	coordinate    *bool
	mutedEnds     ticketstore.Ends
	scopes        []string
	grantTypes    []string
	responseTypes []string
	authMethod    string
	// skipConsent is an extension: the operator trusts the client, and users are not asked for consent.
	skipConsent bool
	// extra holds fields that this server does not use.
	extra map[string]json.RawMessage
}

var (
	_ fosite.Client              = (*client)(nil)
	_ fosite.OpenIDConnectClient = (*client)(nil)
	_ fosite.ResponseModeClient  = (*client)(nil)
)

func (c *client) GetID() string                      { return c.id }
func (c *client) GetHashedSecret() []byte            { return c.secretHash }
func (c *client) GetRedirectURIs() []string          { return c.redirectURIs }
func (c *client) GetGrantTypes() fosite.Arguments    { return c.grantTypes }
func (c *client) GetResponseTypes() fosite.Arguments { return c.responseTypes }
func (c *client) GetScopes() fosite.Arguments        { return c.scopes }
func (c *client) GetResponseModes() []fosite.ResponseModeType {
	return []fosite.ResponseModeType{
		fosite.ResponseModeDefault, fosite.ResponseModeQuery, fosite.ResponseModeFragment,
		fosite.ResponseModeFormPost,
	}
}
func (c *client) GetAudience() fosite.Arguments { return nil }
func (c *client) IsPublic() bool                { return c.authMethod == authNone }

func (c *client) GetTokenEndpointAuthMethod() string           { return c.authMethod }
func (c *client) GetTokenEndpointAuthSigningAlgorithm() string { return "" }
func (c *client) GetRequestURIs() []string                     { return nil }
func (c *client) GetJSONWebKeys() *jose.JSONWebKeySet          { return nil }
func (c *client) GetJSONWebKeysURI() string                    { return "" }
func (c *client) GetRequestObjectSigningAlgorithm() string     { return "" }

// The session manager reads a client's logout settings through these methods.

func (c *client) GetBackChannelLogoutURI() string           { return c.backChannelURI }
func (c *client) GetBackChannelLogoutSessionRequired() bool { return c.backChannelSession }
func (c *client) GetFrontChannelLogoutURI() string          { return c.frontChannelURI }
func (c *client) GetFrontChannelLogoutSessionRequired() bool {
	return c.frontChannelSession
}
func (c *client) GetPostLogoutRedirectURIs() []string         { return c.postLogoutRedirectURIs }
func (c *client) GetCoordinateLifetimeWithUserSession() *bool { return c.coordinate }
func (c *client) GetMutedSessionEnds() ticketstore.Ends       { return c.mutedEnds }

// displayName is the client's name on the pages.
func (c *client) displayName() string { return cmp.Or(c.name, c.id) }

// loadClients reads a file of clients. Its error lists every problem with its position.
func loadClients(path string, hash secretHasher) (map[string]*client, error) {
	records, p, err := readRecords(path, "clients")
	if err != nil {
		return nil, err
	}
	clients, ids := make(map[string]*client, len(records)), unique{}
	for _, r := range records {
		c := clientOf(p, r, hash)
		ids.check(p, r, "client_id", c.id)
		clients[c.id] = c
	}
	if err := p.err(); err != nil {
		return nil, err
	}
	return clients, nil
}

func clientOf(p *problems, r record, hash secretHasher) *client {
	c := &client{
		id:                     textField(p, r, "client_id"),
		name:                   textField(p, r, "client_name"),
		redirectURIs:           listField(p, r, "redirect_uris"),
		postLogoutRedirectURIs: listField(p, r, "post_logout_redirect_uris"),
		backChannelURI:         textField(p, r, "backchannel_logout_uri"),
		backChannelSession:     flagField(p, r, "backchannel_logout_session_required"),
		frontChannelURI:        textField(p, r, "frontchannel_logout_uri"),
		frontChannelSession:    flagField(p, r, "frontchannel_logout_session_required"),
		mutedEnds:              endsField(p, r, "muted_session_ends"),
		scopes:                 strings.Fields(textField(p, r, "scope")),
		grantTypes:             listField(p, r, "grant_types"),
		responseTypes:          listField(p, r, "response_types"),
		authMethod:             textField(p, r, "token_endpoint_auth_method"),
		skipConsent:            flagField(p, r, "skip_consent"),
	}
	field(p, r, "coordinate_lifetime_with_user_session", "true or false", &c.coordinate)
	secret := textField(p, r, "client_secret")
	c.extra = r.fields
	c.setDefaults()
	if err := ticketstore.CheckID("client_id", c.id); err != nil {
		p.addf(r, "client_id", "%s", problemOf(err))
	}
	c.checkSecret(p, r, secret)
	c.checkFlows(p, r)
	c.checkURIs(p, r)
	c.secretHash = hash.sum([]byte(secret))
	return c
}

func (c *client) setDefaults() {
	c.authMethod = cmp.Or(c.authMethod, authBasic)
	if len(c.grantTypes) == 0 {
		c.grantTypes = []string{"authorization_code"}
	}
	if len(c.responseTypes) == 0 && slices.Contains(c.grantTypes, "authorization_code") {
		c.responseTypes = []string{"code"}
	}
	if len(c.scopes) == 0 {
		c.scopes = slices.Clone(supportedScopes)
	}
}

func (c *client) checkSecret(p *problems, r record, secret string) {
	switch c.authMethod {
	case authBasic, authPost:
		if secret == "" {
			p.addf(r, "client_secret",
				"is missing: only a client with token_endpoint_auth_method %q has none",
				authNone)
		}
	case authNone:
		if secret != "" {
			p.addf(r, "client_secret", "is set, but token_endpoint_auth_method is %q", authNone)
		}
		if slices.Contains(c.grantTypes, "client_credentials") {
			p.addf(r, "grant_types", "has client_credentials, but token_endpoint_auth_method is %q", authNone)
		}
	default:
		p.addf(r, "token_endpoint_auth_method", "is none of %s", strings.Join(supportedAuthMethods, ", "))
	}
}

func (c *client) checkFlows(p *problems, r record) {
	for i, grantType := range c.grantTypes {
		if !slices.Contains(supportedGrantTypes, grantType) {
			p.addf(r, fmt.Sprintf("grant_types[%d]", i), "is none of %s",
				strings.Join(supportedGrantTypes, ", "))
		}
	}
	for i, responseType := range c.responseTypes {
		if !slices.Contains(supportedResponseTypes, responseType) {
			p.addf(r, fmt.Sprintf("response_types[%d]", i), "is none of %s",
				strings.Join(supportedResponseTypes, ", "))
		}
	}
	if slices.Contains(c.responseTypes, "code") != slices.Contains(c.grantTypes, "authorization_code") {
		p.addf(r, "response_types", "and grant_types do not fit: code goes with authorization_code")
	}
}

func (c *client) checkURIs(p *problems, r record) {
	if len(c.redirectURIs) == 0 && slices.Contains(c.grantTypes, "authorization_code") {
		p.addf(r, "redirect_uris", "is missing")
	}
	for _, uris := range []struct {
		field string
		list  []string
	}{{"redirect_uris", c.redirectURIs}, {"post_logout_redirect_uris", c.postLogoutRedirectURIs}} {
		for i, uri := range uris.list {
			if err := checkRedirectURI(uri); err != nil {
				p.addf(r, fmt.Sprintf("%s[%d]", uris.field, i), "%v", err)
			}
		}
	}
	if c.backChannelURI != "" {
		if err := checkLogoutURI(c.backChannelURI); err != nil {
			p.addf(r, "backchannel_logout_uri", "%v", err)
		}
	}
	if c.frontChannelURI != "" {
		if err := checkLogoutURI(c.frontChannelURI); err != nil {
			p.addf(r, "frontchannel_logout_uri", "%v", err)
		} else if !fositestore.FrontChannelAllowed(c.frontChannelURI, c.redirectURIs) {
			p.addf(r, "frontchannel_logout_uri", "has not scheme, host and port of one of redirect_uris")
		}
	}
}

// endNames are the names of session ends in a file of clients.
var endNames = map[string]ticketstore.Ends{
	"sign_out": ticketstore.EndBySignOut, "expiry": ticketstore.EndByExpiry,
	"removal":     ticketstore.EndByRemoval,
	"replacement": ticketstore.EndByReplacement,
}

func endsField(p *problems, r record, name string) (ends ticketstore.Ends) {
	for i, text := range listField(p, r, name) {
		end, known := endNames[text]
		if !known {
			p.addf(r, fmt.Sprintf("%s[%d]", name, i), "is none of sign_out, expiry, removal, replacement")
		}
		ends |= end
	}
	return ends
}

// checkRedirectURI refuses URIs that fosite would refuse at each authorization, so that the operator is told
// at start.
func checkRedirectURI(uri string) error {
	parsed, err := url.Parse(uri)
	switch {
	case err != nil:
		return errors.New("is not a URI")
	case parsed.Scheme == "":
		return errors.New("has no scheme")
	case parsed.Fragment != "" || strings.Contains(uri, "#"):
		return errors.New("has a fragment")
	case (parsed.Scheme == "http" || parsed.Scheme == "https") && parsed.Host == "":
		return errors.New("has no host")
	case slices.Contains([]string{"javascript", "data", "vbscript"}, strings.ToLower(parsed.Scheme)):
		return fmt.Errorf("has the scheme %q", parsed.Scheme)
	case parsed.Scheme == "http" && !fosite.IsLocalhost(parsed):
		return errors.New("is http on another host than localhost: use https")
	}
	return nil
}

// checkLogoutURI refuses logout URIs that the session manager cannot send to (Back-Channel Logout 1.0,
// section 2.2).
func checkLogoutURI(uri string) error {
	if err := logout.ValidateClient(logout.Client{ClientID: "-", BackChannelLogoutURI: uri}); err != nil {
		return errors.New(problemOf(err))
	}
	return nil
}

// problemOf returns the message of a *ticketstore.FieldError without the field's name, which the position
// already gives.
func problemOf(err error) string {
	if fieldError, ok := errors.AsType[*ticketstore.FieldError](err); ok {
		return fieldError.Problem
	}
	return err.Error()
}
