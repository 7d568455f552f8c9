package integration

import (
	"crypto/rsa"
	"crypto/x509"
	"net/netip"

	"github.com/ory/fosite"
	"github.com/ory/fosite/storage"

	"github.com/fosite-sessions/sessions/hostadapter/fositestore"
)

// wiredSettings are the additional settings of a server in these tests: a key and a client. This file is also
// compiled into examples/minimal-server.
type wiredSettings struct {
	ID, Secret, RedirectURI, LogoutURI string
	Key                                []byte // PKCS #8
}

// wiredClient is a custom client type.
type wiredClient struct {
	*fosite.DefaultClient
	logoutURI string
}

func (c *wiredClient) GetBackChannelLogoutURI() string { return c.logoutURI }

// key replaces the server's key, which otherwise is generated at every start.
func (s wiredSettings) key(*rsa.PrivateKey, error) (*rsa.PrivateKey, error) {
	parsed, err := x509.ParsePKCS8PrivateKey(s.Key)
	key, _ := parsed.(*rsa.PrivateKey)
	return key, err
}

// store adds the client; Secret is the hash.
func (s wiredSettings) store(store *storage.MemoryStore) *storage.MemoryStore {
	store.Clients[s.ID] = &wiredClient{
		DefaultClient: &fosite.DefaultClient{
			ID: s.ID, Secret: []byte(s.Secret), RedirectURIs: []string{s.RedirectURI},
			GrantTypes:    []string{"authorization_code", "refresh_token"},
			ResponseTypes: []string{"code"}, Scopes: []string{"openid", "profile", "offline_access"},
		},
		logoutURI: s.LogoutURI,
	}
	return store
}

// loopback allows the client to listen on this machine.
func (s wiredSettings) loopback(config fositestore.Config) fositestore.Config {
	config.Host.Logout.AllowCIDRs = []netip.Prefix{netip.MustParsePrefix("127.0.0.0/8")}
	return config
}
