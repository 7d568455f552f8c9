package admin

// Problem details (RFC 9457).

import (
	"encoding/json"
	"net/http"
	"strings"
)

// problem is an error with the status of its response.
type problem struct {
	status int
	detail string
	field  string
}

func (p *problem) Error() string { return p.detail }

// problemBody is a problem detail (RFC 9457, section 3.1).
type problemBody struct {
	Type   string `json:"type"`
	Title  string `json:"title"`
	Status int    `json:"status"`
	Detail string `json:"detail,omitempty"`
	// Field is the query parameter, path variable or JSON field at fault.
	Field string `json:"field,omitempty"`
}

// plain returns an error text without our package prefix.
func plain(text string) string { return strings.ReplaceAll(text, "hostadapter: ", "") }

// sentence returns an error's plain text as a sentence.
func sentence(err error) string {
	text := plain(err.Error())
	return strings.ToUpper(text[:1]) + text[1:] + "."
}

func writeProblem(w http.ResponseWriter, status int, detail, field string) {
	w.Header().Set("Content-Type", "application/problem+json")
	w.WriteHeader(status)
	_ = json.NewEncoder(w).Encode(problemBody{
		Type: "about:blank", Title: http.StatusText(status), Status: status, Detail: detail, Field: field,
	})
}

func writeJSON(w http.ResponseWriter, status int, body any) {
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(status)
	_ = json.NewEncoder(w).Encode(body)
}
