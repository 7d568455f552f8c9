package records_test

import (
	"slices"
	"testing"

	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protoreflect"

	"github.com/fosite-sessions/sessions/plugin/records"
)

// whole returns messages with every field of the schema set.
func whole() []proto.Message {
	messages := []proto.Message{&records.Session{}, &records.ClientUse{}, &records.Grant{}}
	for _, message := range messages {
		m := message.ProtoReflect()
		fields := m.Descriptor().Fields()
		for i := range fields.Len() {
			f := fields.Get(i)
			value := map[protoreflect.Kind]protoreflect.Value{
				protoreflect.StringKind: protoreflect.ValueOfString("Zoë"),
				protoreflect.BytesKind:  protoreflect.ValueOfBytes([]byte{0xff, 0}),
				protoreflect.Int64Kind:  protoreflect.ValueOfInt64(-int64(i) - 1),
				protoreflect.Uint64Kind: protoreflect.ValueOfUint64(1 << 63),
				protoreflect.Uint32Kind: protoreflect.ValueOfUint32(1<<32 - 1),
				protoreflect.BoolKind:   protoreflect.ValueOfBool(true),
			}[f.Kind()]
			if f.IsList() {
				m.Mutable(f).List().Append(value)
			} else {
				m.Set(f, value)
			}
		}
	}
	return messages
}

func encoded(t *testing.T, message proto.Message) []byte {
	t.Helper()
	data, err := proto.Marshal(message)
	if err != nil {
		t.Fatal(err)
	}
	return data
}

// decodesAlike checks that Decode has the result of proto.Unmarshal.
func decodesAlike(t *testing.T, data []byte, like proto.Message) {
	t.Helper()
	want, got := like.ProtoReflect().New().Interface(), like.ProtoReflect().New().Interface()
	refused, err := proto.Unmarshal(data, want), records.Decode(data, got)
	if (err != nil) != (refused != nil) || err == nil && !proto.Equal(got, want) {
		t.Errorf("%x: got %v, error %v; want %v, error %v", data, got, err, want, refused)
	}
}

// Every field of the schema is decoded in place: proto.Unmarshal would allocate. Not parallel: it counts
// allocations.
func TestDecodeAllocatesNothing(t *testing.T) { //nolint:paralleltest // it counts allocations
	for _, message := range whole() {
		data, reused := encoded(t, message), message.ProtoReflect().New().Interface()
		decodesAlike(t, data, message)
		session, hasList := reused.(*records.Session)
		n := testing.AllocsPerRun(10, func() {
			if hasList {
				session.Amr = nil
			}
			if err := records.Decode(data, reused); err != nil {
				t.Error(err)
			}
		})
		if n > 1 || n > 0 && !hasList {
			t.Errorf("%T makes %g allocations, want one for a list", message, n)
		}
	}
}

// Damaged, unknown, repeated and reordered fields are decoded as by proto.Unmarshal.
func TestDecodeEqualsUnmarshal(t *testing.T) {
	t.Parallel()
	for _, message := range whole() {
		data := encoded(t, message)
		for i := range data {
			decodesAlike(t, data[:i], message)
			decodesAlike(t, append(data[i:len(data):len(data)], data[:i]...), message)
			for _, flip := range []byte{1, 2, 3, 4, 5, 8, 0x20, 0x80, 0xff} {
				changed := slices.Clone(data)
				changed[i] ^= flip
				decodesAlike(t, changed, message)
			}
		}
		for _, other := range whole() { // with other fields, and with repeated ones
			decodesAlike(t, slices.Concat(data, encoded(t, other)), message)
		}
		decodesAlike(t, nil, message)
	}
}

// Appending to decoded bytes does not overwrite the rest of the row.
func TestDecodedBytesHaveNoSpareCapacity(t *testing.T) {
	t.Parallel()
	data := encoded(t, &records.Grant{Data: []byte("sealed"), Access: []byte("access")})
	before, g := slices.Clone(data), &records.Grant{}
	if err := records.Decode(data, g); err != nil {
		t.Fatal(err)
	}
	if _ = append(g.GetData(), "more"...); !slices.Equal(data, before) {
		t.Errorf("the row became %x, want %x", data, before)
	}
}
