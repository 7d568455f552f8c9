package grantstore_test

// Tests of grants and batches: liveness, validation.

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"testing"
	"time"

	"github.com/fosite-sessions/sessions/grantstore"
	"github.com/fosite-sessions/sessions/ticketstore"
)

var base = time.Date(2031, time.May, 6, 7, 8, 9, 123456000, time.UTC)

func grant() grantstore.Grant {
	return grantstore.Grant{
		Ref:       grantstore.Ref{Type: grantstore.RefreshToken, Key: ticketstore.KeyOf("handle")},
		RequestID: "family", SubjectID: "ann", SessionID: "sid",
		ClientID: "mail", Description: "reading mail", Created: base, Expires: base.Add(time.Hour),
		Data: []byte("sealed"),
	}
}

// names checks that err is a FieldError that names the field, or nil if field is empty.
func names(t *testing.T, err error, field string) {
	t.Helper()
	var fieldError *ticketstore.FieldError
	switch {
	case field == "" && err != nil:
		t.Errorf("got error %v, want none", err)
	case field != "" && !errors.As(err, &fieldError):
		t.Errorf("got error %v, want a FieldError that names %s", err, field)
	case field != "" && fieldError.Field != field:
		t.Errorf("the error %v names %s, want %s", err, fieldError.Field, field)
	}
}

func TestTypes(t *testing.T) {
	t.Parallel()
	type kind struct{ token, code, consumable bool }
	want := map[grantstore.Type]kind{
		"authorization_code":           {true, true, true},
		"openid_request":               {true, true, false},
		"pkce_request":                 {true, true, false},
		"refresh_token":                {true, false, true},
		"reference_token":              {true, false, false},
		"user_consent":                 {},
		"pushed_authorization_request": {},
		"jti":                          {},
	}
	if len(grantstore.Types) != len(want) {
		t.Errorf("there are %d types, want %d", len(grantstore.Types), len(want))
	}
	for _, one := range append(grantstore.Types, "unknown", "") {
		if got := (kind{one.IsToken(), one.IsCode(), one.Consumable()}); got != want[one] {
			t.Errorf("type %q: token, code, consumable are %v, want %v", one, got, want[one])
		}
	}
}

func TestKeyIsNeverPrinted(t *testing.T) {
	t.Parallel()
	key := ticketstore.KeyOf("handle")
	var out bytes.Buffer
	for _, verb := range []string{"%v", "%+v", "%#v", "%s", "%q", "%x", "%X", "%d", "% x"} {
		for _, value := range []any{key, &key, grant(), grant().Ref} {
			fmt.Fprintf(&out, verb+"\n", value)
		}
	}
	for _, handler := range []slog.Handler{slog.NewJSONHandler(&out, nil), slog.NewTextHandler(&out, nil)} {
		slog.New(handler).InfoContext(t.Context(), "a grant", "key", key, "grant", grant())
	}
	if err := json.NewEncoder(&out).Encode(grant()); err != nil {
		t.Fatalf("marshal a grant: %v", err)
	}
	for _, secret := range []string{
		fmt.Sprintf("%x", [32]byte(key)), fmt.Sprintf("%X", [32]byte(key)), fmt.Sprint(key[0], " ", key[1]),
		fmt.Sprintf("%d,%d", key[0], key[1]),
	} {
		if strings.Contains(out.String(), secret) {
			t.Errorf("the key is printed as %s", secret)
		}
	}
	if got := key.String(); got != "[redacted]" {
		t.Errorf("String is %q, want [redacted]", got)
	}
}

func TestLiveAt(t *testing.T) {
	t.Parallel()
	live, used, forever := grant(), grant(), grant()
	used.Consumed, forever.Expires = base, time.Time{}
	for name, row := range map[string]struct {
		grant grantstore.Grant
		at    time.Duration
		want  bool
	}{
		"before its expiry": {live, time.Hour - 1, true},
		"at its expiry":     {live, time.Hour, false},
		"used":              {used, 0, false},
		"without expiry":    {forever, 1 << 62, true},
	} {
		if got := row.grant.LiveAt(base.Add(row.at)); got != row.want {
			t.Errorf("a grant %s: LiveAt is %v, want %v", name, got, row.want)
		}
	}
}

func TestGrantValidate(t *testing.T) {
	t.Parallel()
	long := strings.Repeat("x", 10<<10)
	for name, row := range map[string]struct {
		spoil func(g *grantstore.Grant)
		field string
	}{
		"good": {func(*grantstore.Grant) {}, ""},
		"nothing optional": {
			func(g *grantstore.Grant) { *g = grantstore.Grant{Ref: g.Ref, Created: base} }, "",
		},
		"no type":      {func(g *grantstore.Grant) { g.Type = "" }, "type"},
		"unknown type": {func(g *grantstore.Grant) { g.Type = "device_code" }, "type"},
		"no key":       {func(g *grantstore.Grant) { g.Key = ticketstore.Key{} }, "key"},
		"request id":   {func(g *grantstore.Grant) { g.RequestID = long }, "request_id"},
		"subject":      {func(g *grantstore.Grant) { g.SubjectID = "a\x00" }, "subject_id"},
		"session":      {func(g *grantstore.Grant) { g.SessionID = "\xff" }, "session_id"},
		"client":       {func(g *grantstore.Grant) { g.ClientID = long }, "client_id"},
		"description":  {func(g *grantstore.Grant) { g.Description = long }, "description"},
		"no creation":  {func(g *grantstore.Grant) { g.Created = time.Time{} }, "created"},
		"largest data": {func(g *grantstore.Grant) { g.Data = make([]byte, grantstore.MaxData) }, ""},
		"data too large": {
			func(g *grantstore.Grant) { g.Data = make([]byte, grantstore.MaxData+1) }, "data",
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			g := grant()
			row.spoil(&g)
			names(t, g.Validate(), row.field)
		})
	}
}

func TestBatchValidate(t *testing.T) {
	t.Parallel()
	ref, access := grant().Ref, grantstore.Ref{Type: grantstore.ReferenceToken, Key: ticketstore.KeyOf("a")}
	for name, row := range map[string]struct {
		spoil func(b *grantstore.Batch)
		field string
	}{
		"empty":           {func(*grantstore.Batch) {}, ""},
		"no operation id": {func(b *grantstore.Batch) { b.OperationID = "" }, "operation_id"},
		"largest":         {func(b *grantstore.Batch) { b.Store = many(grantstore.MaxBatch) }, ""},
		"too large": {
			func(b *grantstore.Batch) {
				b.Store, b.Delete = many(grantstore.MaxBatch), []grantstore.Ref{ref}
			},
			"store",
		},
		"too large with revocations": {
			func(b *grantstore.Batch) {
				b.Store = many(grantstore.MaxBatch)
				b.Revoke = []grantstore.Revocation{{RequestID: "family"}}
			},
			"store",
		},
		"largest data": {
			func(b *grantstore.Batch) { b.Store = filled(grantstore.MaxBatchData) }, "",
		},
		"too much data": {
			func(b *grantstore.Batch) { b.Store = filled(grantstore.MaxBatchData + 1) }, "data",
		},
		"see the most": {
			func(b *grantstore.Batch) {
				for range grantstore.MaxBatch {
					b.Seen = append(b.Seen, grantstore.Precondition{Ref: ref})
				}
			}, "",
		},
		"use muted by what does not exist": {
			func(b *grantstore.Batch) {
				b.Use = &grantstore.Use{SessionID: "sid", ClientID: "mail", Muted: 1 << 7}
			},
			"muted",
		},
		"slide nothing": {func(b *grantstore.Batch) { b.Slide = &grantstore.Slide{} }, "session_id"},
		"slide to no time": {
			func(b *grantstore.Batch) { b.Slide = &grantstore.Slide{SessionID: "sid"} }, "expires",
		},
		"use without session": {
			func(b *grantstore.Batch) { b.Use = &grantstore.Use{ClientID: "mail"} }, "session_id",
		},
		"use without client": {
			func(b *grantstore.Batch) { b.Use = &grantstore.Use{SessionID: "sid"} }, "client_id",
		},
		"consume nothing": {func(b *grantstore.Batch) { b.Consume = &grantstore.Consumption{} }, "type"},
		"consume an access token": {
			func(b *grantstore.Batch) { b.Consume = &grantstore.Consumption{Ref: access} }, "consume",
		},
		"consume a refresh token": {
			func(b *grantstore.Batch) { b.Consume = &grantstore.Consumption{Ref: ref} }, "",
		},
		"see nothing": {
			func(b *grantstore.Batch) { b.Seen = make([]grantstore.Precondition, 1) }, "type",
		},
		"see too much": {
			func(b *grantstore.Batch) { b.Seen = make([]grantstore.Precondition, grantstore.MaxBatch+1) },
			"seen",
		},
		"delete nothing": {
			func(b *grantstore.Batch) { b.Delete = []grantstore.Ref{{Type: grantstore.JTI}} }, "key",
		},
		"revoke no family": {
			func(b *grantstore.Batch) { b.Revoke = []grantstore.Revocation{{}} }, "request_id",
		},
		"store a bad grant": {
			func(b *grantstore.Batch) { b.Store = make([]grantstore.Grant, 1) }, "type",
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			b := &grantstore.Batch{OperationID: "0123"}
			row.spoil(b)
			names(t, b.Validate(), row.field)
		})
	}
}

// filled returns grants whose data is of that size together.
func filled(size int) (grants []grantstore.Grant) {
	grants = many(size/grantstore.MaxData + 1)
	for i := range grants {
		grants[i].Data = make([]byte, min(size, grantstore.MaxData))
		size -= len(grants[i].Data)
	}
	return grants
}

func many(n int) (grants []grantstore.Grant) {
	for i := range n {
		g := grant()
		g.Key = ticketstore.KeyOf(fmt.Sprint(i))
		grants = append(grants, g)
	}
	return grants
}
