package integration

// Notifications during outages of clients, host and plugin.

import (
	"net/http"
	"net/url"
	"slices"
	"syscall"
	"testing"

	"github.com/fosite-sessions/sessions/plugin/plugintest/testenv"
)

// deliveries returns the notifications of a session to a client, as JSON objects.
func (w *world) deliveries(t *testing.T, sid, client string) []map[string]any {
	t.Helper()
	query := url.Values{"session_id": {sid}, "client_id": {client}}
	status, answer := w.admin(t, http.MethodGet, "/logout/deliveries?"+query.Encode(), nil)
	if status != http.StatusOK {
		t.Fatalf("deliveries: status %d, answer %v", status, answer)
	}
	var found []map[string]any
	list, _ := answer["results"].([]any)
	for _, d := range list {
		delivery, _ := d.(map[string]any)
		found = append(found, delivery)
	}
	return found
}

func TestDeliveryAtTheThirdAttempt(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.shop.answerNext(http.StatusInternalServerError, http.StatusInternalServerError)
	w.remove(t, map[string]any{"subject_id": ann.Subject})
	w.expectTold(t, w.mail, w.annAtMail.sid)
	w.expectTold(t, w.shop, w.annAtShop.sid)
	if n := w.shop.unanswered(); n != 0 {
		t.Errorf("the shop was notified before it had answered 500 twice: %d left", n)
	}
	if found := w.deliveries(t, w.annAtShop.sid, "shop"); len(found) != 1 {
		t.Errorf("%d notifications for one session and client, want one", len(found))
	}
}

func TestRetryOfARefusedNotification(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.shop.answerNext(http.StatusBadRequest)
	w.remove(t, map[string]any{"subject_id": ann.Subject})
	var refused map[string]any
	testenv.Eventually(t, "the notification is refused", func() bool {
		found := w.deliveries(t, w.annAtShop.sid, "shop")
		refused = found[0]
		return refused["state"] == "refused"
	})
	id, _ := refused["id"].(string)
	if status, answer := w.admin(t, http.MethodPost, "/logout/deliveries/"+id+"/retry",
		nil); status/100 != 2 {
		t.Fatalf("retry: status %d, answer %v", status, answer)
	}
	w.expectTold(t, w.shop, w.annAtShop.sid)
}

// Host and plugin die after a removal is acknowledged and before any client is notified. The removal and its
// notifications survive the restart.
func TestKilledBetweenRemovalAndDelivery(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	never := slices.Repeat([]int{http.StatusServiceUnavailable}, 1000)
	w.shop.answerNext(never...)
	w.mail.answerNext(never...)
	w.expectCounts(t, w.remove(t, map[string]any{"subject_id": ann.Subject}),
		map[string]float64{"sessions_removed": 1, "notifications_queued": 2})
	w.kill()
	w.shop.answerNext()
	w.mail.answerNext()
	w.start(t)
	w.expectTold(t, w.shop, w.annAtShop.sid)
	w.expectTold(t, w.mail, w.annAtMail.sid)
	w.expectDead(t, "Ann", w.shop, w.annAtShop)
	expectSignedIn(t, "Ann", w.annsBrowser, w.mail, false)
	expectSignedIn(t, "Bob", w.bobsBrowser, w.mail, true)
	w.expectAlive(t, "Bob", w.shop, &w.bobAtShop)
}

// The plugin does not survive its killed host.
func TestPluginEndsWithItsHost(t *testing.T) {
	t.Parallel()
	rp := newRelyingParty(t, "shop")
	p := startProvider(t, []map[string]any{rp.registration()}, []user{ann})
	_ = syscall.Kill(p.host, syscall.SIGKILL)
	<-p.process.Ended()
	testenv.Eventually(t, "the plugin has ended", func() bool { return !testenv.Runs(p.plugin) })
	p.start(t) // the database is unlocked and consistent
}
