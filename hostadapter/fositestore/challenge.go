package fositestore

// WWW-Authenticate headers, which fosite's responses lack.

import (
	"errors"
	"net/http"

	"github.com/ory/fosite"
)

const (
	basic  = `Basic realm="OAuth 2.0"`
	bearer = `Bearer realm="OAuth 2.0"`
)

// challenged returns the writer for an error of fosite's. A 401 concerns the client (RFC 6749, section 5.2)
// or else a token (RFC 6750, section 3).
func challenged(rw http.ResponseWriter, err error) http.ResponseWriter {
	if errors.Is(err, fosite.ErrInvalidClient) {
		return &challenging{rw, []string{basic}}
	}
	return &challenging{rw, []string{bearer}}
}

// challenging adds the schemes to a 401 unless the host has set WWW-Authenticate itself.
type challenging struct {
	http.ResponseWriter
	schemes []string
}

// WriteHeader adds the header to a 401.
func (c *challenging) WriteHeader(status int) {
	if header := c.Header(); status == http.StatusUnauthorized && header.Get("WWW-Authenticate") == "" {
		header["Www-Authenticate"] = c.schemes
	}
	c.ResponseWriter.WriteHeader(status)
}

// Unwrap serves http.ResponseController.
func (c *challenging) Unwrap() http.ResponseWriter { return c.ResponseWriter }
