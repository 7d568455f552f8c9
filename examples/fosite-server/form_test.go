package main

import (
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"
)

// formPost returns the request that a browser with those cookies sends with a form's token.
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
	f, err := newForms([]byte(strings.Repeat("s", 32)), "http://localhost")
	if err != nil {
		t.Fatal(err)
	}
	now := time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)
	f.now = func() time.Time { return now }
	newForm := func() (string, []*http.Cookie) {
		recorder := httptest.NewRecorder()
		token, err := f.token(recorder, httptest.NewRequest(http.MethodGet, "/login", nil), pending{Query: "a=b", Started: now})
		if err != nil {
			t.Fatal(err)
		}
		return token, recorder.Result().Cookies()
	}
	token, cookies := newForm()
	got, err := f.open(formPost(token, cookies))
	if err != nil || got.Query != "a=b" || !got.Started.Equal(now) {
		t.Fatalf("the form carried %+v, %v; want what was put in", got, err)
	}
	_, others := newForm()
	changed := []byte(token)
	changed[len(changed)-2] ^= 1
	for name, request := range map[string]*http.Request{
		"no token":               formPost("", cookies),
		"no cookie":              formPost(token, nil),
		"another browser's form": formPost(token, others),
		"a changed form":         formPost(string(changed), cookies),
	} {
		if _, err := f.open(request); err == nil {
			t.Errorf("%s was accepted", name)
		}
	}
	now = now.Add(formLifetime + time.Second)
	if _, err := f.open(formPost(token, cookies)); err == nil {
		t.Error("a form that is too old was accepted")
	}
}

func TestPendingRequestIsTheOriginal(t *testing.T) {
	t.Parallel()
	form := formPost("x", nil)
	if err := form.ParseForm(); err != nil {
		t.Fatal(err)
	}
	original, err := (&pending{Query: "client_id=a&scope=openid+email"}).request(form)
	if err != nil {
		t.Fatal(err)
	}
	if original.Method != http.MethodGet || original.Form.Get("form") != "" || original.Form.Get("scope") != "openid email" {
		t.Errorf("request is %s %v, want a GET with the parameters of the authorization request alone", original.Method, original.Form)
	}
}
