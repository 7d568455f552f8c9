package fositestore_test

import (
	"html/template"
	"net/http"
	"strings"
	"testing"

	"github.com/ory/fosite"

	"github.com/fosite-sessions/sessions/hostadapter/fositestore"
)

// postsForms allows the client "app" to request response_mode=form_post.
func postsForms(h *host, _ *fositestore.Config) {
	if client, ok := h.memory.Clients["app"].(*fosite.DefaultClient); ok {
		h.memory.Clients["app"] = &fosite.DefaultResponseModeClient{
			DefaultClient: client,
			ResponseModes: []fosite.ResponseModeType{fosite.ResponseModeDefault, fosite.ResponseModeFormPost},
		}
	}
}

// The policy of the form_post page allows only its own script and posting to the client, and forbids framing
// and caching.
func TestFormPostHasAPolicy(t *testing.T) {
	t.Parallel()
	h := newHost(t, postsForms)
	b := h.browser().signIn("ann")
	for name, page := range map[string]*reply{
		"a code":   b.get("/authorize", authorization("response_mode", "form_post")),
		"an error": b.get("/authorize", authorization("response_mode", "form_post", "scope", "nothing")),
	} {
		policy := page.header.Get("Content-Security-Policy")
		for _, want := range []string{
			"default-src 'none'", "script-src 'sha256-", "base-uri 'none'", "frame-ancestors 'none'",
			"form-action https:",
		} {
			if !strings.Contains(policy, want) {
				t.Errorf("%s: policy %q has no %s", name, policy, want)
			}
		}
		if strings.Contains(page.body, `name="code"`) != (name == "a code") ||
			strings.Contains(page.body, `name="error"`) != (name == "an error") {
			t.Errorf("%s: the page has other contents:\n%s", name, page.body)
		}
		if page.status != http.StatusOK || strings.Contains(page.body, "onload") ||
			!strings.Contains(page.body, `action="`+redirectURI+`"`) {
			t.Errorf("%s: %d\n%s", name, page.status, page.body)
		}
		if page.header.Get("Cache-Control") != "no-store" || page.header.Get("X-Frame-Options") != "DENY" ||
			page.header.Get("Referrer-Policy") != "strict-origin" {
			t.Errorf("%s: headers %v", name, page.header)
		}
	}
	if page := b.get("/authorize",
		authorization("response_mode", "form_post", "redirect_uri",
			"https://evil.example/")); page.status != http.StatusBadRequest {
		t.Errorf("an unregistered redirect URI: %d %s", page.status, page.body)
	}
	if page := b.get("/authorize", authorization()); page.header.Get("Content-Security-Policy") != "" {
		t.Error("a redirect has a policy")
	}
}

// The policy of a host's own page is the host's.
func TestFormPostOfTheHost(t *testing.T) {
	t.Parallel()
	h := newHost(t, postsForms, func(h *host, _ *fositestore.Config) {
		h.fosite.FormPostHTMLTemplate = template.Must(template.New("").Parse(`ours {{.RedirURL}}`))
	})
	page := h.browser().signIn("ann").get("/authorize", authorization("response_mode", "form_post"))
	if policy := page.header.Get("Content-Security-Policy"); strings.Contains(policy, "script-src") ||
		!strings.Contains(policy, "frame-ancestors 'none'") {
		t.Errorf("policy is %q", policy)
	}
	if !strings.HasPrefix(page.body, "ours ") {
		t.Errorf("the page is %q", page.body)
	}
}
