package hostadapter

import (
	"encoding/base64"
	"html/template"
	"net/http"
)

// page is what the end-session endpoint shows to a person.
type page struct {
	Title   string
	Text    string
	Confirm string // the sealed request that a form is to send, if there is to be a form
}

var pageTemplate = template.Must(template.New("page").Parse(`<!DOCTYPE html>
<html lang="en">
<head><meta charset="utf-8"><meta name="viewport" content="width=device-width, initial-scale=1"><title>{{.Title}}</title></head>
<body>
<main>
<h1>{{.Title}}</h1>
<p>{{.Text}}</p>
{{if .Confirm}}<form method="post"><input type="hidden" name="confirm" value="{{.Confirm}}"><button type="submit">Sign out</button></form>
{{end}}</main>
</body>
</html>
`))

// protect sets the headers of every answer. There is no form-action: it would stop the redirect that answers the form.
func protect(w http.ResponseWriter) {
	header := w.Header()
	header.Set("Cache-Control", "no-store")
	header.Set("Content-Security-Policy", "default-src 'none'; base-uri 'none'; frame-ancestors 'none'")
	header.Set("X-Frame-Options", "DENY")
	header.Set("X-Content-Type-Options", "nosniff")
	header.Set("Referrer-Policy", "no-referrer")
}

func showPage(w http.ResponseWriter, status int, content page) {
	w.Header().Set("Content-Type", "text/html; charset=utf-8")
	w.WriteHeader(status)
	_ = pageTemplate.Execute(w, content)
}

func encodeSealed(sealed []byte) string { return base64.RawURLEncoding.EncodeToString(sealed) }

func decodeSealed(value string) ([]byte, error) {
	return base64.RawURLEncoding.Strict().DecodeString(value)
}
