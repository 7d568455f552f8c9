package fositestore

// The page of response_mode=form_post.

import (
	"crypto/sha256"
	"encoding/base64"
	"html/template"
	"net/http"
	"net/url"

	"github.com/ory/fosite"
)

// formPostScript sends the form, also where a parameter is called submit.
const formPostScript = `HTMLFormElement.prototype.submit.call(document.forms[0])`

// formPostTemplate takes the place of fosite's page for response_mode=form_post (OAuth 2.0 Form Post Response
// Mode), whose handler in an attribute no policy allows that forbids others, and which leaves a browser
// without scripts where it is.
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

// formPostPolicy lets the script of formPostTemplate run, and nothing else.
var formPostPolicy = func() string {
	sum := sha256.Sum256([]byte(formPostScript))
	return "default-src 'none'; script-src 'sha256-" + base64.StdEncoding.EncodeToString(sum[:]) +
		"'; base-uri 'none'; frame-ancestors 'none'"
}()

// protectFormPost sets the headers of a page that posts to the client, if the answer is one. A page of the
// host's own template keeps the host's policy, where there is one: only the host knows its scripts.
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
	// Not no-referrer: then the client gets "Origin: null". The address has parameters of the request, which
	// are not sent.
	header.Set("Referrer-Policy", "strict-origin")
}

// formTarget is where the form may lead. Its action is in the page; the policy is for redirects too, by which
// clients send the browser on to other origins of theirs, so that it has schemes and no origin.
func formTarget(redirect *url.URL) string {
	if redirect.Scheme == "https" {
		return "https:"
	}
	return redirect.Scheme + ": https:"
}
