package hostadapter

// Session properties that operators can see.

import (
	"encoding/json"
	"fmt"

	"github.com/fosite-sessions/sessions/ticketstore"
)

// visiblePurpose is the purpose for which visible properties are sealed, with the sid as id: the ticket,
// which has them too, needs the cookie's key to be opened. The binding keeps a store from showing one
// session's properties with another session.
const visiblePurpose = "visible properties"

// maxVisible bounds the JSON of the visible properties.
const maxVisible = 3 << 10

// sealVisible returns the sealed visible properties of a session, or nil if there are none.
func (a *Adapter) sealVisible(sessionID string, properties map[string]string) ([]byte, error) {
	visible := a.visible(properties)
	if len(visible) == 0 {
		return nil, nil
	}
	plain, err := json.Marshal(visible)
	if err != nil {
		return nil, fmt.Errorf("hostadapter: sealing visible properties: %w", err)
	}
	if len(plain) > maxVisible {
		return nil, ticketstore.Invalidf("properties",
			"that Config.VisibleProperties names are larger than %d bytes", maxVisible)
	}
	return a.ring.seal(visiblePurpose, []byte(sessionID), plain), nil
}

// visible returns the properties that Config.VisibleProperties names.
func (a *Adapter) visible(properties map[string]string) map[string]string {
	visible := map[string]string{}
	for _, name := range a.config.VisibleProperties {
		if value, found := properties[name]; found {
			visible[name] = value
		}
	}
	return visible
}

// SessionProperties returns the visible properties (Config.VisibleProperties) of a session that QuerySessions
// or SessionByID returned. Properties that cannot be opened, because their key is gone or the store returned
// them with a different session, are logged and left out.
func (o *Operations) SessionProperties(session *ticketstore.Session) map[string]string {
	a := o.adapter
	if len(session.Visible) == 0 || len(a.config.VisibleProperties) == 0 {
		return nil
	}
	var properties map[string]string
	plain, err := a.ring.unseal(visiblePurpose, []byte(session.SessionID), session.Visible)
	if err == nil {
		err = json.Unmarshal(plain, &properties)
	}
	if err != nil {
		a.reportSealed(visiblePurpose, err)
		return nil
	}
	return a.visible(properties)
}
