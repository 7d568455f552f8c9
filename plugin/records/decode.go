package records

// Decoding in place of the records that every request reads.

import (
	"unicode/utf8"
	"unsafe"

	"google.golang.org/protobuf/proto"

	"github.com/fosite-sessions/sessions/plugin/protofields"
)

// Decode decodes a record into message, which must be empty. The strings and bytes of a Session, ClientUse or
// Grant are parts of data afterwards, not copies: neither may be changed from then on.
//
// Whatever the decoders below do not expect, such as an unknown field, is left to proto.Unmarshal: the result
// is the same in every case.
func Decode(data []byte, message proto.Message) error {
	row := unsafe.String(unsafe.SliceData(data), len(data)) //nolint:gosec // data is not changed
	plain := false
	switch m := message.(type) {
	case *Session:
		plain = m.read(row)
	case *ClientUse:
		plain = m.read(row)
	case *Grant:
		plain = m.read(row)
	}
	if plain {
		return nil
	}
	return proto.Unmarshal(data, message)
}

func (s *Session) read(row string) (plain bool) {
	f := fieldsOf(row)
	for f.next() {
		switch f.Number {
		case 1:
			f.bytes(&s.Key)
		case 2:
			f.text(&s.SessionId)
		case 3:
			f.text(&s.SubjectId)
		case 4:
			f.text(&s.DisplayName)
		case 5:
			f.text(&s.Issuer)
		case 6:
			f.moment(&s.AuthTime)
		case 7:
			f.text(&s.Acr)
		case 8:
			var method string
			f.text(&method)
			s.Amr = append(s.Amr, method)
		case 9:
			f.text(&s.RemoteAddr)
		case 10:
			f.text(&s.UserAgent)
		case 11:
			f.moment(&s.Created)
		case 12:
			f.moment(&s.Renewed)
		case 13:
			f.moment(&s.Expires)
		case 14:
			f.moment(&s.EndsAt)
		case 15:
			f.number(&s.Version)
		case 16:
			f.moment(&s.IndexedDue)
		case 17:
			f.bytes(&s.Ticket)
		case 18:
			f.bytes(&s.Visible)
		default:
			return false
		}
	}
	return f.plain()
}

func (u *ClientUse) read(row string) (plain bool) {
	f := fieldsOf(row)
	for f.next() {
		switch f.Number {
		case 1:
			f.moment(&u.FirstUsed)
		case 2:
			f.moment(&u.LastUsed)
		case 3:
			f.flag(&u.Notify)
		case 4:
			f.flag(&u.Coordinated)
		case 5:
			f.number(&u.TokenNumber)
		case 6:
			f.flag(&u.Detached)
		case 7:
			f.text(&u.LastEnding)
		case 8:
			var muted uint64
			f.number(&muted)
			u.Muted = uint32(muted)
		default:
			return false
		}
	}
	return f.plain()
}

func (g *Grant) read(row string) (plain bool) {
	f := fieldsOf(row)
	for f.next() {
		switch f.Number {
		case 1:
			f.text(&g.RequestId)
		case 2:
			f.text(&g.SubjectId)
		case 3:
			f.text(&g.SessionId)
		case 4:
			f.text(&g.ClientId)
		case 5:
			f.text(&g.Description)
		case 6:
			f.moment(&g.Created)
		case 7:
			f.moment(&g.Expires)
		case 8:
			f.moment(&g.Consumed)
		case 9:
			f.flag(&g.Offline)
		case 10:
			f.number(&g.TokenNumber)
		case 11:
			f.flag(&g.Outlives)
		case 12:
			f.bytes(&g.Data)
		case 13:
			f.bytes(&g.Access)
		case 14:
			f.moment(&g.Began)
		case 15:
			f.number(&g.Used)
		default:
			return false
		}
	}
	return f.plain()
}

// fields iterates over the fields of a record. odd is set once one has another type than in the schema.
type fields struct {
	protofields.Fields
	reader protofields.Reader
	odd    bool
}

func fieldsOf(row string) fields { return fields{Fields: protofields.Of(row)} }

func (f *fields) next() bool { return !f.odd && f.reader.Next(&f.Fields) }

// plain reports, at the end, whether all fields were as expected.
func (f *fields) plain() bool { return !f.odd && !f.reader.Broken }

func (f *fields) text(to *string) {
	*to = f.Text
	f.odd = !f.IsText || !utf8.ValidString(f.Text)
}

func (f *fields) bytes(to *[]byte) {
	*to = nil
	if f.Text != "" {
		*to = unsafe.Slice(unsafe.StringData(f.Text), len(f.Text)) //nolint:gosec // data is not changed
	}
	f.odd = !f.IsText
}

func (f *fields) number(to *uint64) { *to, f.odd = f.Value, !f.IsVarint }
func (f *fields) moment(to *int64)  { *to, f.odd = int64(f.Value), !f.IsVarint }
func (f *fields) flag(to *bool)     { *to, f.odd = f.Value != 0, !f.IsVarint }
