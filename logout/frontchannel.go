package logout

// URLs of front-channel logout (Front-Channel Logout 1.0).

import "net/url"

// FrontChannelURL returns the URL of the frame in which the client clears the session (Front-Channel Logout
// 1.0, section 3): its frontchannel_logout_uri with iss and sid added to its query. It returns "" if the
// client has no frontchannel_logout_uri.
func (c *Client) FrontChannelURL(issuer, sessionID string) (string, error) {
	if c.FrontChannelLogoutURI == "" {
		return "", nil
	}
	if err := checkURI("frontchannel_logout_uri", c.FrontChannelLogoutURI, true); err != nil {
		return "", err
	}
	uri, _ := url.Parse(c.FrontChannelLogoutURI) // checkURI has parsed it
	added := url.Values{"iss": {issuer}, "sid": {sessionID}}.Encode()
	if uri.RawQuery != "" {
		added = uri.RawQuery + "&" + added
	}
	uri.RawQuery = added
	return uri.String(), nil
}
