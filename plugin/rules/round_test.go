package rules_test

import (
	"slices"
	"testing"
	"time"

	"github.com/fosite-sessions/sessions/logout"
	"github.com/fosite-sessions/sessions/plugin/rules"
)

func TestRound(t *testing.T) {
	t.Parallel()
	type offered struct {
		client string
		due    time.Duration
		want   rules.ClaimDecision
	}
	for name, c := range map[string]struct {
		claim  logout.Claim
		offers []offered
		next   time.Time
		full   bool
	}{
		"no notification": {claim: logout.Claim{Limit: 1, PerClient: 1}},
		"due": {
			claim:  logout.Claim{Limit: 9, PerClient: 9},
			offers: []offered{{"", -1, rules.Claimed}, {"a", -1, rules.Claimed}, {"a", 0, rules.Claimed}},
		},
		"not due yet": {
			claim: logout.Claim{Limit: 9, PerClient: 9},
			offers: []offered{
				{"a", 2, rules.ClientSkipped}, {"b", 1, rules.ClientSkipped}, {"c", 3, rules.ClientSkipped},
			},
			next: now.Add(1),
		},
		"a busy client is skipped": {
			claim:  logout.Claim{Limit: 9, PerClient: 9, Busy: []string{"a"}},
			offers: []offered{{"a", -2, rules.ClientSkipped}, {"b", -1, rules.Claimed}},
			next:   now.Add(-2),
		},
		"the limit for each client": {
			claim: logout.Claim{Limit: 9, PerClient: 2},
			offers: []offered{
				{"a", -3, rules.Claimed}, {"a", -2, rules.Claimed}, {"a", -1, rules.ClientSkipped},
				{"b", -3, rules.Claimed},
			},
			next: now.Add(-1),
		},
		"the limit of the claim": {
			claim: logout.Claim{Limit: 2, PerClient: 1},
			offers: []offered{
				{"a", -1, rules.Claimed}, {"b", -1, rules.Claimed}, {"c", 5, rules.ClientSkipped},
				{"d", -1, rules.ClaimComplete},
			},
			next: now, full: true,
		},
	} {
		round, got := rules.NewRound(&c.claim, now), []offered(nil)
		for _, o := range c.offers {
			got = append(got, offered{o.client, o.due, round.Decide(o.client, now.Add(o.due))})
		}
		if !slices.Equal(got, c.offers) {
			t.Errorf("%s: %v, want %v", name, got, c.offers)
		}
		if !round.Next.Equal(c.next) || round.Full != c.full {
			t.Errorf("%s: next at %s, full: %t; want %s, %t", name, round.Next,
				round.Full, c.next, c.full)
		}
	}
}
