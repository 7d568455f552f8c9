package protofields_test

import (
	"math"
	"slices"
	"testing"

	"google.golang.org/protobuf/encoding/protowire"

	"github.com/fosite-sessions/sessions/plugin/protofields"
)

// message has each kind of field, one of them twice, and a list.
func message() string {
	b := protowire.AppendVarint(protowire.AppendTag(nil, 1, protowire.VarintType), math.MaxUint64)
	b = protowire.AppendString(protowire.AppendTag(b, 2, protowire.BytesType), "first")
	b = protowire.AppendFixed64(protowire.AppendTag(b, 3, protowire.Fixed64Type), math.Float64bits(1.5))
	b = protowire.AppendFixed32(protowire.AppendTag(b, 4, protowire.Fixed32Type), 7)
	b = protowire.AppendString(protowire.AppendTag(b, 1000, protowire.BytesType), "a")
	b = protowire.AppendString(protowire.AppendTag(b, 2, protowire.BytesType), "last")
	return string(protowire.AppendString(protowire.AppendTag(b, 1000, protowire.BytesType), ""))
}

// Not parallel: it counts allocations.
func TestFields(t *testing.T) { //nolint:paralleltest // it counts allocations
	var r protofields.Reader
	m := message()
	if f, found := r.Find(m, 1); !found || f.Value != math.MaxUint64 || f.IsText {
		t.Errorf("a number: got %+v", f)
	}
	if f, found := r.Find(m, 3); !found || math.Float64frombits(f.Value) != 1.5 {
		t.Errorf("a float: got %+v", f)
	}
	if got := r.Text(m, 2); got != "last" {
		t.Errorf("a repeated field: got %q, want the last value", got)
	}
	if got := r.Texts(m, 1000); !slices.Equal(got, []string{"a", ""}) || r.Count(m, 1000) != 2 {
		t.Errorf("a list: got %q, want all of it", got)
	}
	if _, found := r.Find(m, 9); found || r.Texts(m, 9) != nil || r.Broken {
		t.Error("want no missing field, and no error")
	}
	if n := testing.AllocsPerRun(10, func() { r.Find(m, 1000) }); n != 0 {
		t.Errorf("a walk makes %g allocations, want none", n)
	}
}

// Every prefix of a message ends at a field boundary or is broken.
func TestBrokenMessages(t *testing.T) {
	t.Parallel()
	m := message()
	for n := range len(m) {
		var r protofields.Reader
		whole := 0
		for f := protofields.Of(m[:n]); r.Next(&f); {
			whole++
		}
		rest := []byte(m[:n])
		for want := 0; ; want++ {
			_, _, size := protowire.ConsumeField(rest)
			if size < 0 {
				if whole != want || r.Broken != (len(rest) > 0) {
					t.Errorf("%d bytes: %d fields, broken %t; want %d, %t", n, whole, r.Broken, want,
						len(rest) > 0)
				}
				break
			}
			rest = rest[size:]
		}
	}
	for _, broken := range []string{
		"\x0b\x0c", "\x07", "\x0a\xff\xff\xff\xff\xff\xff\xff\xff\xff\x01",
		"\x08\xff\xff\xff\xff\xff\xff\xff\xff\xff\x02", "\x02\x00",
	} {
		var r protofields.Reader
		if f := protofields.Of(broken); r.Next(&f) || !r.Broken {
			t.Errorf("%q: want it broken", broken)
		}
	}
}
