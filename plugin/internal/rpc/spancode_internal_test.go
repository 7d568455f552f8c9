package rpc

// Spans encoded and decoded field by field, compared with generated code.

import (
	"slices"
	"strings"
	"testing"
	"time"

	"google.golang.org/protobuf/proto"

	pb "github.com/fosite-sessions/sessions/plugin/internal/pluginpb"
	"github.com/fosite-sessions/sessions/plugin/records"
	"github.com/fosite-sessions/sessions/plugin/spans"
)

func TestSpansMatchTheirSchema(t *testing.T) {
	t.Parallel()
	moment, kept := time.Unix(1, 5), &spans.Recorder{}
	long := strings.Repeat("x", 300)
	for _, s := range []spans.Span{
		{Name: "read", Start: moment, End: moment.Add(time.Second)},
		{Name: long, Start: moment, End: moment, Attributes: []spans.Attribute{
			{Key: spans.System, Value: "badger"}, {Key: long, Value: long}, {},
		}},
	} {
		kept.Add(s)
	}
	got := &pb.Spans{}
	if err := proto.Unmarshal(encodeSpans(moment, moment.Add(time.Minute), kept), got); err != nil {
		t.Fatal(err)
	}
	nanos := records.Nanos(moment)
	want := &pb.Spans{Spans: []*pb.Span{
		{Name: servedSpan, Start: nanos, End: nanos + int64(time.Minute)},
		{Name: "read", Start: nanos, End: nanos + int64(time.Second)},
		{Name: long, Start: nanos, End: nanos, Attributes: map[string]string{
			spans.System: "badger", long: long, "": "",
		}},
	}}
	if !proto.Equal(got, want) {
		t.Errorf("got %v, want %v", got, want)
	}
}

// A short call without spans of the engine returns none.
func TestShortCallsReturnNoSpans(t *testing.T) {
	t.Parallel()
	began, none, one := time.Now(), &spans.Recorder{}, &spans.Recorder{}
	one.Add(spans.Span{Name: "commit sync", Start: began, End: began})
	for name, c := range map[string]struct {
		took time.Duration
		kept *spans.Recorder
		want int
	}{
		"short":            {spans.Slow - 1, none, 0},
		"slow":             {spans.Slow, none, 1}, // time in the plugin, such as the wait for a worker
		"short with spans": {0, one, 2},
	} {
		if got := len(decodeSpans(encodeSpans(began, began.Add(c.took), c.kept))); got != c.want {
			t.Errorf("%s: %d spans are returned, want %d", name, got, c.want)
		}
	}
}

func TestTraceparents(t *testing.T) {
	t.Parallel()
	const ids = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-"
	for parent, want := range map[string]bool{
		ids + "01": true, ids + "03": true, ids + "00": false, ids + "02": false, "": false, ids: false,
		ids + "01-more": false, "ff" + ids[2:] + "01": false, ids + "0x": false, ids + "+1": false,
	} {
		if got := sampled(parent); got != want {
			t.Errorf("%q: sampled is %t, want %t", parent, got, want)
		}
	}
}

// FuzzSpans: a plugin's spans are decoded like by protobuf, or rejected.
func FuzzSpans(f *testing.F) {
	good, err := proto.Marshal(&pb.Spans{Spans: []*pb.Span{
		{Name: "serve", Start: 1, End: 2},
		{Name: "read", Start: 1, End: 2, Attributes: map[string]string{spans.System: "badger"}},
	}})
	if err != nil {
		f.Fatal(err)
	}
	f.Add(good)
	f.Add(good[:len(good)-1])
	f.Add([]byte{0x0b, 0x0c}) // a group
	f.Fuzz(func(t *testing.T, encoded []byte) {
		got, want := decodeSpans(encoded), &pb.Spans{}
		if err := proto.Unmarshal(encoded, want); err != nil {
			return // some of these are decoded, and not trusted either
		}
		if len(got) > len(want.GetSpans()) {
			t.Fatalf("got %d spans, want %d", len(got), len(want.GetSpans()))
		}
		for i, s := range got {
			w := want.GetSpans()[i]
			if (s.name != "" && s.name != w.GetName()) || !s.start.Equal(records.Moment(w.GetStart())) ||
				!s.end.Equal(records.Moment(w.GetEnd())) {
				t.Errorf("got span %d as %v, want %v", i, s, w)
			}
			for _, a := range s.attributes {
				if !slices.Contains([]string{spans.System, spans.Operation, spans.BatchSize}, string(a.Key)) {
					t.Errorf("got attribute %s", a.Key)
				}
			}
		}
	})
}
