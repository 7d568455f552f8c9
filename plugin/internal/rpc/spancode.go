package rpc

// The pb.Spans of an answer, written and read field by field: messages made for each span and its attributes
// would cost a traced call more than the spans are worth.

import (
	"strconv"
	"time"

	"go.opentelemetry.io/otel/attribute"
	"google.golang.org/protobuf/encoding/protowire"

	"github.com/fosite-sessions/sessions/plugin/records"
	"github.com/fosite-sessions/sessions/plugin/spans"
)

// The numbers of the fields, as spans.proto has them.
const (
	spansSpan protowire.Number = 1

	spanName       protowire.Number = 1
	spanStart      protowire.Number = 2
	spanEnd        protowire.Number = 3
	spanAttributes protowire.Number = 4

	entryKey   protowire.Number = 1
	entryValue protowire.Number = 2
)

// encodeSpans returns the pb.Spans of a call that ends now.
func encodeSpans(began time.Time, kept *spans.Recorder) []byte {
	encoded := appendSpan(nil, &spans.Span{Name: servedSpan, Start: began, End: time.Now()})
	for _, span := range kept.Spans() {
		encoded = appendSpan(encoded, &span)
	}
	return encoded
}

func appendSpan(b []byte, s *spans.Span) []byte {
	var room [256]byte
	span := appendText(room[:0], spanName, s.Name)
	span = protowire.AppendTag(span, spanStart, protowire.VarintType)
	span = protowire.AppendVarint(span, uint64(records.Nanos(s.Start)))
	span = protowire.AppendTag(span, spanEnd, protowire.VarintType)
	span = protowire.AppendVarint(span, uint64(records.Nanos(s.End)))
	for _, a := range s.Attributes {
		var room [96]byte
		span = protowire.AppendTag(span, spanAttributes, protowire.BytesType)
		entry := appendText(appendText(room[:0], entryKey, a.Key), entryValue, a.Value)
		span = protowire.AppendBytes(span, entry)
	}
	return protowire.AppendBytes(protowire.AppendTag(b, spansSpan, protowire.BytesType), span)
}

func appendText(b []byte, number protowire.Number, text string) []byte {
	return protowire.AppendString(protowire.AppendTag(b, number, protowire.BytesType), text)
}

// toldSpan is a span as a plugin tells it, without what is not taken from plugins.
type toldSpan struct {
	name       string
	start, end time.Time
	attributes []attribute.KeyValue
}

// decodeSpans returns the spans of a pb.Spans, none where it is no such message or has too many.
func decodeSpans(encoded []byte) []toldSpan {
	n := 0
	valid := eachField(encoded, func(protowire.Number, uint64, []byte) { n++ }) && n <= 1+spans.Max
	if !valid || n == 0 {
		return nil
	}
	told := make([]toldSpan, 0, n)
	eachField(encoded, func(number protowire.Number, _ uint64, span []byte) {
		if number == spansSpan && span != nil {
			told = append(told, toldSpan{})
			valid = told[len(told)-1].decode(span) && valid
		}
	})
	if !valid {
		return nil
	}
	return told
}

// decode takes the last of a field, as protobuf does.
func (s *toldSpan) decode(span []byte) bool {
	valid := true
	return eachField(span, func(number protowire.Number, value uint64, text []byte) {
		switch {
		case number == spanName && text != nil:
			s.name = spanText(text)
		case number == spanStart && text == nil:
			s.start = records.Moment(int64(value))
		case number == spanEnd && text == nil:
			s.end = records.Moment(int64(value))
		case number == spanAttributes && text != nil:
			var key, value []byte
			valid = eachField(text, func(number protowire.Number, _ uint64, text []byte) {
				switch number {
				case entryKey:
					key = text
				case entryValue:
					value = text
				}
			}) && valid
			s.attribute(string(key), value)
		}
	}) && valid
}

// attribute takes an attribute that is known, with a value that it may have.
func (s *toldSpan) attribute(key string, value []byte) {
	if s.attributes == nil {
		s.attributes = make([]attribute.KeyValue, 0, 3)
	}
	switch key {
	case spans.System, spans.Operation:
		if text := spanText(value); text != "" {
			s.attributes = append(s.attributes, attribute.String(key, text))
		}
	case spans.BatchSize:
		if size, err := strconv.Atoi(string(value)); err == nil && size > 0 && size <= maxBatchSize {
			s.attributes = append(s.attributes, attribute.Int(key, size))
		}
	}
}

// spanText returns a text that a span may have, "" for any other.
func spanText(text []byte) string {
	if len(text) > maxSpanName {
		return ""
	}
	for _, c := range text {
		if (c < 'a' || c > 'z') && (c < '0' || c > '9') && c != ' ' && c != '.' && c != '_' && c != '-' {
			return ""
		}
	}
	return string(text)
}

// eachField visits the fields of a message that are numbers, which have no bytes, and those with a length,
// which have. It reports false at what is no field.
func eachField(message []byte, visit func(number protowire.Number, value uint64, bytes []byte)) bool {
	for len(message) > 0 {
		number, kind, n := protowire.ConsumeTag(message)
		if n < 0 {
			return false
		}
		message = message[n:]
		var value uint64
		var bytes []byte
		switch kind {
		case protowire.VarintType:
			value, n = protowire.ConsumeVarint(message)
		case protowire.BytesType:
			bytes, n = protowire.ConsumeBytes(message)
		default:
			number, n = 0, protowire.ConsumeFieldValue(number, kind, message)
		}
		if n < 0 {
			return false
		}
		message = message[n:]
		visit(number, value, bytes)
	}
	return true
}
