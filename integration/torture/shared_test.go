//go:build linux

package torture

// Two hosts on one PostgreSQL store: hosts and server are killed, stopped and restarted.

import (
	"context"
	"log/slog"
	"math/rand/v2"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/fosite-sessions/sessions/plugin/plugintest/pgserver"
	"github.com/fosite-sessions/sessions/plugin/postgres"
)

// hostFaultsEnv sets the number of faults of TestTortureOfTwoHosts: if unset, each kind once.
const hostFaultsEnv = "TORTURE_HOSTS"

// database is a shared store.
type database struct{ DSN, Schema string }

// in returns a store in a different schema.
func (d *database) in(schema string) *database { return &database{DSN: d.DSN, Schema: schema} }

func (d *database) settings() postgres.Settings {
	// The network belongs to the test.
	return postgres.Settings{DSN: d.DSN, Schema: d.Schema, UnverifiedTLS: true}
}

// sharedTerms: sessions end only by calls.
var sharedTerms = terms{
	idle: time.Hour, renewEvery: time.Second, slack: 2 * time.Second, stall: patience, late: 20 * time.Second,
	copies: 1050 * time.Millisecond, // a host's lease plus 5 %
}

// pair is two hosts on one store, with their users and relying parties.
type pair struct {
	*tormentor
	victims []*victim
	store   *database
}

// newPair starts two hosts on a store, with stores in further schemas configured.
func newPair(t *testing.T, terms terms, store *database, users int, further ...string) *pair {
	t.Helper()
	return newPairOver(t, terms, []*database{store, store}, users, further...)
}

// newPairOver is newPair for hosts that connect to the store by different addresses.
func newPairOver(t *testing.T, terms terms, ways []*database, users int, further ...string) *pair {
	t.Helper()
	w := newWorld(terms)
	p := &pair{tormentor: &tormentor{trial: &trial{terms: terms}, t: t, w: w}, store: ways[0]}
	var bases []string
	for _, way := range ways {
		config := w.config(append([]string{way.Schema}, further...)...)
		config.Database = way
		v := newVictim(t, w.history, config)
		if err := v.start(); err != nil {
			t.Fatalf("%v\n%s", err, v.log.last(4<<10))
		}
		p.victims, bases = append(p.victims, v), append(bases, v.base)
	}
	w.populate("user", users, bases...)
	w.populate("brief", users/2, bases...)
	for _, u := range w.users[users:] {
		u.brief = true
	}
	return p
}

// run runs the users while f disturbs processes and servers, and checks the history against the rules.
func (p *pair) run(f func()) {
	ctx, stop := context.WithCancel(p.t.Context())
	var working sync.WaitGroup
	working.Go(func() { p.w.each(func(u *user) { u.run(ctx) }) })
	p.w.progress(p.t, 50)
	f()
	p.w.progress(p.t, 50)
	stop()
	working.Wait()
	for _, v := range p.victims {
		v.awaitPlugin()
	}
	p.w.audit(p.t)
	for _, v := range p.victims {
		v.end()
	}
	p.w.close()
	p.inspect()
	p.w.report(p.t, check(p.w.history.all(), p.terms))
	for _, v := range p.victims {
		if trouble := v.log.trouble(); trouble != "" {
			p.t.Errorf("the processes' log has:\n%s", trouble)
		}
		if p.t.Failed() {
			p.t.Logf("the end of the processes' log:\n%s", v.log.last(8<<10))
		}
	}
}

// acknowledged checks that ends were acknowledged in time, except at a disturbed host or during a disturbance
// of the database.
func (p *pair) acknowledged() {
	calm, beside, apart := awaited(p.w.history.all(), p.terms.copies)
	p.t.Logf("undisturbed: %s\nbeside a disturbed host: %s\ndisturbed, or the database: %s", &calm,
		&beside, &apart)
	commits := slices.Concat(calm.others, beside.others)
	for _, w := range []waits{calm, beside} {
		if late := w.late(p.terms.copies, commits); late != "" {
			p.t.Errorf("acknowledged too late: %s", late)
		}
	}
}

// outage disturbs the database of both hosts.
func (p *pair) outage(f func()) { p.harm("", f) }

// inspect runs the engine's check on the store.
func (p *pair) inspect() {
	ctx := context.WithoutCancel(p.t.Context())
	look, err := postgres.OpenReadOnly(ctx, p.store.settings(), slog.New(slog.DiscardHandler))
	if err != nil {
		p.t.Error(err)
		return
	}
	defer func() { _ = look.Close() }()
	report, err := look.Check(ctx, postgres.CheckConfig{})
	if err != nil || len(report.Findings) > 0 {
		p.t.Errorf("the check of the store found %+v, error %v", report, err)
	}
}

// Users work at two hosts on one store while host, plugin or server is killed, hangs, or is restarted.
func TestTortureOfTwoHosts(t *testing.T) {
	t.Parallel()
	server := pgserver.Start(t)
	dsn, schema := server.Schema(t)
	p := newPair(t, sharedTerms, &database{DSN: dsn, Schema: schema}, number(t, usersEnv, 12))
	kinds := []func(){
		func() { p.torment(pluginKilled) },
		func() { p.torment(pluginHangs) },
		func() { p.torment(hostKilled) },
		func() { p.torment(bothKilled) },
		func() { p.torment(hostHangs) },
		func() { p.outage(func() { server.Kill(); server.Begin(t) }) },
		func() { p.outage(func() { server.Stop(); server.Begin(t) }) },
		func() {
			p.outage(func() {
				server.Pause(t)
				time.Sleep(rand.N(3500 * time.Millisecond))
				server.Continue()
			})
		},
	}
	faults := number(t, hostFaultsEnv, len(kinds))
	p.run(func() {
		for done := 0; done < faults; {
			for _, kind := range rand.Perm(len(kinds))[:min(len(kinds), faults-done)] {
				p.v = p.victims[rand.IntN(len(p.victims))]
				kinds[kind]()
				p.w.progress(t, 20)
				done++
			}
		}
	})
	p.acknowledged()
}
