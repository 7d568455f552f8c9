package hostadapter

// Form tokens: sealed for the session they were made for, and valid for an hour.

import (
	"encoding/binary"
	"time"
)

const (
	// formLife is how long a page with a form may stay open.
	formLife = time.Hour
	// formPurpose is the purpose for which form tokens are sealed; their id is the sid.
	formPurpose = "form"
)

// formToken is tie.Adapter.FormToken.
func (a *Adapter) formToken(sessionID string) string {
	until := binary.BigEndian.AppendUint64(nil, uint64(a.now().Add(formLife).Unix()))
	return a.ring.sealText(formPurpose, []byte(sessionID), until)
}

// checkFormToken is tie.Adapter.CheckFormToken.
func (a *Adapter) checkFormToken(sessionID, token string) bool {
	// Clients can send any value here: one that cannot be opened is not logged.
	until, err := a.ring.unsealText(formPurpose, []byte(sessionID), token)
	return err == nil && len(until) == 8 && uint64(a.now().Unix()) < binary.BigEndian.Uint64(until)
}
