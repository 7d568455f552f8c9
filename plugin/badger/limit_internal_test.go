package badger

// Sign-ins under a limit of sessions.

import (
	"fmt"
	"testing"

	"github.com/fosite-sessions/sessions/grantstore"
	"github.com/fosite-sessions/sessions/plugin/plugintest/testenv"
	"github.com/fosite-sessions/sessions/ticketstore"
)

// A sign-in does not wait until the grants of the session that it ended are purged. Later changes do.
func TestSignInDoesNotWaitForPurge(t *testing.T) {
	t.Parallel()
	e, _ := openLogged(t)
	signIn(t, e, "old", "ann")
	batch := &grantstore.Batch{OperationID: "tokens"}
	for i := range 4 * maxMakeRoomGrant {
		batch.Store = append(batch.Store, grantstore.Grant{
			Ref: grantstore.Ref{
				Type: grantstore.ReferenceToken, Key: ticketstore.KeyOf(fmt.Sprint("access ", i)),
			},
			RequestID: fmt.Sprint("request ", i), SubjectID: "ann", SessionID: "old", ClientID: "app",
			Created: base, Expires: anHour("old", "ann").Expires, Data: []byte("data"),
		})
	}
	if _, err := e.Grants().Apply(t.Context(), batch, base); err != nil {
		t.Fatal(err)
	}
	whole, release := e.db.Space().Free, make(chan struct{})
	setFree(t, e, func(path string) (uint64, error) {
		if _, err := e.Tickets().Find(t.Context(), "new"); err == nil {
			<-release
		}
		return whole(path)
	})
	answered := make(chan error, 1)
	go func() {
		_, err := e.Tickets().CreateWithin(t.Context(), anHour("new", "ann"),
			ticketstore.Limit{Max: 1, EndOldest: true}, base)
		answered <- err
	}()
	testenv.Eventually(t, "the sign-in is answered", func() bool { return len(answered) == 1 })
	close(release)
	if err := <-answered; err != nil {
		t.Error(err)
	}
	testenv.Eventually(t, "the grants of the ended session are purged", func() bool {
		stats, err := e.Stats(t.Context())
		return err == nil && stats.Records["grants"] == 0
	})
}
