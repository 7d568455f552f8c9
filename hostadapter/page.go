package hostadapter

// The pages of the end-session endpoint, in plain English.

import (
	"crypto/sha256"
	"encoding/base64"
	"fmt"
	"html/template"
	"math"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"time"
)

// LogoutPageKind is the kind of a page of the end-session endpoint.
type LogoutPageKind string

// The kinds of pages.
const (
	// LogoutConfirm asks the user whether to sign out.
	LogoutConfirm LogoutPageKind = "confirm"
	// LogoutDone tells the user that they are signed out.
	LogoutDone LogoutPageKind = "done"
	// LogoutFrames is LogoutDone with frames in which clients clear their cookies, if any, and a redirect.
	LogoutFrames LogoutPageKind = "frames"
	// LogoutProblem tells the user what is wrong with the request, or that the store is unavailable.
	LogoutProblem LogoutPageKind = "problem"
)

// LogoutPage is a page of the end-session endpoint. Config.Logout.Page is called with the headers already
// set, including a Content-Security-Policy, to which it adds what its own style needs; it writes the status.
type LogoutPage struct {
	Kind   LogoutPageKind
	Status int
	// Title and Text are in English. The Text of a problem names the parameter at fault.
	Title string
	Text  string
	// UserName is the signed-in user, for LogoutConfirm.
	UserName string
	// ClientID is the requesting client, if known. Only an id_token_hint proves it.
	ClientID string
	// UILocales are the languages that the client requests, in order of preference (RP-Initiated Logout 1.0,
	// section 2).
	UILocales []string
	// Confirm is the value of the field "confirm" of a form that is posted to the same URL, for
	// LogoutConfirm. A LogoutProblem has it too if a user is signed in, so that they can still sign out.
	Confirm string
	// Frames are the URLs of the frames, for LogoutFrames.
	Frames []string
	// Continue is where LogoutFrames redirects the browser, or "" if it does not. It is registered for the
	// client.
	Continue string
	// Wait is how long the browser waits at most.
	Wait time.Duration
}

// LogoutScript redirects the browser from LogoutFrames once all frames are loaded or the wait is over. It
// requires a link with the attributes id="continue", href={{.Continue}} and data-wait={{.Wait.Milliseconds}}.
// The page's policy allows only this script, between <script> and </script> and unchanged. Browsers without
// scripts use LogoutPage.Refresh.
const LogoutScript = `{const link=document.getElementById("continue");` +
	`if(link){const go=()=>location.replace(link.href);` +
	`setTimeout(go,Number(link.dataset.wait));addEventListener("load",go)}}`

// Refresh returns the content of <meta http-equiv="refresh"> within <noscript> in the page's head, which
// redirects a browser without scripts from LogoutFrames after the wait. It returns "" if there is no
// redirect.
func (p *LogoutPage) Refresh() string {
	if p.Continue == "" {
		return ""
	}
	return fmt.Sprintf("%d;url=%s", int(math.Ceil(p.Wait.Seconds())), p.Continue)
}

const pageStyle = `:root{color-scheme:light dark}body{margin:0;padding:12vh 1rem 2rem;` +
	`font:16px/1.5 system-ui,sans-serif;` +
	`background:light-dark(#f3f4f7,#101318);color:light-dark(#1b1f27,#e8eaee)}main{max-width:26rem;` +
	`margin:auto;padding:2rem;border-radius:.9rem;` +
	`background:light-dark(#fff,#191d25);border:1px solid light-dark(#d9dde4,#323946)}h1{margin:0 0 .5rem;` +
	`font-size:1.5rem}p{overflow-wrap:anywhere}` +
	`button{padding:.6rem 1.2rem;border:0;border-radius:.5rem;font:inherit;font-weight:600;` +
	`background:light-dark(#3b5bdb,#8fa7ff);` +
	`color:light-dark(#fff,#10131a);cursor:pointer}iframe{display:none}`

var pageTemplate = template.Must(template.New("page").Funcs(template.FuncMap{
	// The address was registered, and its scheme does not run scripts (logout.ValidateClient).
	"address": func(uri string) template.URL { return template.URL(uri) }, //nolint:gosec // checked before
}).Parse(`<!DOCTYPE html>
<html lang="en">
<head><meta charset="utf-8"><meta name="viewport" content="width=device-width, initial-scale=1">
<title>{{.Title}}</title>
{{with .Refresh}}<noscript><meta http-equiv="refresh" content="{{.}}"></noscript>
{{end}}<style>` + pageStyle + `</style></head>
<body>
<main>
<h1>{{.Title}}</h1>
<p>{{.Text}}</p>
{{if .Confirm}}<form method="post"><input type="hidden" name="confirm" value="{{.Confirm}}">
<button type="submit">Sign out</button></form>
{{end}}{{if .Continue}}<p>
<a id="continue" href="{{address .Continue}}" data-wait="{{.Wait.Milliseconds}}">Continue</a></p>
{{end}}</main>
{{range .Frames}}<iframe src="{{.}}" sandbox="allow-scripts allow-same-origin" title="Signing out"></iframe>
{{end}}{{if or .Frames .Continue}}<script>` + LogoutScript + `</script>
{{end}}</body>
</html>
`))

// protect sets the security headers of every response. There is no form-action: it would block the redirect
// that answers the form.
func protect(w http.ResponseWriter) {
	header := w.Header()
	header.Set("Cache-Control", "no-store")
	header.Set("Content-Security-Policy", pagePolicy)
	header.Set("X-Frame-Options", "DENY")
	header.Set("X-Content-Type-Options", "nosniff")
	header.Set("Referrer-Policy", "no-referrer")
}

const pagePolicy = "default-src 'none'; base-uri 'none'; frame-ancestors 'none'"

func hashSource(content string) string {
	sum := sha256.Sum256([]byte(content))
	return "'sha256-" + base64.StdEncoding.EncodeToString(sum[:]) + "'"
}

var (
	styleSource  = "; style-src " + hashSource(pageStyle)
	scriptSource = "; script-src " + hashSource(LogoutScript)
)

// showPage answers with a page, the host's or the built-in one.
func (a *Adapter) showPage(w http.ResponseWriter, r *http.Request, content *LogoutPage) {
	policy := pagePolicy
	if content.Kind == LogoutFrames {
		policy += scriptSource + frameSource(content.Frames)
	}
	header := w.Header()
	header.Set("Content-Type", "text/html; charset=utf-8")
	if a.config.Logout.Page != nil {
		header.Set("Content-Security-Policy", policy)
		a.config.Logout.Page(w, r, content)
		return
	}
	header.Set("Content-Security-Policy", policy+styleSource)
	w.WriteHeader(content.Status)
	_ = pageTemplate.Execute(w, content)
}

// maxFrameSource bounds the origins in the policy, for the reason of maxLocation.
const maxFrameSource = 1 << 10

// frameSource returns the directive that allows the frames: their origins, or their schemes if the origins
// are too long for a header. That is safe because the page has only our frames and runs no other script.
func frameSource(frames []string) string {
	if len(frames) == 0 {
		return ""
	}
	sources := origins(frames)
	if list := strings.Join(sources, " "); len(list) <= maxFrameSource {
		return "; frame-src " + list
	}
	for i, origin := range sources {
		scheme, _, _ := strings.Cut(origin, ":")
		sources[i] = scheme + ":"
	}
	slices.Sort(sources)
	return "; frame-src " + strings.Join(slices.Compact(sources), " ")
}

// origins returns the distinct origins of addresses.
func origins(addresses []string) (list []string) {
	for _, address := range addresses {
		uri, err := url.Parse(address)
		if err != nil {
			continue
		}
		if origin := uri.Scheme + "://" + uri.Host; !slices.Contains(list, origin) {
			list = append(list, origin)
		}
	}
	return list
}
