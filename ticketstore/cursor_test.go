package ticketstore_test

// Tests of results tokens.

import (
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"errors"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/fosite-sessions/sessions/ticketstore"
)

func cursor() ticketstore.Cursor {
	return ticketstore.Cursor{
		Listing: "sessions", Order: ticketstore.Ascending, Filter: json.RawMessage(`{"SubjectID":"ann"}`),
		Before: ticketstore.Bound{Position: []byte{0, 1, 0xff}, Inclusive: true},
		After:  ticketstore.Bound{Position: []byte("z")}, Page: 3,
	}
}

func encode(t testing.TB, c ticketstore.Cursor) string {
	t.Helper()
	token, err := c.Encode()
	if err != nil {
		t.Fatalf("Encode: %v", err)
	}
	return token
}

func TestCursorRoundTrip(t *testing.T) {
	t.Parallel()
	want := cursor()
	got, err := ticketstore.DecodeCursor("sessions", encode(t, want))
	if err != nil {
		t.Fatalf("DecodeCursor: %v", err)
	}
	if diff := cmp.Diff(&want, got); diff != "" {
		t.Errorf("the cursor came back changed (-want +got):\n%s", diff)
	}
}

func TestTokenNeedsNoEscapingInURLs(t *testing.T) {
	t.Parallel()
	token := encode(t, cursor())
	if at := strings.IndexFunc(token, func(r rune) bool {
		return !strings.ContainsRune("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_", r)
	}); at >= 0 {
		t.Errorf("the token has %q in it, want letters, digits, - and _ only", token[at])
	}
}

func TestDecodeCursorRefuses(t *testing.T) {
	t.Parallel()
	good := encode(t, cursor())
	raw, err := base64.RawURLEncoding.DecodeString(good)
	if err != nil {
		t.Fatalf("the token is not base64url: %v", err)
	}
	noOrder, badOrder := cursor(), cursor()
	noOrder.Order, badOrder.Order = "", "sideways"
	changed := func(at int) string {
		other := append([]byte(nil), raw...)
		other[at] ^= 1
		return base64.RawURLEncoding.EncodeToString(other)
	}
	for name, token := range map[string]string{
		"empty":           "",
		"not base64url":   "a+b/",
		"padded":          good + "=",
		"cut short":       good[:len(good)/2],
		"with more":       good + "AAAA",
		"of the header":   base64.RawURLEncoding.EncodeToString(raw[:9]),
		"another version": changed(0),
		"another sum":     changed(1),
		"another body":    changed(len(raw) - 2),
		"without order":   encode(t, noOrder),
		"bad order":       encode(t, badOrder),
		"too long":        strings.Repeat("A", ticketstore.MaxResultsToken+1),
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			_, err := ticketstore.DecodeCursor("sessions", token)
			refusedAsToken(t, err)
		})
	}
	long := cursor()
	long.Before.Position = make([]byte, ticketstore.MaxResultsToken)
	_, err = ticketstore.DecodeCursor("sessions", encode(t, long))
	refusedAsToken(t, err)
	_, err = ticketstore.DecodeCursor("grants", good)
	refusedAsToken(t, err)
}

func refusedAsToken(t *testing.T, err error) {
	t.Helper()
	var fieldError *ticketstore.FieldError
	if !errors.As(err, &fieldError) || fieldError.Field != ticketstore.FieldResultsToken {
		t.Fatalf("got error %v, want a FieldError that names results_token", err)
	}
	if !errors.Is(err, ticketstore.ErrResultsToken) || !errors.Is(err, ticketstore.ErrInvalid) ||
		errors.Is(err, ticketstore.ErrNotFound) {
		t.Fatalf("got error %v, want it to be ErrResultsToken and ErrInvalid only", err)
	}
}

// FuzzDecodeCursor: DecodeCursor either refuses a text with ErrResultsToken, or the text is one that Encode
// produces.
func FuzzDecodeCursor(f *testing.F) {
	good := encode(f, cursor())
	first := cursor()
	first.Before, first.After, first.Page = ticketstore.Bound{}, ticketstore.Bound{Inclusive: true}, 0
	for _, seed := range []string{
		good, encode(f, first), "", "AQ", good[:20], good + "A", strings.ToLower(good), "page=2", "\x00\xff",
	} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, token string) {
		got, err := ticketstore.DecodeCursor("sessions", token)
		if err != nil {
			refusedAsToken(t, err)
			return
		}
		again, err := ticketstore.DecodeCursor("sessions", encode(t, *got))
		if err != nil {
			t.Fatalf("a cursor that was decoded does not decode again: %v", err)
		}
		if diff := cmp.Diff(got, again); diff != "" {
			t.Fatalf("a cursor that was decoded comes back changed (-want +got):\n%s", diff)
		}
	})
}

// forged returns a token with the given body, which Encode need not produce: tokens are not authenticated, so
// any client can forge one.
func forged(body []byte) string {
	sum := sha256.Sum256(body)
	return base64.RawURLEncoding.EncodeToString(append(append([]byte{1}, sum[:8]...), body...))
}

// FuzzForgedToken: whatever a token contains, the filter it yields is one that a query may ask for.
func FuzzForgedToken(f *testing.F) {
	for _, seed := range []string{
		`{"l":"sessions","o":"asc","f":{"SubjectID":"ann"},"b":{"p":"AAE"},"a":{"p":"/w==","i":true},"n":3}`,
		`{"l":"sessions","o":"asc","f":{"SubjectID":"a\u0000b"}}`,
		`{"l":"sessions","o":"desc","f":{"CreatedFrom":"2031-05-06T07:08:09+05:00"},"n":-1}`,
		`{"l":"sessions","o":"desc","f":null}`, `{"l":"sessions","o":"desc","f":[]}`, `{"l":"grants"}`, `{}`,
		`null`, `[`, ``,
	} {
		f.Add([]byte(seed))
	}
	f.Fuzz(func(t *testing.T, body []byte) {
		for _, prior := range []bool{false, true} {
			w, err := ticketstore.SessionQuery{ResultsToken: forged(body), Prior: prior}.Walk()
			if err != nil {
				refusedAsToken(t, err)
				continue
			}
			if err := w.Filter.Validate(); err != nil {
				t.Fatalf("the token leads to a filter that no query may have: %v", err)
			}
			if w.From == nil || (w.Order != ticketstore.Ascending && w.Order != ticketstore.Descending) {
				t.Fatalf("the token leads from %v in order %q, want a place and an order", w.From, w.Order)
			}
		}
	})
}

// FuzzCursor: a token made for any position and filter decodes to it, and for no other listing.
func FuzzCursor(f *testing.F) {
	f.Add("ann", "", []byte("position"), []byte(nil), true, 1)
	f.Add("", "Größe <&>", []byte{0}, []byte{0xff, 0}, false, 0)
	f.Add("a\u2028b", "\u00df\u1e9e", []byte{}, []byte("z"), true, 1<<30)
	f.Fuzz(func(t *testing.T, subject, name string, before, after []byte, inclusive bool, page int) {
		filter := ticketstore.SessionFilter{SubjectID: subject, DisplayName: name}
		if filter.Validate() != nil {
			t.Skip("no store takes this filter")
		}
		w := ticketstore.Walk[ticketstore.SessionFilter]{
			Listing: "sessions", Filter: filter, Order: ticketstore.Descending,
		}
		end := ticketstore.Bound{Position: after, Inclusive: inclusive}
		token, err := w.Token(ticketstore.Bound{Position: before}, end, page)
		if err != nil {
			t.Fatalf("Token: %v", err)
		}
		if _, err := ticketstore.DecodeCursor("grants", token); err == nil {
			t.Fatal("the token is good for another listing")
		}
		if len(before)+len(after) > 8<<10 {
			t.Skip("no engine has such positions")
		}
		next, err := ticketstore.SessionQuery{ResultsToken: token}.Walk()
		if err != nil {
			t.Fatalf("Walk with the token: %v", err)
		}
		if next.Filter != filter || next.Order != ticketstore.Descending {
			t.Fatalf("the token leads to filter %+v in order %s, want %+v", next.Filter, next.Order, filter)
		}
		if string(next.From.Position) != string(after) || next.From.Inclusive != inclusive {
			t.Fatalf("the token leads to %+v, want %+v", next.From, end)
		}
	})
}
