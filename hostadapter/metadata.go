package hostadapter

// What a discovery document says of logout.

import (
	"encoding/json"
	"fmt"
	"maps"
	"slices"

	"github.com/fosite-sessions/sessions/ticketstore"
)

// Metadata is what a server's discovery document says of signing out: RP-Initiated Logout 1.0, section 2.1,
// Back-Channel Logout 1.0, section 2.1, Front-Channel Logout 1.0, section 3.
//
// OpenID Connect Session Management 1.0 is not built, so there is no check_session_iframe, and answers have
// no session_state: browsers partition or block the third-party cookies that its frame needs. Clients are
// notified by back-channel logout instead, or ask with prompt=none.
type Metadata struct {
	EndSessionEndpoint        string `json:"end_session_endpoint"`
	BackChannelLogout         bool   `json:"backchannel_logout_supported"`
	BackChannelLogoutSession  bool   `json:"backchannel_logout_session_supported"`
	FrontChannelLogout        bool   `json:"frontchannel_logout_supported"`
	FrontChannelLogoutSession bool   `json:"frontchannel_logout_session_supported"`

	issuer string
}

// Metadata returns what to publish; endSessionEndpoint is the whole URL under which EndSession is mounted.
func (a *Adapter) Metadata(endSessionEndpoint string) *Metadata {
	return &Metadata{
		EndSessionEndpoint: endSessionEndpoint, BackChannelLogout: true, BackChannelLogoutSession: true,
		FrontChannelLogout: true, FrontChannelLogoutSession: true, issuer: a.config.Issuer,
	}
}

// MergeInto returns a host's discovery document with the metadata in it, ready to be sent as JSON. The
// document is anything that marshals to a JSON object; what it says of signing out is replaced, and "sid"
// joins its claims_supported, if it has any. A document of another issuer is a *ticketstore.FieldError: no
// client would accept it.
func (m *Metadata) MergeInto(document any) (map[string]any, error) {
	merged, err := asObject(document)
	if err != nil {
		return nil, err
	}
	ours, err := asObject(m)
	if err != nil {
		return nil, err
	}
	if issuer := merged["issuer"]; issuer != m.issuer {
		err := ticketstore.Invalidf("issuer", "of the discovery document is not Config.Issuer")
		return nil, fmt.Errorf("hostadapter: %w", err)
	}
	maps.Copy(merged, ours)
	if claims, ok := merged["claims_supported"].([]any); ok && !slices.Contains(claims, any("sid")) {
		merged["claims_supported"] = append(claims, "sid")
	}
	return merged, nil
}

func asObject(document any) (object map[string]any, err error) {
	raw, err := json.Marshal(document)
	if err == nil {
		err = json.Unmarshal(raw, &object)
	}
	if err != nil {
		return nil, fmt.Errorf("hostadapter: discovery document: %w", err)
	}
	return object, nil
}
