package main

import (
	"context"
	"encoding/json"
	"errors"
	"net/http"
	"slices"

	"github.com/ory/fosite"

	"github.com/fosite-sessions/sessions/grantstore"
	"github.com/fosite-sessions/sessions/hostadapter"
)

// What the buttons of the consent page say.
const (
	decisionAllow = "allow"
	decisionDeny  = "deny"
)

// scopeTexts is what the consent page says of each scope.
var scopeTexts = map[string]string{
	"openid":         "Know who you are",
	"profile":        "See your name and user name",
	"email":          "See your email address",
	"offline_access": "Stay signed in when you are away",
}

// askConsent shows the consent page unless the user need not be asked, and tells whether it has answered the request.
func (p *provider) askConsent(
	w http.ResponseWriter, r *http.Request, request pending, ar fosite.AuthorizeRequester, session *hostadapter.Session, decision string, silent bool,
) bool {
	needed, err := p.needsConsent(r.Context(), ar, session, decision)
	switch {
	case err != nil:
		p.unavailable(w, r, err)
		return true
	case !needed:
		return false
	case silent:
		p.deny(w, r, ar, fosite.ErrConsentRequired)
		return true
	}
	form, err := p.forms.token(w, r, request)
	if err != nil {
		p.failed(w, r, err)
		return true
	}
	data := struct {
		Form, Client, User, Target string
		Scopes                     []string
	}{Form: form, Client: nameOf(ar), User: nameIn(session), Target: originOf(ar.GetRedirectURI())}
	for _, scope := range ar.GetRequestedScopes() {
		text := scopeTexts[scope]
		if text == "" {
			text = scope
		}
		data.Scopes = append(data.Scopes, text)
	}
	p.render(w, r, http.StatusOK, "consent", "Permission", data, originOf(ar.GetRedirectURI()))
	return true
}

// consent takes the consent form.
func (p *provider) consent(w http.ResponseWriter, r *http.Request) {
	request, err := p.forms.open(r)
	decision := r.PostFormValue("decision")
	if err != nil || request.Query == "" || (decision != decisionAllow && decision != decisionDeny) {
		p.problem(w, r, http.StatusForbidden, "Please start again", "This form cannot be used: "+errForm.Error()+".", "")
		return
	}
	p.proceed(w, r, *request, decision)
}

// needsConsent tells whether the user must be asked. A yes is remembered for all sessions until somebody revokes the consent.
func (p *provider) needsConsent(ctx context.Context, ar fosite.AuthorizeRequester, session *hostadapter.Session, decision string) (bool, error) {
	c, ok := ar.GetClient().(*client)
	if ok && c.skipConsent {
		return false, nil
	}
	consents := consentStore{p}
	if decision == decisionAllow {
		return false, consents.remember(ctx, session.SubjectID, ar.GetClient().GetID(), ar.GetRequestedScopes())
	}
	if slices.Contains(prompts(ar), "consent") {
		return true, nil
	}
	given, err := consents.given(ctx, session.SubjectID, ar.GetClient().GetID())
	return given == nil || !given.Has(ar.GetRequestedScopes()...), err
}

// consentStore keeps consents among the grants, where a removal finds them.
type consentStore struct{ p *provider }

const consentPurpose = "consent"

func consentRef(subject, clientID string) grantstore.Ref {
	return grantstore.Ref{Type: grantstore.UserConsent, Key: grantstore.KeyOf(subject + "\x00" + clientID)}
}

// given returns the scopes that the user has consented to, nil if never asked.
func (s consentStore) given(ctx context.Context, subject, clientID string) (fosite.Arguments, error) {
	ref := consentRef(subject, clientID)
	found, err := s.p.sessions.Backend().Grants().Get(ctx, ref, s.p.sessions.Now())
	if errors.Is(err, grantstore.ErrNotFound) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	raw, err := s.p.sessions.Unseal(consentPurpose, ref.Key[:], found.Grant.Data)
	if err != nil {
		return nil, err
	}
	var scopes fosite.Arguments
	return scopes, json.Unmarshal(raw, &scopes)
}

// remember adds scopes to those that the user has consented to.
func (s consentStore) remember(ctx context.Context, subject, clientID string, scopes fosite.Arguments) error {
	before, err := s.given(ctx, subject, clientID)
	if err != nil || (before != nil && before.Has(scopes...)) {
		return err
	}
	all := slices.Compact(append([]string{}, slices.Sorted(slices.Values(slices.Concat(before, scopes)))...))
	raw, err := json.Marshal(all)
	if err != nil {
		return err
	}
	ref := consentRef(subject, clientID)
	sealed, err := s.p.sessions.Seal(consentPurpose, ref.Key[:], raw)
	if err != nil {
		return err
	}
	now := s.p.sessions.Now()
	_, err = s.p.sessions.Backend().Grants().Apply(ctx, &grantstore.Batch{
		OperationID: randomID(),
		Delete:      []grantstore.Ref{ref},
		Store: []grantstore.Grant{{
			Ref: ref, SubjectID: subject, ClientID: clientID, Description: "scopes asked for on the consent page", Created: now, Data: sealed,
		}},
	}, now)
	return err
}
