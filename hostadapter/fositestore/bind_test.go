package fositestore_test

import (
	"errors"
	"testing"
	"time"

	"github.com/ory/fosite"
	"github.com/ory/fosite/handler/oauth2"
	"github.com/ory/fosite/handler/openid"
	"github.com/ory/fosite/token/jwt"

	"github.com/fosite-sessions/sessions/hostadapter"
	"github.com/fosite-sessions/sessions/hostadapter/fositestore"
)

var live = &hostadapter.Session{
	SessionID: "s1", SubjectID: "ann", Issuer: issuer, ACR: "2", AMR: []string{"pwd", "otp"},
	AuthTime: time.Unix(1000, 500).UTC(),
}

// placeless is a session type that cannot hold a sid.
type placeless struct{ fosite.Session }

// carrying is a session type with its own field for the sid.
type carrying struct {
	fosite.Session
	sid string
}

func (c *carrying) SetSessionID(sid string) { c.sid = sid }
func (c *carrying) GetSessionID() string    { return c.sid }

func TestBind(t *testing.T) {
	t.Parallel()
	for name, session := range map[string]fosite.Session{
		"openid.DefaultSession":       openid.NewDefaultSession(),
		"empty openid.DefaultSession": &openid.DefaultSession{},
		"oauth2.JWTSession":           &oauth2.JWTSession{},
		"fosite.DefaultSession":       &fosite.DefaultSession{},
		"both":                        newJWTSession(""),
		"custom":                      &carrying{Session: &fosite.DefaultSession{Subject: "ann"}},
	} {
		if err := fositestore.Bind(session, live); err != nil {
			t.Errorf("%s: want no error, got %v", name, err)
			continue
		}
		if sid := fositestore.SessionIDOf(session); sid != "s1" || session.GetSubject() != "ann" {
			t.Errorf("%s: want sid s1 and subject ann, got %q and %q", name, sid, session.GetSubject())
		}
		if s, ok := session.(openid.Session); ok {
			c := s.IDTokenClaims()
			if c.Subject != "ann" || c.Issuer != issuer || c.AuthenticationContextClassReference != "2" ||
				len(c.AuthenticationMethodsReferences) != 2 || !c.AuthTime.Equal(time.Unix(1000, 0)) ||
				c.Extra["sid"] != "s1" {
				t.Errorf("%s: want every claim of the session, got %+v", name, c)
			}
		}
		if s, ok := session.(oauth2.JWTSessionContainer); ok {
			if c, _ := s.GetJWTClaims().(*jwt.JWTClaims); c.Subject != "ann" || c.Extra["sid"] != "s1" {
				t.Errorf("%s: want sub and sid in the access token, got %+v", name, c)
			}
		}
	}
}

func TestBindRefuses(t *testing.T) {
	t.Parallel()
	var typedNil *openid.DefaultSession
	for name, session := range map[string]fosite.Session{
		"nil": nil, "nil pointer": typedNil, "another subject": openIDSession("bob"),
		"another subject in the ID token": &openid.DefaultSession{Claims: &jwt.IDTokenClaims{Subject: "bob"}},
		"no place":                        &placeless{&fosite.DefaultSession{}},
	} {
		if err := fositestore.Bind(session, live); !errors.Is(err, fositestore.ErrUnbound) {
			t.Errorf("%s: want ErrUnbound, got %v", name, err)
		}
	}
	if err := fositestore.Bind(openIDSession(""), nil); !errors.Is(err, fositestore.ErrUnbound) {
		t.Errorf("no session: want ErrUnbound, got %v", err)
	}
}
