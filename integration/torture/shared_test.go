//go:build linux

package torture

// Two hosts over one store on PostgreSQL: they and the server are killed, stopped and started again.

import (
	"context"
	"log/slog"
	"math/rand/v2"
	"sync"
	"testing"
	"time"

	"github.com/fosite-sessions/sessions/plugin/plugintest/pgserver"
	"github.com/fosite-sessions/sessions/plugin/postgres"
)

// hostFaultsEnv is how many faults TestTortureOfTwoHosts commits: each kind once when unset.
const hostFaultsEnv = "TORTURE_HOSTS"

// database is a store that hosts share.
type database struct{ DSN, Schema string }

// in is a store in another schema.
func (d *database) in(schema string) *database { return &database{DSN: d.DSN, Schema: schema} }

func (d *database) settings() postgres.Settings {
	// The network is the test's own.
	return postgres.Settings{DSN: d.DSN, Schema: d.Schema, UnverifiedTLS: true}
}

// sharedTerms: no session ends but by what was asked.
var sharedTerms = terms{
	idle: time.Hour, renewEvery: time.Second, slack: 2 * time.Second, stall: patience, late: 20 * time.Second,
	copies: 1050 * time.Millisecond, // the lease of a host, and 5 %
}

// pair are two hosts over one store, with everybody who works on them.
type pair struct {
	*tormentor
	victims []*victim
	store   *database
}

// newPair starts two hosts on a store that know stores in further schemas.
func newPair(t *testing.T, terms terms, store *database, users int, further ...string) *pair {
	t.Helper()
	return newPairOver(t, terms, []*database{store, store}, users, further...)
}

// newPairOver is newPair for hosts that reach the store in different ways.
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

// run has everybody work while f does what it does to processes and servers, and holds the history against
// the rules.
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
			p.t.Errorf("the processes' log says:\n%s", trouble)
		}
		if p.t.Failed() {
			p.t.Logf("the end of the processes' log:\n%s", v.log.last(8<<10))
		}
	}
}

// acknowledged holds that ends were acknowledged in time, apart from those at a host, or of a database, that
// was disturbed.
func (p *pair) acknowledged() {
	calm, beside, apart := awaited(p.w.history.all(), p.terms.copies)
	p.t.Logf("in calm %s\nbeside a host that was disturbed %s\nat one, or while the database was, %s", &calm,
		&beside, &apart)
	for _, w := range []waits{calm, beside} {
		if late := w.late(p.terms.copies); late != "" {
			p.t.Errorf("acknowledged too late: %s", late)
		}
	}
}

// outage does something to the database of both.
func (p *pair) outage(f func()) { p.harm("", f) }

// inspect holds the store as a whole against the rules.
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
		p.t.Errorf("the store is found to be %+v, error %v", report, err)
	}
}

// Users work at two hosts over one store while host, plugin or server is killed, hangs, or is started again.
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
