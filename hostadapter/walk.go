package hostadapter

import "errors"

// maxCalls bounds the calls of one walk. At ticketstore.MaxCount rows a call it is far beyond what a store holds of anything that is walked.
const maxCalls = 10_000

// errEndless ends a walk that a store leads in circles, or on for ever.
var errEndless = errors.New("the store gave a broken answer: its pages lead nowhere")

// walk goes over what a store answers in several calls, each of which says where the next one goes on.
type walk struct {
	calls int
	at    string
}

// on goes on at next.
func (w *walk) on(next string) error {
	if w.calls++; w.calls >= maxCalls || next == w.at {
		return errEndless
	}
	w.at = next
	return nil
}

// again begins anew. It counts as a call.
func (w *walk) again() error {
	w.at = ""
	return w.on("from the beginning")
}
