// Package protofields reads fields of encoded protobuf messages in place, without decoding them into
// generated structs and without allocations: the strings that it returns are substrings of the message. It is
// for what every request reads: fosite's part of a token, and spans.
package protofields

// Reader reads messages. Broken is set once a message was malformed.
type Reader struct{ Broken bool }

// Fields iterates over the fields of a message. Next advances it to the first field.
type Fields struct {
	// Number is the field number. Value is the value of a numeric field. Text is the value of a
	// length-delimited field (string, bytes or message): then IsText is set. IsVarint is set for numbers
	// that are not of fixed size.
	Number   int
	Value    uint64
	Text     string
	IsText   bool
	IsVarint bool

	rest string
}

// The wire types of protobuf.
const (
	varintKind = 0
	fixed64    = 1
	textKind   = 2
	fixed32    = 5
)

// Of returns an iterator over a message.
func Of(message string) Fields { return Fields{rest: message} }

// Next advances to the next field. It returns false at the end, and at malformed input after setting Broken.
func (r *Reader) Next(f *Fields) bool {
	if f.rest == "" || r.Broken {
		return false
	}
	tag := r.varint(f)
	f.Number, f.Value, f.Text = int(tag>>3), 0, ""
	f.IsText, f.IsVarint = tag&7 == textKind, tag&7 == varintKind
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
	case fixed32: // no such field is read
		r.take(f, 4)
	default:
		r.Broken = true
	}
	return !r.Broken
}

func (r *Reader) varint(f *Fields) (value uint64) {
	for i := range min(len(f.rest), 10) {
		c := f.rest[i]
		if i == 9 && c > 1 { // over 64 bits
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

// Find returns the last field with a number, as protobuf prescribes, and whether there is one.
func (r *Reader) Find(message string, number int) (last Fields, found bool) {
	for f := Of(message); r.Next(&f); {
		if f.Number == number {
			last, found = f, true
		}
	}
	return last, found
}

// Text returns the last text with a number, or "" if there is none.
func (r *Reader) Text(message string, number int) string {
	field, _ := r.Find(message, number)
	return field.Text
}

// Count returns the number of fields with a number.
func (r *Reader) Count(message string, number int) (n int) {
	for f := Of(message); r.Next(&f); {
		if f.Number == number {
			n++
		}
	}
	return n
}

// Texts returns the texts with a number in a new slice, or nil if there are none.
func (r *Reader) Texts(message string, number int) (list []string) {
	if n := r.Count(message, number); n > 0 {
		list = make([]string, 0, n)
	}
	return r.AppendTexts(list, message, number)
}

// AppendTexts appends the texts with a number to list.
func (r *Reader) AppendTexts(list []string, message string, number int) []string {
	for f := Of(message); r.Next(&f); {
		if f.Number == number {
			list = append(list, f.Text)
		}
	}
	return list
}
