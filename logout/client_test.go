package logout_test

// Tests of the validation of clients.

import (
	"errors"
	"strings"
	"testing"

	"github.com/fosite-sessions/sessions/logout"
	"github.com/fosite-sessions/sessions/ticketstore"
)

func TestValidateClient(t *testing.T) {
	t.Parallel()
	tests := []struct {
		name   string
		client logout.Client
		field  string // at fault, or empty
	}{
		{
			"https",
			logout.Client{
				ClientID: "c", BackChannelLogoutURI: "https://rp.example/logout?logout=backchannel",
			},
			"",
		},
		{"http", logout.Client{ClientID: "c", BackChannelLogoutURI: "http://localhost:9001/logout"}, ""},
		{"no endpoint", logout.Client{ClientID: "c"}, ""},
		{
			"application's own scheme after sign-out",
			logout.Client{ClientID: "c", PostLogoutRedirectURIs: []string{"com.example.app:/bye"}}, "",
		},
		{"no id", logout.Client{BackChannelLogoutURI: "https://rp.example"}, "client_id"},
		{
			"fragment", logout.Client{ClientID: "c", BackChannelLogoutURI: "https://rp.example/#x"},
			"backchannel_logout_uri",
		},
		{
			"empty fragment", logout.Client{ClientID: "c", BackChannelLogoutURI: "https://rp.example/#"},
			"backchannel_logout_uri",
		},
		{
			"no scheme", logout.Client{ClientID: "c", BackChannelLogoutURI: "rp.example/logout"},
			"backchannel_logout_uri",
		},
		{
			"no scheme but slashes",
			logout.Client{ClientID: "c", BackChannelLogoutURI: "//rp.example/logout"},
			"backchannel_logout_uri",
		},
		{
			"no host", logout.Client{ClientID: "c", BackChannelLogoutURI: "https:///logout"},
			"backchannel_logout_uri",
		},
		{
			"port without host", logout.Client{ClientID: "c", BackChannelLogoutURI: "https://:443/logout"},
			"backchannel_logout_uri",
		},
		{
			"another scheme", logout.Client{ClientID: "c", BackChannelLogoutURI: "ftp://rp.example/"},
			"backchannel_logout_uri",
		},
		{
			"file", logout.Client{ClientID: "c", BackChannelLogoutURI: "file:///etc/passwd"},
			"backchannel_logout_uri",
		},
		{
			"password", logout.Client{ClientID: "c", BackChannelLogoutURI: "https://u:p@rp.example/"},
			"backchannel_logout_uri",
		},
		{
			"no URI", logout.Client{ClientID: "c", BackChannelLogoutURI: "https://rp.example/%zz"},
			"backchannel_logout_uri",
		},
		{
			"too long",
			logout.Client{
				ClientID: "c", BackChannelLogoutURI: "https://rp.example/" + strings.Repeat("x", 10_000),
			},
			"backchannel_logout_uri",
		},
		{
			"fragment after sign-out",
			logout.Client{ClientID: "c", PostLogoutRedirectURIs: []string{"https://rp.example/#"}},
			"post_logout_redirect_uris",
		},
		{
			"relative after sign-out", logout.Client{ClientID: "c", PostLogoutRedirectURIs: []string{"/bye"}},
			"post_logout_redirect_uris",
		},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			err := logout.ValidateClient(test.client)
			var field *ticketstore.FieldError
			switch {
			case test.field == "" && err != nil:
				t.Errorf("refused: %v", err)
			case test.field != "" && (!errors.As(err, &field) || field.Field != test.field):
				t.Errorf("error %v, want one that names %s", err, test.field)
			}
		})
	}
}

func TestClientMap(t *testing.T) {
	t.Parallel()
	clients := logout.ClientMap{"a": {BackChannelLogoutURI: "https://a.example"}}
	if client, err := clients.LogoutClient(t.Context(), "a"); err != nil || client.ClientID != "a" {
		t.Errorf("client %+v, error %v; want a, by the id it was looked up under", client, err)
	}
	if _, err := clients.LogoutClient(t.Context(), "b"); !errors.Is(err, ticketstore.ErrNotFound) {
		t.Errorf("error %v, want ticketstore.ErrNotFound", err)
	}
}
