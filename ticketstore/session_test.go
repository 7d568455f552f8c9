package ticketstore_test

// Tests of sessions: liveness, validation, keys.

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/fosite-sessions/sessions/ticketstore"
)

func session() *ticketstore.Session {
	return &ticketstore.Session{
		Key: ticketstore.KeyOf("secret"), SessionID: "sid", SubjectID: "ann", DisplayName: "Ann",
		Issuer:   "https://op.example",
		AuthTime: base, ACR: "silver", AMR: []string{"pwd"}, RemoteAddr: "192.0.2.7:1", UserAgent: "Firefox",
		Created: base, Renewed: base,
		Expires: base.Add(time.Hour), EndsAt: base.Add(2 * time.Hour), Ticket: []byte("ticket"), Version: 7,
	}
}

func TestKeyIsNeverPrinted(t *testing.T) {
	t.Parallel()
	key := ticketstore.KeyOf("secret")
	secrets := []string{
		fmt.Sprintf("%x", [32]byte(key)), fmt.Sprintf("%X", [32]byte(key)), fmt.Sprint(key[0], " ", key[1]),
		fmt.Sprintf("%d,%d", key[0], key[1]),
	}
	var out bytes.Buffer
	for _, verb := range []string{"%v", "%+v", "%#v", "%s", "%q", "%x", "%X", "%d", "% x"} {
		fmt.Fprintf(&out, verb+"\n", key)
		fmt.Fprintf(&out, verb+"\n", &key)
		fmt.Fprintf(&out, verb+"\n", session())
		fmt.Fprintf(&out, verb+"\n", *session())
	}
	for _, handler := range []slog.Handler{slog.NewJSONHandler(&out, nil), slog.NewTextHandler(&out, nil)} {
		slog.New(handler).InfoContext(t.Context(), "a session", "key", key, "session", session())
	}
	if err := json.NewEncoder(&out).Encode(session()); err != nil {
		t.Fatalf("marshal a session: %v", err)
	}
	for _, secret := range secrets {
		if strings.Contains(out.String(), secret) {
			t.Errorf("the key is printed as %s", secret)
		}
	}
	if got := key.String(); got != "[redacted]" {
		t.Errorf("String is %q, want [redacted]", got)
	}
	fmt.Fprint(io.Discard, key.GoString())
}

func TestKey(t *testing.T) {
	t.Parallel()
	if !(ticketstore.Key{}).IsZero() {
		t.Error("the zero key is not zero")
	}
	if ticketstore.KeyOf("").IsZero() {
		t.Error("the key of an empty secret is zero, want its SHA-256")
	}
	if ticketstore.KeyOf("a") == ticketstore.KeyOf("b") {
		t.Error("two secrets have one key")
	}
}

func TestLiveAtAndDueAt(t *testing.T) {
	t.Parallel()
	at := func(d time.Duration) time.Time { return base.Add(d) }
	for name, row := range map[string]struct {
		expires, endsAt time.Time
		due             time.Time
	}{
		"idle limit first":     {at(time.Hour), at(2 * time.Hour), at(time.Hour)},
		"absolute limit first": {at(2 * time.Hour), at(time.Hour), at(time.Hour)},
		"both at once":         {at(time.Hour), at(time.Hour), at(time.Hour)},
		"without absolute one": {at(time.Hour), time.Time{}, at(time.Hour)},
		"absolute in the past": {at(time.Hour), at(-time.Hour), at(-time.Hour)},
		"idle limit in another": {
			at(time.Hour).In(time.FixedZone("x", 3600)), at(2 * time.Hour), at(time.Hour),
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := ticketstore.Session{Expires: row.expires, EndsAt: row.endsAt}
			if got := s.DueAt(); !got.Equal(row.due) {
				t.Errorf("DueAt is %v, want %v", got, row.due)
			}
			if !s.LiveAt(row.due.Add(-1)) || s.LiveAt(row.due) || s.LiveAt(row.due.Add(1)) {
				t.Error("want the session live until just before DueAt and not from then on")
			}
		})
	}
}

func TestSessionValidate(t *testing.T) {
	t.Parallel()
	long := strings.Repeat("x", 10<<10)
	for name, row := range map[string]struct {
		spoil func(s *ticketstore.Session)
		field string
	}{
		"good": {func(*ticketstore.Session) {}, ""},
		"nothing optional": {func(s *ticketstore.Session) {
			s.DisplayName, s.ACR, s.AMR, s.Ticket, s.EndsAt = "", "", nil, nil, time.Time{}
		}, ""},
		"key":                {func(s *ticketstore.Session) { s.Key = ticketstore.Key{} }, "key"},
		"no sid":             {func(s *ticketstore.Session) { s.SessionID = "" }, "session_id"},
		"no subject":         {func(s *ticketstore.Session) { s.SubjectID = "" }, "subject_id"},
		"no issuer":          {func(s *ticketstore.Session) { s.Issuer = "" }, "issuer"},
		"sid with a NUL":     {func(s *ticketstore.Session) { s.SessionID = "a\x00" }, "session_id"},
		"subject of 10 kB":   {func(s *ticketstore.Session) { s.SubjectID = long }, "subject_id"},
		"name not UTF-8":     {func(s *ticketstore.Session) { s.DisplayName = "\xff" }, "display_name"},
		"agent of 10 kB":     {func(s *ticketstore.Session) { s.UserAgent = long }, "user_agent"},
		"address with a NUL": {func(s *ticketstore.Session) { s.RemoteAddr = "\x00" }, "remote_addr"},
		"acr not UTF-8":      {func(s *ticketstore.Session) { s.ACR = "\xff" }, "acr"},
		"many methods": {
			func(s *ticketstore.Session) { s.AMR = make([]string, ticketstore.MaxAMR+1) }, "amr",
		},
		"long method": {func(s *ticketstore.Session) { s.AMR = []string{long} }, "amr"},
		"largest ticket": {
			func(s *ticketstore.Session) { s.Ticket = make([]byte, ticketstore.MaxTicket) }, "",
		},
		"ticket too large": {
			func(s *ticketstore.Session) { s.Ticket = make([]byte, ticketstore.MaxTicket+1) }, "ticket",
		},
		"most methods": {
			func(s *ticketstore.Session) { s.AMR = make([]string, ticketstore.MaxAMR) }, "",
		},
		"largest visible": {
			func(s *ticketstore.Session) { s.Visible = make([]byte, ticketstore.MaxVisible) }, "",
		},
		"visible too large": {
			func(s *ticketstore.Session) { s.Visible = make([]byte, ticketstore.MaxVisible+1) }, "visible",
		},
		"no auth time":        {func(s *ticketstore.Session) { s.AuthTime = time.Time{} }, "auth_time"},
		"no creation":         {func(s *ticketstore.Session) { s.Created = time.Time{} }, "created"},
		"no renewal":          {func(s *ticketstore.Session) { s.Renewed = time.Time{} }, "renewed"},
		"no expiry":           {func(s *ticketstore.Session) { s.Expires = time.Time{} }, "expires"},
		"over from the start": {func(s *ticketstore.Session) { s.EndsAt = s.Created }, "expires"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := session()
			row.spoil(s)
			err := s.Validate()
			names(t, err, row.field)
			if err != nil && len(err.Error()) > 200 {
				t.Errorf("the error has %d bytes, want it not to repeat the value", len(err.Error()))
			}
		})
	}
}

func TestRekeyApply(t *testing.T) {
	t.Parallel()
	old := session()
	rekey := ticketstore.Rekey{
		NewKey: ticketstore.KeyOf("new"), DisplayName: "Ann Lee", AuthTime: base.Add(time.Minute),
		ACR: "gold", AMR: []string{"hwk"},
		RemoteAddr: "192.0.2.8:2", UserAgent: "Safari", Expires: base.Add(3 * time.Hour),
		EndsAt: base.Add(4 * time.Hour), Ticket: []byte("new"),
	}
	now := base.Add(2 * time.Minute)
	want := &ticketstore.Session{
		Key: rekey.NewKey, SessionID: "sid", SubjectID: "ann", DisplayName: "Ann Lee",
		Issuer:   "https://op.example",
		AuthTime: rekey.AuthTime, ACR: "gold", AMR: []string{"hwk"}, RemoteAddr: "192.0.2.8:2",
		UserAgent: "Safari", Created: base, Renewed: now,
		Expires: rekey.Expires, EndsAt: rekey.EndsAt, Ticket: []byte("new"), Version: 8,
	}
	if diff := cmp.Diff(want, rekey.Apply(old, now)); diff != "" {
		t.Errorf("the session is not as expected (-want +got):\n%s", diff)
	}
	if diff := cmp.Diff(session(), old); diff != "" {
		t.Errorf("the old session was changed (-want +got):\n%s", diff)
	}
}

func TestFieldError(t *testing.T) {
	t.Parallel()
	err := fmt.Errorf("create: %w", ticketstore.Invalidf("subject_id", "is longer than %d bytes", 512))
	if want := "create: invalid subject_id: is longer than 512 bytes"; err.Error() != want {
		t.Errorf("the message is %q, want %q", err, want)
	}
	if !errors.Is(err, ticketstore.ErrInvalid) || errors.Is(err, ticketstore.ErrResultsToken) {
		t.Error("want ErrInvalid and not ErrResultsToken")
	}
}

func TestCheckID(t *testing.T) {
	t.Parallel()
	for name, row := range map[string]struct {
		id   string
		good bool
	}{
		"a letter": {"a", true}, "as long as allowed": {strings.Repeat("x", ticketstore.MaxID), true},
		"any script": {"名前", true}, "a blank": {" ", true},
		"empty": {"", false}, "too long": {strings.Repeat("x", ticketstore.MaxID+1), false},
		"NUL": {"a\x00b", false}, "not UTF-8": {"a\xff", false},
	} {
		if err := ticketstore.CheckID("subject_id", row.id); (err == nil) != row.good {
			t.Errorf("an id that is %s: got %v, want it taken %v", name, err, row.good)
		}
	}
}
