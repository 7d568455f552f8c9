package main

import (
	"errors"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"
)

// formPost returns the request of a browser with those cookies and the token of a form.
func formPost(token string, cookies []*http.Cookie) *http.Request {
	request := httptest.NewRequest(http.MethodPost, "/login", strings.NewReader(formOf("form", token)))
	request.Header.Set("Content-Type", formType)
	for _, cookie := range cookies {
		request.AddCookie(cookie)
	}
	return request
}

func TestForms(t *testing.T) {
	t.Parallel()
	f := newForms([]byte(strings.Repeat("s", 32)), "http://localhost", newTestMarks(t))
	now := time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)
	f.now = func() time.Time { return now }
	newForm := func() (string, []*http.Cookie) {
		recorder := httptest.NewRecorder()
		made := form{pending: pending{Query: "a=b", Started: now}, Purpose: forConsent}
		token := f.token(recorder, httptest.NewRequest(http.MethodGet, "/login", nil), made)
		return token, recorder.Result().Cookies()
	}
	token, cookies := newForm()
	got, err := f.open(formPost(token, cookies), forConsent)
	if err != nil || got.Query != "a=b" || !got.Started.Equal(now) {
		t.Fatalf("the form has %+v, %v; want the given request", got, err)
	}
	second, others := newForm()
	changed := []byte(token)
	changed[len(changed)-2] ^= 1
	for name, request := range map[string]*http.Request{
		"no token": formPost("", cookies), "a changed form": formPost(string(changed), cookies),
	} {
		if got, err := f.open(request, forConsent); !errors.Is(err, errNoForm) || got != nil {
			t.Errorf("%s: got %+v, %v; want errNoForm", name, got, err)
		}
	}
	stale := func(name string, request *http.Request, wanted purpose) {
		t.Helper()
		if got, err := f.open(request, wanted); !errors.Is(err, errStale) || got == nil ||
			got.Query != "a=b" {
			t.Errorf("%s: got %+v, %v; want errStale and the request", name, got, err)
		}
	}
	stale("no cookie", formPost(token, nil), forConsent)
	stale("another browser's form", formPost(token, others), forConsent)
	stale("a form for another purpose", formPost(token, cookies), forSignIn)
	// Two pages that are open have a cookie each.
	both := append(cookies, others...)
	for _, token := range []string{token, second} {
		if _, err := f.open(formPost(token, both), forConsent); err != nil {
			t.Errorf("a form beside another one: %v", err)
		}
	}
	if cookies[0].Name == others[0].Name {
		t.Error("the cookie of the second page replaces that of the first one")
	}
	other := newForms([]byte(strings.Repeat("s", 32)), "http://localhost", f.marks)
	other.now = f.now
	for i, server := range []*forms{f, other, f} {
		if first, err := server.useOnce(t.Context(), got); err != nil || first != (i == 0) {
			t.Errorf("use %d of a form: first %t, error %v", i+1, first, err)
		}
	}
	now = now.Add(formLifetime + time.Second)
	stale("a form that is too old", formPost(token, cookies), forConsent)
}

func TestPendingRequestIsTheOriginal(t *testing.T) {
	t.Parallel()
	form := formPost("x", nil)
	if err := form.ParseForm(); err != nil {
		t.Fatal(err)
	}
	original := (&pending{Query: "client_id=a&scope=openid+email"}).request(form)
	if original.Method != http.MethodGet || original.Form.Get("form") != "" ||
		original.Form.Get("scope") != "openid email" {
		t.Errorf("request is %s %v, want a GET with only the parameters of the authorization request",
			original.Method, original.Form)
	}
}
