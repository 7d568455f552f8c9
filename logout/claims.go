package logout

// The claims of logout tokens (Back-Channel Logout 1.0, section 2.4).

import (
	"crypto/rand"
	"encoding/json"
	"fmt"
	"time"
)

// TokenLifetime is how long a logout token is valid: the maximum that Back-Channel Logout 1.0, section 2.4
// recommends.
const TokenLifetime = 2 * time.Minute

// EventBackChannelLogout is the event that makes a token a logout token (Back-Channel Logout 1.0, section
// 2.4).
const EventBackChannelLogout = "http://schemas.openid.net/event/backchannel-logout"

// tokenClaims are the claims of a logout token. A nonce is forbidden (Back-Channel Logout 1.0, section 2.4).
type tokenClaims struct {
	Issuer   string              `json:"iss"`
	Subject  string              `json:"sub,omitempty"`
	Audience string              `json:"aud"`
	IssuedAt int64               `json:"iat"`
	Expires  int64               `json:"exp"`
	ID       string              `json:"jti"`
	Session  string              `json:"sid"`
	Events   map[string]struct{} `json:"events"`
	Reason   Reason              `json:"logout_reason,omitempty"`
}

// TokenClaims returns the claims of a logout token for one delivery, as JSON. Each call generates a new jti,
// because clients refuse a jti that they have seen. The sid is always included; the sub is, unless the client
// registered backchannel_logout_session_required. With tellReason the Reason is included as logout_reason, a
// claim that the specification leaves to the server.
func TokenClaims(
	notification *Notification, client *Client, tellReason bool, now time.Time,
) ([]byte, error) {
	claims := tokenClaims{
		Issuer: notification.Issuer, Subject: notification.SubjectID, Audience: notification.ClientID,
		Session: notification.SessionID, IssuedAt: now.Unix(), Expires: now.Add(TokenLifetime).Unix(),
		ID: rand.Text(), Events: map[string]struct{}{EventBackChannelLogout: {}},
	}
	if client.SessionRequired {
		claims.Subject = ""
	}
	if tellReason {
		claims.Reason = notification.Reason
	}
	raw, err := json.Marshal(claims)
	if err != nil {
		return nil, fmt.Errorf("logout token: %w", err)
	}
	return raw, nil
}
