package fositestore

// Protobuf messages read where they lie: a walk over the fields of request.proto, without the messages that
// generated code would make of them. A request is read once for each question about its token. The texts that
// are read are parts of the data, so that reading them takes no memory.

// reader reads messages, and says whether any of them was none.
type reader struct{ broken bool }

// fields is a walk over the fields of a message.
type fields struct {
	rest string
	// number is that of the field; value is what it has of a number, text what it has of a text, of bytes and
	// of a message.
	number int
	value  uint64
	text   string
}

// The kinds of fields on the wire that protobuf still has.
const (
	varintKind = 0
	fixed64    = 1
	textKind   = 2
	fixed32    = 5
)

func fieldsOf(message string) fields { return fields{rest: message} }

// next goes to the next field. It reports false at the end, and at what is no field.
func (r *reader) next(f *fields) bool {
	if f.rest == "" || r.broken {
		return false
	}
	tag := r.varint(f)
	f.number, f.value, f.text = int(tag>>3), 0, ""
	switch tag & 7 {
	case varintKind:
		f.value = r.varint(f)
	case textKind:
		f.text = r.take(f, r.varint(f))
	case fixed64:
		for i, c := range []byte(r.take(f, 8)) {
			f.value |= uint64(c) << (8 * i)
		}
	case fixed32: // no field of these messages
		r.take(f, 4)
	default:
		r.broken = true
	}
	return !r.broken
}

func (r *reader) varint(f *fields) (value uint64) {
	for i := range min(len(f.rest), 10) {
		c := f.rest[i]
		value |= uint64(c&0x7f) << (7 * i)
		if c < 0x80 {
			f.rest = f.rest[i+1:]
			return value
		}
	}
	r.broken = true
	return 0
}

func (r *reader) take(f *fields, n uint64) string {
	if n > uint64(len(f.rest)) {
		r.broken = true
		return ""
	}
	text := f.rest[:n]
	f.rest = f.rest[n:]
	return text
}

// find returns the last field of a number, as protobuf does, and whether there is one.
func (r *reader) find(message string, number int) (last fields, found bool) {
	for f := fieldsOf(message); r.next(&f); {
		if f.number == number {
			last, found = f, true
		}
	}
	return last, found
}

func (r *reader) text(message string, number int) string {
	field, _ := r.find(message, number)
	return field.text
}

// count returns how many fields of a number there are.
func (r *reader) count(message string, number int) (n int) {
	for f := fieldsOf(message); r.next(&f); {
		if f.number == number {
			n++
		}
	}
	return n
}

// texts returns the list that a number has, in memory of its own, nil where it has none.
func (r *reader) texts(message string, number int) (list []string) {
	return r.appendTexts(slicesOf(r.count(message, number)), message, number)
}

func slicesOf(n int) []string {
	if n == 0 {
		return nil
	}
	return make([]string, 0, n)
}

func (r *reader) appendTexts(list []string, message string, number int) []string {
	for f := fieldsOf(message); r.next(&f); {
		if f.number == number {
			list = append(list, f.text)
		}
	}
	return list
}
