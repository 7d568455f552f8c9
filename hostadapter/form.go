package hostadapter

// Tokens of forms: sealed for the session that they were made for, and valid for an hour.

import (
	"encoding/binary"
	"time"
)

const (
	// formLife is how long a page with a form may stay open.
	formLife = time.Hour
	// formPurpose is what the tokens of forms are sealed for, with the sid as id.
	formPurpose = "form"
)

// FormToken implements tie.Forms.
func (t tieAdapter) FormToken(sessionID string) string {
	until := binary.BigEndian.AppendUint64(nil, uint64(t.a.now().Add(formLife).Unix()))
	return t.a.ring.sealText(formPurpose, []byte(sessionID), until)
}

// CheckFormToken implements tie.Forms.
func (t tieAdapter) CheckFormToken(sessionID, token string) bool {
	// Any sender may put anything here: that it does not open is no event for the log.
	until, err := t.a.ring.unsealText(formPurpose, []byte(sessionID), token)
	return err == nil && len(until) == 8 && uint64(t.a.now().Unix()) < binary.BigEndian.Uint64(until)
}
