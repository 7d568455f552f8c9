package fositestore

// writer encodes the messages in a grant's data.

import (
	"slices"
	"sync"
	"time"

	"google.golang.org/protobuf/encoding/protowire"
)

// writer appends encoded fields to a buffer, without generated structs. Its methods take the field number. It
// is the counterpart of reader.
type writer struct {
	data []byte
	err  error // the first
}

// writers are pooled with their buffers: the sealed data is a copy.
var writers = sync.Pool{New: func() any { return &writer{} }}

// maxPooled bounds the capacity of a pooled buffer, in bytes.
const maxPooled = 16 << 10

func newWriter() *writer {
	w := writers.Get().(*writer)
	w.data, w.err = w.data[:0], nil
	return w
}

func (w *writer) release() {
	if cap(w.data) <= maxPooled {
		clear(w.data) // it may hold secrets
		writers.Put(w)
	}
}

func (w *writer) fail(err error) {
	if w.err == nil {
		w.err = err
	}
}

// text appends a string field unless it is empty.
func (w *writer) text(number int, text string) {
	if text != "" {
		w.member(number, text)
	}
}

// member appends a string field even if it is empty: an element of a list or of a oneof.
func (w *writer) member(number int, text string) {
	w.data = protowire.AppendTag(w.data, protowire.Number(number), protowire.BytesType)
	w.data = protowire.AppendString(w.data, text)
}

func (w *writer) texts(number int, list []string) {
	for _, text := range list {
		w.member(number, text)
	}
}

// number appends a varint field unless it is 0.
func (w *writer) number(number int, value uint64) {
	if value != 0 {
		w.choice(number, value)
	}
}

// choice appends a varint field even if it is 0: an element of a oneof.
func (w *writer) choice(number int, value uint64) {
	w.data = protowire.AppendTag(w.data, protowire.Number(number), protowire.VarintType)
	w.data = protowire.AppendVarint(w.data, value)
}

// message appends an embedded message whose fields are written by fields. Its length is inserted afterwards.
func (w *writer) message(number int, fields func()) {
	w.data = protowire.AppendTag(w.data, protowire.Number(number), protowire.BytesType)
	start := len(w.data)
	fields()
	var length [10]byte
	w.data = slices.Insert(w.data, start,
		protowire.AppendVarint(length[:0], uint64(len(w.data)-start))...)
}

// moment appends a Moment without its offset, or nothing for the zero time.
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
