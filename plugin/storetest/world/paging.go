package world

// Paging checks for listings of any kind.

import (
	"bytes"
	"fmt"
	"slices"

	"github.com/fosite-sessions/sessions/ticketstore"
)

// Question is a query for a page.
type Question struct {
	Order ticketstore.Order
	Count int
	Token string
	Prior bool
}

// Answer is a page of any listing: the ids of its rows, its token, and whether pages precede or follow.
type Answer struct {
	IDs              []string
	Token            string
	HasPrev, HasNext bool
}

// Listing asks a store for a page of one of its listings.
type Listing func(Question) (Answer, error)

// CheckPaging walks a listing, whose rows do not change, in both orders and both directions. ids are its rows
// in ascending order; there must be five or more.
func (w *World) CheckPaging(listing Listing, ids []string) {
	w.Helper()
	reversed := slices.Clone(ids)
	slices.Reverse(reversed)
	for _, count := range []int{2, len(ids), len(ids) + 3} {
		w.checkWalk(listing, ticketstore.Ascending, count, ids)
		w.checkWalk(listing, ticketstore.Descending, count, reversed)
	}
	first := w.ask(listing, Question{Count: 3})
	w.Same(first.IDs, reversed[:3], "the first page without an order")
	rest := w.ask(listing, Question{Count: len(ids), Token: first.Token})
	w.Same(rest.IDs, reversed[3:], "the page after it, with a different count")
	w.checkForged(listing, first.Token, ids)
	for name, question := range map[string]Question{
		"a malformed token":              {Token: "page-two"},
		"a token cut short":              {Token: first.Token[:len(first.Token)-1]},
		"a token with a letter too many": {Token: first.Token + "A"},
		"a token with a byte flipped":    {Token: flipped(first.Token)},
		"a token of the other order":     {Token: first.Token, Order: ticketstore.Ascending},
	} {
		w.RefusesToken(Err(listing(question)), name)
	}
	for name, bad := range map[string]struct {
		question Question
		field    string
	}{
		"a negative count":             {Question{Count: -1}, "count_requested"},
		"a count over the limit":       {Question{Count: ticketstore.MaxCount + 1}, "count_requested"},
		"an unknown order":             {Question{Order: "sideways"}, "order"},
		"a prior page without a token": {Question{Prior: true}, "request_prior_results"},
		"a token longer than any valid one": {
			Question{Token: string(make([]byte, ticketstore.MaxResultsToken+1))}, "results_token",
		},
	} {
		w.Refuses(Err(listing(bad.question)), bad.field, name)
	}
}

// checkForged queries with forged tokens: they are refused, or return rows that the filter selects.
func (w *World) checkForged(listing Listing, token string, ids []string) {
	w.Helper()
	var cursor *ticketstore.Cursor
	for _, name := range []string{"sessions", "grants", "deliveries"} {
		if decoded, err := ticketstore.DecodeCursor(name, token); err == nil {
			cursor = decoded
		}
	}
	if cursor == nil {
		w.Fatal("the results token was not made by ticketstore.Cursor")
	}
	place := cursor.After.Position
	for _, position := range [][]byte{
		nil, {0}, {0xff}, bytes.Repeat([]byte{0xff}, 100), place[:len(place)/2],
		append(slices.Clone(place), 0),
	} {
		for _, bits := range []int{0, 1, 2, 3} {
			cursor.Before = ticketstore.Bound{Position: position, Inclusive: bits&1 != 0}
			cursor.After = cursor.Before
			forged, err := cursor.Encode()
			w.OK(err, "Encode a forged token")
			answer, err := listing(Question{Count: len(ids), Token: forged, Prior: bits&2 != 0})
			if err != nil {
				w.RefusesToken(err, "a forged token")
				continue
			}
			for _, id := range answer.IDs {
				if !slices.Contains(ids, id) {
					w.Fatalf("a token with the position %x returns a row that the filter does not select: %s",
						position, id)
				}
			}
		}
	}
}

func (w *World) ask(listing Listing, question Question) Answer {
	w.Helper()
	answer, err := listing(question)
	w.OK(err, fmt.Sprintf("ask for a page %+v", question))
	return answer
}

// checkWalk walks from the first page to the empty page after the last, back to the empty page before the
// first, and forward again.
func (w *World) checkWalk(listing Listing, order ticketstore.Order, count int, want []string) {
	w.Helper()
	walk := fmt.Sprintf("of a walk in order %s by %d", order, count)
	question := Question{Order: order, Count: count}
	for at := 0; at < len(want); at += count {
		end := min(at+count, len(want))
		answer := w.ask(listing, question)
		w.Same(answer.IDs, want[at:end], fmt.Sprintf("page at row %d %s", at, walk))
		w.leads(answer, at > 0, end < len(want), fmt.Sprintf("page at row %d %s", at, walk))
		question = Question{Count: count, Token: answer.Token}
	}
	behind := w.ask(listing, question)
	w.Same(behind.IDs, []string{}, "page after the last row "+walk)
	w.leads(behind, true, false, "page after the last row "+walk)

	question = Question{Count: count, Token: behind.Token, Prior: true}
	for end := len(want); end > 0; end -= count {
		at := max(end-count, 0)
		answer := w.ask(listing, question)
		w.Same(answer.IDs, want[at:end], fmt.Sprintf("prior page to row %d %s", end, walk))
		w.leads(answer, at > 0, end < len(want), fmt.Sprintf("prior page to row %d %s", end, walk))
		question.Token = answer.Token
	}
	before := w.ask(listing, question)
	w.Same(before.IDs, []string{}, "page before the first row "+walk)
	w.leads(before, false, true, "page before the first row "+walk)

	again := w.ask(listing, Question{Count: count, Token: before.Token})
	w.Same(again.IDs, want[:min(count, len(want))], "the first page again "+walk)
}

func (w *World) leads(answer Answer, prev, next bool, what string) {
	w.Helper()
	if answer.HasPrev != prev || answer.HasNext != next {
		w.Fatalf("%s: HasPrev is %v and HasNext %v, want %v and %v", what, answer.HasPrev, answer.HasNext,
			prev, next)
	}
	if answer.Token == "" {
		w.Fatalf("%s: there is no results token", what)
	}
}

// flipped returns the token with a letter in its middle replaced.
func flipped(token string) string {
	raw := []byte(token)
	at := len(raw) / 2
	if raw[at] == 'A' {
		raw[at] = 'B'
	} else {
		raw[at] = 'A'
	}
	return string(raw)
}
