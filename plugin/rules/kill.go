package rules

// Rule 15: which changes of rows kill copies of live access tokens.

import (
	"slices"
	"strings"
	"time"

	"google.golang.org/protobuf/proto"

	"github.com/fosite-sessions/sessions/grantstore"
	"github.com/fosite-sessions/sessions/plugin/records"
	"github.com/fosite-sessions/sessions/plugin/transfer"
)

// Kills reports whether rows of a kind affect access tokens, so that Kill must be called for a change.
func Kills(kind transfer.Kind) bool {
	return kind == transfer.Sessions || kind == transfer.Clients || kind == transfer.Ended ||
		kind == transfer.Grants
}

// Kill adds to a kill what a change of an existing row names. was and becomes are called for rows of clients
// only; they return nil if the row cannot be read or is deleted.
//
// A copy includes the rows by which it was judged. So every change of a session, of an ended record or of the
// token itself kills it, even if it extends the token's life: after a session has slid, its new times must be
// read. Of a client's row only its presence and its token number matter; the time of its last use does not.
func Kill(kill *grantstore.Kill, kind transfer.Kind, key string, was, becomes func() proto.Message) {
	switch kind {
	case transfer.Sessions, transfer.Ended:
		killSession(kill, key)
	case transfer.Clients:
		before, _ := was().(*records.ClientUse)
		after, _ := becomes().(*records.ClientUse)
		if before == nil || after == nil || before.GetTokenNumber() != after.GetTokenNumber() {
			sid, _, _ := strings.Cut(key, "\x00")
			killSession(kill, sid)
		}
	case transfer.Grants:
		if ref, ok := records.RefOf(key); ok && ref.Type == grantstore.ReferenceToken {
			kill.Grants = append(kill.Grants, ref)
		}
	}
}

func killSession(kill *grantstore.Kill, sid string) {
	// The rows of a session change together, so its sid is often among the last added.
	if !slices.Contains(kill.Sessions[max(0, len(kill.Sessions)-4):], sid) {
		kill.Sessions = append(kill.Sessions, sid)
	}
}

// StillLive reports whether an access token that was live when it was read, and that nothing has killed
// since, is live at now by its own times and those of its session.
func StillLive(found *grantstore.GetResult, now time.Time) bool {
	if !found.Grant.LiveAt(now) {
		return false
	}
	s := found.Session // nil if it has none, or outlives it
	return s == nil || (now.Before(s.Expires) && (s.EndsAt.IsZero() || now.Before(s.EndsAt)))
}
