package fositestore

// Values of any type in a grant's data.

import (
	"encoding/json"
	"fmt"
	"math"
	"strings"
	"time"

	"github.com/fosite-sessions/sessions/hostadapter/fositestore/internal/requestpb"
	"github.com/fosite-sessions/sessions/plugin/protofields"
)

// encodeObject encodes claims and headers that hosts add. JSON would make every number a float64 and every
// list a []any; these come back as they were.
func encodeObject(object map[string]any) (*requestpb.Object, error) {
	if object == nil {
		return nil, nil
	}
	message := &requestpb.Object{Members: make([]*requestpb.Member, 0, len(object))}
	for name, value := range object {
		encoded, err := encodeValue(value)
		if err != nil {
			return nil, fmt.Errorf("claim %q: %w", name, err)
		}
		message.Members = append(message.Members, &requestpb.Member{Name: name, Value: encoded})
	}
	return message, nil
}

func encodeValue(value any) (*requestpb.Value, error) {
	switch v := value.(type) {
	case nil:
		return &requestpb.Value{}, nil
	case bool:
		return &requestpb.Value{Kind: &requestpb.Value_BoolValue{BoolValue: v}}, nil
	case string:
		return &requestpb.Value{Kind: &requestpb.Value_StringValue{StringValue: v}}, nil
	case int:
		return &requestpb.Value{Kind: &requestpb.Value_IntValue{IntValue: int64(v)}}, nil
	case int64:
		return &requestpb.Value{Kind: &requestpb.Value_Int64Value{Int64Value: v}}, nil
	case float64:
		return &requestpb.Value{Kind: &requestpb.Value_Float64Value{Float64Value: v}}, nil
	case time.Time:
		return &requestpb.Value{Kind: &requestpb.Value_TimeValue{TimeValue: timeValue(v)}}, nil
	case []string:
		if v == nil {
			return &requestpb.Value{}, nil // null in a token, as before
		}
		return &requestpb.Value{
			Kind: &requestpb.Value_StringsValue{StringsValue: &requestpb.Strings{Values: v}},
		}, nil
	case []any:
		if v == nil {
			return &requestpb.Value{}, nil
		}
		list := &requestpb.List{Values: make([]*requestpb.Value, len(v))}
		for i := range v {
			encoded, err := encodeValue(v[i])
			if err != nil {
				return nil, err
			}
			list.Values[i] = encoded
		}
		return &requestpb.Value{Kind: &requestpb.Value_ListValue{ListValue: list}}, nil
	case map[string]any:
		if v == nil {
			return &requestpb.Value{}, nil
		}
		object, err := encodeObject(v)
		return &requestpb.Value{Kind: &requestpb.Value_ObjectValue{ObjectValue: object}}, err
	}
	data, err := json.Marshal(value)
	if err != nil {
		return nil, fmt.Errorf("encode value of type %T: %w", value, err)
	}
	return &requestpb.Value{Kind: &requestpb.Value_JsonValue{JsonValue: data}}, nil
}

// timeValue keeps a zero time apart from nil, and the offset, which a token shows.
func timeValue(t time.Time) *requestpb.Moment {
	_, offset := t.Zone()
	return &requestpb.Moment{Seconds: t.Unix(), Nanos: int32(t.Nanosecond()), Offset: int32(offset)}
}

func (r *reader) timeValue(message string) time.Time {
	seconds, nanos, offset := r.momentParts(message)
	t := time.Unix(seconds, nanos).UTC()
	if offset != 0 {
		t = t.In(time.FixedZone("", offset))
	}
	return t
}

// object reads a requestpb.Object.
func (r *reader) object(message string) map[string]any {
	object := make(map[string]any, r.Count(message, 1))
	for f := protofields.Of(message); r.Next(&f); {
		if f.Number == 1 {
			object[r.Text(f.Text, 1)] = r.valueOf(r.Text(f.Text, 2))
		}
	}
	return object
}

// valueOf reads a requestpb.Value.
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

// valueOfJSON reads what json.Marshal made. What cannot be read is left out rather than keeping the whole
// grant from being read.
func valueOfJSON(text string) (value any) {
	decoder := json.NewDecoder(strings.NewReader(text))
	decoder.UseNumber() // a token shows each number as it was
	_ = decoder.Decode(&value)
	return value
}
