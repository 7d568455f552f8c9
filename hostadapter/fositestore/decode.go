package fositestore

// Decoding of the requests in a grant's data.

import (
	"errors"
	"fmt"
	"net/url"

	"github.com/ory/fosite"
	"golang.org/x/text/language"

	"github.com/fosite-sessions/sessions/plugin/protofields"
)

var errData = errors.New("grant data is in a format that this build does not know")

// stored is an encoded request: the format version and a requestpb.Request, or empty. It is decoded anew for
// each caller, because fosite and hosts modify the result.
type stored string

// The fields of requestpb.Request. Field numbers of other messages are literals where they are decoded.
const (
	idField                = 1
	requestedAtField       = 2
	clientIDField          = 3
	requestedScopesField   = 4
	grantedScopesField     = 5
	requestedAudienceField = 6
	grantedAudienceField   = 7
	formField              = 8
	langField              = 9
	sessionField           = 10
	authorizeField         = 11
	hasPKCEField           = 12
	hasOpenIDField         = 13
	issuerField            = 14
)

// parse checks the output of writer.stored: the version and the fields of the request. The contents of the
// fields are checked when they are decoded.
func parse(data []byte) (stored, error) {
	if len(data) == 0 || data[0] != dataVersion {
		return "", errData
	}
	s := stored(data)
	var r reader
	for f := protofields.Of(s.message()); r.Next(&f); {
	}
	if r.Broken {
		return "", errData
	}
	return s, nil
}

func (s stored) message() string {
	if s == "" {
		return ""
	}
	return string(s[1:])
}

func (s stored) text(number int) string {
	var r reader
	return r.Text(s.message(), number)
}

func (s stored) has(number int) bool {
	var r reader
	field, found := r.Find(s.message(), number)
	return found && (field.Value != 0 || number == authorizeField)
}

func (s stored) texts(number int) []string {
	var r reader
	return r.Texts(s.message(), number)
}

// formValue returns the first value of a form field.
func (s stored) formValue(name string) string {
	var r reader
	for f := protofields.Of(s.message()); r.Next(&f); {
		if f.Number == formField && r.Text(f.Text, 1) == name {
			for value := protofields.Of(f.Text); r.Next(&value); {
				if value.Number == 2 {
					return value.Text
				}
			}
		}
	}
	return ""
}

// issuer returns the issuer of the grant's session. Earlier releases kept it in the claims only.
func (s stored) issuer() string {
	if issuer := s.text(issuerField); issuer != "" {
		return issuer
	}
	session := s.session()
	if session.kind != openIDKind {
		return ""
	}
	var r reader
	return r.Text(r.Text(session.text, 1), 2)
}

// decodeRequest returns the stored request with the given client and session, without filling the session.
func decodeRequest(
	s stored, lang language.Tag, client fosite.Client, session fosite.Session,
) (*fosite.Request, error) {
	var r reader
	var count [issuerField + 1]int
	forms, texts := 0, 0
	for f := protofields.Of(s.message()); r.Next(&f); {
		switch f.Number {
		case requestedScopesField, grantedScopesField, requestedAudienceField, grantedAudienceField:
			count[f.Number]++
			texts++
		case formField:
			forms++
			texts += r.Count(f.Text, 2)
		}
	}
	list := make(lists, texts)
	request := &fosite.Request{
		Client: client, Session: session, Lang: lang, Form: make(url.Values, forms),
		RequestedScope:    list.cut(count[requestedScopesField]),
		GrantedScope:      list.cut(count[grantedScopesField]),
		RequestedAudience: list.cut(count[requestedAudienceField]),
		GrantedAudience:   list.cut(count[grantedAudienceField]),
	}
	for f := protofields.Of(s.message()); r.Next(&f); {
		switch f.Number {
		case idField:
			request.ID = f.Text
		case requestedAtField:
			request.RequestedAt = r.moment(f.Text)
		case requestedScopesField:
			request.RequestedScope = append(request.RequestedScope, f.Text)
		case grantedScopesField:
			request.GrantedScope = append(request.GrantedScope, f.Text)
		case requestedAudienceField:
			request.RequestedAudience = append(request.RequestedAudience, f.Text)
		case grantedAudienceField:
			request.GrantedAudience = append(request.GrantedAudience, f.Text)
		case formField:
			request.Form[r.Text(f.Text, 1)] = r.AppendTexts(list.cut(r.Count(f.Text, 2)), f.Text, 2)
		}
	}
	if r.Broken {
		return nil, errData
	}
	return request, nil
}

// decodeAuthorizeRequest returns a stored pushed request, which has no session.
func decodeAuthorizeRequest(
	s stored, lang language.Tag, client fosite.Client,
) (*fosite.AuthorizeRequest, error) {
	base, err := decodeRequest(s, lang, client, nil)
	if err != nil {
		return nil, err
	}
	request := &fosite.AuthorizeRequest{
		Request: *base, ResponseTypes: fosite.Arguments{}, HandledResponseTypes: fosite.Arguments{},
	}
	redirect := ""
	var r reader
	for f := protofields.Of(r.Text(s.message(), authorizeField)); r.Next(&f); {
		switch f.Number {
		case 1:
			request.ResponseTypes = append(request.ResponseTypes, f.Text)
		case 2:
			request.HandledResponseTypes = append(request.HandledResponseTypes, f.Text)
		case 3:
			redirect = f.Text
		case 4:
			request.State = f.Text
		case 5:
			request.ResponseMode = fosite.ResponseModeType(f.Text)
		case 6:
			request.DefaultResponseMode = fosite.ResponseModeType(f.Text)
		}
	}
	if r.Broken {
		return nil, errData
	}
	if redirect != "" { // fosite uses nil if there is no redirect URI
		if request.RedirectURI, err = url.Parse(redirect); err != nil {
			return nil, fmt.Errorf("%w: redirect URI: %w", errData, err)
		}
	}
	return request, nil
}

// lists is the shared backing array of short lists, to save allocations.
type lists []string

// cut returns an empty, non-nil list with capacity n. Appending more reallocates that list only.
func (l *lists) cut(n int) []string {
	list := (*l)[:0:n]
	*l = (*l)[n:]
	return list
}

func decodeLang(lang string) language.Tag {
	switch lang {
	case "":
		return language.Und
	case "en": // fosite's default, without a message catalogue
		return language.English
	}
	return language.Make(lang)
}
