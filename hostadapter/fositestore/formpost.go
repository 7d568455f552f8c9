package fositestore

// The page for response_mode=form_post.

import (
	"crypto/sha256"
	"encoding/base64"
	"html/template"
	"net/http"
	"net/url"

	"github.com/ory/fosite"
)

// formPostScript submits the form, even if a parameter is called submit.
const formPostScript = `HTMLFormElement.prototype.submit.call(document.forms[0])`

// formPostTemplate replaces fosite's page for response_mode=form_post (OAuth 2.0 Form Post Response Mode).
// fosite's page uses an inline event handler, which no strict policy allows, and does nothing in a browser
// without scripts.
var formPostTemplate = template.Must(template.New("form_post").Parse(`<!DOCTYPE html>
<html lang="en">
<head><meta charset="utf-8"><meta name="viewport" content="width=device-width, initial-scale=1">
<title>Continue</title></head>
<body>
<form method="post" action="{{.RedirURL}}">
{{range $name, $values := .Parameters}}{{range $values}}<input type="hidden" name="{{$name}}" value="{{.}}">
{{end}}{{end}}<noscript><button type="submit">Continue</button></noscript>
</form>
<script>` + formPostScript + `</script>
</body>
</html>
`))

// formPostPolicy allows only the script of formPostTemplate.
var formPostPolicy = func() string {
	sum := sha256.Sum256([]byte(formPostScript))
	return "default-src 'none'; script-src 'sha256-" + base64.StdEncoding.EncodeToString(sum[:]) +
		"'; base-uri 'none'; frame-ancestors 'none'"
}()

// protectFormPost sets the security headers if the response is a form_post page. With a template of the
// host's own, the host's policy is kept: only the host knows its scripts.
func (p *Provider) protectFormPost(rw http.ResponseWriter, request fosite.AuthorizeRequester) {
	if request == nil || request.GetResponseMode() != fosite.ResponseModeFormPost ||
		!request.IsRedirectURIValid() {
		return
	}
	header := rw.Header()
	if p.store.fosite.FormPostHTMLTemplate == formPostTemplate {
		header.Set("Content-Security-Policy",
			formPostPolicy+"; form-action "+formTarget(request.GetRedirectURI()))
	} else if header.Get("Content-Security-Policy") == "" {
		header.Set("Content-Security-Policy", "base-uri 'none'; frame-ancestors 'none'")
	}
	header.Set("X-Frame-Options", "DENY")
	header.Set("X-Content-Type-Options", "nosniff")
	// With no-referrer the client would get "Origin: null". strict-origin omits the URL's parameters.
	header.Set("Referrer-Policy", "strict-origin")
}

// formTarget returns the sources for form-action. They are schemes rather than the origin of the redirect
// URI, because the policy also applies to redirects, and clients redirect to other origins of theirs.
func formTarget(redirect *url.URL) string {
	if redirect.Scheme == "https" {
		return "https:"
	}
	return redirect.Scheme + ": https:"
}
