package torture

// Cases of the checker itself.

import (
	"fmt"
	"slices"
	"testing"
	"time"
)

var caseTerms = terms{
	idle: time.Minute, renewEvery: time.Second, slack: time.Second, stall: 10 * time.Second,
	late: 5 * time.Second,
}

var noon = time.Date(2026, 1, 2, 12, 0, 0, 0, time.UTC)

// calls builds a history: each call begins a second after the previous one and takes half a second.
type calls []*event

func (c calls) then(e event) calls {
	e.Start = noon.Add(time.Duration(len(c)) * time.Second)
	if e.Kind != told { // a client answers immediately
		e.End = e.Start.Add(500 * time.Millisecond)
	} else {
		e.End = e.Start
	}
	if e.Session == "" && e.Kind != removeAll {
		e.Session = "sid"
	}
	e.Subject, e.Client = "ann", "shop"
	return append(c, &e)
}

// began returns the history of a session with access token A1 and refresh token R1.
func began() calls {
	return calls{}.
		then(event{Kind: signIn, Outcome: done}).
		then(event{Kind: authorize, Outcome: done}).
		then(event{Kind: exchange, Outcome: done, Family: 1, Token: "C", Access: "A1", Refresh: "R1"})
}

func offline(c calls) calls {
	for i := range c {
		c[i].Offline = c[i].Family != 0
	}
	return c
}

func rotated() calls {
	return began().then(event{
		Kind: refresh, Outcome: done, Family: 1, Token: "R1", Access: "A2", Refresh: "R2",
	})
}

// harmed adds a disturbance of the processes.
func (c calls) harmed() calls { return c.then(event{Kind: harm}) }

// answeredSlowly makes clients take a second to answer.
func answeredSlowly(c calls) calls {
	for i := range c {
		if c[i].Kind == told {
			c[i].End = c[i].Start.Add(time.Second)
		}
	}
	return c
}

// removedAndTold adds a removal and n notifications.
func removedAndTold(c calls, times int) calls {
	c = c.then(event{Kind: removeOne, Outcome: done})
	for i := range times {
		c = c.then(event{Kind: told, Outcome: done, ID: fmt.Sprint("j", i)})
	}
	return c
}

func introspects(token string, got outcome) event {
	return event{Kind: introspec, Outcome: got, Family: 1, Token: token}
}

func refreshes(token string, got outcome) event {
	return event{
		Kind: refresh, Outcome: got, Family: 1, Token: token, Access: token + "a", Refresh: token + "r",
	}
}

func TestChecker(t *testing.T) {
	t.Parallel()
	for name, test := range map[string]struct {
		history calls
		want    rule // empty: no violation
	}{
		"a life": {rotated().then(introspects("A2", done)).then(introspects("A1", refused)).
			then(event{Kind: find, Outcome: done}).then(event{Kind: removeOne, Outcome: done}).then(
			introspects("A2", refused),
		).
			then(event{Kind: told, Outcome: done, ID: "j"}).then(event{
			Kind: find, Outcome: refused, Last: true,
		}), ""},
		"a token is lost":         {began().then(introspects("A1", refused)), ruleLost},
		"a refresh token is lost": {began().then(refreshes("R1", refused)), ruleLost},
		"a new token is lost":     {rotated().then(introspects("A2", refused)), ruleLost},
		"a session is not found":  {began().then(event{Kind: find, Outcome: refused}), ruleLost},
		"a session is not known":  {began().then(event{Kind: authorize, Outcome: refused}), ruleLost},
		"a lost answer excuses": {
			began().harmed().then(refreshes("R1", unknown)).then(introspects("A1", refused)), "",
		},
		"an unknown end excuses": {
			began().harmed().then(event{Kind: removeOne, Outcome: unknown}).then(introspects("A1", refused)),
			"",
		},
		"an unknown end half done": {
			began().harmed().then(event{Kind: removeOne, Outcome: unknown}).then(
				introspects("A1", refused),
			).then(event{Kind: find, Outcome: done}),
			ruleHalf,
		},
		"a token after a removal": {
			began().then(event{Kind: removeOne, Outcome: done}).then(introspects("A1", done)), ruleUndead,
		},
		"a refresh after a removal": {
			offline(began().then(event{Kind: removeAll, Outcome: done}).then(refreshes("R1", done))),
			ruleUndead,
		},
		"a cookie after a removal": {
			began().then(event{Kind: removeOne, Outcome: done}).then(event{Kind: authorize, Outcome: done}),
			ruleUndead,
		},
		"found after a removal": {
			began().then(event{Kind: removeOne, Outcome: done}).then(event{Kind: find, Outcome: done}),
			ruleUndead,
		},
		"alive after a refusal": {
			began().harmed().then(event{Kind: removeOne, Outcome: unknown}).then(
				event{Kind: find, Outcome: refused},
			).then(introspects("A1", done)),
			ruleUndead,
		},
		"offline survives": {
			offline(began().then(event{Kind: signOut, Outcome: done}).then(refreshes("R1", done))), "",
		},
		"offline does not survive": {
			offline(began().then(event{Kind: signOut, Outcome: done}).then(refreshes("R1", refused))),
			ruleLost,
		},
		"offline access survives": {
			offline(began().then(event{Kind: signOut, Outcome: done}).then(introspects("A1", done))),
			ruleUndead,
		},
		"online survives": {
			began().then(event{Kind: signOut, Outcome: done}).then(refreshes("R1", done)), ruleUndead,
		},
		"a code twice": {
			began().then(event{Kind: exchange, Outcome: done, Family: 1, Token: "C", Access: "A9"}),
			ruleTwice,
		},
		"a refresh token twice": {rotated().then(refreshes("R1", done)), ruleTwice},
		"a replaced token":      {rotated().then(introspects("A1", done)), ruleRotated},
		"after a reuse": {
			rotated().then(refreshes("R1", refused)).then(introspects("A2", done)), ruleUndead,
		},
		"notified too early": {
			began().then(event{Kind: told, Outcome: done, ID: "j"}).then(event{Kind: find, Outcome: done}),
			ruleEarly,
		},
		"same logout token twice": {
			began().then(event{Kind: removeOne, Outcome: done}).then(
				event{Kind: told, Outcome: done, ID: "j"},
			).then(event{Kind: told, Outcome: done, ID: "j"}),
			ruleReplay,
		},
		"never told": {
			began().then(event{Kind: removeOne, Outcome: done}).then(event{
				Kind: find, Outcome: refused, Last: true,
			}),
			ruleNotification,
		},
		"lingers": {
			began().then(event{Kind: find, Outcome: done, Last: true}), ruleLingers,
		},
		"a bad answer": {
			began().then(event{Kind: find, Outcome: wrong, Problem: "status 500"}), ruleAnswer,
		},
		"a lost cookie excuses": {
			began().harmed().then(event{Kind: stepUp, Outcome: unknown}).then(
				event{Kind: authorize, Outcome: refused},
			),
			"",
		},
		"a removal of others": {
			began().harmed().then(event{Kind: removeAll, Outcome: unknown}).then(introspects("A1", refused)),
			"",
		},
		"a failure without a cause": {began().then(refreshes("R1", unknown)), ruleFailed},
		"told twice":                {removedAndTold(began(), 2), ""},
		"notified three times":      {removedAndTold(began(), 3), ruleAgain},
		"notified after a crash":    {removedAndTold(began().harmed(), 3), ""},
		"notified thrice, slowly":   {answeredSlowly(removedAndTold(began(), 3)), ruleAgain},
		"notified again: the host has not seen the answer": {
			removedAndTold(began(), 1).then(event{Kind: unheard}).then(
				event{Kind: told, Outcome: done, ID: "j1"},
			).then(event{Kind: told, Outcome: done, ID: "j2"}),
			"",
		},
		"notified again: the client has not answered before": {
			removedAndTold(began(), 0).then(event{Kind: snubbed}).then(event{Kind: unheard}).then(
				event{Kind: told, Outcome: done, ID: "j0"},
			).then(event{Kind: told, Outcome: done, ID: "j1"}).then(
				event{Kind: told, Outcome: done, ID: "j2"},
			),
			ruleAgain,
		},
		"retried by an operator": {removedAndTold(began().then(event{Kind: resent}), 3), ""},
		"known to the store left behind": {began().then(event{Kind: removeOne, Outcome: done}).
			then(event{Kind: introspec, Outcome: done, Family: 1, Token: "A1", Store: "store-0"}),
			ruleUndead},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			found := check(test.history, caseTerms)
			if test.want == "" && len(found) > 0 {
				t.Errorf("found %v in a correct history", found)
			}
			for _, v := range found {
				if v.rule == test.want {
					return
				}
			}
			if test.want != "" {
				t.Errorf("want %q, found %v", test.want, found)
			}
		})
	}
}

func TestCheckerOfTime(t *testing.T) {
	t.Parallel()
	slow := began()
	slow[2].End = slow[2].Start.Add(time.Minute)
	expired := began().then(introspects("A1", done))
	expired[3].Start = noon.Add(time.Hour)
	expired[3].End = expired[3].Start
	due := began().then(introspects("A1", refused))
	due[3].Start = noon.Add(time.Hour)
	due[3].End = due[3].Start
	harmed := began().harmed()
	harmed[2].End, harmed[3].End = noon.Add(62*time.Second), noon.Add(61*time.Second)
	// A removal whose client disconnected waits for the end of an outage.
	outage := began().harmed().then(event{Kind: removeAll, Outcome: unknown})
	outage[3].End = noon.Add(5 * time.Minute)
	outage[4].End = noon.Add(time.Minute)
	second := event{
		Kind: signIn, Outcome: done, Session: "sid2", Subject: "ann", Start: noon.Add(3 * time.Minute),
		End: noon.Add(3*time.Minute + time.Second),
	}
	found := event{
		Kind: find, Outcome: refused, Session: "sid2", Subject: "ann", Start: noon.Add(5 * time.Minute),
		End: noon.Add(5*time.Minute + time.Second),
	}
	for name, test := range map[string]struct {
		history calls
		want    rule
	}{
		"an answer after a minute":         {slow, ruleStall},
		"an answer after an outage":        {harmed, ""},
		"a removal after an outage":        {append(outage, &second, &found), ""},
		"a token after its session's time": {expired, ruleUndead}, "a refusal then": {due, ""},
	} {
		found := check(test.history, caseTerms)
		if (test.want == "") != (len(found) == 0) || (len(found) > 0 && found[0].rule != test.want) {
			t.Errorf("%s: want %q, found %v", name, test.want, found)
		}
	}
}

// Renewals do not wait for the caches of other hosts, which are bounded by a lease.
func TestCheckerOfCopies(t *testing.T) {
	t.Parallel()
	shared := caseTerms
	shared.copies = time.Second
	history := rotated().then(introspects("A1", done)) // half a second later
	if found := check(history, shared); len(found) > 0 {
		t.Errorf("a copy within the lease: found %v", found)
	}
	last := history[len(history)-1]
	last.Start, last.End = last.Start.Add(time.Second), last.End.Add(time.Second)
	if found := check(history, shared); len(found) == 0 || found[0].rule != ruleRotated {
		t.Errorf("a copy beyond the lease: want %q, found %v", ruleRotated, found)
	}
}

// Ends are classified by disturbances meanwhile, and late ones are found.
func TestWaitsForHosts(t *testing.T) {
	t.Parallel()
	const lease = time.Second
	at := func(second, took float64, e event) *event {
		e.Start = noon.Add(time.Duration(second * float64(time.Second)))
		e.End = e.Start.Add(time.Duration(took * float64(time.Second)))
		return &e
	}
	end := event{Kind: removeOne, Outcome: done, Host: "a"}
	write := event{Kind: refresh, Outcome: done, Host: "a"}
	a, b, all := event{Kind: harm, Host: "a"}, event{Kind: harm, Host: "b"}, event{Kind: harm}
	lost := event{Kind: signOut, Outcome: unknown, Host: "a"}
	for name, c := range map[string]struct {
		history             []*event
		calm, beside, apart int
		late                bool
	}{
		"in calm":                {[]*event{at(0, 0.1, end)}, 1, 0, 0, false},
		"late in calm":           {[]*event{at(0, 1.3, end)}, 1, 0, 0, true},
		"beside another":         {[]*event{at(0, 1, b), at(0.5, 1.1, end)}, 0, 1, 0, false},
		"just after another":     {[]*event{at(0, 1, b), at(1.5, 1.1, end)}, 0, 1, 0, false},
		"late beside another":    {[]*event{at(0, 1, b), at(0.5, 1.3, end)}, 0, 1, 0, true},
		"slow machine":           {[]*event{at(0, 1, b), at(0, 0.2, write), at(0, 1.7, end)}, 0, 1, 0, false},
		"late on a slow machine": {[]*event{at(0, 1, b), at(0, 0.2, write), at(0, 2, end)}, 0, 1, 0, true},
		"without an answer":      {[]*event{at(0, 1, b), at(0.5, 5, lost)}, 0, 1, 0, true},
		"without a database":     {[]*event{at(0, 1, all), at(0.5, 3, end)}, 0, 0, 1, false},
		"before it is back":      {[]*event{at(0, 1, all), at(2, 3, end), at(3, 1, write)}, 0, 0, 1, false},
		"late behind an outage":  {[]*event{at(0, 1, all), at(2, 1, write), at(4, 3, end)}, 1, 0, 0, true},
		"at the host itself":     {[]*event{at(0, 1, a), at(0.5, 3, end)}, 0, 0, 1, false},
	} {
		calm, beside, apart := awaited(c.history, lease)
		if len(calm.ends) != c.calm || len(beside.ends) != c.beside || len(apart.ends) != c.apart {
			t.Errorf("%s: %d in calm, %d beside, %d apart", name, len(calm.ends), len(beside.ends),
				len(apart.ends))
		}
		commits := slices.Concat(calm.others, beside.others)
		if late := calm.late(lease, commits) + beside.late(lease, commits); (late != "") != c.late {
			t.Errorf("%s: late is %q, want it found: %t", name, late, c.late)
		}
	}
}
