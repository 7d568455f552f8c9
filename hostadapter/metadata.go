package hostadapter

// The logout metadata of a discovery document.

import (
	"encoding/json"
	"fmt"
	"maps"
	"slices"

	"github.com/fosite-sessions/sessions/ticketstore"
)

// Metadata is the part of a server's discovery document about logout: RP-Initiated Logout 1.0, section 2.1,
// Back-Channel Logout 1.0, section 2.1, Front-Channel Logout 1.0, section 3.
//
// OpenID Connect Session Management 1.0 is not implemented, so there is no check_session_iframe, and
// responses have no session_state: browsers partition or block the third-party cookies that its frame needs.
// Clients are notified by back-channel logout, or can check with prompt=none.
type Metadata struct {
	EndSessionEndpoint        string `json:"end_session_endpoint"`
	BackChannelLogout         bool   `json:"backchannel_logout_supported"`
	BackChannelLogoutSession  bool   `json:"backchannel_logout_session_supported"`
	FrontChannelLogout        bool   `json:"frontchannel_logout_supported"`
	FrontChannelLogoutSession bool   `json:"frontchannel_logout_session_supported"`

	issuer string
}

// Metadata returns the metadata to publish; endSessionEndpoint is the absolute URL where EndSession is
// mounted.
func (a *Adapter) Metadata(endSessionEndpoint string) *Metadata {
	return &Metadata{
		EndSessionEndpoint: endSessionEndpoint, BackChannelLogout: true, BackChannelLogoutSession: true,
		FrontChannelLogout: true, FrontChannelLogoutSession: true, issuer: a.config.Issuer,
	}
}

// MergeInto returns a host's discovery document with the metadata merged in, ready to be sent as JSON. The
// document may be any value that marshals to a JSON object; its logout metadata is replaced, and "sid" is
// added to its claims_supported, if present. If the document has a different issuer, which no client would
// accept, it returns a *ticketstore.FieldError.
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
