package rpc

// The pb.Spans of an answer, encoded and decoded field by field: generated structs for each span and its
// attributes would cost a traced call more than its spans are worth.

import (
	"strconv"
	"time"

	"go.opentelemetry.io/otel/attribute"
	"google.golang.org/protobuf/encoding/protowire"

	"github.com/fosite-sessions/sessions/plugin/protofields"
	"github.com/fosite-sessions/sessions/plugin/records"
	"github.com/fosite-sessions/sessions/plugin/spans"
)

// Field numbers of spans.proto.
const (
	spansSpan = 1

	spanName       = 1
	spanStart      = 2
	spanEnd        = 3
	spanAttributes = 4

	entryKey   = 1
	entryValue = 2
)

// spansCapacity is the initial capacity of a pb.Spans in bytes, enough for most writes.
const spansCapacity = 384

// encodeSpans returns the encoded pb.Spans of a call, or nil if the engine had no span and the call was not
// spans.Slow.
func encodeSpans(began, ended time.Time, kept *spans.Recorder) []byte {
	within := kept.Spans()
	if len(within) == 0 && ended.Sub(began) < spans.Slow {
		return nil
	}
	served := spans.Span{Name: servedSpan, Start: began, End: ended}
	encoded := appendSpan(make([]byte, 0, spansCapacity), &served)
	for _, span := range within {
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

// pluginSpan is a decoded span of a plugin, without attributes that are not accepted.
type pluginSpan struct {
	name       string
	start, end time.Time
	attributes []attribute.KeyValue
}

// decodeSpans decodes a pb.Spans. It returns nil if the message is malformed or has too many spans.
func decodeSpans(encoded []byte) []pluginSpan {
	var r protofields.Reader
	message := string(encoded) // the spans' texts are substrings of it
	n := r.Count(message, spansSpan)
	if n == 0 || n > 1+spans.Max {
		return nil
	}
	told := make([]pluginSpan, 0, n)
	for f := protofields.Of(message); r.Next(&f); {
		if f.Number == spansSpan && f.IsText {
			told = append(told, pluginSpan{})
			told[len(told)-1].decode(&r, f.Text)
		}
	}
	if r.Broken {
		return nil
	}
	return told
}

// decode decodes a span. Of a repeated field it takes the last, as protobuf does.
func (s *pluginSpan) decode(r *protofields.Reader, span string) {
	for f := protofields.Of(span); r.Next(&f); {
		switch {
		case f.Number == spanName && f.IsText:
			s.name = spanText(f.Text)
		case f.Number == spanStart && !f.IsText:
			s.start = records.Moment(int64(f.Value))
		case f.Number == spanEnd && !f.IsText:
			s.end = records.Moment(int64(f.Value))
		case f.Number == spanAttributes && f.IsText:
			s.attribute(r.Text(f.Text, entryKey), r.Text(f.Text, entryValue))
		}
	}
}

// attribute adds an attribute if its name and value are allowed.
func (s *pluginSpan) attribute(key, value string) {
	if s.attributes == nil {
		s.attributes = make([]attribute.KeyValue, 0, 3)
	}
	switch key {
	case spans.System, spans.Operation:
		if text := spanText(value); text != "" {
			s.attributes = append(s.attributes, attribute.String(key, text))
		}
	case spans.BatchSize:
		if size, err := strconv.Atoi(value); err == nil && size > 0 && size <= maxBatchSize {
			s.attributes = append(s.attributes, attribute.Int(key, size))
		}
	}
}

// spanText returns a text if it is allowed in a span, else "".
func spanText(text string) string {
	if len(text) > maxSpanName {
		return ""
	}
	for _, c := range []byte(text) {
		if (c < 'a' || c > 'z') && (c < '0' || c > '9') && c != ' ' && c != '.' && c != '_' && c != '-' {
			return ""
		}
	}
	return text
}
