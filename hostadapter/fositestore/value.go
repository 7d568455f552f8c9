package fositestore

// Values of any type in a grant's data.

import (
	"bytes"
	"encoding/json"
	"fmt"
	"time"

	"github.com/fosite-sessions/sessions/hostadapter/fositestore/internal/requestpb"
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

func decodeTimeValue(m *requestpb.Moment) time.Time {
	t := time.Unix(m.GetSeconds(), int64(m.GetNanos())).UTC()
	if m.GetOffset() != 0 {
		t = t.In(time.FixedZone("", int(m.GetOffset())))
	}
	return t
}

func decodeObject(message *requestpb.Object) map[string]any {
	if message == nil {
		return nil
	}
	object := make(map[string]any, len(message.GetMembers()))
	for _, member := range message.GetMembers() {
		object[member.GetName()] = decodeValue(member.GetValue())
	}
	return object
}

func decodeValue(message *requestpb.Value) any {
	switch v := message.GetKind().(type) {
	case *requestpb.Value_BoolValue:
		return v.BoolValue
	case *requestpb.Value_StringValue:
		return v.StringValue
	case *requestpb.Value_IntValue:
		return int(v.IntValue)
	case *requestpb.Value_Int64Value:
		return v.Int64Value
	case *requestpb.Value_Float64Value:
		return v.Float64Value
	case *requestpb.Value_TimeValue:
		return decodeTimeValue(v.TimeValue)
	case *requestpb.Value_StringsValue:
		return append([]string{}, v.StringsValue.GetValues()...)
	case *requestpb.Value_ListValue:
		list := make([]any, len(v.ListValue.GetValues()))
		for i, element := range v.ListValue.GetValues() {
			list[i] = decodeValue(element)
		}
		return list
	case *requestpb.Value_ObjectValue:
		return decodeObject(v.ObjectValue)
	case *requestpb.Value_JsonValue:
		var value any
		decoder := json.NewDecoder(bytes.NewReader(v.JsonValue))
		decoder.UseNumber() // a token shows each number as it was
		// It was made by json.Marshal; what cannot be read is left out rather than keeping the whole grant
		// from being read.
		_ = decoder.Decode(&value)
		return value
	}
	return nil
}
