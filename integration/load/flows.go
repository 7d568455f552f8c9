package main

// The flows: their preparation, and one step of each.

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"math/rand/v2"
	"net/url"
	"sync"
	"sync/atomic"
)

// flow is a measured operation.
type flow struct {
	name string
	// stores are the stores that support it.
	stores []string
	// callers are the numbers of callers that the table compares.
	callers []int
	// prepare returns the step that each caller repeats. A step returns errDone if the caller has no work
	// left.
	prepare func(ctx context.Context, s *server, callers int) (func(caller int, a asker) error, error)
}

var (
	every = []string{
		storeMemory, storeNone, storeBadger, storeBadger + uncached, storePostgres, storePostgres + uncached,
	}
	withSessions = []string{storeBadger, storePostgres}
	withUsers    = append([]string{storeMemory}, withSessions...)
)

const (
	withIDToken    = "openid offline_access"
	withoutIDToken = "offline_access"
)

var flows = []flow{
	{name: "introspect", stores: every, callers: []int{1, 64}, prepare: introspections},
	{name: "refresh", stores: withUsers, callers: []int{64}, prepare: refreshes(withoutIDToken)},
	{name: "refresh-id-token", stores: withUsers, callers: []int{64}, prepare: refreshes(withIDToken)},
	{name: "exchange", stores: withUsers, callers: []int{64}, prepare: exchanges},
	{name: "login", stores: withUsers, callers: []int{64}, prepare: logins},
	{name: "sign-in", stores: withUsers, callers: []int{64}, prepare: signIns},
	{name: "session", stores: withUsers, callers: []int{1, 64}, prepare: sessionsSeen},
	{name: "admin-list", stores: withSessions, callers: []int{1, 64}, prepare: adminLists},
}

// errDone means that a caller has no work left.
var errDone = errors.New("nothing is left to do")

// login is the result of a user's sign-in at a client.
type login struct{ cookie, access, refresh string }

func signIn(a asker) (cookie string, err error) {
	answer, err := want(a.ask(get("/sign-in", "")))(200)
	if err != nil {
		return "", err
	}
	return answer.cookie, nil
}

func authorize(a asker, cookie, scope string) (code string, err error) {
	query := url.Values{
		"client_id": {clientID}, "redirect_uri": {callback}, "response_type": {"code"}, "scope": {scope},
		"state": {"state-state-state"}, "nonce": {"nonce-nonce-nonce"},
	}
	answer, err := want(a.ask(get("/authorize?"+query.Encode(), cookie)))(303)
	if err != nil {
		return "", err
	}
	location, err := url.Parse(answer.location)
	if err == nil && location.Query().Get("code") == "" {
		err = fmt.Errorf("%w: no code: %s", errAnswer, answer.location)
	}
	if err != nil {
		return "", err
	}
	return location.Query().Get("code"), nil
}

func exchange(a asker, code string) (access, refresh string, err error) {
	return tokens(a, url.Values{
		"grant_type": {"authorization_code"}, "code": {code}, "redirect_uri": {callback},
	})
}

func tokens(a asker, form url.Values) (access, refresh string, err error) {
	answer, err := want(a.ask(post("/token", form)))(200)
	if err != nil {
		return "", "", err
	}
	access, refresh = member(answer.body, "access_token"), member(answer.body, "refresh_token")
	if access == "" {
		return "", "", fmt.Errorf("%w: no access token: %s", errAnswer, answer.body)
	}
	return access, refresh, nil
}

func newLogin(a asker, scope string) (l login, err error) {
	if l.cookie, err = signIn(a); err != nil {
		return l, err
	}
	code, err := authorize(a, l.cookie, scope)
	if err != nil {
		return l, err
	}
	l.access, l.refresh, err = exchange(a, code)
	return l, err
}

// many runs n steps concurrently, outside of the measurement, and returns their results.
func many[T any](ctx context.Context, s *server, n int, step func(a asker, i int) (T, error)) ([]T, error) {
	made := make([]T, n)
	var next atomic.Int64
	errs := make([]error, min(n, 64))
	var group sync.WaitGroup
	for worker := range errs {
		group.Go(func() {
			a, err := s.connect(ctx, worker)
			for i := int(next.Add(1)) - 1; i < n && err == nil; i = int(next.Add(1)) - 1 {
				made[i], err = step(a, i)
			}
			errs[worker] = err
		})
	}
	group.Wait()
	return made, errors.Join(errs...)
}

// introspection returns the introspection request for a token.
func introspection(token string) []byte { return post("/introspect", url.Values{"token": {token}}) }

func introspections(
	_ context.Context, s *server, _ int,
) (func(int, asker) error, error) {
	requests := make([][]byte, max(len(s.users), 1))
	for i := range requests {
		requests[i] = introspection("none")
		if len(s.users) > 0 {
			requests[i] = introspection(s.users[i].access)
		}
	}
	return func(_ int, a asker) error {
		answer, err := want(a.ask(requests[rand.IntN(len(requests))]))(200) //nolint:gosec // no secret
		if err == nil && len(s.users) > 0 && !bytes.HasPrefix(answer.body, []byte(`{"active":true`)) {
			err = fmt.Errorf("%w: %s", errAnswer, answer.body)
		}
		return err
	}, nil
}

func refreshes(scope string) func(context.Context, *server, int) (func(int, asker) error, error) {
	return func(ctx context.Context, s *server, callers int) (func(int, asker) error, error) {
		logins, err := many(ctx, s, callers, func(a asker, _ int) (login, error) {
			return newLogin(a, scope)
		})
		return func(caller int, a asker) (err error) {
			l := &logins[caller]
			l.access, l.refresh, err = tokens(a, url.Values{
				"grant_type": {"refresh_token"}, "refresh_token": {l.refresh},
			})
			return err
		}, err
	}
}

func exchanges(ctx context.Context, s *server, _ int) (func(int, asker) error, error) {
	codes, err := many(ctx, s, s.codes, func(a asker, i int) (string, error) {
		return authorize(a, s.users[i%len(s.users)].cookie, withIDToken)
	})
	var next atomic.Int64
	return func(_ int, a asker) error {
		i := int(next.Add(1)) - 1
		if i >= len(codes) {
			return errDone
		}
		_, _, err := exchange(a, codes[i])
		return err
	}, err
}

func logins(context.Context, *server, int) (func(int, asker) error, error) {
	return func(_ int, a asker) error { _, err := newLogin(a, withIDToken); return err }, nil
}

func signIns(context.Context, *server, int) (func(int, asker) error, error) {
	return func(_ int, a asker) error { _, err := signIn(a); return err }, nil
}

func sessionsSeen(_ context.Context, s *server, _ int) (func(int, asker) error, error) {
	return func(_ int, a asker) error {
		user := s.users[rand.IntN(len(s.users))] //nolint:gosec // no secret
		_, err := want(a.ask(get("/session", user.cookie)))(200)
		return err
	}, nil
}

func adminLists(context.Context, *server, int) (func(int, asker) error, error) {
	return func(_ int, a asker) error {
		answer, err := want(a.ask(get("/admin/sessions", "")))(200)
		if err == nil && !json.Valid(answer.body) {
			err = fmt.Errorf("%w: no JSON: %s", errAnswer, answer.body)
		}
		return err
	}, nil
}
