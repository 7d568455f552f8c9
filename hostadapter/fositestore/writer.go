package fositestore

// writer: fields of messages, as they lie in a grant's data.

import (
	"slices"
	"sync"
	"time"

	"google.golang.org/protobuf/encoding/protowire"
)

// writer writes messages one field behind the other, without the messages that generated code would make of
// them. Its methods take the number of a field. It is the counterpart of reader.
type writer struct {
	data []byte
	err  error // the first
}

// writers are used again, with their memory: what is sealed is a copy.
var writers = sync.Pool{New: func() any { return &writer{} }}

// mostKept bounds the memory that is used again, in bytes.
const mostKept = 16 << 10

func newWriter() *writer {
	w := writers.Get().(*writer)
	w.data, w.err = w.data[:0], nil
	return w
}

func (w *writer) release() {
	if cap(w.data) <= mostKept {
		clear(w.data) // it may hold what must not lie about
		writers.Put(w)
	}
}

func (w *writer) fail(err error) {
	if w.err == nil {
		w.err = err
	}
}

// text writes a text, and none that is empty.
func (w *writer) text(number int, text string) {
	if text != "" {
		w.member(number, text)
	}
}

// member writes a text that may be empty: one of a list or of alternatives.
func (w *writer) member(number int, text string) {
	w.data = protowire.AppendTag(w.data, protowire.Number(number), protowire.BytesType)
	w.data = protowire.AppendString(w.data, text)
}

func (w *writer) texts(number int, list []string) {
	for _, text := range list {
		w.member(number, text)
	}
}

// number writes a number, and none that is 0.
func (w *writer) number(number int, value uint64) {
	if value != 0 {
		w.choice(number, value)
	}
}

// choice writes a number that may be 0: one of alternatives.
func (w *writer) choice(number int, value uint64) {
	w.data = protowire.AppendTag(w.data, protowire.Number(number), protowire.VarintType)
	w.data = protowire.AppendVarint(w.data, value)
}

// message writes what fields writes as a message. Its length, which stands before it, is known behind it.
func (w *writer) message(number int, fields func()) {
	w.data = protowire.AppendTag(w.data, protowire.Number(number), protowire.BytesType)
	start := len(w.data)
	fields()
	var length [10]byte
	w.data = slices.Insert(w.data, start,
		protowire.AppendVarint(length[:0], uint64(len(w.data)-start))...)
}

// moment writes a moment without its offset, and none for the zero time.
func (w *writer) moment(number int, t time.Time) {
	if !t.IsZero() {
		w.momentAt(number, t, 0)
	}
}

func (w *writer) momentAt(number int, t time.Time, offset int) {
	w.message(number, func() {
		w.number(1, uint64(t.Unix()))
		w.number(2, uint64(t.Nanosecond()))
		w.number(3, uint64(int64(offset)))
	})
}
