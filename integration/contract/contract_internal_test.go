package contract

// The checks find violations, and the document's examples are valid.

import (
	"encoding/json"
	"io"
	"net/http"
	"net/http/httptest"
	"regexp"
	"strconv"
	"strings"
	"testing"

	v3 "github.com/pb33f/libopenapi/datamodel/high/v3"
)

func load(t *testing.T) *Document {
	t.Helper()
	document, err := Load()
	if err != nil {
		t.Fatal(err)
	}
	return document
}

// answer is a server's response.
func answer(status int, kind, body string) (*http.Response, []byte) {
	response := &http.Response{
		StatusCode: status, Header: http.Header{"Content-Type": {kind}},
		Body: io.NopCloser(strings.NewReader(body)),
	}
	return response, []byte(body)
}

func TestUndocumentedAnswersAreFound(t *testing.T) {
	t.Parallel()
	document := load(t)
	const removed = `{"sessions_removed":1,"grants_revoked":0,"consents_revoked":0,` +
		`"notifications_queued":0,"clients_left_alone":[]`
	const count, backend = `{"notifications_queued":"1"}`, `{"status":"ready","services":[],"shared":false}`
	const job = `{"id":"j1","kind":"swap","state":"done","started":"now","done":1}`
	for name, c := range map[string]struct {
		method, target, body string
		status               int
		answer               string
		wrong                string
	}{
		"right":           {"POST", "/sessions/remove", `{"all":true}`, 200, removed + `}`, ""},
		"a field more":    {"POST", "/sessions/remove", `{"all":true}`, 200, removed + `,"more":1}`, "more"},
		"a field less":    {"POST", "/sessions/remove", `{"all":true}`, 200, `{}`, "sessions_removed"},
		"another type":    {"POST", "/logout/deliveries/retry", `{"state":"refused"}`, 200, count, "integer"},
		"another status":  {"POST", "/sessions/remove", `{"all":true}`, 418, `{}`, "418"},
		"another method":  {"PUT", "/sessions/remove", `{"all":true}`, 200, `{}`, "405"},
		"another path":    {"GET", "/elsewhere", "", 200, `{}`, "404"},
		"taken field":     {"POST", "/sessions/remove", `{"all":true,"more":1}`, 200, removed + `}`, "more"},
		"taken parameter": {"GET", "/backend?more=1", "", 200, backend, "more"},
		"taken body":      {"DELETE", "/sessions/s1", `{"more":1}`, 200, removed + `}`, "body"},
		"no time":         {"GET", "/jobs/j1", "", 200, job, "date-time"},
	} {
		r := httptest.NewRequest(c.method, c.target, strings.NewReader(c.body))
		if c.body != "" {
			r.Header.Set("Content-Type", "application/json")
		}
		response, body := answer(c.status, "application/json", c.answer)
		err := document.Check(r, []byte(c.body), response, body)
		switch {
		case c.wrong == "" && err != nil:
			t.Errorf("%s: %v", name, err)
		case c.wrong != "" && (err == nil || !strings.Contains(err.Error(), c.wrong)):
			t.Errorf("%s: error %v, want one about %q", name, err, c.wrong)
		}
	}
}

// examples are the values of a media type's examples, in JSON.
func examples(t *testing.T, kind *v3.MediaType) (all []string) {
	t.Helper()
	add := func(decode func(any) error) {
		var value any
		if err := decode(&value); err != nil {
			t.Fatal(err)
		}
		raw, err := json.Marshal(value)
		if err != nil {
			t.Fatal(err)
		}
		all = append(all, string(raw))
	}
	if kind.Example != nil {
		add(kind.Example.Decode)
	}
	for _, example := range kind.Examples.FromOldest() {
		add(example.Value.Decode)
	}
	return all
}

// accountFields are the fields of the account routes' forms besides the token.
var accountFields = map[string]string{
	"/account/sessions/end": "&session_id=s1", "/account/sessions/revoke": "&client_id=shop",
}

// Every example is a valid response or request.
func TestExamplesAreValid(t *testing.T) {
	t.Parallel()
	document := load(t)
	variable, checked := regexp.MustCompile(`\{\w+\}`), 0
	for path, item := range document.model.Paths.PathItems.FromOldest() {
		target := variable.ReplaceAllString(path, "x")
		for method, operation := range item.GetOperations().FromOldest() {
			kind, asked := "application/json", []string{""}
			if operation.RequestBody != nil {
				if media, ok := operation.RequestBody.Content.Get(kind); ok {
					asked = examples(t, media)
				} else {
					kind = "application/x-www-form-urlencoded"
					asked = []string{"token=t" + accountFields[path]}
				}
			}
			for status, response := range operation.Responses.Codes.FromOldest() {
				for _, body := range asked {
					r := httptest.NewRequest(strings.ToUpper(method), target, strings.NewReader(body))
					r.Header.Set("Content-Type", kind)
					checked += checkExamples(t, document, r, body, status, response)
				}
			}
		}
	}
	if checked < 100 {
		t.Errorf("%d examples were checked, want those of all responses", checked)
	}
}

// checkExamples checks and counts the examples of one response.
func checkExamples(
	t *testing.T, document *Document, r *http.Request, sent, status string, response *v3.Response,
) (checked int) {
	t.Helper()
	code, err := strconv.Atoi(status)
	if err != nil {
		t.Fatal(err)
	}
	for kind, media := range response.Content.FromOldest() {
		for _, example := range examples(t, media) {
			given, body := answer(code, kind, example)
			for name, header := range response.Headers.FromOldest() {
				given.Header.Set(name, header.Example.Value)
			}
			if err := document.Check(r, []byte(sent), given, body); err != nil {
				t.Errorf("%s %s %s: %v", r.Method, r.URL.Path, status, err)
			}
			checked++
		}
	}
	return checked
}
