package integration

import (
	"context"
	"fmt"
	"net/http"
	"net/url"
	"sync"
	"testing"
)

// races is the number of removals that race a code exchange and a refresh, distributed over concurrent users.
const (
	races     = 1000
	racers    = 8
	racersFor = races / racers
)

// A code exchange or a refresh that races a removal fails, or its tokens are revoked with the others: no live
// token is left in either case.
func TestRemovalRacingCodeExchangeAndRefresh(t *testing.T) {
	t.Parallel()
	rp := newRelyingParty(t, "shop")
	var users []user
	for i := range racers {
		name := fmt.Sprintf("racer%d", i)
		users = append(users, user{name, "password of " + name, "sub-" + name, name, name + "@example.com"})
	}
	p := startProvider(t, []map[string]any{rp.registration()}, users)
	rp.discover(t, p)
	// The counts show that there was a race: some exchanges and refreshes win, some lose.
	var won, lost [2]int
	var mutex sync.Mutex
	for _, u := range users {
		t.Run(u.Username, func(t *testing.T) {
			t.Parallel()
			for range racersFor {
				exchanged, refreshed := raceOnce(t, p, rp, u)
				mutex.Lock()
				for i, ok := range []bool{exchanged, refreshed} {
					if ok {
						won[i]++
					} else {
						lost[i]++
					}
				}
				mutex.Unlock()
			}
		})
	}
	t.Cleanup(func() {
		t.Logf("exchanges: %d before the removal, %d after; refreshes: %d before, %d after", won[0], lost[0],
			won[1], lost[1])
		if won[0]+lost[0] != races || won[0] == 0 || lost[0] == 0 || won[1] == 0 || lost[1] == 0 {
			t.Errorf("exchanges won %d lost %d, refreshes won %d lost %d: not a race in %d runs", won[0],
				lost[0], won[1], lost[1], races)
		}
	})
}

// raceOnce starts the three together and checks that no token is live afterwards.
func raceOnce(t *testing.T, p *provider, rp *relyingParty, u user) (exchanged, refreshed bool) {
	b := newBrowser()
	first := signInBy(t, b, rp, p, u)
	callback := b.code(t, rp)
	tokens := []string{first.token.AccessToken, first.token.RefreshToken}
	refreshTokens := []string{first.token.RefreshToken}

	var group sync.WaitGroup
	start := make(chan struct{})
	var second *signedIn
	var renewed map[string]any
	group.Go(func() {
		<-start
		if login, err := rp.redeem(context.Background(), callback); err == nil {
			second = login
		}
	})
	group.Go(func() {
		<-start
		if status, answer := p.refresh(t, rp, first.token.RefreshToken); status == http.StatusOK {
			renewed = answer
		}
	})
	group.Go(func() {
		<-start
		p.remove(t, map[string]any{"subject_id": u.Subject})
	})
	close(start)
	group.Wait()

	if second != nil {
		tokens = append(tokens, second.token.AccessToken, second.token.RefreshToken)
		refreshTokens = append(refreshTokens, second.token.RefreshToken)
	}
	if renewed != nil {
		access, _ := renewed["access_token"].(string)
		refresh, _ := renewed["refresh_token"].(string)
		tokens, refreshTokens = append(tokens, access, refresh), append(refreshTokens, refresh)
	}
	for i, token := range tokens {
		if p.active(t, rp, token) {
			t.Errorf("%s: token %d is alive after the removal", u.Username, i)
		}
	}
	for i, token := range refreshTokens {
		if status, answer := p.refresh(t, rp, token); status != http.StatusBadRequest ||
			answer["error"] != "invalid_grant" {
			t.Errorf("%s: refresh token %d answered %d %v after the removal, want invalid_grant", u.Username,
				i, status, answer)
		}
	}
	if left := p.sessions(t, url.Values{"subject_id": {u.Subject}}); len(left) != 0 {
		t.Errorf("%s: %d sessions are left", u.Username, len(left))
	}
	return second != nil, renewed != nil
}

// signInBy signs in without the client's own pages, so that many users can sign in at one client
// concurrently.
func signInBy(t *testing.T, b *browser, rp *relyingParty, p *provider, u user) signedIn {
	t.Helper()
	var callback url.Values
	client := *b.client
	b.client.CheckRedirect = func(r *http.Request, _ []*http.Request) error {
		if r.URL.Path == "/callback" {
			callback = r.URL.Query()
			return http.ErrUseLastResponse
		}
		return nil
	}
	b.open(t, rp.authorizeURL(), p, u)
	b.client.CheckRedirect = client.CheckRedirect
	login, err := rp.redeem(t.Context(), callback)
	if err != nil {
		t.Fatalf("%s: %v", u.Username, err)
	}
	return *login
}
