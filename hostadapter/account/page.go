package account

// The built-in page.

import (
	"crypto/sha256"
	"encoding/base64"
	"html/template"
	"net/http"
	"strings"
	"time"
)

const pagePolicy = "default-src 'none'; base-uri 'none'; frame-ancestors 'none'; form-action 'self'"

const pageStyle = `:root{color-scheme:light dark;--line:light-dark(#d9dde4,#323946);` +
	`--quiet:light-dark(#5c6470,#9aa3b0)}*{box-sizing:border-box}` +
	`body{margin:0;padding:6vh 1rem 2rem;font:16px/1.5 system-ui,sans-serif;` +
	`background:light-dark(#f3f4f7,#101318);color:light-dark(#1b1f27,#e8eaee)}` +
	`main{max-width:36rem;margin:auto;padding:clamp(1.25rem,5vw,2rem);border-radius:.9rem;` +
	`background:light-dark(#fff,#191d25);border:1px solid var(--line)}` +
	`h1{margin:0 0 .25rem;font-size:1.5rem}p{margin:.25rem 0;overflow-wrap:anywhere}ul{list-style:none;` +
	`margin:1.5rem 0;padding:0}` +
	`li{display:flex;flex-wrap:wrap;gap:.5rem 1rem;align-items:center;justify-content:space-between;` +
	`padding:1rem 0;border-top:1px solid var(--line)}` +
	`.quiet{color:var(--quiet);font-size:.9rem}.here{color:light-dark(#1f7a45,#7ddba4);font-weight:600;` +
	`font-size:.9rem}` +
	`button{padding:.5rem .9rem;border:1px solid var(--line);border-radius:.5rem;font:inherit;` +
	`font-weight:600;background:none;color:inherit;cursor:pointer}`

// view is the data of the built-in page.
type view struct {
	*Page
	Problem string
}

// Others returns the number of sessions besides the current one.
func (v *view) Others() int { return max(len(v.Sessions)-1, 0) }

var pageTemplate = template.Must(template.New("page").Funcs(template.FuncMap{
	"join": func(list []string) string { return strings.Join(list, ", ") },
	"day":  func(t time.Time) string { return t.Format("2 January 2006, 15:04 MST") },
	"iso":  func(t time.Time) string { return t.Format(time.RFC3339) },
}).Parse(`<!DOCTYPE html>
<html lang="en">
<head><meta charset="utf-8"><meta name="viewport" content="width=device-width, initial-scale=1">
<title>Where you are signed in</title>
<style>` + pageStyle + `</style></head>
<body>
<main>
<h1>Where you are signed in</h1>
{{if .Problem}}<p role="alert">{{.Problem}}</p>
{{else}}{{$token := .Token}}<p class="quiet">{{.UserName}}</p>
<ul>
{{range .Sessions}}<li><div>
<p><strong>{{.Device}}</strong>{{if .Current}} <span class="here">this device</span>{{end}}</p>
<p class="quiet">{{with .RemoteAddr}}{{.}} · {{end}}last seen
<time datetime="{{iso .LastUsed}}">{{day .LastUsed}}</time></p>
{{with .Clients}}<p class="quiet">{{join .}}</p>
{{end}}</div><form method="post" action="end"><input type="hidden" name="token" value="{{$token}}">` +
	`<input type="hidden" name="session_id" value="{{.SessionID}}">
<button type="submit">Sign out</button></form></li>
{{end}}</ul>
{{if .Others}}<form method="post" action="end-others"><input type="hidden" name="token" value="{{$token}}">` +
	`<button type="submit">Sign out everywhere else</button></form>
{{end}}{{if .Applications}}<h1>What you have allowed</h1>
<p class="quiet">Some applications keep their access after you sign out, until you take it back.</p>
<ul>
{{range .Applications}}<li><div><p><strong>{{.Name}}</strong></p>
<p class="quiet">{{join .Scopes}}</p>
<p class="quiet">allowed <time datetime="{{iso .Given}}">{{day .Given}}</time></p></div>` +
	`<form method="post" action="revoke"><input type="hidden" name="token" value="{{$token}}">` +
	`<input type="hidden" name="client_id" value="{{.ClientID}}">
<button type="submit">Take back</button></form></li>
{{end}}</ul>
{{end}}{{end}}</main>
</body>
</html>
`))

var styleSource = func() string {
	sum := sha256.Sum256([]byte(pageStyle))
	return "; style-src 'sha256-" + base64.StdEncoding.EncodeToString(sum[:]) + "'"
}()

func showPage(w http.ResponseWriter, status int, content *view) {
	if content.Page == nil {
		content.Page = &Page{}
	}
	w.Header().Set("Content-Security-Policy", pagePolicy+styleSource)
	w.Header().Set("Content-Type", "text/html; charset=utf-8")
	w.WriteHeader(status)
	_ = pageTemplate.Execute(w, content) // an error means that the browser has gone
}
