// Package contract holds what clients and servers say to each other against the OpenAPI document of the admin
// and account routes. Tests give their clients a Transport.
package contract

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"sync"

	"github.com/pb33f/libopenapi"
	validator "github.com/pb33f/libopenapi-validator"
	"github.com/pb33f/libopenapi-validator/config"
	validation "github.com/pb33f/libopenapi-validator/errors"
	"github.com/pb33f/libopenapi-validator/paths"
	v3 "github.com/pb33f/libopenapi/datamodel/high/v3"
)

// Document is the contract. It is safe for concurrent use.
type Document struct {
	model     *v3.Document
	validator validator.Validator

	mu   sync.Mutex
	seen map[Answer]int
}

// Answer is a status of a documented operation.
type Answer struct {
	Method, Path string
	Status       string
}

// Load reads hostadapter/admin/openapi.json of this checkout.
func Load() (*Document, error) {
	_, here, _, _ := runtime.Caller(0)
	raw, err := os.ReadFile(filepath.Join(filepath.Dir(here), "../../hostadapter/admin/openapi.json"))
	if err != nil {
		return nil, err
	}
	parsed, err := libopenapi.NewDocument(raw)
	if err != nil {
		return nil, err
	}
	model, err := parsed.BuildV3Model()
	if err != nil {
		return nil, err
	}
	checker, failures := validator.NewValidator(parsed,
		config.WithStrictMode(), // fields that are not documented are errors, although clients ignore them
		// These say how answers are to be kept, and are the same for all.
		config.WithStrictIgnoredHeadersExtra("Cache-Control", "X-Request-Id", "X-Content-Type-Options",
			"Vary", "Referrer-Policy", "X-Frame-Options", "Content-Security-Policy"),
		config.WithFormatAssertions(), config.WithRejectUndeclaredRequestBody(),
		config.WithURLEncodedBodyValidation(),
		config.WithoutSecurityValidation()) // what authenticates is the host's choice
	if len(failures) > 0 {
		return nil, errors.Join(failures...)
	}
	return &Document{model: &model.Model, validator: checker, seen: map[Answer]int{}}, nil
}

// Valid reports what is wrong with the document itself.
func (d *Document) Valid() error {
	_, problems := d.validator.ValidateDocument()
	return joined(problems)
}

// Answers are the documented ones.
func (d *Document) Answers() (all []Answer) {
	for path, item := range d.model.Paths.PathItems.FromOldest() {
		for method, operation := range item.GetOperations().FromOldest() {
			for status := range operation.Responses.Codes.FromOldest() {
				all = append(all, Answer{strings.ToUpper(method), path, status})
			}
		}
	}
	return all
}

// Seen are the documented answers that were checked, with how often.
func (d *Document) Seen() map[Answer]int {
	d.mu.Lock()
	defer d.mu.Unlock()
	all := map[Answer]int{}
	for answer, times := range d.seen {
		all[answer] = times
	}
	return all
}

// Check holds an answer against the document and, where the server did what it was asked, the request as
// well. Paths and methods that are not documented must be refused as such. The paths are the document's.
func (d *Document) Check(request *http.Request, sent []byte, response *http.Response, body []byte) error {
	r := request.Clone(request.Context())
	// Other headers are the host's and the client's choice.
	r.Header = http.Header{"Content-Type": request.Header["Content-Type"], "Accept": request.Header["Accept"]}
	answer := *response
	fresh := func() {
		r.Body, answer.Body = io.NopCloser(bytes.NewReader(sent)), io.NopCloser(bytes.NewReader(body))
	}
	if request.Method == http.MethodHead {
		r.Method = http.MethodGet
	}
	item, _, path := paths.FindPath(r, d.model, nil)
	if path == "" {
		return d.checkRefusal(response, body, http.StatusNotFound)
	}
	operation, documented := item.GetOperations().Get(strings.ToLower(r.Method))
	if !documented {
		return d.checkRefusal(response, body, http.StatusMethodNotAllowed)
	}
	status := fmt.Sprint(response.StatusCode)
	if _, documented := operation.Responses.Codes.Get(status); !documented {
		return fmt.Errorf("the status %s is not documented: %s", status, body)
	}
	if request.Method == http.MethodHead {
		return nil // it has no body
	}
	d.mu.Lock()
	d.seen[Answer{r.Method, path, status}]++
	d.mu.Unlock()
	fresh()
	_, problems := d.validator.ValidateHttpResponse(r, &answer)
	if response.StatusCode < http.StatusMultipleChoices {
		fresh()
		_, more := d.validator.ValidateHttpRequestSync(r)
		problems = append(problems, more...)
	}
	return joined(problems)
}

// checkRefusal checks the answer to what is not documented: a problem of that status.
func (d *Document) checkRefusal(response *http.Response, body []byte, status int) error {
	kind := response.Header.Get("Content-Type")
	if response.StatusCode != http.StatusUnauthorized && response.StatusCode != status {
		return fmt.Errorf("the address or the method is not documented, and answered %d %s; want %d",
			response.StatusCode, body, status)
	}
	if status == http.StatusMethodNotAllowed && response.Header.Get("Allow") == "" {
		return errors.New("405 without Allow")
	}
	if !strings.HasSuffix(kind, "json") && !strings.HasPrefix(kind, "text/html") {
		return fmt.Errorf("%d with a body of %q", response.StatusCode, kind)
	}
	return nil
}

func joined(problems []*validation.ValidationError) error {
	var all []error
	for _, problem := range problems {
		text := problem.Message + ": " + problem.Reason
		for _, failure := range problem.SchemaValidationErrors {
			text += "\n  " + failure.FieldPath + " " + failure.Reason
		}
		all = append(all, errors.New(text))
	}
	return errors.Join(all...)
}

// Transport checks what passes it.
type Transport struct {
	Document *Document
	// Mounts say which path of the document each prefix of a server's paths stands for; others are not
	// checked.
	Mounts map[string]string
	// Next sends the requests, http.DefaultTransport when nil.
	Next http.RoundTripper
	// Report receives what does not hold.
	Report func(format string, args ...any)
}

// RoundTrip sends a request and checks the answer. A body that breaks off is passed on unchecked.
func (t *Transport) RoundTrip(r *http.Request) (*http.Response, error) {
	var sent []byte
	if r.Body != nil {
		raw, err := io.ReadAll(r.Body)
		if err != nil {
			return nil, err
		}
		_ = r.Body.Close()
		sent = raw
		r = r.Clone(r.Context())
		r.Body = io.NopCloser(bytes.NewReader(sent))
	}
	next := t.Next
	if next == nil {
		next = http.DefaultTransport
	}
	response, err := next.RoundTrip(r)
	if err != nil {
		return nil, err
	}
	at, found := t.documented(r)
	if !found {
		return response, nil
	}
	body, err := io.ReadAll(response.Body)
	_ = response.Body.Close()
	if err != nil {
		response.Body = io.NopCloser(io.MultiReader(bytes.NewReader(body), broken{err}))
		return response, nil
	}
	response.Body = io.NopCloser(bytes.NewReader(body))
	if err := t.Document.Check(at, sent, response, body); err != nil {
		t.Report("%s %s answered %d, against the contract: %v", r.Method, r.URL.Path,
			response.StatusCode, err)
	}
	return response, nil
}

// documented returns the request with the document's path. Pages are for people and no part of the contract.
func (t *Transport) documented(r *http.Request) (*http.Request, bool) {
	path := r.URL.EscapedPath()
	prefix := ""
	found := false
	for mount := range t.Mounts {
		if strings.HasPrefix(path, mount) && (!found || len(mount) > len(prefix)) {
			prefix, found = mount, true
		}
	}
	rest := strings.TrimPrefix(path, prefix)
	if !found || rest == "" || rest == "/" && t.Mounts[prefix] == "" || strings.HasPrefix(rest, "/ui") {
		return nil, false
	}
	at := r.Clone(r.Context())
	target, err := at.URL.Parse(t.Mounts[prefix] + rest)
	if err != nil {
		return nil, false
	}
	target.RawQuery = r.URL.RawQuery
	at.URL = target
	return at, true
}

// broken is the rest of a body that broke off.
type broken struct{ err error }

func (b broken) Read([]byte) (int, error) { return 0, b.err }
