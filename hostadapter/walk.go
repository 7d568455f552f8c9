package hostadapter

// Bounds for paging through a store that never ends.

import (
	"errors"

	"github.com/fosite-sessions/sessions/ticketstore"
)

// maxCalls bounds the calls of one walk that make no progress. Walks that only read cover the rows of one
// session or user, and end long before. Walks that change rows may meet any number of them, and get more
// calls for each: if the store is wrong about these, the walk continues until its context ends.
const maxCalls = 10_000

// errEndless ends a walk whose pages are circular or never end.
var errEndless = errors.New("the store gave a broken answer: its pages lead nowhere")

// walk pages through a store's results, each of which says where the next one continues.
type walk struct {
	calls int
	at    string
	// changed counts changed rows. Every second one allows another call.
	changed int
}

// on continues at next.
func (w *walk) on(next string) error {
	if w.calls++; w.calls >= maxCalls+w.changed/2 || next == w.at {
		return errEndless
	}
	w.at = next
	return nil
}

// eachPage requests one page after another, beginning without a results token, until there are no more. ask
// returns the token of the next page and whether there is one.
func eachPage(ask func(token string) (next string, more bool, err error)) error {
	for pages := (walk{}); ; {
		next, more, err := ask(pages.at)
		if err != nil || !more {
			return err
		}
		if err := pages.on(next); err != nil {
			return err
		}
	}
}

// eachSession visits the sessions of all pages. A store that lists one twice gives a broken answer.
func eachSession(
	ask func(token string) (*ticketstore.Page, error), visit func(*ticketstore.SessionDetail) error,
) error {
	seen := map[string]bool{}
	return eachPage(func(token string) (next string, more bool, err error) {
		page, err := ask(token)
		if err != nil {
			return "", false, err
		}
		for i := range page.Sessions {
			session := &page.Sessions[i]
			if seen[session.SessionID] {
				return "", false, errEndless
			}
			seen[session.SessionID] = true
			if err := visit(session); err != nil {
				return "", false, err
			}
		}
		return page.ResultsToken, page.HasNext, nil
	})
}

// again starts another walk. It counts as a call.
func (w *walk) again() error {
	w.at = ""
	return w.on("from the beginning")
}
