package integration

// Stores that are missing or are not the pinned one.

import (
	"encoding/json"
	"errors"
	"log/slog"
	"net/http"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"golang.org/x/oauth2"

	"github.com/fosite-sessions/sessions/hostadapter"
	"github.com/fosite-sessions/sessions/plugin/badger"
	"github.com/fosite-sessions/sessions/plugin/plugintest/testenv"
	"github.com/fosite-sessions/sessions/ticketstore"
)

// pinnedID returns the id of the pinned store.
func (p *provider) pinnedID(t testing.TB) string {
	t.Helper()
	content, err := os.ReadFile(filepath.Join(p.data, "stores.json"))
	if err != nil {
		t.Fatal(err)
	}
	var stores []hostadapter.PinnedStore
	if err := json.Unmarshal(content, &stores); err != nil {
		t.Fatal(err)
	}
	stores = slices.DeleteFunc(stores, func(s hostadapter.PinnedStore) bool { return s.Left })
	if len(stores) != 1 {
		t.Fatalf("pinned stores %v, want one", stores)
	}
	return stores[0].StoreID
}

// mustRefuse restarts the server, which must refuse to start, and returns its output.
func (p *provider) mustRefuse(t testing.TB) string {
	t.Helper()
	command := exec.CommandContext(t.Context(), binary(t, "fosite-server"), append([]string{
		"-addr", p.address, "-data", p.data, "-clients", p.clients, "-users", p.users, "-admin-token",
		p.adminToken,
	}, p.flags...)...)
	command.Env = append(os.Environ(), "TMPDIR="+binaries.folder)
	said, err := command.CombinedOutput()
	var exited *exec.ExitError
	if !errors.As(err, &exited) {
		t.Fatalf("the start returned %v, want it refused:\n%s", err, said)
	}
	return string(said)
}

// otherStore creates a store and returns its id.
func otherStore(t *testing.T, path string) string {
	t.Helper()
	engine, err := badger.Open(t.Context(), badger.Settings{Path: path}, slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	description, err := engine.Describe(t.Context())
	if err := errors.Join(err, engine.Close()); err != nil {
		t.Fatal(err)
	}
	return description.StoreID
}

func rename(t *testing.T, from, to string) {
	t.Helper()
	if err := os.Rename(from, to); err != nil {
		t.Fatal(err)
	}
}

// bind mounts a folder onto a second one, at most until the end of the test.
func bind(t *testing.T, from, to string) {
	t.Helper()
	err := syscall.Mount(from, to, "", syscall.MS_BIND, "")
	switch {
	case err == nil:
		t.Cleanup(func() { _ = syscall.Unmount(to, syscall.MNT_DETACH) })
	case errors.Is(err, syscall.EPERM) && os.Getenv("CI") == "":
		t.Skipf("mounting requires root: %v", err)
	default:
		t.Fatal(err)
	}
}

// A plugin ends if its store is missing or replaced by a different one. Users stay signed in: they get 503
// until the right store is back, and operators see both ids. A start is refused in the same case.
func TestStoreIsGone(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		mounted bool
		lose    func(t *testing.T, store string) (found string) // the id of the store found instead
		back    func(t *testing.T, store string)
	}{
		"moved away": {
			lose: func(t *testing.T, store string) string { rename(t, store, store+"-away"); return "" },
			back: func(t *testing.T, store string) { rename(t, store+"-away", store) },
		},
		"a different store": {
			lose: func(t *testing.T, store string) string {
				rename(t, store, store+"-away")
				return otherStore(t, store)
			},
			back: func(t *testing.T, store string) {
				rename(t, store, store+"-other")
				rename(t, store+"-away", store)
			},
		},
		"its volume is not mounted": {
			mounted: true,
			lose: func(t *testing.T, store string) string {
				if err := syscall.Unmount(store, syscall.MNT_DETACH); err != nil {
					t.Fatal(err)
				}
				return ""
			},
			back: func(t *testing.T, store string) { bind(t, store+"-volume", store) },
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			rp := newRelyingParty(t, "shop")
			p := startProvider(t, []map[string]any{rp.registration()}, []user{ann})
			store := filepath.Join(p.data, "sessions")
			if c.mounted {
				p.kill()
				rename(t, store, store+"-volume")
				if err := os.Mkdir(store, 0o700); err != nil {
					t.Fatal(err)
				}
				bind(t, store+"-volume", store)
				p.start(t)
			}
			rp.discover(t, p)
			b := newBrowser()
			login := b.signIn(t, rp, p, ann)

			found := c.lose(t, store)
			wanted := []string{p.pinnedID(t), found, store}
			said := func(text string) bool {
				return !slices.ContainsFunc(wanted, func(part string) bool {
					return !strings.Contains(text, part)
				})
			}
			testenv.Eventually(t, "GET /backend reports why", func() bool {
				status, answer := p.admin(t, http.MethodGet, "/backend", nil)
				why, _ := answer["error"].(string)
				return status == http.StatusOK && answer["status"] == "unavailable" && said(why)
			})
			const unavailable = http.StatusServiceUnavailable
			ready, err := http.Get(p.issuer + "/readyz")
			if err != nil || ready.Body.Close() != nil || ready.StatusCode != unavailable {
				t.Errorf("/readyz: %v, %v, want 503", ready, err)
			}
			response, err := b.client.Get(rp.authorizeURL(oauth2.SetAuthURLParam("prompt", "none")))
			if err != nil {
				t.Fatal(err)
			}
			_ = response.Body.Close()
			if set := response.Header.Values("Set-Cookie"); response.StatusCode != unavailable ||
				len(set) != 0 {
				t.Errorf("a signed-in user gets %d and cookies %v, want 503 and none",
					response.StatusCode, set)
			}
			token := url.Values{"token": {login.token.AccessToken}}
			if status, answer := p.post(t, "introspection_endpoint", rp, token); status != unavailable {
				t.Errorf("introspection: %d %v, want 503", status, answer)
			}
			c.back(t, store)
			goesOn := func() {
				t.Helper()
				testenv.Eventually(t, "the server is ready again", func() bool {
					response, err := http.Get(p.issuer + "/readyz")
					return err == nil && response.Body.Close() == nil && response.StatusCode/100 == 2
				})
				if !p.active(t, rp, login.token.AccessToken) {
					t.Error("the access token is dead")
				}
				expectSignedIn(t, "Ann", b, rp, true)
			}
			goesOn()

			p.kill()
			if name == "a different store" {
				rename(t, store+"-other", store+"-next")
				rename(t, store, store+"-away")
				rename(t, store+"-next", store)
			} else {
				found = c.lose(t, store)
			}
			refusal := p.mustRefuse(t)
			if !said(refusal) || !strings.Contains(refusal, "-accept-store "+found) {
				t.Errorf("the refusal does not name all of %q and the flag:\n%s", wanted, refusal)
			}
			if entries, err := os.ReadDir(store); found == "" && len(entries) > 0 {
				t.Errorf("a store was created: %v %v", entries, err)
			}
			c.back(t, store)
			p.start(t)
			goesOn()
		})
	}
}

// A relative path names a different folder after its host changes its working directory.
func TestStoreBelowAnotherWorkingDirectory(t *testing.T) {
	first, second := t.TempDir(), t.TempDir()
	config := badgerConfig(t)
	config.Settings = badger.Settings{Path: "sessions"}
	config.CallTimeout = time.Second
	t.Chdir(first)
	client := openPlugin(t, config)
	description, err := client.Describe(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	t.Chdir(second)
	_ = syscall.Kill(client.PID(), syscall.SIGKILL)
	testenv.Eventually(t, "the host reports the folder", func() bool {
		_, err := client.Describe(t.Context())
		return err != nil && strings.Contains(err.Error(), description.StoreID) &&
			strings.Contains(err.Error(), filepath.Join(second, "sessions"))
	})
	_, err = client.Tickets().Get(t.Context(), ticketstore.Key{1})
	if !errors.Is(err, ticketstore.ErrUnavailable) {
		t.Errorf("a call: got %v, want ErrUnavailable", err)
	}
	if entries, err := os.ReadDir(second); len(entries) > 0 || err != nil {
		t.Errorf("the other directory has %v, error %v", entries, err)
	}
	t.Chdir(first)
	testenv.Eventually(t, "it continues with the previous folder", func() bool {
		_, err := client.Tickets().Get(t.Context(), ticketstore.Key{1})
		return errors.Is(err, ticketstore.ErrNotFound)
	})
}
