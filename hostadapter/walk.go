package hostadapter

// Bounds of walks through a store that may not end.

import "errors"

// maxCalls bounds the calls of one walk that get nowhere. Walks that read are over rows of one session or
// user, and end long before. Those that change rows may come upon any number, and earn more calls by them:
// a store that is wrong about these keeps a walk going until its context ends.
const maxCalls = 10_000

// errEndless ends a walk that a store leads in circles, or on for ever.
var errEndless = errors.New("the store gave a broken answer: its pages lead nowhere")

// walk goes over what a store answers in several calls, each of which says where the next one continues.
type walk struct {
	calls int
	at    string
	// changed counts rows. Every second one allows a call.
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

// eachPage asks for one page after another, beginning without a results token, until there are no more. ask
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

// again begins another walk. It counts as a call.
func (w *walk) again() error {
	w.at = ""
	return w.on("from the beginning")
}
