package integration

import (
	"fmt"
	"math/rand/v2"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/fosite-sessions/sessions/plugin/plugintest/testenv"
)

// swapper is a provider with stores to swap to and signed-in users.
type swapper struct {
	*provider
	rp     *relyingParty
	users  []user
	logins []signedIn
}

func newSwapper(t *testing.T, users, stores int, flags ...string) *swapper {
	t.Helper()
	s := &swapper{rp: newRelyingParty(t, "shop")}
	for i := range users {
		name := fmt.Sprintf("swap%d", i)
		s.users = append(s.users,
			user{name, "password of " + name, "sub-" + name, name, name + "@example.com"})
	}
	folder := t.TempDir()
	for i := range stores {
		flags = append(flags, "-store", fmt.Sprintf("s%d=%s", i, filepath.Join(folder, strconv.Itoa(i))))
	}
	s.provider = startProvider(t, []map[string]any{s.rp.registration()}, s.users, flags...)
	s.rp.discover(t, s.provider)
	for _, u := range s.users {
		s.logins = append(s.logins, newBrowser().signIn(t, s.rp, s.provider, u))
	}
	return s
}

func (s *swapper) swap(t *testing.T, store string) (status int) {
	t.Helper()
	status, _ = s.admin(t, http.MethodPost, "/backend/swap", map[string]string{"backend": store})
	return status
}

// expectWhole checks that exactly these users are signed in, with live tokens.
func (s *swapper) expectWhole(t *testing.T) {
	t.Helper()
	for i := range s.logins {
		if !s.active(t, s.rp, s.logins[i].token.AccessToken) {
			t.Errorf("the access token of %s is dead", s.users[i].Username)
		}
	}
	if n := len(s.sessions(t, url.Values{"count_requested": {"1000"}})); n != len(s.users) {
		t.Errorf("%d sessions, want %d", n, len(s.users))
	}
}

// refreshLogin refreshes a user's tokens and reports whether it succeeded.
func (s *swapper) refreshLogin(t *testing.T, i int) bool {
	t.Helper()
	status, answer := s.refresh(t, s.rp, s.logins[i].token.RefreshToken)
	if status != http.StatusOK {
		t.Errorf("a refresh answered %d %v", status, answer)
		return false
	}
	s.logins[i].token.AccessToken, _ = answer["access_token"].(string)
	s.logins[i].token.RefreshToken, _ = answer["refresh_token"].(string)
	return true
}

// load makes users refresh their tokens until stop. Each failed request fails the test.
func (s *swapper) load(t *testing.T) (goesOn func(when string), stop func()) {
	t.Helper()
	stopped := make(chan struct{})
	var answered atomic.Int64
	var wg sync.WaitGroup
	for i := range s.users {
		wg.Go(func() {
			for !t.Failed() {
				select {
				case <-stopped:
					return
				default:
				}
				if s.refreshLogin(t, i) && !s.active(t, s.rp, s.logins[i].token.AccessToken) {
					t.Error("a newly issued token is dead")
				}
				answered.Add(2)
			}
		})
	}
	goesOn = func(when string) {
		t.Helper()
		before := answered.Load()
		testenv.Eventually(t, "the load continues "+when, func() bool {
			return answered.Load() > before+40 || t.Failed()
		})
	}
	goesOn("at first")
	return goesOn, func() {
		close(stopped)
		wg.Wait()
		t.Logf("%d requests", answered.Load())
	}
}

func TestSwapWhileUsersWork(t *testing.T) {
	t.Parallel()
	s := newSwapper(t, 4, 1)
	goesOn, stop := s.load(t)
	// First a new process takes over the same data, like a newer program.
	status, answer := s.admin(t, http.MethodPost, "/backend/swap",
		map[string]any{"backend": "main", "same_data": true})
	job, _ := answer["job"].(string)
	if status != http.StatusAccepted || job == "" {
		t.Errorf("the upgrade answered %d %v, want 202 and a job", status, answer)
	}
	testenv.Eventually(t, "the upgrade is done", func() bool {
		_, told := s.admin(t, http.MethodGet, "/jobs/"+job, nil)
		return told["state"] == "done" || t.Failed()
	})
	status, answer = s.admin(t, http.MethodPost, "/backend/swap", map[string]string{"backend": "s0"})
	job, _ = answer["job"].(string)
	if status != http.StatusAccepted || job == "" {
		t.Errorf("the swap answered %d %v, want 202 and a job", status, answer)
	}
	testenv.Eventually(t, "the swap is done", func() bool {
		_, told := s.admin(t, http.MethodGet, "/jobs/"+job, nil)
		if told["state"] == "done" && (told["kind"] != "swap" || told["done"] != told["total"]) {
			t.Errorf("the job is reported as %v", told)
		}
		return told["state"] == "done" || t.Failed()
	})
	goesOn("after the swap")
	stop()
	s.expectWhole(t)
	for store, want := range map[string]int{"s0": 409, "nowhere": 404} {
		if status := s.swap(t, store); status != want {
			t.Errorf("a swap to %s answered %d, want %d", store, status, want)
		}
	}
	s.remove(t, map[string]any{"subject_id": s.users[0].Subject})
	s.users, s.logins = s.users[1:], s.logins[1:]
	s.kill()
	s.start(t)
	s.expectWhole(t)
	// The new store is pinned instead of the old one.
	s.kill()
	main := filepath.Join(s.data, "sessions")
	_, folder, _ := strings.Cut(s.flags[1], "=")
	if err := os.RemoveAll(main); err != nil {
		t.Fatal(err)
	}
	rename(t, folder, main)
	s.flags = nil
	s.start(t)
	s.expectWhole(t)
}

// A server killed at any point of a swap restarts with all data, on the old or the new store.
// SESSIONS_SWAP_KILLS sets the number of kills (make swap-kills).
func TestSwapKilledHalfWay(t *testing.T) {
	t.Parallel()
	kills := 6
	if n, err := strconv.Atoi(os.Getenv("SESSIONS_SWAP_KILLS")); err == nil {
		kills = n
	}
	// At its start a server follows the chain of all stores that it was moved from: begin a new chain after
	// some swaps.
	const chain = 20
	for done := 0; done < kills; done += chain {
		t.Run(fmt.Sprintf("kills=%d", done), func(t *testing.T) { killSwaps(t, min(chain, kills-done)) })
	}
}

func killSwaps(t *testing.T, kills int) {
	t.Helper()
	s := newSwapper(t, 3, kills)
	for i := range kills {
		testenv.Eventually(t, "the next swap begins", func() bool {
			return s.swap(t, fmt.Sprintf("s%d", i)) == http.StatusAccepted
		})
		time.Sleep(rand.N(120 * time.Millisecond)) // a random point, not a wait
		plugins := children(s.host)
		if i%2 == 0 || len(plugins) == 0 {
			_ = syscall.Kill(s.host, syscall.SIGKILL)
			<-s.process.Ended()
			testenv.Eventually(t, "the plugins notice that their host has ended", func() bool {
				for _, pid := range plugins {
					if testenv.Runs(pid) {
						return false
					}
				}
				return true
			})
			s.start(t)
			s.pinnedID(t) // exactly one
		} else {
			_ = syscall.Kill(plugins[rand.N(len(plugins))], syscall.SIGKILL)
			testenv.Eventually(t, "one plugin is left", func() bool { return len(children(s.host)) == 1 })
		}
		s.expectWhole(t)
	}
}

// children returns the running child processes of a process.
func children(pid int) (pids []int) {
	tasks, _ := filepath.Glob(fmt.Sprintf("/proc/%d/task/*/children", pid))
	for _, task := range tasks {
		raw, _ := os.ReadFile(task)
		for field := range strings.FieldsSeq(string(raw)) {
			if child, err := strconv.Atoi(field); err == nil && testenv.Runs(child) {
				pids = append(pids, child)
			}
		}
	}
	return pids
}
