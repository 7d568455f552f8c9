// Package protofields reads protobuf messages where they lie: it walks over their fields, without the
// messages that generated code would make of them. The texts that it returns are parts of the message, so
// that reading takes no memory. It is for what is read at each request: what fosite gets of a token, and
// spans.
package protofields

// Reader reads messages. Broken says that any of them was none.
type Reader struct{ Broken bool }

// Fields is a walk over the fields of a message: Next goes to the first.
type Fields struct {
	// Number is that of the field. Value is what it has of a number, Text what it has of a text, of bytes and
	// of a message: then IsText is set.
	Number int
	Value  uint64
	Text   string
	IsText bool

	rest string
}

// The kinds of fields on the wire that protobuf still has.
const (
	varintKind = 0
	fixed64    = 1
	textKind   = 2
	fixed32    = 5
)

// Of returns a walk over a message.
func Of(message string) Fields { return Fields{rest: message} }

// Next goes to the next field. It reports false at the end, and, with Broken, at what is no field.
func (r *Reader) Next(f *Fields) bool {
	if f.rest == "" || r.Broken {
		return false
	}
	tag := r.varint(f)
	f.Number, f.Value, f.Text, f.IsText = int(tag>>3), 0, "", tag&7 == textKind
	if f.Number == 0 {
		r.Broken = true
	}
	switch tag & 7 {
	case varintKind:
		f.Value = r.varint(f)
	case textKind:
		f.Text = r.take(f, r.varint(f))
	case fixed64:
		for i, c := range []byte(r.take(f, 8)) {
			f.Value |= uint64(c) << (8 * i)
		}
	case fixed32: // no field that is read has one
		r.take(f, 4)
	default:
		r.Broken = true
	}
	return !r.Broken
}

func (r *Reader) varint(f *Fields) (value uint64) {
	for i := range min(len(f.rest), 10) {
		c := f.rest[i]
		if i == 9 && c > 1 { // more than 64 bits
			break
		}
		value |= uint64(c&0x7f) << (7 * i)
		if c < 0x80 {
			f.rest = f.rest[i+1:]
			return value
		}
	}
	r.Broken = true
	return 0
}

func (r *Reader) take(f *Fields, n uint64) string {
	if n > uint64(len(f.rest)) {
		r.Broken = true
		return ""
	}
	text := f.rest[:n]
	f.rest = f.rest[n:]
	return text
}

// Find returns the last field of a number, as protobuf does, and whether there is one.
func (r *Reader) Find(message string, number int) (last Fields, found bool) {
	for f := Of(message); r.Next(&f); {
		if f.Number == number {
			last, found = f, true
		}
	}
	return last, found
}

// Text returns the last text of a number, "" where there is none.
func (r *Reader) Text(message string, number int) string {
	field, _ := r.Find(message, number)
	return field.Text
}

// Count returns how many fields of a number there are.
func (r *Reader) Count(message string, number int) (n int) {
	for f := Of(message); r.Next(&f); {
		if f.Number == number {
			n++
		}
	}
	return n
}

// Texts returns the list that a number has, in memory of its own, nil where it has none.
func (r *Reader) Texts(message string, number int) (list []string) {
	return r.AppendTexts(slicesOf(r.Count(message, number)), message, number)
}

func slicesOf(n int) []string {
	if n == 0 {
		return nil
	}
	return make([]string, 0, n)
}

// AppendTexts appends the list that a number has.
func (r *Reader) AppendTexts(list []string, message string, number int) []string {
	for f := Of(message); r.Next(&f); {
		if f.Number == number {
			list = append(list, f.Text)
		}
	}
	return list
}
