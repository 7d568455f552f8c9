package fositestore

// Values of any type in a grant's data.

import (
	"cmp"
	"encoding/json"
	"fmt"
	"math"
	"strings"
	"time"

	"google.golang.org/protobuf/encoding/protowire"

	"github.com/fosite-sessions/sessions/plugin/protofields"
)

// object encodes claims and headers that hosts add; a nil map writes nothing. Values keep their Go types,
// where JSON would make every number a float64 and every list a []any.
func (w *writer) object(number int, object map[string]any) {
	if object == nil {
		return
	}
	w.message(number, func() {
		for name, value := range object {
			w.message(1, func() {
				w.text(1, name)
				w.message(2, func() {
					if err := w.value(value); err != nil {
						w.fail(fmt.Errorf("claim %q: %w", name, err))
					}
				})
			})
		}
	})
}

// value encodes the fields of a requestpb.Value. A nil list or object becomes nil, which is null in a token.
func (w *writer) value(value any) error {
	switch v := value.(type) {
	case nil:
	case bool:
		w.choice(1, protowire.EncodeBool(v))
	case string:
		w.member(2, v)
	case int:
		w.choice(3, uint64(v))
	case int64:
		w.choice(4, uint64(v))
	case float64:
		w.data = protowire.AppendTag(w.data, 5, protowire.Fixed64Type)
		w.data = protowire.AppendFixed64(w.data, math.Float64bits(v))
	case time.Time: // also the zero time, and the offset, which a token shows
		_, offset := v.Zone()
		w.momentAt(6, v, offset)
	case []string:
		if v != nil {
			w.message(8, func() { w.texts(1, v) })
		}
	case []any:
		if v != nil {
			return w.list(v)
		}
	case map[string]any:
		w.object(9, v)
	default:
		data, err := json.Marshal(value)
		if err != nil {
			return fmt.Errorf("encode value of type %T: %w", value, err)
		}
		w.member(10, string(data))
	}
	return nil
}

func (w *writer) list(list []any) (err error) {
	w.message(7, func() {
		for i := range list {
			w.message(1, func() { err = cmp.Or(err, w.value(list[i])) })
		}
	})
	return err
}

func (r *reader) timeValue(message string) time.Time {
	seconds, nanos, offset := r.momentParts(message)
	t := time.Unix(seconds, nanos).UTC()
	if offset != 0 {
		t = t.In(time.FixedZone("", offset))
	}
	return t
}

// object decodes a requestpb.Object.
func (r *reader) object(message string) map[string]any {
	object := make(map[string]any, r.Count(message, 1))
	for f := protofields.Of(message); r.Next(&f); {
		if f.Number == 1 {
			object[r.Text(f.Text, 1)] = r.valueOf(r.Text(f.Text, 2))
		}
	}
	return object
}

// valueOf decodes a requestpb.Value.
func (r *reader) valueOf(message string) (value any) {
	for f := protofields.Of(message); r.Next(&f); {
		switch f.Number {
		case 1:
			value = f.Value != 0
		case 2:
			value = f.Text
		case 3:
			value = int(int64(f.Value))
		case 4:
			value = int64(f.Value)
		case 5:
			value = math.Float64frombits(f.Value)
		case 6:
			value = r.timeValue(f.Text)
		case 7:
			value = r.list(f.Text)
		case 8:
			value = append([]string{}, r.Texts(f.Text, 1)...)
		case 9:
			value = r.object(f.Text)
		case 10:
			value = valueOfJSON(f.Text)
		}
	}
	return value
}

func (r *reader) list(message string) []any {
	list := make([]any, 0, r.Count(message, 1))
	for f := protofields.Of(message); r.Next(&f); {
		if f.Number == 1 {
			list = append(list, r.valueOf(f.Text))
		}
	}
	return list
}

// valueOfJSON decodes JSON made by json.Marshal. Invalid JSON yields nil rather than making the whole grant
// unreadable.
func valueOfJSON(text string) (value any) {
	decoder := json.NewDecoder(strings.NewReader(text))
	decoder.UseNumber() // keep numbers in the form that a token shows
	_ = decoder.Decode(&value)
	return value
}
