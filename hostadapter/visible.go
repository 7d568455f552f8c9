package hostadapter

// Properties of a session that operators see.

import (
	"encoding/json"
	"fmt"

	"github.com/fosite-sessions/sessions/ticketstore"
)

// visiblePurpose is what visible properties are sealed for, together with the sid: the ticket, which has them
// too, needs the cookie's key to be opened. So a store cannot show one session's in another's place.
const visiblePurpose = "visible properties"

// maxVisible bounds the JSON of what operators see.
const maxVisible = 3 << 10

// sealVisible returns those of a session's properties that operators see, nil where there are none.
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

// visible returns those that Config.VisibleProperties names.
func (a *Adapter) visible(properties map[string]string) map[string]string {
	visible := map[string]string{}
	for _, name := range a.config.VisibleProperties {
		if value, found := properties[name]; found {
			visible[name] = value
		}
	}
	return visible
}

// SessionProperties returns what operators see of a session's properties (Config.VisibleProperties), of a
// session as QuerySessions or SessionByID returned it. What cannot be opened, because its key is gone or the
// store gave it with another session, is logged and left out.
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
